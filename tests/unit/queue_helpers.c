#include "queue_helpers.h"

#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"

struct got got;
const struct queue_limits no_limits = {0, 0};

void
got_reset(void)
{
    memset(&got, 0, sizeof(got));
}

enum queue_status
got_wait(struct fixture *f)
{
    fixture_wait(f, &got.done);
    return got.status;
}

static void
done(enum queue_status status)
{
    assert_false(got.done); /* exactly once */
    got.status = status;
    got.done = true;
}

void
on_status(void *arg, enum queue_status status)
{
    (void)arg;
    done(status);
}

void
make_meta(struct job_meta *meta)
{
    memset(meta, 0, sizeof(*meta));
    memcpy(meta->model, "claude-x", 9);
    memcpy(meta->bucket, "x", 2);
    memcpy(meta->tenant, "default", 8);
    meta->lane = JOB_LANE_STANDARD;
    meta->created_ms = 1795189757000;
    meta->expires_ms = meta->created_ms + 3600000;
    meta->timeout_ms = 600000;
    meta->max_attempts = 8;
    meta->max_tokens = 100;
    meta->body_bytes = 4;
    meta->stored_bytes = 4;
    memset(meta->sha256, 'a', 64);
}

/* --- submit ------------------------------------------------------------ */

static void
on_enqueued(void *arg, const struct queue_enqueued *result)
{
    (void)arg;
    got.enqueued = *result;
    done(result->status);
}

enum queue_status
do_enqueue(struct fixture *f, const char *id, const struct job_meta *meta,
    const struct queue_limits *limits)
{
    return ASK(f,
        queue_enqueue(f->queue, id, meta, slice_of("body"),
            meta->expires_ms - meta->created_ms, limits, on_enqueued, NULL));
}

void
do_submit(struct fixture *f, char id[ID_SIZE])
{
    struct job_meta meta;

    make_meta(&meta);
    id_make(JOB_ID_PREFIX, id);
    assert_int_equal(do_enqueue(f, id, &meta, &no_limits), QUEUE_OK);
}

/* --- work -------------------------------------------------------------- */

static void
on_claims(void *arg, enum queue_status status, struct queue_claim *claims,
    size_t count)
{
    (void)arg;
    got.count = count;
    for (size_t i = 0; i < count; i++) {
        got.claims[i] = claims[i];
        if (i == 0)
            (void)text_copy(got.body, sizeof(got.body), claims[i].body);
        memset(&got.claims[i].body, 0, sizeof(got.claims[i].body));
        got.claims[i].meta.beta = NULL; /* stays with the queue */
        got.claims[i].meta.recipe = NULL;
        got.claims[i].meta.idempotency_key = NULL;
    }
    done(status);
}

size_t
do_claim(struct fixture *f, const char *consumer, const char *queue,
    unsigned count, bool suspect_ok)
{
    (void)ASK(f,
        queue_claim(f->queue, consumer, queue, count, suspect_ok, NULL,
            on_claims, NULL));
    return got.count;
}

struct queue_owner
do_own(
    struct fixture *f, const char *consumer, const char *queue, const char *id)
{
    struct queue_owner owner = {id, consumer, 0};

    assert_int_equal(do_claim(f, consumer, queue, 1, true), 1);
    assert_string_equal(got.claims[0].id, id);
    owner.fence = got.claims[0].fence;
    return owner;
}

static void
make_result(struct job_result *result, const struct queue_owner *owner,
    enum job_state state)
{
    memset(result, 0, sizeof(*result));
    (void)text_copy(result->id, sizeof(result->id), slice_of(owner->id));
    result->state = state;
    result->version = 50;
    result->attempts = 3;
    memcpy(result->model, "claude-x", 9);
    make_meta(&result->meta);
}

enum queue_status
do_finish(
    struct fixture *f, const struct queue_owner *owner, enum job_state state)
{
    struct job_result result;

    make_result(&result, owner, state);
    return ASK(f, queue_finish(f->queue, owner, &result, on_status, NULL));
}

