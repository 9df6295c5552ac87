-- Prepended to every script that says "uses: prelude". One place for how a
-- job changes its line, so that no two scripts can disagree.
--
-- All scripts: KEYS[1] is the prefix of all keys; the others are built from
-- it and share its hash tag. Redis runs a script alone, and its writes reach
-- the append-only file as one MULTI ... EXEC, which is loaded whole or not at
-- all. So "cut" can only mean: the script did not happen, or its answer got
-- lost. Within a script a job is added to its new place before it is taken
-- from the old one, so that even a script that is broken off by an error
-- leaves a job twice (which the next claim mends) and never nowhere.
--
-- Places of a job (field str): n new, a again, s suspects, c closing (streams;
-- field ent is its entry there), r the sorted set of retries, b an item of a
-- batch that no queue has yet.
--
-- Numbers are handed to redis.call as text: it would print each one as a
-- floating-point number, which takes longer than most commands.
local P = KEYS[1]
local call = redis.call

local function clock_ms()
  local t = call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function digits(n)
  return string.format('%d', n)
end

local function stream(queue, str)
  if str == 'c' then return P .. 'q:closing' end
  if str == 'a' then return P .. 'q:' .. queue .. ':again' end
  if str == 's' then return P .. 'q:' .. queue .. ':suspect' end
  return P .. 'q:' .. queue
end

-- What readers of its batch count as being worked on: 1 a worker has it, 2 it
-- waits for another attempt.
local function count_as(uuid, id, st)
  local live = P .. 'batch:' .. uuid .. ':live'
  if st == 'running' then
    call('ZADD', live, '1', id)
  elseif st == 'retrying' then
    call('ZADD', live, '2', id)
  else
    call('ZREM', live, id)
  end
end

-- For long-polls; a script asks once whether anybody listens.
local listeners
local function say(id, ver, st)
  listeners = listeners or call('PUBSUB', 'NUMSUB', P .. 'ev')[2]
  if listeners == 0 then return end
  call('PUBLISH', P .. 'ev', id .. ' ' .. ver .. ' ' .. st)
end

-- Workers that found this queue empty left the idle key behind.
local function wake(queue)
  if call('DEL', P .. 'idle:' .. queue) == 1 then
    call('PUBLISH', P .. 'notice', 'wake')
  end
end

-- A chain of fallbacks makes a queue of its own; beyond so many a new one
-- makes none.
local function queue_for(name)
  local base = string.match(name, '^([^>]*)>')
  if base and call('SISMEMBER', P .. 'queues', name) == 0 and
      call('SCARD', P .. 'queues') >= 512 then
    return base
  end
  return name
end

-- The fields that decide about a job, or nil when it is not in flight.
local function load(id)
  local f = call('HMGET', P .. 'job:' .. id, 'st', 'gen', 'ver', 'q', 'dl',
    'sz', 'own', 'fence', 'ent', 'str', 'tko', 'stk', 'cxl', 'parked', 'idem',
    'att', 'b', 'bad')
  if not f[1] then return nil end
  return { id = id, st = f[1], gen = tonumber(f[2] or 0),
    ver = tonumber(f[3] or 0), q = f[4] or '', dl = tonumber(f[5] or 0),
    sz = tonumber(f[6] or 0), own = f[7], fence = f[8], ent = f[9],
    str = f[10], tko = tonumber(f[11] or 0), stk = tonumber(f[12] or 0),
    cxl = f[13], parked = f[14], idem = f[15], att = tonumber(f[16] or 0),
    gen_text = f[2] or '0', sz_text = f[6] or '0', b = f[17], bad = f[18] }
end

-- The job, if this claim still holds; XACK alone would not ask.
local function owned(id, consumer, fence)
  local job = load(id)
  if job and job.own == consumer and job.fence == fence then return job end
  return nil
end

-- Where a job that goes back belongs.
local function place(job, now)
  if job.cxl or job.parked or job.bad or job.dl <= now or job.stk >= 3 then
    return 'c'
  end
  if job.tko >= 2 then return 's' end
  return 'a'
end

-- Adds the job to a stream and notes it in the hash, with further fields.
local function line_up(job, str, ...)
  local ent = call('XADD', stream(job.q, str), '*', 'i', job.id)
  call('HSET', P .. 'job:' .. job.id, 'str', str, 'ent', ent, ...)
  wake(str == 'c' and 'closing' or job.q)
end

-- Takes it from the place that `job` (loaded before line_up) names.
local function take_off(job)
  if job.str == 'r' then
    call('ZREM', P .. 'retry', job.id)
  elseif job.ent then
    local key = stream(job.q, job.str)
    call('XACK', key, 'w', job.ent)
    call('XDEL', key, job.ent)
  end
end

-- The wish for the end of a job: see cancel.lua. The job's version after it.
local function ask_end(job)
  if job.cxl then return job.ver end
  local ver = job.ver + 1
  call('HSET', P .. 'job:' .. job.id, 'cxl', '1', 'ver', digits(ver))
  if job.own then
    call('SADD', P .. 'abort:' .. job.own, job.id)
    call('PUBLISH', P .. 'notice', 'abort')
  elseif job.str ~= 'c' then
    if job.str == 'b' then
      call('ZADD', P .. 'ids', '0', job.id)
      call('DECR', P .. 'unpromoted')
    end
    line_up(job, 'c')
    take_off(job)
  end
  say(job.id, ver, job.st)
  return ver
