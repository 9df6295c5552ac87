#ifndef LH_QUEUE_QUEUE_BULK_H
#define LH_QUEUE_QUEUE_BULK_H

/*
 * queue_bulk: batches in flight. The typed face of schema/redis/batch_*.lua;
 * calls, statuses and lifetimes are as in queue.h.
 *
 *   open ... stage, reject ... reveal      an upload (drop: thrown away)
 *   get, list, items, rejects              readers; only what is revealed
 *   cancel, delete                         what clients ask for
 *   advance, end, leave, lock              the keeper, in every worker
 *
 * A batch is staged item by item and seen by nobody until its reveal, which
 * is one script: it is complete or absent, whatever dies. From then on its
 * items are jobs that can be read by their ids; `advance` moves them to
 * their queues. It has ended when each item has a row in the store and none
 * was replayed since; the end is decided here in one step (queue_bulk_end)
 * and never taken back: a replay after it runs outside of the batch.
 *
 * Counts come from the store (store_batch_tally). Here is only which items
 * are being worked on: see struct queue_bulk_view.
 */

#include "common/job/bulk.h"
#include "common/queue/queue.h"

/* --- upload -------------------------------------------------------------- */

struct queue_bulk_opened {
    /* OK: `batch` is staging under the given uuid, or goes on. DUPLICATE: it
     * was revealed (or has ended: then only uuid and sha256 are filled, ask
     * the store for the rest). NO_MARKER, FULL_BYTES, UNKNOWN. */
    enum queue_status status;
    /* OK and true: an earlier upload with this idempotency key broke off.
     * `batch` is that one, and its uuid and times count. */
    bool continued;
    const struct bulk *batch; /* lives for the callback; NULL otherwise */
};
/*
 * Begins an upload: uuid, face, tenant, created_ms, expires_ms, run, meta and
 * idempotency_key of `batch` count. Without a key a staging batch is swept
 * when nothing came for an hour, with one after 24 hours. The record of the
 * key stays for 24 hours after the end (then store_batch_get_idempotent).
 */
int queue_bulk_open(struct queue *queue, const struct bulk *batch,
    void (*on_opened)(void *arg, const struct queue_bulk_opened *result),
    void *arg) MUST_CHECK;

struct queue_bulk_item {
    /* From bulk_item_id(). */
    const char *id;
    /* With batch and custom_id; its parts, if any, were staged under id with
     * queue_stage. */
    const struct job_meta *meta;
    struct slice body; /* stored form when meta->parts is 0 */
    /* Its number in the upload: line, or index. Tells a line that is sent
     * again from a second line with the same custom_id. */
    uint64_t ordinal;
    /* Refused by our own validation: it will end `failed` with this error,
     * without a call, an attempt or a dead letter. NULL: to be run. */
    const struct job_error *refused;
};
/*
 * Adds one item to a staging batch. Admission is checked and counted here.
 * Many calls of one turn of the loop go to Redis together.
 *
 *   OK         it is there (now, or since an earlier upload)
 *   DUPLICATE  another ordinal has this custom_id: *ordinal
 *   CONFLICT   it is there with another body
 *   NOT_OWNER  the batch is not staging: dropped, or revealed by somebody
 *              who uploads with the same idempotency key (open tells)
 *   ABSENT     the staged parts are not complete
 *   FULL_JOBS, FULL_BYTES, NO_MARKER, UNKNOWN (simply stage it again)
 */
int queue_bulk_stage(struct queue *queue, const struct queue_bulk_item *item,
    const struct queue_limits *limits,
    void (*on_staged)(void *arg, enum queue_status status, uint64_t ordinal),
    void *arg) MUST_CHECK;

/* Keeps a rejected line (a JSON object, at most BULK_REJECT_BYTES_MAX) under
 * its number; the first BULK_REJECTS_MAX are kept. OK, NOT_OWNER. */
int queue_bulk_reject(struct queue *queue, const char *uuid, uint64_t line,
    struct slice json, queue_on_status *on_status, void *arg) MUST_CHECK;

struct queue_bulk_reveal {
    const char *uuid;
    uint64_t accepted; /* items of this upload, each counted once */
    uint64_t rejected; /* all bad lines, kept or not */
    const char *sha256; /* of the upload, 64 hex digits */
    /* Claude face: whether a batch of this tenant with the same upload, made
     * in the last 24 h, is taken for an earlier try of this one. */
    bool resent;
};
/*
 * Makes it visible, all at once.
 *
 *   OK         revealed (also if it was before, with this sha256)
 *   DUPLICATE  *uuid is another try of the same create: the earlier one when
 *              this is `resent`, or one that was, while this one was slow.
 *              Drop this one
 *   CONFLICT   what was staged under this key is not what was uploaded now
 *              (another number of items; or revealed with another sha256)
 *   NOT_OWNER  dropped meanwhile
 */
int queue_bulk_reveal(struct queue *queue,
    const struct queue_bulk_reveal *reveal,
    void (*on_revealed)(void *arg, enum queue_status status, struct slice uuid),
    void *arg) MUST_CHECK;

/* Throws a staging batch away with its key's record. From now on nothing can
 * be added; its items are removed by queue_bulk_advance. OK, also when there
 * is none; NOT_OWNER when it is revealed. */
