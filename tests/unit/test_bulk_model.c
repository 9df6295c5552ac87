/*
 * Random histories of uploads, workers, operators and two keepers over
 * batches in a real Redis; the store is a table in memory. Each step is one
 * call, so that whoever made it may die after any of them: others go on with
 * what they remember, however old. After every step each batch is complete or
 * absent, its numbers sum up, and an ended one is what it was.
 * LONGHAUL_TEST_HISTORIES and LONGHAUL_TEST_SEED make it longer or other.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bulk_helpers.h"
#include "common/net/redis.h"

#define BATCHES 2
#define ITEMS 2
#define GENERATIONS 24
#define CLAIMS 64
#define STEPS 160
#define HISTORIES 50

enum where { NOWHERE, STAGING, DROPPED, REVEALED };

struct item {
    char id[ID_SIZE];
    char name[16];
    bool staged;
    unsigned generation; /* the newest that was begun */
    int rows[GENERATIONS]; /* enum job_state, 0: none (none is queued) */
    bool dead_rows[GENERATIONS];
};

struct batch_model {
    struct bulk bulk;
    enum where where;
    bool canceled, ended, stored, left;
    struct item items[ITEMS];
    unsigned count;
    struct bulk_tally final;
};

struct claim_model {
    struct item *item;
    char consumer[16];
    unsigned generation;
    uint64_t fence;
    enum queue_claim_kind kind;
};

/* What a keeper knows since its last look. */
struct keeper_model {
    struct batch_model *batch;
    uint64_t replays;
    struct bulk_tally tally;
};

static struct model {
    uint64_t random;
    struct batch_model batches[BATCHES];
    struct claim_model claims[CLAIMS];
    unsigned claim_count;
    struct keeper_model keepers[2];
    unsigned consumer; /* the present one: w<number> */
    char log[STEPS * 48 + 64];
} m;

static struct fixture *f;

static unsigned
roll(unsigned below)
{
    m.random ^= m.random << 13;
    m.random ^= m.random >> 7;
    m.random ^= m.random << 17;
    return (unsigned)((m.random >> 11) % below);
}

static void
note(const char *what, long a, long b)
{
    size_t len = strlen(m.log);

    snprintf(m.log + len, sizeof(m.log) - len, "%s %ld %ld; ", what, a, b);
}

#define EXPECT(got_value, wanted) \
    do { \
        long long got_ = (long long)(got_value); \
        long long wanted_ = (long long)(wanted); \
        if (got_ != wanted_) \
            fail_msg("%s: got %lld, wanted %lld after: %s", #got_value, got_, \
                wanted_, m.log); \
    } while (0)

/* --- the store ----------------------------------------------------------- */

static struct bulk_tally
count_rows(const struct batch_model *batch)
{
    struct bulk_tally tally = {0};

    for (unsigned i = 0; i < batch->count; i++) {
        const struct item *item = &batch->items[i];
        int newest = 0;
        for (unsigned g = 0; g < GENERATIONS; g++)
            newest = item->rows[g] != 0 ? item->rows[g] : newest;
        tally.succeeded += newest == JOB_SUCCEEDED;
        tally.failed += newest == JOB_FAILED;
        tally.canceled += newest == JOB_CANCELED;
        tally.expired += newest == JOB_EXPIRED;
    }
    return tally;
}

static struct batch_model *
batch_of(const struct item *item)
{
    for (unsigned i = 0; i < BATCHES; i++)
        if (item >= m.batches[i].items && item < m.batches[i].items + ITEMS)
            return &m.batches[i];
    return NULL;
}

static struct item *
find_item(const char *id)
{
    for (unsigned b = 0; b < BATCHES; b++)
        for (unsigned i = 0; i < m.batches[b].count; i++)
            if (strcmp(m.batches[b].items[i].id, id) == 0)
                return &m.batches[b].items[i];
    fail_msg("a claim of nobody's job after: %s", m.log);
    return NULL;
}

