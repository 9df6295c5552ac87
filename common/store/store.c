#include "common/store/store.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/crash.h"
#include "common/base/log.h"
#include "common/store/store_lane.h"
#include "common/store/store_ops.h"

/* Nothing beside the seconds that an answer of Claude's takes. */
#define LINGER_US 2000
/* Of 19. */
#define BULK_NICE 10

struct store {
    const struct store_ops *ops;
    char *where;
    char description[256];
    void *writer; /* NULL without STORE_WRITE */
    void *reader;
    struct store_lane *write_lane;
    struct store_lane *read_lane;
    void *bulk_reader; /* with its lane from the first bulk read on */
    struct store_lane *bulk_lane;
    int wake_fd;
    struct event *on_wake;
    bool closing;
    bool dispatching;
    pthread_mutex_t lock;
    struct store_work *done; /* under lock, as all that follows */
    struct store_work **done_last;
    uint64_t commits;
    uint64_t rows;
    int64_t last_commit_us;
};

/* ---- on the threads ---- */

static void
append_done(struct store *store, struct store_work *work)
{
    work->next = NULL;
    *store->done_last = work;
    store->done_last = &work->next;
}

static void
on_done(void *arg, struct store_work *const *group, size_t count)
{
    struct store *store = arg;
    const uint64_t one = 1;
    pthread_mutex_lock(&store->lock);
    bool was_empty = store->done == NULL;
    for (size_t i = 0; i < count; i++)
        append_done(store, group[i]);
    pthread_mutex_unlock(&store->lock);
    if (was_empty) {
        ssize_t written = write(store->wake_fd, &one, sizeof(one));
        assert(written == sizeof(one));
    }
}

static void
run_writes(void *arg, struct store_work **group, size_t count)
{
    struct store *store = arg;
    uint64_t rows = 0;
    for (size_t i = 0; i < count; i++)
        store->ops->prepare(store->writer, group[i]);
    int64_t start_us = clock_mono_us();
    store->ops->write(store->writer, group, count);
    int64_t took_us = clock_mono_us() - start_us;
    for (size_t i = 0; i < count; i++)
        if (group[i]->kind == STORE_WORK_COMMIT &&
            group[i]->status == STORE_OK) {
            rows++;
            crash_point("commit.committed");
        }
    pthread_mutex_lock(&store->lock);
    store->commits++;
    store->rows += rows;
    store->last_commit_us = took_us;
    pthread_mutex_unlock(&store->lock);
}

static void
run_idle(void *arg)
{
    struct store *store = arg;
    store->ops->idle(store->writer);
}

static void
run_reads(void *arg, struct store_work **group, size_t count)
{
    struct store *store = arg;
    for (size_t i = 0; i < count; i++)
        store->ops->read(store->reader, group[i]);
}

static void
run_bulk_reads(void *arg, struct store_work **group, size_t count)
{
    struct store *store = arg;
    for (size_t i = 0; i < count; i++)
        store->ops->read(store->bulk_reader, group[i]);
}

/* ---- on the loop ---- */

static void
call_back(struct store_work *work)
{
    const struct job_result *row = work->count > 0 ? work->rows : NULL;
    struct slice bytes = buffer_slice(&work->bytes);
    switch (work->kind) {
    case STORE_WORK_COMMIT:
        work->call.on_committed(work->arg, work->status, row);
        break;
    case STORE_WORK_DELETE:
    case STORE_WORK_DISCARD:
    case STORE_WORK_FORGET_REQUEST:
    case STORE_WORK_MARKER_SET:
        work->call.on_status(work->arg, work->status);
        break;
    case STORE_WORK_SWEEP:
        work->call.on_swept(work->arg, work->status, work->swept, work->more);
        break;
    case STORE_WORK_GET:
    case STORE_WORK_GET_IDEMPOTENT:
        work->call.on_row(work->arg, work->status, row, bytes);
        break;
    case STORE_WORK_LIST:
        work->call.on_rows(work->arg, work->status, work->rows, work->count);
        break;
    case STORE_WORK_MARKER_GET:
    case STORE_WORK_BATCH_REJECTS:
        work->call.on_marker(work->arg, work->status, bytes);
        break;
    case STORE_WORK_BATCH_PUT:
    case STORE_WORK_BATCH_ERASE:
    case STORE_WORK_BATCH_TALLY:
    case STORE_WORK_BATCH_ROWS:
    case STORE_WORK_BATCH_GET:
    case STORE_WORK_BATCH_LIST: store_batch_call_back(work); break;
    }
}

static bool
dispatch(struct store *store)
{
    pthread_mutex_lock(&store->lock);
    struct store_work *work = store->done;
    store->done = NULL;
    store->done_last = &store->done;
    pthread_mutex_unlock(&store->lock);
    bool any = work != NULL;
    store->dispatching = true;
    while (work != NULL) {
        struct store_work *next = work->next;
        call_back(work);
        store_work_free(work);
        work = next;
    }
    store->dispatching = false;
    return any;
}

