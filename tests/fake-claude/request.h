#ifndef LH_FAKE_REQUEST_H
#define LH_FAKE_REQUEST_H

/*
 * request: a body of POST /v1/messages or /v1/messages/count_tokens, checked
 * as Claude's API checks it where its documentation is certain, and lenient
 * where it is not.
 */

#include <jansson.h>

#include "tests/fake-claude/cards.h"
#include "tests/fake-claude/catalog.h"
#include "tests/fake-claude/prompt.h"

enum api_version { API_2023_06_01, API_2026_10_21 };

struct api_error {
    unsigned status;
    const char *type; /* Claude's error type */
    const char *code; /* details.error_code, or NULL */
    char message[200];
};

/* What the request was made with, and against what it is checked. */
struct request_setting {
    const struct catalog *catalog;
    enum api_version version;
    bool has_betas; /* fields of the beta API are let through */
    bool count_only;
};

/* Texts belong to root. */
struct claude_request {
    json_t *root;
    const char *model; /* as answers name it */
    const struct catalog_model *info; /* NULL: a test card */
    struct card_choice card; /* card NULL: a model of the catalog */
    uint64_t max_tokens;
    bool stream;
    bool thinks;
    const char *forced_tool; /* tool_choice any or tool; NULL */
    const json_t *schema; /* output_config.format; NULL */
    const json_t *stop_sequences; /* an array of strings, or NULL */
    struct prompt prompt;
    char card_name[64]; /* what model points to when there is no root */
};

/*
 * Returns 0, or -1 with *error filled. *request must be zeroed; clear it in
 * both cases. After a failure, model is the name if it was known.
 */
int request_read(const struct request_setting *setting, struct slice body,
    struct claude_request *request, struct api_error *error) MUST_CHECK;
void request_clear(struct claude_request *request);

/* Fills *error, with the type that belongs to the status. -1. */
int api_error_set(struct api_error *error, unsigned status, const char *format,
    ...) __attribute__((format(printf, 3, 4)));

#endif
