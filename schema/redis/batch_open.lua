#!lua
-- Begins the upload of a batch, or finds the one that was begun before with
-- the same idempotency key. Nobody sees it until batch_reveal. Refused when
-- memory is full (no allow-oom).
--
-- KEYS[1] prefix
-- ARGV: 1 uuid, 2 tenant, 3 face, 4 created ms, 5 expires ms, 6 label of the
--   run, 7 meta, 8 'tenant:key' of the idempotency key or ''
-- Answer: {OK, '1' if it goes on, uuid, {field, value, ...}};
--   {DUPLICATE, '0', uuid, {...}, sha256} when it was revealed
--
-- Cut before: nothing is there. Cut after, or sent twice: the same batch is
-- found again, by its uuid or by the key. A batch that is being thrown away
-- counts as not there.
local P = KEYS[1]
local call = redis.call
local uuid, idem = ARGV[1], ARGV[8]
if call('EXISTS', P .. 'install') == 0 then return { 'NO_MARKER' } end

local seen = idem ~= '' and call('GET', P .. 'bidem:' .. idem)
if seen then
  local other, sha = string.match(seen, '^(%S+) (%S+)$')
  local st = call('HGET', P .. 'batch:' .. other, 'st')
  local fields = call('HGETALL', P .. 'batch:' .. other)
  if st == 'staging' then
    return { 'OK', other == uuid and '0' or '1', other, fields }
  elseif st ~= 'dropping' and sha ~= '-' then
    return { 'DUPLICATE', '0', other, fields, sha }
  end
end
local t = call('TIME')
local hour = 3600000
local till = t[1] * 1000 + (idem == '' and hour or 24 * hour)
if call('HSETNX', P .. 'batch:' .. uuid, 'st', 'staging') == 1 then
  call('HSET', P .. 'batch:' .. uuid, 'tn', ARGV[2], 'face', ARGV[3], 't',
    ARGV[4], 'exp', ARGV[5], 'run', ARGV[6], 'meta', ARGV[7], 'idem', idem)
  call('ZADD', P .. 'batches:staging', string.format('%d', till), uuid)
  if idem ~= '' then call('SET', P .. 'bidem:' .. idem, uuid .. ' -') end
end
return { 'OK', '0', uuid, call('HGETALL', P .. 'batch:' .. uuid) }