static void
on_wake(evutil_socket_t fd, short what, void *arg)
{
    uint64_t count;
    (void)what;
    if (read(fd, &count, sizeof(count)) > 0)
        dispatch(arg);
}

/* ---- open and close ---- */

static const struct store_ops *
find_ops(const char *url, const char **where)
{
    if (strncmp(url, "sqlite:", 7) != 0 || url[7] == '\0')
        return NULL;
    *where = url + 7;
    return &sqlite_store_ops;
}

static int
open_ends(struct store *store, unsigned flags, char *error, size_t size)
{
    if ((flags & STORE_WRITE) != 0) {
        store->writer = store->ops->open_writer(store->where, error, size);
        if (store->writer == NULL)
            return -1;
    }
    store->reader = store->ops->open_reader(store->where, error, size);
    return store->reader != NULL ? 0 : -1;
}

static void
start(struct store *store, struct event_base *base)
{
    struct store_lane_work reads = {.arg = store,
        .run = run_reads,
        .done = on_done,
        .done_arg = store,
        .max_group = 1};
    struct store_lane_work writes = reads;
    writes.run = run_writes;
    writes.idle = run_idle;
    writes.max_group = STORE_GROUP_ROWS;
    writes.linger_us = LINGER_US;
    store->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    assert(store->wake_fd >= 0);
    store->on_wake =
        event_new(base, store->wake_fd, EV_READ | EV_PERSIST, on_wake, store);
    assert(store->on_wake != NULL);
    event_add(store->on_wake, NULL);
    if (store->writer != NULL)
        store->write_lane = store_lane_start(&writes);
    store->read_lane = store_lane_start(&reads);
}

static void
free_store(struct store *store)
{
    if (store->writer != NULL)
        store->ops->close_writer(store->writer);
    if (store->reader != NULL)
        store->ops->close_reader(store->reader);
    if (store->bulk_reader != NULL)
        store->ops->close_reader(store->bulk_reader);
    pthread_mutex_destroy(&store->lock);
    memory_free(store->where);
    memory_free(store);
}

struct store *
store_open(struct event_base *base, const char *url, unsigned flags,
    char *error, size_t size)
{
    const char *where = NULL;
    const struct store_ops *ops = find_ops(url, &where);
    if (ops == NULL) {
        snprintf(error, size, "store URL must be sqlite:PATH");
        return NULL;
    }
    struct store *store = memory_zalloc(1, sizeof(*store));
    store->ops = ops;
    store->where = memory_dup(where);
    store->done_last = &store->done;
    pthread_mutex_init(&store->lock, NULL);
    if (open_ends(store, flags, error, size) != 0) {
        free_store(store);
        return NULL;
    }
    ops->describe(where, store->description, sizeof(store->description));
    start(store, base);
    return store;
}

void
store_close(struct store *store)
{
    if (store == NULL)
        return;
    assert(!store->dispatching);
    store->closing = true;
    store_lane_stop(store->write_lane);
    store_lane_stop(store->read_lane);
    store_lane_stop(store->bulk_lane);
    while (dispatch(store))
        ;
    event_free(store->on_wake);
    close(store->wake_fd);
    free_store(store);
}

const char *
store_describe(const struct store *store)
{
    return store->description;
}

void
store_get_stats(struct store *store, struct store_stats *stats)
{
    memset(stats, 0, sizeof(*stats));
    pthread_mutex_lock(&store->lock);
    stats->commits = store->commits;
    stats->rows = store->rows;
    stats->last_commit_us = store->last_commit_us;
    pthread_mutex_unlock(&store->lock);
    if (store->write_lane != NULL && !store->closing)
        stats->queue_length = store_lane_length(store->write_lane);
    store->ops->sizes(store->where, &stats->file_bytes, &stats->free_bytes);
}

/* ---- requests ---- */

/* Work that nobody will do any more fails in its callback, like all work. */
static void
hand_over(struct store *store, struct store_lane *lane, struct store_work *work)
{
    if (!store->closing && lane != NULL)
        store_lane_put(lane, work);
    else
        on_done(store, &work, 1);
}

void
store_hand_to_writer(struct store *store, struct store_work *work)
{
    hand_over(store, store->write_lane, work);
}

void
store_hand_to_reader(struct store *store, struct store_work *work)
{
    hand_over(store, store->read_lane, work);
}

/*
 * Downloads have a thread and a connection of their own, at a lower priority:
 * a poll would otherwise wait behind each of their slices. Most processes
 * never need it, so it comes with the first one.
 */
void
store_hand_to_bulk_reader(struct store *store, struct store_work *work)
{
    const struct store_lane_work reads = {.arg = store,
        .run = run_bulk_reads,
        .done = on_done,
        .done_arg = store,
        .max_group = 1,
        .nice = BULK_NICE};
    char error[256];
    if (store->bulk_lane == NULL && !store->closing) {
        store->bulk_reader =
            store->ops->open_reader(store->where, error, sizeof(error));
        if (store->bulk_reader != NULL)
            store->bulk_lane = store_lane_start(&reads);
    }
    hand_over(store, store->bulk_lane, work);
}

