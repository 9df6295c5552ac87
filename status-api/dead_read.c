#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/store/store.h"
#include "status-api/dead.h"
#include "status-api/status.h"

/*
 * The letters in Redis do not say which batch they belong to, but the rows
 * in the store do, and there is an index: one in ten thousand is found
 * without a look at the others. The row's flag goes a moment after the letter
 * itself, when a worker comes to it; whoever replays or discards such a
 * letter is told that it is not there any more.
 */

struct dead_read {
    void (*on_dead)(void *arg, enum queue_status status,
        const struct queue_dead *dead, size_t count);
    void *arg;
};

/* "ROW-0", in the form of the other cursors. */
static int64_t
row_of(const char *entry)
{
    struct slice text = slice_of(entry);
    int64_t row = 0;
    if (text_parse_i64(slice_split(&text, '-'), 0, INT64_MAX, &row) != 0)
        return 0;
    return row;
}

static void
fill(const struct store_batch_row *row, struct queue_dead *dead)
{
    const struct job_result *result = &row->result;
    memset(dead, 0, sizeof(*dead));
    snprintf(dead->entry, sizeof(dead->entry), "%" PRId64 "-0", row->row);
    memcpy(dead->id, result->id, sizeof(dead->id));
    dead->generation = result->generation;
    dead->attempts = result->attempts;
    dead->dead_ms = result->finished_ms;
    text_copy(dead->lane, sizeof(dead->lane),
        slice_of(job_lane_name(result->meta.lane)));
    text_copy(dead->model, sizeof(dead->model), slice_of(result->model));
    text_copy(
        dead->tenant, sizeof(dead->tenant), slice_of(result->meta.tenant));
    dead->error = result->error;
    job_error_fingerprint(&dead->error, dead->model, dead->fingerprint);
}

static void
on_rows(void *arg, enum store_status status, const struct store_batch_row *rows,
    size_t count, bool more)
{
    struct dead_read *read = arg;
    (void)more;
    if (status != STORE_OK && status != STORE_ABSENT) {
        read->on_dead(read->arg, QUEUE_UNKNOWN, NULL, 0);
        memory_free(read);
        return;
    }
    struct queue_dead *dead = memory_zalloc(count + 1, sizeof(*dead));
    for (size_t i = 0; i < count; i++)
        fill(&rows[i], &dead[i]);
    read->on_dead(read->arg, QUEUE_OK, dead, count);
    memory_free(dead);
    memory_free(read);
}

int
dead_read(struct status *status, const struct dead_filter *filter,
    const char *after, const char *until, unsigned limit,
    void (*on_dead)(void *arg, enum queue_status status,
        const struct queue_dead *dead, size_t count),
    void *arg)
{
    if (filter->batch[0] == '\0')
        return queue_dead_list(
            status->service->queue, after, until, limit, on_dead, arg);
    const struct store_batch_query query = {.uuid = filter->batch,
        .after = row_of(after),
        .until = row_of(until),
        .dead = true,
        .limit = limit};
    struct dead_read *read = memory_zalloc(1, sizeof(*read));
    read->on_dead = on_dead;
    read->arg = arg;
    store_batch_rows(status->service->store, &query, on_rows, read);
    return 0;
}
