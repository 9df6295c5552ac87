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
-- Answer: for each job {OK, ahead}; of one that was there before {status, id,
--   version, generation, state, finished}; {status} when it was refused
--
-- Cut before: nothing is there, the client got no 202 and sends again. Cut
-- after (the answer got lost): the id is found in `ids`, or its tombstone
-- when it has ended meanwhile, and the answer is DUPLICATE with its state; a
-- finished job never runs again. The idempotency record is written in the
-- same step as the job, so one never exists without the other.
-- Sent twice: the second changes nothing. Two of one call with the same id or
-- key are as two calls.
--
-- This is the hottest script. What can be asked or said of all jobs in one
-- command is; each has only its stream entry and its hash to itself. Numbers
-- go to redis.call as text (see the prelude). A deadline more than a day away
-- is not indexed here but by the tick, when the job is a day old (`swept` is
-- how far the tick has come).
local P = KEYS[1]
local call = redis.call
local WORDS = 11

local shared = call('MGET', P .. 'install', P .. 'bytes', P .. 'swept',
  P .. 'unpromoted')
local bytes = tonumber(shared[2] or 0)
local jobs = call('ZCARD', P .. 'ids') + (shared[4] or 0)
local t = call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local lines = {} -- queue -> {number given last, number claimed last, stream}
-- What commands for all jobs will say.
local ids, due, unstaged, values = {}, {}, {}, {}

-- What was there before, and what this call adds to it: ended ids, ids in
-- flight, idempotency records.
local ended, flying, records = {}, {}, {}

-- tonumber() of a text that many jobs of one call have.
local numbers = {}
local function number(text)
  local n = numbers[text]
  if not n then
    n = tonumber(text)
    numbers[text] = n
  end
  return n
end

-- See the prelude, which this script is faster without.
local function tombs(days_ago)
  return P .. 'tomb:' ..
    string.format('%d', math.floor(now / 86400000) - days_ago)
end

