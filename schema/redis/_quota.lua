-- Put behind the prelude of scripts that say "uses: prelude quota": the token
-- buckets of one pool and model bucket, shared by all workers.
--
-- quota:<scope> is a hash. For each kind (r requests, i input tokens, o output
-- tokens): m<kind> per minute (absent or 0: no limit known), l<kind> what may
-- be used. at: when it was so. burst: how many ms of refill fit. ramp and
-- ramp_ms: since when, and for how long, the pace grows back from a quarter.
-- For each queue that has to wait: w:<queue> since when it asked last,
-- n:<queue> what its next job needs; and p:<queue> its turn.
--
-- A bucket goes negative when a job used more than was reserved for it. A job
-- that needs more than two thirds of what fits starts when these are there:
-- the last third is for what refills until somebody asks.
local KINDS = { 'r', 'i', 'o' }
local WEIGHTS = { interactive = 16, standard = 4, bulk = 1 }
local WANT_MS = 1000 -- a queue that has not asked for so long does not wait
local IDLE_MS = 60000 -- after so long the pace begins low
local IDLE_RAMP_MS = 5000

local function quota_pace(f, now)
  local since, ms = tonumber(f.ramp or 0), tonumber(f.ramp_ms or 0)
  if ms == 0 or now < since or now >= since + ms then return 1 end
  return 0.25 + 0.75 * (now - since) / ms
end

local function weight(queue)
  return WEIGHTS[string.match(queue, '^%a+')] or 1
end

-- Whether a queue that asked then waits; also when the clock was set back.
local function quota_waits(asked, now)
  local ms = now - tonumber(asked or 0)
  return ms >= 0 and ms < WANT_MS
end

-- The queue's turn: who was away gets no turns for that time.
local function quota_turn(q, queue)
  local turn = tonumber(q.f['p:' .. queue] or 0)
  if quota_waits(q.f['w:' .. queue], q.now) then return turn end
  return math.max(turn, tonumber(q.f.turn or 0))
end

-- The buckets as they are now; `limited` when a limit is known.
local function quota_load(scope, queue, now)
  local list = call('HGETALL', P .. 'quota:' .. scope)
  local f = {}
  for i = 1, #list, 2 do f[list[i]] = list[i + 1] end
  local q = { key = P .. 'quota:' .. scope, queue = queue, now = now, f = f,
    level = {}, rate = {}, cap = {}, others = {}, save = {} }
  local at = tonumber(f.at or now)
  if now - at > IDLE_MS then
    f.ramp, f.ramp_ms = digits(now), digits(IDLE_RAMP_MS)
    q.save = { 'ramp', f.ramp, 'ramp_ms', f.ramp_ms }
  end
  -- A clock that jumps back refills nothing, one that jumps ahead a burst.
  local pace, elapsed = quota_pace(f, now), math.max(0, now - at)
  for _, kind in ipairs(KINDS) do
    local per_ms = tonumber(f['m' .. kind] or 0) / 60000
    if per_ms > 0 then
      q.limited = true
      q.rate[kind] = per_ms * pace
      q.cap[kind] = math.max(1, per_ms * tonumber(f.burst or 600))
      q.level[kind] = math.min(q.cap[kind], elapsed * q.rate[kind] +
        tonumber(f['l' .. kind] or q.cap[kind]))
    end
  end
  for name, when in pairs(f) do
    local other = string.match(name, '^w:(.*)$')
    if other and other ~= queue and quota_waits(when, now) then
      q.others[#q.others + 1] = other
    end
  end
  q.turn = queue and quota_turn(q, queue)
  return q
end

local function quota_save(q)
  local words = q.save
  local function add(name, value)
    words[#words + 1] = name
    words[#words + 1] = value
  end
  add('at', digits(q.now))
  for kind, level in pairs(q.level) do
    add('l' .. kind, string.format('%.3f', level))
  end
  call('HSET', q.key, unpack(words))
end

-- What must be there before a job starts that needs this of a kind.
local function quota_wanted(q, kind, amount)
  return math.min(amount, math.max(1, q.cap[kind] * 2 / 3))
end

-- What a queue that waits was found to need; nil when it does not wait.
local function quota_known_need(q, queue)
  local i, o = string.match(q.f['n:' .. queue] or '', '^(%d+) (%d+)$')
  return i and { r = 1, i = tonumber(i), o = tonumber(o) }
end

-- In how many ms there is room for a job that needs this; 0: now.
local function quota_room(q, need)
  local longest = 0
  for kind, level in pairs(q.level) do
    local wanted = quota_wanted(q, kind, need[kind])
    if level < wanted then
      longest = math.max(longest, (wanted - level) / q.rate[kind])
    end
  end
  return math.ceil(longest)
end

-- Whether enough stays for a queue that goes first: what it waits for, and
-- half a bucket. It is slow to ask then, and nobody should be idle for that.
local function quota_spares(q, need, other)
  local its = quota_known_need(q, other) or { r = 1, i = 0, o = 0 }
  for kind, level in pairs(q.level) do
    local stays = math.max(q.cap[kind] / 2, quota_wanted(q, kind, its[kind]))
    if level - need[kind] < stays then return false end
  end
  return true
end

-- Whether a queue that waits goes first. Queues take turns by the weights of
-- their lanes, so that each one moves; at a tie the more urgent is first.
local function quota_is_others_turn(q, need)
  for _, other in ipairs(q.others) do
    local its = tonumber(q.f['p:' .. other] or 0)
    if (its < q.turn or
        (its == q.turn and weight(other) > weight(q.queue))) and
        not quota_spares(q, need, other) then
      return true
    end
  end
  return false
end

-- The ms until a job that needs this may start; 0: now.
local function quota_wait(q, need)
  local wait = quota_room(q, need)
  return wait == 0 and quota_is_others_turn(q, need) and 50 or wait
end

-- 0 and the job's need is reserved, or the ms to wait.
local function quota_take(q, need)
  local wait = quota_wait(q, need)
  if wait > 0 then return wait end
  for kind, level in pairs(q.level) do q.level[kind] = level - need[kind] end
  q.last = q.turn
  q.turn = q.turn + 1 / weight(q.queue)
  return 0
end

-- The end of a claim. need: of the job it could not have, or nil.
local function quota_close(q, need)
  local queue = q.queue
  if need then
    q.save = { 'w:' .. queue, digits(q.now), 'n:' .. queue,
      string.format('%.0f %.0f', need.i, need.o), unpack(q.save) }
  elseif q.f['w:' .. queue] then
    call('HDEL', q.key, 'w:' .. queue, 'n:' .. queue)
  end
  if need or q.last then
    q.save = { 'p:' .. queue, string.format('%.4f', q.turn), unpack(q.save) }
    if q.last then
      q.save = { 'turn', string.format('%.4f', q.last), unpack(q.save) }
    end
    quota_save(q)
  end
end
