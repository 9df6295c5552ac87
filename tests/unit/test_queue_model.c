/*
 * Random histories of several workers, users and operators in a real Redis,
 * compared after every step with a model in memory: what each call answers,
 * which jobs a claim gives and in which order, and what each job's hash says.
 * LONGHAUL_TEST_HISTORIES and LONGHAUL_TEST_SEED make it longer or other.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "queue_helpers.h"

#define JOBS 10
#define CONSUMERS 4
#define STEPS 40
#define HISTORIES 60

enum st { QUEUED, RUNNING, RETRYING };
static const char *const st_names[] = {"queued", "running", "retrying"};

struct model_job {
    char id[ID_SIZE];
    bool exists; /* was ever submitted */
    bool live; /* in flight */
    bool dead; /* a dead letter */
    unsigned generation;
    enum st st;
    char str;
    int own; /* consumer, -1: none */
    uint64_t fence;
    uint64_t version;
    unsigned att, tko, stk;
    bool cxl, parked, expired;
    bool in_due; /* the tick will look at its deadline */
    bool retry_due; /* ... at its retry */
    unsigned entry; /* order within its stream */
    /* An earlier claim, for calls that come too late. */
    int old_own;
    uint64_t old_fence;
};

struct model_consumer {
    char name[16];
    bool known; /* to this process */
    bool present; /* in Redis */
    bool gone;
    uint64_t beats;
};

struct model {
    struct fixture *f;
    uint64_t random;
    struct model_job jobs[JOBS];
    unsigned job_count;
    struct model_consumer consumers[CONSUMERS];
    unsigned entries;
    char log[STEPS * 64 + 64];
};

static struct fixture *f;

static unsigned
roll(struct model *m, unsigned below)
{
    m->random ^= m->random << 13;
    m->random ^= m->random >> 7;
    m->random ^= m->random << 17;
    return (unsigned)((m->random >> 11) % below);
}

static void
note(struct model *m, const char *what, int a, int b)
{
    size_t len = strlen(m->log);

    snprintf(m->log + len, sizeof(m->log) - len, "%s %d %d; ", what, a, b);
}

#define EXPECT(m, got_value, wanted) \
    do { \
        long long got_ = (long long)(got_value); \
        long long wanted_ = (long long)(wanted); \
        if (got_ != wanted_) \
            fail_msg("%s: got %lld, wanted %lld after: %s", #got_value, got_, \
                wanted_, (m)->log); \
    } while (0)

/* --- the rules, once more and shorter ---------------------------------- */

static char
place(const struct model_job *job)
{
    if (job->cxl || job->parked || job->expired || job->stk >= 3)
        return 'c';
    return job->tko >= 2 ? 's' : 'a';
}

static void
line_up(struct model *m, struct model_job *job, char str)
{
    job->str = str;
    job->entry = ++m->entries;
    job->retry_due = false;
}

static void
disown(struct model_job *job)
{
    job->old_own = job->own;
    job->old_fence = job->fence;
    job->own = -1;
}

/* The first entry of a stream that is owned by `own` (-1: waiting). */
static struct model_job *
first(struct model *m, char str, int own)
{
    struct model_job *best = NULL;

    for (unsigned i = 0; i < m->job_count; i++) {
        struct model_job *job = &m->jobs[i];
        if (job->live && job->str == str && job->own == own &&
            (best == NULL || job->entry < best->entry))
            best = job;
    }
    return best;
}

static enum queue_claim_kind
kind(const struct model_job *job)
{
    if (job->parked)
        return QUEUE_CLAIM_PARKED;
    if (job->cxl)
        return QUEUE_CLAIM_CANCEL;
    if (job->expired)
        return QUEUE_CLAIM_EXPIRE;
    return job->stk >= 3 ? QUEUE_CLAIM_CRASH : QUEUE_CLAIM_RUN;
}

static enum st
back(const struct model_job *job)
{
    return job->att > 0 ? RETRYING : QUEUED;
}

/* --- steps ------------------------------------------------------------- */

static void
step_submit(struct model *m)
{
    struct model_job *job = NULL;
    struct job_meta meta;
    bool again = m->job_count == JOBS || (m->job_count > 0 && roll(m, 4) == 0);

    make_meta(&meta);
    if (again) {
        job = &m->jobs[roll(m, m->job_count)];
        note(m, "resubmit", (int)(job - m->jobs), 0);
        EXPECT(
            m, do_enqueue(m->f, job->id, &meta, &no_limits), QUEUE_DUPLICATE);
        EXPECT(m, got.enqueued.finished, !job->live);
        return;
    }
    job = &m->jobs[m->job_count++];
    id_make(JOB_ID_PREFIX, job->id);
    note(m, "submit", (int)(job - m->jobs), 0);
    EXPECT(m, do_enqueue(m->f, job->id, &meta, &no_limits), QUEUE_OK);
    job->exists = job->live = true;
    job->own = job->old_own = -1;
    line_up(m, job, 'n');
}

