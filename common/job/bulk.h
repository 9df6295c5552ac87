#ifndef LH_JOB_BULK_H
#define LH_JOB_BULK_H

/*
 * bulk: a batch as it is kept: in Redis from its first item until its end
 * (common/queue/queue_bulk.h), from then on in the result store. How the API
 * shows one is in batch.h. Named everywhere by its UUID in text form,
 * without a prefix. Pure.
 */

#include "common/job/batch.h"

#define BULK_UUID_SIZE BATCH_UUID_SIZE
#define BULK_REJECTS_MAX 10000 /* rejected lines that are kept */
#define BULK_REJECT_BYTES_MAX 1024 /* of one, as JSON */

enum bulk_face { BULK_NATIVE, BULK_CLAUDE };
const char *bulk_face_name(enum bulk_face face); /* native, claude */
int bulk_face_parse(struct slice in, enum bulk_face *face) MUST_CHECK;

/* Items that have ended, each in its newest generation. */
struct bulk_tally {
    uint64_t succeeded;
    uint64_t failed;
    uint64_t canceled;
    uint64_t expired;
    struct job_usage usage;
    int64_t cost_usd_nanos; /* of those with a known price */
    uint64_t unpriced; /* of them, without one */
    int64_t last_row; /* the newest row of the batch in the store, 0: none */
};
uint64_t bulk_tally_total(const struct bulk_tally *tally);

struct bulk {
    char uuid[BATCH_UUID_SIZE];
    enum bulk_face face;
    bool staging; /* nobody sees it but who uploads it */
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
    struct bulk_tally tally; /* of an ended one, final */
    bool deleted; /* only the name is left */
};
void bulk_clear(struct bulk *bulk);
void bulk_copy(struct bulk *to, const struct bulk *from);

/* A fresh one. */
void bulk_make_uuid(char out[BATCH_UUID_SIZE]);
/* The id of the job that is the item custom_id of the batch: always the same,
 * so that staging is idempotent and a repeated custom_id is met. */
void bulk_item_id(const char *uuid, struct slice custom_id, char out[ID_SIZE]);

/* The tally as a JSON object, and back. */
void bulk_tally_encode(const struct bulk_tally *tally, struct buffer *out);
int bulk_tally_decode(struct slice json, struct bulk_tally *tally) MUST_CHECK;

#endif
