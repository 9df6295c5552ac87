#!lua
-- Makes a new job visible: its hash, its place in the stream of its queue,
-- the list of ids, its deadline. Refused when memory is full (no allow-oom).
--
-- KEYS[1] prefix
-- ARGV: 1 id, 2 queue, 3 meta, 4 body ('' when in parts), 5 stored bytes,
--   6 parts, 7 time to live in ms, 8 'tenant:key' of the idempotency key or
--   '', 9 sha256, 10 most jobs, 11 most bytes (0: no limit)
-- Answer: {status, id, version, generation, state, finished, ahead}
--
-- Cut before: nothing is there, the client got no 202 and sends again. Cut
-- after (the answer got lost): the id is found in `ids`, or its tombstone
-- when it has ended meanwhile, and the answer is DUPLICATE with its state; a
-- finished job never runs again. The idempotency record is written in the
-- same step as the job, so one never exists without the other.
-- Sent twice: the second changes nothing.
--
-- This is the hottest script, so it does all its reading in one MGET, takes
-- the number of jobs from ZCARD and keeps no counter that can be derived.
local P, id, queue = KEYS[1], ARGV[1], ARGV[2]
local size, parts, idem = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[8]
local call = redis.call

local function tomb_answer(status, of, tomb)
  local gen, ver, st = string.match(tomb or '', '^(%d+) (%d+) (%a+)$')
  return { status, of, ver or '0', gen or '0', st or '', 1, -1 }
end

local function existing(status, of)
  local f = call('HMGET', P .. 'job:' .. of, 'ver', 'gen', 'st')
  if f[3] then return { status, of, f[1], f[2] or '0', f[3], 0, -1 } end
  return tomb_answer(status, of, call('GET', P .. 'tomb:' .. of))
end

local seen = call('MGET', P .. 'install', P .. 'bytes', P .. 'idle:' .. queue,
  P .. 'tomb:' .. id, P .. 'idem:' .. idem)
if not seen[1] then return { 'NO_MARKER' } end
if seen[4] then return tomb_answer('DUPLICATE', id, seen[4]) end
if seen[5] then
  local other, sha256 = string.match(seen[5], '^(%S+) (%S+)$')
  if other ~= id then
    return existing(sha256 == ARGV[9] and 'DUPLICATE' or 'CONFLICT', other)
  end
end

local full = nil
if call('ZCARD', P .. 'ids') >= tonumber(ARGV[10]) and ARGV[10] ~= '0' then
  full = 'FULL_JOBS'
elseif tonumber(seen[2] or 0) + size > tonumber(ARGV[11]) and
    ARGV[11] ~= '0' then
  full = 'FULL_BYTES'
elseif parts > 0 and call('HLEN', P .. 'body:' .. id) ~= parts then
  full = 'ABSENT' -- the staged parts were swept
end
if full then
  if call('ZSCORE', P .. 'ids', id) then return existing('DUPLICATE', id) end
  return { full }
end
if call('ZADD', P .. 'ids', 'NX', 0, id) == 0 then
  return existing('DUPLICATE', id)
end

local t = call('TIME')
local dl = t[1] * 1000 + math.floor(t[2] / 1000) + tonumber(ARGV[7])
local seq = call('HINCRBY', P .. 'seq', queue, 1)
local head = call('HGET', P .. 'head', queue)
local ent = call('XADD', P .. 'q:' .. queue, '*', 'i', id)
if idem ~= '' then
  call('SET', P .. 'idem:' .. idem, id .. ' ' .. ARGV[9])
  call('HSET', P .. 'job:' .. id, 'idem', idem)
end
call('HSET', P .. 'job:' .. id, 'st', 'queued', 'ver', 1, 'q', queue, 'dl', dl,
  'sz', size, 'seq', seq, 'str', 'n', 'ent', ent, 'meta', ARGV[3],
  'req', ARGV[4])
call('ZADD', P .. 'due', dl, id)
call('INCRBY', P .. 'bytes', size)
if parts > 0 then call('ZREM', P .. 'staging', id) end
if seen[3] then
  call('DEL', P .. 'idle:' .. queue)
  call('PUBLISH', P .. 'notice', 'wake')
end
return { 'OK', id, 1, 0, 'queued', 0, seq - tonumber(head or 0) - 1 }
