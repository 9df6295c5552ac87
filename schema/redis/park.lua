#!lua flags=allow-oom
-- uses: prelude
-- Keeps an answer that was paid for and that the store did not take. The
-- claim stays; whoever owns the job next gets it as PARKED.
--
-- KEYS[1] prefix
-- ARGV: 1 id, 2 consumer, 3 fence, 4 the answer
-- Answer: OK; NOT_OWNER without effect
--
-- Cut before: the answer is still in the worker's memory, which sends again.
-- Cut after: it is kept. Sent twice: the same bytes again.
local job = owned(ARGV[1], ARGV[2], ARGV[3])
if not job then return { 'NOT_OWNER' } end
call('SET', P .. 'parked:' .. job.id, ARGV[4])
call('HSET', P .. 'job:' .. job.id, 'parked', 1)
return { 'OK' }
