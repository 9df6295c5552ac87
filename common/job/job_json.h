#ifndef LH_JOB_JOB_JSON_H
#define LH_JOB_JOB_JSON_H

/*
 * job_json: flat structs as JSON objects by table, for job_meta and
 * job_error. One row a member: key, kind, where it is in the struct, and the
 * bounds that what is read must keep. Zero, empty and NULL members are left
 * out; what is absent reads as zero. Used inside common/job only.
 */

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buffer.h"

enum job_json_kind {
    JOB_JSON_TEXT, /* char[size], NUL-terminated */
    JOB_JSON_OWNED, /* char *, at most `max` bytes */
    JOB_JSON_I64, /* 0..max */
    JOB_JSON_U64, /* 0..max */
    JOB_JSON_UINT, /* unsigned, 0..max */
    JOB_JSON_BOOL
};

struct job_json_field {
    const char *key;
    enum job_json_kind kind;
    size_t offset;
    size_t size; /* TEXT: of the array */
    int64_t max;
};

#define JOB_JSON_TEXT_OF(key, type, member) \
    { \
        (key), JOB_JSON_TEXT, offsetof(type, member), \
            sizeof(((type *)0)->member), 0 \
    }
#define JOB_JSON_FIELD(key, kind, type, member, max) \
    { \
        (key), (kind), offsetof(type, member), 0, (max) \
    }

/* Appends `"key":value,` for each of the `count` rows that is not zero. */
void job_json_put(const struct job_json_field *fields, size_t count,
    const void *from, struct buffer *out);
/* Ends an object that was opened with '{' and filled with members that each
 * end in a comma. */
void job_json_end(struct buffer *out);

/* An object of at most `max` bytes; the caller decrefs it. NULL when it is
 * not one, is not valid JSON or names a member twice. */
json_t *job_json_open(struct slice json, size_t max) MUST_CHECK;
/* 0, or -1 when a member has the wrong type or is out of bounds. `to` was
 * zeroed; after -1 its owned members are freed by its own clear function. */
int job_json_get(const struct job_json_field *fields, size_t count,
    const json_t *object, void *to) MUST_CHECK;

#endif