/* --- uploads ------------------------------------------------------------- */

static void
step_stage(struct batch_model *batch)
{
    const struct job_error refused = {.class_name = "bad_request"};
    unsigned which = roll(ITEMS);
    bool refuse = batch == &m.batches[0] && which == 1;
    struct item *item = &batch->items[which];

    if (batch->where == NOWHERE) {
        make_bulk(&batch->bulk);
        note("open", batch - m.batches, 0);
        EXPECT(do_open(f, &batch->bulk), QUEUE_OK);
        batch->where = STAGING;
        return;
    }
    if (which > batch->count)
        return;
    if (which == batch->count) {
        snprintf(item->name, sizeof(item->name), "row-%u", which);
        bulk_item_id(batch->bulk.uuid, slice_of(item->name), item->id);
    }
    note("stage", batch - m.batches, which);
    EXPECT(do_stage(f, batch->bulk.uuid, item->name, which + 1,
               refuse ? &refused : NULL),
        batch->where == STAGING ? QUEUE_OK : QUEUE_NOT_OWNER);
    if (batch->where == STAGING && which == batch->count)
        batch->count++;
}

static void
step_reveal(struct batch_model *batch)
{
    bool wrong = roll(4) == 0;
    enum queue_status wanted = QUEUE_OK;

    if (batch->where == NOWHERE)
        return;
    if (batch->where == DROPPED)
        wanted = QUEUE_NOT_OWNER;
    else if (wrong && batch->where == STAGING)
        wanted = QUEUE_CONFLICT;
    note("reveal", batch - m.batches, wrong);
    EXPECT(do_reveal(f, batch->bulk.uuid, batch->count + wrong, 'a'),
        batch->left ? QUEUE_NOT_OWNER : wanted);
    if (wanted == QUEUE_OK)
        batch->where = REVEALED;
}

static void
step_drop(struct batch_model *batch)
{
    if (batch->where == NOWHERE)
        return;
    note("drop", batch - m.batches, 0);
    EXPECT(DO_BULK(f, drop, batch->bulk.uuid),
        batch->where == REVEALED && !batch->left ? QUEUE_NOT_OWNER : QUEUE_OK);
    if (batch->where == STAGING)
        batch->where = DROPPED;
}

/* --- workers ------------------------------------------------------------- */

static const char *
consumer(void)
{
    static char name[16];

    snprintf(name, sizeof(name), "w%u", m.consumer);
    return name;
}

static void
step_claim(const char *queue)
{
    note(queue[0] == 'c' ? "close" : "claim", m.consumer, 0);
    (void)do_claim(f, consumer(), queue, 1 + roll(2), true);
    EXPECT(got.status, QUEUE_OK);
    for (size_t i = 0; i < got.count; i++) {
        struct claim_model *claim = &m.claims[m.claim_count++ % CLAIMS];
        claim->item = find_item(got.claims[i].id);
        claim->generation = got.claims[i].generation;
        claim->fence = got.claims[i].fence;
        claim->kind = got.claims[i].kind;
        EXPECT(claim->generation, claim->item->generation);
        EXPECT(batch_of(claim->item)->where, REVEALED);
        (void)text_copy(claim->consumer, 16, slice_of(consumer()));
    }
}

static struct claim_model *
pick_claim(struct queue_owner *owner)
{
    unsigned count = m.claim_count < CLAIMS ? m.claim_count : CLAIMS;
    struct claim_model *claim = NULL;

    if (count == 0)
        return NULL;
    claim = &m.claims[roll(count)];
    owner->id = claim->item->id;
    owner->consumer = claim->consumer;
    owner->fence = claim->fence;
    return claim;
}

/* An answer is committed whoever owns the job now; any other end only by
 * its owner. The first row of a generation wins. */
