#!lua flags=no-writes,allow-oom
-- uses: prelude quota
-- Numbers for gauges: a few calls per queue, whatever the number of jobs.
--
-- KEYS[1] prefix
-- Answer: {jobs, bytes, retrying, closing, dead, submitted, live consumers,
--   now_ms, {scope, hold, ...}, {name, waiting, running, oldest id, ...},
--   the text of INFO memory, {pool, what its workers told, ...}, {scope of a
--   quota, requests, input and output tokens that may be used now, and per
--   minute ('' no limit known), ...}, batches in flight, batches that are
--   being uploaded, items that are in no queue yet}
--
-- Reads only: cut or sent twice, nothing changes.
local submitted = -tonumber(call('GET', P .. 'replayed') or 0)
local live, queues = 0, {}

for _, beats in ipairs(call('HVALS', P .. 'beat')) do
  if beats ~= 'gone' then live = live + 1 end
end

-- Entries, pending ones, and the id of the first that waits.
local function look(key)
  local len = call('XLEN', key)
  if len == 0 then return 0, 0, '' end
  local pending, from = 0, '-'
  local groups = redis.pcall('XINFO', 'GROUPS', key)
  if not groups.err and groups[1] then
    local g = {}
    for i = 1, #groups[1], 2 do g[groups[1][i]] = groups[1][i + 1] end
    pending, from = g['pending'], '(' .. g['last-delivered-id']
  end
  local first = call('XRANGE', key, from, '+', 'COUNT', 1)[1]
  return len, pending, first and first[2][2] or ''
end

for _, queue in ipairs(call('SMEMBERS', P .. 'queues')) do
  local waiting, running, oldest = 0, 0, ''
  submitted = submitted + (call('GET', P .. 'seq:' .. queue) or 0)
  for _, str in ipairs({ 'n', 'a', 's' }) do
    local len, pending, first = look(stream(queue, str))
    waiting, running = waiting + len - pending, running + pending
    if first ~= '' and (oldest == '' or first < oldest) then
      oldest = first
    end
  end
  for _, v in ipairs({ queue, waiting, running, oldest }) do
    queues[#queues + 1] = v
  end
end
local quotas = {}
for _, scope in ipairs(call('SMEMBERS', P .. 'quotas')) do
  local q = quota_load(scope, nil, clock_ms())
  quotas[#quotas + 1] = scope
  for _, kind in ipairs(KINDS) do
    quotas[#quotas + 1] = q.level[kind] and
      string.format('%.0f', q.level[kind]) or ''
  end
  for _, kind in ipairs(KINDS) do
    quotas[#quotas + 1] = q.level[kind] and q.f['m' .. kind] or ''
  end
end

local jobs = call('ZCARD', P .. 'ids') + (call('GET', P .. 'unpromoted') or 0)
return { jobs, tonumber(call('GET', P .. 'bytes') or 0),
  call('ZCARD', P .. 'retry'), call('XLEN', P .. 'q:closing'),
  call('XLEN', P .. 'dead'), submitted, live, clock_ms(),
  call('HGETALL', P .. 'hold'), queues, call('INFO', 'memory'),
  call('HGETALL', P .. 'pools'), quotas, call('ZCARD', P .. 'batches'),
  call('ZCARD', P .. 'batches:staging'),
  tonumber(call('GET', P .. 'unpromoted') or 0) }
