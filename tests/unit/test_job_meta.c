#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "common/job/job.h"

#define SHA "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct job_meta
full_meta(void)
{
    struct job_meta meta = {.lane = JOB_LANE_BULK,
        .created_ms = 1795186800123,
        .expires_ms = 1795791600123,
        .timeout_ms = 600000,
        .max_attempts = 8,
        .max_tokens = 128000,
        .shorthand = true,
        .sampling = true,
        .codec = JOB_CODEC_ZSTD,
        .body_bytes = 31 << 20,
        .stored_bytes = 9 << 20,
        .parts = 18,
        .fallback_count = 1,
        .sha256 = SHA};
    strcpy(meta.model, "claude-opus-5-5");
    strcpy(meta.bucket, "opus-5-5");
    strcpy(meta.tenant, "acme");
    strcpy(meta.api_version, "2023-06-01");
    job_meta_add_tag(&meta, slice_of("quote \" and \\"));
    job_meta_add_tag(&meta, slice_of("n\xe1\xbb\x81n"));
    strcpy(meta.fallbacks[0], "claude-haiku-5-5");
    strcpy(meta.fallback_chain, "haiku-5-5");
    meta.beta = memory_dup("a-2026,b-2026");
    meta.idempotency_key = memory_dup("order 17");
    meta.recipe = memory_dup("c10-20;t1024");
    strcpy(meta.batch, "0199f6a2-5c1e-7abc-9def-0123456789ab");
    meta.custom_id = memory_dup("row-17");
    return meta;
}

static void
assert_same(const struct job_meta *a, const struct job_meta *b)
{
    assert_string_equal(a->model, b->model);
    assert_string_equal(a->bucket, b->bucket);
    assert_string_equal(a->tenant, b->tenant);
    assert_int_equal(a->lane, b->lane);
    assert_int_equal(a->created_ms, b->created_ms);
    assert_int_equal(a->expires_ms, b->expires_ms);
    assert_int_equal(a->timeout_ms, b->timeout_ms);
    assert_int_equal(a->max_attempts, b->max_attempts);
    assert_int_equal(a->max_tokens, b->max_tokens);
    assert_int_equal(a->shorthand, b->shorthand);
    assert_int_equal(a->sampling, b->sampling);
    assert_string_equal(a->api_version, b->api_version);
    assert_string_equal(a->beta, b->beta);
    assert_string_equal(a->batch, b->batch);
    assert_string_equal(a->custom_id, b->custom_id);
    assert_string_equal(a->idempotency_key, b->idempotency_key);
    assert_string_equal(a->recipe, b->recipe);
    assert_int_equal(a->tag_count, b->tag_count);
    for (unsigned i = 0; i < a->tag_count; i++)
        assert_string_equal(a->tags[i], b->tags[i]);
    assert_int_equal(a->fallback_count, b->fallback_count);
    assert_string_equal(a->fallbacks[0], b->fallbacks[0]);
    assert_string_equal(a->fallback_chain, b->fallback_chain);
    assert_int_equal(a->codec, b->codec);
    assert_int_equal(a->body_bytes, b->body_bytes);
    assert_int_equal(a->stored_bytes, b->stored_bytes);
    assert_int_equal(a->parts, b->parts);
    assert_string_equal(a->sha256, b->sha256);
}

static void
meta_survives_the_round_trip(void **state)
{
    (void)state;
    struct job_meta meta = full_meta(), back;
    struct buffer out = {0};
    job_meta_encode(&meta, &out);
    assert_int_equal(job_meta_decode(buffer_slice(&out), &back), 0);
    assert_same(&meta, &back);
    job_meta_clear(&meta);
    job_meta_clear(&back);
    assert_null(back.beta);
    buffer_clear(&out);
}

