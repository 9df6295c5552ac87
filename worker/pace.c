#include "worker/pace.h"

#include <assert.h>
#include <event2/event.h>

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/queue/queue.h"
#include "common/service/service.h"
#include "worker/claim.h"
#include "worker/governor.h"
#include "worker/worker.h"

struct pace {
    struct worker *worker;
    struct event *timer;
};

/* A report on its way. */
struct telling {
    struct worker *worker;
    const char *scope; /* the governor's own */
};

static void
on_state(
    void *arg, enum queue_status status, const struct queue_quota_state *state)
{
    struct telling *telling = arg;
    struct worker *worker = telling->worker;

    governor_reported(worker->governor, telling->scope,
        status == QUEUE_OK ? state : NULL, clock_mono_ms());
    memory_free(telling);
    if (status == QUEUE_OK)
        claim_soon(worker, 0);
}

static void
tell(struct worker *worker, const struct queue_quota_report *report)
{
    struct telling *telling = memory_zalloc(1, sizeof(*telling));

    telling->worker = worker;
    telling->scope = report->scope;
    if (queue_quota_report(worker->service->queue, report, on_state, telling) !=
        0) {
        governor_reported(
            worker->governor, report->scope, NULL, clock_mono_ms());
        memory_free(telling);
    }
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct pace *pace = arg;
    struct queue_quota_report report;

    (void)fd;
    (void)what;
    while (governor_report(pace->worker->governor, clock_mono_ms(), &report))
        tell(pace->worker, &report);
}

struct pace *
pace_new(struct worker *worker)
{
    const struct timeval every = {0, GOVERNOR_REPORT_MS * 1000};
    struct pace *pace = memory_zalloc(1, sizeof(*pace));

    pace->worker = worker;
    pace->timer =
        event_new(worker->service->base, -1, EV_PERSIST, on_timer, pace);
    assert(pace->timer != NULL);
    evtimer_add(pace->timer, &every);
    return pace;
}

void
pace_soon(struct pace *pace)
{
    event_active(pace->timer, EV_TIMEOUT, 0);
}

void
pace_free(struct pace *pace)
{
    if (pace == NULL)
        return;
    event_free(pace->timer);
    memory_free(pace);
}
