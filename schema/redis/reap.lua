#!lua flags=allow-oom
-- uses: prelude
-- Puts the jobs of a dead worker back in line, 100 at a time.
--
-- KEYS[1] prefix
-- ARGV: 1 consumer, 2 the counter that stood still, 3 most entries
-- Answer: {status, moved, left}; NOT_OWNER without effect when the counter
--   has moved: the worker lives
--
-- An orderly leaver (`gone`) costs its jobs nothing. Otherwise each job's
-- takeovers grow by one; from the second on it is a suspect. Only a death
-- while it was held as a suspect (a worker holds one at most, so it is to
-- blame) is a strike, and three strikes close it as crash_loop. The version
-- jumps by three so that what a frozen owner may still commit (claim's
-- version + 1) is never the version of another state.
--
-- The consumer is removed only in a run that found nothing pending for it in
-- any stream: XGROUP DELCONSUMER throws pending entries away.
-- Cut before: the next reaper does it. Cut after: it is done. Two reapers, or
-- sent twice: each entry is moved once, as it leaves the pending list in the
-- same step; a consumer that is gone answers 0 moved.
local consumer, most = ARGV[1], tonumber(ARGV[3])
local beat = call('HGET', P .. 'beat', consumer)
if not beat then return { 'OK', 0, 0 } end
local gone = beat == 'gone'
if not gone and beat ~= ARGV[2] then return { 'NOT_OWNER', 0, 0 } end

local now = clock_ms()
local moved, seen = 0, 0
local streams = { { 'closing', 'c' } }
for _, queue in ipairs(call('SMEMBERS', P .. 'queues')) do
  streams[#streams + 1] = { queue, 'n' }
  streams[#streams + 1] = { queue, 'a' }
  streams[#streams + 1] = { queue, 's' }
end

local function move(job)
  if not gone and job.str == 's' and not job.parked then job.stk = job.stk + 1 end
  if not gone and job.str ~= 'c' and not job.parked then job.tko = job.tko + 1 end
  local st = job.st
  if st == 'running' and not job.parked then
    st = job.att > 0 and 'retrying' or 'queued'
  end
  local ver = job.ver + 3
  line_up(job, place(job, now), 'st', st, 'ver', ver, 'tko', job.tko, 'stk',
    job.stk)
  if job.b then count_as(job.b, job.id, st) end
  call('HDEL', P .. 'job:' .. job.id, 'own')
  take_off(job)
  say(job.id, ver, st)
  moved = moved + 1
end

local function reap(key, str)
  local pending = redis.pcall('XPENDING', key, 'w', '-', '+', most - seen,
    consumer)
  if pending.err then return end -- no such stream or group: nothing pending
  for _, p in ipairs(pending) do
    local entry = call('XRANGE', key, p[1], p[1])[1]
    local job = entry and load(entry[2][2])
    seen = seen + 1
    if job and job.own == consumer and job.ent == p[1] and job.str == str then
      move(job)
    else
      call('XACK', key, 'w', p[1])
      call('XDEL', key, p[1])
    end
  end
end

for _, s in ipairs(streams) do
  if seen >= most then return { 'OK', moved, 1 } end
  reap(stream(s[1], s[2]), s[2])
end
if seen > 0 then return { 'OK', moved, 1 } end

for _, s in ipairs(streams) do
  redis.pcall('XGROUP', 'DELCONSUMER', stream(s[1], s[2]), 'w', consumer)
end
call('HDEL', P .. 'beat', consumer)
call('HDEL', P .. 'turn', consumer)
call('DEL', P .. 'abort:' .. consumer)
return { 'OK', 0, 0 }
