#!lua flags=allow-oom
-- uses: prelude
-- A worker ends in good order: what it still owns is handed back at once,
-- with no takeover counted, by whoever reaps it.
--
-- KEYS[1] prefix
-- ARGV: 1 consumer
-- Answer: OK
--
-- Cut before: it looks like a death, and a lease later it is treated as one.
-- Cut after, or sent twice: no change. A consumer that is already removed
-- stays removed.
if call('HEXISTS', P .. 'beat', ARGV[1]) == 1 then
  call('HSET', P .. 'beat', ARGV[1], 'gone')
end
return { 'OK' }
