/* The request, as it is stored, becomes the bytes that Claude gets. */

#include "worker/flight.h"

#include "common/base/crash.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/job/body.h"
#include "common/job/request.h"
#include "common/service/config.h"
#include "common/service/service.h"
#include "worker/park.h"

/* Unpacked, hashed and edited in one turn of the loop: some 5 ms. */
#define STEP_BYTES ((size_t)2 * 1024 * 1024)

/* The edits are made as the client's bytes come out: 31 MB copied afterwards
 * would keep all others waiting. */
struct flight_reading {
    struct body_reader *reader;
    struct request_recipe recipe;
    struct request_apply apply;
};

static void take_stored(struct flight *flight);

void
flight_corrupt(struct flight *flight)
{
    flight_set_error(flight, "corrupt_request",
        "The stored request cannot be read or does not fit its checksum, and "
        "was not sent. Redis or its disk altered it; submit the job again.");
    log_error("request_corrupt", LOG_TEXT("job", flight->result.id),
        LOG_TEXT("tenant", flight->result.meta.tenant));
    flight_end(flight, JOB_FAILED);
}

static void
on_read_again(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    flight_read(arg);
}

static void
on_next_step(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    take_stored(arg);
}

/* --- room in memory -------------------------------------------------- */

/* Room for the request as the client sent it. One is always read, however
 * large. */
static bool
take_room(struct flight *flight)
{
    struct worker *worker = flight->worker;
    uint64_t most = worker->service->config->worker_memory_bytes;
    uint64_t bytes = flight->result.meta.body_bytes;

    if (worker->request_bytes > 0 &&
        (worker->request_bytes >= most ||
            bytes > most - worker->request_bytes)) {
        worker->want_room += flight->wants_room ? 0 : 1;
        flight->wants_room = true;
        return false;
    }
    flight_leave_room(flight);
    worker->request_bytes += bytes;
    flight->room_bytes = bytes;
    return true;
}

void
flight_leave_room(struct flight *flight)
{
    struct worker *worker = flight->worker;

    worker->want_room -= flight->wants_room ? 1 : 0;
    flight->wants_room = false;
    worker->request_bytes -= flight->room_bytes;
    flight->room_bytes = 0;
}

/* --- reading --------------------------------------------------------- */

static int
on_raw(void *arg, struct slice run)
{
    struct flight_reading *reading = arg;

    return request_apply_feed(&reading->apply, run);
}

static int
on_edited(void *arg, struct slice run)
{
    struct flight *flight = arg;

    buffer_append_slice(&flight->body, run);
    return 0;
}

/* -1 when what Redis holds about it cannot be right. */
static int
begin_reading(struct flight *flight)
{
    const struct job_meta *meta = &flight->result.meta;
    const char *model = flight_model(flight);
    bool stream = flight_streams(flight);
    struct flight_reading *reading = memory_zalloc(1, sizeof(*reading));
    struct request_recipe *recipe = &reading->recipe;
    uint64_t most = flight->worker->service->config->max_body_bytes;
    uint64_t bytes;

    flight->reading = reading;
    if (meta->recipe == NULL ||
        request_recipe_decode(slice_of(meta->recipe), recipe) != 0 ||
        recipe->body_bytes != meta->body_bytes ||
        (model != NULL && !job_model_is_valid(slice_of(model))))
        return -1;
    request_apply_init(
        &reading->apply, recipe, model, stream, on_edited, flight);
    reading->reader = body_reader_new(meta, on_raw, reading);
    /* No more on Redis's word alone than any client could have sent. */
    bytes = request_apply_length(recipe, model, stream);
    buffer_reserve(&flight->body, (size_t)(bytes < most ? bytes : most));
    return 0;
}

void
flight_end_reading(struct flight *flight)
{
    if (flight->reading == NULL)
        return;
    body_reader_free(flight->reading->reader);
    memory_free(flight->reading);
    flight->reading = NULL;
}

/* All stored bytes are in. */
static void
request_complete(struct flight *flight)
{
    struct flight_reading *reading = flight->reading;
    bool good = body_reader_finish(reading->reader) == BODY_OK &&
        request_apply_finish(&reading->apply) == 0;

    flight_end_reading(flight);
    buffer_clear(&flight->part);
    if (!good)
        flight_corrupt(flight);
    else if (flight_is_fresh(flight))
        flight_call(flight);
    else
        flight_verify(flight); /* too long ago: look again */
}

/* What is at hand of the stored form, a step at a time. */
static void
take_stored(struct flight *flight)
{
    bool more;

    if (body_reader_step(flight->reading->reader, &flight->rest, STEP_BYTES,
            &more) != BODY_OK)
        flight_corrupt(flight);
    else if (more)
        flight_soon(flight, on_next_step);
    else if (flight->result.meta.parts == 0)
        request_complete(flight);
    else {
        flight->next_part++;
        flight_read(flight);
    }
}

static void
on_part(void *arg, enum queue_status status, struct slice bytes)
{
    struct flight *flight = arg;

    if (!flight_operation_ended(flight))
        return;
    if (status == QUEUE_UNKNOWN) {
        flight_try_later(flight, on_read_again);
        return;
    }
    if (status != QUEUE_OK) {
        flight_corrupt(flight);
        return;
    }
    flight->tries = 0;
    buffer_reset(&flight->part);
    buffer_append_slice(&flight->part, bytes);
    flight->rest = buffer_slice(&flight->part);
    take_stored(flight);
}

void
flight_read(struct flight *flight)
{
    const struct job_meta *meta = &flight->result.meta;

    if (flight->body.len > 0 && flight->reading == NULL) {
        flight_call(flight); /* read before, verified again */
        return;
    }
    if (flight->reading == NULL && !take_room(flight)) {
        flight_try_later(flight, on_read_again);
        return;
    }
    if (flight->reading == NULL && begin_reading(flight) != 0) {
        flight_corrupt(flight);
        return;
    }
    if (meta->parts == 0) {
        flight->rest = buffer_slice(&flight->stored);
        take_stored(flight);
        return;
    }
    if (flight->next_part == meta->parts) {
        request_complete(flight);
        return;
    }
    if (queue_part_get(flight->worker->service->queue, flight->result.id,
            flight->next_part, on_part, flight) == 0)
        flight->pending = true;
    else
        flight_try_later(flight, on_read_again);
}

/* --- an answer that an earlier owner could not save ------------------ */

static void
on_parked_again(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    flight_read_parked(arg);
}

static void
on_parked(void *arg, enum queue_status status, struct slice bytes)
{
    struct flight *flight = arg;
    struct slice message;

    flight->pending = false;
    if (status == QUEUE_UNKNOWN) {
        flight_try_later(flight, on_parked_again);
        return;
    }
    if (status != QUEUE_OK ||
        park_decode(bytes, &flight->result, &message) != 0) {
        flight_corrupt(flight);
        return;
    }
    crash_point("parked.read");
    flight->parked = true;
    buffer_append_slice(&flight->answer, message);
    flight_save(flight);
}

void
flight_read_parked(struct flight *flight)
{
    if (queue_parked_get(flight->worker->service->queue, flight->result.id,
            on_parked, flight) == 0)
        flight->pending = true;
    else
        flight_try_later(flight, on_parked_again);
}
