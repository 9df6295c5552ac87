#!lua flags=allow-oom
-- uses: prelude
-- The row is committed: the job leaves Redis.
--
-- KEYS[1] prefix
-- ARGV: 1 id, 2 consumer, 3 fence, 4 generation, 5 version and 6 state of
--   the row
-- Answer: OK; NOT_OWNER without effect
--
-- Cut before: the entry stays pending; whoever takes it over finds the row
-- in the store and sends this script again. Cut after: the tombstone answers.
-- Sent twice: OK, from the tombstone.
local job = owned(ARGV[1], ARGV[2], ARGV[3])
if job and job.gen == tonumber(ARGV[4]) then
  depart(job, ARGV[5], ARGV[6])
  return { 'OK' }
end
if not job and departed(ARGV[1], ARGV[4]) then return { 'OK' } end
return { 'NOT_OWNER' }
