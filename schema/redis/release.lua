#!lua flags=allow-oom
-- uses: prelude
-- Hands a claimed job back, first in line: no attempt, no takeover.
--
-- KEYS[1] prefix
-- ARGV: 1 id, 2 consumer, 3 fence
-- Answer: OK; NOT_OWNER without effect
--
-- Cut before: the claim stays, to be sent again or handed back by the reap of
-- the consumer. Cut after: nothing was left to do.
-- Sent twice: the second is NOT_OWNER without effect.
local job = owned(ARGV[1], ARGV[2], ARGV[3])
if not job then return { 'NOT_OWNER' } end
local ver = job.ver + 1
local st = job.att > 0 and 'retrying' or 'queued'
line_up(job, place(job, clock_ms()), 'st', st, 'ver', ver)
if job.b then count_as(job.b, job.id, st) end
disown(job)
take_off(job)
say(job.id, ver, st)
return { 'OK' }