local function look_up()
  local all, keys = {}, {}
  for i = 1, #ARGV, WORDS do
    all[#all + 1] = ARGV[i]
  end
  for i = 8, #ARGV, WORDS do
    if ARGV[i] ~= '' then keys[#keys + 1] = P .. 'idem:' .. ARGV[i] end
  end
  local today = call('HMGET', tombs(0), unpack(all))
  local yesterday = call('HMGET', tombs(1), unpack(all))
  local scores = call('ZMSCORE', P .. 'ids', unpack(all))
  local seen = #keys > 0 and call('MGET', unpack(keys))
  local at = 0
  for i, id in ipairs(all) do
    local idem = ARGV[i * WORDS - 3]
    ended[id], flying[id] = today[i] or yesterday[i], scores[i]
    if idem ~= '' then
      at = at + 1
      records[idem] = seen[at]
    end
  end
end

-- Of a job that was there before.
local function existing(status, id)
  local f = call('HMGET', P .. 'job:' .. id, 'ver', 'gen', 'st')
  if f[3] then return { status, id, f[1], f[2] or '0', f[3], 0 } end
  local tomb = call('HGET', tombs(0), id) or call('HGET', tombs(1), id)
  local gen, ver, st = string.match(tomb or '', '^(%d+) (%d+) (%a+)$')
  return { status, id, ver or '0', gen or '0', st or '', 1 }
end

-- Whether this id or this idempotency key was there before: the status and
-- the id of that job, or nil.
local function earlier(id, idem, sha256)
  if ended[id] then return 'DUPLICATE', id end
  local other, its = string.match(records[idem] or '', '^(%S+) (%S+)$')
  if other and other ~= id then
    return its == sha256 and 'DUPLICATE' or 'CONFLICT', other
  end
  if flying[id] then return 'DUPLICATE', id end
end

-- Why there is no room, or nil.
local function refusal(id, size, parts, most_jobs, most_bytes)
  if most_jobs ~= '0' and jobs >= number(most_jobs) then
    return 'FULL_JOBS'
  end
  if most_bytes ~= '0' and bytes + number(size) > number(most_bytes) then
    return 'FULL_BYTES'
  end
  if parts ~= '0' and call('HLEN', P .. 'body:' .. id) ~= tonumber(parts) then
    return 'ABSENT' -- the staged parts were swept
  end
end

local function push(list, a, b)
  list[#list + 1] = a
  list[#list + 1] = b
end

-- What becomes of a job: status and, when it was there before, its id.
local function decide(id, queue, meta, body, size, parts, ttl, idem, sha256,
    most_jobs, most_bytes)
  if not shared[1] then return 'NO_MARKER' end
  local status, other = earlier(id, idem, sha256)
  status = status or refusal(id, size, parts, most_jobs, most_bytes)
  if status then return status, other end
  flying[id] = true
  push(ids, '0', id)
  if idem ~= '' then
    records[idem] = id .. ' ' .. sha256
    push(values, P .. 'idem:' .. idem, records[idem])
  end
  if parts ~= '0' then unstaged[#unstaged + 1] = id end
  bytes = bytes + number(size)
  jobs = jobs + 1
  return 'OK'
end

local function line_of(queue)
  local line = lines[queue]
  if not line then
    local n = call('MGET', P .. 'seq:' .. queue, P .. 'head:' .. queue)
    -- Chains of fallbacks make queues; beyond so many a new one makes none.
    local base = not n[1] and string.match(queue, '^([^>]*)>')
    if base and call('SCARD', P .. 'queues') >= 512 then
      return line_of(base)
    end
    line = { tonumber(n[1] or 0), tonumber(n[2] or 0), P .. 'q:' .. queue }
    if line[1] == 0 then call('SADD', P .. 'queues', queue) end
    lines[queue] = line
  end
  return line, queue
end

local deadlines = {}
local function deadline(ttl)
  local dl = deadlines[ttl]
  if not dl then
    dl = string.format('%d', now + number(ttl))
    deadlines[ttl] = dl
  end
  return dl
end

local function add(id, queue, meta, body, size, parts, ttl, idem)
  local line
  line, queue = line_of(queue)
  local dl = deadline(ttl)
  local ent = call('XADD', line[3], '*', 'i', id)
  line[1] = line[1] + 1
  local seq = string.format('%d', line[1])
  if idem == '' then
    call('HSET', P .. 'job:' .. id, 'st', 'queued', 'ver', '1', 'q', queue,
      'dl', dl, 'sz', size, 'seq', seq, 'str', 'n', 'ent', ent,
      'meta', meta, 'req', body)
  else
    call('HSET', P .. 'job:' .. id, 'st', 'queued', 'ver', '1', 'q', queue,
      'dl', dl, 'sz', size, 'seq', seq, 'str', 'n', 'ent', ent,
      'meta', meta, 'req', body, 'idem', idem)
  end
  if number(ttl) < 86400000 or (shared[3] and id <= shared[3]) then
    push(due, dl, id)
  end
  return { 'OK', line[1] - line[2] - 1 }
end

look_up()
local verdicts, others, answer = {}, {}, {}
for i = 1, #ARGV, WORDS do
  verdicts[i], others[i] = decide(unpack(ARGV, i, i + WORDS - 1))
end
if #ids > 0 then call('ZADD', P .. 'ids', unpack(ids)) end
for i = 1, #ARGV, WORDS do
  answer[#answer + 1] = verdicts[i] == 'OK' and add(unpack(ARGV, i, i + 7)) or
    others[i] and existing(verdicts[i], others[i]) or { verdicts[i] }
end
if #ids == 0 then return answer end
if #due > 0 then call('ZADD', P .. 'due', unpack(due)) end
if #unstaged > 0 then call('ZREM', P .. 'staging', unpack(unstaged)) end
push(values, P .. 'bytes', string.format('%d', bytes))
for queue, line in pairs(lines) do
  push(values, P .. 'seq:' .. queue, string.format('%d', line[1]))
  if call('DEL', P .. 'idle:' .. queue) == 1 then
    call('PUBLISH', P .. 'notice', 'wake')
  end
end
call('MSET', unpack(values))
return answer