static void
step_commit(void)
{
    struct queue_owner owner;
    struct claim_model *claim = pick_claim(&owner);
    int state = JOB_SUCCEEDED;

    if (claim == NULL || claim->item->rows[claim->generation] != 0)
        return;
    if (claim->kind == QUEUE_CLAIM_CANCEL)
        state = JOB_CANCELED;
    else if (claim->kind != QUEUE_CLAIM_RUN || roll(2) == 0)
        state = JOB_FAILED;
    if (state != JOB_SUCCEEDED &&
        ASK(f, queue_check(f->queue, &owner, on_status, NULL)) != QUEUE_OK)
        return;
    note("commit", claim - m.claims, state);
    claim->item->rows[claim->generation] = state;
    claim->item->dead_rows[claim->generation] =
        state == JOB_FAILED && claim->kind != QUEUE_CLAIM_REFUSED;
}

static void
step_acknowledge(void)
{
    struct queue_owner owner;
    struct claim_model *claim = pick_claim(&owner);
    struct job_result result = {.version = 90};

    if (claim == NULL || claim->item->rows[claim->generation] == 0)
        return;
    note("finish", claim - m.claims, claim->generation);
    make_meta(&result.meta);
    result.generation = claim->generation;
    result.state = (enum job_state)claim->item->rows[claim->generation];
    if (claim->item->dead_rows[claim->generation])
        (void)ASK(f, queue_bury(f->queue, &owner, &result, on_status, NULL));
    else
        (void)ASK(f, queue_finish(f->queue, &owner, &result, on_status, NULL));
}

static void
step_give_back(void)
{
    struct queue_owner owner;
    struct claim_model *claim = pick_claim(&owner);

    if (claim == NULL || claim->item->rows[claim->generation] != 0)
        return;
    note("give back", claim - m.claims, 0);
    if (roll(2) == 0)
        (void)do_release(f, &owner);
    else
        (void)do_retry(f, &owner, roll(2) == 0 ? 0 : 60000, 1);
    fixture_do(f, "ZADD {}retry XX 1 %s", claim->item->id);
}

static void
step_die(void)
{
    note("die", m.consumer, 0);
    die_and_reap(f, consumer());
    m.consumer++;
}

/* --- clients, operators -------------------------------------------------- */

static void
step_cancel(struct batch_model *batch)
{
    enum queue_status wanted = QUEUE_ABSENT;

    if (batch->where == NOWHERE)
        return;
    if (batch->where == REVEALED && !batch->left)
        wanted = batch->ended ? QUEUE_CONFLICT : QUEUE_OK;
    note("cancel", batch - m.batches, 0);
    EXPECT(DO_BULK(f, cancel, batch->bulk.uuid), wanted);
    batch->canceled = batch->canceled || wanted == QUEUE_OK;
}

static void
on_version(void *arg, enum queue_status status, uint64_t version)
{
    (void)version;
    on_status(arg, status);
}

static void
step_replay(struct batch_model *batch)
{
    struct job_result result = {.version = 90, .state = JOB_FAILED};
    struct item *item = NULL;

    if (batch->count == 0)
        return;
    item = &batch->items[roll(batch->count)];
    if (item->generation + 1 == GENERATIONS)
        return;
    make_meta(&result.meta);
    memcpy(result.id, item->id, ID_SIZE);
    memcpy(result.meta.batch, batch->bulk.uuid, BATCH_UUID_SIZE);
    result.generation = item->generation;
    note("replay", batch - m.batches, item - batch->items);
    if (ASK(f,
            queue_replay(f->queue, &result, slice_of("body"), on_version,
                NULL)) == QUEUE_OK) {
        EXPECT(item->dead_rows[item->generation], true);
        item->generation++;
    }
}

/* --- keepers ------------------------------------------------------------- */

static void
step_look(struct keeper_model *keeper, struct batch_model *batch)
{
    if (batch->where == NOWHERE || do_bulk_get(f, batch->bulk.uuid) != QUEUE_OK)
        return;
    note("look", keeper - m.keepers, batch - m.batches);
    keeper->batch = batch;
    keeper->replays = got_bulk.view.replays;
    if (got_bulk.view.again > 0)
        keeper->batch = NULL;
}

