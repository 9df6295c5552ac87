#ifndef LH_FAKE_CACHE_H
#define LH_FAKE_CACHE_H

/*
 * cache: prompt caching as Claude's documentation describes it. A prompt is
 * a row of blocks (tools, then system, then messages); each carries a hash
 * of every byte up to and including itself. Breakpoints are written at their
 * block, read by looking back at most 20 blocks, live 5 minutes or an hour
 * from the start of the request that last wrote or read them, and are
 * readable only from the moment the writing request's answer began. Pure:
 * time is an argument.
 */

#include <stdint.h>

#include "tests/fake-claude/table.h"

enum cache_ttl { CACHE_NONE, CACHE_5M, CACHE_1H };

struct cache_block {
    uint64_t prefix; /* hash of the model and all bytes up to its end */
    uint64_t tokens; /* of this block alone */
    enum cache_ttl ttl; /* CACHE_NONE: no breakpoint here */
};

#define CACHE_MAX_BREAKPOINTS 4

/* What one request reads and will write. */
struct cache_use {
    uint64_t read_tokens;
    uint64_t write_5m_tokens;
    uint64_t write_1h_tokens;
    size_t writes;
    uint64_t write_prefix[CACHE_MAX_BREAKPOINTS];
    enum cache_ttl write_ttl[CACHE_MAX_BREAKPOINTS];
    int64_t begun_ms;
};

struct prompt_cache {
    struct table entries;
    size_t sweep_at; /* 0: the default */
};

/*
 * Looks the prompt up at `now_ms` (the start of the request), refreshes what
 * it hits and fills *use. Prefixes below `min_tokens` are neither read nor
 * written. Nothing is readable by others yet: see cache_commit().
 */
void cache_lookup(struct prompt_cache *cache, const struct cache_block *blocks,
    size_t count, uint64_t min_tokens, int64_t now_ms, struct cache_use *use);
/* The answer has begun: what *use writes becomes readable. */
void cache_commit(struct prompt_cache *cache, const struct cache_use *use);
void cache_clear(struct prompt_cache *cache);

#endif
