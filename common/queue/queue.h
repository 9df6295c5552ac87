#ifndef LH_QUEUE_QUEUE_H
#define LH_QUEUE_QUEUE_H

/*
 * queue: the jobs in flight, in Redis. Every change of more than one key is
 * one Lua script of schema/redis/ (see schema/redis/keys.md for the keys,
 * who owns what, and why each step survives a crash). This header is the
 * typed face of those scripts.
 *
 * Calls are asynchronous: 0 means the callback will run exactly once, from
 * the loop, after the call returned; -1 means Redis is not ready and the
 * callback will not run. QUEUE_UNKNOWN as a status means that the connection
 * broke after sending: every script may simply be called again.
 *
 * Ownership: a claim is (id, consumer, fence). Every script that changes a
 * claimed job checks all three and answers QUEUE_NOT_OWNER otherwise,
 * without any effect.
 */

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/job/job.h"
#include "common/job/prompt_mix.h"

struct redis;
struct queue;

enum queue_status {
    QUEUE_OK,
    QUEUE_ABSENT, /* no such job (in this state) */
    QUEUE_DUPLICATE, /* enqueue: it is there already, same body */
    QUEUE_CONFLICT, /* enqueue: the idempotency key has another body */
    QUEUE_FULL_JOBS, /* admission limits, or Redis is out of memory */
    QUEUE_FULL_BYTES,
    QUEUE_NOT_OWNER,
    QUEUE_NO_MARKER, /* this Redis lost its data: see queue_marker */
    QUEUE_BROKEN, /* an answer that makes no sense; logged */
    QUEUE_UNKNOWN /* connection lost or deadline passed */
};
const char *queue_status_name(enum queue_status status);

#define QUEUE_INLINE_MAX (64 * 1024) /* larger bodies go in parts */
#define QUEUE_PART_BYTES (512 * 1024) /* of one part */
#define QUEUE_PARTS_MAX 2048 /* of 24 KiB each in uploads: 48 MiB */

struct queue *queue_new(struct event_base *base, struct redis *redis);
void queue_free(struct queue *queue);
struct redis *queue_redis(struct queue *queue);

/* What Claude limits per minute. */
enum quota_kind { QUOTA_REQUESTS, QUOTA_INPUT, QUOTA_OUTPUT, QUOTA_KINDS };

typedef void queue_on_status(void *arg, enum queue_status status);

/* --- marker ----------------------------------------------------------- */

/* The installation's marker, "" if this Redis has none. */
int queue_marker_get(struct queue *queue,
    void (*on_marker)(void *arg, enum queue_status status, struct slice marker),
    void *arg) MUST_CHECK;
/* Sets it if there is none; QUEUE_CONFLICT if there is another. */
int queue_marker_set(struct queue *queue, const char *marker,
    queue_on_status *on_status, void *arg) MUST_CHECK;

/* --- submit ------------------------------------------------------------ */

/* Stores part `index` (from 0) of a large body; invisible until the enqueue.
 * Staged bodies without an enqueue are swept after an hour. */
int queue_stage(struct queue *queue, const char *id, unsigned index,
    struct slice bytes, queue_on_status *on_status, void *arg) MUST_CHECK;
/* Throws a staged body away. Best effort. */
void queue_unstage(struct queue *queue, const char *id);

struct queue_limits {
    uint64_t max_jobs; /* 0: none */
    uint64_t max_bytes; /* 0: none */
};

struct queue_enqueued {
    enum queue_status status;
    char id[ID_SIZE]; /* the existing job's on DUPLICATE and CONFLICT */
    uint64_t version;
    unsigned generation;
    enum job_state state; /* of the existing job; terminal if finished */
    bool finished; /* DUPLICATE of a job that has already ended */
    int64_t ahead;
};

/*
 * Makes the job visible under its id, atomically. `body` is the stored form
 * when meta->parts is 0. Its deadline is expires_in_ms from now by Redis's
 * clock; meta->expires_ms is what is shown. Idempotent by id (and by the
 * idempotency key within the tenant).
 */
int queue_enqueue(struct queue *queue, const char *id,
    const struct job_meta *meta, struct slice body, int64_t expires_in_ms,
    const struct queue_limits *limits,
    void (*on_enqueued)(void *arg, const struct queue_enqueued *result),
    void *arg) MUST_CHECK;

