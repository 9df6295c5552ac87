#include "submitter/routes.h"

#include <assert.h>

#include "common/base/clock.h"
#include "common/service/config.h"
#include "common/service/keys.h"
#include "submitter/submit.h"
#include "submitter/upload.h"

#define STATS_EVERY_MS 1000
/* Above this a body cannot be stored; config->max_body_bytes is at most
 * this and usually less. */
#define BODY_MAX ((uint64_t)QUEUE_PART_BYTES * QUEUE_PARTS_MAX)

const struct http_route submitter_routes[] = {{.method = "POST",
                                                  .path = "/v1/jobs",
                                                  .scope = KEYS_SCOPE_SUBMIT,
                                                  .max_body = BODY_MAX,
                                                  .handle = submit_handle,
                                                  .on_body = submit_on_body,
                                                  .on_end = submit_on_end},
    {.method = "POST",
        .path = "/v1/messages/batches",
        .scope = KEYS_SCOPE_SUBMIT,
        .max_body = UPLOAD_CLAUDE_BYTES,
        .handle = upload_handle_claude,
        .on_body = upload_on_body,
        .on_end = upload_on_end},
    {.method = "POST",
        .path = "/v1/batches",
        .scope = KEYS_SCOPE_SUBMIT,
        .flags = HTTP_ROUTE_ANY_TYPE,
        .max_body = UPLOAD_NATIVE_BYTES,
        .handle = upload_handle_native,
        .on_body = upload_on_body,
        .on_end = upload_on_end},
    {.method = NULL}};

/* --- how full the queue is --- */

static void
on_stats(void *arg, enum queue_status status, const struct queue_stats *stats)
{
    struct submitter *submitter = arg;
    const struct config *config = submitter->service->config;
    submitter->stats_asked = false;
    if (status != QUEUE_OK)
        return;
    submitter->load = (struct admission_load){.known = true,
        .jobs = stats->jobs,
        .bytes = stats->bytes,
        .redis_used_bytes = stats->redis_used_bytes,
        .redis_max_bytes = stats->redis_max_bytes};
    submitter->limits = admission_limits_make(config->max_queued_jobs,
        config->max_queued_bytes, stats->redis_max_bytes);
    admission_pace_sample(
        &submitter->pace, clock_mono_ms(), stats->jobs, stats->submitted_total);
}

static void
on_stats_timer(evutil_socket_t fd, short events, void *arg)
{
    struct submitter *submitter = arg;
    (void)fd;
    (void)events;
    if (submitter->stats_asked || submitter->service->queue == NULL)
        return;
    submitter->stats_asked =
        queue_stats_get(submitter->service->queue, on_stats, submitter) == 0;
}

/* --- life --- */

struct submitter *
submitter_new(struct service *service)
{
    static const struct timeval every = {
        STATS_EVERY_MS / 1000, (STATS_EVERY_MS % 1000) * 1000};
    struct submitter *submitter = memory_zalloc(1, sizeof(*submitter));
    assert(service->queue != NULL);
    submitter->service = service;
    submitter->limits = admission_limits_make(
        service->config->max_queued_jobs, service->config->max_queued_bytes, 0);
    submit_open_links(submitter);
    upload_pace_init(submitter);
    submitter->stats_timer =
        event_new(service->base, -1, EV_PERSIST, on_stats_timer, submitter);
    event_add(submitter->stats_timer, &every);
    return submitter;
}

void
submitter_free(struct submitter *submitter)
{
    if (submitter == NULL)
        return;
    submit_close_links(submitter);
    assert(submitter->submits == NULL && submitter->uploads == NULL);
    upload_pace_clear(submitter);
    event_free(submitter->stats_timer);
    memory_free(submitter);
}
