#include "worker/keeper.h"

#include <string.h>

#include "common/base/clock.h"
#include "common/base/crash.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/queue/queue_bulk.h"
#include "common/service/config.h"
#include "common/service/service.h"
#include "common/store/store.h"
#include "worker/claim.h"
#include "worker/worker.h"

/* Keeps Redis for about 3 ms. */
#define ADVANCE_ITEMS 250
#define LOCK_MS 5000
#define LOOK_BATCHES 100
#define ERASE_ROWS 500
#define DISCARD_AT_ONCE 100
#define RETENTION_EVERY_TICKS 60
/* What the Message Batches API promises, counted from the creation. */
#define CLAUDE_RETENTION_MS (INT64_C(29) * 86400 * 1000)

struct keeper {
    struct worker *worker;
    bool advancing;
    bool advance_again;
    bool looking; /* at a page, or at what it led to */
    bool left;
    unsigned pending; /* batches that are being seen to */
    unsigned ticks;
    char cursor[BATCH_UUID_SIZE]; /* of the last page, "": from the newest */
};

/* One batch that is being seen to. */
struct care {
    struct keeper *keeper;
    struct bulk batch;
    uint64_t replays;
    bool forget; /* erase: its name too */
};

static struct queue *
queue_of(const struct keeper *keeper)
{
    return keeper->worker->service->queue;
}

static struct store *
store_of(const struct keeper *keeper)
{
    return keeper->worker->service->store;
}

/* --- items ----------------------------------------------------------- */

static void advance(struct keeper *keeper);

static void
on_advanced(void *arg, enum queue_status status, unsigned moved, bool more)
{
    struct keeper *keeper = arg;

    keeper->advancing = false;
    if (keeper->left || status != QUEUE_OK)
        return;
    if (moved > 0)
        claim_wake_all(keeper->worker);
    if (more || keeper->advance_again)
        advance(keeper);
}

static void
advance(struct keeper *keeper)
{
    if (keeper->advancing || keeper->left)
        return;
    keeper->advance_again = false;
    keeper->advancing = queue_bulk_advance(queue_of(keeper), ADVANCE_ITEMS,
                            on_advanced, keeper) == 0;
}

/* --- one batch ------------------------------------------------------- */

static struct care *
care_new(struct keeper *keeper)
{
    struct care *care = memory_zalloc(1, sizeof(*care));

    care->keeper = keeper;
    keeper->pending++;
    keeper->looking = true;
    return care;
}

static void
care_end(struct care *care)
{
    struct keeper *keeper = care->keeper;

    if (--keeper->pending == 0)
        keeper->looking = false;
    bulk_clear(&care->batch);
    memory_free(care);
}

static void
on_last_step(void *arg, enum queue_status status)
{
    (void)status; /* what was not done is met by the next look */
    care_end(arg);
}

/* --- it has ended: into the store ------------------------------------ */

static void
on_put(void *arg, enum store_status status)
{
    struct care *care = arg;

    crash_point("batch.stored");
    if (status == STORE_OK)
        log_info("batch_ended", LOG_TEXT("batch", care->batch.uuid),
            LOG_INT("items", care->batch.total),
            LOG_INT("succeeded", care->batch.tally.succeeded));
    if ((status != STORE_OK && status != STORE_EXISTS) || care->keeper->left ||
        queue_bulk_leave(
            queue_of(care->keeper), care->batch.uuid, on_last_step, care) != 0)
        care_end(care);
}

static void
on_rejects(void *arg, enum queue_status status, const struct slice *lines,
    size_t count)
{
    struct care *care = arg;
    struct buffer text = {0};

    if (status != QUEUE_OK || care->keeper->left) {
        care_end(care); /* left meanwhile, or unknown */
        return;
    }
    for (size_t i = 0; i < count; i++) {
        buffer_append_slice(&text, lines[i]);
        buffer_append_char(&text, '\n');
    }
    store_batch_put(store_of(care->keeper), &care->batch, buffer_slice(&text),
        on_put, care);
    buffer_clear(&text);
}

static void
keep_ended(struct care *care)
{
    if (queue_bulk_rejects(queue_of(care->keeper), care->batch.uuid, 0,
            BULK_REJECTS_MAX, on_rejects, care) != 0)
        care_end(care);
}

/* --- it may have ended ----------------------------------------------- */

static void
on_tally(void *arg, enum store_status status, const struct bulk_tally *tally)
{
    struct care *care = arg;

    crash_point("batch.counted");
    if (status != STORE_OK || care->keeper->left ||
        bulk_tally_total(tally) != care->batch.total ||
        queue_bulk_end(queue_of(care->keeper), care->batch.uuid, care->replays,
            tally, on_last_step, care) != 0)
        care_end(care);
}

static void
see_to(struct keeper *keeper, const struct queue_bulk_view *view)
{
    struct care *care = NULL;
    bool ended = view->batch->state == BATCH_ENDED;

    if (!ended && view->again > 0)
        return;
    care = care_new(keeper);
    bulk_copy(&care->batch, view->batch);
    care->replays = view->replays;
    if (ended)
        keep_ended(care);
    else
        store_batch_tally(store_of(keeper), care->batch.uuid, on_tally, care);
}

/* --- erasing --------------------------------------------------------- */

