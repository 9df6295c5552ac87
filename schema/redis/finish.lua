#!lua flags=allow-oom
-- uses: prelude
-- The rows are committed: the jobs leave Redis.
--
-- KEYS[1] prefix
-- ARGV, for each job: 1 id, 2 consumer, 3 fence, 4 generation, 5 version and
--   6 state of the row
-- Answer: for each job {OK}; {NOT_OWNER} without effect
--
-- Cut before: the entry stays pending; whoever takes it over finds the row
-- in the store and sends this script again. Cut after: the tombstone answers.
-- Sent twice: OK, from the tombstone; also within one call.
local leaving, left = {}, {}

local function finish(id, consumer, fence, gen, ver, st)
  if left[id] then return { left[id] == gen and 'OK' or 'NOT_OWNER' } end
  -- No more fields than depart() needs: this is a hot script.
  local f = call('HMGET', P .. 'job:' .. id, 'own', 'fence', 'gen', 'q', 'sz',
    'ent', 'str', 'cxl', 'idem', 'parked', 'b')
  if f[1] == consumer and f[2] == fence and (f[3] or '0') == gen then
    left[id] = gen
    leaving[#leaving + 1] = { id = id, own = f[1], gen_text = gen,
      q = f[4] or '', sz_text = f[5] or '0', ent = f[6], str = f[7],
      cxl = f[8], idem = f[9], parked = f[10], b = f[11], last_ver = ver,
      last_st = st }
    return { 'OK' }
  end
  -- Without a size there is no job of that id.
  if not f[5] and departed(id, gen) then return { 'OK' } end
  return { 'NOT_OWNER' }
end

local answer = {}
for i = 1, #ARGV, 6 do
  answer[#answer + 1] = finish(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3],
    ARGV[i + 4], ARGV[i + 5])
end
if #leaving > 0 then depart(leaving) end
return answer
