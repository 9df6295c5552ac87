#!lua flags=allow-oom
-- uses: prelude
-- Asks for the erasure of an ended batch, or ticks it off. Workers carry it
-- out; until then it reads as deleted.
--
-- KEYS[1] prefix
-- ARGV: 1 uuid, 2 '1' when it is done
-- Answer: OK; CONFLICT when it has not ended; ABSENT when nobody can see it
--
-- Cut before: nothing happened. Cut after, or sent twice: the wish is noted,
-- or gone, once.
local uuid = ARGV[1]
if ARGV[2] == '1' then
  call('ZREM', P .. 'batches:deleted', uuid)
  return { 'OK' }
end
local st = call('HGET', P .. 'batch:' .. uuid, 'st')
if st == 'open' or st == 'canceling' then return { 'CONFLICT' } end
if st and st ~= 'ended' then return { 'ABSENT' } end
call('ZADD', P .. 'batches:deleted', 'NX', digits(clock_ms()), uuid)
return { 'OK' }
