#!lua flags=allow-oom
-- uses: prelude
-- After a lost connection: hands back what this consumer's lost claims took.
-- Nobody knows of those jobs, and as the consumer's counter keeps moving, no
-- reaper would ever touch them.
--
-- KEYS[1] prefix
-- ARGV: 1 consumer, 2 the highest fence it has received, 3 its new turn,
--   4 '1' if this consumer has been known before, 5 most entries to look at,
--   6 where the last slice ended ('' at first)
-- Answer: {status, how many, where this slice ended ('': all is done)};
--   NOT_OWNER when it was taken for dead meanwhile
--
-- A consumer may hold ten thousand entries; a slice stalls Redis for a few
-- ms. The consumer sends the next one, with a new turn, until all is done.
--
-- Redis answers a connection in order, so every lost claim has a higher fence
-- than every answered one. The turn shuts out a lost claim that is still on
-- its way: claims of an older turn are refused.
-- Cut before: the consumer does not claim until this has been answered. Cut
-- after, or sent twice: a turn that is not higher than the present one has no
-- effect.
local consumer, fence = ARGV[1], tonumber(ARGV[2])
local left = tonumber(ARGV[5])
local now = clock_ms()
local back = 0

local function hand_back(job)
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

-- Entries of one stream from `from` on. The last that was looked at when the
-- slice ends there.
local function scan(queue, str, from)
  local key = stream(queue, str)
  local pending = redis.pcall('XPENDING', key, 'w', from, '+', left, consumer)
  if pending.err then return nil end -- no such stream or group
  for _, p in ipairs(pending) do
    local entry = call('XRANGE', key, p[1], p[1])[1]
    local job = entry and load(entry[2][2])
    if job and job.own == consumer and job.ent == p[1] and
        job.str == str and tonumber(job.fence) > fence then
      hand_back(job)
    end
  end
  left = left - #pending
  return left == 0 and pending[#pending][1] or nil
end

local beat = call('HGET', P .. 'beat', consumer)
if beat == 'gone' or (not beat and ARGV[4] == '1') then
  return { 'NOT_OWNER', 0, '' }
end
if not beat then call('HSET', P .. 'beat', consumer, 0) end
if tonumber(call('HGET', P .. 'turn', consumer) or 0) >= tonumber(ARGV[3]) then
  return { 'OK', 0, '' }
end
call('HSET', P .. 'turn', consumer, ARGV[3])

-- Places in a fixed order: 'c', then those of every queue.
local queues = call('SMEMBERS', P .. 'queues')
table.sort(queues)
local places = { { '', 'c' } }
for _, queue in ipairs(queues) do
  for _, str in ipairs({ 'a', 'n', 's' }) do
    places[#places + 1] = { queue, str }
  end
end
local last_queue, last_str, last_id =
  string.match(ARGV[6], '^([^ ]*) (%a) (%S+)$')
for _, at in ipairs(places) do
  local same = at[1] == last_queue and at[2] == last_str
  if same or not last_queue or at[1] > last_queue or
      (at[1] == last_queue and at[2] > last_str) then
    local id = scan(at[1], at[2], same and '(' .. last_id or '-')
    if id then
      return { 'OK', back, at[1] .. ' ' .. at[2] .. ' ' .. id }
    end
  end
end
return { 'OK', back, '' }
