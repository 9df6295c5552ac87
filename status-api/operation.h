#ifndef LH_STATUS_API_OPERATION_H
#define LH_STATUS_API_OPERATION_H

/*
 * operation: replay or discard of many dead letters: as a document (the form
 * kept in Redis is the form the API shows), and its pace. Pure.
 */

#include <stdint.h>

#include "common/base/id.h"
#include "status-api/dead.h"

#define OPERATION_ID_PREFIX "op_"
#define OPERATION_RATE_DEFAULT 10
#define OPERATION_RATE_MAX 1000

enum operation_action { OPERATION_REPLAY, OPERATION_DISCARD };
#define OPERATION_ACTIONS 2
/* By number, for gauges; "replay", "discard". */
const char *operation_action_name(unsigned action);

enum operation_state {
    OPERATION_RUNNING,
    OPERATION_SUCCEEDED,
    OPERATION_CANCELED
};

struct operation {
    char id[ID_SIZE];
    enum operation_action action;
    struct dead_filter filter;
    enum operation_state state;
    bool cancel_requested;
    /* The newest dead letter when it was made; later ones are not touched.
     * "": there was none. */
    char snapshot_until[48];
    char cursor[48]; /* everything up to this entry is done; "": nothing */
    uint64_t eligible; /* counted when it was made */
    uint64_t done;
    uint64_t skipped; /* replayed or discarded before it came to them */
    uint64_t failed; /* cannot be replayed; stay dead letters */
    uint64_t limit; /* 0: none */
    unsigned rate; /* per second */
    int64_t created_ms;
    int64_t finished_ms; /* 0: not yet */
    char created_by[JOB_TENANT_MAX + 1];
};

void operation_encode(const struct operation *operation, struct buffer *out);
/* Defensive: what Redis holds is not trusted. 0 or -1. */
int operation_decode(struct slice json, struct operation *operation) MUST_CHECK;

/* What POST /v1/operations asks for. */
struct operation_request {
    enum operation_action action;
    struct dead_filter filter;
    unsigned rate;
    uint64_t limit;
    bool dry_run;
};
/* 0, or -1 with a sentence in error[size]. */
int operation_request_parse(struct slice json,
    struct operation_request *request, char *error, size_t size) MUST_CHECK;

/* A wish to cancel is a document of its own, so that it cannot be lost to
 * the progress that is written at the same time. */
void operation_cancel_id(const char *id, char out[ID_SIZE]);
void operation_cancel_encode(const char *id, struct buffer *out);
/* Whether the document is one; the operation's id into out. */
bool operation_cancel_decode(struct slice json, char out[ID_SIZE]);

/* A token bucket; zeroed at the start. */
struct operation_pace {
    int64_t then_ms;
    double tokens;
};
/* How many may be started now, at most `most`; 0: ask again in *wait_ms. */
unsigned operation_allow(struct operation_pace *pace, int64_t now_ms,
    unsigned rate, unsigned most, int64_t *wait_ms);

#endif
