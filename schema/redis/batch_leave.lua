#!lua flags=allow-oom
-- An ended batch is in the store: its keys leave. The record of its
-- idempotency key stays for a day.
--
-- KEYS[1] prefix
-- ARGV: 1 uuid
-- Answer: OK, also when it has left; CONFLICT when it has not ended
--
-- Cut before: the keeper does it again. Cut after, or sent twice: OK.
local P, uuid = KEYS[1], ARGV[1]
local call = redis.call
local key = P .. 'batch:' .. uuid
local f = call('HMGET', key, 'st', 'idem')
if f[1] and f[1] ~= 'ended' then return { 'CONFLICT' } end
call('UNLINK', key, key .. ':ids', key .. ':bad', key .. ':again',
  key .. ':live')
call('ZREM', P .. 'batches', uuid)
if f[2] and f[2] ~= '' then
  call('EXPIRE', P .. 'bidem:' .. f[2], '86400')
end
return { 'OK' }
