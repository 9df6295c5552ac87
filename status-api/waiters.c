#include "status-api/waiters.h"

#include <assert.h>
#include <string.h>
#include <sys/queue.h>

#include "common/queue/queue.h"
#include "status-api/status.h"

#define READS_MAX 200
#define SLOTS_FIRST 256
/* Subscribing again for each lone waiter would cost more than listening. */
#define LISTEN_ON_S 10

struct waiter {
    LIST_ENTRY(waiter) link; /* of its entry, or of those being woken */
    struct entry *entry; /* NULL: being woken */
    struct waiters *waiters;
    struct waiter_spec spec;
    struct event *deadline;
    bool included; /* a read began after it came */
    bool seen; /* a read of it succeeded */
    bool due; /* is answered by the next read, whatever it says */
};
LIST_HEAD(waiter_list, waiter);

/* One id somebody waits for. */
struct entry {
    char id[ID_SIZE];
    struct waiters *waiters;
    struct entry *next; /* in its slot */
    STAILQ_ENTRY(entry) line; /* for a read */
    struct waiter_list list;
    bool lined_up;
    bool reading;
    bool again; /* read once more when this read is over */
};
STAILQ_HEAD(entry_line, entry);

struct waiters {
    struct status *status;
    struct entry **slots;
    size_t slot_count; /* a power of two */
    size_t entry_count;
    size_t count;
    uint64_t seed;
    struct entry_line line;
    unsigned reads;
    bool listening;
    bool draining;
    struct event *idle;
};

/* --- the table ----------------------------------------------------------- */

static size_t
slot_of(const struct waiters *waiters, struct slice id)
{
    uint64_t hash = UINT64_C(14695981039346656037) ^ waiters->seed;
    for (size_t i = 0; i < id.len; i++)
        hash = (hash ^ (unsigned char)id.data[i]) * UINT64_C(1099511628211);
    return (size_t)(hash ^ hash >> 32) & (waiters->slot_count - 1);
}

static struct entry *
entry_find(const struct waiters *waiters, struct slice id)
{
    struct entry *entry = waiters->slots[slot_of(waiters, id)];
    while (entry != NULL && !slice_equal_text(id, entry->id))
        entry = entry->next;
    return entry;
}

static void
table_link(struct waiters *waiters, struct entry *entry)
{
    struct entry **slot =
        &waiters->slots[slot_of(waiters, slice_of(entry->id))];
    entry->next = *slot;
    *slot = entry;
}

static void
table_grow(struct waiters *waiters)
{
    struct entry **old = waiters->slots;
    size_t old_count = waiters->slot_count;
    waiters->slot_count = old_count * 2;
    waiters->slots = memory_zalloc(waiters->slot_count, sizeof(struct entry *));
    for (size_t i = 0; i < old_count; i++) {
        for (struct entry *entry = old[i], *next; entry != NULL; entry = next) {
            next = entry->next;
            table_link(waiters, entry);
        }
    }
    memory_free(old);
}

static struct entry *
entry_make(struct waiters *waiters, const char *id)
{
    struct entry *entry = memory_zalloc(1, sizeof(*entry));
    if (waiters->entry_count == waiters->slot_count)
        table_grow(waiters);
    text_copy(entry->id, sizeof(entry->id), slice_of(id));
    entry->waiters = waiters;
    LIST_INIT(&entry->list);
    table_link(waiters, entry);
    waiters->entry_count++;
    return entry;
}

/* Unless somebody waits for it or a read of it is under way. */
static void
entry_drop_if_idle(struct entry *entry)
{
    struct waiters *waiters = entry->waiters;
    if (entry->reading || !LIST_EMPTY(&entry->list))
        return;
    struct entry **at = &waiters->slots[slot_of(waiters, slice_of(entry->id))];
    while (*at != entry)
        at = &(*at)->next;
    *at = entry->next;
    if (entry->lined_up)
        STAILQ_REMOVE(&waiters->line, entry, entry, line);
    waiters->entry_count--;
    memory_free(entry);
}