static void
small_meta_leaves_out_what_is_absent(void **state)
{
    (void)state;
    struct job_meta meta = {.lane = JOB_LANE_STANDARD, .created_ms = 5}, back;
    struct buffer out = {0};
    strcpy(meta.model, "m");
    strcpy(meta.bucket, "other");
    strcpy(meta.tenant, "default");
    job_meta_encode(&meta, &out);
    assert_string_equal(out.data,
        "{\"m\":\"m\",\"b\":\"other\","
        "\"t\":\"default\",\"c\":5,"
        "\"l\":\"standard\"}");
    assert_int_equal(job_meta_decode(buffer_slice(&out), &back), 0);
    assert_null(back.beta);
    assert_int_equal(back.tag_count, 0);
    assert_int_equal(back.codec, JOB_CODEC_RAW);
    job_meta_clear(&back);
    buffer_clear(&out);
}

static void
every_cut_of_a_meta_is_refused(void **state)
{
    (void)state;
    struct job_meta meta = full_meta(), back;
    struct buffer out = {0};
    job_meta_encode(&meta, &out);
    for (size_t len = 0; len < out.len; len++)
        assert_int_equal(job_meta_decode(slice_make(out.data, len), &back), -1);
    assert_null(back.beta);
    job_meta_clear(&meta);
    buffer_clear(&out);
}

#define BASE "\"m\":\"x\",\"b\":\"o\",\"t\":\"d\",\"l\":\"bulk\""

static void
refuses_wrong_types_and_bounds(void **state)
{
    (void)state;
    static const char *const bad[] = {"[]", "{}", "1",
        "{" BASE ",\"m\":\"twice\"}",
        "{\"m\":1,\"b\":\"o\",\"t\":\"d\",\"l\":\"bulk\"}",
        "{\"m\":\"\",\"b\":\"o\",\"t\":\"d\",\"l\":\"bulk\"}",
        "{\"m\":\"x\",\"b\":\"o\",\"t\":\"d\",\"l\":\"fast\"}",
        "{\"m\":\"x\",\"b\":\"o\",\"t\":\"d\"}", "{" BASE ",\"c\":-1}",
        "{" BASE ",\"c\":1.5}", "{" BASE ",\"c\":\"1\"}",
        "{" BASE ",\"p\":4097}", "{" BASE ",\"bb\":1073741825}",
        "{" BASE ",\"h\":\"abc\"}", "{" BASE ",\"h\":7}",
        "{" BASE ",\"tg\":\"x\"}", "{" BASE ",\"tg\":[1]}",
        "{" BASE ",\"fb\":[\"1\",\"2\",\"3\",\"4\",\"5\"]}",
        "{" BASE ",\"be\":\"x\",\"r\":[]}",
        "{" BASE ",\"v\":\"1234567890123456\"}", "{" BASE "} trailing",
        "{" BASE ",\"ik\":\"a\\u0000b\"}"};
    struct job_meta meta;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(job_meta_decode(slice_of(bad[i]), &meta), -1);
    assert_int_equal(job_meta_decode(slice_of("{" BASE "}"), &meta), 0);
    job_meta_clear(&meta);
}

static void
long_names_at_the_limit_pass_and_one_past_it_fail(void **state)
{
    (void)state;
    struct job_meta meta;
    for (int extra = 0; extra < 2; extra++) {
        struct buffer json = {0};
        buffer_append_text(
            &json, "{\"b\":\"o\",\"t\":\"d\",\"l\":\"bulk\",\"m\":\"");
        for (int i = 0; i < JOB_MODEL_MAX + extra; i++)
            buffer_append_char(&json, 'm');
        buffer_append_text(&json, "\"}");
        assert_int_equal(job_meta_decode(buffer_slice(&json), &meta), -extra);
        job_meta_clear(&meta);
        buffer_clear(&json);
    }
}

static void
names_of_states_and_lanes_parse_back(void **state)
{
    (void)state;
    for (enum job_state s = JOB_QUEUED; s <= JOB_EXPIRED; s++) {
        enum job_state back = JOB_QUEUED;
        assert_int_equal(
            job_state_parse(slice_of(job_state_name(s)), &back), 0);
        assert_int_equal(s, back);
        assert_int_equal(job_state_is_terminal(s), s >= JOB_SUCCEEDED);
    }
    enum job_lane lane = JOB_LANE_BULK;
    assert_int_equal(job_lane_parse(slice_of("interactive"), &lane), 0);
    assert_int_equal(lane, JOB_LANE_INTERACTIVE);
    assert_int_equal(job_lane_parse(slice_of("Bulk"), &lane), -1);
    enum job_state unused;
    assert_int_equal(job_state_parse(slice_of(""), &unused), -1);
}

