#!lua flags=allow-oom
-- uses: prelude
-- One step of what waits to be done with batches: items of revealed ones to
-- their queues, items of canceling ones to closing, items of dropped and
-- abandoned ones away. Any worker runs it, at any time.
--
-- KEYS[1] prefix
-- ARGV: 1 most items
-- Answer: {OK, items moved, '1' if there is more}
--
-- How far it has come is in the batch (`pro`, `cur`), moved in the same step
-- as the items.
-- Cut before: the next call does it. Cut after, or sent twice: the next items
-- are moved, which is what is wanted.
local most = tonumber(ARGV[1])
local now = clock_ms()
local moved, swept = 0, nil
local lines = {} -- queue -> number given last

-- --- thrown away

local function drop(uuid, key)
  local entries = call('LRANGE', key .. ':ids', digits(moved - most), -1)
  local bytes = 0
  for _, entry in ipairs(entries) do
    local id = string.match(entry, '^%S+')
    bytes = bytes + tonumber(call('HGET', P .. 'job:' .. id, 'sz') or 0)
    call('UNLINK', P .. 'job:' .. id, P .. 'body:' .. id)
  end
  if #entries > 0 then
    call('LTRIM', key .. ':ids', 0, digits(-1 - #entries))
    call('DECRBY', P .. 'bytes', digits(bytes))
    call('DECRBY', P .. 'unpromoted', digits(#entries))
    moved = moved + #entries
  end
  if call('EXISTS', key .. ':ids') == 0 then
    call('DEL', key, key .. ':bad')
    call('ZREM', P .. 'batches:staging', uuid)
  end
end

local function drop_stale(uuid)
  local key = P .. 'batch:' .. uuid
  local f = call('HMGET', key, 'st', 'idem')
  if f[1] == 'staging' then
    local record = P .. 'bidem:' .. (f[2] or '')
    if call('GET', record) == uuid .. ' -' then call('DEL', record) end
    call('HSET', key, 'st', 'dropping')
  elseif f[1] ~= 'dropping' then
    call('ZREM', P .. 'batches:staging', uuid)
    return
  end
  drop(uuid, key)
end

-- --- to the queues

local function number_in(queue)
  local n = lines[queue]
  if not n then
    n = tonumber(call('GET', P .. 'seq:' .. queue) or 0)
    if n == 0 then call('SADD', P .. 'queues', queue) end
  end
  lines[queue] = n + 1
  return digits(n + 1)
end

-- A job that is a day old gets its deadline indexed by the tick, which goes
-- by the time in its id; what ends earlier is indexed here.
local function index_deadline(id, dl, made)
  if tonumber(dl) - made >= 86340000 then
    swept = swept or call('GET', P .. 'swept') or ''
    if id > swept then return end
  end
  call('ZADD', P .. 'due', dl, id)
end

local function promote(id, made)
  local key = P .. 'job:' .. id
  local f = call('HMGET', key, 'str', 'q', 'dl', 'bad')
  if f[1] ~= 'b' then return end -- canceled meanwhile
  local queue = f[2]
  if f[4] or tonumber(f[3]) <= now then
    local ent = call('XADD', P .. 'q:closing', '*', 'i', id)
    call('HSET', key, 'str', 'c', 'ent', ent)
    lines.closing = true
  else
    queue = queue_for(queue)
    local ent = call('XADD', P .. 'q:' .. queue, '*', 'i', id)
    call('HSET', key, 'str', 'n', 'ent', ent, 'q', queue, 'seq',
      number_in(queue))
    index_deadline(id, f[3], made)
  end
  call('ZADD', P .. 'ids', '0', id)
  return true
end

local function walk(uuid)
  local key = P .. 'batch:' .. uuid
  local f = call('HMGET', key, 'st', 'pro', 'cur', 't')
  local canceling = f[1] == 'canceling'
  if f[1] ~= 'open' and not canceling then
    call('ZREM', P .. 'batches:work', uuid)
    return
  end
  local at = tonumber((canceling and f[3] or not canceling and f[2]) or 0)
  local want = most - moved
  local entries = call('LRANGE', key .. ':ids', digits(at),
    digits(at + want - 1))
  local promoted = 0
  for _, entry in ipairs(entries) do
    local id = string.match(entry, '^%S+')
    if canceling then
      local job = load(id)
      if job then ask_end(job) end
    elseif promote(id, tonumber(f[4])) then
      promoted = promoted + 1
    end
  end
  if promoted > 0 then
    call('DECRBY', P .. 'unpromoted', digits(promoted))
  end
  moved = moved + #entries
  call('HSET', key, canceling and 'cur' or 'pro', digits(at + #entries))
  if canceling then call('HSET', key, 'pro', call('HGET', key, 'n')) end
  if #entries < want then call('ZREM', P .. 'batches:work', uuid) end
end

for _, uuid in ipairs(call('ZRANGE', P .. 'batches:work', 0, 3)) do
  if moved < most then walk(uuid) end
end
for _, uuid in ipairs(call('ZRANGE', P .. 'batches:staging', '-inf',
    digits(now), 'BYSCORE', 'LIMIT', 0, 4)) do
  if moved < most then drop_stale(uuid) end
end
if lines.closing then
  lines.closing = nil
  wake('closing')
end
for queue, n in pairs(lines) do
  call('SET', P .. 'seq:' .. queue, digits(n))
  wake(queue)
end
return { 'OK', moved, moved >= most and '1' or '0' }
