#ifndef LH_SUBMITTER_SUBMIT_H
#define LH_SUBMITTER_SUBMIT_H

/*
 * submit: one submission, from the head of its request to the answer.
 *
 *   READING   the body arrives: scanned, hashed, compressed; what is longer
 *             than an inline body goes to Redis in parts, and the client is
 *             not read while two parts are unacknowledged
 *   STAGING   the body is complete, acknowledgements of parts are due
 *   LOOKING   an Idempotency-Key is looked up, in Redis, then in the store
 *   ENQUEUING the script runs; when its reply is lost, again under the same
 *             id, which makes it harmless, until a deadline
 *   SHOWING   the job exists already and is read to be shown
 *   ENDED     answered, or the client left; callbacks may still be due
 *
 * submit.c reads the head, submit_body.c the body, submit_queue.c talks to
 * Redis and the store, submit_reply.c answers.
 */

#include "common/job/body.h"
#include "common/job/job.h"
#include "common/job/request.h"
#include "common/net/http_server.h"
#include "common/queue/queue.h"
#include "common/service/service.h"
#include "common/store/store.h"
#include "submitter/admission.h"
#include "submitter/upload_pace.h"

/* Claude takes so many bytes (413 from its front, with the edits counted). */
#define SUBMIT_UPSTREAM_MAX (32ull << 20)
/* Parts on their way to Redis before the client has to wait. */
#define SUBMIT_PARTS_UNACKED 2
/* Long bodies at a time: each costs up to 3 MB here. */
#define SUBMIT_LONG_MAX 128
/* For everything after the body's last byte. */
#define SUBMIT_DEADLINE_MS 5000
#define SUBMIT_AGAIN_MS 100

/* Besides the service's own connection to Redis. */
#define SUBMIT_LINKS 7

struct submit_link {
    struct redis *redis;
    struct queue *queue;
};

struct upload;

struct submitter {
    struct service *service;
    struct submit_link links[SUBMIT_LINKS];
    struct event *stats_timer;
    bool stats_asked;
    struct admission_load load;
    struct admission_limits limits;
    struct admission_pace pace;
    struct submit *submits; /* all that are not freed */
    unsigned long_bodies;
    struct submit_link bulk; /* of uploads, for what goes without a submit */
    struct upload *uploads; /* all that are not freed */
    unsigned upload_count; /* that are not answered */
    int64_t upload_worked_us; /* since all of them rested */
    struct upload_pace upload_pace;
};

enum submit_state {
    SUBMIT_READING,
    SUBMIT_STAGING,
    SUBMIT_LOOKING,
    SUBMIT_ENQUEUING,
    SUBMIT_SHOWING,
    SUBMIT_ENDED
};

struct submit {
    struct submitter *owner;
    struct submit *next;
    struct submit *previous;
    enum submit_state state;
    struct http_request *req; /* NULL when ENDED */
    unsigned callbacks; /* due: not freed before */
    char id[ID_SIZE];
    int64_t begun_ms; /* with its id; monotonic */
    int64_t expires_in_ms; /* from its acceptance */
    struct job_meta meta;
    struct request_reader reader;
    /* body */
    struct body_writer *writer;
    uint64_t received;
    bool is_long; /* counted in owner->long_bodies */
    bool body_complete; /* the writer is in finish */
    bool paused;
    unsigned unacked;
    enum queue_status stage_status; /* the first that is not OK */
    struct buffer body; /* the stored form when inline */
    /* Redis */
    int64_t deadline_ms; /* monotonic */
    struct event *again;
    bool sent; /* an enqueue is on its way */
    bool maybe_there; /* Redis may have the job: its parts must stay */
    /* the job that is there already */
    char existing[ID_SIZE];
    bool replayed; /* by its Idempotency-Key */
    bool missed; /* neither in Redis nor in the store, once */
};

/* --- submit.c --- */
void submit_handle(struct http_request *req, void *program);
/* Answered or given up: frees it when no callback is due. */
void submit_end(struct submit *submit);
/* To be called last by every callback of queue and store. */
void submit_callback_done(struct submit *submit);

/* --- submit_body.c --- */
void submit_start_body(struct submit *submit);
void submit_on_body(struct http_request *req, struct slice data);
void submit_on_end(struct http_request *req);
void submit_clear_body(struct submit *submit);

/* --- submit_link.c --- */
/*
 * Redis reads at most 16 KB from one connection in a turn of its loop, and
 * writes its log to the disk once a turn: on one connection ten enqueues
 * share that write, on eight eighty do.
 */
void submit_open_links(struct submitter *submitter);
/* Callbacks that are due run. */
void submit_close_links(struct submitter *submitter);
/* The one with the least to do that is ready, else the service's. */
struct queue *submit_pick_queue(const struct submitter *submitter);

/* --- submit_queue.c --- */
/* The body is complete and all parts are stored. */
void submit_start_queue(struct submit *submit);

/* --- submit_reply.c --- */
/* reason: a metric label and log value. */
void submit_reply_error(struct submit *submit, unsigned status,
    const char *reason, const char *message, unsigned retry_after_s);
/* Before there is a submit. */
void submit_refuse(struct submitter *owner, struct http_request *req,
    unsigned status, const char *reason, const char *message,
    unsigned retry_after_s);
/* For metrics: jobs accepted, bytes of their requests, requests answered with
 * what their Idempotency-Key had made, refused requests. */
void submit_count_accepted(
    struct submitter *owner, enum job_lane lane, uint64_t jobs);
void submit_count_bytes(
    struct submitter *owner, uint64_t sent_bytes, uint64_t stored_bytes);
void submit_count_replayed(struct submitter *owner);
void submit_count_rejected(struct submitter *owner, const char *reason);
/* Whether the answers of this installation are the simulator's. */
bool submit_is_simulated(const struct service *service);
void submit_reply_job(struct submit *submit, const struct job_view *view);
void submit_reply_new(
    struct submit *submit, const struct queue_enqueued *enqueued);
void submit_reply_full(struct submit *submit, enum admission_verdict verdict);

#endif
