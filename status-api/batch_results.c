#include <string.h>

#include "common/base/clock.h"
#include "status-api/batch_line.h"
#include "status-api/batches.h"
#include "status-api/params.h"

/*
 * Results as lines of JSON. A hundred thousand rows are read in slices, each
 * a read transaction of its own, and a slice is only read when the client
 * has taken the one before: neither the store's log nor our memory grows
 * with a slow reader. After each slice the download rests for some times as
 * long as the slice took: flat out it would fill a processor, and all others
 * would wait for it.
 */

#define SLICE_ROWS 64
#define SLICE_BYTES ((size_t)256 * 1024)
#define LOOK_EVERY_MS 250
#define REST_TIMES 3
#define REST_MAX_US 50000

struct results {
    struct call call;
    enum bulk_face face;
    char uuid[BATCH_UUID_SIZE];
    int64_t after; /* the row that was written last */
    int64_t until; /* 0: no bound */
    int64_t wait_until_ms; /* monotonic; 0: do not wait */
    bool started; /* the head is sent */
    bool busy; /* an answer of the store or of Redis is due */
    bool blocked; /* the client has to take what is there first */
    bool ended; /* the batch had ended before the rows were read */
    bool caught_up; /* the timer is for a look at the batch, not for a rest */
    int64_t began_us; /* the slice that was read last */
    struct event *timer; /* pending: it rests or waits */
    struct buffer lines;
};

static void read_slice(struct results *results);

static void
results_free(struct results *results)
{
    event_free(results->timer);
    buffer_clear(&results->lines);
    memory_free(results);
}

static void
on_gone(struct call *call)
{
    struct results *results = (struct results *)call;
    if (!results->busy)
        results_free(results);
}

/* What has begun cannot become an error any more; cut off, it is seen to be
 * incomplete. */
static void
give_up(struct results *results)
{
    if (results->started && results->call.req != NULL)
        http_reply_abort(results->call.req);
    else
        call_unavailable(&results->call);
    results_free(results);
}

static void
on_drain(struct http_request *req, void *arg)
{
    struct results *results = arg;
    (void)req;
    results->blocked = false;
    if (!results->busy &&
        (results->timer == NULL || !evtimer_pending(results->timer, NULL)))
        read_slice(results);
}

static void
start(struct results *results)
{
    const char *type = results->face == BULK_NATIVE ? "application/x-ndjson"
                                                    : "application/x-jsonl";
    if (results->started)
        return;
    results->started = true;
    http_reply_header(results->call.req, "Cache-Control", "private, no-cache");
    http_reply_start(results->call.req, 200, type, on_drain);
}

static void
finish(struct results *results)
{
    start(results);
    http_reply_end(results->call.req);
    results->call.req = NULL;
    results_free(results);
}

/* --- waiting for more ---------------------------------------------------- */

static void
on_look(void *arg, const struct batch_found *found)
{
    struct results *results = arg;
    results->busy = false;
    if (results->call.req == NULL) {
        results_free(results);
        return;
    }
    if (found->outcome != LOOKUP_FOUND) {
        give_up(results);
        return;
    }
    results->ended = found->view.state == BATCH_ENDED;
    read_slice(results);
}

static void
on_timer(evutil_socket_t fd, short events, void *arg)
{
    struct results *results = arg;
    (void)fd;
    (void)events;
    if (!results->caught_up) {
        if (!results->blocked)
            read_slice(results);
        return;
    }
    results->busy = true;
    batch_look(results->call.status, results->uuid, on_look, results);
}

static bool
may_wait(const struct results *results)
{
    return !results->ended && results->wait_until_ms > clock_mono_ms() &&
        !results->call.status->service->draining;
}

/* What is there is sent at once, so that the client sees that it waits. */
static void
wait_for_more(struct results *results)
{
    const struct timeval later = {0, LOOK_EVERY_MS * 1000};
    start(results);
    results->caught_up = true;
    evtimer_add(results->timer, &later);
}

static void
rest(struct results *results)
{
    int64_t us = (clock_mono_us() - results->began_us) * REST_TIMES;
    struct timeval later = {0, us < REST_MAX_US ? us : REST_MAX_US};
    results->caught_up = false;
    evtimer_add(results->timer, &later);
}

/* --- slices -------------------------------------------------------------- */

