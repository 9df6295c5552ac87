#!lua flags=allow-oom
-- uses: prelude
-- Ends a batch with the numbers that the store has counted: the one moment
-- that decides, and that is never taken back.
--
-- KEYS[1] prefix
-- ARGV: 1 uuid, 2 replays that the caller saw before it counted, 3 the tally
--   as JSON, 4 how many it counts
-- Answer: OK, also when it has ended before; CONFLICT when an item is in
--   flight again, or was since, or when not all are counted; ABSENT
--
-- A replay of an item counts in `rep` and puts it among the batch's `again`
-- in the same step as it makes the job (replay.lua), and only while the batch
-- has not ended. So with `rep` unchanged and `again` empty, every item that
-- was counted is still what it was; and replays from now on do not belong to
-- the batch.
-- Cut before: the keeper counts again. Cut after, or sent twice: OK, with the
-- numbers of the first.
local uuid = ARGV[1]
local key = P .. 'batch:' .. uuid
local f = call('HMGET', key, 'st', 'rep', 'n')
if f[1] == 'ended' then return { 'OK' } end
if f[1] ~= 'open' and f[1] ~= 'canceling' then return { 'ABSENT' } end
if (f[2] or '0') ~= ARGV[2] or f[3] ~= ARGV[4] or
    call('EXISTS', key .. ':again') == 1 then
  return { 'CONFLICT' }
end
call('HSET', key, 'st', 'ended', 'fin', digits(clock_ms()), 'end', ARGV[3])
call('ZREM', P .. 'batches:work', uuid)
return { 'OK' }
