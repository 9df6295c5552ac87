#ifndef LH_STATUS_API_STATUS_H
#define LH_STATUS_API_STATUS_H

/*
 * status: what the parts of the status API share: the program itself, and
 * requests that are answered later. Private to this folder.
 */

#include <stdbool.h>

#include "common/job/job.h"
#include "common/net/http_server.h"
#include "common/service/keys.h"
#include "common/service/service.h"

struct numbers;
struct params;
struct waiters;
struct operations;
struct batch_pace;
struct batch_waits;

struct status {
    struct service *service;
    struct numbers *numbers;
    struct waiters *waiters;
    struct operations *operations;
    struct batch_pace *pace;
    struct batch_waits *batch_waits;
};

/* Whether what Redis says about ids can be believed: it is connected and is
 * the Redis of this installation. */
bool status_redis_usable(const struct status *status);

/*
 * A request that is answered later; the first member of a handler's own
 * state. `req` is NULL once the client has left: the chain of callbacks then
 * goes on to its end and answers nobody.
 */
struct call {
    struct status *status;
    struct http_request *req;
    const struct keys_identity *who; /* NULL: no keys, everything allowed */
    /* Runs when the client leaves before the answer; may be NULL, and may
     * free what the call is part of. */
    void (*on_gone)(struct call *call);
};
void call_begin(struct call *call, struct http_request *req);

/* Whether jobs of that tenant exist for this key: its own, or all with the
 * scope operate. */
bool call_may_see(const struct call *call, const char *tenant);
/* The tenant that lists are limited to, NULL: none. */
const char *call_only_tenant(const struct call *call);
/* Who did it, for records: the key's name. */
const char *call_actor(const struct call *call);

/*
 * The query's parameters; false after a 400 was sent. call_job_id: the {id}
 * of the route as a job's id; false after a 404 was sent.
 */
bool call_params(
    struct call *call, const char *const *names, struct params *params);
bool call_job_id(struct call *call, char out[ID_SIZE]);

/* --- answers (each ends the request; a client that left gets none) ------ */

void call_json(struct call *call, unsigned status, struct buffer *body);
/* The job object with ETag, and Retry-After while it is pending. */
void call_job(struct call *call, unsigned status, const struct job_view *view);
/* 204 or 304 */
void call_empty(struct call *call, unsigned status);
void call_bad(struct call *call, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void call_conflict(struct call *call, const char *message);
void call_not_found(struct call *call);
void call_gone(struct call *call);
/* 503 with Retry-After */
void call_unavailable(struct call *call);
/* Any other in the error shape. */
void call_error(struct call *call, unsigned status, const char *type,
    const char *message, unsigned retry_after_s);

/* Appends "ETag" for that version to the answer to come. */
void call_etag(struct call *call, uint64_t version);
/* Whether If-None-Match names that version (RFC 9110 13.1.2, weakly). */
bool call_has_version(const struct call *call, uint64_t version);

/* The job as JSON, with the reason in words that the holds of its queue
 * give it. */
void status_encode_job(const struct status *status, const struct job_view *view,
    struct buffer *out);

#endif
