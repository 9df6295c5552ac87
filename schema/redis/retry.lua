#!lua flags=allow-oom
-- uses: prelude
-- The call did not work out; the job waits in Redis for its next attempt. A
-- job that was canceled meanwhile, or whose deadline has passed, goes to
-- closing instead; a deadline that comes first is the tick's business.
--
-- KEYS[1] prefix
-- ARGV: 1 id, 2 consumer, 3 fence, 4 delay in ms, 5 attempts, 6 error
-- Answer: OK; NOT_OWNER without effect
--
-- Cut before: the claim stays; the worker sends it again, or dies and the
-- job is taken over (one attempt is then not counted). Cut after: nothing
-- was left to do.
-- Sent twice: the second is NOT_OWNER, and the worker drops the job, which
-- is right.
local job = owned(ARGV[1], ARGV[2], ARGV[3])
if not job then return { 'NOT_OWNER' } end
local now = clock_ms()
local delay = tonumber(ARGV[4])
local str = place(job, now)
local ver = job.ver + 1

if str ~= 'c' and delay > 0 then
  call('ZADD', P .. 'retry', now + delay, job.id)
  call('HSET', P .. 'job:' .. job.id, 'str', 'r', 'ent', '', 'st', 'retrying',
    'ver', ver, 'att', ARGV[5], 'err', ARGV[6], 'due', now + delay)
else
  line_up(job, str, 'st', 'retrying', 'ver', ver, 'att', ARGV[5], 'err',
    ARGV[6], 'due', now)
end
if job.b then count_as(job.b, job.id, 'retrying') end
disown(job)
take_off(job)
say(job.id, ver, 'retrying')
return { 'OK' }
