#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "embedded.h"
#include "tests/fake-claude/fast.h"
#include "tests/fake-claude/request.h"

static struct catalog *catalog;

static int
open_catalog(void **state)
{
    (void)state;
    const struct embedded_file *file = embedded_find("schema/models.json");
    catalog = catalog_new(slice_make(file->data, file->len));
    return catalog != NULL ? 0 : -1;
}

static int
close_catalog(void **state)
{
    (void)state;
    catalog_free(catalog);
    return 0;
}

/* The status the request ends with, 200 for a good one; *error may be
 * NULL. */
static unsigned
status_of(enum api_version version, const char *body, struct api_error *error)
{
    struct request_setting setting = {.catalog = catalog, .version = version};
    struct claude_request request = {0};
    struct api_error local = {0};
    int result = request_read(&setting, slice_of(body), &request, &local);
    request_clear(&request);
    if (error != NULL)
        *error = local;
    return result == 0 ? 200 : local.status;
}

/* A good request of the model with more members before its end. */
static unsigned
status_with(enum api_version version, const char *model, const char *more)
{
    struct buffer body = {0};
    buffer_printf(&body,
        "{\"model\":\"%s\",\"messages\":[{\"role\":\"user\","
        "\"content\":\"hi\"}]%s}",
        model, more);
    unsigned status = status_of(version, body.data, NULL);
    buffer_clear(&body);
    return status;
}

#define OLD API_2023_06_01
#define NEW API_2026_10_21
#define M ",\"max_tokens\":9"

static void
a_minimal_request_is_good_in_both_versions(void **state)
{
    (void)state;
    assert_int_equal(status_with(OLD, "claude-haiku-5-5", M), 200);
    assert_int_equal(status_with(NEW, "claude-haiku-5-5", M), 200);
    assert_int_equal(status_with(NEW, "mock-ok", M), 200);
}

static void
an_unknown_model_is_not_found(void **state)
{
    (void)state;
    assert_int_equal(status_with(NEW, "claude-none", M), 404);
    assert_int_equal(status_with(NEW, "mock-okay", M), 404);
    assert_int_equal(status_with(NEW, "claude-opus-4-5", M), 200);
}

static void
unknown_members_are_refused_by_name(void **state)
{
    (void)state;
    struct api_error error;
    assert_int_equal(status_of(NEW,
                         "{\"model\":\"mock-ok\",\"max_tokens\":1,"
                         "\"longhaul\":{},\"messages\":["
                         "{\"role\":\"user\",\"content\":\"x\"}]}",
                         &error),
        400);
    assert_string_equal(
        error.message, "longhaul: Extra inputs are not permitted");
    assert_string_equal(error.type, "invalid_request_error");
    assert_int_equal(status_with(NEW, "mock-ok", M ",\"mcp_servers\":[]"), 400);
}

static void
sampling_is_gone_from_the_new_version(void **state)
{
    (void)state;
    static const char *const fields[] = {
        ",\"temperature\":1.0", ",\"top_p\":0.995", ",\"top_k\":5"};
    for (size_t i = 0; i < 3; i++) {
        char more[64];
        snprintf(more, sizeof(more), "%s%s", M, fields[i]);
        assert_int_equal(status_with(NEW, "claude-opus-4-6", more), 400);
        assert_int_equal(status_with(OLD, "claude-opus-4-6", more), 200);
        /* Later models take only the defaults, and no top_k. */
        assert_int_equal(
            status_with(OLD, "claude-haiku-5-5", more), i == 2 ? 400 : 200);
    }
    assert_int_equal(
        status_with(OLD, "claude-haiku-5-5", M ",\"temperature\":0.2"), 400);
    assert_int_equal(
        status_with(OLD, "claude-opus-4-6", M ",\"temperature\":1.5"), 400);
}

static void
max_tokens_has_its_rules(void **state)
{
    (void)state;
    assert_int_equal(status_with(NEW, "mock-ok", ""), 400);
    assert_int_equal(status_with(NEW, "mock-ok", ",\"max_tokens\":0"), 200);
    assert_int_equal(
        status_with(NEW, "mock-ok", ",\"max_tokens\":0,\"stream\":true"), 400);
    assert_int_equal(status_with(NEW, "mock-ok", ",\"max_tokens\":-1"), 400);
    assert_int_equal(status_with(NEW, "mock-ok", ",\"max_tokens\":1.5"), 400);
    assert_int_equal(status_with(NEW, "mock-ok", ",\"max_tokens\":\"9\""), 400);
    assert_int_equal(
        status_with(NEW, "claude-haiku-5-5", ",\"max_tokens\":128000"), 200);
    assert_int_equal(
        status_with(NEW, "claude-haiku-5-5", ",\"max_tokens\":128001"), 400);
}

