#!lua flags=no-writes,allow-oom
-- Revealed batches as readers see them.
--
-- KEYS[1] prefix
-- ARGV: 1 'one', or 'down' or 'up' from 2: a uuid ('' for down, up: from the
--   end), 3 at most so many
-- Answer: {OK, {{uuid, {field, value, ...}, running, retrying, again}, ...},
--   {uuid whose deletion was asked for, ...}}; for 'one' also ABSENT, and
--   CONFLICT when its deletion was asked for; {NO_MARKER}: they are not here,
--   but neither is the installation
--
-- Reads only: cut or sent twice, nothing changes.
local P = KEYS[1]
local call = redis.call
local how, from = ARGV[1], ARGV[2]

local function view(uuid)
  local key = P .. 'batch:' .. uuid
  local live = key .. ':live'
  return { uuid, call('HGETALL', key), call('ZCOUNT', live, 1, 1),
    call('ZCOUNT', live, 2, 2), call('SCARD', key .. ':again') }
end

if how == 'one' then
  if call('ZSCORE', P .. 'batches:deleted', from) then return { 'CONFLICT' } end
  if call('ZSCORE', P .. 'batches', from) then
    return { 'OK', { view(from) }, {} }
  end
  return { call('EXISTS', P .. 'install') == 1 and 'ABSENT' or 'NO_MARKER' }
end
if call('EXISTS', P .. 'install') == 0 then return { 'NO_MARKER' } end
local uuids
if how == 'down' then
  uuids = call('ZRANGE', P .. 'batches', from == '' and '+' or '(' .. from,
    '-', 'BYLEX', 'REV', 'LIMIT', 0, ARGV[3])
else
  uuids = call('ZRANGE', P .. 'batches', from == '' and '-' or '(' .. from,
    '+', 'BYLEX', 'LIMIT', 0, ARGV[3])
end
local views = {}
for i, uuid in ipairs(uuids) do views[i] = view(uuid) end
return { 'OK', views, call('ZRANGE', P .. 'batches:deleted', 0, 9999) }
