/* The token buckets in Redis: claim.lua, quota.lua and _quota.lua as they
 * are, in a real Redis, but with a clock that the test moves. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/queue/queue_private.h"
#include "queue_helpers.h"

#define P "lh:{0}:"
#define SCOPE "default/x"
#define GIVEN_MAX 20000
#define QUEUES_MAX 4
#define START_MS INT64_C(1795190000000)

/* One job that was given, and what was reserved for it. */
struct given {
    int64_t at_ms;
    unsigned queue;
    double need[QUOTA_KINDS];
};

struct rig {
    struct fixture *f;
    char claim_sha1[64];
    char quota_sha1[64];
    int64_t now_ms;
    uint64_t random;
    double per_min[QUOTA_KINDS];
    double burst_ms;
    double biggest[QUOTA_KINDS]; /* need of a job so far */
    size_t count;
    struct given given[GIVEN_MAX];
    int64_t wait_ms; /* what the last claim said */
    unsigned got; /* jobs of the last claim */
};

static const char *const queues[QUEUES_MAX] = {
    "interactive:x", "standard:x", "bulk:x", "standard:x>y"};

/* --- the rig ------------------------------------------------------------ */

static uint64_t
next(struct rig *rig)
{
    rig->random =
        rig->random * UINT64_C(6364136223846793005) + 1442695040888963407;
    return rig->random >> 33;
}

static int64_t
within(struct rig *rig, int64_t least, int64_t most)
{
    return least + (int64_t)(next(rig) % (uint64_t)(most - least + 1));
}

/* As a script, with clock_ms() reading the key "now". */
static void
load_script(struct rig *rig, enum queue_script script, char sha1[64])
{
    static const char head[] = "local function clock_ms()";
    const char *text = queue_script(script)->text;
    const char *from = strstr(text, head);
    const char *to = from == NULL ? NULL : strstr(from, "\nend\n");
    struct buffer out = {0};
    redisReply *reply;

    assert_non_null(to);
    buffer_append(&out, text, (size_t)(from - text));
    buffer_append_text(&out, head);
    buffer_append_text(&out, " return tonumber(call('GET', 'now'))");
    buffer_append_text(&out, to);
    reply = redisCommand(rig->f->raw, "SCRIPT LOAD %b", out.data, out.len);
    assert_non_null(reply);
    assert_int_equal(reply->type, REDIS_REPLY_STRING);
    snprintf(sha1, 64, "%s", reply->str);
    freeReplyObject(reply);
    buffer_clear(&out);
}

static int
start(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));

    rig->f = fixture_new();
    *state = rig;
    return 0;
}

static int
stop(void **state)
{
    struct rig *rig = *state;

    fixture_free(rig->f);
    free(rig);
    return 0;
}

static void
set_now(struct rig *rig, int64_t now_ms)
{
    rig->now_ms = now_ms;
    fixture_do(rig->f, "SET now %" PRId64, now_ms);
}

/* An empty Redis, full buckets of these limits (0: none). */
static void
begin(struct rig *rig, uint64_t seed, double requests, double input,
    double output, double burst_ms)
{
    fixture_clear(rig->f);
    fixture_do(rig->f, "CONFIG SET appendonly no");
    load_script(rig, QUEUE_SCRIPT_CLAIM, rig->claim_sha1);
    load_script(rig, QUEUE_SCRIPT_QUOTA, rig->quota_sha1);
    rig->random = seed * 7919 + 1;
    rig->count = 0;
    memset(rig->biggest, 0, sizeof(rig->biggest));
    rig->per_min[QUOTA_REQUESTS] = requests;
    rig->per_min[QUOTA_INPUT] = input;
    rig->per_min[QUOTA_OUTPUT] = output;
    rig->burst_ms = burst_ms;
    set_now(rig, START_MS);
    assert_memory_equal(
        fixture_do(rig->f,
            "EVALSHA %s 1 {} " SCOPE " 0 0 0 %.0f %.0f %.0f %.0f '' 0",
            rig->quota_sha1, requests, input, output, burst_ms),
        "OK", 2);
}

