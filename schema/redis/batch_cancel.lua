#!lua flags=allow-oom
-- uses: prelude
-- Asks for the end of all items of a batch; batch_advance walks them.
--
-- KEYS[1] prefix
-- ARGV: 1 uuid
-- Answer: OK; ABSENT; CONFLICT when it has ended
--
-- Cut before: nothing happened. Cut after, or sent twice: OK, it is asked
-- for, at the time it was first.
local uuid = ARGV[1]
local key = P .. 'batch:' .. uuid
local st = call('HGET', key, 'st')
if st == 'canceling' then return { 'OK' } end
if st == 'ended' then return { 'CONFLICT' } end
if st ~= 'open' then return { 'ABSENT' } end
local now = digits(clock_ms())
call('HSET', key, 'st', 'canceling', 'cxl', now, 'cur', '0')
call('ZADD', P .. 'batches:work', 'NX', now, uuid)
call('PUBLISH', P .. 'notice', 'batch')
return { 'OK' }
