#include "status-api/runner.h"

#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "status-api/replay.h"
#include "status-api/status.h"

#define LOCK_MS 10000
#define LOCK_EVERY_MS 3000
#define WRITE_EVERY_MS 1000
#define AGAIN_MS 1000
#define PAGE 500
/* Requests that are in memory at the same time. */
#define BATCH 8

/* One dead letter of the page. */
struct item {
    char id[ID_SIZE];
    char entry[48];
    unsigned generation;
    bool settled;
};

/* What is under way in a runner, one thing at a time. */
enum runner_state {
    RUNNER_LOCKING,
    RUNNER_READING, /* its document */
    RUNNER_PAGING, /* the next dead letters */
    RUNNER_WORKING, /* on a batch */
    RUNNER_WRITING, /* its document */
    RUNNER_RESTING, /* until the timer */
    RUNNER_ENDING /* on_end is due */
};

struct runner {
    struct status *status;
    const char *holder;
    void (*on_end)(void *arg, struct runner *runner);
    void *arg;
    enum runner_state state;
    struct event *timer;
    struct operation op;
    bool read; /* the document was read under the lock */
    bool stopping;
    bool dirty; /* progress that is not written down */
    int64_t locked_ms; /* when the lock was last asked for with success */
    int64_t written_ms;
    struct operation_pace pace;
    struct item items[PAGE];
    size_t count;
    size_t next; /* the first item that is not settled */
    size_t batch; /* items under way from there */
    size_t pending; /* of them, answers due */
    bool again; /* one of them has to be tried once more */
    char page_end[48];
    bool last_page;
};

static void step(struct runner *runner);

/* --- moving on ----------------------------------------------------------- */

static void
rest(struct runner *runner, int64_t ms)
{
    struct timeval delay = {ms / 1000, ms % 1000 * 1000};
    runner->state = RUNNER_RESTING;
    evtimer_add(runner->timer, &delay);
}

static void
end(struct runner *runner)
{
    runner->state = RUNNER_ENDING;
    event_active(runner->timer, EV_TIMEOUT, 0);
}

static void
on_timer(evutil_socket_t fd, short events, void *arg)
{
    struct runner *runner = arg;
    (void)fd;
    (void)events;
    if (runner->state == RUNNER_ENDING) {
        void (*on_end)(void *arg, struct runner *runner) = runner->on_end;
        on_end(runner->arg, runner);
        runner_free(runner);
    } else if (runner->state == RUNNER_RESTING) {
        step(runner);
    }
}

/* Redis was away: what is not safe yet waits, unless nobody may wait. */
static void
trouble(struct runner *runner)
{
    if (runner->stopping)
        end(runner);
    else
        rest(runner, AGAIN_MS);
}

/* --- lock and document --------------------------------------------------- */

static void
on_lock(void *arg, enum queue_status status)
{
    struct runner *runner = arg;
    if (status == QUEUE_CONFLICT) {
        if (runner->read)
            log_warn("operation_lost", LOG_TEXT("operation", runner->op.id));
        end(runner);
        return;
    }
    if (status != QUEUE_OK) {
        trouble(runner);
        return;
    }
    runner->locked_ms = clock_mono_ms();
    step(runner);
}

/* The lock may have been somebody else's meanwhile, and the document too. */
static void
forget(struct runner *runner)
{
    runner->read = false;
    runner->dirty = false;
    runner->count = 0;
    runner->next = 0;
    runner->batch = 0;
    runner->page_end[0] = '\0';
    runner->last_page = false;
}

static void
lock(struct runner *runner)
{
    if (runner->read && clock_mono_ms() - runner->locked_ms >= LOCK_MS)
        forget(runner);
    runner->state = RUNNER_LOCKING;
    if (queue_operation_lock(runner->status->service->queue, runner->op.id,
            runner->holder, LOCK_MS, on_lock, runner) != 0)
        trouble(runner);
}

/* The document as it is now that nobody else writes it. */
static void
on_documents(void *arg, enum queue_status status, const struct slice *documents,
    size_t count)
{
    struct runner *runner = arg;
    struct operation op;
    char canceled[ID_SIZE];
    bool found = false, cancel = runner->op.cancel_requested;
    if (status != QUEUE_OK && status != QUEUE_ABSENT) {
        trouble(runner);
        return;
    }
    char id[ID_SIZE];
    memcpy(id, runner->op.id, sizeof(id));
    for (size_t i = 0; i < count; i++) {
        if (operation_cancel_decode(documents[i], canceled)) {
            cancel = cancel || strcmp(canceled, id) == 0;
        } else if (operation_decode(documents[i], &op) == 0 &&
            strcmp(op.id, id) == 0) {
            runner->op = op;
            found = true;
        }
    }
    if (!found || runner->op.state != OPERATION_RUNNING) {
        end(runner);
        return;
    }
    runner->op.cancel_requested = runner->op.cancel_requested || cancel;
    runner->read = true;
    runner->written_ms = clock_mono_ms();
    log_info("operation_running", LOG_TEXT("operation", id),
        LOG_TEXT("action", operation_action_name(runner->op.action)),
        LOG_INT("eligible", runner->op.eligible),
        LOG_INT("done", runner->op.done));
    step(runner);
}