/* An empty filter is none. */
static char *
dup_filter(const char *text)
{
    return text != NULL && text[0] != '\0' ? memory_dup(text) : NULL;
}

static struct job_result *
copy_result(const struct job_result *result)
{
    struct job_result *copy = memory_alloc(sizeof(*copy));
    *copy = *result;
    job_meta_copy(&copy->meta, &result->meta);
    return copy;
}

static void
set_id(struct store_work *work, const char *id)
{
    /* One that is too long is nobody's. */
    if (!text_copy(work->id, sizeof(work->id), slice_of(id)))
        work->id[0] = '\0';
}

void
store_commit(struct store *store, const struct job_result *result,
    struct slice answer, struct slice request,
    void (*on_committed)(
        void *arg, enum store_status status, const struct job_result *existing),
    void *arg)
{
    struct store_work *work = store_work_new(STORE_WORK_COMMIT, arg);
    assert(job_state_is_terminal(result->state));
    work->call.on_committed = on_committed;
    work->result = copy_result(result);
    buffer_append_slice(&work->answer, answer);
    buffer_append_slice(&work->request, request);
    store_hand_to_writer(store, work);
}

void
store_get(struct store *store, const char *id, int generation,
    enum store_part part, store_on_row *on_row, void *arg)
{
    struct store_work *work = store_work_new(STORE_WORK_GET, arg);
    set_id(work, id);
    work->generation = generation;
    work->part = part;
    work->call.on_row = on_row;
    store_hand_to_reader(store, work);
}

bool
store_row_is_deleted(const struct job_result *row)
{
    return row->deleted;
}

void
store_get_idempotent(struct store *store, const char *tenant, const char *key,
    store_on_row *on_row, void *arg)
{
    struct store_work *work = store_work_new(STORE_WORK_GET_IDEMPOTENT, arg);
    work->tenant = memory_dup(tenant);
    work->text = memory_dup(key);
    work->call.on_row = on_row;
    store_hand_to_reader(store, work);
}

void
store_list(struct store *store, const struct store_filter *filter,
    const char *before, unsigned limit,
    void (*on_rows)(void *arg, enum store_status status,
        const struct job_result *rows, size_t count),
    void *arg)
{
    struct store_work *work = store_work_new(STORE_WORK_LIST, arg);
    struct store_list_query *list = memory_zalloc(1, sizeof(*list));
    list->filter = *filter;
    list->filter.tenant = dup_filter(filter->tenant);
    list->filter.model = dup_filter(filter->model);
    list->filter.lane = dup_filter(filter->lane);
    list->filter.tag = dup_filter(filter->tag);
    list->filter.error_type = dup_filter(filter->error_type);
    list->filter.batch = dup_filter(filter->batch);
    (void)text_copy(list->before, sizeof(list->before), slice_of(before));
    list->limit = limit > 1000 ? 1000 : limit;
    work->list = list;
    work->call.on_rows = on_rows;
    store_hand_to_reader(store, work);
}

static void
chore(struct store *store, enum store_work_kind kind, const char *id,
    int generation, store_on_status *on_status, void *arg)
{
    struct store_work *work = store_work_new(kind, arg);
    set_id(work, id);
    work->generation = generation;
    work->call.on_status = on_status;
    store_hand_to_writer(store, work);
}

void
store_delete(
    struct store *store, const char *id, store_on_status *on_status, void *arg)
{
    chore(store, STORE_WORK_DELETE, id, -1, on_status, arg);
}

void
store_discard(struct store *store, const char *id, unsigned generation,
    store_on_status *on_status, void *arg)
{
    chore(store, STORE_WORK_DISCARD, id, (int)generation, on_status, arg);
}

void
store_forget_request(struct store *store, const char *id, unsigned generation,
    store_on_status *on_status, void *arg)
{
    chore(
        store, STORE_WORK_FORGET_REQUEST, id, (int)generation, on_status, arg);
}

void
store_sweep(struct store *store, int64_t finished_before_ms,
    int64_t dead_before_ms, unsigned limit,
    void (*on_swept)(
        void *arg, enum store_status status, unsigned count, bool more),
    void *arg)
{
    struct store_work *work = store_work_new(STORE_WORK_SWEEP, arg);
    work->finished_before_ms = finished_before_ms;
    work->dead_before_ms = dead_before_ms;
    work->limit = limit;
    work->call.on_swept = on_swept;
    store_hand_to_writer(store, work);
}

void
store_marker_get(struct store *store,
    void (*on_marker)(void *arg, enum store_status status, struct slice marker),
    void *arg)
{
    struct store_work *work = store_work_new(STORE_WORK_MARKER_GET, arg);
    work->call.on_marker = on_marker;
    store_hand_to_reader(store, work);
}

void
store_marker_set(struct store *store, const char *marker,
    store_on_status *on_status, void *arg)
{
    struct store_work *work = store_work_new(STORE_WORK_MARKER_SET, arg);
    work->text = memory_dup(marker);
    work->call.on_status = on_status;
    store_hand_to_writer(store, work);
}
