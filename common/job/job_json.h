#ifndef LH_JOB_JOB_JSON_H
#define LH_JOB_JOB_JSON_H

/*
 * job_json: flat structs as JSON objects by table, for job_meta and
 * job_error. One row a member: key, kind, where it is in the struct, and the
 * bounds that what is read must keep. Zero, empty and NULL members are left
 * out; what is absent reads as zero. Used inside common/job only.
 */

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

/*
 * Reads an object of at most `max` bytes into `to`, which was zeroed. What is
 * not in the table goes to on_other (or is ignored when that is NULL), which
 * answers 0 or -1; `value` is as it is written. 0, or -1 when it is no valid
 * object, when a member of the table comes twice, has the wrong type or is
 * out of bounds; then owned members are freed by the struct's own clear
 * function. A scanner and not jansson: every claim reads one for each job.
 */
int job_json_read(struct slice json, size_t max,
    const struct job_json_field *fields, size_t count, void *to,
    int (*on_other)(void *arg, struct slice key, struct slice value),
    void *arg) MUST_CHECK;

#endif
