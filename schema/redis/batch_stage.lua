#!lua
-- Adds items to batches that are being uploaded: the hash of each job, in no
-- stream and in no list. Refused when memory is full (no allow-oom).
--
-- KEYS[1] prefix
-- ARGV, for each item: 1 uuid of the batch, 2 id, 3 queue, 4 meta, 5 body (''
--   when in parts), 6 stored bytes, 7 parts, 8 time to live in ms,
--   9 custom_id, 10 ordinal, 11 error of our own validation or '', 12 sha256,
--   13 most jobs, 14 most bytes (0: no limit)
-- Answer: for each item {status, ordinal}
--
-- The id follows from the batch and the custom_id, so an item that is there
-- already is met by its id: with the same ordinal it was sent twice, with
-- another one its custom_id is.
-- Cut before: nothing is there; sent again, or swept with the batch. Cut
-- after, or sent twice: OK, nothing changes.
local P = KEYS[1]
local call = redis.call

local shared = call('MGET', P .. 'install', P .. 'bytes', P .. 'unpromoted')
local bytes = tonumber(shared[2] or 0)
local waiting = tonumber(shared[3] or 0)
local before = waiting
local jobs = call('ZCARD', P .. 'ids') + waiting
local t = call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local batches = {} -- uuid -> false, or {entries for its list}

local function batch_of(uuid)
  if batches[uuid] == nil then
    local f = call('HMGET', P .. 'batch:' .. uuid, 'st', 'idem')
    batches[uuid] = f[1] == 'staging' and { idem = f[2] or '' }
  end
  return batches[uuid]
end

local function existing(key, ordinal, sha256)
  local f = call('HMGET', key, 'ln', 'meta')
  if f[1] ~= ordinal then return { 'DUPLICATE', f[1] or '0' } end
  if not string.find(f[2] or '', sha256, 1, true) then return { 'CONFLICT' } end
  return { 'OK', ordinal }
end

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

local function stage(uuid, id, queue, meta, body, size, parts, ttl, custom_id,
    ordinal, err, sha256, most_jobs, most_bytes)
  if not shared[1] then return { 'NO_MARKER' } end
  local batch = batch_of(uuid)
  if not batch then return { 'NOT_OWNER' } end
  local key = P .. 'job:' .. id
  local full = refusal(id, size, parts, most_jobs, most_bytes)
  if full then
    if call('EXISTS', key) == 0 then return { full } end
    return existing(key, ordinal, sha256)
  end
  if call('HSETNX', key, 'b', uuid) == 0 then
    return existing(key, ordinal, sha256)
  end
  call('HSET', key, 'st', 'queued', 'ver', '1', 'q', queue, 'dl',
    string.format('%d', now + tonumber(ttl)), 'sz', size, 'str', 'b', 'ln',
    ordinal, 'meta', meta, 'req', body)
  if err ~= '' then call('HSET', key, 'bad', err) end
  if parts ~= '0' then call('ZREM', P .. 'staging', id) end
  batch[#batch + 1] = id .. ' ' .. custom_id
  bytes = bytes + tonumber(size)
  waiting = waiting + 1
  jobs = jobs + 1
  return { 'OK', ordinal }
end

local answer = {}
for i = 1, #ARGV, 14 do
  answer[#answer + 1] = stage(unpack(ARGV, i, i + 13))
end
for uuid, batch in pairs(batches) do
  if batch and #batch > 0 then
    local hours = batch.idem == '' and 1 or 24
    call('RPUSH', P .. 'batch:' .. uuid .. ':ids', unpack(batch))
    call('ZADD', P .. 'batches:staging',
      string.format('%d', now + hours * 3600000), uuid)
  end
end
if waiting > before then
  call('MSET', P .. 'bytes', string.format('%d', bytes), P .. 'unpromoted',
    string.format('%d', waiting))
end
return answer
