#!lua flags=allow-oom
-- Makes a batch visible with all its items, or finds that it is there.
--
-- KEYS[1] prefix
-- ARGV: 1 uuid, 2 items of this upload, 3 rejected lines, 4 sha256 of the
--   upload, 5 '1' if the client says that it tries again
-- Answer: {status, uuid}; DUPLICATE with the uuid of the earlier try;
--   CONFLICT when something else was staged or revealed under this uuid;
--   NOT_OWNER when it is not there
--
-- One flag decides, so a batch is complete or absent. It is set together
-- with the records that find it again.
-- Cut before: it stays invisible and is sent again or swept. Cut after, or
-- sent twice: OK, as the sha256 is the same.
local P, uuid = KEYS[1], ARGV[1]
local call = redis.call
local key = P .. 'batch:' .. uuid
local f = call('HMGET', key, 'st', 'sha', 'tn', 'face', 'idem')
local st, tenant, idem = f[1], f[3] or '', f[5] or ''
if not st or st == 'dropping' then return { 'NOT_OWNER', uuid } end
if st ~= 'staging' then
  return { f[2] == ARGV[4] and 'OK' or 'CONFLICT', uuid }
end
if call('LLEN', key .. ':ids') ~= tonumber(ARGV[2]) then
  return { 'CONFLICT', uuid }
end
if f[4] == 'claude' then
  local same = P .. 'bsha:' .. tenant .. ':' .. ARGV[4]
  local other, again = string.match(call('GET', same) or '', '^(%S+) (%d)$')
  -- Either this is a further try of that one, or that one was a further try,
  -- begun later, of this one, which was only slower.
  if other and other ~= uuid and
      (ARGV[5] == '1' or (again == '1' and other > uuid)) then
    return { 'DUPLICATE', other }
  end
  call('SET', same, uuid .. ' ' .. ARGV[5], 'EX', '86400')
end
local t = call('TIME')
call('HSET', key, 'st', 'open', 'n', ARGV[2], 'bad', ARGV[3], 'sha', ARGV[4])
call('ZADD', P .. 'batches', '0', uuid)
call('ZADD', P .. 'batches:work',
  string.format('%d', t[1] * 1000 + math.floor(t[2] / 1000)), uuid)
call('ZREM', P .. 'batches:staging', uuid)
if idem ~= '' then
  call('SET', P .. 'bidem:' .. idem, uuid .. ' ' .. ARGV[4])
end
call('PUBLISH', P .. 'notice', 'batch')
return { 'OK', uuid }