static void
step_count(struct keeper_model *keeper)
{
    if (keeper->batch == NULL)
        return;
    note("count", keeper - m.keepers, 0);
    keeper->tally = count_rows(keeper->batch);
}

static bool
same(const struct bulk_tally *a, const struct bulk_tally *b)
{
    return a->succeeded == b->succeeded && a->failed == b->failed &&
        a->canceled == b->canceled && a->expired == b->expired;
}

static void
step_end(struct keeper_model *keeper)
{
    struct batch_model *batch = keeper->batch;

    if (batch == NULL || bulk_tally_total(&keeper->tally) != batch->count)
        return;
    note("end", keeper - m.keepers, batch - m.batches);
    if (ASK(f,
            queue_bulk_end(f->queue, batch->bulk.uuid, keeper->replays,
                &keeper->tally, on_status, NULL)) == QUEUE_OK &&
        !batch->ended) {
        struct bulk_tally now = count_rows(batch);
        EXPECT(same(&keeper->tally, &now), true);
        batch->ended = true;
        batch->final = now;
    }
    keeper->batch = NULL;
    memset(&keeper->tally, 0, sizeof(keeper->tally));
}

static void
step_store(struct batch_model *batch)
{
    enum queue_status wanted = QUEUE_OK;

    if (batch->where != REVEALED)
        return;
    if (batch->ended && !batch->stored && roll(2) == 0) {
        note("put", batch - m.batches, 0);
        batch->stored = true;
        return;
    }
    if (batch->ended && !batch->stored)
        return; /* the keeper puts first */
    if (!batch->ended)
        wanted = QUEUE_CONFLICT;
    note("leave", batch - m.batches, 0);
    EXPECT(DO_BULK(f, leave, batch->bulk.uuid), wanted);
    batch->left = batch->left || wanted == QUEUE_OK;
}

/* --- what must hold ------------------------------------------------------ */

static void
check_items(const struct batch_model *batch)
{
    for (unsigned i = 0; i < batch->count; i++) {
        const struct item *item = &batch->items[i];
        bool in_flight = do_get(f, item->id) == QUEUE_OK;
        if (batch->where != REVEALED)
            EXPECT(in_flight, false);
        else if (!in_flight && item->rows[item->generation] == 0)
            fail_msg("item %u is lost after: %s", i, m.log);
    }
}

static void
check(const struct batch_model *batch)
{
    struct bulk_tally tally = count_rows(batch);

    if (batch->where == NOWHERE)
        return;
    check_items(batch);
    EXPECT(do_bulk_get(f, batch->bulk.uuid),
        batch->where == REVEALED && !batch->left ? QUEUE_OK : QUEUE_ABSENT);
    if (got.status != QUEUE_OK)
        return;
    EXPECT(got_bulk.bulk.total, batch->count);
    EXPECT(got_bulk.bulk.state,
        batch->ended          ? BATCH_ENDED
            : batch->canceled ? BATCH_CANCELING
                              : BATCH_IN_PROGRESS);
    if (batch->ended) {
        EXPECT(same(&got_bulk.bulk.tally, &batch->final), true);
        EXPECT(bulk_tally_total(&got_bulk.bulk.tally), batch->count);
    } else {
        EXPECT(bulk_tally_total(&tally) <= batch->count, true);
        EXPECT(got_bulk.view.running + got_bulk.view.retrying <= batch->count,
            true);
    }
}

/* --- histories ----------------------------------------------------------- */

static void
restart_redis(void)
{
    note("restart", 0, 0);
    fixture_kill_server(f);
    fixture_start_server(f);
    while (redis_get_state(f->redis) == REDIS_READY)
        event_base_loop(f->base, EVLOOP_ONCE);
    fixture_wait_ready(f);
    fixture_do(f, "CONFIG SET appendfsync no");
}