static void
make_error(struct job_error *error, const char *message)
{
    memset(error, 0, sizeof(*error));
    memcpy(error->class_name, "bad_request", 12);
    memcpy(error->type, "invalid_request_error", 22);
    error->status = 400;
    error->at_ms = 1795189757000;
    (void)text_copy(error->message, sizeof(error->message), slice_of(message));
}

enum queue_status
do_bury(struct fixture *f, const struct queue_owner *owner, unsigned generation,
    const char *message)
{
    struct job_result result;

    make_result(&result, owner, JOB_FAILED);
    result.generation = generation;
    result.dead = true;
    make_error(&result.error, message);
    return ASK(f, queue_bury(f->queue, owner, &result, on_status, NULL));
}

enum queue_status
do_retry(struct fixture *f, const struct queue_owner *owner, int64_t delay_ms,
    unsigned attempts)
{
    struct job_error error;

    make_error(&error, "later");
    return ASK(f,
        queue_retry(
            f->queue, owner, delay_ms, attempts, &error, on_status, NULL));
}

enum queue_status
do_release(struct fixture *f, const struct queue_owner *owner)
{
    return ASK(f, queue_release(f->queue, owner, on_status, NULL));
}

/* --- lease ------------------------------------------------------------- */

static void
on_beats(void *arg, enum queue_status status, const struct queue_beats *beats)
{
    const char *about = arg;

    got.count = beats->count;
    for (size_t i = 0; i < beats->count; i++)
        if (slice_equal_text(beats->beat[i].consumer, about)) {
            got.beats = beats->beat[i].beats;
            got.gone = beats->beat[i].gone;
        }
    got.moved = (unsigned)beats->abort_count;
    if (beats->abort_count > 0)
        (void)text_copy(got.text, sizeof(got.text), beats->aborts[0]);
    done(status);
}

enum queue_status
do_beat(struct fixture *f, const char *consumer, const char *about)
{
    char name[64];

    (void)text_copy(name, sizeof(name), slice_of(about));
    return ASK(f, queue_beat(f->queue, consumer, on_beats, name));
}

static void
on_reaped(void *arg, enum queue_status status, unsigned moved, bool left)
{
    (void)arg;
    got.moved = moved;
    got.left = left;
    done(status);
}

enum queue_status
do_reap(struct fixture *f, const char *consumer, uint64_t beats)
{
    return ASK(f, queue_reap(f->queue, consumer, beats, on_reaped, NULL));
}

void
die_and_reap(struct fixture *f, const char *consumer)
{
    uint64_t beats = 0;

    assert_int_equal(do_beat(f, "reaper", consumer), QUEUE_OK);
    beats = got.beats;
    do
        assert_int_equal(do_reap(f, consumer, beats), QUEUE_OK);
    while (got.left);
}

static void
on_tick(void *arg, enum queue_status status, const struct queue_tick *tick)
{
    (void)arg;
    got.moved = tick->promoted;
    got.more = tick->more;
    got.count = tick->hold_count;
    for (size_t i = 0; i < tick->hold_count && i < 8; i++)
        got.holds[i] = tick->holds[i];
    for (size_t i = 0; i < tick->queue_count; i++) {
        (void)text_copy(got.text + strlen(got.text),
            sizeof(got.text) - strlen(got.text), tick->queues[i]);
        (void)text_copy(got.text + strlen(got.text),
            sizeof(got.text) - strlen(got.text), slice_of(";"));
    }
    done(status);
}

enum queue_status
do_tick(struct fixture *f)
{
    return ASK(f, queue_tick(f->queue, on_tick, NULL));
}

/* --- read and steer ---------------------------------------------------- */

static void
on_cancel(void *arg, enum queue_status status, uint64_t version)
{
    (void)arg;
    got.version = version;
    done(status);
}

enum queue_status
do_cancel(struct fixture *f, const char *id)
{
    return ASK(f, queue_cancel(f->queue, id, on_cancel, NULL));
}

