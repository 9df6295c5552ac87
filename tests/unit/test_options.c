#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "common/job/options.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define DAY_MS (INT64_C(86400) * 1000)

static struct job_options
parse(const char *json)
{
    struct job_options options;
    char error[OPTIONS_ERROR_SIZE] = "";

    options_init(&options);
    if (options_parse(slice_of(json), &options, error) != 0)
        fail_msg("%s: %s", json, error);
    return options;
}

static void
refused(const char *json, const char *expected)
{
    struct job_options options;
    char error[OPTIONS_ERROR_SIZE] = "";

    options_init(&options);
    if (options_parse(slice_of(json), &options, error) == 0)
        fail_msg("accepted: %s", json);
    assert_string_equal(error, expected);
}

static void
what_is_not_named_has_its_default(void **state)
{
    struct job_options options = parse(" { } ");

    (void)state;
    assert_int_equal(options.lane, JOB_LANE_STANDARD);
    assert_int_equal(options.expires_in_ms, 7 * DAY_MS);
    assert_int_equal(options.timeout_ms, 600000);
    assert_int_equal(options.max_attempts, 8);
    assert_int_equal(options.tag_count, 0);
    assert_int_equal(options.fallback_count, 0);
}

static void
every_option_is_read(void **state)
{
    struct job_options options = parse(
        "{\"lane\":\"interactive\",\"tags\":[\"team:a/b\",\"x=1@y-z.0_\"],"
        "\"expires_in\":\"2h\",\"max_attempts\":3,\"timeout\":30,"
        "\"fallback_models\":[\"claude-haiku-5-5\"]}");

    (void)state;
    assert_int_equal(options.lane, JOB_LANE_INTERACTIVE);
    assert_int_equal(options.tag_count, 2);
    assert_string_equal(options.tags[0], "team:a/b");
    assert_string_equal(options.tags[1], "x=1@y-z.0_");
    assert_int_equal(options.expires_in_ms, 7200000);
    assert_int_equal(options.max_attempts, 3);
    assert_int_equal(options.timeout_ms, 30000);
    assert_int_equal(options.fallback_count, 1);
    assert_string_equal(options.fallback_models[0], "claude-haiku-5-5");
}

static void
bounds_hold_at_the_limit(void **state)
{
    (void)state;
    assert_int_equal(parse("{\"expires_in\":1}").expires_in_ms, 1000);
    assert_int_equal(
        parse("{\"expires_in\":\"31d\"}").expires_in_ms, 31 * DAY_MS);
    assert_int_equal(
        parse("{\"expires_in\":2678400}").expires_in_ms, 31 * DAY_MS);
    assert_int_equal(parse("{\"timeout\":3600}").timeout_ms, 3600000);
    assert_int_equal(parse("{\"timeout\":\"1500ms\"}").timeout_ms, 1500);
    assert_int_equal(parse("{\"max_attempts\":1}").max_attempts, 1);
    assert_int_equal(parse("{\"max_attempts\":100}").max_attempts, 100);
    assert_int_equal(parse("{\"lane\":\"bulk\"}").lane, JOB_LANE_BULK);
    assert_int_equal(
        parse("{\"tags\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\","
              "\"9\",\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\"]}")
            .tag_count,
        16);
    assert_false(parse("{}").has_fallback_on);
    assert_true(parse("{\"fallback_on\":[]}").has_fallback_on);
    assert_false(parse("{\"fallback_on\":[]}").fallback_on_limit);
    assert_true(parse("{\"fallback_on\":[\"rate_limit\"]}").fallback_on_limit);
    assert_int_equal(
        parse("{\"fallback_models\":[\"a\",\"b\",\"c\",\"d\"]}").fallback_count,
        4);
}

struct refusal {
    const char *json;
    const char *error;
};

#define EXPIRES \
    "longhaul.expires_in: expected seconds or a text such as \"7d\", from 1s " \
    "to 31d"
#define TIMEOUT \
    "longhaul.timeout: expected seconds or a text such as \"10m\", from 1s " \
    "to 3600s"
#define ATTEMPTS "longhaul.max_attempts: expected a whole number from 1 to 100"
#define LANE "longhaul.lane: expected \"interactive\", \"standard\" or \"bulk\""
#define CUSTOM_ID \
    "longhaul.custom_id: expected 1 to 64 letters, digits, _ and -"
#define TAGS "longhaul.tags: expected a list of at most 16 tags"
#define TAG \
    "longhaul.tags: expected tags of 1 to 64 letters, digits or ._:/=@- each"
#define ON "longhaul.fallback_on: expected [] or [\"rate_limit\"]"
#define MODELS "longhaul.fallback_models: expected a list of at most 4 models"
#define MODEL \
    "longhaul.fallback_models: expected model names of 1 to 128 printable " \
    "characters each"
#define OBJECT "longhaul: expected an object of options"
#define X16 "xxxxxxxxxxxxxxxx"