static void
read_document(struct runner *runner)
{
    runner->state = RUNNER_READING;
    if (queue_operation_list(
            runner->status->service->queue, on_documents, runner) != 0)
        trouble(runner);
}

static void
on_written(void *arg, enum queue_status status)
{
    struct runner *runner = arg;
    if (status != QUEUE_OK) {
        runner->dirty = true;
        trouble(runner);
        return;
    }
    runner->written_ms = clock_mono_ms();
    step(runner);
}

static void
write_document(struct runner *runner)
{
    struct buffer document = {0};
    runner->state = RUNNER_WRITING;
    runner->dirty = false;
    operation_encode(&runner->op, &document);
    if (queue_operation_put(runner->status->service->queue, runner->op.id,
            buffer_slice(&document), on_written, runner) != 0) {
        runner->dirty = true;
        trouble(runner);
    }
    buffer_clear(&document);
}

/* --- the dead letters ---------------------------------------------------- */

static void
take_page(struct runner *runner, const struct queue_dead *letters, size_t count)
{
    runner->count = 0;
    runner->next = 0;
    runner->last_page = count < PAGE;
    for (size_t i = 0; i < count; i++) {
        struct item *item = &runner->items[runner->count];
        if (!dead_filter_matches(&runner->op.filter, &letters[i]))
            continue;
        memcpy(item->id, letters[i].id, sizeof(item->id));
        memcpy(item->entry, letters[i].entry, sizeof(item->entry));
        item->generation = letters[i].generation;
        item->settled = false;
        runner->count++;
    }
    if (count > 0)
        memcpy(runner->page_end, letters[count - 1].entry,
            sizeof(runner->page_end));
}

static void
on_page(void *arg, enum queue_status status, const struct queue_dead *letters,
    size_t count)
{
    struct runner *runner = arg;
    if (status != QUEUE_OK && status != QUEUE_ABSENT) {
        trouble(runner);
        return;
    }
    take_page(runner, letters, count);
    step(runner);
}

static void
next_page(struct runner *runner)
{
    const char *cursor = runner->op.cursor;
    runner->state = RUNNER_PAGING;
    if (dead_read(runner->status, &runner->op.filter,
            cursor[0] != '\0' ? cursor : NULL, runner->op.snapshot_until, PAGE,
            on_page, runner) != 0)
        trouble(runner);
}

/* One item of the batch under way. */
struct work {
    struct runner *runner;
    struct item *item;
};

static void
settle_batch(struct runner *runner)
{
    if (runner->again) {
        trouble(runner);
        return;
    }
    runner->next += runner->batch;
    runner->batch = 0;
    memcpy(runner->op.cursor, runner->items[runner->next - 1].entry,
        sizeof(runner->op.cursor));
    runner->dirty = true;
    step(runner);
}

static void
settle(struct work *work, uint64_t *counter)
{
    struct runner *runner = work->runner;
    if (counter == NULL) {
        runner->again = true;
    } else {
        (*counter)++;
        work->item->settled = true;
    }
    memory_free(work);
    if (--runner->pending == 0)
        settle_batch(runner);
}

static void
on_replayed(void *arg, enum replay_outcome outcome)
{
    struct work *work = arg;
    struct operation *op = &work->runner->op;
    switch (outcome) {
    case REPLAY_DONE: settle(work, &op->done); return;
    case REPLAY_ABSENT: settle(work, &op->skipped); return;
    case REPLAY_UNREADABLE: settle(work, &op->failed); return;
    case REPLAY_LATER: settle(work, NULL); return;
    }
}

static void
on_discarded(void *arg, enum queue_status status)
{
    struct work *work = arg;
    struct operation *op = &work->runner->op;
    if (status == QUEUE_OK)
        settle(work, &op->done);
    else if (status == QUEUE_ABSENT)
        settle(work, &op->skipped);
    else
        settle(work, NULL);
}

static void
work_on(struct runner *runner, struct item *item)
{
    struct work *work = memory_zalloc(1, sizeof(*work));
    work->runner = runner;
    work->item = item;
    if (runner->op.action == OPERATION_REPLAY)
        replay_start(
            runner->status, item->id, (int)item->generation, on_replayed, work);
    else if (queue_discard(runner->status->service->queue, item->id,
                 item->generation, on_discarded, work) != 0)
        settle(work, NULL);
}

