#!lua flags=allow-oom
-- A lock with a time limit: the one probe of a breaker, the one process that
-- carries out an operation.
--
-- KEYS[1] prefix
-- ARGV: 1 name of the lock, 2 holder, 3 for how many ms
-- Answer: OK; CONFLICT when somebody else has it
--
-- Cut before: nothing happened. Cut after, or sent twice: the holder has it,
-- and has it longer. A holder that dies loses it when the time is over.
local key, holder, ms = KEYS[1] .. ARGV[1], ARGV[2], ARGV[3]
local has = redis.call('GET', key)
if has and has ~= holder then return { 'CONFLICT' } end
redis.call('SET', key, holder, 'PX', ms)
return { 'OK' }
