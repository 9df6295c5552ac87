#ifndef LH_STORE_STORE_H
#define LH_STORE_STORE_H

/*
 * store: the terminal half of every job: rows (id, generation) with the
 * answer, and for dead letters the request. Asynchronous: work is done on
 * the store's own threads (one committer, one reader, one more for downloads)
 * and callbacks run on the event loop, exactly once, never before the call
 * returned.
 *
 * Promises: a commit is durable when its callback says so (SQLite: WAL,
 * synchronous=FULL, group commit); the first terminal row of a generation
 * wins and is never changed by a later one; every write transaction and
 * every checkpoint holds one advisory lock across processes. A failed fsync
 * ends the process (DESIGN section 4). The interface is a struct of function
 * pointers inside, because a second store is promised.
 */

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/job/bulk.h"
#include "common/job/job.h"

struct store;

enum store_status {
    STORE_OK,
    STORE_EXISTS, /* commit: this generation has a row already */
    STORE_ABSENT,
    STORE_FULL, /* disk full: try again later */
    STORE_BUSY, /* the lock was not had in time: try again */
    STORE_FAILED /* everything else; logged */
};

#define STORE_READ 1u
#define STORE_WRITE 2u

/*
 * `url` is "sqlite:PATH". With STORE_WRITE (which implies STORE_READ) the
 * schema is created or migrated. With STORE_READ alone a missing file is not
 * an error: reads say ABSENT until somebody created it (lists and the marker
 * are OK and empty). A corrupt or foreign database is: NULL, and a line for
 * people in error[size].
 */
struct store *store_open(struct event_base *base, const char *url,
    unsigned flags, char *error, size_t size) MUST_CHECK;
/* Waits for what was handed over; callbacks that are still due run (what they
 * hand over in turn fails). Not from a callback. NULL is allowed. */
void store_close(struct store *store);
/* "SQLite 3.40.1, WAL, at PATH" for start-up lines. */
const char *store_describe(const struct store *store);

typedef void store_on_status(void *arg, enum store_status status);

/*
 * Commits a terminal row. `answer` is Claude's Message (or empty), `request`
 * the stored form of the request for dead letters (or empty). All inputs are
 * copied before return. On STORE_EXISTS *existing is the row that won.
 */
void store_commit(struct store *store, const struct job_result *result,
    struct slice answer, struct slice request,
    void (*on_committed)(
        void *arg, enum store_status status, const struct job_result *existing),
    void *arg);

/* Rows handed to callbacks live for the call. */
typedef void store_on_row(void *arg, enum store_status status,
    const struct job_result *row, struct slice bytes);
/* What to read with a row. */
enum store_part { STORE_ROW, STORE_ANSWER, STORE_REQUEST };
/* The row of a generation, or the newest one with generation -1. A deleted
 * job gives STORE_OK and a row of which store_row_is_deleted() is true. The
 * bytes are empty when there are none. */
void store_get(struct store *store, const char *id, int generation,
    enum store_part part, store_on_row *on_row, void *arg);
/* Whether only the name of the job is left (GET gives 410). */
bool store_row_is_deleted(const struct job_result *row);
/* The newest row submitted with this idempotency key. */
void store_get_idempotent(struct store *store, const char *tenant,
    const char *key, store_on_row *on_row, void *arg);

struct store_filter {
    bool has_state;
    enum job_state state;
    const char *tenant; /* NULL: any; likewise below */
    const char *model;
    const char *lane;
    const char *tag;
    const char *error_type; /* Claude's, or our class when there was none */
    const char *batch; /* the uuid of a batch */
    int64_t after_ms; /* created at or after; 0: any */
    int64_t before_ms; /* created before; 0: any */
};
/* Newest generation of each job that was not deleted, newest id first, ids
 * strictly below `before` (or NULL), at most `limit` (<= 1,000). BUSY when a
 * rare combination of filters would take too long. */
void store_list(struct store *store, const struct store_filter *filter,
    const char *before, unsigned limit,
    void (*on_rows)(void *arg, enum store_status status,
        const struct job_result *rows, size_t count),
    void *arg);

/* --- writes of the janitor: idempotent, in the committer's transactions;
 * ABSENT when there is no such row */

/* Content gone, the name stays for 410. */
void store_delete(
    struct store *store, const char *id, store_on_status *on_status, void *arg);
/* The dead letter's request and flag go, the failed row stays. */
void store_discard(struct store *store, const char *id, unsigned generation,
    store_on_status *on_status, void *arg);
/* The request of a generation that was replayed is not needed any more. */
void store_forget_request(struct store *store, const char *id,
    unsigned generation, store_on_status *on_status, void *arg);
/*
 * Deletes up to `limit` rows that finished before `finished_before_ms`
 * (dead letters only if before `dead_before_ms`, 0 = never); *more tells
 * whether to call again. Rows of a batch go with it, not here.
 */
