#!lua flags=allow-oom
-- uses: prelude
-- An upstream that a worker has, for those who ask what there is.
--
-- KEYS[1] prefix
-- ARGV: 1 name, 2 text
-- Answer: OK
--
-- Every worker tells it again and again; what none has told for two minutes,
-- while others were told, is not configured any more.
-- Cut before: the next telling does it. Cut after, or sent twice: the same.
local now = clock_ms()
call('HSET', P .. 'pools', ARGV[1], digits(now) .. '|' .. ARGV[2])
local told = call('HGETALL', P .. 'pools')
for i = 1, #told, 2 do
  local at = tonumber(string.match(told[i + 1], '^(%d+)|') or 0)
  if now - at > 120000 then call('HDEL', P .. 'pools', told[i]) end
end
return { 'OK' }