static void
put_rows(
    struct results *results, const struct store_batch_row *rows, size_t count)
{
    buffer_reset(&results->lines);
    for (size_t i = 0; i < count; i++) {
        const struct store_batch_row *row = &rows[i];
        if (results->face == BULK_NATIVE)
            batch_line_native(
                &row->result, (uint64_t)row->row, row->answer, &results->lines);
        else
            batch_line_message(&row->result, row->answer, &results->lines);
        results->after = row->row;
    }
    start(results);
    results->blocked = !http_reply_chunk(
        results->call.req, results->lines.data, results->lines.len);
    if (results->lines.cap > 2 * SLICE_BYTES)
        buffer_clear(&results->lines);
}

static void
on_rows(void *arg, enum store_status status, const struct store_batch_row *rows,
    size_t count, bool more)
{
    struct results *results = arg;
    results->busy = false;
    if (results->call.req == NULL) {
        results_free(results);
        return;
    }
    if (status != STORE_OK && status != STORE_ABSENT) {
        give_up(results);
        return;
    }
    if (count > 0)
        put_rows(results, rows, count);
    if (more)
        rest(results);
    else if (may_wait(results))
        wait_for_more(results);
    else
        finish(results);
}

static void
read_slice(struct results *results)
{
    const struct store_batch_query query = {.uuid = results->uuid,
        .after = results->after,
        .until = results->until,
        .newest = results->face == BULK_CLAUDE,
        .answers = true,
        .limit = SLICE_ROWS,
        .max_bytes = SLICE_BYTES};
    results->busy = true;
    results->began_us = clock_mono_us();
    store_batch_rows(
        results->call.status->service->store, &query, on_rows, results);
}

/* --- the routes ---------------------------------------------------------- */

#define NOT_ENDED \
    "the batch has not ended yet; its results are here when " \
    "processing_status is \"ended\""
#define ARCHIVED "the results of this batch are not kept any more"

static void
on_found(void *arg, const struct batch_found *found)
{
    struct results *results = arg;
    results->busy = false;
    if (results->call.req == NULL ||
        !batches_is_there(&results->call, results->face, found)) {
        results_free(results);
        return;
    }
    results->ended = found->view.state == BATCH_ENDED;
    if (results->face == BULK_NATIVE) {
        read_slice(results);
        return;
    }
    if (found->view.archived_ms > 0) {
        call_error(&results->call, 404, "not_found_error", ARCHIVED, 0);
        results_free(results);
    } else if (!results->ended) {
        batches_refuse(&results->call, results->face, NOT_ENDED);
        results_free(results);
    } else if (found->last_row == 0) {
        finish(results);
    } else {
        results->until = found->last_row;
        read_slice(results);
    }
}

static struct results *
begin(struct http_request *req, enum bulk_face face)
{
    struct results *results = memory_zalloc(1, sizeof(*results));
    results->face = face;
    batches_begin(&results->call, req, face);
    results->timer =
        evtimer_new(results->call.status->service->base, on_timer, results);
    if (batches_id(&results->call, results->uuid))
        return results;
    results_free(results);
    return NULL;
}

static void
look(struct results *results)
{
    results->busy = true;
    results->call.on_gone = on_gone;
    batch_look(results->call.status, results->uuid, on_found, results);
}

void
batches_handle_results(struct http_request *req, void *program)
{
    static const char *const names[] = {"after", "wait", NULL};
    struct results *results = begin(req, BULK_NATIVE);
    struct params params;
    char error[128];
    uint64_t after = 0;
    (void)program;
    if (results == NULL)
        return;
    if (!call_params(&results->call, names, &params)) {
        results_free(results);
        return;
    }
    int bad = params_number(
        &params, "after", 0, INT64_MAX, 0, &after, error, sizeof(error));
    int64_t wait_ms = bad != 0 ? -1 : batches_wait_ms(&results->call, &params);
    params_clear(&params);
    if (bad != 0)
        call_bad(&results->call, "%s", error);
    if (wait_ms < 0) {
        results_free(results);
        return;
    }
    results->after = (int64_t)after;
    if (wait_ms > 0)
        results->wait_until_ms = clock_mono_ms() + wait_ms;
    look(results);
}

void
message_batches_handle_results(struct http_request *req, void *program)
{
    struct results *results = begin(req, BULK_CLAUDE);
    (void)program;
    if (results != NULL)
        look(results);
}
