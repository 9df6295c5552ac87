#!lua flags=allow-oom
-- uses: prelude
-- What is due: retries go back in line, waiting jobs past their deadline to
-- closing; stagings that nobody enqueued within an hour and the tombstones of
-- the day before yesterday go away. And the names of all queues and holds.
--
-- KEYS[1] prefix
-- ARGV: 1 most jobs to move of each kind
-- Answer: {status, moved, more, now_ms, {queue, ...}, {scope, hold, ...}}
--
-- Cut before: the next tick of any worker does it. Cut after, or sent twice:
-- what was moved is not due any more.
local most = tonumber(ARGV[1])
local now = clock_ms()
local moved, more = 0, 0

local function due(set, visit)
  local ids = call('ZRANGE', P .. set, '-inf', now, 'BYSCORE', 'LIMIT', 0,
    most)
  for _, id in ipairs(ids) do visit(id, load(id)) end
  if #ids == most then more = 1 end
end

due('retry', function(id, job)
  if job and job.str == 'r' then
    line_up(job, place(job, now))
    moved = moved + 1
  end
  call('ZREM', P .. 'retry', id)
end)

-- Jobs that are a day old get their deadline indexed now; each is met once,
-- as ids begin with their time.
local edge = string.format('%012x', now - 86400000)
local from = call('GET', P .. 'swept')
local old = call('ZRANGE', P .. 'ids', from and '(' .. from or '-',
  '(job_' .. string.sub(edge, 1, 8) .. '-' .. string.sub(edge, 9), 'BYLEX',
  'LIMIT', 0, most)
for _, id in ipairs(old) do
  local job = load(id)
  if job then call('ZADD', P .. 'due', digits(job.dl), id) end
end
if #old > 0 then call('SET', P .. 'swept', old[#old]) end
if #old == most then more = 1 end

-- A job that runs is left to its owner: if the answer comes it is kept; if
-- the job comes back, its deadline is seen then.
due('due', function(id, job)
  if job and not job.own and job.str ~= 'c' then
    line_up(job, 'c')
    take_off(job)
    moved = moved + 1
  end
  call('ZREM', P .. 'due', id)
end)

local stale = call('ZRANGE', P .. 'staging', '-inf', now - 3600000, 'BYSCORE',
  'LIMIT', 0, 10)
for _, id in ipairs(stale) do
  if call('EXISTS', P .. 'job:' .. id) == 0 then
    call('UNLINK', P .. 'body:' .. id)
  end
  call('ZREM', P .. 'staging', id)
end

call('UNLINK', tombs(2))

-- A rate limit passes with its time, and so does an overload and what was
-- stopped by hand for a while. An open breaker or a paused pool stays until a
-- probe has succeeded and lifts it.
local passing = { limited = true, overloaded = true, stopped = true }
local holds = call('HGETALL', P .. 'hold')
local kept = {}
for i = 1, #holds, 2 do
  local kind, till = string.match(holds[i + 1], '^([^|]*)|(%d+)|')
  till = tonumber(till or 0)
  if passing[kind] and till > 0 and till <= now then
    call('HDEL', P .. 'hold', holds[i])
  else
    kept[#kept + 1] = holds[i]
    kept[#kept + 1] = holds[i + 1]
  end
end
return { 'OK', moved, more, now, call('SMEMBERS', P .. 'queues'), kept }