static void
on_job(void *arg, enum queue_status status, const struct job_view *view)
{
    (void)arg;
    if (view != NULL) {
        assert_string_equal(view->meta->model, "claude-x");
        got.view = *view;
        got.view.meta = NULL;
    }
    done(status);
}

enum queue_status
do_get(struct fixture *f, const char *id)
{
    return ASK(f, queue_get(f->queue, id, on_job, NULL));
}

/* --- dead letters ------------------------------------------------------ */

enum queue_status
do_replay(struct fixture *f, const char *id, unsigned generation)
{
    struct queue_owner owner = {id, "", 0};
    struct job_result result;

    make_result(&result, &owner, JOB_FAILED);
    result.generation = generation;
    return ASK(
        f, queue_replay(f->queue, &result, slice_of("body"), on_cancel, NULL));
}

static void
on_dead(void *arg, enum queue_status status, const struct queue_dead *dead,
    size_t count)
{
    (void)arg;
    got.count = count;
    for (size_t i = 0; i < count && i < 8; i++)
        got.dead[i] = dead[i];
    done(status);
}

enum queue_status
do_dead_list(struct fixture *f)
{
    return ASK(f, queue_dead_list(f->queue, NULL, NULL, 100, on_dead, NULL));
}

static void
on_groups(void *arg, enum queue_status status,
    const struct queue_dead_group *groups, size_t count)
{
    (void)arg;
    got.count = count;
    for (size_t i = 0; i < count && i < 8; i++)
        got.groups[i] = groups[i];
    done(status);
}

enum queue_status
do_groups(struct fixture *f)
{
    return ASK(f, queue_dead_groups(f->queue, on_groups, NULL));
}

static void
on_chores(void *arg, enum queue_status status, const struct queue_chore *chores,
    size_t count)
{
    (void)arg;
    got.count = count;
    for (size_t i = 0; i < count && i < 8; i++)
        got.chores[i] = chores[i];
    done(status);
}

enum queue_status
do_chores(struct fixture *f)
{
    return ASK(f, queue_chores_get(f->queue, 8, on_chores, NULL));
}

static void
on_stats(void *arg, enum queue_status status, const struct queue_stats *stats)
{
    (void)arg;
    got.stats = *stats;
    if (stats->queue_count > 0)
        got.numbers = stats->queues[0];
    got.stats.queues = NULL;
    got.stats.holds = NULL;
    got.numbers.name = SLICE_NULL;
    done(status);
}

enum queue_status
do_stats(struct fixture *f)
{
    return ASK(f, queue_stats_get(f->queue, on_stats, NULL));
}

/* --- tombstones -------------------------------------------------------- */

long long
tomb_day(void)
{
    return clock_wall_ms() / 86400000;
}

const char *
tombstone(struct fixture *f, const char *id)
{
    return fixture_do(f, "HGET {}tomb:%lld %s", tomb_day(), id);
}

/* --- the auditor ------------------------------------------------------- */

