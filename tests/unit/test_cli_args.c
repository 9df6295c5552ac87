#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "cli/args.h"
#include "cli/cli.h"

#define WORDS_MAX 16

static struct args args;
static char *words[WORDS_MAX];
static int count;
static struct buffer error;

/* Parses the words up to NULL with these options. */
static int
parse(const char *accepted, ...)
{
    va_list list;
    char *word;
    count = 0;
    buffer_reset(&error);
    args_init(&args);
    va_start(list, accepted);
    while ((word = va_arg(list, char *)) != NULL)
        words[count++] = word;
    va_end(list);
    return args_parse(&args, accepted, &count, words, &error);
}

static int
forget(void **state)
{
    (void)state;
    buffer_clear(&error);
    return 0;
}

static void
values_come_in_every_form(void **state)
{
    (void)state;
    assert_int_equal(parse("model file max-tokens", "--model", "a",
                         "--max-tokens=12", "-fprompt.md", NULL),
        0);
    assert_string_equal(args.model, "a");
    assert_int_equal(args.max_tokens, 12);
    assert_string_equal(args.file, "prompt.md");
    assert_int_equal(count, 0);
    assert_int_equal(parse("model file", "-m", "b", "-f", "-", NULL), 0);
    assert_string_equal(args.model, "b");
    assert_string_equal(args.file, "-");
    assert_int_equal(parse("model", "--model=", NULL), 0);
    assert_string_equal(args.model, "");
}

static void
words_stay_in_order(void **state)
{
    (void)state;
    assert_int_equal(
        parse("json", "one", "--json", "-", "--", "--json", "-x", NULL), 0);
    assert_int_equal(count, 4);
    assert_string_equal(words[0], "one");
    assert_string_equal(words[1], "-");
    assert_string_equal(words[2], "--json");
    assert_string_equal(words[3], "-x");
    assert_true(args.json);
}

static void
a_slip_of_the_finger_gets_a_suggestion(void **state)
{
    (void)state;
    assert_int_equal(parse("model file", "--modle", "x", NULL), -1);
    assert_string_equal(
        error.data, "unknown option --modle; did you mean --model?");
    assert_int_equal(parse("model file", "--elephant", NULL), -1);
    assert_string_equal(error.data, "unknown option --elephant");
    assert_int_equal(parse("model", "-x", NULL), -1);
    assert_string_equal(error.data, "unknown option -x");
}

static void
an_option_of_another_command_is_unknown(void **state)
{
    (void)state;
    assert_int_equal(parse("file", "--port", "1", NULL), -1);
    assert_non_null(strstr(error.data, "unknown option --port"));
}

static void
wrong_values_are_named(void **state)
{
    (void)state;
    assert_int_equal(parse("limit", "--limit", "12x", NULL), -1);
    assert_string_equal(error.data, "--limit wants a whole number");
    assert_int_equal(parse("limit", "--limit", "-1", NULL), -1);
    assert_int_equal(parse("limit", "--limit", NULL), -1);
    assert_string_equal(error.data, "--limit wants a value: N");
    assert_int_equal(parse("timeout", "--timeout", "soon", NULL), -1);
    assert_string_equal(
        error.data, "--timeout wants a time such as 30s, 10m, 2h");
    assert_int_equal(parse("json", "--json=yes", NULL), -1);
    assert_string_equal(error.data, "--json takes no value");
}

static void
lists_are_bounded(void **state)
{
    (void)state;
    struct args many;
    static char option[] = "--tag";
    static char value[] = "t";
    char *tags[2 * (ARGS_LIST_MAX + 1)];
    int n = 0;
    args_init(&many);
    for (size_t i = 0; i <= ARGS_LIST_MAX; i++) {
        tags[n++] = option;
        tags[n++] = value;
    }
    buffer_reset(&error);
    assert_int_equal(args_parse(&many, "tag", &n, tags, &error), -1);
    assert_int_equal(many.tags.count, ARGS_LIST_MAX);
    n = 2 * ARGS_LIST_MAX;
    args_init(&many);
    assert_int_equal(args_parse(&many, "tag", &n, tags, &error), 0);
}

/* Each name that a command lists is one of the table, and help shows it. */
static void
every_command_names_options_that_exist(void **state)
{
    (void)state;
    for (const struct command *c = cli_commands; c->name != NULL; c++) {
        struct slice rest = slice_of(c->options);
        struct buffer help = {0};
        assert_true(c->run != NULL || c->run_raw != NULL);
        assert_non_null(c->synopsis);
        cli_help(c, &help);
        while (rest.len > 0) {
            char name[64];
            struct slice word = slice_split(&rest, ' ');
            snprintf(name, sizeof(name), "--%.*s ", (int)word.len, word.data);
            if (strstr(help.data, name) == NULL)
                fail_msg("%s: %s is no option", c->name, name);
        }
        buffer_clear(&help);
    }
}

/* The server never learns that a bulk run named none. */
static void
the_help_says_whose_default_the_model_is(void **state)
{
    struct buffer help = {0};
    (void)state;
    args_help("model", &help);
    assert_non_null(strstr(help.data, "bulk: LONGHAUL_MODEL here"));
    buffer_clear(&help);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(values_come_in_every_form, forget),
        cmocka_unit_test_teardown(words_stay_in_order, forget),
        cmocka_unit_test_teardown(
            a_slip_of_the_finger_gets_a_suggestion, forget),
        cmocka_unit_test_teardown(
            an_option_of_another_command_is_unknown, forget),
        cmocka_unit_test_teardown(wrong_values_are_named, forget),
        cmocka_unit_test_teardown(lists_are_bounded, forget),
        cmocka_unit_test(every_command_names_options_that_exist),
        cmocka_unit_test(the_help_says_whose_default_the_model_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
