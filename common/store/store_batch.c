/* Requests about batches: what is handed to the threads and back. */

#include <string.h>

#include "common/store/store_ops.h"

#define ROWS_MAX 1000

/* ---- the work ---- */

struct store_batch_work *
store_batch_work_new(void)
{
    return memory_zalloc(1, sizeof(struct store_batch_work));
}

void
store_batch_work_reset_reply(struct store_batch_work *batch)
{
    for (size_t i = 0; i < batch->bulk_count; i++)
        bulk_clear(&batch->bulks[i]);
    memory_free(batch->bulks);
    batch->bulks = NULL;
    batch->bulk_count = 0;
    for (size_t i = 0; i < batch->row_count; i++)
        job_result_clear(&batch->rows[i].result);
    memory_free(batch->rows);
    memory_free(batch->answer_ends);
    batch->rows = NULL;
    batch->answer_ends = NULL;
    batch->row_count = 0;
    memset(&batch->tally, 0, sizeof(batch->tally));
}

void
store_batch_work_free(struct store_batch_work *batch)
{
    if (batch == NULL)
        return;
    store_batch_work_reset_reply(batch);
    bulk_clear(&batch->bulk);
    memory_free(batch->tenant);
    memory_free(batch->run);
    memory_free(batch->cursor);
    memory_free(batch);
}

/* Answers were appended to one buffer, which may have moved as it grew. */
static void
place_answers(struct store_work *work)
{
    struct store_batch_work *batch = work->batch;
    size_t at = 0;

    for (size_t i = 0; i < batch->row_count; i++) {
        size_t end = batch->answer_ends[i];
        batch->rows[i].answer =
            end > at ? slice_make(work->bytes.data + at, end - at) : SLICE_NULL;
        at = end;
    }
}

void
store_batch_call_back(struct store_work *work)
{
    struct store_batch_work *batch = work->batch;
    const struct bulk *one = batch->bulk_count > 0 ? batch->bulks : NULL;

    switch ((int)work->kind) {
    case STORE_WORK_BATCH_PUT:
        work->call.on_status(work->arg, work->status);
        break;
    case STORE_WORK_BATCH_ERASE:
        work->call.on_swept(work->arg, work->status, work->swept, work->more);
        break;
    case STORE_WORK_BATCH_TALLY:
        work->call.on_tally(work->arg, work->status, &batch->tally);
        break;
    case STORE_WORK_BATCH_ROWS:
        place_answers(work);
        work->call.on_batch_rows(
            work->arg, work->status, batch->rows, batch->row_count, work->more);
        break;
    case STORE_WORK_BATCH_GET:
        work->call.on_batch(work->arg, work->status, one);
        break;
    default:
        work->call.on_batches(
            work->arg, work->status, batch->bulks, batch->bulk_count);
        break;
    }
}

/* ---- requests ---- */

static struct store_work *
new_work(enum store_work_kind kind, const char *uuid, void *arg)
{
    struct store_work *work = store_work_new(kind, arg);

    work->batch = store_batch_work_new();
    work->text = memory_dup(uuid != NULL ? uuid : "");
    return work;
}

static char *
dup_or_null(const char *text)
{
    return text != NULL && text[0] != '\0' ? memory_dup(text) : NULL;
}

void
store_batch_tally(struct store *store, const char *uuid,
    void (*on_tally)(
        void *arg, enum store_status status, const struct bulk_tally *tally),
    void *arg)
{
    struct store_work *work = new_work(STORE_WORK_BATCH_TALLY, uuid, arg);

    work->call.on_tally = on_tally;
    store_hand_to_reader(store, work);
}

void
store_batch_rows(struct store *store, const struct store_batch_query *query,
    void (*on_rows)(void *arg, enum store_status status,
        const struct store_batch_row *rows, size_t count, bool more),
    void *arg)
{
    struct store_work *work = new_work(STORE_WORK_BATCH_ROWS, query->uuid, arg);

    work->batch->query = *query;
    work->batch->query.uuid = NULL;
    if (query->limit > ROWS_MAX)
        work->batch->query.limit = ROWS_MAX;
    work->call.on_batch_rows = on_rows;
    store_hand_to_bulk_reader(store, work);
}

void
store_batch_get(
    struct store *store, const char *uuid, store_on_batch *on_batch, void *arg)
{
    struct store_work *work = new_work(STORE_WORK_BATCH_GET, uuid, arg);

    work->call.on_batch = on_batch;
    store_hand_to_reader(store, work);
}

void
store_batch_get_idempotent(struct store *store, const char *tenant,
    const char *key, store_on_batch *on_batch, void *arg)
{
    struct store_work *work = new_work(STORE_WORK_BATCH_GET, NULL, arg);

    work->batch->tenant = memory_dup(tenant);
    work->batch->run = memory_dup(key);
    work->call.on_batch = on_batch;
    store_hand_to_reader(store, work);
}

void
store_batch_get_due(struct store *store, int64_t claude_before_ms,
    int64_t ended_before_ms, store_on_batch *on_batch, void *arg)
{
    struct store_work *work = new_work(STORE_WORK_BATCH_GET, NULL, arg);

    work->batch->claude_before_ms = claude_before_ms;
    work->batch->ended_before_ms = ended_before_ms;
    work->call.on_batch = on_batch;
    store_hand_to_reader(store, work);
}

void
store_batch_list(struct store *store, const struct store_batch_filter *filter,
    void (*on_batches)(void *arg, enum store_status status,
        const struct bulk *batches, size_t count),
    void *arg)
{
    struct store_work *work = new_work(STORE_WORK_BATCH_LIST, NULL, arg);

    work->batch->filter = *filter;
    work->batch->tenant = dup_or_null(filter->tenant);
    work->batch->run = dup_or_null(filter->run);
    work->batch->cursor = dup_or_null(filter->cursor);
    work->batch->filter.tenant = work->batch->tenant;
    work->batch->filter.run = work->batch->run;
    work->batch->filter.cursor = work->batch->cursor;
    if (filter->limit > ROWS_MAX)
        work->batch->filter.limit = ROWS_MAX;
    work->call.on_batches = on_batches;
    store_hand_to_reader(store, work);
}

void
store_batch_rejects(struct store *store, const char *uuid,
    void (*on_rejects)(void *arg, enum store_status status, struct slice lines),
    void *arg)
{
    struct store_work *work = new_work(STORE_WORK_BATCH_REJECTS, uuid, arg);

    work->call.on_marker = on_rejects;
    store_hand_to_reader(store, work);
}

void
store_batch_put(struct store *store, const struct bulk *batch,
    struct slice rejects, store_on_status *on_status, void *arg)
{
    struct store_work *work = new_work(STORE_WORK_BATCH_PUT, batch->uuid, arg);

    bulk_copy(&work->batch->bulk, batch);
    buffer_append_slice(&work->request, rejects);
    work->call.on_status = on_status;
    store_hand_to_writer(store, work);
}

void
store_batch_erase(struct store *store, const char *uuid, unsigned limit,
    bool forget,
    void (*on_erased)(
        void *arg, enum store_status status, unsigned count, bool more),
    void *arg)
{
    struct store_work *work = new_work(STORE_WORK_BATCH_ERASE, uuid, arg);

    work->batch->limit = limit;
    work->batch->forget = forget;
    work->call.on_swept = on_erased;
    store_hand_to_writer(store, work);
}