static void
check_claim(struct model *m, size_t i, int c, char str)
{
    struct model_job *job = first(m, str, -1);
    const struct queue_claim *claim = &got.claims[i];

    if (job == NULL)
        fail_msg("claimed too much after: %s", m->log);
    if (strcmp(claim->id, job->id) != 0)
        fail_msg("claimed another job after: %s", m->log);
    EXPECT(m, claim->kind, kind(job));
    EXPECT(m, claim->generation, job->generation);
    EXPECT(m, claim->attempts, job->att);
    EXPECT(m, claim->takeovers, job->tko);
    EXPECT(m, claim->strikes, job->stk);
    EXPECT(m, claim->suspect, str == 's');
    EXPECT(m, claim->first, job->fence == 0);
    if (claim->fence <= job->fence || claim->version <= job->version)
        fail_msg("fence or version went back after: %s", m->log);
    job->own = c;
    job->fence = claim->fence;
    if (claim->kind == QUEUE_CLAIM_RUN)
        job->st = RUNNING;
}

static void
step_claim(struct model *m, int c)
{
    struct model_consumer *consumer = &m->consumers[c];
    bool closing = roll(m, 4) == 0;
    bool suspect_ok = roll(m, 2) == 0;
    size_t count = 1 + roll(m, 3);
    size_t i = 0;
    bool refused = consumer->gone || (!consumer->present && consumer->known);

    note(m, closing ? "close" : "claim", c, (int)count);
    (void)do_claim(m->f, consumer->name, closing ? "closing" : QUEUE_X,
        (unsigned)count, suspect_ok);
    EXPECT(m, got.status, refused ? QUEUE_NOT_OWNER : QUEUE_OK);
    if (refused)
        return;
    consumer->present = consumer->known = true;
    if (closing) {
        while (i < got.count)
            check_claim(m, i++, c, 'c');
        EXPECT(m, i == count || first(m, 'c', -1) == NULL, true);
        return;
    }
    if (suspect_ok && first(m, 's', -1) != NULL)
        check_claim(m, i++, c, 's');
    while (i < got.count && first(m, 'a', -1) != NULL)
        check_claim(m, i++, c, 'a');
    while (i < got.count)
        check_claim(m, i++, c, 'n');
    EXPECT(m,
        i == count || (first(m, 'a', -1) == NULL && first(m, 'n', -1) == NULL),
        true);
}

/* A claim to work with: most often a true one, at times a stale one. */
static bool
pick_owner(struct model *m, struct queue_owner *owner,
    struct model_job **picked, bool *holds)
{
    struct model_job *job = NULL;
    int c = -1;

    if (m->job_count == 0)
        return false;
    for (int tries = 0; tries < 8; tries++) {
        job = &m->jobs[roll(m, m->job_count)];
        if (job->live && job->own >= 0)
            break;
    }
    *picked = job;
    c = job->own;
    owner->fence = job->fence;
    if (c < 0 || roll(m, 6) == 0) {
        c = job->old_own;
        owner->fence = job->old_fence;
    }
    if (c < 0)
        return false;
    owner->id = job->id;
    owner->consumer = m->consumers[c].name;
    *holds = job->live && job->own == c && job->fence == owner->fence;
    return true;
}

static void
leave_redis(struct model_job *job)
{
    job->live = false;
    disown(job);
    job->in_due = job->retry_due = false;
}

static void
step_end(struct model *m, bool bury)
{
    struct queue_owner owner;
    struct model_job *job = NULL;
    struct job_result result = {.state = JOB_SUCCEEDED, .version = 90};
    enum queue_status wanted = QUEUE_NOT_OWNER;
    bool holds = false;

    if (!pick_owner(m, &owner, &job, &holds))
        return;
    note(m, bury ? "bury" : "finish", (int)(job - m->jobs), holds);
    memcpy(result.model, "claude-x", 9);
    make_meta(&result.meta);
    result.generation = job->generation;
    if (holds || !job->live)
        wanted = QUEUE_OK; /* done, or the tombstone says so */
    if (bury) {
        result.state = JOB_FAILED;
        EXPECT(m,
            ASK(m->f,
                queue_bury(m->f->queue, &owner, &result, on_status, NULL)),
            wanted);
    } else {
        EXPECT(m,
            ASK(m->f,
                queue_finish(m->f->queue, &owner, &result, on_status, NULL)),
            wanted);
    }
    if (holds) {
        leave_redis(job);
        job->dead = bury;
    }
}

