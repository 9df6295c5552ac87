#!lua flags=allow-oom
-- uses: prelude
-- Throws a dead letter away. The row stays failed; its request is forgotten
-- by a worker.
--
-- KEYS[1] prefix
-- ARGV: 1 id, 2 generation
-- Answer: OK; ABSENT when there is no such letter (any more)
--
-- Cut before: nothing happened. Cut after, or sent twice: ABSENT, the letter
-- is gone and the chore is noted.
local id, gen = ARGV[1], ARGV[2]
local at = call('HGET', P .. 'deadidx', id)
if not at or string.match(at, ' (%d+)$') ~= gen then return { 'ABSENT' } end
call('ZADD', P .. 'discarded', clock_ms(), id .. '/' .. gen)
undead(id, gen)
return { 'OK' }