static const struct refusal refusals[] = {
    {"{\"expires_in\":0}", EXPIRES},
    {"{\"expires_in\":-1}", EXPIRES},
    {"{\"expires_in\":2678401}", EXPIRES},
    {"{\"expires_in\":9223372036854775807}", EXPIRES},
    {"{\"expires_in\":\"32d\"}", EXPIRES},
    {"{\"expires_in\":\"999ms\"}", EXPIRES},
    {"{\"expires_in\":\"soon\"}", EXPIRES},
    {"{\"expires_in\":1.5}", EXPIRES},
    {"{\"expires_in\":null}", EXPIRES},
    {"{\"expires_in\":true}", EXPIRES},
    {"{\"timeout\":3601}", TIMEOUT},
    {"{\"timeout\":0}", TIMEOUT},
    {"{\"timeout\":[]}", TIMEOUT},
    {"{\"max_attempts\":0}", ATTEMPTS},
    {"{\"max_attempts\":101}", ATTEMPTS},
    {"{\"max_attempts\":\"8\"}", ATTEMPTS},
    {"{\"max_attempts\":8.0}", ATTEMPTS},
    {"{\"lane\":\"fast\"}", LANE},
    {"{\"lane\":\"Bulk\"}", LANE},
    {"{\"lane\":\"\"}", LANE},
    {"{\"lane\":1}", LANE},
    {"{\"lane\":\"overnight\"}",
        "longhaul.lane: the overnight lane is not built yet; use \"bulk\""},
    {"{\"tags\":\"a\"}", TAGS},
    {"{\"tags\":{}}", TAGS},
    {"{\"tags\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\","
     "\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\"]}",
        TAGS},
    {"{\"tags\":[\"\"]}", TAG},
    {"{\"tags\":[1]}", TAG},
    {"{\"tags\":[\"a b\"]}", TAG},
    {"{\"tags\":[\"a\\u0000\"]}", TAG},
    {"{\"tags\":[\"\xC3\xA9\"]}", TAG},
    {"{\"tags\":[\"" X16 X16 X16 X16 "y\"]}", TAG},
    {"{\"fallback_on\":\"rate_limit\"}", ON},
    {"{\"fallback_on\":[\"refusal\"]}", ON},
    {"{\"fallback_on\":[\"rate_limit\",\"rate_limit\"]}", ON},
    {"{\"fallback_on\":[1]}", ON},
    {"{\"fallback_on\":null}", ON},
    {"{\"fallback_models\":\"a\"}", MODELS},
    {"{\"fallback_models\":[\"a\",\"b\",\"c\",\"d\",\"e\"]}", MODELS},
    {"{\"fallback_models\":[\"a b\"]}", MODEL},
    {"{\"fallback_models\":[null]}", MODEL},
    {"{\"fallback_models\":[\"" X16 X16 X16 X16 X16 X16 X16 X16 "y\"]}", MODEL},
    {"{\"lane\":\"bulk\",\"lane\":\"bulk\"}",
        "longhaul: an option is given twice"},
    {"[]", OBJECT},
    {"1", OBJECT},
    {"{\"lane\":}", OBJECT},
    {"", OBJECT},
    {"{\"tag\":[]}",
        "longhaul.tag: there is no such option; did you mean tags?"},
    {"{\"max_attempt\":1}",
        "longhaul.max_attempt: there is no such option; did you mean "
        "max_attempts?"},
    {"{\"custom_id\":\"a.b\"}", CUSTOM_ID},
    {"{\"custom_id\":7}", CUSTOM_ID},
    {"{\"custom_id\":\"" X16 X16 X16 X16 "y\"}", CUSTOM_ID},
    {"{\"webhook\":1}",
        "longhaul.webhook: there is no such option; there are lane, tags, "
        "expires_in, max_attempts, timeout, fallback_models, fallback_on and "
        "custom_id"},
    {"{\"w\\n\xC3\xA9\":1}",
        "longhaul.w\?\?\?: there is no such option; there are lane, tags, "
        "expires_in, max_attempts, timeout, fallback_models, "
        "fallback_on and custom_id"},
};

static void
refuses_by_name_and_says_what_is_expected(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(refusals); i++)
        refused(refusals[i].json, refusals[i].error);
}

static void
a_long_unknown_name_does_not_grow_the_error(void **state)
{
    char json[3000] = "{\"";
    struct job_options options;
    char error[OPTIONS_ERROR_SIZE];

    (void)state;
    memset(json + 2, 'q', sizeof(json) - 7);
    memcpy(json + sizeof(json) - 5, "\":1}", 5);
    options_init(&options);
    assert_int_equal(options_parse(slice_of(json), &options, error), -1);
    assert_non_null(strstr(error, "there is no such option"));
    assert_true(strlen(error) < 200);
}

static void
a_model_name_can_be_put_into_json_as_it_is(void **state)
{
    char name[JOB_MODEL_MAX + 1];
    unsigned c;

    (void)state;
    for (c = 0; c < 256; c++) {
        char text[] = {'a', (char)c, 'b'};

        assert_int_equal(job_model_is_valid(slice_make(text, 3)),
            c > ' ' && c < 0x7F && c != '"' && c != '\\');
    }
    memset(name, 'm', sizeof(name));
    assert_true(job_model_is_valid(slice_make(name, JOB_MODEL_MAX)));
    assert_false(job_model_is_valid(slice_make(name, JOB_MODEL_MAX + 1)));
    assert_false(job_model_is_valid(SLICE_NULL));
}

static void
the_table_names_every_option(void **state)
{
    const struct options_row *row;
    size_t count = 0;

    (void)state;
    for (row = options_table(); row->name != NULL; row++, count++) {
        assert_true(strlen(row->help) > 10);
        assert_true(strlen(row->type) > 0);
    }
    assert_int_equal(count, 8);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_named_has_its_default),
        cmocka_unit_test(every_option_is_read),
        cmocka_unit_test(bounds_hold_at_the_limit),
        cmocka_unit_test(refuses_by_name_and_says_what_is_expected),
        cmocka_unit_test(a_long_unknown_name_does_not_grow_the_error),
        cmocka_unit_test(a_model_name_can_be_put_into_json_as_it_is),
        cmocka_unit_test(the_table_names_every_option),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
