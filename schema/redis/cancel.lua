#!lua flags=allow-oom
-- uses: prelude
-- Asks for the end of a job. A waiting one moves to closing in this step, so
-- that any worker commits `canceled`; a running one is flagged, and its
-- worker told: by a notice at once, by its next beat at the latest.
--
-- KEYS[1] prefix
-- ARGV: 1 id
-- Answer: {status, version}; ABSENT when it is not in flight
--
-- Cut before: nothing happened. Cut after, or sent twice: the flag is set,
-- the answer is OK with the same version.
local job = load(ARGV[1])
if not job then return { 'ABSENT', 0 } end
if job.cxl then return { 'OK', job.ver } end
local ver = job.ver + 1
call('HSET', P .. 'job:' .. job.id, 'cxl', 1, 'ver', ver)
if job.own then
  call('SADD', P .. 'abort:' .. job.own, job.id)
  call('PUBLISH', P .. 'notice', 'abort')
elseif job.str ~= 'c' then
  line_up(job, 'c')
  take_off(job)
end
say(job.id, ver, job.st)
return { 'OK', ver }