static void
on_erased(void *arg, enum store_status status, unsigned count, bool more)
{
    struct care *care = arg;
    struct keeper *keeper = care->keeper;

    (void)count;
    if ((status != STORE_OK && status != STORE_ABSENT) || keeper->left) {
        care_end(care);
        return;
    }
    if (more) {
        store_batch_erase(store_of(keeper), care->batch.uuid, ERASE_ROWS,
            care->forget, on_erased, care);
        return;
    }
    crash_point("batch.erased");
    log_info("batch_erased", LOG_TEXT("batch", care->batch.uuid));
    if (queue_bulk_deleted(
            queue_of(keeper), care->batch.uuid, on_last_step, care) != 0)
        care_end(care);
}

/* Dead letters go first, as if somebody discarded them: a letter without its
 * row could neither be shown nor replayed. The next look goes on. */
static void
on_dead_rows(void *arg, enum store_status status,
    const struct store_batch_row *rows, size_t count, bool more)
{
    struct care *care = arg;
    struct keeper *keeper = care->keeper;
    unsigned discarded = 0;

    (void)more;
    for (size_t i = 0; status == STORE_OK && !keeper->left && i < count; i++)
        if (queue_discard(queue_of(keeper), rows[i].result.id,
                rows[i].result.generation, NULL, NULL) == 0)
            discarded++;
    if (status != STORE_OK || keeper->left || discarded > 0)
        care_end(care);
    else
        store_batch_erase(store_of(keeper), care->batch.uuid, ERASE_ROWS, false,
            on_erased, care);
}

static void
erase_deleted(struct keeper *keeper, struct slice uuid)
{
    struct care *care = care_new(keeper);
    const struct store_batch_query query = {
        .uuid = care->batch.uuid, .dead = true, .limit = DISCARD_AT_ONCE};

    text_copy(care->batch.uuid, sizeof(care->batch.uuid), uuid);
    store_batch_rows(store_of(keeper), &query, on_dead_rows, care);
}

static void
on_due(void *arg, enum store_status status, const struct bulk *batch)
{
    struct care *care = arg;

    if (status != STORE_OK || care->keeper->left) {
        care_end(care);
        return;
    }
    bulk_copy(&care->batch, batch);
    care->forget = true;
    store_batch_erase(store_of(care->keeper), care->batch.uuid, ERASE_ROWS,
        true, on_erased, care);
}

static void
sweep(struct keeper *keeper)
{
    int64_t now_ms = clock_wall_ms();

    store_batch_get_due(store_of(keeper), now_ms - CLAUDE_RETENTION_MS,
        now_ms - keeper->worker->service->config->retention_ms, on_due,
        care_new(keeper));
}

/* --- the look at all of them ----------------------------------------- */

static bool
is_among(struct slice uuid, const struct queue_bulk_view *views, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (slice_equal_text(uuid, views[i].batch->uuid))
            return true;
    return false;
}

static void
on_batches(void *arg, enum queue_status status,
    const struct queue_bulk_view *views, size_t count,
    const struct slice *deleted, size_t deleted_count)
{
    struct care *care = arg;
    struct keeper *keeper = care->keeper;

    if (status == QUEUE_OK && !keeper->left) {
        for (size_t i = 0; i < count; i++)
            see_to(keeper, &views[i]);
        /* One that is still here goes to the store before. */
        for (size_t i = 0; i < deleted_count && i < LOOK_BATCHES; i++)
            if (!is_among(deleted[i], views, count))
                erase_deleted(keeper, deleted[i]);
        keeper->cursor[0] = '\0';
        if (count == LOOK_BATCHES)
            memcpy(keeper->cursor, views[count - 1].batch->uuid,
                sizeof(keeper->cursor));
        if (keeper->ticks % RETENTION_EVERY_TICKS == 1)
            sweep(keeper);
    }
    care_end(care);
}

static void
on_lock(void *arg, enum queue_status status)
{
    struct care *care = arg;
    struct keeper *keeper = care->keeper;

    if (status != QUEUE_OK || keeper->left ||
        queue_bulk_list(queue_of(keeper),
            keeper->cursor[0] != '\0' ? keeper->cursor : NULL, false,
            LOOK_BATCHES, on_batches, care) != 0)
        care_end(care);
}

static void
look(struct keeper *keeper)
{
    struct care *care = NULL;

    if (keeper->looking)
        return;
    care = care_new(keeper);
    if (queue_bulk_lock(queue_of(keeper), keeper->worker->consumer, LOCK_MS,
            on_lock, care) != 0)
        care_end(care);
}

/* --- from outside ---------------------------------------------------- */

struct keeper *
keeper_new(struct worker *worker)
{
    struct keeper *keeper = memory_zalloc(1, sizeof(*keeper));

    keeper->worker = worker;
    return keeper;
}

void
keeper_tick(struct keeper *keeper)
{
    if (keeper->left)
        return;
    keeper->ticks++;
    advance(keeper);
    look(keeper);
}

void
keeper_wake(struct keeper *keeper)
{
    keeper->advance_again = keeper->advancing;
    advance(keeper);
}

void
keeper_stop(struct keeper *keeper)
{
    keeper->left = true;
}

void
keeper_free(struct keeper *keeper)
{
    memory_free(keeper);
}