/* What the idempotency key of the tenant points at: OK, ABSENT. */
int queue_idempotency_get(struct queue *queue, const char *tenant,
    const char *key,
    void (*on_found)(void *arg, enum queue_status status, struct slice id,
        struct slice sha256),
    void *arg) MUST_CHECK;

/* --- work ---------------------------------------------------------------- */

enum queue_claim_kind {
    QUEUE_CLAIM_RUN, /* call Claude */
    QUEUE_CLAIM_CANCEL, /* commit `canceled` */
    QUEUE_CLAIM_EXPIRE, /* commit `expired` */
    QUEUE_CLAIM_CRASH, /* bury as crash_loop */
    QUEUE_CLAIM_PARKED, /* commit the parked answer (queue_parked_get) */
    QUEUE_CLAIM_REFUSED /* commit `failed` with `error`; no dead letter */
};

/* One claimed job. Strings live for the callback only, but meta, which the
 * callback may take over (copy the struct, zero it here). */
struct queue_claim {
    char id[ID_SIZE];
    enum queue_claim_kind kind;
    unsigned generation;
    /* Leaves room for one cancel request during the run: the terminal row
     * takes version + 1. */
    uint64_t version;
    uint64_t fence;
    unsigned attempts;
    unsigned takeovers;
    unsigned strikes;
    bool suspect;
    bool first; /* never claimed before: the store cannot have a row */
    int64_t started_ms;
    int64_t left_ms; /* to its deadline, by Redis's clock */
    struct job_error error; /* the last one */
    struct job_meta meta;
    struct slice body; /* the stored form when inline, else empty */
    /* Reserved in the quota's token buckets; 0 where no limit is known. */
    int64_t input_reserved;
    int64_t output_reserved;
    bool reserved;
};

/*
 * The quota that a claim's jobs use: the token buckets of a pool and model
 * bucket, which all workers share (see queue_quota_report). What a job will
 * use is told from its text and from what such jobs used before; it is
 * reserved before the job is given, and a job for which there is no room
 * stays in line. Borrowed until the callback runs.
 */
struct queue_quota {
    const char *scope; /* "POOL/BUCKET" */
    struct prompt_rates rates; /* of the model */
    double cached_share; /* paid for of the input before the last mark */
    int64_t output_each; /* what such a job produces */
    bool new_first; /* for a probe: not what has failed before */
    int64_t wait_ms; /* set before the callback: when to ask again, because
                        the next job found no room; else 0 */
};

/*
 * Claims up to `count` (<= 256) jobs of one queue ("lane:bucket..."), older
 * work first: handed back and retried jobs, then new ones; at most one
 * suspect, and only with `suspect_ok`. `queue_name` "closing" holds jobs that
 * need no call (kind != RUN). `claims` may be altered by the callback (see
 * above). With status BROKEN at least one job cannot be read: its meta is empty
 * (sha256 ""), it is owned all the same and has to be buried; the others are
 * as always. NOT_OWNER: this consumer was taken for dead and its jobs are
 * elsewhere; end the process or take a new name.
 *
 * `quota` may be NULL: what the jobs use is then not reckoned.
 *
 * After UNKNOWN what the lost claim took is handed back before the next claim
 * or beat of this consumer; nothing else has to be done.
 */
int queue_claim(struct queue *queue, const char *consumer,
    const char *queue_name, unsigned count, bool suspect_ok,
    struct queue_quota *quota,
    void (*on_claims)(void *arg, enum queue_status status,
        struct queue_claim *claims, size_t count),
    void *arg) MUST_CHECK;

/* Part `index` of a body, or of a parked answer with queue_parked_get. */
int queue_part_get(struct queue *queue, const char *id, unsigned index,
    void (*on_part)(void *arg, enum queue_status status, struct slice bytes),
    void *arg) MUST_CHECK;
int queue_parked_get(struct queue *queue, const char *id,
    void (*on_part)(void *arg, enum queue_status status, struct slice bytes),
    void *arg) MUST_CHECK;

struct queue_owner {
    const char *id;
    const char *consumer;
    uint64_t fence;
};

/* Whether the claim still holds: OK or NOT_OWNER. */
int queue_check(struct queue *queue, const struct queue_owner *owner,
    queue_on_status *on_status, void *arg) MUST_CHECK;
/* After the row is committed: the job leaves Redis, a tombstone stays. */
int queue_finish(struct queue *queue, const struct queue_owner *owner,
    const struct job_result *result, queue_on_status *on_status,
    void *arg) MUST_CHECK;
