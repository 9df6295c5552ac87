#include "tests/fake-claude/cache.h"

#include <string.h>

#define LOOK_BACK 20
#define SWEEP_AT 100000

/* An entry's value: the end of its life, and in bit 0 whether it lives an
 * hour. */
static uint64_t
entry_value(int64_t begun_ms, enum cache_ttl ttl)
{
    int64_t life_ms = ttl == CACHE_1H ? 3600000 : 300000;
    return (uint64_t)(begun_ms + life_ms) << 1 | (ttl == CACHE_1H);
}

static int64_t
entry_end_ms(uint64_t value)
{
    return (int64_t)(value >> 1);
}

static bool
is_live(void *arg, uint64_t value)
{
    const int64_t *now_ms = arg;
    return entry_end_ms(value) > *now_ms;
}

/* Whether the prefix is readable; if so its life starts anew. */
static bool
hit(struct prompt_cache *cache, uint64_t prefix, int64_t now_ms)
{
    uint64_t *value = table_find(&cache->entries, prefix);
    if (value == NULL || entry_end_ms(*value) <= now_ms)
        return false;
    *value = entry_value(now_ms, (*value & 1) != 0 ? CACHE_1H : CACHE_5M);
    return true;
}

/* How many of the blocks up to `breakpoint` an earlier request cached. */
static size_t
look_back(struct prompt_cache *cache, const struct cache_block *blocks,
    size_t breakpoint, int64_t now_ms)
{
    size_t first = breakpoint + 1 > LOOK_BACK ? breakpoint + 1 - LOOK_BACK : 0;
    for (size_t i = breakpoint + 1; i-- > first;)
        if (hit(cache, blocks[i].prefix, now_ms))
            return i + 1;
    return 0;
}

static uint64_t
tokens_between(const struct cache_block *blocks, size_t from, size_t to)
{
    uint64_t tokens = 0;
    for (size_t i = from; i < to; i++)
        tokens += blocks[i].tokens;
    return tokens;
}

static void
plan_writes(const struct cache_block *blocks, size_t count, size_t read,
    uint64_t min_tokens, struct cache_use *use)
{
    size_t from = read;
    for (size_t i = read; i < count; i++) {
        if (blocks[i].ttl == CACHE_NONE ||
            use->writes == CACHE_MAX_BREAKPOINTS ||
            tokens_between(blocks, 0, i + 1) < min_tokens)
            continue;
        uint64_t tokens = tokens_between(blocks, from, i + 1);
        if (blocks[i].ttl == CACHE_1H)
            use->write_1h_tokens += tokens;
        else
            use->write_5m_tokens += tokens;
        use->write_prefix[use->writes] = blocks[i].prefix;
        use->write_ttl[use->writes++] = blocks[i].ttl;
        from = i + 1;
    }
}

void
cache_lookup(struct prompt_cache *cache, const struct cache_block *blocks,
    size_t count, uint64_t min_tokens, int64_t now_ms, struct cache_use *use)
{
    memset(use, 0, sizeof(*use));
    use->begun_ms = now_ms;
    size_t read = 0;
    for (size_t i = 0; i < count; i++) {
        if (blocks[i].ttl == CACHE_NONE)
            continue;
        size_t found = look_back(cache, blocks, i, now_ms);
        read = found > read ? found : read;
    }
    use->read_tokens = tokens_between(blocks, 0, read);
    plan_writes(blocks, count, read, min_tokens, use);
}

void
cache_commit(struct prompt_cache *cache, const struct cache_use *use)
{
    size_t limit = cache->sweep_at != 0 ? cache->sweep_at : SWEEP_AT;
    if (cache->entries.used > limit) {
        int64_t now_ms = use->begun_ms;
        table_sweep(&cache->entries, is_live, &now_ms);
        cache->sweep_at = cache->entries.used * 2 + SWEEP_AT;
    }
    for (size_t i = 0; i < use->writes; i++)
        *table_at(&cache->entries, use->write_prefix[i]) =
            entry_value(use->begun_ms, use->write_ttl[i]);
}

void
cache_clear(struct prompt_cache *cache)
{
    table_clear(&cache->entries);
    cache->sweep_at = 0;
}
