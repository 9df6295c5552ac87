#ifndef LH_JOB_BATCH_H
#define LH_JOB_BATCH_H

/*
 * batch: jobs submitted together, each with a custom_id, as one object. It
 * lives in Redis (common/queue/queue_bulk.h) from its first item until its
 * end, and from then on in the result store. Pure.
 *
 * A batch is named by its UUID in text form, without a prefix, everywhere
 * but in the API: there it is `batch_<uuid>` (ours) or `msgbatch_<uuid>` (as
 * Claude's Message Batches); either prefix names the same batch.
 */

#include "common/job/job.h"

#define BATCH_PREFIX "batch_"
#define BATCH_CLAUDE_PREFIX "msgbatch_"
#define BATCH_UUID_SIZE (ID_UUID_LEN + 1)
#define BATCH_RUN_MAX 128
#define BATCH_CUSTOM_ID_MAX 256 /* bytes; 64 on the Claude face */
#define BATCH_REJECTS_MAX 10000 /* rejected lines that are kept */
#define BATCH_REJECT_BYTES_MAX 1024 /* of one, as JSON */

enum batch_face { BATCH_FACE_NATIVE, BATCH_FACE_CLAUDE };
const char *batch_face_name(enum batch_face face); /* native, claude */
int batch_face_parse(struct slice in, enum batch_face *face) MUST_CHECK;

enum batch_state {
    BATCH_STAGING, /* nobody sees it but its uploader */
    BATCH_OPEN,
    BATCH_CANCELING,
    BATCH_ENDED /* never anything else again */
};
const char *batch_state_name(enum batch_state state);
int batch_state_parse(struct slice in, enum batch_state *state) MUST_CHECK;

/* Items that have ended: one each, in its newest generation. */
struct batch_tally {
    uint64_t succeeded;
    uint64_t failed;
    uint64_t canceled;
    uint64_t expired;
    struct job_usage usage;
    int64_t cost_usd_nanos; /* of those with a known price */
    uint64_t unpriced; /* without one, though they used tokens */
    uint64_t simulated; /* answered by the simulator */
    int64_t last_row; /* the newest row of the batch in the store, 0: none */
};
uint64_t batch_tally_total(const struct batch_tally *tally);

struct batch {
    char uuid[BATCH_UUID_SIZE];
    enum batch_face face;
    enum batch_state state;
    char tenant[JOB_TENANT_MAX + 1];
    int64_t created_ms; /* wall clock of the submitter, as in the uuid */
    int64_t expires_ms;
    int64_t cancel_ms; /* 0: not asked for */
    int64_t ended_ms; /* 0: it has not */
    uint64_t total; /* accepted items; 0 while staging */
    uint64_t rejected; /* lines that became no item */
    char sha256[65]; /* of the upload, "" while staging */
    char run[BATCH_RUN_MAX + 1]; /* the client's label, "" if none */
    char *idempotency_key; /* or NULL; owned */
    char *meta; /* for the faces, opaque here; or NULL; owned */
    struct batch_tally tally; /* of an ended one: final */
    bool deleted; /* only the name is left */
};
void batch_clear(struct batch *batch);
void batch_copy(struct batch *to, const struct batch *from);

/* "batch_..." or "msgbatch_..." with a version 7 UUID, which is copied to
 * uuid; 0 or -1. */
int batch_parse_id(struct slice in, char uuid[BATCH_UUID_SIZE]) MUST_CHECK;
/* Its id on a face, with NUL. */
void batch_format_id(const char *uuid, enum batch_face face, char out[ID_SIZE]);
/* A fresh one. */
void batch_make_uuid(char out[BATCH_UUID_SIZE]);
/* The id of the job that is the item custom_id of the batch: always the same,
 * so that staging is idempotent and a repeated custom_id is met. */
void batch_item_id(const char *uuid, struct slice custom_id, char out[ID_SIZE]);

/* All of it as one JSON object, and back; tenant, texts and numbers within
 * bounds or -1 (batch is cleared then). */
void batch_encode(const struct batch *batch, struct buffer *out);
int batch_decode(struct slice json, struct batch *batch) MUST_CHECK;

#endif