static void
step_give_back(struct model *m, bool retry)
{
    struct queue_owner owner;
    struct model_job *job = NULL;
    bool holds = false;
    bool wait = roll(m, 2) == 0;

    if (!pick_owner(m, &owner, &job, &holds))
        return;
    note(m, retry ? "retry" : "release", (int)(job - m->jobs), wait);
    EXPECT(m,
        retry ? do_retry(m->f, &owner, wait ? 60000 : 0, job->att + 1)
              : do_release(m->f, &owner),
        holds ? QUEUE_OK : QUEUE_NOT_OWNER);
    if (!holds)
        return;
    disown(job);
    if (retry) {
        job->att++;
        job->st = RETRYING;
    } else {
        job->st = back(job);
    }
    if (retry && wait && place(job) != 'c')
        job->str = 'r';
    else
        line_up(m, job, place(job));
}

static void
step_park(struct model *m)
{
    struct queue_owner owner;
    struct model_job *job = NULL;
    bool holds = false;

    if (!pick_owner(m, &owner, &job, &holds))
        return;
    note(m, "park", (int)(job - m->jobs), holds);
    EXPECT(m,
        ASK(m->f,
            queue_park(
                m->f->queue, &owner, slice_of("answer"), on_status, NULL)),
        holds ? QUEUE_OK : QUEUE_NOT_OWNER);
    if (holds)
        job->parked = true;
}

static void
step_cancel(struct model *m, struct model_job *job)
{
    note(m, "cancel", (int)(job - m->jobs), 0);
    EXPECT(m, do_cancel(m->f, job->id), job->live ? QUEUE_OK : QUEUE_ABSENT);
    if (!job->live || job->cxl)
        return;
    job->cxl = true;
    if (job->own < 0 && job->str != 'c') {
        line_up(m, job, 'c');
        job->in_due = false;
    }
}

static void
step_pass_time(struct model *m, struct model_job *job)
{
    if (!job->live)
        return;
    note(m, "time", (int)(job - m->jobs), 0);
    if (job->str == 'r' && roll(m, 2) == 0) {
        fixture_do(m->f, "ZADD {}retry 1 %s", job->id);
        job->retry_due = true;
    } else {
        fixture_do(m->f, "HSET {}job:%s dl 1", job->id);
        fixture_do(m->f, "ZADD {}due 1 %s", job->id);
        job->expired = job->in_due = true;
    }
}

static void
step_tick(struct model *m)
{
    unsigned moved = 0;

    note(m, "tick", 0, 0);
    EXPECT(m, do_tick(m->f), QUEUE_OK);
    for (unsigned i = 0; i < m->job_count; i++) {
        struct model_job *job = &m->jobs[i];
        if (job->live && job->retry_due) {
            line_up(m, job, place(job));
            moved++;
        }
    }
    for (unsigned i = 0; i < m->job_count; i++) {
        struct model_job *job = &m->jobs[i];
        if (job->live && job->in_due && job->own < 0 && job->str != 'c') {
            line_up(m, job, 'c');
            moved++;
        }
        job->in_due = false;
    }
    EXPECT(m, got.moved, moved);
}

static void
step_beat(struct model *m, int c)
{
    struct model_consumer *consumer = &m->consumers[c];
    bool refused = consumer->gone || (!consumer->present && consumer->known);

    note(m, "beat", c, 0);
    EXPECT(m, do_beat(m->f, consumer->name, consumer->name),
        refused ? QUEUE_NOT_OWNER : QUEUE_OK);
    if (refused)
        return;
    consumer->present = consumer->known = true;
    consumer->beats++;
    EXPECT(m, got.beats, consumer->beats);
}

static void
step_leave(struct model *m, int c)
{
    struct model_consumer *consumer = &m->consumers[c];

    note(m, "leave", c, 0);
    EXPECT(m,
        ASK(m->f, queue_leave(m->f->queue, consumer->name, on_status, NULL)),
        QUEUE_OK);
    consumer->gone = consumer->gone || consumer->present;
}

