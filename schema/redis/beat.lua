#!lua flags=allow-oom
-- uses: prelude
-- One sign of life of a worker, and what all workers' signs are.
--
-- KEYS[1] prefix
-- ARGV: 1 consumer, 2 '1' if this consumer has been known before
-- Answer: {status, {consumer, beats, ...}, {id to abort, ...}}
--
-- NOT_OWNER when the consumer was known and is not any more (it was taken
-- for dead, its jobs are elsewhere) or has left: a process that was frozen
-- and woke up learns it here.
-- Cut before: one beat less. Cut after, or sent twice: one more. Neither
-- matters, only that the counter moves.
local beat = call('HGET', P .. 'beat', ARGV[1])
if beat == 'gone' or (not beat and ARGV[2] == '1') then
  return { 'NOT_OWNER' }
end
call('HINCRBY', P .. 'beat', ARGV[1], 1)
return { 'OK', call('HGETALL', P .. 'beat'),
  call('SMEMBERS', P .. 'abort:' .. ARGV[1]) }