end

-- The end of being owned, for scripts that hand a job back.
local function disown(job)
  call('HDEL', P .. 'job:' .. job.id, 'own')
  if job.cxl then call('SREM', P .. 'abort:' .. job.own, job.id) end
end

-- Tombstones of a day (UTC): a hash, id -> generation, version and state. It
-- is kept for the next day too.
local function tombs(days_ago)
  return P .. 'tomb:' .. digits(math.floor(clock_ms() / 86400000) - days_ago)
end

-- Jobs leave Redis; only their tombstones stay (a resent enqueue finds one
-- for a day at least). The rows in the store are committed already. A generation that
-- came from a replay no longer needs the request kept with the old row.
-- `leaving`: jobs as load() makes them, with the version and the state of the
-- row in last_ver and last_st. One command says what it can for all of them.
local function depart(leaving)
  local keys, ids, entries, marks, live, bytes = {}, {}, {}, {}, {}, 0
  for i, job in ipairs(leaving) do
    local id = job.id
    marks[i * 2 - 1] = id
    marks[i * 2] = job.gen_text .. ' ' .. job.last_ver .. ' ' .. job.last_st
    if job.idem then call('EXPIRE', P .. 'idem:' .. job.idem, '86400') end
    if job.gen_text ~= '0' then
      call('ZADD', P .. 'forget', clock_ms(), id .. '/' .. (job.gen_text - 1))
    end
    if job.str == 'r' then
      call('ZREM', P .. 'retry', id)
    elseif job.ent then
      local key = stream(job.q, job.str)
      local list = entries[key] or {}
      list[#list + 1] = job.ent
      entries[key] = list
    end
    if job.b then
      local batch = P .. 'batch:' .. job.b
      live[batch] = live[batch] or {}
      table.insert(live[batch], id)
      if job.gen_text ~= '0' then call('SREM', batch .. ':again', id) end
    end
    ids[i] = id
    keys[#keys + 1] = P .. 'job:' .. id
    keys[#keys + 1] = P .. 'body:' .. id
    if job.parked then keys[#keys + 1] = P .. 'parked:' .. id end
    bytes = bytes + job.sz_text
    if job.cxl and job.own then call('SREM', P .. 'abort:' .. job.own, id) end
    say(id, job.last_ver, job.last_st)
  end
  local tomb = tombs(0)
  call('HSET', tomb, unpack(marks))
  -- The tick removes it sooner, without making others wait.
  call('EXPIRE', tomb, '180000', 'NX')
  for key, list in pairs(entries) do
    call('XACK', key, 'w', unpack(list))
    call('XDEL', key, unpack(list))
  end
  for batch, list in pairs(live) do
    call('ZREM', batch .. ':live', unpack(list))
  end
  call('UNLINK', unpack(keys))
  call('ZREM', P .. 'ids', unpack(ids))
  call('ZREM', P .. 'due', unpack(ids))
  call('DECRBY', P .. 'bytes', digits(bytes))
end

-- A finish or bury that was sent twice finds the tombstone of its own
-- generation (or of a later one) instead of the job.
local function departed(id, gen)
  local tomb = call('HGET', tombs(0), id) or call('HGET', tombs(1), id)
  return tomb and
    tonumber(string.match(tomb, '^%d+') or -1) >= tonumber(gen)
end

-- Dead letters of one cause: count, first, last, a sample, its model, its
-- error, separated by line ends (which none of them contains).
local function group_read(fp)
  local g = call('HGET', P .. 'deadgroup', fp)
  if not g then return nil end
  local count, first, last, sample, model, err =
    string.match(g, '^(%d+)\n(%d+)\n(%d+)\n([^\n]*)\n([^\n]*)\n(.*)$')
  return { count = tonumber(count or 0), first = first or '0',
    last = last or '0', sample = sample or '', model = model or '',
    err = err or '' }
end

local function group_write(fp, g)
  call('HSET', P .. 'deadgroup', fp, g.count .. '\n' .. g.first .. '\n' ..
    g.last .. '\n' .. g.sample .. '\n' .. g.model .. '\n' .. g.err)
end

-- Removes the dead letter of (id, gen; nil: any). Its fields, or nil when
-- there is none: somebody else was first.
local function undead(id, gen)
  local at = call('HGET', P .. 'deadidx', id)
  if not at then return nil end
  local ent, its = string.match(at, '^(%S+) (%d+)$')
  if gen and its ~= gen then return nil end
  local row = call('XRANGE', P .. 'dead', ent, ent)[1]
  local f = {}
  for i = 1, row and #row[2] or 0, 2 do f[row[2][i]] = row[2][i + 1] end
  local g = f.f and group_read(f.f)
  if g and g.count > 1 then
    g.count = g.count - 1
    if g.sample == id then g.sample = '' end
    group_write(f.f, g)
  elseif g then
    call('HDEL', P .. 'deadgroup', f.f)
  end
  call('HDEL', P .. 'deadidx', id)
  call('XDEL', P .. 'dead', ent)
  return f
end
