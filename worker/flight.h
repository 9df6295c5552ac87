#ifndef LH_WORKER_FLIGHT_H
#define LH_WORKER_FLIGHT_H

/*
 * flight: one claimed job from the claim to the acknowledgement. The only
 * place that orders *save the result, then acknowledge*.
 *
 * At most one operation per flight is outstanding with Redis or the store;
 * each is repeated until its outcome is known, because each is idempotent.
 */

#include "common/queue/queue.h"
#include "worker/governor.h"
#include "worker/worker.h"

struct answer_usage;
struct claude_call;
struct flight_reading;

struct flight {
    TAILQ_ENTRY(flight) link;
    struct worker *worker;
    enum flight_state state;
    enum queue_claim_kind kind;
    char consumer[WORKER_CONSUMER_SIZE]; /* that claimed it */
    uint64_t fence;
    unsigned attempts; /* before this call */
    unsigned takeovers;
    unsigned next_part;
    int64_t asked_ms; /* monotonic: when the claim was sent */
    bool first;
    bool suspect;
    bool probe; /* of a half-open breaker or a paused pool */
    int64_t probe_until_ms; /* monotonic: then another may probe as well */
    unsigned fallback; /* 0: its own model, n: its n-th fallback */
    bool pending; /* an operation is outstanding */
    bool want_cancel; /* asked for while it was */
    bool want_release;
    bool parked;
    bool wants_room; /* waits until other requests have left memory */
    uint64_t room_bytes; /* of its request, while it holds them */
    struct worker_bucket *bucket; /* whose quota it uses, or NULL */
    const char *queue_name; /* it came from */
    const char *probe_scope; /* of the pool; while it probes */
    struct governor_call quota;
    struct event *timer; /* tries an operation again; made when needed */
    unsigned tries; /* of the operation, in a row */
    int64_t retry_delay_ms;
    int64_t after_probe_ms; /* it was a probe that failed: not before */
    int64_t sent_ms; /* wall: the call */
    int64_t call_us; /* how long the last one took; -1: none has ended */
    int64_t deadline_ms; /* monotonic: the job's, which Redis's clock decides */
    struct flight_reading *reading; /* NULL unless it is */
    struct buffer stored; /* the request as it is stored (inline ones) */
    struct buffer part; /* the one that is being unpacked */
    struct slice rest; /* what is left of it, or of stored */
    struct buffer body; /* what is sent: the client's bytes, edited */
    struct buffer answer;
    struct claude_call *call; /* NULL unless CALLING */
    /* Also holds id, generation, meta, and what went wrong last. */
    struct job_result result;
};

/* What a claim is made of beside the job itself. */
struct flight_origin {
    int64_t asked_ms; /* monotonic */
    bool probe;
    unsigned fallback;
    struct worker_bucket *bucket; /* NULL: no call is to be made */
    const char *queue_name;
    const char *probe_scope; /* lives with the pool; NULL: no probe */
};

/* Takes claim->meta over and starts. */
void flight_start(struct worker *worker, struct queue_claim *claim,
    const struct flight_origin *origin);
/* The client wants it canceled. */
void flight_cancel(struct flight *flight);
/* Back into the queue, unless its answer is there already. */
void flight_hand_back(struct flight *flight);
/* Without a word to anybody; only when no operation is outstanding. */
void flight_free(struct flight *flight);

/* While it probes: nobody else may for a while / from now on others may. */
void flight_keep_probe(const struct flight *flight);
void flight_release_probe(const struct flight *flight);
/* Whether it probes and still keeps others from it. */
bool flight_is_probe(const struct flight *flight);

/* --- between the flight*.c --------------- */

/* What it used of the quota, once; `used` only with GOVERNOR_USED. */
void flight_end_quota(struct flight *flight, enum governor_use use,
    const struct answer_usage *used);
void flight_move(struct flight *flight, enum flight_state state);
/* Runs `again` after a pause that grows with flight->tries. */
void flight_try_later(struct flight *flight,
    void (*again)(evutil_socket_t fd, short what, void *flight));
/* Runs `step` in the next turn of the loop. */
void flight_soon(struct flight *flight,
    void (*step)(evutil_socket_t fd, short what, void *flight));
/* An operation with Redis or the store has ended. False: somebody wanted the
 * flight to go another way meanwhile, and it does. */
bool flight_operation_ended(struct flight *flight);
/* Makes sure that it is ours and has no row yet, then reads on. */
void flight_verify(struct flight *flight);
/* Reads the request, then calls; or the answer that an earlier owner could
 * not save, then saves it. */
void flight_read(struct flight *flight);
void flight_read_parked(struct flight *flight);
void flight_end_reading(struct flight *flight);
/* Its request is not needed any more, or will not be read. */
void flight_leave_room(struct flight *flight);
/* What is stored cannot be used: fails the job. */
void flight_corrupt(struct flight *flight);
/* The model that is asked for instead of the request's own, or NULL. */
const char *flight_model(const struct flight *flight);
bool flight_streams(const struct flight *flight);
/* The request is read: call Claude. */
void flight_call(struct flight *flight);
/* Ended without an answer of Claude's: canceled, expired, failed. */
void flight_end(struct flight *flight, enum job_state state);
/* result and answer are complete: commit, then acknowledge. */
void flight_save(struct flight *flight);
/* The one script that fits the state: finish, bury, retry, release. */
void flight_acknowledge(struct flight *flight);
struct queue_owner flight_owner(const struct flight *flight);
/* Asked for, or verified, so short ago that nobody can have taken it over. */
bool flight_is_fresh(const struct flight *flight);
/* Fills flight->result.error. */
void flight_set_error(
    struct flight *flight, const char *class_name, const char *message);

#endif
