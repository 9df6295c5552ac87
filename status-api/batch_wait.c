#include "status-api/batch_wait.h"

#include <assert.h>
#include <string.h>
#include <sys/queue.h>

#include "common/base/clock.h"
#include "status-api/status.h"

#define LOOK_EVERY_MS 500

struct batch_wait {
    LIST_ENTRY(batch_wait) link; /* of its subject, or of those woken */
    struct subject *subject; /* NULL: being woken */
    struct batch_wait_spec spec;
    int64_t until_ms;
    bool included; /* the look under way began after it came */
};
LIST_HEAD(wait_list, batch_wait);

/* One batch that is waited for. */
struct subject {
    LIST_ENTRY(subject) link;
    struct batch_waits *waits;
    char uuid[BATCH_UUID_SIZE];
    struct wait_list list;
    struct event *timer; /* pending while somebody waits and nobody looks */
    bool looking;
};
LIST_HEAD(subject_list, subject);

struct batch_waits {
    struct status *status;
    struct subject_list subjects;
    bool draining;
};

static void on_look(void *arg, const struct batch_found *found);

static void
look(struct subject *subject)
{
    struct batch_wait *wait;
    evtimer_del(subject->timer);
    subject->looking = true;
    LIST_FOREACH(wait, &subject->list, link)
    wait->included = true;
    batch_look(subject->waits->status, subject->uuid, on_look, subject);
}

static void
on_timer(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    look(arg);
}

static void
drop_if_idle(struct subject *subject)
{
    if (subject->looking || !LIST_EMPTY(&subject->list))
        return;
    LIST_REMOVE(subject, link);
    event_free(subject->timer);
    memory_free(subject);
}

/* One who came during the look gets one of its own, at once. */
static void
look_again(struct subject *subject)
{
    struct batch_wait *wait;
    struct timeval later = {0, LOOK_EVERY_MS * 1000};
    if (LIST_EMPTY(&subject->list))
        return;
    LIST_FOREACH(wait, &subject->list, link)
    {
        if (!wait->included)
            later.tv_usec = 0;
    }
    evtimer_add(subject->timer, &later);
}

static bool
is_answer(const struct batch_wait *wait, const struct batch_found *found)
{
    return found->outcome != LOOKUP_FOUND || found->view.state == BATCH_ENDED ||
        clock_mono_ms() >= wait->until_ms || wait->subject->waits->draining ||
        wait->spec.enough(wait->spec.arg, found);
}

static void
on_look(void *arg, const struct batch_found *found)
{
    struct subject *subject = arg;
    struct batch_wait *wait, *next;
    struct wait_list woken = LIST_HEAD_INITIALIZER(woken);
    subject->looking = false;
    for (wait = LIST_FIRST(&subject->list); wait != NULL; wait = next) {
        next = LIST_NEXT(wait, link);
        if (!wait->included || !is_answer(wait, found))
            continue;
        LIST_REMOVE(wait, link);
        wait->subject = NULL;
        LIST_INSERT_HEAD(&woken, wait, link);
    }
    look_again(subject);
    drop_if_idle(subject);
    while (!LIST_EMPTY(&woken)) {
        wait = LIST_FIRST(&woken);
        struct batch_wait_spec spec = wait->spec;
        LIST_REMOVE(wait, link);
        memory_free(wait);
        spec.on_wake(spec.arg, found);
    }
}

static struct subject *
find_or_make(struct batch_waits *waits, const char *uuid)
{
    struct subject *subject;
    LIST_FOREACH(subject, &waits->subjects, link)
    {
        if (strcmp(subject->uuid, uuid) == 0)
            return subject;
    }
    subject = memory_zalloc(1, sizeof(*subject));
    subject->waits = waits;
    text_copy(subject->uuid, sizeof(subject->uuid), slice_of(uuid));
    LIST_INIT(&subject->list);
    subject->timer =
        evtimer_new(waits->status->service->base, on_timer, subject);
    LIST_INSERT_HEAD(&waits->subjects, subject, link);
    return subject;
}

struct batch_wait *
batch_wait_add(struct batch_waits *waits, const struct batch_wait_spec *spec)
{
    struct batch_wait *wait = memory_zalloc(1, sizeof(*wait));
    struct subject *subject = find_or_make(waits, spec->uuid);
    wait->subject = subject;
    wait->spec = *spec;
    wait->spec.uuid = subject->uuid;
    wait->until_ms = clock_mono_ms() + spec->for_ms;
    LIST_INSERT_HEAD(&subject->list, wait, link);
    if (!subject->looking)
        look(subject);
    return wait;
}

void
batch_wait_cancel(struct batch_wait *wait)
{
    struct subject *subject = wait->subject;
    LIST_REMOVE(wait, link);
    memory_free(wait);
    if (subject != NULL)
        drop_if_idle(subject);
}

void
batch_waits_drain(struct batch_waits *waits)
{
    struct subject *subject;
    waits->draining = true;
    LIST_FOREACH(subject, &waits->subjects, link)
    {
        if (!subject->looking)
            look(subject);
    }
}

struct batch_waits *
batch_waits_new(struct status *status)
{
    struct batch_waits *waits = memory_zalloc(1, sizeof(*waits));
    waits->status = status;
    LIST_INIT(&waits->subjects);
    return waits;
}

void
batch_waits_free(struct batch_waits *waits)
{
    assert(LIST_EMPTY(&waits->subjects));
    memory_free(waits);
}