/* finish + the dead letter (result->state is failed, result->dead set). */
int queue_bury(struct queue *queue, const struct queue_owner *owner,
    const struct job_result *result, queue_on_status *on_status,
    void *arg) MUST_CHECK;
/* Waits in Redis for delay_ms; `attempts` is the new count. */
int queue_retry(struct queue *queue, const struct queue_owner *owner,
    int64_t delay_ms, unsigned attempts, const struct job_error *error,
    queue_on_status *on_status, void *arg) MUST_CHECK;
/* Hands it back at once, first in line; no takeover, no attempt. */
int queue_release(struct queue *queue, const struct queue_owner *owner,
    queue_on_status *on_status, void *arg) MUST_CHECK;
/* Keeps a paid-for answer that the store did not take. Still owned. */
int queue_park(struct queue *queue, const struct queue_owner *owner,
    struct slice answer, queue_on_status *on_status, void *arg) MUST_CHECK;

/* --- quota -------------------------------------------------------------- */

/* What a worker tells about the limits of a scope; see quota.lua. */
struct queue_quota_report {
    const char *scope;
    /* Requests, input tokens, output tokens. */
    int64_t used[QUOTA_KINDS]; /* beside what was reserved; < 0: less */
    int64_t per_min[QUOTA_KINDS]; /* from now on; 0 no limit, -1 as before */
    int64_t burst_ms; /* of refill that fit; -1 as before */
    int64_t ramp_ms; /* the pace grows back over it; -1 as before */
    bool empty; /* nothing may be used now: Claude said so */
};
struct queue_quota_state {
    bool known[QUOTA_KINDS]; /* per_min was told by somebody */
    int64_t per_min[QUOTA_KINDS]; /* 0: no limit */
    int64_t level[QUOTA_KINDS]; /* may be used now; 0 without a limit */
};
/* Not repeated when its outcome is UNKNOWN. */
int queue_quota_report(struct queue *queue,
    const struct queue_quota_report *report,
    void (*on_state)(void *arg, enum queue_status status,
        const struct queue_quota_state *state),
    void *arg) MUST_CHECK;

/* --- heartbeat, takeover, due work ------------------------------------- */

/* What one beat learns. Slices and arrays live for the callback. */
struct queue_beats {
    size_t count;
    const struct queue_beat {
        struct slice consumer;
        uint64_t beats;
        bool gone; /* left in good order: hand back at once */
    } * beat;
    size_t abort_count; /* jobs of this consumer whose cancel was asked */
    const struct slice *aborts;
};
/* +1 on this consumer's counter; every 2 s. */
int queue_beat(struct queue *queue, const char *consumer,
    void (*on_beats)(
        void *arg, enum queue_status status, const struct queue_beats *beats),
    void *arg) MUST_CHECK;
/* Marks the consumer gone. The last thing an orderly worker does. */
int queue_leave(struct queue *queue, const char *consumer,
    queue_on_status *on_status, void *arg) MUST_CHECK;
/*
 * Takes up to 100 entries of a dead consumer and puts them back in line (or
 * among the suspects, or to closing) if its counter is still `beats`.
 * *left tells whether to call again. The consumer is removed when none is.
 */
int queue_reap(struct queue *queue, const char *consumer, uint64_t beats,
    void (*on_reaped)(
        void *arg, enum queue_status status, unsigned moved, bool left),
    void *arg) MUST_CHECK;

/* What is shared by all workers beside jobs; see queue_hold_set. */
struct queue_hold {
    char scope[JOB_BUCKET_MAX + 80]; /* "pool:NAME", "bucket:POOL/BUCKET",
                                        "lane:NAME" */
    char kind[16]; /* "paused", "open", "limited", "stopped" (by hand) */
    int64_t until_ms; /* Redis's wall clock; 0 = until lifted by hand */
    int64_t left_ms; /* from now; -1 = until lifted */
    uint64_t epoch;
    char reason[256];
};
struct queue_tick {
    unsigned promoted; /* moved to a stream by this tick */
    bool more; /* call again soon */
    size_t queue_count;
    const struct slice *queues; /* "standard:opus-5-5", ... */
    size_t hold_count;
    const struct queue_hold *holds;
};
/*
 * Moves due retries back in line and canceled or expired waiting jobs to
 * `closing`, sweeps stale stagings, and tells what queues and holds there
 * are. Every 500 ms by every worker.
 */
int queue_tick(struct queue *queue,
    void (*on_tick)(
        void *arg, enum queue_status status, const struct queue_tick *tick),
    void *arg) MUST_CHECK;

