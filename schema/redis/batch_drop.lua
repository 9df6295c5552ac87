#!lua flags=allow-oom
-- Throws a batch away that was not revealed. From this step on nothing can be
-- added to it; its items go with the next calls of batch_advance.
--
-- KEYS[1] prefix
-- ARGV: 1 uuid
-- Answer: OK, also when there is none; NOT_OWNER when it was revealed
--
-- Cut before: it is swept later. Cut after, or sent twice: it is going, or
-- gone.
local P, uuid = KEYS[1], ARGV[1]
local call = redis.call
local f = call('HMGET', P .. 'batch:' .. uuid, 'st', 'idem')
if not f[1] or f[1] == 'dropping' then return { 'OK' } end
if f[1] ~= 'staging' then return { 'NOT_OWNER' } end
call('HSET', P .. 'batch:' .. uuid, 'st', 'dropping')
call('ZADD', P .. 'batches:staging', '0', uuid)
local record = P .. 'bidem:' .. (f[2] or '')
if call('GET', record) == uuid .. ' -' then call('DEL', record) end
return { 'OK' }