static void
tools_and_thinking_follow_the_model(void **state)
{
    (void)state;
    static const char any[] =
        M ",\"tool_choice\":{\"type\":\"any\"},\"tools\":[{\"name\":\"t\","
          "\"input_schema\":{\"type\":\"object\"}}]";
    assert_int_equal(status_with(NEW, "claude-haiku-5-5", any), 200);
    assert_int_equal(status_with(NEW, "claude-opus-5-5", any), 400);
    assert_int_equal(
        status_with(NEW, "claude-haiku-5-5", M ",\"tools\":[{}]"), 400);
    assert_int_equal(status_with(NEW, "claude-sonnet-5-5",
                         M ",\"thinking\":{\"type\":\"disabled\"}"),
        400);
    assert_int_equal(status_with(NEW, "claude-haiku-5-5",
                         M ",\"thinking\":{\"type\":\"disabled\"}"),
        200);
    assert_int_equal(status_with(NEW, "claude-haiku-5-5",
                         ",\"max_tokens\":2000,\"thinking\":"
                         "{\"type\":\"enabled\",\"budget_tokens\":2000}"),
        400);
}

static void
messages_must_have_their_shape(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "[]",
        "{}",
        "[1]",
        "[{\"role\":\"user\"}]",
        "[{\"role\":\"robot\",\"content\":\"x\"}]",
        "[{\"role\":\"system\",\"content\":\"x\"}]",
        "[{\"role\":\"user\",\"content\":[{}]}]",
        "[{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}]",
        "[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":"
        "\"x\",\"cache_control\":{\"type\":\"forever\"}}]}]",
        "[{\"role\":\"user\",\"content\":\"x\"},{\"role\":\"assistant\","
        "\"content\":[{\"type\":\"document\"}]}]",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char body[512];
        snprintf(body, sizeof(body),
            "{\"model\":\"mock-ok\",\"max_tokens\":1,\"messages\":%s}", bad[i]);
        assert_int_equal(status_of(NEW, body, NULL), 400);
    }
    assert_int_equal(status_of(NEW, "{\"model\":\"mock-ok\"", NULL), 400);
    assert_int_equal(status_of(NEW, "[]", NULL), 400);
    assert_int_equal(status_of(NEW, "", NULL), 400);
}

static void
too_many_breakpoints_are_refused(void **state)
{
    (void)state;
    static const char marked[] = "{\"type\":\"text\",\"text\":\"x\","
                                 "\"cache_control\":{\"type\":\"ephemeral\"}}";
    for (unsigned count = 4; count <= 5; count++) {
        struct buffer body = {0};
        buffer_append_text(&body,
            "{\"model\":\"mock-ok\",\"max_tokens\":1,\"messages\":"
            "[{\"role\":\"user\",\"content\":[");
        for (unsigned i = 0; i < count; i++)
            buffer_printf(&body, "%s%s", i > 0 ? "," : "", marked);
        buffer_append_text(&body, "]}]}");
        assert_int_equal(
            status_of(NEW, body.data, NULL), count > 4 ? 400 : 200);
        buffer_clear(&body);
    }
}

static void
big_integers_and_nul_escapes_are_no_error(void **state)
{
    (void)state;
    assert_int_equal(
        status_of(NEW,
            "{\"model\":\"mock-ok\",\"max_tokens\":5,\"messages\":["
            "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":"
            "\"a\\u0000b\"},{\"type\":\"tool_result\",\"x\":"
            "123456789012345678901234567890}]}]}",
            NULL),
        200);
}

static void
the_fast_reader_finds_model_and_stream(void **state)
{
    (void)state;
    struct slice body = slice_of("{\"max_tokens\":1, \"model\" : "
                                 "\"mock-slow-5s\",\"stream\": true}");
    assert_true(slice_equal_text(fast_model(body), "mock-slow-5s"));
    assert_true(fast_stream(body));
    assert_false(fast_stream(slice_of("{\"stream\":false}")));
    assert_int_equal(fast_model(slice_of("{\"model\":")).len, 0);
    assert_int_equal(fast_model(slice_of("{\"model\":\"cut")).len, 0);
    assert_int_equal(fast_model(SLICE_NULL).len, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_minimal_request_is_good_in_both_versions),
        cmocka_unit_test(an_unknown_model_is_not_found),
        cmocka_unit_test(unknown_members_are_refused_by_name),
        cmocka_unit_test(sampling_is_gone_from_the_new_version),
        cmocka_unit_test(max_tokens_has_its_rules),
        cmocka_unit_test(tools_and_thinking_follow_the_model),
        cmocka_unit_test(messages_must_have_their_shape),
        cmocka_unit_test(too_many_breakpoints_are_refused),
        cmocka_unit_test(big_integers_and_nul_escapes_are_no_error),
        cmocka_unit_test(the_fast_reader_finds_model_and_stream),
    };
    return cmocka_run_group_tests(tests, open_catalog, close_catalog);
}
