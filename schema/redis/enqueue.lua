#!lua
-- Makes new jobs visible: the hash of each, its place in the stream of its
-- queue, the set of ids, its deadline. Refused when memory is full (no
-- allow-oom).
--
-- KEYS[1] prefix
-- ARGV, for each job: 1 id, 2 queue, 3 meta, 4 body ('' when in parts),
--   5 stored bytes, 6 parts, 7 time to live in ms, 8 'tenant:key' of the
--   idempotency key or '', 9 sha256, 10 most jobs, 11 most bytes (0: no
--   limit)
-- Answer: for each job {status, id, version, generation, state, finished,
--   ahead}
--
-- Cut before: nothing is there, the client got no 202 and sends again. Cut
-- after (the answer got lost): the id is found in `ids`, or its tombstone
-- when it has ended meanwhile, and the answer is DUPLICATE with its state; a
-- finished job never runs again. The idempotency record is written in the
-- same step as the job, so one never exists without the other.
-- Sent twice: the second changes nothing.
--
-- This is the hottest script. What all jobs share is read once and written
-- once (the counters, in one MSET), the number of jobs comes from ZCARD, and
-- numbers go to redis.call as text (see the prelude). A deadline more than a
-- day away is not indexed here but by the tick, when the job is a day old
-- (`swept` is how far the tick has come).
local P = KEYS[1]
local call = redis.call

local shared = call('MGET', P .. 'install', P .. 'bytes', P .. 'swept')
local bytes = tonumber(shared[2] or 0)
local jobs = call('ZCARD', P .. 'ids')
local t = call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local lines = {} -- queue -> {number given last, number claimed last}

local function tomb_answer(status, id, tomb)
  local gen, ver, st = string.match(tomb or '', '^(%d+) (%d+) (%a+)$')
  return { status, id, ver or '0', gen or '0', st or '', 1, -1 }
end

local function existing(status, id)
  local f = call('HMGET', P .. 'job:' .. id, 'ver', 'gen', 'st')
  if f[3] then return { status, id, f[1], f[2] or '0', f[3], 0, -1 } end
  return tomb_answer(status, id, call('GET', P .. 'tomb:' .. id))
end

-- The answer when this id or this idempotency key was there before, or nil.
local function earlier(id, idem, sha256)
  local seen = call('MGET', P .. 'tomb:' .. id, P .. 'idem:' .. idem)
  if seen[1] then return tomb_answer('DUPLICATE', id, seen[1]) end
  if not seen[2] then return nil end
  local other, its = string.match(seen[2], '^(%S+) (%S+)$')
  if other == id then return nil end
  return existing(its == sha256 and 'DUPLICATE' or 'CONFLICT', other)
end

-- Why there is no room, or nil.
local function refusal(id, size, parts, most_jobs, most_bytes)
  if most_jobs ~= '0' and jobs >= tonumber(most_jobs) then
    return 'FULL_JOBS'
  end
  if most_bytes ~= '0' and bytes + tonumber(size) > tonumber(most_bytes) then
    return 'FULL_BYTES'
  end
  if parts ~= '0' and call('HLEN', P .. 'body:' .. id) ~= tonumber(parts) then
    return 'ABSENT' -- the staged parts were swept
  end
end

local function line_of(queue)
  local line = lines[queue]
  if not line then
    local n = call('MGET', P .. 'seq:' .. queue, P .. 'head:' .. queue)
    line = { tonumber(n[1] or 0), tonumber(n[2] or 0) }
    if line[1] == 0 then call('SADD', P .. 'queues', queue) end
    lines[queue] = line
  end
  return line
end

local function add(id, queue, meta, body, size, parts, ttl, idem, sha256)
  local line = line_of(queue)
  local dl = string.format('%d', now + tonumber(ttl))
  local ent = call('XADD', P .. 'q:' .. queue, '*', 'i', id)
  line[1] = line[1] + 1
  call('HSET', P .. 'job:' .. id, 'st', 'queued', 'ver', '1', 'q', queue,
    'dl', dl, 'sz', size, 'seq', string.format('%d', line[1]), 'str', 'n',
    'ent', ent, 'meta', meta, 'req', body)
  if idem ~= '' then
    call('SET', P .. 'idem:' .. idem, id .. ' ' .. sha256)
    call('HSET', P .. 'job:' .. id, 'idem', idem)
  end
  if tonumber(ttl) < 86400000 or (shared[3] and id <= shared[3]) then
    call('ZADD', P .. 'due', dl, id)
  end
  if parts ~= '0' then call('ZREM', P .. 'staging', id) end
  bytes = bytes + tonumber(size)
  jobs = jobs + 1
  return { 'OK', id, 1, 0, 'queued', 0, line[1] - line[2] - 1 }
end

local function enqueue(id, queue, meta, body, size, parts, ttl, idem, sha256,
    most_jobs, most_bytes)
  if not shared[1] then return { 'NO_MARKER' } end
  local before = earlier(id, idem, sha256)
  if before then return before end
  local full = refusal(id, size, parts, most_jobs, most_bytes)
  if full then
    if call('ZSCORE', P .. 'ids', id) then return existing('DUPLICATE', id) end
    return { full }
  end
  if call('ZADD', P .. 'ids', 'NX', '0', id) == 0 then
    return existing('DUPLICATE', id)
  end
  return add(id, queue, meta, body, size, parts, ttl, idem, sha256)
end

local answer = {}
for i = 1, #ARGV, 11 do
  answer[#answer + 1] = enqueue(unpack(ARGV, i, i + 10))
end
local counters = {}
for queue, line in pairs(lines) do
  counters[#counters + 1] = P .. 'seq:' .. queue
  counters[#counters + 1] = string.format('%d', line[1])
  if call('DEL', P .. 'idle:' .. queue) == 1 then
    call('PUBLISH', P .. 'notice', 'wake')
  end
end
if #counters > 0 then
  call('MSET', P .. 'bytes', string.format('%d', bytes), unpack(counters))
end
return answer