/* --- reading ------------------------------------------------------------- */

static void on_read(void *arg, const struct lookup_result *result);

static void
pump(struct waiters *waiters)
{
    while (waiters->reads < READS_MAX && !STAILQ_EMPTY(&waiters->line)) {
        struct entry *entry = STAILQ_FIRST(&waiters->line);
        struct waiter *waiter;
        STAILQ_REMOVE_HEAD(&waiters->line, line);
        entry->lined_up = false;
        entry->reading = true;
        entry->again = false;
        LIST_FOREACH(waiter, &entry->list, link)
        waiter->included = true;
        waiters->reads++;
        lookup_start(waiters->status, entry->id, STORE_ROW, on_read, entry);
    }
}

static void
entry_mark(struct entry *entry)
{
    if (entry->reading) {
        entry->again = true;
    } else if (!entry->lined_up) {
        entry->lined_up = true;
        STAILQ_INSERT_TAIL(&entry->waiters->line, entry, line);
    }
}

/* Whether this read is the answer to the waiter's question. */
static bool
answers(struct waiter *waiter, const struct lookup_result *result)
{
    if (waiter->due)
        return true;
    /* Once it waits, a Redis that is away for a moment is waited for too. */
    if (result->outcome == LOOKUP_UNAVAILABLE)
        return !waiter->seen;
    waiter->seen = true;
    if (result->outcome != LOOKUP_FOUND ||
        job_state_is_terminal(result->view->state))
        return true;
    return waiter->spec.enough != NULL &&
        waiter->spec.enough(waiter->spec.arg, result->view);
}

static void
waiter_free(struct waiter *waiter)
{
    if (waiter->deadline != NULL)
        event_free(waiter->deadline);
    memory_free(waiter);
}

static void
on_idle(evutil_socket_t fd, short events, void *arg)
{
    struct waiters *waiters = arg;
    (void)fd;
    (void)events;
    if (waiters->count > 0 || !waiters->listening)
        return;
    queue_watch_stop(waiters->status->service->queue);
    waiters->listening = false;
}

static void
count_down(struct waiters *waiters)
{
    static const struct timeval idle = {LISTEN_ON_S, 0};
    assert(waiters->count > 0);
    if (--waiters->count == 0)
        evtimer_add(waiters->idle, &idle);
}

/* Calls back those who have left their entry; one may cancel another. */
static void
wake(struct waiter_list *woken, const struct lookup_result *result)
{
    while (!LIST_EMPTY(woken)) {
        struct waiter *waiter = LIST_FIRST(woken);
        struct waiter_spec spec = waiter->spec;
        LIST_REMOVE(waiter, link);
        count_down(waiter->waiters);
        waiter_free(waiter);
        spec.on_wake(spec.arg, result);
    }
}

static void
on_read(void *arg, const struct lookup_result *result)
{
    struct entry *entry = arg;
    struct waiters *waiters = entry->waiters;
    struct waiter *waiter, *next;
    struct waiter_list woken = LIST_HEAD_INITIALIZER(woken);
    entry->reading = false;
    waiters->reads--;
    for (waiter = LIST_FIRST(&entry->list); waiter != NULL; waiter = next) {
        next = LIST_NEXT(waiter, link);
        if (!waiter->included || !answers(waiter, result))
            continue;
        LIST_REMOVE(waiter, link);
        waiter->entry = NULL;
        LIST_INSERT_HEAD(&woken, waiter, link);
    }
    if (entry->again && !LIST_EMPTY(&entry->list))
        entry_mark(entry);
    entry_drop_if_idle(entry);
    wake(&woken, result);
    pump(waiters);
}

/* --- changes ------------------------------------------------------------- */

