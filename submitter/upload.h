#ifndef LH_SUBMITTER_UPLOAD_H
#define LH_SUBMITTER_UPLOAD_H

/*
 * upload: one batch on its way in, from the head of its request to the
 * answer. The body is read as a stream: what is held is one piece as it came
 * from the socket, the one item that is being read, and what Redis has not
 * acknowledged yet.
 *
 *   LOOKING    an Idempotency-Key is looked up in the store
 *   OPENING    the batch is made in Redis, seen by nobody; or one whose
 *              upload broke off is gone on with
 *   READING    pieces are cut into items; items are checked, packed and
 *              staged. The client is not read while a piece is left
 *   COMPARING  the batch is there already: only the body's hash counts
 *   SETTLING   the body is complete, acknowledgements are due
 *   REVEALING  one script makes all of it visible
 *   SHOWING    the batch that was there already is read to be shown
 *   ENDED      answered, or the client left; callbacks may still be due
 *
 * Nothing is done inside of the callbacks of the connection: a pump does it,
 * for a fraction of a millisecond in a turn of the loop, so that others who
 * submit beside it do not wait.
 *
 *   upload.c        life, the head, the pieces
 *   upload_read.c   from pieces to items
 *   upload_item.c   one item: checked, packed
 *   upload_send.c   what is on its way to Redis; the reveal
 *   upload_pace.c   when it goes
 *   upload_show.c   a batch that is there already
 *   upload_reply.c  answers
 */

#include <openssl/evp.h>

#include "common/job/batch_view.h"
#include "common/job/body.h"
#include "common/job/bulk.h"
#include "common/job/csv.h"
#include "common/job/envelope.h"
#include "common/job/item.h"
#include "common/job/lines.h"
#include "common/job/request.h"
#include "common/queue/queue_bulk.h"
#include "submitter/submit.h"
#include "submitter/upload_names.h"
#include "submitter/upload_query.h"

/* Claude's limits: of a batch, and the life of its requests. */
#define UPLOAD_CLAUDE_BYTES (UINT64_C(256) << 20)
#define UPLOAD_CLAUDE_ITEMS 100000
#define UPLOAD_CLAUDE_EXPIRES_MS (INT64_C(24) * 3600 * 1000)
/* A body without an end would be read for ever. */
#define UPLOAD_NATIVE_BYTES (UINT64_C(1) << 40)

/* Uploads at a time: each may hold one item of 32 MiB. */
#define UPLOADS_MAX 16
/* Work in a turn of the loop, shared by all uploads, after which they rest;
 * less of it when somebody submits beside them. */
#define UPLOAD_TURN_US 1000
#define UPLOAD_TURN_SHARED_US 100
#define UPLOAD_REST_US 1000
/* Of one item in a step: about 100 us when it is compressed. */
#define UPLOAD_STEP_BYTES ((size_t)16 * 1024)
/* Ready or on its way, not acknowledged by Redis: two large groups. */
#define UPLOAD_OPS_MAX 64
#define UPLOAD_OPS_BYTES ((size_t)128 << 10)
/* Of a part of a long request: one of 64 KiB stops Redis for 1.7 ms, its sync
 * among them. One of 32 MiB that does not shrink has as many as there may
 * be. */
#define UPLOAD_PART_BYTES ((size_t)24 * 1024)
/* Redis may be away for so long before the upload is given up. */
#define UPLOAD_PATIENCE_MS 10000
/* Rejected lines that the answer shows. */
#define UPLOAD_ERRORS_SHOWN BATCH_ERRORS_SHOWN

enum upload_state {
    UPLOAD_LOOKING,
    UPLOAD_OPENING,
    UPLOAD_READING,
    UPLOAD_COMPARING,
    UPLOAD_SETTLING,
    UPLOAD_REVEALING,
    UPLOAD_SHOWING,
    UPLOAD_ENDED
};

/* An accepted item until Redis has it. */
struct upload_item {
    char id[ID_SIZE];
    struct queue *queue; /* the way of its last part */
    struct job_meta meta;
    struct buffer body; /* the stored form when it is inline */
    struct job_error *refused; /* by our validation, or NULL; owned */
    uint64_t line;
    unsigned parts_due; /* not acknowledged */
    bool whole; /* packed: goes as soon as its parts are there */
};

enum upload_op_kind { UPLOAD_OP_PART, UPLOAD_OP_ITEM, UPLOAD_OP_REJECT };

/* Something that Redis is to acknowledge; sent again until it does. */
struct upload_op {
    struct upload *upload;
    struct upload_op *next;
    struct upload_op *previous;
    enum upload_op_kind kind;
    struct upload_item *item; /* ITEM owns it */
    unsigned index; /* of a part */
    uint64_t line; /* of a rejected one */
    struct buffer bytes; /* of a part or of a rejected line */
    size_t cost; /* bytes that it counts for */
    bool sent;
    bool forgotten; /* its acknowledgement frees it */
};

/* The item being read. */
struct upload_work {
    bool busy;
    bool scanned; /* the outer object is read */
    struct slice text; /* as it came */
    size_t at; /* read so far */
    size_t end;
    uint64_t line; /* or index in the envelope, from 0 */
    struct item_reader outer;
    struct request_reader request;
    bool request_failed;
    struct body_writer *writer;
    struct upload_item *item; /* NULL: nothing to be packed */
};