static const char audit_script[] =
    "local P, strict = KEYS[1], ARGV[1] == '1'\n"
    "local call, bad = redis.call, {}\n"
    "local function say(m) bad[#bad + 1] = m end\n"
    "local place, bytes, jobs = {}, 0, {}\n"
    "local apart = 0\n"
    "local function stream(q, s)\n"
    "  if s == 'c' then return P .. 'q:closing' end\n"
    "  local tail = ({a = ':again', s = ':suspect', n = ''})[s]\n"
    "  return P .. 'q:' .. q .. tail\n"
    "end\n"
    "for _, id in ipairs(call('ZRANGE', P .. 'ids', 0, -1)) do\n"
    "  local f = call('HMGET', P .. 'job:' .. id, 'st', 'sz', 'str', 'ent',\n"
    "    'own', 'q', 'cxl', 'parked', 'dl')\n"
    "  if not f[1] then say('id without a job: ' .. id) else\n"
    "    jobs[id] = f\n"
    "    bytes = bytes + f[2]\n"
    "    if f[3] == 'r' then\n"
    "      if f[5] then say('owned while it waits: ' .. id) end\n"
    "      if not call('ZSCORE', P .. 'retry', id) then\n"
    "        say('nowhere (retry): ' .. id) end\n"
    "    else\n"
    "      local key = stream(f[6], f[3])\n"
    "      place[key .. ' ' .. f[4]] = id\n"
    "      local e = call('XRANGE', key, f[4], f[4])[1]\n"
    "      if not e or e[2][2] ~= id then say('nowhere: ' .. id) end\n"
    "      local p = redis.pcall('XPENDING', key, 'w', f[4], f[4], 1)\n"
    "      local owner = not p.err and p[1] and p[1][2] or false\n"
    "      if owner ~= f[5] then say('wrong owner: ' .. id) end\n"
    "      if f[1] == 'running' and not f[5] and not f[8] then\n"
    "        say('runs without owner: ' .. id) end\n"
    "    end\n"
    "    if f[5] and call('HEXISTS', P .. 'beat', f[5]) == 0 then\n"
    "      say('owner has no beat: ' .. id) end\n"
    "  end\n"
    "end\n"
    "for _, key in ipairs(call('KEYS', P .. 'job:*')) do\n"
    "  local id = string.sub(key, #P + 5)\n"
    "  local f = call('HMGET', key, 'str', '', 'sz')\n"
    "  if f[1] == 'b' then\n"
    "    apart = apart + 1 bytes = bytes + f[3]\n"
    "    if jobs[id] then say('in ids too early: ' .. id) end\n"
    "    jobs[id] = jobs[id] or {false, f[3], 'b'}\n"
    "  elseif not jobs[id] then say('job without id: ' .. id) end\n"
    "end\n"
    "for _, key in ipairs(call('KEYS', P .. 'q:*')) do\n"
    "  for _, e in ipairs(call('XRANGE', key, '-', '+')) do\n"
    "    if not place[key .. ' ' .. e[1]] then say('stray in ' .. key) end\n"
    "  end\n"
    "  local p = redis.pcall('XPENDING', key, 'w', '-', '+', 100000)\n"
    "  for _, e in ipairs(p.err and {} or p) do\n"
    "    if not place[key .. ' ' .. e[1]] then say('pending ghost') end\n"
    "  end\n"
    "end\n"
    "for _, id in ipairs(call('ZRANGE', P .. 'retry', 0, -1)) do\n"
    "  if not jobs[id] or jobs[id][3] ~= 'r' then say('stray retry') end\n"
    "end\n"
    "for _, id in ipairs(call('ZRANGE', P .. 'due', 0, -1)) do\n"
    "  if not jobs[id] or jobs[id][3] == 'b' then say('stray deadline') end\n"
    "end\n"
    "for _, key in ipairs(call('KEYS', P .. 'abort:*')) do\n"
    "  for _, id in ipairs(call('SMEMBERS', key)) do\n"
    "    if not jobs[id] or not jobs[id][7] or\n"
    "        P .. 'abort:' .. tostring(jobs[id][5]) ~= key then\n"
    "      say('stray abort') end\n"
    "  end\n"
    "end\n"
    "for _, kind in ipairs({'parked:', 'body:'}) do\n"
    "  for _, key in ipairs(call('KEYS', P .. kind .. '*')) do\n"
    "    local id = string.sub(key, #P + #kind + 1)\n"
    "    if not jobs[id] and not call('ZSCORE', P .. 'staging', id) then\n"
    "      say('orphan ' .. key) end\n"
    "  end\n"
    "end\n"
    "if bytes ~= tonumber(call('GET', P .. 'bytes') or 0) then\n"
    "  say('bytes') end\n"
    "local letters, grouped = call('XLEN', P .. 'dead'), 0\n"
    "for _, g in ipairs(call('HVALS', P .. 'deadgroup')) do\n"
    "  grouped = grouped + string.match(g, '^%d+') end\n"
    "if letters ~= call('HLEN', P .. 'deadidx') or letters ~= grouped then\n"
    "  say('dead letters: ' .. letters .. ' ' .. grouped) end\n"
    "if strict then\n"
    "  for _, name in ipairs({'ids', 'due', 'retry', 'staging'}) do\n"
    "    if call('EXISTS', P .. name) == 1 then say('left: ' .. name) end\n"
    "  end\n"
    "  if apart > 0 then say('left: items') end\n"
    "  for _, kind in ipairs({'job:*', 'body:*', 'parked:*', 'abort:*'}) do\n"
    "    if #call('KEYS', P .. kind) > 0 then say('left: ' .. kind) end\n"
    "  end\n"
    "end\n"
    "return bad[1] or ''\n";