/* Adds jobs that need so much to a queue. */
static void
add(struct rig *rig, unsigned queue, unsigned n, int64_t input, int64_t output)
{
    static const char script[] =
        "local P = KEYS[1] for i = 1, tonumber(ARGV[2]) do "
        "local id = 'job_' .. redis.call('INCR', 'made') "
        "local ent = redis.call('XADD', P .. 'q:' .. ARGV[1], '*', 'i', id) "
        "redis.call('HSET', P .. 'job:' .. id, 'st', 'queued', 'gen', '0', "
        "'ver', '1', 'q', ARGV[1], 'dl', '9000000000000000', 'meta', "
        "'{\"mt\":' .. ARGV[4] .. ',\"tx\":\"' .. ARGV[3] .. ' 0 0 0 0\"}', "
        "'req', 'x', 'str', 'n', 'ent', ent) end return 'OK'";
    redisReply *reply =
        redisCommand(rig->f->raw, "EVAL %s 1 " P " %s %u %lld %lld", script,
            queues[queue], n, (long long)input, (long long)output);

    assert_non_null(reply);
    assert_string_equal(reply->str, "OK");
    freeReplyObject(reply);
    rig->biggest[QUOTA_REQUESTS] = 1;
    if ((double)input > rig->biggest[QUOTA_INPUT])
        rig->biggest[QUOTA_INPUT] = (double)input;
    if ((double)output > rig->biggest[QUOTA_OUTPUT])
        rig->biggest[QUOTA_OUTPUT] = (double)output;
}

static void
note(struct rig *rig, unsigned queue, const redisReply *told, size_t i)
{
    struct given *given = &rig->given[rig->count++];

    assert_true(rig->count < GIVEN_MAX);
    given->at_ms = rig->now_ms;
    given->queue = queue;
    given->need[QUOTA_REQUESTS] = 1;
    given->need[QUOTA_INPUT] = (double)told->element[1 + 2 * i]->integer;
    given->need[QUOTA_OUTPUT] = (double)told->element[2 + 2 * i]->integer;
}

/* A claim; rig->got and rig->wait_ms say what came of it. */
static unsigned
claim(struct rig *rig, const char *consumer, unsigned queue, unsigned count)
{
    redisReply *reply = redisCommand(rig->f->raw,
        "EVALSHA %s 1 " P " %s %s %u 0 0 1048576 0 " SCOPE
        " 1 0 0 0 1 1000000000",
        rig->claim_sha1, consumer, queues[queue], count);

    assert_non_null(reply);
    if (reply->type != REDIS_REPLY_ARRAY)
        fail_msg("claim: %s", reply->str);
    assert_string_equal(reply->element[0]->str, "OK");
    rig->got = (unsigned)reply->elements - 2;
    rig->wait_ms = reply->element[1]->element[0]->integer;
    if (reply->element[1]->elements > 1)
        assert_int_equal(reply->element[1]->elements, 1 + 2 * rig->got);
    for (size_t i = 0; i < rig->got && reply->element[1]->elements > 1; i++)
        note(rig, queue, reply->element[1], i);
    freeReplyObject(reply);
    return rig->got;
}

static double
capacity(const struct rig *rig, unsigned kind)
{
    double fits = rig->per_min[kind] / 60000 * rig->burst_ms;

    return fits > 1 ? fits : 1;
}

/* The sum of all windows that begin and end at a start of a job. */
static void
check_windows(const struct rig *rig, unsigned kind)
{
    double beyond = rig->biggest[kind] - capacity(rig, kind) * 2 / 3;
    double most = capacity(rig, kind) + (beyond > 0 ? beyond : 0) + 0.01;

    for (size_t from = 0; from < rig->count; from++) {
        double sum = 0;

        for (size_t to = from; to < rig->count; to++) {
            int64_t ms = rig->given[to].at_ms - rig->given[from].at_ms;

            sum += rig->given[to].need[kind];
            if (sum > most + rig->per_min[kind] / 60000 * (double)ms)
                fail_msg("kind %u: %.1f within %lld ms; %.1f a minute and "
                         "%.1f are allowed",
                    kind, sum, (long long)ms, rig->per_min[kind], most);
        }
    }
}

static double
used(const struct rig *rig, unsigned kind, int64_t from_ms)
{
    double sum = 0;

    for (size_t i = 0; i < rig->count; i++)
        sum += rig->given[i].at_ms >= from_ms ? rig->given[i].need[kind] : 0;
    return sum;
}

/* --- several workers and queues in virtual time -------------------------- */

