#!lua flags=no-writes,allow-oom
-- One job in flight as a reader sees it, and how far its queue is.
--
-- KEYS[1] prefix
-- ARGV: 1 id, 2 ... the fields wanted: the queue, the place, the batch, ...
-- Answer: {head or nothing, {field, ...}}, or {'NO_MARKER'}: the job is not
--   here, but neither is the installation. An item of a batch that is not
--   revealed reads as if it were not there.
--
-- Reads only: cut or sent twice, nothing changes.
local f = redis.call('HMGET', KEYS[1] .. 'job:' .. ARGV[1],
  unpack(ARGV, 2))
if not f[1] and redis.call('EXISTS', KEYS[1] .. 'install') == 0 then
  return { 'NO_MARKER' }
end
if f[2] == 'b' then
  local st = redis.call('HGET', KEYS[1] .. 'batch:' .. f[3], 'st')
  if st == 'staging' or st == 'dropping' then return { false, {} } end
end
return { f[1] and redis.call('GET', KEYS[1] .. 'head:' .. f[1]) or false, f }