/* Batches: hidden or listed, complete, and their sets name what is true. */
static const char audit_bulk_script[] =
    "local P, call, bad = KEYS[1], redis.call, {}\n"
    "local function say(m) bad[#bad + 1] = m end\n"
    "local items, apart = {}, 0\n"
    "for _, key in ipairs(call('KEYS', P .. 'job:*')) do\n"
    "  local f = call('HMGET', key, 'str', 'b')\n"
    "  if f[1] == 'b' then\n"
    "    items[f[2]] = (items[f[2]] or 0) + 1\n"
    "    apart = apart + 1\n"
    "  end\n"
    "end\n"
    "if apart ~= tonumber(call('GET', P .. 'unpromoted') or 0) then\n"
    "  say('unpromoted') end\n"
    "for _, key in ipairs(call('KEYS', P .. 'batch:*')) do\n"
    "  local uuid = string.match(key, '^lh:{0}:batch:(%x[%x-]+)')\n"
    "  local tail = string.sub(key, #P + 7 + #uuid)\n"
    "  local batch = P .. 'batch:' .. uuid\n"
    "  local f = call('HMGET', batch, 'st', 'n', 'pro')\n"
    "  local hidden = f[1] == 'staging' or f[1] == 'dropping'\n"
    "  if tail == '' then\n"
    "    local set = hidden and 'batches:staging' or 'batches'\n"
    "    if not call('ZSCORE', P .. set, uuid) then say('lost ' .. key) end\n"
    "    local len = call('LLEN', batch .. ':ids')\n"
    "    if not hidden and len ~= tonumber(f[2]) then say('items') end\n"
    "    if hidden and len ~= (items[uuid] or 0) then say('staged') end\n"
    "    if (f[1] == 'open' or f[1] == 'canceling') and items[uuid] and not\n"
    "        call('ZSCORE', P .. 'batches:work', uuid) then\n"
    "      say('forgotten ' .. key) end\n"
    "  elseif tail == ':live' or tail == ':again' then\n"
    "    local all = tail == ':live' and call('ZRANGE', key, 0, -1) or\n"
    "      call('SMEMBERS', key)\n"
    "    for _, id in ipairs(all) do\n"
    "      local j = call('HMGET', P .. 'job:' .. id, 'st', 'b')\n"
    "      local as = call('ZSCORE', batch .. ':live', id) or '0'\n"
    "      local want = ({running = '1', retrying = '2'})[j[1]] or '0'\n"
    "      if j[2] ~= uuid or as ~= want then say('stray in ' .. key) end\n"
    "    end\n"
    "  elseif not f[1] then say('orphan ' .. key) end\n"
    "end\n"
    "return bad[1] or ''\n";

static void
run_audit(struct fixture *f, const char *script, const char *strict)
{
    redisReply *reply =
        redisCommand(f->raw, "EVAL %s 1 lh:{0}: %s", script, strict);

    assert_non_null(reply);
    if (reply->type != REDIS_REPLY_STRING || reply->len > 0)
        fail_msg("audit: %s", reply->str);
    freeReplyObject(reply);
}

void
audit(struct fixture *f)
{
    run_audit(f, audit_script, "0");
    run_audit(f, audit_bulk_script, "0");
}

void
audit_empty(struct fixture *f)
{
    run_audit(f, audit_script, "1");
    run_audit(f, audit_bulk_script, "1");
}