#define WORKERS_MAX 4

/* Asks for one queue as a worker does: again after the time it was told, but
 * not sooner than after 100 ms, and late by up to `late_ms`. */
struct asker {
    unsigned queue;
    int64_t next_ms;
    char consumer[16];
};

static void
run(struct rig *rig, unsigned worker_count, unsigned queue_count,
    int64_t span_ms, int64_t late_ms)
{
    struct asker askers[WORKERS_MAX * QUEUES_MAX];
    unsigned n = 0;
    int64_t end_ms = rig->now_ms + span_ms;

    for (unsigned w = 0; w < worker_count; w++) {
        for (unsigned q = 0; q < queue_count; q++) {
            askers[n] = (struct asker){q, rig->now_ms + within(rig, 0, 99), ""};
            snprintf(askers[n++].consumer, 16, "w%u", w);
        }
    }
    for (;;) {
        struct asker *first = &askers[0];

        for (unsigned i = 1; i < n; i++)
            first = askers[i].next_ms < first->next_ms ? &askers[i] : first;
        if (first->next_ms >= end_ms)
            break;
        set_now(rig, first->next_ms);
        (void)claim(
            rig, first->consumer, first->queue, (unsigned)within(rig, 1, 32));
        first->next_ms = rig->now_ms + within(rig, 0, late_ms) +
            (rig->got > 0                ? 1
                    : rig->wait_ms > 100 ? rig->wait_ms
                                         : 100);
    }
    set_now(rig, end_ms);
}

static void
reservations_stay_within_the_limit_in_any_window(void **state)
{
    struct rig *rig = *state;

    for (uint64_t seed = 1; seed <= 12; seed++) {
        double burst_ms = (double)(200 << (seed % 4));
        unsigned queue_count;

        begin(rig, seed, seed % 3 == 0 ? 0 : (double)(60 << (seed % 5)),
            seed % 4 == 0 ? 0 : 600000, seed % 4 == 2 ? 0 : 60000, burst_ms);
        queue_count = (unsigned)within(rig, 1, QUEUES_MAX);
        for (unsigned i = 0; i < 400; i++)
            add(rig, (unsigned)within(rig, 0, queue_count - 1), 1,
                within(rig, 1, 100) * within(rig, 1, 300), within(rig, 1, 900));
        run(rig, (unsigned)within(rig, 1, WORKERS_MAX), queue_count, 30000,
            within(rig, 0, 300));
        assert_true(rig->count > 5);
        for (unsigned kind = 0; kind < QUOTA_KINDS; kind++) {
            if (rig->per_min[kind] > 0)
                check_windows(rig, kind);
        }
    }
}

static void
quota_is_used_up_while_there_is_work(void **state)
{
    static const struct {
        double per_min[QUOTA_KINDS];
        int64_t input_most;
        unsigned kind;
    } cases[] = {
        {{60, 0, 0}, 100, QUOTA_REQUESTS},
        {{1200, 0, 0}, 100, QUOTA_REQUESTS},
        {{12000, 5000000, 0}, 100, QUOTA_REQUESTS},
        {{1000, 9000000, 0}, 200000, QUOTA_INPUT},
        {{1000, 600000, 400000}, 20000, QUOTA_INPUT},
        {{1000, 2000000, 60000}, 1000, QUOTA_OUTPUT},
    };
    struct rig *rig = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const double *per_min = cases[i].per_min;
        double share;

        begin(rig, i + 1, per_min[0], per_min[1], per_min[2], 600);
        for (unsigned j = 0; j < (per_min[0] > 9999 ? 110U : 10U); j++)
            for (unsigned q = 0; q < 3; q++)
                for (unsigned k = 0; k < 30; k++)
                    add(rig, q, k < 2 ? 10 : 1,
                        within(rig, 100, cases[i].input_most),
                        within(rig, 10, 500));
        run(rig, 3, 3, 60000, 30);
        share = used(rig, cases[i].kind, START_MS + 1000) / 59 * 60 /
            per_min[cases[i].kind];
        if (share < 0.985)
            fail_msg("case %zu: only %.1f %% was used", i, share * 100);
    }
}

