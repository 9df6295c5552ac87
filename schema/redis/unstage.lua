#!lua flags=allow-oom
-- Throws away the staged parts of a request that did not become a job.
--
-- KEYS[1] prefix
-- ARGV: 1 id
-- Answer: OK
--
-- Cut before: the sweep does it an hour later. Cut after, or sent twice: no
-- change. The parts of a job in flight are never touched.
local P, id = KEYS[1], ARGV[1]
if redis.call('EXISTS', P .. 'job:' .. id) == 0 then
  redis.call('UNLINK', P .. 'body:' .. id)
  redis.call('ZREM', P .. 'staging', id)
end
return { 'OK' }
