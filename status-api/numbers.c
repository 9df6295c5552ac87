#include "status-api/numbers.h"

#include <string.h>

#include "common/base/clock.h"
#include "status-api/status.h"

#define EVERY_MS 1000
#define FIRST_MS 50 /* until there was an answer */
#define STALE_MS 3000

struct numbers {
    struct status *status;
    struct event *timer;
    bool asked; /* an answer is due */
    int64_t taken_ms; /* monotonic; 0: never */
    struct queue_stats stats; /* arrays and names are owned */
};

static void
clear(struct queue_stats *stats)
{
    union {
        const void *borrowed;
        void *own;
    } queues = {stats->queues}, holds = {stats->holds}, pools = {stats->pools},
      quotas = {stats->quotas};
    for (size_t i = 0; i < stats->queue_count; i++) {
        queues.borrowed = stats->queues[i].name.data;
        memory_free(queues.own);
    }
    queues.borrowed = stats->queues;
    memory_free(queues.own);
    memory_free(holds.own);
    memory_free(pools.own);
    memory_free(quotas.own);
    memset(stats, 0, sizeof(*stats));
}

static void
copy(struct queue_stats *to, const struct queue_stats *from)
{
    size_t queue_count = from->queue_count;
    size_t hold_bytes = from->hold_count * sizeof(*from->holds);
    struct queue_numbers *queues =
        memory_zalloc(queue_count + 1, sizeof(*queues));
    struct queue_hold *holds = memory_zalloc(1, hold_bytes + 1);
    struct queue_pool *pools =
        memory_zalloc(from->pool_count + 1, sizeof(*pools));
    struct queue_quota_shown *quotas =
        memory_zalloc(from->quota_count + 1, sizeof(*quotas));
    for (size_t i = 0; i < queue_count; i++) {
        struct slice name = from->queues[i].name;
        queues[i] = from->queues[i];
        queues[i].name.data = memory_dup_bytes(name.data, name.len);
    }
    if (hold_bytes > 0)
        memcpy(holds, from->holds, hold_bytes);
    for (size_t i = 0; i < from->pool_count; i++)
        pools[i] = from->pools[i];
    for (size_t i = 0; i < from->quota_count; i++)
        quotas[i] = from->quotas[i];
    clear(to);
    *to = *from;
    to->queues = queues;
    to->holds = holds;
    to->pools = pools;
    to->quotas = quotas;
}

static void
on_stats(void *arg, enum queue_status status, const struct queue_stats *stats)
{
    struct numbers *numbers = arg;
    numbers->asked = false;
    if (status != QUEUE_OK)
        return;
    copy(&numbers->stats, stats);
    numbers->taken_ms = clock_mono_ms();
}

void
numbers_refresh(struct numbers *numbers)
{
    struct queue *queue = numbers->status->service->queue;
    if (!numbers->asked && queue_stats_get(queue, on_stats, numbers) == 0)
        numbers->asked = true;
}

static void
on_timer(evutil_socket_t fd, short events, void *arg)
{
    struct numbers *numbers = arg;
    int64_t ms = numbers->taken_ms == 0 ? FIRST_MS : EVERY_MS;
    struct timeval delay = {ms / 1000, ms % 1000 * 1000};
    (void)fd;
    (void)events;
    numbers_refresh(numbers);
    event_add(numbers->timer, &delay);
}

const struct queue_stats *
numbers_get(const struct numbers *numbers)
{
    if (numbers->taken_ms == 0 ||
        clock_mono_ms() - numbers->taken_ms > STALE_MS)
        return NULL;
    return &numbers->stats;
}

struct numbers *
numbers_new(struct status *status)
{
    struct numbers *numbers = memory_zalloc(1, sizeof(*numbers));
    numbers->status = status;
    numbers->timer = evtimer_new(status->service->base, on_timer, numbers);
    event_active(numbers->timer, EV_TIMEOUT, 0);
    return numbers;
}

void
numbers_free(struct numbers *numbers)
{
    event_free(numbers->timer);
    clear(&numbers->stats);
    memory_free(numbers);
}
