#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "common/job/template.h"
#include "common/net/json_scan.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct slice names[] = {
    {"id", 2}, {"subject", 7}, {"body", 4}, {"twice", 5}, {"twice", 5}};
static const struct slice values[] = {
    {"7", 1}, {"a \"b\"", 5}, {"x\ny", 3}, {"p", 1}, {"q", 1}};

static struct template *
make(const char *text)
{
    struct buffer error = {0};
    struct template *template = template_new(slice_of(text), &error);
    if (template == NULL ||
        template_bind(template, names, COUNT(names), &error) != 0)
        fail_msg("%s: %s", text, error.data);
    return template;
}

static void
fills_fields(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *rendered;
    } cases[] = {
        {"no field\n", "no field"},
        {"two ends\n\n", "two ends\n"},
        {"crlf\r\n", "crlf"},
        {"\xef\xbb\xbf{{id}}", "7"},
        {"{{id}}", "7"},
        {"{{ id }}-{{\tid}}", "7-7"},
        {"a {{subject}}: {{body}}.", "a a \"b\": x\ny."},
        {"{{{{id}}", "{{id}}"},
        {"{{{id}}}", "{7}"},
        {"{{{{{id}}", "{{{id}}"},
        {"{{{{{{id}}", "{{7"},
        {"{ } }} {x} {{id}}}}", "{ } }} {x} 7}}"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct buffer out = {0};
        struct template *template = make(cases[i].text);
        template_render(template, values, &out);
        assert_string_equal(out.data, cases[i].rendered);
        buffer_clear(&out);
        template_free(template);
    }
}

static void
lists_its_fields_once(void **state)
{
    (void)state;
    struct template *template = make("{{body}} {{id}} {{body}}");
    assert_int_equal(template_field_count(template), 2);
    assert_true(slice_equal_text(template_field_name(template, 0), "body"));
    assert_int_equal(template_field_column(template, 0), 2);
    assert_int_equal(template_field_column(template, 1), 0);
    template_free(template);
}

static void
refuses(const char *text, const char *wanted)
{
    struct buffer error = {0};
    struct template *template = template_new(slice_of(text), &error);
    if (template != NULL)
        assert_int_equal(
            template_bind(template, names, COUNT(names), &error), -1);
    assert_non_null(error.data);
    if (strstr(error.data, wanted) == NULL)
        fail_msg("%s: %s", text, error.data);
    buffer_clear(&error);
    template_free(template);
}

static void
names_what_is_wrong(void **state)
{
    (void)state;
    refuses("", "nothing in it");
    refuses(" \n", "nothing in it");
    refuses("a\nb {{id", "line 2: {{ is not closed");
    refuses("{{id}", "not closed");
    refuses("{{id\n}}", "line 1: {{ is not closed");
    refuses("{{}}", "line 1: a field's name");
    refuses("a\n\nb\xff", "line 3: not UTF-8");
    refuses("x\n{{subjet}}",
        "line 2: there is no field {{subjet}}; did you mean {{subject}}?");
    refuses("{{Body}}", "did you mean {{body}}?");
    refuses("{{colour}}",
        "there is no field {{colour}}. The fields are: id, subject, body");
    refuses("{{twice}}", "{{twice}} is the name of two columns");
}

static void
knows_rows_with_nothing_in_them(void **state)
{
    (void)state;
    static const struct slice blank[] = {
        {"7", 1}, {"", 0}, {" \n\t", 3}, {"", 0}, {"", 0}};
    struct template *template = make("{{subject}} {{body}}");
    assert_false(template_is_blank(template, values));
    assert_true(template_is_blank(template, blank));
    template_free(template);
    template = make("{{id}} {{body}}");
    assert_false(template_is_blank(template, blank));
    template_free(template);
    template = make("always the same");
    assert_false(template_is_blank(template, blank));
    template_free(template);
}

