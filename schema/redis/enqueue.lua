#!lua
-- Makes new jobs visible: the hash of each, its place in the stream of its
-- queue, the list of ids, its deadline. Refused when memory is full (no
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
-- This is the hottest script, so what all jobs share is read once, the number
-- of jobs comes from ZCARD, no counter is kept that can be derived, and
-- numbers go to redis.call as text (see the prelude).
local P = KEYS[1]
local call = redis.call

local shared = call('MGET', P .. 'install', P .. 'bytes')
local bytes = tonumber(shared[2] or 0)
local jobs = call('ZCARD', P .. 'ids')
local t = call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local heads = {} -- of the queues that got jobs

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
  local tomb = call('GET', P .. 'tomb:' .. id)
  if tomb then return tomb_answer('DUPLICATE', id, tomb) end
  local seen = idem ~= '' and call('GET', P .. 'idem:' .. idem)
  if not seen then return nil end
  local other, its = string.match(seen, '^(%S+) (%S+)$')
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

local function add(id, queue, meta, body, size, parts, ttl, idem, sha256)
  if not heads[queue] then
    heads[queue] = tonumber(call('HGET', P .. 'head', queue) or 0)
  end
  local dl = string.format('%d', now + tonumber(ttl))
  local seq = call('HINCRBY', P .. 'seq', queue, '1')
  local ent = call('XADD', P .. 'q:' .. queue, '*', 'i', id)
  if idem ~= '' then
    call('SET', P .. 'idem:' .. idem, id .. ' ' .. sha256)
    call('HSET', P .. 'job:' .. id, 'idem', idem)
  end
  call('HSET', P .. 'job:' .. id, 'st', 'queued', 'ver', '1', 'q', queue,
    'dl', dl, 'sz', size, 'seq', string.format('%d', seq), 'str', 'n', 'ent',
    ent, 'meta', meta, 'req', body)
  call('ZADD', P .. 'due', dl, id)
  bytes = call('INCRBY', P .. 'bytes', size)
  if parts ~= '0' then call('ZREM', P .. 'staging', id) end
  jobs = jobs + 1
  return { 'OK', id, 1, 0, 'queued', 0, seq - heads[queue] - 1 }
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
for queue in pairs(heads) do
  if call('DEL', P .. 'idle:' .. queue) == 1 then
    call('PUBLISH', P .. 'notice', 'wake')
  end
end
return answer
