#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <string.h>

#include "tests/fake-claude/cache.h"
#include "tests/fake-claude/prompt.h"

#define MINUTE 60000

/* Blocks of 100 tokens whose prefix hashes are 1000 * row + index. */
static void
fill(struct cache_block *blocks, size_t count, uint64_t row)
{
    for (size_t i = 0; i < count; i++)
        blocks[i] =
            (struct cache_block){.prefix = row * 1000 + i + 1, .tokens = 100};
}

static void
a_prefix_is_written_once_and_read_after_the_answer_began(void **state)
{
    (void)state;
    struct prompt_cache cache = {0};
    struct cache_block blocks[3];
    struct cache_use first;
    struct cache_use second;
    fill(blocks, 3, 1);
    blocks[1].ttl = CACHE_5M;
    cache_lookup(&cache, blocks, 3, 0, 0, &first);
    assert_int_equal(first.read_tokens, 0);
    assert_int_equal(first.write_5m_tokens, 200);
    cache_lookup(&cache, blocks, 3, 0, 10, &second);
    assert_int_equal(second.read_tokens, 0);
    assert_int_equal(second.write_5m_tokens, 200);
    cache_commit(&cache, &first);
    cache_lookup(&cache, blocks, 3, 0, 20, &second);
    assert_int_equal(second.read_tokens, 200);
    assert_int_equal(second.write_5m_tokens, 0);
    cache_clear(&cache);
}

static void
a_longer_prompt_reads_the_old_prefix_and_writes_the_rest(void **state)
{
    (void)state;
    struct prompt_cache cache = {0};
    struct cache_block blocks[4];
    struct cache_use use;
    fill(blocks, 4, 1);
    blocks[1].ttl = CACHE_5M;
    cache_lookup(&cache, blocks, 4, 0, 0, &use);
    cache_commit(&cache, &use);
    blocks[1].ttl = CACHE_NONE;
    blocks[3].ttl = CACHE_1H;
    cache_lookup(&cache, blocks, 4, 0, 1, &use);
    assert_int_equal(use.read_tokens, 200);
    assert_int_equal(use.write_1h_tokens, 200);
    assert_int_equal(use.write_5m_tokens, 0);
    cache_clear(&cache);
}

static void
an_entry_lives_from_its_last_use(void **state)
{
    (void)state;
    struct prompt_cache cache = {0};
    struct cache_block block = {.prefix = 7, .tokens = 10, .ttl = CACHE_5M};
    struct cache_use use;
    cache_lookup(&cache, &block, 1, 0, 0, &use);
    cache_commit(&cache, &use);
    cache_lookup(&cache, &block, 1, 0, 4 * MINUTE, &use);
    assert_int_equal(use.read_tokens, 10);
    cache_lookup(&cache, &block, 1, 0, 8 * MINUTE, &use);
    assert_int_equal(use.read_tokens, 10);
    cache_lookup(&cache, &block, 1, 0, 13 * MINUTE, &use);
    assert_int_equal(use.read_tokens, 0);
    block.prefix = 8;
    block.ttl = CACHE_1H;
    cache_lookup(&cache, &block, 1, 0, 0, &use);
    cache_commit(&cache, &use);
    cache_lookup(&cache, &block, 1, 0, 59 * MINUTE, &use);
    assert_int_equal(use.read_tokens, 10);
    cache_clear(&cache);
}

static void
a_short_prefix_is_silently_not_cached(void **state)
{
    (void)state;
    struct prompt_cache cache = {0};
    struct cache_block blocks[2];
    struct cache_use use;
    fill(blocks, 2, 1);
    blocks[0].ttl = CACHE_5M;
    blocks[1].ttl = CACHE_5M;
    cache_lookup(&cache, blocks, 2, 150, 0, &use);
    assert_int_equal(use.writes, 1);
    assert_int_equal(use.write_5m_tokens, 200);
    cache_lookup(&cache, blocks, 2, 201, 0, &use);
    assert_int_equal(use.writes, 0);
    assert_int_equal(use.write_5m_tokens, 0);
    cache_clear(&cache);
}