int queue_bulk_drop(struct queue *queue, const char *uuid,
    queue_on_status *on_status, void *arg) MUST_CHECK;

/* --- read ---------------------------------------------------------------- */

struct queue_bulk_view {
    /* never staging; when its state is ENDED, the tally is final and so is all
     * else. Lives for the callback. */
    const struct bulk *batch;
    uint64_t promoted; /* items that have been moved to their queues */
    /* Items that a worker holds, or that wait for another attempt; the
     * others wait in line or have a row in the store. An item whose row was
     * committed a moment ago may be counted here and there: bound them by
     * what the tally leaves. */
    uint64_t running;
    uint64_t retrying;
    /* Replayed before the end and in flight again, though the tally still
     * counts their failed row. */
    uint64_t again;
    uint64_t replays; /* so far; for queue_bulk_end */
};
/* OK; ABSENT (not here: ask the store); CONFLICT: its deletion was asked for,
 * it reads as deleted wherever it is. */
int queue_bulk_get(struct queue *queue, const char *uuid,
    void (*on_batch)(void *arg, enum queue_status status,
        const struct queue_bulk_view *view),
    void *arg) MUST_CHECK;
/*
 * Batches in Redis, strictly beyond `cursor` (a uuid, or NULL: from the end):
 * newest first going to older ones, or with `ascending` oldest first going to
 * newer ones. At most `limit` (<= 1,000). An ended one may be in the store
 * already. `deleted` are those whose deletion was asked for and that are in
 * the store still (at most 10,000).
 */
int queue_bulk_list(struct queue *queue, const char *cursor, bool ascending,
    unsigned limit,
    void (*on_batches)(void *arg, enum queue_status status,
        const struct queue_bulk_view *views, size_t count,
        const struct slice *deleted, size_t deleted_count),
    void *arg) MUST_CHECK;

struct queue_bulk_entry {
    uint64_t index; /* from 0, in the order of staging */
    char id[ID_SIZE];
    struct slice custom_id; /* lives for the callback */
};
/* Items from index `from`, at most `limit` (<= 10,000); fewer than asked for:
 * there are no more. ABSENT as for get (after the end: rows of the store). */
int queue_bulk_items(struct queue *queue, const char *uuid, uint64_t from,
    unsigned limit,
    void (*on_items)(void *arg, enum queue_status status,
        const struct queue_bulk_entry *items, size_t count),
    void *arg) MUST_CHECK;
/* Rejected lines with numbers above `after`, ascending, at most `limit`
 * (<= 10,000). ABSENT after the end (store_batch_rejects). */
int queue_bulk_rejects(struct queue *queue, const char *uuid, uint64_t after,
    unsigned limit,
    void (*on_rejects)(void *arg, enum queue_status status,
        const struct slice *lines, size_t count),
    void *arg) MUST_CHECK;

/* --- what clients ask for ------------------------------------------------ */

/* Cancels all its items: at once for readers of the batch (`canceling`),
 * 500 a step for the items. OK (also when asked for before); ABSENT; CONFLICT
 * when it has ended. */
int queue_bulk_cancel(struct queue *queue, const char *uuid,
    queue_on_status *on_status, void *arg) MUST_CHECK;
/* Asks the keeper to erase an ended batch from the store with all its rows;
 * from now on it reads as deleted. Whether it is in the store is the
 * caller's to know. CONFLICT when it has not ended. */
int queue_bulk_delete(struct queue *queue, const char *uuid,
    queue_on_status *on_status, void *arg) MUST_CHECK;

/* --- the keeper ---------------------------------------------------------- */

/* One step of what waits to be done: items of revealed batches to their
 * queues, items of canceling ones to closing, dropped and stale stagings
 * away; at most `most` items. *more: call again. Any worker, any time. */
int queue_bulk_advance(struct queue *queue, unsigned most,
    void (*on_advanced)(
        void *arg, enum queue_status status, unsigned moved, bool more),
    void *arg) MUST_CHECK;

/*
 * Ends a batch with this tally, whose total is that of the batch, if no item
 * is in flight again and the number of replays is still `replays`. ended_ms
 * and the tally are kept. OK (also when it has ended before, with whatever
 * tally that was); CONFLICT: look again; ABSENT.
 */
int queue_bulk_end(struct queue *queue, const char *uuid, uint64_t replays,
    const struct bulk_tally *tally, queue_on_status *on_status,
    void *arg) MUST_CHECK;
/* The ended batch is in the store: its keys leave Redis. OK, also when they
 * have; CONFLICT when it has not ended. */
int queue_bulk_leave(struct queue *queue, const char *uuid,
    queue_on_status *on_status, void *arg) MUST_CHECK;
/* Its erasure from the store is done. */
int queue_bulk_deleted(struct queue *queue, const char *uuid,
    queue_on_status *on_status, void *arg) MUST_CHECK;
/* The right to be the keeper for for_ms: OK, or CONFLICT. */
int queue_bulk_lock(struct queue *queue, const char *holder, int64_t for_ms,
    queue_on_status *on_status, void *arg) MUST_CHECK;

#endif