/* What a claim said is when the next one gets its job. */
static void
a_wait_is_as_long_as_it_was_told(void **state)
{
    struct rig *rig = *state;

    begin(rig, 3, 300, 400000, 0, 600);
    for (unsigned i = 0; i < 300; i++)
        add(rig, 1, 1, within(rig, 1, 20000), 10);
    for (unsigned i = 0; i < 150; i++) {
        (void)claim(rig, "w", 1, 32);
        assert_true(rig->wait_ms > 0);
        if (rig->wait_ms > 1) {
            set_now(rig, rig->now_ms + rig->wait_ms - 1);
            assert_int_equal(claim(rig, "w", 1, 1), 0);
        }
        set_now(rig, rig->now_ms + rig->wait_ms);
        assert_int_equal(claim(rig, "w", 1, 1), 1);
    }
}

static void
an_unlimited_scope_gives_all(void **state)
{
    struct rig *rig = *state;

    begin(rig, 4, 0, 0, 0, 600);
    add(rig, 0, 200, 1000000, 1000000);
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(claim(rig, "w", 0, 32), 32);
    assert_int_equal(rig->wait_ms, 0);
}

/* --- lanes ---------------------------------------------------------------- */

static unsigned
count_of(const struct rig *rig, unsigned queue)
{
    unsigned n = 0;

    for (size_t i = 0; i < rig->count; i++)
        n += rig->given[i].queue == queue;
    return n;
}

static void
every_lane_moves_and_urgent_ones_more(void **state)
{
    struct rig *rig = *state;

    begin(rig, 5, 1200, 0, 0, 600);
    for (unsigned q = 0; q < 3; q++)
        add(rig, q, 1200, 100, 10);
    run(rig, 2, 3, 60000, 30);
    /* 16 : 4 : 1 of 1200. */
    assert_in_range(count_of(rig, 0), 820, 1000);
    assert_in_range(count_of(rig, 1), 190, 300);
    assert_in_range(count_of(rig, 2), 45, 80);
}

static void
urgent_work_waits_for_one_claim_of_bulk_at_most(void **state)
{
    struct rig *rig = *state;

    begin(rig, 6, 600, 0, 0, 600);
    add(rig, 2, 600, 100, 10);
    run(rig, 1, 3, 0, 0);
    for (unsigned round = 0; round < 30; round++) {
        bool asked = false;
        unsigned bulk_claims = 0;

        for (unsigned i = 0; i < 7; i++) { /* the bulk lane alone */
            set_now(rig, rig->now_ms + within(rig, 30, 200));
            (void)claim(rig, "w", 2, 32);
        }
        add(rig, 0, 1, 100, 10);
        for (;;) {
            set_now(rig, rig->now_ms + within(rig, 1, 60));
            bulk_claims += claim(rig, "w", 2, 32) > 0 && asked;
            asked = true;
            if (claim(rig, "w", 0, 1) == 1)
                break;
        }
        assert_in_range(bulk_claims, 0, 1);
    }
}

static void
a_queue_that_no_longer_asks_holds_nobody_up(void **state)
{
    struct rig *rig = *state;
    int64_t from_ms;

    begin(rig, 7, 600, 0, 0, 600);
    add(rig, 0, 20, 100, 10);
    add(rig, 2, 600, 100, 10);
    while (claim(rig, "w", 0, 32) > 0)
        continue;
    from_ms = rig->now_ms; /* it waits; its workers are gone */
    for (unsigned i = 0; i < 100; i++) {
        set_now(rig, rig->now_ms + 50);
        (void)claim(rig, "w", 2, 32);
    }
    /* Five seconds, one of them lost. */
    assert_true(used(rig, QUOTA_REQUESTS, from_ms + 1) >= 38);
}

/* --- what goes wrong ---------------------------------------------------- */

static void
a_dead_worker_costs_what_it_had_reserved(void **state)
{
    struct rig *rig = *state;
    int64_t from_ms;
    double dead;

    begin(rig, 8, 1200, 600000, 0, 600);
    add(rig, 1, 1500, 100, 10);
    set_now(rig, rig->now_ms + 5000);
    while (claim(rig, "dead", 1, 32) > 0)
        continue;
    dead = used(rig, QUOTA_REQUESTS, 0);
    assert_true(dead <= capacity(rig, QUOTA_REQUESTS));
    from_ms = rig->now_ms + 1;
    run(rig, 2, 2, 60000, 30);
    assert_true(used(rig, QUOTA_REQUESTS, from_ms) >=
        1200 * 0.985 - capacity(rig, QUOTA_REQUESTS));
}

