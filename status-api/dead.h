#ifndef LH_STATUS_API_DEAD_H
#define LH_STATUS_API_DEAD_H

/*
 * dead: which dead letters are meant (the filter of lists and operations)
 * and how they look in the API. Pure. dead_routes.c serves them.
 */

#include <jansson.h>
#include <stdbool.h>

#include "common/job/batch.h"
#include "common/net/http_server.h"
#include "common/queue/queue.h"
#include "status-api/params.h"

struct status;

/* "" and 0: any. */
struct dead_filter {
    char fingerprint[17];
    char error_type[64]; /* Claude's, or our class when there was none */
    char class_name[32];
    char model[JOB_MODEL_MAX + 1];
    char lane[16];
    char tenant[JOB_TENANT_MAX + 1];
    unsigned status; /* HTTP status of Claude's answer */
    /* The UUID of a batch: its letters are found by the store's rows. */
    char batch[BATCH_UUID_SIZE];
};

/* The parameters of GET /v1/dead-letters: the filter's, limit and after. */
extern const char *const dead_params[];

/* 0, or -1 with a sentence in error[size]. */
int dead_filter_from_params(const struct params *params,
    struct dead_filter *filter, char *error, size_t size) MUST_CHECK;
int dead_filter_from_json(const json_t *object, struct dead_filter *filter,
    char *error, size_t size) MUST_CHECK;
/* An object with the members that are set. */
void dead_filter_encode(const struct dead_filter *filter, struct buffer *out);
bool dead_filter_matches(
    const struct dead_filter *filter, const struct queue_dead *dead);
/*
 * Dead letters as queue_dead_list() gives them. With filter->batch they are
 * those of the batch, in order of their rows, and the `entry` of each is
 * made from its row. The other members of the filter are the caller's to
 * look at.
 */
int dead_read(struct status *status, const struct dead_filter *filter,
    const char *after, const char *until, unsigned limit,
    void (*on_dead)(void *arg, enum queue_status status,
        const struct queue_dead *dead, size_t count),
    void *arg) MUST_CHECK;

/* Whether this is the id of a stream entry: "MS-SEQ". */
bool dead_entry_is_valid(struct slice entry);

/* The members of the dead letter without the closing brace, so that more can
 * follow. */
void dead_encode_open(
    const struct queue_dead *dead, const char *origin, struct buffer *out);
void dead_encode_group(
    const struct queue_dead_group *group, struct buffer *out);

void dead_handle_list(struct http_request *req, void *program);
void dead_handle_groups(struct http_request *req, void *program);
void dead_handle_show(struct http_request *req, void *program);
void dead_handle_replay(struct http_request *req, void *program);
void dead_handle_discard(struct http_request *req, void *program);

#endif
