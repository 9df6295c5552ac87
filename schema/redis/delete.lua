#!lua flags=allow-oom
-- uses: prelude
-- Asks for the erasure of a job that has ended. Workers carry it out; until
-- then it reads as deleted. A dead letter goes with it.
--
-- KEYS[1] prefix
-- ARGV: 1 id
-- Answer: OK; CONFLICT while it is in flight
--
-- Cut before: nothing happened. Cut after, or sent twice: the wish is noted
-- once.
local id = ARGV[1]
if call('EXISTS', P .. 'job:' .. id) == 1 then return { 'CONFLICT' } end
call('ZADD', P .. 'deleted', 'NX', clock_ms(), id)
undead(id)
return { 'OK' }