/*
 * A hold stops claims for its scope in every worker: an open breaker, a rate
 * limit, a paused pool or lane. Published at once, repeated by every tick.
 * for_ms -1: until lifted. A longer hold is never shortened unless `force`.
 */
int queue_hold_set(struct queue *queue, const char *scope, const char *kind,
    int64_t for_ms, const char *reason, bool force, queue_on_status *on_status,
    void *arg) MUST_CHECK;
int queue_hold_clear(struct queue *queue, const char *scope,
    queue_on_status *on_status, void *arg) MUST_CHECK;
/* The right to send the one probe of a half-open breaker, for for_ms. OK or
 * CONFLICT when somebody else has it. */
int queue_probe(struct queue *queue, const char *scope, const char *consumer,
    int64_t for_ms, queue_on_status *on_status, void *arg) MUST_CHECK;

/* An upstream, as its workers have it. */
#define QUEUE_POOL_BUCKETS_MAX (64 * (JOB_BUCKET_MAX + 1))
struct queue_pool {
    char name[64];
    char base_url[256]; /* cut when it is longer: it is for people */
    char buckets[QUEUE_POOL_BUCKETS_MAX]; /* served; separated by blanks, ""
                                             means all */
    uint64_t weight;
};
/* Tells of one that this worker has; at least once a minute. */
int queue_pool_tell(struct queue *queue, const struct queue_pool *pool,
    queue_on_status *on_status, void *arg) MUST_CHECK;

/*
 * Notices: `wake` when work came for a queue that workers found empty,
 * `hold` when holds changed (call queue_tick), `abort` when somebody asked
 * for the cancel of a running job (call queue_beat, which tells whose), `gap`
 * when notices may have been missed. For workers.
 */
enum queue_notice {
    QUEUE_NOTICE_WAKE,
    QUEUE_NOTICE_HOLD,
    QUEUE_NOTICE_ABORT,
    QUEUE_NOTICE_BATCH, /* revealed or canceled: queue_bulk_advance */
    QUEUE_NOTICE_GAP
};
void queue_listen(struct queue *queue,
    void (*on_notice)(void *arg, enum queue_notice notice), void *arg);

/* --- read, steer ------------------------------------------------------- */

/* A job in flight. On OK the view (and its meta) lives for the callback.
 * ABSENT: not in Redis; ask the store. */
int queue_get(struct queue *queue, const char *id,
    void (*on_job)(
        void *arg, enum queue_status status, const struct job_view *view),
    void *arg) MUST_CHECK;

/* Ids in flight, newest first, strictly below `before` (or NULL), at most
 * `limit` (<= 1,000). Views as for queue_get, in the order of ids. */
int queue_list(struct queue *queue, const char *before, unsigned limit,
    void (*on_jobs)(void *arg, enum queue_status status,
        const struct job_view *views, size_t count),
    void *arg) MUST_CHECK;

/* "id version state" of every change while listening; gap = re-read. For
 * long-polls. queue_watch_stop when nobody waits. */
void queue_watch(struct queue *queue,
    void (*on_change)(
        void *arg, struct slice id, uint64_t version, enum job_state state),
    void (*on_gap)(void *arg), void *arg);
void queue_watch_stop(struct queue *queue);

/* OK: canceled or will be (running: its worker aborts). ABSENT: not in
 * flight. *version is the new one. */
int queue_cancel(struct queue *queue, const char *id,
    void (*on_cancel)(void *arg, enum queue_status status, uint64_t version),
    void *arg) MUST_CHECK;

/* Asks the workers to erase a terminal job from the store; from now on it
 * reads as deleted. */
int queue_delete(struct queue *queue, const char *id,
    queue_on_status *on_status, void *arg) MUST_CHECK;
/* Whether a deletion was asked for: OK or ABSENT. */
int queue_is_deleted(struct queue *queue, const char *id,
    queue_on_status *on_status, void *arg) MUST_CHECK;

/* Store work that any worker does, idempotent. */
enum queue_chore_kind {
    QUEUE_CHORE_DELETE,
    QUEUE_CHORE_DISCARD,
    QUEUE_CHORE_FORGET_REQUEST
};
struct queue_chore {
    enum queue_chore_kind kind;
    char id[ID_SIZE];
    unsigned generation;
};
int queue_chores_get(struct queue *queue, unsigned limit,
    void (*on_chores)(void *arg, enum queue_status status,
        const struct queue_chore *chores, size_t count),
    void *arg) MUST_CHECK;
