#!lua
-- Keeps one part of a large request until its enqueue (or replay). Nobody
-- sees it; unless a job comes, the tick sweeps it after an hour without a
-- new part. Refused when memory is full (no allow-oom).
--
-- KEYS[1] prefix
-- ARGV: 1 id, 2 index of the part, 3 its bytes
-- Answer: OK; NO_MARKER
--
-- Cut before: the part is sent again or the request fails, and the sweep
-- cleans up. Cut after, or sent twice: the same bytes at the same index. A
-- part that arrives when the job is in flight already changes nothing.
local P, id = KEYS[1], ARGV[1]
local call = redis.call
if call('EXISTS', P .. 'install') == 0 then return { 'NO_MARKER' } end
if call('EXISTS', P .. 'job:' .. id) == 1 then return { 'OK' } end
local t = call('TIME')
call('ZADD', P .. 'staging', t[1] * 1000 + math.floor(t[2] / 1000), id)
call('HSET', P .. 'body:' .. id, ARGV[2], ARGV[3])
return { 'OK' }
