#!lua flags=no-writes,allow-oom
-- The dead letter of a job, as XRANGE gives it.
--
-- KEYS[1] prefix
-- ARGV: 1 id
-- Answer: {entry} or {}
--
-- Reads only: cut or sent twice, nothing changes.
local at = redis.call('HGET', KEYS[1] .. 'deadidx', ARGV[1])
if not at then return {} end
local ent = string.match(at, '^%S+')
return redis.call('XRANGE', KEYS[1] .. 'dead', ent, ent)
