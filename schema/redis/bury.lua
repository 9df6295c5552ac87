#!lua flags=allow-oom
-- uses: prelude
-- finish for a job that failed for good: it also becomes a dead letter. Its
-- request is in the store with the row; here are only the words about it.
--
-- KEYS[1] prefix
-- ARGV: 1 id, 2 consumer, 3 fence, 4 generation, 5 version, 6 attempts,
--   7 lane, 8 model, 9 tenant, 10 fingerprint, 11 error
-- Answer: OK; NOT_OWNER without effect
--
-- Cut before: the entry stays pending; the next owner finds the dead row and
-- sends this script again. Cut after: the tombstone answers; as the letter
-- and the departure are one step there is never a second letter.
-- Sent twice: OK, from the tombstone.
local id, gen, fp = ARGV[1], ARGV[4], ARGV[10]
local job = owned(id, ARGV[2], ARGV[3])
if not job or job.gen ~= tonumber(gen) then
  if not job and departed(id, gen) then return { 'OK' } end
  return { 'NOT_OWNER' }
end
local now = clock_ms()
undead(id) -- none, unless somebody wrote here by hand
local ent = call('XADD', P .. 'dead', '*', 'i', id, 'g', gen, 'a', ARGV[6],
  't', now, 'l', ARGV[7], 'm', ARGV[8], 'n', ARGV[9], 'f', fp, 'e', ARGV[11])
call('HSET', P .. 'deadidx', id, ent .. ' ' .. gen)
local g = group_read(fp) or { count = 0, first = now }
g.count, g.last, g.sample = g.count + 1, now, id
g.model, g.err = ARGV[8], ARGV[11]
group_write(fp, g)
job.last_ver, job.last_st = ARGV[5], 'failed'
depart({ job })
return { 'OK' }
