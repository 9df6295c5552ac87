#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/buffer.h"
#include "common/job/prompt_mix.h"

static struct prompt_mix
mix_of(const char *text)
{
    struct prompt_mix mix = {{0}, 0, 0, 0};

    prompt_mix_feed(&mix, slice_of(text));
    return mix;
}

static struct prompt_mix
mix_of_many(const char *text, unsigned times)
{
    struct buffer all = {0};
    struct prompt_mix mix = {{0}, 0, 0, 0};

    for (unsigned i = 0; i < times; i++)
        buffer_append_text(&all, text);
    prompt_mix_feed(&mix, buffer_slice(&all));
    buffer_clear(&all);
    return mix;
}

static void
bytes_are_counted_by_script(void **state)
{
    struct prompt_mix mix =
        mix_of("ab \xd0\xb6\xd0\xb6 \xe4\xb8\xad \xf0\x9f\x98\x80 \\u4e2d");

    (void)state;
    assert_int_equal(mix.count[PROMPT_ASCII], 6);
    assert_int_equal(mix.count[PROMPT_TWO], 4);
    assert_int_equal(mix.count[PROMPT_MORE], 7);
    assert_int_equal(mix.count[PROMPT_ESCAPES], 1);
    assert_int_equal(mix.cached_ppm, 0);
}

static void
an_image_in_base64_is_not_text(void **state)
{
    struct prompt_mix text = mix_of_many("The printer jams. ", 10000);
    struct prompt_mix image = mix_of_many("iVBORw0KGgo+/AAA", 10000);

    (void)state;
    assert_int_equal(text.count[PROMPT_ASCII], 180000);
    assert_in_range(text.words, 29000, 30000);
    assert_in_range(image.count[PROMPT_ASCII], 0, 512);
    assert_in_range(prompt_mix_least_tokens(&image), 0, 64);
}

static void
certain_are_fewer_tokens_than_any_tokenizer_makes(void **state)
{
    (void)state;
    struct prompt_mix text = mix_of_many("The printer jams. ", 1000);
    struct prompt_mix chinese = mix_of_many("\xe4\xb8\xad\xe6\x96\x87", 1000);
    struct prompt_mix blanks = mix_of_many("          ", 1000);

    assert_in_range(prompt_mix_least_tokens(&text), 1450, 1500);
    assert_in_range(prompt_mix_least_tokens(&chinese), 100, 250);
    assert_int_equal(prompt_mix_least_tokens(&blanks), 0);
}

static void
what_lies_before_the_last_mark_may_be_cached(void **state)
{
    struct prompt_mix mix = {{0}, 0, 0, 0};
    struct buffer text = {0};

    (void)state;
    for (unsigned i = 0; i < 3000; i++)
        buffer_append_text(&text, "manual and more ");
    prompt_mix_feed(&mix, buffer_slice(&text));
    assert_int_equal(mix.cached_ppm, 0);
    prompt_mix_feed(&mix, slice_of(",\"cache_control\":{\"type\":\"x\"}"));
    assert_in_range(mix.cached_ppm, 999000, 1000000);
    text.len = 16000;
    prompt_mix_feed(&mix, buffer_slice(&text));
    assert_in_range(mix.cached_ppm, 748000, 752000);
    buffer_clear(&text);
}

static void
a_job_carries_what_was_counted(void **state)
{
    struct prompt_mix mix = {{1, 2, 3, UINT64_C(123456789012)}, 700001, 9, 5};
    struct prompt_mix read;
    char text[PROMPT_MIX_SIZE];

    (void)state;
    prompt_mix_encode(&mix, text);
    assert_string_equal(text, "1 2 3 123456789012 700001");
    assert_int_equal(prompt_mix_decode(slice_of(text), &read), 0);
    assert_memory_equal(read.count, mix.count, sizeof(mix.count));
    assert_int_equal(read.cached_ppm, 700001);
    assert_int_equal(prompt_mix_decode(slice_of("1 2 3 4"), &read), -1);
    assert_int_equal(prompt_mix_decode(slice_of("1 2 3 4 1000001"), &read), -1);
    assert_int_equal(prompt_mix_decode(slice_of(""), &read), -1);
}

static void
rates_come_close_to_what_answers_say(void **state)
{
    struct prompt_rates rates = prompt_rates_guess(1);
    struct prompt_mix latin = mix_of_many("word ", 1000);
    struct prompt_mix mixed = mix_of_many("word \xe4\xb8\xad\xe6\x96\x87", 500);

    (void)state;
    for (unsigned i = 0; i < 200; i++) {
        prompt_rates_learn(&rates, &latin, 1500);
        prompt_rates_learn(&rates, &mixed, 2000);
    }
    assert_in_range((int)prompt_rates_apply(&rates, &latin), 1450, 1550);
    assert_in_range((int)prompt_rates_apply(&rates, &mixed), 1950, 2050);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_counted_by_script),
        cmocka_unit_test(an_image_in_base64_is_not_text),
        cmocka_unit_test(certain_are_fewer_tokens_than_any_tokenizer_makes),
        cmocka_unit_test(what_lies_before_the_last_mark_may_be_cached),
        cmocka_unit_test(a_job_carries_what_was_counted),
        cmocka_unit_test(rates_come_close_to_what_answers_say),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
