#ifndef LH_FAKE_FIELDS_H
#define LH_FAKE_FIELDS_H

/*
 * fields: one table of the top-level members a Messages request may have,
 * with the check of each. Internal to request.
 */

#include "tests/fake-claude/request.h"

struct field_check {
    const struct request_setting *setting;
    const json_t *root;
    const struct claude_request *request; /* model and card are known */
    struct api_error *error;
};

/* Every member of `check->root` is known, allowed here and well-formed, and
 * the required ones are there. 0, or -1 with the error. */
int fields_check(const struct field_check *check) MUST_CHECK;

/* A JSON number without a fraction, >= 0, at most 2^53. 0 or -1. */
int fields_read_count(const json_t *value, uint64_t *count) MUST_CHECK;

#endif
