#!lua flags=no-writes,allow-oom
-- Items of a revealed batch in the order of the upload, or its rejected
-- lines.
--
-- KEYS[1] prefix
-- ARGV: 1 uuid, 2 'ids' or 'bad', 3 first index, or number after which,
--   4 at most so many
-- Answer: {OK, {'id custom_id' or JSON, ...}}; ABSENT
--
-- Reads only: cut or sent twice, nothing changes.
local P = KEYS[1]
local call = redis.call
local key = P .. 'batch:' .. ARGV[1]
if not call('ZSCORE', P .. 'batches', ARGV[1]) then
  local here = call('EXISTS', P .. 'install') == 1
  return { here and 'ABSENT' or 'NO_MARKER', {} }
end
if ARGV[2] == 'bad' then
  return { 'OK', call('ZRANGE', key .. ':bad', '(' .. ARGV[3], '+inf',
    'BYSCORE', 'LIMIT', 0, ARGV[4]) }
end
return { 'OK', call('LRANGE', key .. ':ids', ARGV[3],
  string.format('%d', ARGV[3] + ARGV[4] - 1)) }
