#!lua
-- uses: prelude
-- Gives a dead letter another life: generation + 1 under the same id, at the
-- end of its queue (a mass replay must not starve new work). Refused when
-- memory is full (no allow-oom).
--
-- KEYS[1] prefix
-- ARGV: 1 id, 2 generation of the letter, 3 the new version, 4 queue, 5 meta,
--   6 body ('' when in parts, which are staged), 7 stored bytes, 8 parts,
--   9 time to live in ms, 10 'tenant:key' or '', 11 sha256, 12 uuid of its
--   batch or ''
-- Answer: {status, version}; ABSENT when the letter is not there (any more),
--   BROKEN when the staged parts are not complete
--
-- An item of a batch that has not ended keeps it from ending; that of an ended
-- one is a job of its own from now on (see batch_end.lua).
--
-- Cut before: the letter stays. Cut after: the job is queued and the letter
-- is gone, so that sent twice, or sent by two people, it happens once and
-- the other gets ABSENT.
local id, gen, ver, queue = ARGV[1], ARGV[2], ARGV[3], queue_for(ARGV[4])
local size, parts = tonumber(ARGV[7]), tonumber(ARGV[8])
local at = call('HGET', P .. 'deadidx', id)

if call('EXISTS', P .. 'install') == 0 then return { 'NO_MARKER', 0 } end
if not at or string.match(at, ' (%d+)$') ~= gen then return { 'ABSENT', 0 } end
if call('EXISTS', P .. 'job:' .. id) == 1 then return { 'ABSENT', 0 } end
if parts > 0 and call('HLEN', P .. 'body:' .. id) ~= parts then
  return { 'BROKEN', 0 }
end

local now = clock_ms()
local dl = now + tonumber(ARGV[9])
local seq = call('INCR', P .. 'seq:' .. queue)
if seq == 1 then call('SADD', P .. 'queues', queue) end
local ent = call('XADD', P .. 'q:' .. queue, '*', 'i', id)
call('HSET', P .. 'job:' .. id, 'st', 'queued', 'gen', gen + 1, 'ver', ver,
  'q', queue, 'dl', dl, 'sz', size, 'seq', seq, 'str', 'n', 'ent', ent,
  'meta', ARGV[5], 'req', ARGV[6])
if ARGV[10] ~= '' then
  call('HSET', P .. 'job:' .. id, 'idem', ARGV[10])
  call('SET', P .. 'idem:' .. ARGV[10], id .. ' ' .. ARGV[11])
end
local batch = ARGV[12] ~= '' and P .. 'batch:' .. ARGV[12]
local open = batch and call('HGET', batch, 'st')
if open == 'open' or open == 'canceling' then
  call('HSET', P .. 'job:' .. id, 'b', ARGV[12])
  call('SADD', batch .. ':again', id)
  call('HINCRBY', batch, 'rep', 1)
end
call('ZADD', P .. 'ids', 0, id)
call('ZADD', P .. 'due', dl, id)
call('INCRBY', P .. 'bytes', size)
call('INCR', P .. 'replayed')
call('HDEL', tombs(0), id)
call('HDEL', tombs(1), id)
call('ZREM', P .. 'staging', id)
undead(id, gen)
wake(queue)
say(id, ver, 'queued')
return { 'OK', ver }
