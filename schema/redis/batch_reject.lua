#!lua
-- Keeps what was wrong with lines of an upload, by their numbers; the first
-- 10,000 of a batch. Refused when memory is full (no allow-oom).
--
-- KEYS[1] prefix
-- ARGV, for each line: 1 uuid, 2 number, 3 JSON
-- Answer: for each line {OK}; {NOT_OWNER} when the batch is not staging
--
-- Cut before: sent again, or the upload fails. Cut after, or sent twice: the
-- same line at the same number.
local P = KEYS[1]
local call = redis.call
local states, counts = {}, {}

local function reject(uuid, line, json)
  local key = P .. 'batch:' .. uuid
  if states[uuid] == nil then
    states[uuid] = call('HGET', key, 'st') or ''
    counts[uuid] = call('ZCARD', key .. ':bad')
  end
  if states[uuid] ~= 'staging' then return { 'NOT_OWNER' } end
  if counts[uuid] < 10000 then
    counts[uuid] = counts[uuid] + call('ZADD', key .. ':bad', line, json)
  end
  return { 'OK' }
end

local answer = {}
for i = 1, #ARGV, 3 do
  answer[#answer + 1] = reject(ARGV[i], ARGV[i + 1], ARGV[i + 2])
end
return answer