/* The items of the batch that are not settled; the first time all of them. */
static void
work_batch(struct runner *runner)
{
    runner->state = RUNNER_WORKING;
    runner->again = false;
    runner->pending = 1; /* ours, so that it ends once */
    for (size_t i = runner->next; i < runner->next + runner->batch; i++) {
        if (runner->items[i].settled)
            continue;
        runner->pending++;
        work_on(runner, &runner->items[i]);
    }
    if (--runner->pending == 0)
        settle_batch(runner);
}

static void
next_batch(struct runner *runner)
{
    const struct operation *op = &runner->op;
    int64_t wait_ms;
    size_t most = runner->count - runner->next;
    if (most > BATCH)
        most = BATCH;
    if (op->limit > 0 && op->limit - op->done < most)
        most = (size_t)(op->limit - op->done);
    runner->batch = operation_allow(
        &runner->pace, clock_mono_ms(), op->rate, (unsigned)most, &wait_ms);
    if (runner->batch == 0)
        rest(runner, wait_ms);
    else
        work_batch(runner);
}

/* --- what comes next ----------------------------------------------------- */

/* Whether the page is worked off; the cursor then stands at its end. */
static bool
needs_page(struct runner *runner)
{
    if (runner->next < runner->count)
        return false;
    if (runner->page_end[0] != '\0')
        memcpy(runner->op.cursor, runner->page_end, sizeof(runner->op.cursor));
    return true;
}

static bool
is_done(struct runner *runner)
{
    const struct operation *op = &runner->op;
    return op->cancel_requested || (op->limit > 0 && op->done >= op->limit) ||
        (runner->last_page && runner->next >= runner->count);
}

/* What was meant at the start and was not there any more when it was its
 * turn: somebody else replayed or discarded it, or the process before us did
 * and could not write it down. */
static void
count_missing(struct operation *op)
{
    uint64_t met = op->done + op->skipped + op->failed;
    if (op->state == OPERATION_SUCCEEDED && met < op->eligible)
        op->skipped += op->eligible - met;
}

static void
finish(struct runner *runner)
{
    struct operation *op = &runner->op;
    op->state = op->cancel_requested ? OPERATION_CANCELED : OPERATION_SUCCEEDED;
    op->finished_ms = clock_wall_ms();
    count_missing(op);
    log_info("operation_finished", LOG_TEXT("operation", op->id),
        LOG_TEXT("action", operation_action_name(op->action)),
        LOG_BOOL("canceled", op->cancel_requested), LOG_INT("done", op->done),
        LOG_INT("skipped", op->skipped), LOG_INT("failed", op->failed));
    write_document(runner);
}

/* Called whenever nothing is under way. */
static void
step(struct runner *runner)
{
    int64_t now = clock_mono_ms();
    bool finished = runner->op.state != OPERATION_RUNNING;
    if (runner->stopping && !runner->dirty)
        end(runner);
    else if (runner->locked_ms == 0 || now - runner->locked_ms >= LOCK_EVERY_MS)
        lock(runner);
    else if (!runner->read)
        read_document(runner);
    else if (runner->dirty &&
        (finished || runner->stopping ||
            now - runner->written_ms >= WRITE_EVERY_MS))
        write_document(runner);
    else if (finished)
        end(runner);
    else if (runner->batch > 0 && !runner->op.cancel_requested)
        work_batch(runner);
    else if (is_done(runner))
        finish(runner);
    else if (needs_page(runner))
        next_page(runner);
    else
        next_batch(runner);
}

/* --- face ---------------------------------------------------------------- */

struct runner *
runner_start(struct status *status, const char *id, const char *holder,
    void (*on_end)(void *arg, struct runner *runner), void *arg)
{
    struct runner *runner = memory_zalloc(1, sizeof(*runner));
    runner->status = status;
    runner->holder = holder;
    runner->on_end = on_end;
    runner->arg = arg;
    text_copy(runner->op.id, sizeof(runner->op.id), slice_of(id));
    runner->timer = evtimer_new(status->service->base, on_timer, runner);
    rest(runner, 0);
    return runner;
}

const char *
runner_id(const struct runner *runner)
{
    return runner->op.id;
}

enum operation_action
runner_action(const struct runner *runner)
{
    return runner->op.action;
}

static void
hurry(struct runner *runner)
{
    if (runner->state == RUNNER_RESTING)
        event_active(runner->timer, EV_TIMEOUT, 0);
}

void
runner_cancel(struct runner *runner)
{
    runner->op.cancel_requested = true;
    hurry(runner);
}

void
runner_stop(struct runner *runner)
{
    runner->stopping = true;
    hurry(runner);
}

void
runner_free(struct runner *runner)
{
    event_free(runner->timer);
    memory_free(runner);
}
