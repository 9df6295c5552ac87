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
if job.str == 'b' then
  local st = call('HGET', P .. 'batch:' .. job.b, 'st')
  if st == 'staging' or st == 'dropping' then return { 'ABSENT', 0 } end
end
return { 'OK', ask_end(job) }