void store_sweep(struct store *store, int64_t finished_before_ms,
    int64_t dead_before_ms, unsigned limit,
    void (*on_swept)(
        void *arg, enum store_status status, unsigned count, bool more),
    void *arg);

/* --- batches --------------------------------------------------------------
 *
 * A row whose meta names a batch belongs to it. An ended batch has a row of
 * its own; before its end there are only its items' rows (and the batch is
 * in Redis, see common/queue/queue_bulk.h). Row numbers grow with every
 * commit and are never used twice: they are the cursor of results. */

/* Counts, tokens and cost of the rows of a batch so far: newest generations,
 * also of those that were deleted since. Zeros for an unknown batch. A few
 * reads, whatever its size. */
void store_batch_tally(struct store *store, const char *uuid,
    void (*on_tally)(
        void *arg, enum store_status status, const struct bulk_tally *tally),
    void *arg);

struct store_batch_query {
    const char *uuid;
    int64_t after; /* row numbers strictly above; 0: from the first */
    int64_t until; /* up to and including; 0: no bound */
    /* Of each item only the newest generation among rows up to `until`; this
     * and until = tally.last_row are the results of an ended batch. Else
     * every row, also those that a replay has superseded. */
    bool newest;
    bool dead; /* dead letters only */
    bool answers; /* with Claude's Messages */
    unsigned limit; /* rows, <= 1,000 */
    /* Stop when answers have this many bytes; one row always fits. */
    size_t max_bytes;
};
struct store_batch_row {
    int64_t row;
    struct job_result result; /* deleted: only its name is left */
    struct slice answer; /* empty if there is none */
};
/* In order of commitment. *more: there were more when it stopped. A short
 * read transaction each; rows live for the callback. */
void store_batch_rows(struct store *store,
    const struct store_batch_query *query,
    void (*on_rows)(void *arg, enum store_status status,
        const struct store_batch_row *rows, size_t count, bool more),
    void *arg);

/* An ended batch. OK or ABSENT; deleted ones are OK with batch->deleted. */
typedef void store_on_batch(
    void *arg, enum store_status status, const struct bulk *batch);
void store_batch_get(
    struct store *store, const char *uuid, store_on_batch *on_batch, void *arg);
/* The newest one made with this idempotency key. */
void store_batch_get_idempotent(struct store *store, const char *tenant,
    const char *key, store_on_batch *on_batch, void *arg);
struct store_batch_filter {
    const char *tenant; /* NULL: any; likewise below */
    const char *run;
    const char *cursor; /* a uuid; strictly beyond it */
    bool ascending; /* oldest first, towards newer; else newest first */
    unsigned limit; /* <= 1,000 */
};
/* Ended batches that were not deleted. */
void store_batch_list(struct store *store,
    const struct store_batch_filter *filter,
    void (*on_batches)(void *arg, enum store_status status,
        const struct bulk *batches, size_t count),
    void *arg);
/* Its rejected lines as they were put: JSON objects, a line each. */
void store_batch_rejects(struct store *store, const char *uuid,
    void (*on_rejects)(void *arg, enum store_status status, struct slice lines),
    void *arg);

/* Writes of the keeper, in the committer's transactions. */

/* An ended batch; the first put wins (EXISTS otherwise, also when it was
 * deleted since). Copied before return. */
void store_batch_put(struct store *store, const struct bulk *batch,
    struct slice rejects, store_on_status *on_status, void *arg);
/*
 * Erases rows of an ended batch, at most `limit` of them; dead letters are
 * only taken out of it. *more: call again. With the last of them the batch
 * keeps its name alone (`forget`: nothing). ABSENT: no such batch.
 */
void store_batch_erase(struct store *store, const char *uuid, unsigned limit,
    bool forget,
    void (*on_erased)(
        void *arg, enum store_status status, unsigned count, bool more),
    void *arg);
/* A batch whose time is over: of the Claude face created before
 * claude_before_ms, others ended before ended_before_ms. OK or ABSENT. */
void store_batch_get_due(struct store *store, int64_t claude_before_ms,
    int64_t ended_before_ms, store_on_batch *on_batch, void *arg);

/* The installation's marker; "" if there is none. set: EXISTS if another. */
void store_marker_get(struct store *store,
    void (*on_marker)(void *arg, enum store_status status, struct slice marker),
    void *arg);
void store_marker_set(struct store *store, const char *marker,
    store_on_status *on_status, void *arg);

struct store_stats {
    uint64_t commits; /* transactions */
    uint64_t rows; /* committed by this process */
    uint64_t queue_length; /* waiting for the committer */
    int64_t last_commit_us;
    uint64_t file_bytes;
    uint64_t free_bytes; /* of the file system */
};
void store_get_stats(struct store *store, struct store_stats *stats);

#endif
