#ifndef LH_FAKE_PROMPT_H
#define LH_FAKE_PROMPT_H

/*
 * prompt: a Messages request's prompt in the order Claude reads it (tools,
 * system, messages) as a row of blocks: how many tokens each is and, where
 * caching is asked for, the hash of every byte so far.
 */

#include <jansson.h>

#include "common/base/buffer.h"
#include "tests/fake-claude/cache.h"

struct prompt {
    uint64_t tokens;
    struct buffer question; /* the texts of the last user message */
    struct cache_block *blocks; /* only when measured with caching */
    size_t count;
    size_t breakpoints; /* explicit ones; may exceed the allowed four */
    bool ttl_disorder; /* an hour's breakpoint behind a 5-minute one */
};

/*
 * `root` is the parsed and checked request, `body` its bytes; `model` is
 * part of every hash; `percent` scales the counts (100: unchanged). With
 * `caching` off, blocks stays empty. *prompt must be zeroed or cleared.
 */
void prompt_measure(struct prompt *prompt, const json_t *root,
    struct slice body, const char *model, unsigned percent, bool caching);
void prompt_clear(struct prompt *prompt);

/* What a cache_control value asks for: CACHE_NONE for null, -1 if it is not
 * a valid one. */
int prompt_read_ttl(const json_t *cache_control);

#endif