struct upload {
    struct submitter *owner;
    struct upload *next;
    struct upload *previous;
    enum upload_state state;
    struct http_request *req; /* NULL when ENDED */
    unsigned callbacks; /* due: not freed before */
    struct bulk batch;
    struct upload_query query;
    struct job_meta base; /* tenant and headers, of every item */
    bool opened; /* Redis has it: to be dropped when it fails */
    bool continued; /* an earlier upload has staged items of it */
    bool resent; /* the client says so (x-stainless-retry-count) */
    bool doomed; /* strict, and a line is bad: nothing is staged */
    char existing[BULK_UUID_SIZE]; /* the batch that is there already */
    char existing_sha256[65];
    /* the body */
    EVP_MD_CTX *hash;
    struct buffer input; /* one piece ... */
    size_t input_at; /* ... read so far */
    bool paused;
    bool complete; /* the last piece has come */
    bool finished; /* and its last item was read */
    struct envelope envelope;
    struct lines lines;
    struct csv csv;
    size_t id_column; /* of the CSV */
    struct buffer rendered; /* what a row of it became */
    struct upload_work work;
    struct upload_names names;
    /* to Redis */
    struct upload_op *ops; /* oldest first */
    struct upload_op *ops_last;
    unsigned op_count;
    unsigned unsent; /* of them */
    size_t op_bytes;
    int64_t trouble_ms; /* Redis does not answer since then, 0: it does */
    struct event *pump;
    struct event *again;
    /* the outcome */
    uint64_t accepted;
    uint64_t rejected;
    struct buffer errors; /* the first rejected lines, as the answer has them */
    uint64_t lanes[JOB_LANES]; /* accepted items */
    uint64_t raw_bytes;
    uint64_t stored_bytes;
};

/* --- upload.c --- */
void upload_handle_claude(struct http_request *req, void *program);
void upload_handle_native(struct http_request *req, void *program);
void upload_on_body(struct http_request *req, struct slice data);
void upload_on_end(struct http_request *req);
/* Answered or given up. What was staged is dropped, unless `keep` and a key
 * can find it again. Freed when no callback is due. */
void upload_end(struct upload *upload, bool keep);
/* To be called first and last by whatever may end the upload. */
void upload_hold(struct upload *upload);
void upload_release(struct upload *upload);
/* Redis has opened it (or says that it is there: COMPARING). */
void upload_enter(struct upload *upload, enum upload_state state);
/* The pump runs in the next turn of the loop, or after a rest that is due. */
void upload_wake(struct upload *upload);
bool upload_is_claude(const struct upload *upload);

/* --- upload_read.c --- */
void upload_open_source(struct upload *upload);
void upload_close_source(struct upload *upload);
/* A step: true when there may be more to do at once. May end the upload. */
bool upload_step(struct upload *upload);

/* --- upload_item.c --- */
/* text lives until the item is done. */
void upload_item_begin(struct upload *upload, struct slice text, uint64_t line);
/* The same for a request that was made of a row; custom_id "": none. */
void upload_item_begin_row(struct upload *upload, struct slice text,
    uint64_t line, struct slice custom_id);
void upload_item_step(struct upload *upload);
void upload_item_stop(struct upload *upload);
void upload_item_free(struct upload_item *item);
/* A line that is no item. */
void upload_reject(struct upload *upload, uint64_t line, struct slice custom_id,
    const char *message);

/* --- upload_send.c --- */
/* They become ready to be sent. */
bool upload_is_backed_up(const struct upload *upload);
void upload_send_part(
    struct upload *upload, struct upload_item *item, struct slice bytes);
/* Takes the item over. */
void upload_send_item(struct upload *upload, struct upload_item *item);
void upload_send_reject(
    struct upload *upload, uint64_t line, const struct buffer *json);
/* For upload_pace.c: whether there is something to send, and Redis to take
 * it; sends the oldest. Its bytes, 0: Redis did not take it. */
bool upload_is_ready(const struct upload *upload);
size_t upload_send_next(struct upload *upload, struct queue *queue);
/* The parts of an item that will not be; those that are staged go too. */
void upload_forget_parts(struct upload *upload, struct upload_item *item);
/* Everything that was not sent; its acknowledgements no longer count. */
void upload_forget_ops(struct upload *upload);
/* The batch is thrown away in Redis; the upload goes on for its errors. */
void upload_drop(struct upload *upload);
void upload_look(struct upload *upload);
void upload_open(struct upload *upload);
void upload_reveal(struct upload *upload);
/* The same step again, after a while. */
void upload_try_again(struct upload *upload);
void upload_on_again(evutil_socket_t fd, short events, void *arg);
/* The queue that uploads use. */
struct queue *upload_queue(const struct upload *upload);

/* --- upload_show.c --- */
void upload_show(struct upload *upload);

/* --- upload_reply.c --- */
/* All of them end the upload. */
void upload_reply_error(struct upload *upload, unsigned status,
    const char *reason, const char *message, unsigned retry_after_s);
void upload_reply_status(struct upload *upload, enum queue_status status);
/* Strict and a line is bad, or none is good. */
void upload_reply_rejected(struct upload *upload);
void upload_reply_new(struct upload *upload);
void upload_reply_conflict(struct upload *upload);
void upload_reply_deleted(struct upload *upload);
/* One that was there already. */
void upload_reply_existing(
    struct upload *upload, const struct batch_view *view);

#endif