static char *
request_of(
    const char *prompt, const char *system, uint64_t min_tokens, double factor)
{
    struct buffer out = {0};
    struct template_request request = {.prompt = make(prompt),
        .system = system != NULL ? make(system) : NULL,
        .model = "claude-x",
        .max_tokens = 12};
    template_request_plan(&request, min_tokens, factor);
    template_request_render(&request, values, &out);
    assert_int_equal(json_scan_all(out.data, out.len, 16, NULL), 0);
    struct template *owned[] = {(struct template *)(uintptr_t)request.prompt,
        (struct template *)(uintptr_t)request.system};
    template_free(owned[0]);
    template_free(owned[1]);
    return buffer_take(&out);
}

#define HEAD "{\"model\":\"claude-x\",\"max_tokens\":12,"
#define USER "\"messages\":[{\"role\":\"user\",\"content\":"
#define MARK ",\"cache_control\":{\"type\":\"ephemeral\"}}"

static void
makes_a_request_with_the_shared_part_first(void **state)
{
    (void)state;
    static const struct {
        const char *prompt;
        const char *system;
        uint64_t min_tokens;
        double factor;
        const char *json;
    } cases[] = {
        {"Say {{subject}}", NULL, 0, 1, HEAD USER "\"Say a \\\"b\\\"\"}]}"},
        {"Say {{subject}}", "S", 100, 1,
            HEAD "\"system\":\"S\"," USER "\"Say a \\\"b\\\"\"}]}"},
        /* 8 characters are two tokens. */
        {"eight ch{{id}}", NULL, 3, 1, HEAD USER "\"eight ch7\"}]}"},
        {"eight ch{{id}}", NULL, 3, 1.5,
            HEAD USER "[{\"type\":\"text\",\"text\":\"eight ch\"" MARK
                      ",{\"type\":\"text\",\"text\":\"7\"}]}]}"},
        {"eight ch{{id}}.", "four", 3, 1,
            HEAD "\"system\":\"four\"," USER
                 "[{\"type\":\"text\",\"text\":\"eight ch\"" MARK
                 ",{\"type\":\"text\",\"text\":\"7.\"}]}]}"},
        /* Nothing is shared in the prompt, but the system prompt is. */
        {"{{id}} eight ch", "eight ch", 2, 1,
            HEAD "\"system\":[{\"type\":\"text\",\"text\":\"eight ch\"" MARK
                 "]," USER "\"7 eight ch\"}]}"},
        /* Behind a system prompt that varies nothing can be cached. */
        {"eight ch{{id}}", "four{{id}}", 2, 1,
            HEAD "\"system\":\"four7\"," USER "\"eight ch7\"}]}"},
        {"eight ch{{id}}", "four{{id}}", 1, 1,
            HEAD "\"system\":[{\"type\":\"text\",\"text\":\"four\"" MARK
                 ",{\"type\":\"text\",\"text\":\"7\"}]," USER
                 "\"eight ch7\"}]}"},
        {"no field at all", NULL, 1, 1, HEAD USER "\"no field at all\"}]}"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char *got = request_of(cases[i].prompt, cases[i].system,
            cases[i].min_tokens, cases[i].factor);
        assert_string_equal(got, cases[i].json);
        memory_free(got);
    }
}

static void
estimates_tokens_by_script(void **state)
{
    (void)state;
    assert_int_equal(template_tokens(slice_of("")), 0);
    assert_int_equal(template_tokens(slice_of("word")), 1);
    assert_int_equal(template_tokens(slice_of("words")), 2);
    assert_int_equal(template_tokens(slice_of("\xc3\xa9\xc3\xa9")), 1);
    assert_int_equal(
        template_tokens(slice_of("\xe6\x94\xb6\xe9\x93\xb6\xe7\xb3\xbb")), 2);
    assert_int_equal(template_tokens(slice_of("\xf0\x9f\x98\x80")), 2);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fills_fields),
        cmocka_unit_test(lists_its_fields_once),
        cmocka_unit_test(names_what_is_wrong),
        cmocka_unit_test(knows_rows_with_nothing_in_them),
        cmocka_unit_test(makes_a_request_with_the_shared_part_first),
        cmocka_unit_test(estimates_tokens_by_script),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
