#ifndef LH_WORKER_ANSWER_H
#define LH_WORKER_ANSWER_H

/*
 * answer: the few fields that longhaul reads out of what Claude returned.
 * The answer itself is stored as it came. Everything is validated by the
 * JSON scanner first; missing and null are the same; nothing is trusted.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/text.h"

#define ANSWER_MESSAGE_SIZE 1025

struct answer_usage {
    int64_t input_tokens; /* all of them 0 when absent */
    int64_t output_tokens;
    int64_t cache_creation_input_tokens;
    int64_t cache_read_input_tokens;
    int64_t cache_creation_5m_input_tokens;
    int64_t cache_creation_1h_input_tokens;
};

struct answer {
    char id[80];
    char model[129];
    char stop_reason[40];
    bool has_usage;
    struct answer_usage usage;
};

/*
 * body: of a 200. 0 when it is a Message: a well-formed object whose type
 * is "message", with a content array, and stop_reason a non-empty string.
 * Otherwise -1, and *reason is a constant text that says why.
 */
int answer_parse(
    struct slice body, struct answer *answer, const char **reason) MUST_CHECK;

struct answer_error {
    char type[64];
    char code[64]; /* details.error_code, "" when absent */
    char request_id[80];
    /* Cut at a character's end, control characters made blanks. */
    char message[ANSWER_MESSAGE_SIZE];
};

/* body: of another status, or the data of an SSE error event. 0, or -1
 * when it is not Claude's error envelope (*error is then empty). */
int answer_error_parse(
    struct slice body, struct answer_error *error) MUST_CHECK;

#endif
