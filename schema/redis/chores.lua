#!lua flags=no-writes,allow-oom
-- Work on the store that any worker does: the oldest of each kind.
--
-- KEYS[1] prefix
-- ARGV: 1 index of the last wanted of each kind
-- Answer: {{id to delete, ...}, {id/generation to discard, ...},
--   {id/generation whose request to forget, ...}}
--
-- Reads only: cut or sent twice, nothing changes. A chore stays until it is
-- reported as done, and doing it twice is harmless.
local answer = {}
for i, set in ipairs({ 'deleted', 'discarded', 'forget' }) do
  answer[i] = redis.call('ZRANGE', KEYS[1] .. set, 0, ARGV[1])
end
return answer
