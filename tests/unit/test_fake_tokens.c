#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/fake-claude/tokens.h"

static void
four_ascii_characters_are_a_token(void **state)
{
    (void)state;
    assert_int_equal(tokens_count(SLICE_NULL), 0);
    assert_int_equal(tokens_count(slice_of("a")), 1);
    assert_int_equal(tokens_count(slice_of("abcd")), 1);
    assert_int_equal(tokens_count(slice_of("abcde")), 2);
}

static void
other_scripts_cost_more_for_each_character(void **state)
{
    (void)state;
    assert_int_equal(tokens_count(slice_of("привет")), 3);
    assert_int_equal(tokens_count(slice_of("你好世界再见")), 4);
    assert_int_equal(tokens_count(slice_of("😀😀")), 3);
}

static void
a_cut_keeps_whole_characters_and_the_limit(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "The quick brown fox", "你好世界再见", "Grüße, 世界 😀!", "a"};
    for (size_t t = 0; t < 4; t++) {
        struct slice text = slice_of(texts[t]);
        for (uint64_t most = 0; most <= tokens_count(text); most++) {
            size_t cut = tokens_cut(text, most);
            struct slice kept = slice_make(text.data, cut);
            assert_true(text_is_utf8(kept));
            assert_true(tokens_count(kept) <= most);
        }
        assert_int_equal(tokens_cut(text, tokens_count(text)), text.len);
    }
    assert_int_equal(tokens_cut(slice_of("abcdefgh"), 1), 4);
}

static void
scaling_rounds_up(void **state)
{
    (void)state;
    assert_int_equal(tokens_scale(10, 100), 10);
    assert_int_equal(tokens_scale(10, 130), 13);
    assert_int_equal(tokens_scale(1, 130), 2);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(four_ascii_characters_are_a_token),
        cmocka_unit_test(other_scripts_cost_more_for_each_character),
        cmocka_unit_test(a_cut_keeps_whole_characters_and_the_limit),
        cmocka_unit_test(scaling_rounds_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