static unsigned
take_over(struct model *m, int c, bool gone)
{
    unsigned moved = 0;
    unsigned upto = m->entries;

    for (const char *str = "cnas"; *str != '\0'; str++) {
        struct model_job *job = NULL;
        while ((job = first(m, *str, c)) != NULL && job->entry <= upto) {
            if (!gone && *str == 's' && !job->parked)
                job->stk++;
            if (!gone && *str != 'c' && !job->parked)
                job->tko++;
            if (job->st == RUNNING && !job->parked)
                job->st = back(job);
            disown(job);
            line_up(m, job, place(job));
            moved++;
        }
    }
    return moved;
}

static void
step_reap(struct model *m, int c)
{
    struct model_consumer *consumer = &m->consumers[c];
    bool wrong = roll(m, 3) == 0;
    unsigned moved = 0;

    note(m, "reap", c, wrong);
    if (wrong && consumer->present && !consumer->gone) {
        EXPECT(m, do_reap(m->f, consumer->name, consumer->beats + 1),
            QUEUE_NOT_OWNER);
        return;
    }
    do {
        EXPECT(m, do_reap(m->f, consumer->name, consumer->beats), QUEUE_OK);
        moved += got.moved;
    } while (got.left);
    if (consumer->present) {
        EXPECT(m, moved, take_over(m, c, consumer->gone));
        consumer->present = consumer->gone = false;
        consumer->known = true;
    } else {
        EXPECT(m, moved, 0);
    }
}

static void
step_letter(struct model *m, struct model_job *job)
{
    unsigned what = roll(m, 3);
    bool there = job->dead && !job->live;

    note(m,
        what == 0       ? "replay"
            : what == 1 ? "discard"
                        : "delete",
        (int)(job - m->jobs), there);
    if (what == 0) {
        EXPECT(m, do_replay(m->f, job->id, job->generation),
            there ? QUEUE_OK : QUEUE_ABSENT);
        if (!there)
            return;
        {
            struct model_job fresh = {.exists = true,
                .live = true,
                .own = -1,
                .generation = job->generation + 1,
                .old_own = job->old_own,
                .old_fence = job->old_fence,
                .version = 50};
            memcpy(fresh.id, job->id, sizeof(fresh.id));
            *job = fresh;
        }
        line_up(m, job, 'n');
    } else if (what == 1) {
        EXPECT(m,
            ASK(m->f,
                queue_discard(
                    m->f->queue, job->id, job->generation, on_status, NULL)),
            there ? QUEUE_OK : QUEUE_ABSENT);
        job->dead = false;
    } else {
        EXPECT(m,
            ASK(m->f, queue_delete(m->f->queue, job->id, on_status, NULL)),
            job->live ? QUEUE_CONFLICT : QUEUE_OK);
        job->dead = job->dead && job->live;
    }
}

static void
step(struct model *m)
{
    unsigned what = roll(m, 40);
    int c = (int)roll(m, CONSUMERS);
    struct model_job *job =
        m->job_count > 0 ? &m->jobs[roll(m, m->job_count)] : NULL;

    if (what < 7 || job == NULL)
        step_submit(m);
    else if (what < 16)
        step_claim(m, c);
    else if (what < 18)
        step_end(m, false);
    else if (what < 20)
        step_end(m, true);
    else if (what < 23)
        step_give_back(m, true);
    else if (what < 25)
        step_give_back(m, false);
    else if (what < 26)
        step_park(m);
    else if (what < 28)
        step_cancel(m, job);
    else if (what < 30)
        step_pass_time(m, job);
    else if (what < 32)
        step_tick(m);
    else if (what < 33)
        step_beat(m, c);
    else if (what < 34)
        step_leave(m, c);
    else if (what < 38)
        step_reap(m, c);
    else
        step_letter(m, job);
}

/* --- comparison -------------------------------------------------------- */

static const char dump_script[] =
    "local out = {}\n"
    "for i = 1, #ARGV do\n"
    "  local f = redis.call('HMGET', KEYS[1] .. 'job:' .. ARGV[i], 'st',\n"
    "    'gen', 'att', 'tko', 'stk', 'own', 'cxl', 'parked', 'str', 'ver')\n"
    "  local dead = redis.call('HEXISTS', KEYS[1] .. 'deadidx', ARGV[i])\n"
    "  if f[1] then\n"
    "    out[i] = f[1] .. ' ' .. (f[2] or 0) .. ' ' .. (f[3] or 0) .. ' '\n"
    "      .. (f[4] or 0) .. ' ' .. (f[5] or 0) .. ' ' .. (f[6] or '-')\n"
    "      .. ' ' .. (f[7] or 0) .. (f[8] or 0) .. ' ' .. f[9] .. ' '\n"
    "      .. dead\n"
    "    out[#ARGV + i] = f[10]\n"
    "  else out[i] = 'gone ' .. dead; out[#ARGV + i] = '0' end\n"
    "end\n"
    "return out\n";

