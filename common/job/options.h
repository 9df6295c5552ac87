#ifndef LH_JOB_OPTIONS_H
#define LH_JOB_OPTIONS_H

/*
 * options: what a client may ask of longhaul for one job, the `longhaul`
 * object of a request. One table row per option: name, type, bounds, help.
 * What is not in the table is refused by name, with a suggestion, because
 * an option that is silently ignored is worse than an error.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/job/job.h"

#define OPTIONS_JSON_MAX (16 * 1024)
#define OPTIONS_ERROR_SIZE 256

#define OPTIONS_EXPIRES_IN_DEFAULT_MS (INT64_C(7) * 86400 * 1000)
#define OPTIONS_EXPIRES_IN_MAX_MS (INT64_C(31) * 86400 * 1000)
#define OPTIONS_MAX_ATTEMPTS_DEFAULT 8
#define OPTIONS_MAX_ATTEMPTS_MAX 100
#define OPTIONS_TIMEOUT_DEFAULT_MS (INT64_C(600) * 1000)
#define OPTIONS_TIMEOUT_MAX_MS (INT64_C(3600) * 1000)

/* 1..JOB_MODEL_MAX printable ASCII bytes without blanks, quotes and
 * backslashes, so that a name can be put into JSON as it is. */
bool job_model_is_valid(struct slice model);

/* The form that Claude wants of a custom_id: [a-zA-Z0-9_-], 1..64. */
#define JOB_CUSTOM_ID_MAX 64
bool job_custom_id_is_valid(struct slice text);

struct job_options {
    enum job_lane lane;
    int64_t expires_in_ms; /* from acceptance; 1 s .. 31 d */
    int64_t timeout_ms; /* of one call; 1 s .. 3600 s */
    unsigned max_attempts; /* 1 .. 100 */
    unsigned tag_count;
    unsigned fallback_count;
    char tags[JOB_TAGS_MAX][JOB_TAG_MAX + 1];
    char fallback_models[JOB_FALLBACKS_MAX][JOB_MODEL_MAX + 1];
    bool has_fallback_on;
    bool fallback_on_limit; /* it names rate_limit */
    char custom_id[JOB_CUSTOM_ID_MAX + 1]; /* or "" */
};

/* Every option at its default. */
void options_init(struct job_options *options);

/*
 * json: the `longhaul` object as written, at most OPTIONS_JSON_MAX bytes,
 * a name at most once. What it does not name keeps the value it has in
 * *options. 0, or -1 with a sentence for the client in error
 * [OPTIONS_ERROR_SIZE] ("longhaul.lane: ..."); *options is then undefined.
 * The sentence names options, never values.
 */
int options_parse(
    struct slice json, struct job_options *options, char *error) MUST_CHECK;

/* The table, for documentation and help. */
struct options_row {
    const char *name;
    const char *type; /* "text", "list of text", "duration", "number" */
    const char *help; /* bounds and default in words */
};
/* Ends with a NULL name. */
const struct options_row *options_table(void);

#endif
