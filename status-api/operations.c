#include "status-api/operations.h"

#include <string.h>

#include "common/base/log.h"
#include "status-api/runner.h"
#include "status-api/status.h"

#define LOOK_EVERY_MS 1000
#define HERE_MAX 8
/* Documents that are kept; the oldest finished ones go first. */
#define KEEP_MAX 200

struct operations {
    struct status *status;
    struct event *timer;
    char holder[ID_SIZE]; /* this process */
    struct runner *here[HERE_MAX];
    bool looking; /* an answer is due */
    bool draining;
};

static struct runner **
place_of(struct operations *operations, const char *id)
{
    for (unsigned i = 0; i < HERE_MAX; i++) {
        if (operations->here[i] != NULL &&
            strcmp(runner_id(operations->here[i]), id) == 0)
            return &operations->here[i];
    }
    return NULL;
}

static void
on_end(void *arg, struct runner *runner)
{
    struct operations *operations = arg;
    for (unsigned i = 0; i < HERE_MAX; i++) {
        if (operations->here[i] == runner)
            operations->here[i] = NULL;
    }
    service_release(operations->status->service);
}

void
operations_adopt(struct operations *operations, const char *id)
{
    if (operations->draining || place_of(operations, id) != NULL)
        return;
    for (unsigned i = 0; i < HERE_MAX; i++) {
        if (operations->here[i] != NULL)
            continue;
        service_hold(operations->status->service);
        operations->here[i] = runner_start(
            operations->status, id, operations->holder, on_end, operations);
        return;
    }
}

void
operations_cancel(struct operations *operations, const char *id)
{
    struct runner **runner = place_of(operations, id);
    if (runner != NULL)
        runner_cancel(*runner);
}

/* --- looking for work ---------------------------------------------------- */

static void
on_removed(void *arg, enum queue_status status)
{
    (void)arg;
    (void)status;
}

static void
forget(struct operations *operations, const char *id)
{
    struct queue *queue = operations->status->service->queue;
    char cancel[ID_SIZE];
    operation_cancel_id(id, cancel);
    if (queue_operation_put(queue, id, SLICE_NULL, on_removed, NULL) != 0 ||
        queue_operation_put(queue, cancel, SLICE_NULL, on_removed, NULL) != 0)
        log_debug("operation_kept", LOG_TEXT("operation", id));
}

static void
on_documents(void *arg, enum queue_status status, const struct slice *documents,
    size_t count)
{
    struct operations *operations = arg;
    struct operation op;
    char canceled[ID_SIZE];
    char oldest[ID_SIZE] = "";
    size_t kept = 0;
    operations->looking = false;
    if (status != QUEUE_OK || operations->draining)
        return;
    for (size_t i = 0; i < count; i++) {
        if (operation_cancel_decode(documents[i], canceled)) {
            operations_cancel(operations, canceled);
        } else if (operation_decode(documents[i], &op) == 0) {
            kept++;
            if (op.state == OPERATION_RUNNING)
                operations_adopt(operations, op.id);
            else if (oldest[0] == '\0' || strcmp(op.id, oldest) < 0)
                memcpy(oldest, op.id, sizeof(oldest));
        }
    }
    if (kept > KEEP_MAX && oldest[0] != '\0')
        forget(operations, oldest);
}

static void
on_timer(evutil_socket_t fd, short events, void *arg)
{
    struct operations *operations = arg;
    struct status *status = operations->status;
    (void)fd;
    (void)events;
    if (operations->looking || operations->draining ||
        !status_redis_usable(status))
        return;
    operations->looking = queue_operation_list(status->service->queue,
                              on_documents, operations) == 0;
}

/* --- life ---------------------------------------------------------------- */

unsigned
operations_running(const struct operations *operations, unsigned action)
{
    unsigned count = 0;
    for (unsigned i = 0; i < HERE_MAX; i++) {
        if (operations->here[i] != NULL &&
            runner_action(operations->here[i]) == action)
            count++;
    }
    return count;
}

void
operations_drain(struct operations *operations)
{
    operations->draining = true;
    for (unsigned i = 0; i < HERE_MAX; i++) {
        if (operations->here[i] != NULL)
            runner_stop(operations->here[i]);
    }
}

struct operations *
operations_new(struct status *status)
{
    static const struct timeval every = {
        LOOK_EVERY_MS / 1000, LOOK_EVERY_MS % 1000 * 1000};
    struct operations *operations = memory_zalloc(1, sizeof(*operations));
    operations->status = status;
    id_make("proc_", operations->holder);
    operations->timer =
        event_new(status->service->base, -1, EV_PERSIST, on_timer, operations);
    event_add(operations->timer, &every);
    return operations;
}

void
operations_free(struct operations *operations)
{
    event_free(operations->timer);
    for (unsigned i = 0; i < HERE_MAX; i++) {
        if (operations->here[i] != NULL)
            runner_free(operations->here[i]);
    }
    memory_free(operations);
}
