#!lua flags=allow-oom
-- uses: prelude quota
-- Gives jobs of one queue to a worker, with everything it needs.
--
-- KEYS[1] prefix
-- ARGV: 1 consumer, 2 queue, 3 count, 4 '1' if a suspect may be given,
--   5 '1' if this consumer has been known before, 6 inline bytes after which
--   to stop, 7 the turn of the consumer (see recover), 8 scope of the quota
--   or '', 9 to 12 input tokens per ASCII byte, escape, and byte of a
--   character of two and of more bytes, 13 share that is paid for of
--   the input before the last mark of caching, 14 output tokens of one job,
--   15 '1' to begin with new jobs
-- Answer: {status, quota, {id, kind, generation, version, fence, started_ms,
--   meta, body, ms to the deadline}, ...}; of one that was claimed before, in this
--   generation, or is refused, also attempts, takeovers, strikes, suspect,
--   error
-- quota: {ms to wait because there is no room for the next job (0: it was
--   not lacking), and for each job the input and output tokens reserved};
--   no tokens where no limit is known
--
-- What a job needs is reserved here, before it is anybody's; one for which
-- there is no room stays where it was.
--
-- Order: at most one suspect, then what was handed back, then new jobs. A
-- stream entry counts only if the job's hash names that very entry;
-- anything else is a leftover and is removed.
--
-- The fence comes from one counter for all jobs, so that no two claims ever
-- share one, not even of two generations of a job by the same worker. The
-- version in the answer leaves room for one cancel request during the run:
-- the terminal row takes version + 1 and still differs from all before it.
--
-- Cut before: nothing happened. Cut after: the entries are pending for a
-- consumer that does not know it and whose beat goes on; so after a lost
-- answer it runs `recover`, which hands them back, before it claims again.
-- A claim that arrives later still (its turn is over) is UNKNOWN.
-- Sent twice: the second gets other jobs.
local consumer, queue, count = ARGV[1], ARGV[2], tonumber(ARGV[3])
local most_bytes = tonumber(ARGV[6])
local closing = queue == 'closing'

if call('EXISTS', P .. 'install') == 0 then return { 'NO_MARKER' } end
local beat = call('HGET', P .. 'beat', consumer)
if beat == 'gone' or (not beat and ARGV[5] == '1') then
  return { 'NOT_OWNER' } -- it was taken for dead; let it know
end
if (call('HGET', P .. 'turn', consumer) or '0') ~= ARGV[7] then
  return { 'UNKNOWN' }
end
-- Every consumer that may own entries must be seen by the reapers.
if not beat then call('HSET', P .. 'beat', consumer, 0) end

local now = clock_ms()
local now_text = digits(now)
local answer, bytes, fence, newest = { 'OK', { 0 } }, 0, nil, nil
local quota = ARGV[8] ~= '' and quota_load(ARGV[8], queue, now)
if quota and not quota.limited then quota = nil end
local lacking -- what the next job needs, if that is not there

local function read(key, n)
  local got = redis.pcall('XREADGROUP', 'GROUP', 'w', consumer, 'COUNT', n,
    'STREAMS', key, '>')
  if got and got.err then
    if not string.find(got.err, 'NOGROUP', 1, true) then return got end
    -- From the beginning, never from the end: what waits must be seen.
    call('XGROUP', 'CREATE', key, 'w', '0', 'MKSTREAM')
    got = call('XREADGROUP', 'GROUP', 'w', consumer, 'COUNT', n, 'STREAMS',
      key, '>')
  end
  return got and got[1][2] or {}
end

local function kind_of(f, left, parked, strikes)
  if parked then return 'PARKED' end
  if f[11] then return 'REFUSED' end
  if f[7] then return 'CANCEL' end
  if left <= 0 then return 'EXPIRE' end
  if strikes >= 3 then return 'CRASH' end
  return 'RUN'
end

-- What a job has only after it was claimed once.
local function past(key)
  return call('HMGET', key, 'att', 'stk', 't0', 'err', 'parked', 'tko')
end

-- What the job will use, as far as its text tells.
local function need_of(meta)
  local ascii, escapes, two, more, cached =
    string.match(meta, '"tx":"(%d+) (%d+) (%d+) (%d+) (%d+)"')
  local most = tonumber(string.match(meta, '"mt":(%d+)') or 0)
  local output = tonumber(ARGV[14])
  local input = (ascii or 0) * ARGV[9] + (escapes or 0) * ARGV[10] +
    (two or 0) * ARGV[11] + (more or 0) * ARGV[12]
  input = input * (1 - (cached or 0) / 1000000 * (1 - ARGV[13]))
  return { r = 1, i = math.ceil(input), o = most > 0 and most < output and
    most or output }
