#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "tests/fake-claude/cards.h"

static struct card_choice
choose(const char *model)
{
    struct card_choice choice;
    assert_int_equal(card_find(slice_of(model), &choice), 0);
    return choice;
}

static void
the_promised_cards_are_in_the_table(void **state)
{
    (void)state;
    static const char *const names[] = {"mock-ok", "mock-slow-30s",
        "mock-stream", "mock-529-twice", "mock-500-twice",
        "mock-429-retry-after-5", "mock-spend-cap", "mock-spend-limit-own",
        "mock-401", "mock-402", "mock-403", "mock-404", "mock-400", "mock-413",
        "mock-refusal", "mock-max-tokens", "mock-cut", "mock-cut-once",
        "mock-garbage", "mock-garbage-once", "mock-empty", "mock-hang",
        "mock-drip", "mock-endless", "mock-sse-error", "mock-flaky-10pct",
        "mock-529-always", "mock-500-always"};
    struct buffer help = {0};
    cards_help(&help);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_non_null(strstr(help.data, choose(names[i]).card->pattern));
    buffer_clear(&help);
}

static void
a_number_in_the_name_is_read_with_its_unit(void **state)
{
    (void)state;
    assert_int_equal(choose("mock-slow-30s").n, 30000);
    assert_int_equal(choose("mock-slow-250ms").n, 250);
    assert_int_equal(choose("mock-429-retry-after-3600").n, 3600);
    assert_int_equal(choose("mock-flaky-10pct").n, 10);
}

static void
what_is_not_a_card_is_not_found(void **state)
{
    (void)state;
    static const char *const names[] = {"", "mock-", "mock-529-twise",
        "mock-slow-s", "mock-slow--1s", "mock-slow-1m", "mock-okay", "xmock-ok",
        "mock-slow-99999999999999999999s"};
    struct card_choice choice;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_int_equal(card_find(slice_of(names[i]), &choice), -1);
}

static void
trouble_ends_after_the_promised_number_of_calls(void **state)
{
    (void)state;
    struct card_choice twice = choose("mock-529-twice");
    struct card_choice always = choose("mock-529-always");
    struct card_choice once = choose("mock-cut-once");
    assert_true(card_strikes(&twice, 1, 0));
    assert_true(card_strikes(&twice, 2, 0));
    assert_false(card_strikes(&twice, 3, 0));
    assert_true(card_strikes(&always, 1000, 0));
    assert_true(card_strikes(&once, 1, 0));
    assert_false(card_strikes(&once, 2, 0));
}

static void
a_flaky_card_strikes_by_chance(void **state)
{
    (void)state;
    struct card_choice flaky = choose("mock-flaky-10pct");
    assert_true(card_strikes(&flaky, 7, 0.0999));
    assert_false(card_strikes(&flaky, 7, 0.1));
    struct card_choice never = choose("mock-flaky-0pct");
    assert_false(card_strikes(&never, 1, 0));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_promised_cards_are_in_the_table),
        cmocka_unit_test(a_number_in_the_name_is_read_with_its_unit),
        cmocka_unit_test(what_is_not_a_card_is_not_found),
        cmocka_unit_test(trouble_ends_after_the_promised_number_of_calls),
        cmocka_unit_test(a_flaky_card_strikes_by_chance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