/* Reports as a worker does when its calls end. */
static void
settle(struct rig *rig, int64_t requests, int64_t input, int64_t output)
{
    assert_memory_equal(fixture_do(rig->f,
                            "EVALSHA %s 1 {} " SCOPE " %" PRId64 " %" PRId64
                            " %" PRId64 " '' '' '' '' '' 0",
                            rig->quota_sha1, requests, input, output),
        "OK", 2);
}

static void
what_was_used_beyond_the_reserve_is_owed(void **state)
{
    struct rig *rig = *state;

    begin(rig, 9, 0, 60000, 0, 600);
    add(rig, 1, 20, 100, 10);
    assert_int_equal(claim(rig, "w", 1, 1), 1);
    settle(rig, 0, 10000, 0); /* it took ten seconds' worth */
    assert_int_equal(claim(rig, "w", 1, 1), 0);
    assert_in_range(rig->wait_ms, 9000, 10000);
    settle(rig, 0, -10000, 0);
    set_now(rig, rig->now_ms + 1);
    assert_int_equal(claim(rig, "w", 1, 1), 1);
}

static void
a_clock_that_jumps_stops_nobody(void **state)
{
    static const int64_t jumps_ms[] = {
        -3600000, 3600000, -500, 1500, -86400000, 86400000};
    struct rig *rig = *state;

    begin(rig, 10, 600, 600000, 0, 600);
    /* So large that two of them do not fit. */
    for (unsigned q = 0; q < 3; q++)
        add(rig, q, 300, 3500, 10);
    for (size_t i = 0; i < sizeof(jumps_ms) / sizeof(jumps_ms[0]); i++) {
        size_t before;

        run(rig, 2, 3, 2000, 30);
        set_now(rig, rig->now_ms + jumps_ms[i]);
        before = rig->count;
        /* From here on only one of the queues asks. */
        for (unsigned t = 0; t < 200; t++) {
            set_now(rig, rig->now_ms + 50);
            (void)claim(rig, "w", 2, 32);
        }
        /* Ten seconds, 28 jobs; one second is lost to those who wait no
         * longer, and after an hour's silence the pace begins low. */
        assert_in_range(rig->count - before, 20, 31);
    }
}

static void
the_pace_begins_low_after_silence_and_after_a_ramp(void **state)
{
    struct rig *rig = *state;
    int64_t from_ms;

    begin(rig, 11, 1200, 0, 0, 600);
    add(rig, 1, 1200, 100, 10);
    run(rig, 1, 2, 5000, 0);
    set_now(rig, rig->now_ms + 120000);
    from_ms = rig->now_ms;
    run(rig, 1, 2, 2000, 0);
    /* A burst, and two seconds at 25 to 55 %, not 40 and a burst. */
    assert_in_range((unsigned)used(rig, QUOTA_REQUESTS, from_ms), 20, 31);
    run(rig, 1, 2, 5000, 0);
    fixture_do(rig->f, "EVALSHA %s 1 {} " SCOPE " 0 0 0 '' '' '' '' 60000 1",
        rig->quota_sha1);
    from_ms = rig->now_ms;
    run(rig, 1, 2, 10000, 0);
    /* 25 to 37.5 % of 200. */
    assert_in_range((unsigned)used(rig, QUOTA_REQUESTS, from_ms), 50, 68);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reservations_stay_within_the_limit_in_any_window),
        cmocka_unit_test(quota_is_used_up_while_there_is_work),
        cmocka_unit_test(a_wait_is_as_long_as_it_was_told),
        cmocka_unit_test(an_unlimited_scope_gives_all),
        cmocka_unit_test(every_lane_moves_and_urgent_ones_more),
        cmocka_unit_test(urgent_work_waits_for_one_claim_of_bulk_at_most),
        cmocka_unit_test(a_queue_that_no_longer_asks_holds_nobody_up),
        cmocka_unit_test(a_dead_worker_costs_what_it_had_reserved),
        cmocka_unit_test(what_was_used_beyond_the_reserve_is_owed),
        cmocka_unit_test(a_clock_that_jumps_stops_nobody),
        cmocka_unit_test(the_pace_begins_low_after_silence_and_after_a_ramp),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