static void
a_breakpoint_looks_back_twenty_blocks(void **state)
{
    (void)state;
    struct prompt_cache cache = {0};
    struct cache_block blocks[30];
    struct cache_use use;
    fill(blocks, 30, 1);
    blocks[0].ttl = CACHE_5M;
    cache_lookup(&cache, blocks, 30, 0, 0, &use);
    cache_commit(&cache, &use);
    blocks[0].ttl = CACHE_NONE;
    blocks[19].ttl = CACHE_5M;
    cache_lookup(&cache, blocks, 30, 0, 1, &use);
    assert_int_equal(use.read_tokens, 100);
    blocks[19].ttl = CACHE_NONE;
    blocks[20].ttl = CACHE_5M;
    cache_lookup(&cache, blocks, 30, 0, 1, &use);
    assert_int_equal(use.read_tokens, 0);
    cache_clear(&cache);
}

static struct prompt
measure(const char *body)
{
    struct prompt prompt = {0};
    json_t *root = json_loads(body, 0, NULL);
    assert_non_null(root);
    prompt_measure(&prompt, root, slice_of(body), "m", 100, true);
    json_decref(root);
    return prompt;
}

/* The hash of a prompt's last block. */
static uint64_t
last_prefix(const char *body)
{
    struct prompt prompt = measure(body);
    assert_true(prompt.count > 0);
    uint64_t prefix = prompt.blocks[prompt.count - 1].prefix;
    prompt_clear(&prompt);
    return prefix;
}

static void
one_differing_byte_is_another_prefix(void **state)
{
    (void)state;
    uint64_t base = last_prefix("{\"system\":\"A\",\"messages\":["
                                "{\"role\":\"user\",\"content\":\"x\"}]}");
    static const char *const others[] = {
        "{\"system\":\"B\",\"messages\":[{\"role\":\"user\","
        "\"content\":\"x\"}]}",
        "{\"system\":\"A\",\"messages\":[{\"role\":\"user\","
        "\"content\":\"\\u0078\"}]}",
        "{\"system\":\"A\",\"messages\":[{\"role\":\"assistant\","
        "\"content\":\"x\"}]}",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
    };
    for (size_t i = 0; i < 4; i++)
        assert_int_not_equal(last_prefix(others[i]), base);
}

static void
markers_blanks_and_the_order_of_members_do_not_matter(void **state)
{
    (void)state;
    uint64_t base = last_prefix("{\"system\":[{\"type\":\"text\","
                                "\"text\":\"A\"}],\"messages\":["
                                "{\"role\":\"user\",\"content\":\"x\"}]}");
    assert_int_equal(base,
        last_prefix("{ \"messages\" : [ {\"content\":\"x\" , "
                    "\"role\":\"user\"} ],\n\"system\":[{\"type\":\"text\","
                    "\"cache_control\":{\"type\":\"ephemeral\"},"
                    "\"text\":\"A\"}]}"));
}

static void
explicit_and_automatic_breakpoints_are_found(void **state)
{
    (void)state;
    struct prompt prompt =
        measure("{\"cache_control\":{\"type\":\"ephemeral\",\"ttl\":\"1h\"},"
                "\"tools\":[{\"name\":\"t\",\"input_schema\":{},"
                "\"cache_control\":{\"type\":\"ephemeral\"}}],"
                "\"messages\":[{\"role\":\"user\",\"content\":["
                "{\"type\":\"text\",\"text\":\"hello there\"},"
                "{\"type\":\"text\",\"text\":\"what is this?\"}]}]}");
    assert_int_equal(prompt.count, 3);
    assert_int_equal(prompt.blocks[0].ttl, CACHE_5M);
    assert_int_equal(prompt.blocks[1].ttl, CACHE_NONE);
    assert_int_equal(prompt.blocks[2].ttl, CACHE_1H);
    assert_int_equal(prompt.breakpoints, 2);
    assert_true(prompt.ttl_disorder);
    assert_string_equal(prompt.question.data, "hello there\nwhat is this?");
    prompt_clear(&prompt);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            a_prefix_is_written_once_and_read_after_the_answer_began),
        cmocka_unit_test(
            a_longer_prompt_reads_the_old_prefix_and_writes_the_rest),
        cmocka_unit_test(an_entry_lives_from_its_last_use),
        cmocka_unit_test(a_short_prefix_is_silently_not_cached),
        cmocka_unit_test(a_breakpoint_looks_back_twenty_blocks),
        cmocka_unit_test(one_differing_byte_is_another_prefix),
        cmocka_unit_test(markers_blanks_and_the_order_of_members_do_not_matter),
        cmocka_unit_test(explicit_and_automatic_breakpoints_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