static void
on_change(void *arg, struct slice id, uint64_t version, enum job_state state)
{
    struct waiters *waiters = arg;
    struct entry *entry = entry_find(waiters, id);
    struct waiter *waiter;
    bool terminal = job_state_is_terminal(state);
    bool matters = false;
    (void)version;
    if (entry == NULL)
        return;
    LIST_FOREACH(waiter, &entry->list, link)
    matters = matters || terminal || !waiter->spec.terminal_only;
    if (matters)
        entry_mark(entry);
    pump(waiters);
}

static void
on_gap(void *arg)
{
    struct waiters *waiters = arg;
    for (size_t i = 0; i < waiters->slot_count; i++) {
        struct entry *entry = waiters->slots[i];
        for (; entry != NULL; entry = entry->next)
            entry_mark(entry);
    }
    pump(waiters);
}

static void
on_deadline(evutil_socket_t fd, short events, void *arg)
{
    struct waiter *waiter = arg;
    (void)fd;
    (void)events;
    waiter->due = true;
    entry_mark(waiter->entry);
    pump(waiter->waiters);
}

/* --- face ---------------------------------------------------------------- */

struct waiter *
waiter_add(struct waiters *waiters, const struct waiter_spec *spec)
{
    struct timeval wait = {spec->for_ms / 1000, spec->for_ms % 1000 * 1000};
    struct waiter *waiter = memory_zalloc(1, sizeof(*waiter));
    struct entry *entry = entry_find(waiters, slice_of(spec->id));
    if (entry == NULL)
        entry = entry_make(waiters, spec->id);
    waiter->waiters = waiters;
    waiter->entry = entry;
    waiter->spec = *spec;
    waiter->spec.id = entry->id;
    waiter->due = spec->for_ms <= 0 || waiters->draining;
    LIST_INSERT_HEAD(&entry->list, waiter, link);
    waiters->count++;
    if (!waiter->due) {
        waiter->deadline =
            evtimer_new(waiters->status->service->base, on_deadline, waiter);
        evtimer_add(waiter->deadline, &wait);
        if (!waiters->listening)
            queue_watch(
                waiters->status->service->queue, on_change, on_gap, waiters);
        waiters->listening = true;
    }
    entry_mark(entry);
    pump(waiters);
    return waiter;
}

void
waiter_cancel(struct waiter *waiter)
{
    struct entry *entry = waiter->entry;
    LIST_REMOVE(waiter, link);
    count_down(waiter->waiters);
    waiter_free(waiter);
    if (entry != NULL)
        entry_drop_if_idle(entry);
}

void
waiters_drain(struct waiters *waiters)
{
    waiters->draining = true;
    for (size_t i = 0; i < waiters->slot_count; i++) {
        struct entry *entry = waiters->slots[i];
        for (; entry != NULL; entry = entry->next) {
            struct waiter *waiter;
            LIST_FOREACH(waiter, &entry->list, link)
            waiter->due = true;
            entry_mark(entry);
        }
    }
    pump(waiters);
}

size_t
waiters_count(const struct waiters *waiters)
{
    return waiters->count;
}

struct waiters *
waiters_new(struct status *status)
{
    struct waiters *waiters = memory_zalloc(1, sizeof(*waiters));
    waiters->status = status;
    waiters->slot_count = SLOTS_FIRST;
    waiters->slots = memory_zalloc(SLOTS_FIRST, sizeof(struct entry *));
    id_random_bytes(&waiters->seed, sizeof(waiters->seed));
    STAILQ_INIT(&waiters->line);
    waiters->idle = evtimer_new(status->service->base, on_idle, waiters);
    return waiters;
}

void
waiters_free(struct waiters *waiters)
{
    assert(waiters->count == 0 && waiters->reads == 0);
    if (waiters->listening && waiters->status->service->queue != NULL)
        queue_watch_stop(waiters->status->service->queue);
    event_free(waiters->idle);
    memory_free(waiters->slots);
    memory_free(waiters);
}
