#ifndef LH_FAKE_ANSWER_H
#define LH_FAKE_ANSWER_H

/*
 * answer: what the simulated model says to a request. The same request and
 * seed give the same answer, to the byte.
 */

#include "tests/fake-claude/request.h"

enum answer_kind { ANSWER_TEXT, ANSWER_THINKING, ANSWER_TOOL_USE };

struct answer_block {
    enum answer_kind kind;
    struct buffer text; /* the text, the thinking, or the input's JSON */
    const char *tool_name; /* ANSWER_TOOL_USE; belongs to the request */
};

#define ANSWER_MAX_BLOCKS 2

struct answer {
    struct answer_block blocks[ANSWER_MAX_BLOCKS];
    size_t count;
    uint64_t identity; /* message ids and signatures are made of it */
    uint64_t output_tokens;
    uint64_t thinking_tokens; /* part of output_tokens */
    const char *stop_reason;
    const char *stop_sequence; /* belongs to the request, or NULL */
    bool refused;
};

/* *answer must be zeroed or cleared; `seed` comes from the body's bytes. */
void answer_compose(
    struct answer *answer, const struct claude_request *request, uint64_t seed);
/* A short fixed text, for benchmarks. */
void answer_canned(struct answer *answer, uint64_t seed);
void answer_clear(struct answer *answer);

#endif
