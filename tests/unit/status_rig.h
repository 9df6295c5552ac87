#ifndef LH_TESTS_UNIT_STATUS_RIG_H
#define LH_TESTS_UNIT_STATUS_RIG_H

/*
 * status_rig: the status API in this process, on a free port, with a real
 * Redis and a real store, and a worker that does what the test says. For
 * test_status*.c. Everything that waits turns the loop.
 */

#include <jansson.h>

#include "status-api/routes.h"
#include "status-api/status.h"
#include "tests/unit/http_peer.h"
#include "tests/unit/redis_fixture.h"

#define RIG_CLAIMS_MAX 8192

struct rig_claim {
    char id[ID_SIZE];
    uint64_t fence;
    uint64_t version;
    unsigned generation;
    struct job_meta meta;
};

struct rig {
    struct fixture *redis;
    struct service *service;
    struct status *status;
    unsigned consumers;
    char consumer[16]; /* the worker's name */
    size_t claim_count;
    struct rig_claim claims[RIG_CLAIMS_MAX];
};

/* `keys`: the lines of a keys file, NULL: none is needed. */
struct rig *rig_new(const char *keys);
void rig_free(struct rig *rig);
/* Empties Redis, but for the marker; the store keeps its rows. */
void rig_clear(struct rig *rig);
void rig_turn(struct rig *rig);
/* Turns until Redis is ready and is the right one. */
void rig_wait_ready(struct rig *rig);
/* Turns for at least that long. */
void rig_turn_for(struct rig *rig, int64_t ms);

/* What a job may have besides defaults (zero: the default). */
struct rig_job {
    const char *tenant;
    const char *model;
    const char *tag;
    const char *idempotency_key;
    enum job_lane lane;
    size_t body_bytes;
    int64_t created_ms;
};
/* Into the queue; its id into `id`. */
void rig_submit(struct rig *rig, const struct rig_job *job, char id[ID_SIZE]);
/* A row of a job that was never in this queue. */
void rig_commit(struct rig *rig, const struct job_result *result,
    const char *answer, const char *request);
/* Takes every job that waits in that queue ("interactive:other", "closing"). */
void rig_claim_all(struct rig *rig, const char *queue_name);
const struct rig_claim *rig_claim_of(const struct rig *rig, const char *id);
/* Ends a claimed job. */
void rig_succeed(struct rig *rig, const char *id, const char *answer);
void rig_fail(struct rig *rig, const char *id, const char *message);
void rig_close(struct rig *rig, const char *id, enum job_state state);
void rig_retry(struct rig *rig, const char *id, int64_t delay_ms);

struct rig_answer {
    unsigned status;
    json_t *json; /* NULL: no JSON body */
    char etag[40];
    char retry_after[16];
    char location[200];
    char preference[40];
    struct buffer body;
};
/* `headers`: lines that end in CRLF, or "". The answer lives until the next
 * call. */
const struct rig_answer *rig_ask(struct rig *rig, const char *method,
    const char *headers, const char *body, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
#define rig_get(rig, ...) rig_ask((rig), "GET", "", NULL, __VA_ARGS__)
#define rig_post(rig, body, ...) rig_ask((rig), "POST", "", (body), __VA_ARGS__)
/* The two halves, for requests that wait. */
void rig_send(struct rig *rig, struct peer *peer, const char *headers,
    const char *format, ...) __attribute__((format(printf, 4, 5)));
const struct rig_answer *rig_take(struct rig *rig, struct peer *peer);

/* Members of the last answer; "" and -1 when there is none. A dot goes into
 * an object, a number into an array: "data.0.id". */
const char *rig_text(const char *path);
int64_t rig_number(const char *path);
const json_t *rig_member(const char *path);

#endif