static void
queue_name_tells_lane_bucket_and_fallback(void **state)
{
    (void)state;
    struct job_meta meta = full_meta();
    char name[JOB_QUEUE_MAX + 1];
    job_meta_queue(&meta, name);
    assert_string_equal(name, "bulk:opus-5-5>haiku-5-5");
    meta.fallback_chain[0] = '\0';
    job_meta_queue(&meta, name);
    assert_string_equal(name, "bulk:opus-5-5");
    memset(meta.bucket, 'b', JOB_BUCKET_MAX);
    memset(meta.fallback_chain, 'f', JOB_CHAIN_MAX);
    meta.lane = JOB_LANE_INTERACTIVE;
    job_meta_queue(&meta, name);
    assert_int_equal(strlen(name), 11 + 2 + JOB_BUCKET_MAX + JOB_CHAIN_MAX);
    job_meta_clear(&meta);
}

/* Those of one bucket share its limits and its breaker. */
static void
fallbacks_are_chained_by_bucket_and_none_twice(void **state)
{
    static const char *const rows[][2] = {{"own-2", "own"}, {"a-1", "a"},
        {"a-2", "a"}, {"b-1", "b"}, {"own", "own"}, {"c-1", "c"}, {"b", "b"},
        {"d-1", "d"}, {"e-1", "e"}};
    struct job_meta meta = {.bucket = "own"};
    char name[JOB_QUEUE_MAX + 1];
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        job_meta_add_fallback(&meta, slice_of(rows[i][0]), rows[i][1]);
    assert_int_equal(meta.fallback_count, 4);
    assert_string_equal(meta.fallbacks[0], "a-1");
    assert_string_equal(meta.fallbacks[1], "b-1");
    assert_string_equal(meta.fallbacks[2], "c-1");
    assert_string_equal(meta.fallbacks[3], "d-1");
    job_meta_queue(&meta, name);
    assert_string_equal(name, "interactive:own>a>b>c>d");
    memset(meta.fallback_chain, 0, sizeof(meta.fallback_chain));
    meta.fallback_count = 0;
    for (char c = 'f'; c < 'l'; c++) {
        char bucket[JOB_BUCKET_MAX + 1] = {0};
        memset(bucket, c, JOB_BUCKET_MAX);
        job_meta_add_fallback(&meta, slice_of("x"), bucket);
    }
    /* Room is left for the mark of limits. */
    assert_int_equal(strlen(meta.fallback_chain), JOB_CHAIN_MAX - 1);
}

static void
a_copy_outlives_what_it_was_made_from(void **state)
{
    struct job_meta meta = full_meta(), same = full_meta(), copy;
    (void)state;
    job_meta_copy(&copy, &meta);
    job_meta_clear(&meta);
    assert_same(&copy, &same);
    assert_string_equal(copy.custom_id, "row-17");
    job_meta_clear(&copy);
    job_meta_clear(&same);
    job_meta_copy(&copy, &meta); /* one without texts */
    assert_null(copy.beta);
    job_meta_clear(&copy);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_outlives_what_it_was_made_from),
        cmocka_unit_test(meta_survives_the_round_trip),
        cmocka_unit_test(small_meta_leaves_out_what_is_absent),
        cmocka_unit_test(every_cut_of_a_meta_is_refused),
        cmocka_unit_test(refuses_wrong_types_and_bounds),
        cmocka_unit_test(long_names_at_the_limit_pass_and_one_past_it_fail),
        cmocka_unit_test(names_of_states_and_lanes_parse_back),
        cmocka_unit_test(queue_name_tells_lane_bucket_and_fallback),
        cmocka_unit_test(fallbacks_are_chained_by_bucket_and_none_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
