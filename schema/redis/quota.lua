#!lua flags=allow-oom
-- uses: prelude quota
-- What a worker has learnt about the limits of a pool and model bucket, and
-- what its calls used beside what was reserved for them.
--
-- KEYS[1] prefix
-- ARGV: 1 scope, 2 requests, 3 input and 4 output tokens to take off (below
--   0: to give back), 5 requests, 6 input and 7 output tokens per minute from
--   now on ('' as before, 0 no limit), 8 burst in ms ('' as before), 9 ms
--   over which the pace grows back from a quarter ('' as before), 10 '1' to
--   empty the buckets
-- Answer: {OK, requests, input, output that may be used now ('' no limit),
--   requests, input, output per minute ('' never learnt)}
--
-- Cut before: a part of a second's quota is reckoned wrong, which the next
-- headers mend. Cut after: nothing was left to do. Sent twice: as cut before;
-- so it is not repeated.
local q = quota_load(ARGV[1], nil, clock_ms())
local learnt = {}
for i, kind in ipairs(KINDS) do
  local per_min = ARGV[4 + i]
  if per_min ~= '' then
    learnt[#learnt + 1] = 'm' .. kind
    learnt[#learnt + 1] = per_min
  end
end
for i, name in ipairs({ 'burst', 'ramp_ms' }) do
  if ARGV[7 + i] ~= '' then
    learnt[#learnt + 1] = name
    learnt[#learnt + 1] = ARGV[7 + i]
  end
end
if ARGV[9] ~= '' then
  learnt[#learnt + 1] = 'ramp'
  learnt[#learnt + 1] = digits(q.now)
end
quota_save(q)
if #learnt > 0 then
  call('HSET', q.key, unpack(learnt))
  call('SADD', P .. 'quotas', ARGV[1])
  q = quota_load(ARGV[1], nil, q.now)
end
for i, kind in ipairs(KINDS) do
  local level = q.level[kind]
  if level then
    level = ARGV[10] == '1' and math.min(level, 0) or level
    q.level[kind] = math.min(q.cap[kind], level - tonumber(ARGV[1 + i]))
  end
end
quota_save(q)
local function shown(kind)
  return q.level[kind] and string.format('%.0f', q.level[kind]) or ''
end
return { 'OK', shown('r'), shown('i'), shown('o'), q.f.mr or '', q.f.mi or '',
  q.f.mo or '' }
