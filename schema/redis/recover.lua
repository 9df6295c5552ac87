#!lua flags=allow-oom
-- uses: prelude
-- After a lost connection: hands back what this consumer's lost claims took.
-- Nobody knows of those jobs, and as the consumer's counter keeps moving, no
-- reaper would ever touch them.
--
-- KEYS[1] prefix
-- ARGV: 1 consumer, 2 the highest fence it has received, 3 its new turn,
--   4 '1' if this consumer has been known before
-- Answer: {status, how many}; NOT_OWNER when it was taken for dead meanwhile
--
-- Redis answers a connection in order, so every lost claim has a higher fence
-- than every answered one. The turn shuts out a lost claim that is still on
-- its way: claims of an older turn are refused.
-- Cut before: the consumer does not claim until this has been answered. Cut
-- after, or sent twice: a turn that is not higher than the present one has no
-- effect.
local consumer, fence = ARGV[1], tonumber(ARGV[2])
local now = clock_ms()
local back = 0

local function scan(queue, str)
  local key = stream(queue, str)
  local pending = redis.pcall('XPENDING', key, 'w', '-', '+', 1000000,
    consumer)
  if pending.err then return end -- no such stream or group
  for _, p in ipairs(pending) do
    local entry = call('XRANGE', key, p[1], p[1])[1]
    local job = entry and load(entry[2][2])
    if job and job.own == consumer and job.ent == p[1] and
        job.str == str and tonumber(job.fence) > fence then
      local st = job.st
      if st == 'running' and not job.parked then
        st = job.att > 0 and 'retrying' or 'queued'
      end
      line_up(job, place(job, now), 'st', st, 'ver', job.ver + 1)
      if job.b then count_as(job.b, job.id, st) end
      disown(job)
      take_off(job)
      say(job.id, job.ver + 1, st)
      back = back + 1
    end
  end
end

local beat = call('HGET', P .. 'beat', consumer)
if beat == 'gone' or (not beat and ARGV[4] == '1') then
  return { 'NOT_OWNER', 0 }
end
if not beat then call('HSET', P .. 'beat', consumer, 0) end
if tonumber(call('HGET', P .. 'turn', consumer) or 0) >= tonumber(ARGV[3]) then
  return { 'OK', 0 }
end
call('HSET', P .. 'turn', consumer, ARGV[3])
scan('', 'c')
for _, queue in ipairs(call('SMEMBERS', P .. 'queues')) do
  for _, str in ipairs({ 'n', 'a', 's' }) do scan(queue, str) end
end
return { 'OK', back }