int queue_chore_done(struct queue *queue, const struct queue_chore *chore,
    queue_on_status *on_status, void *arg) MUST_CHECK;

/* --- dead letters -------------------------------------------------------- */

struct queue_dead {
    char entry[48]; /* stream id: the cursor */
    char id[ID_SIZE];
    unsigned generation;
    unsigned attempts;
    int64_t dead_ms;
    char lane[16];
    char model[JOB_MODEL_MAX + 1];
    char tenant[JOB_TENANT_MAX + 1];
    char fingerprint[17];
    struct job_error error;
};
/* Oldest first, strictly after `after` (or NULL), up to and including
 * `until` (or NULL), at most `limit` (<= 1,000). */
int queue_dead_list(struct queue *queue, const char *after, const char *until,
    unsigned limit,
    void (*on_dead)(void *arg, enum queue_status status,
        const struct queue_dead *dead, size_t count),
    void *arg) MUST_CHECK;
/* The dead letter of a job. */
int queue_dead_get(struct queue *queue, const char *id,
    void (*on_dead)(
        void *arg, enum queue_status status, const struct queue_dead *dead),
    void *arg) MUST_CHECK;
struct queue_dead_group {
    char fingerprint[17];
    uint64_t count;
    int64_t first_ms;
    int64_t last_ms;
    char model[JOB_MODEL_MAX + 1];
    char sample_id[ID_SIZE];
    struct job_error error; /* of a sample */
};
int queue_dead_groups(struct queue *queue,
    void (*on_groups)(void *arg, enum queue_status status,
        const struct queue_dead_group *groups, size_t count),
    void *arg) MUST_CHECK;
/*
 * Generation + 1 under the same id, first attempt fresh. The request
 * (`body` inline, or parts staged before under the id) comes from the store
 * row `result`. ABSENT when the dead letter of that generation is not there
 * (any more): somebody else replayed or discarded it.
 */
int queue_replay(struct queue *queue, const struct job_result *result,
    struct slice body,
    void (*on_replayed)(void *arg, enum queue_status status, uint64_t version),
    void *arg) MUST_CHECK;
int queue_discard(struct queue *queue, const char *id, unsigned generation,
    queue_on_status *on_status, void *arg) MUST_CHECK;

/* Operations are small JSON documents owned by the status API: a hash of
 * documents, and a lock per operation for the process that carries it out. */
/* An empty document removes the operation. */
int queue_operation_put(struct queue *queue, const char *id,
    struct slice document, queue_on_status *on_status, void *arg) MUST_CHECK;
int queue_operation_list(struct queue *queue,
    void (*on_operations)(void *arg, enum queue_status status,
        const struct slice *documents, size_t count),
    void *arg) MUST_CHECK;
/* OK if `holder` has the lock now, for for_ms; CONFLICT otherwise. */
int queue_operation_lock(struct queue *queue, const char *id,
    const char *holder, int64_t for_ms, queue_on_status *on_status,
    void *arg) MUST_CHECK;

/* --- numbers ------------------------------------------------------------- */

struct queue_stats {
    uint64_t jobs; /* in flight, all states */
    uint64_t bytes; /* stored request bytes in flight */
    uint64_t retrying;
    uint64_t closing;
    uint64_t dead;
    uint64_t submitted_total;
    uint64_t redis_used_bytes;
    uint64_t redis_max_bytes; /* 0: none set */
    size_t queue_count;
    const struct queue_numbers {
        struct slice name;
        uint64_t waiting;
        uint64_t running;
        int64_t oldest_ms; /* created_ms of the oldest waiting, 0 if none */
    } * queues;
    size_t hold_count;
    const struct queue_hold *holds;
    size_t pool_count; /* that workers have told of */
    const struct queue_pool *pools;
    size_t quota_count;
    const struct queue_quota_shown {
        char scope[JOB_BUCKET_MAX + 80]; /* "POOL/BUCKET" */
        struct queue_quota_state state; /* per_min 0: no limit is known */
    } * quotas;
    size_t consumer_count; /* live workers */
    uint64_t batches; /* in flight */
    uint64_t uploads; /* batches that nobody sees yet */
    uint64_t unpromoted; /* of jobs: items of batches that are in no queue */
};
int queue_stats_get(struct queue *queue,
    void (*on_stats)(
        void *arg, enum queue_status status, const struct queue_stats *stats),
    void *arg) MUST_CHECK;

#endif
