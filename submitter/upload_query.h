#ifndef LH_SUBMITTER_UPLOAD_QUERY_H
#define LH_SUBMITTER_UPLOAD_QUERY_H

/*
 * upload_query: what the query and the content type of POST /v1/batches ask
 * for. Pure. A parameter that is not known is refused, with a suggestion.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/job/batch.h"
#include "common/job/options.h"
#include "common/job/template.h"
#include "common/net/http_parse.h"

#define UPLOAD_QUERY_ERROR_SIZE 320
#define UPLOAD_COLUMN_MAX 256

enum upload_form {
    UPLOAD_ENVELOPE, /* {"requests":[...]} */
    UPLOAD_LINES, /* NDJSON */
    UPLOAD_CSV
};

struct upload_query {
    enum upload_form form;
    bool strict;
    char run[BATCH_RUN_MAX + 1];
    char model[JOB_MODEL_MAX + 1]; /* of rows that name none; "": default */
    struct job_options options; /* lane, expires_in, max_attempts */
    /* CSV */
    uint64_t max_tokens;
    struct template *prompt; /* owned, likewise system */
    struct template *system; /* or NULL */
    unsigned places; /* {{...}} in both: bounds what a row can become */
    char id_column[UPLOAD_COLUMN_MAX + 1]; /* "": rows have no names */
};

/* *query holds the defaults of the installation (options); the rest is set
 * here. 0, or the HTTP status of what is wrong with a sentence in error. */
unsigned upload_query_read(const struct http_head *head,
    struct upload_query *query, char *error) MUST_CHECK;
void upload_query_clear(struct upload_query *query);

#endif
