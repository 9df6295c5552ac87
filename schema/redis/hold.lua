#!lua flags=allow-oom
-- uses: prelude
-- Stops (or lets go) the claims of a scope in every worker.
--
-- KEYS[1] prefix
-- ARGV: 1 scope, 2 kind ('' lifts the hold), 3 for how many ms (-1: until
--   lifted), 4 reason, 5 '1' to replace a longer one
-- Answer: OK; ABSENT when there was none to lift
--
-- A longer hold is kept unless it is forced. The notice goes out only when
-- something changed; the next tick tells it to those who missed it.
-- Cut before: nothing happened. Cut after, or sent twice: the same hold, a
-- few ms longer.
local scope, kind, ms = ARGV[1], ARGV[2], tonumber(ARGV[3])
if kind == '' then
  if call('HDEL', P .. 'hold', scope) == 0 then return { 'ABSENT' } end
  call('PUBLISH', P .. 'notice', 'hold')
  return { 'OK' }
end
local now = clock_ms()
local till = ms < 0 and 0 or now + ms
local old = call('HGET', P .. 'hold', scope)
local old_till = old and tonumber(string.match(old, '^[^|]*|(%d+)|') or 0)
if old and ARGV[5] ~= '1' and (old_till == 0 or
    (till ~= 0 and old_till >= till)) then
  return { 'OK' }
end
call('HSET', P .. 'hold', scope, kind .. '|' .. string.format('%.0f', till) ..
  '|' .. call('INCR', P .. 'epoch') .. '|' .. ARGV[4])
call('PUBLISH', P .. 'notice', 'hold')
return { 'OK' }