static void
compare(struct model *m)
{
    const char *argv[4 + JOBS] = {"EVAL", dump_script, "1", "lh:{0}:"};
    redisReply *reply = NULL;

    for (unsigned i = 0; i < m->job_count; i++)
        argv[4 + i] = m->jobs[i].id;
    reply = redisCommandArgv(m->f->raw, (int)(4 + m->job_count), argv, NULL);
    assert_non_null(reply);
    if (reply->type != REDIS_REPLY_ARRAY)
        fail_msg("dump: %s", reply->str);
    for (unsigned i = 0; i < m->job_count; i++) {
        struct model_job *job = &m->jobs[i];
        uint64_t version =
            strtoull(reply->element[m->job_count + i]->str, NULL, 10);
        char want[120];
        if (job->live)
            snprintf(want, sizeof(want), "%s %u %u %u %u %s %d%d %c %d",
                st_names[job->st], job->generation, job->att, job->tko,
                job->stk, job->own < 0 ? "-" : m->consumers[job->own].name,
                job->cxl, job->parked, job->str, job->dead);
        else
            snprintf(want, sizeof(want), "gone %d", job->dead);
        if (strcmp(want, reply->element[i]->str) != 0)
            fail_msg("job %u: got '%s', wanted '%s' after: %s", i,
                reply->element[i]->str, want, m->log);
        if (job->live && version < job->version)
            fail_msg("version of job %u went back after: %s", i, m->log);
        job->version = job->live ? version : job->version;
    }
    freeReplyObject(reply);
}

/* Whatever happened before: everything can still be brought to an end. */
static void
drain(struct model *m)
{
    for (int c = 0; c < CONSUMERS; c++) {
        uint64_t beats = 0;
        (void)do_beat(m->f, "reaper", m->consumers[c].name);
        beats = got.beats;
        do
            (void)do_reap(m->f, m->consumers[c].name, beats);
        while (got.left);
    }
    for (unsigned i = 0; i < m->job_count; i++)
        fixture_do(m->f, "ZADD {}retry XX 1 %s", m->jobs[i].id);
    EXPECT(m, do_tick(m->f), QUEUE_OK);
    for (unsigned round = 0; round < 3 * JOBS; round++) {
        char id[ID_SIZE];
        struct queue_owner owner = {id, "reaper", 0};
        struct job_result result = {.state = JOB_SUCCEEDED, .version = 99};
        if (do_claim(
                m->f, "reaper", round % 2 ? "closing" : QUEUE_X, 1, true) == 0)
            continue;
        memcpy(id, got.claims[0].id, sizeof(id));
        owner.fence = got.claims[0].fence;
        result.generation = got.claims[0].generation;
        EXPECT(m,
            ASK(m->f,
                queue_finish(m->f->queue, &owner, &result, on_status, NULL)),
            QUEUE_OK);
    }
    audit_empty(m->f);
}

static void
run_history(uint64_t seed)
{
    static struct model m;

    memset(&m, 0, sizeof(m));
    m.f = f;
    m.random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    fixture_clear(f);
    for (int c = 0; c < CONSUMERS; c++)
        snprintf(m.consumers[c].name, sizeof(m.consumers[c].name), "w%d", c);
    snprintf(m.log, sizeof(m.log), "seed %llu: ", (unsigned long long)seed);
    for (int i = 0; i < STEPS; i++) {
        step(&m);
        compare(&m);
        if (i % 8 == 0)
            audit(f);
    }
    audit(f);
    drain(&m);
}

static uint64_t
from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    uint64_t value = otherwise;

    if (text != NULL && text_parse_u64(slice_of(text), 1000000000, &value) != 0)
        return otherwise;
    return value;
}

static void
random_histories_agree_with_the_model(void **state)
{
    uint64_t count = from_environment("LONGHAUL_TEST_HISTORIES", HISTORIES);
    uint64_t seed = from_environment("LONGHAUL_TEST_SEED", 1);

    (void)state;
    f = fixture_new();
    /* No power is cut here; the disk would take most of the time. */
    fixture_do(f, "CONFIG SET appendfsync no");
    for (uint64_t i = 0; i < count; i++)
        run_history(seed + i);
    fixture_free(f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_histories_agree_with_the_model),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