static void
step_upload(struct batch_model *batch)
{
    unsigned what = roll(10);

    if (what < 6 || batch->where == NOWHERE)
        step_stage(batch);
    else if (what < 9)
        step_reveal(batch);
    else
        step_drop(batch);
}

static void
step_work(void)
{
    unsigned what = roll(20);

    if (what < 5)
        step_claim(QUEUE_X);
    else if (what < 8)
        step_claim("closing");
    else if (what < 12)
        step_commit();
    else if (what < 16)
        step_acknowledge();
    else if (what < 18)
        step_give_back();
    else if (what < 19)
        step_die();
    else
        EXPECT(do_tick(f), QUEUE_OK);
}

static void
step_keep(struct keeper_model *keeper, struct batch_model *batch)
{
    unsigned what = roll(5);

    if (what == 0)
        step_look(keeper, batch);
    else if (what == 1)
        step_count(keeper);
    else if (what == 2)
        step_end(keeper);
    else if (what == 3)
        step_store(batch);
    else
        EXPECT(do_advance(f, 1 + roll(3)), QUEUE_OK);
}

static void
step(void)
{
    struct batch_model *batch = &m.batches[roll(BATCHES)];
    unsigned what = roll(64);

    if (what < 14)
        step_upload(batch);
    else if (what < 38)
        step_work();
    else if (what < 56)
        step_keep(&m.keepers[roll(2)], batch);
    else if (what < 57)
        step_cancel(batch);
    else
        step_replay(batch);
}

/* Whatever happened before: everything comes to its end. */
static void
drain(void)
{
    for (unsigned i = 0; i < BATCHES; i++)
        if (m.batches[i].where == STAGING)
            step_drop(&m.batches[i]);
    step_die();
    for (unsigned round = 0; round < 24; round++) {
        unsigned first = m.claim_count;
        EXPECT(do_advance(f, 100), QUEUE_OK);
        EXPECT(do_tick(f), QUEUE_OK);
        step_claim(round % 2 == 0 ? QUEUE_X : "closing");
        for (unsigned i = first; i < m.claim_count; i++) {
            struct claim_model *claim = &m.claims[i % CLAIMS];
            const struct queue_owner owner = {
                claim->item->id, claim->consumer, claim->fence};
            struct job_result result = {.version = 95};
            int *row = &claim->item->rows[claim->generation];
            *row = *row == 0 ? JOB_SUCCEEDED : *row;
            result.state = JOB_SUCCEEDED;
            result.generation = claim->generation;
            EXPECT(
                ASK(f,
                    queue_finish(f->queue, &owner, &result, on_status, NULL)),
                QUEUE_OK);
        }
    }
    for (unsigned i = 0; i < BATCHES; i++) {
        struct batch_model *batch = &m.batches[i];
        step_look(&m.keepers[0], batch);
        step_count(&m.keepers[0]);
        step_end(&m.keepers[0]);
        EXPECT(batch->ended, batch->where == REVEALED);
        batch->stored = batch->ended;
        step_store(batch);
    }
    audit_empty(f);
    if (fixture_do(f, "KEYS {}batch*")[0] != '\0')
        fail_msg("left: %s after: %s", fixture_do(f, "KEYS {}batch*"), m.log);
}

static void
run_history(uint64_t seed)
{
    memset(&m, 0, sizeof(m));
    m.random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    fixture_clear(f);
    snprintf(m.log, sizeof(m.log), "seed %llu: ", (unsigned long long)seed);
    for (int i = 0; i < STEPS; i++) {
        step();
        for (unsigned b = 0; b < BATCHES; b++)
            check(&m.batches[b]);
        if (i % 8 == 0)
            audit(f);
        if (roll(4000) == 0)
            restart_redis();
    }
    audit(f);
    drain();
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
batches_are_complete_or_absent_and_end_once(void **state)
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
        cmocka_unit_test(batches_are_complete_or_absent_and_end_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