end

local function give(id, key, str, f, p, kind, left)
  local strikes = tonumber(p and p[2] or 0)
  local ver = tonumber(f[5] or 0)
  local started = p and p[3] or now_text
  fence = (fence or call('INCRBY', P .. 'fence', ARGV[3]) - count) + 1
  if kind == 'RUN' then
    ver = ver + 1
    local ver_text = digits(ver)
    call('HSET', key, 'own', consumer, 'fence', digits(fence), 'st', 'running',
      'ver', ver_text, 't0', started)
    if f[10] then count_as(f[10], id, 'running') end
    say(id, ver_text, 'running')
  else
    call('HSET', key, 'own', consumer, 'fence', digits(fence))
  end
  if str == 'n' then newest = key end
  bytes = bytes + #(f[9] or '')
  if p or f[11] then
    p = p or {}
    answer[#answer + 1] = { id, kind, f[4] or 0, ver + 1, fence, started,
      f[8] or '', f[9] or '', left, p[1] or 0, p[6] or 0, strikes,
      str == 's' and 1 or 0, f[11] or p[4] or '' }
  else
    answer[#answer + 1] = { id, kind, f[4] or 0, ver + 1, fence, started,
      f[8] or '', f[9] or '', left }
  end
end

local nothing = { i = 0, o = 0 }

-- Gives the job if there is quota for it; what it lacks, or nil.
local function try(id, hash, str, f)
  local p = f[3] and past(hash)
  local left = tonumber(f[6] or 0) - now
  local kind = kind_of(f, left, p and p[5], tonumber(p and p[2] or 0))
  if quota then
    local need = kind == 'RUN' and need_of(f[8] or '') or nothing
    local wait = need == nothing and 0 or quota_take(quota, need)
    local told = answer[2]
    told[1] = wait
    if wait > 0 then return need end
    told[#told + 1], told[#told + 2] = need.i, need.o
  end
  give(id, hash, str, f, p, kind, left)
end

-- Puts entries from the `first` on back, as if they had not been read.
local function put_back(key, entries, first)
  local ids = {}
  for i = first, #entries do ids[#ids + 1] = entries[i][1] end
  local ms, seq = string.match(ids[1], '^(%d+)%-(%d+)$')
  local before = seq ~= '0' and ms .. '-' .. digits(seq - 1) or
    digits(ms - 1) .. '-18446744073709551615'
  call('XACK', key, 'w', unpack(ids))
  call('XGROUP', 'SETID', key, 'w', before)
end

local function take(str, n)
  local key = stream(queue, str)
  while n > 0 and bytes < most_bytes and not lacking do
    local entries = read(key, n < 16 and n or 16)
    if entries.err then return entries end
    if #entries == 0 then return nil end
    for i, entry in ipairs(entries) do
      local id = entry[2] and entry[2][2] or ''
      local hash = P .. 'job:' .. id
      local f = call('HMGET', hash, 'ent', 'str', 'fence', 'gen', 'ver', 'dl',
        'cxl', 'meta', 'req', 'b', 'bad')
      if f[1] == entry[1] and f[2] == str then
        lacking = try(id, hash, str, f)
        if lacking then
          put_back(key, entries, i)
          return nil
        end
        n = n - 1
      else
        call('XACK', key, 'w', entry[1])
        call('XDEL', key, entry[1])
      end
    end
  end
  return nil
end

local failed
if closing then
  failed = take('c', count)
else
  -- A queue that waits reads nothing until there is room for its next job.
  local need = quota and quota_known_need(quota, queue)
  if need then
    local wait = quota_wait(quota, need)
    answer[2][1] = wait
    lacking = wait > 0 and need or nil
  end
  if ARGV[4] == '1' then failed = take('s', 1) end
  if ARGV[15] == '1' then failed = failed or take('n', count - #answer + 2) end
  failed = failed or take('a', count - #answer + 2)
  failed = failed or take('n', count - #answer + 2)
  local head = newest and call('HGET', newest, 'seq')
  if head then call('SET', P .. 'head:' .. queue, head) end
end
if quota then quota_close(quota, lacking) end
if failed then return failed end
if #answer - 2 < count and bytes < most_bytes and not lacking then
  call('SET', P .. 'idle:' .. queue, '1', 'NX')
end
return answer
