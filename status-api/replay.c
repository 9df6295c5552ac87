#include "status-api/replay.h"

#include <string.h>

#include "common/base/crash.h"
#include "common/base/log.h"
#include "common/job/options.h"
#include "common/queue/queue.h"
#include "common/store/store.h"
#include "status-api/status.h"

/* As long as the first time; from the second replay on, when that is not
 * known any more, the default of expires_in. */
#define AGAIN_MAX_MS OPTIONS_EXPIRES_IN_DEFAULT_MS

struct replay {
    struct status *status;
    struct job_result row; /* owns what its meta points at */
    struct buffer request;
    unsigned staged; /* parts that Redis has */
    void (*on_done)(void *arg, enum replay_outcome outcome);
    void *arg;
};

static void
finish(struct replay *replay, enum replay_outcome outcome)
{
    void (*on_done)(void *arg, enum replay_outcome outcome) = replay->on_done;
    void *arg = replay->arg;
    job_result_clear(&replay->row);
    buffer_clear(&replay->request);
    memory_free(replay);
    on_done(arg, outcome);
}

static void
on_replayed(void *arg, enum queue_status status, uint64_t version)
{
    struct replay *replay = arg;
    (void)version;
    if (status == QUEUE_OK)
        finish(replay, REPLAY_DONE);
    else if (status == QUEUE_ABSENT)
        finish(replay, REPLAY_ABSENT);
    else
        finish(replay, REPLAY_LATER);
}

static void stage_or_replay(struct replay *replay);

static void
on_staged(void *arg, enum queue_status status)
{
    struct replay *replay = arg;
    if (status != QUEUE_OK) {
        finish(replay, REPLAY_LATER);
        return;
    }
    replay->staged++;
    stage_or_replay(replay);
}

/* One part at a time: Redis serves others in between. */
static void
stage_or_replay(struct replay *replay)
{
    struct queue *queue = replay->status->service->queue;
    struct job_meta *meta = &replay->row.meta;
    struct slice all = buffer_slice(&replay->request);
    int sent;
    if (replay->staged < meta->parts) {
        size_t at = (size_t)replay->staged * QUEUE_PART_BYTES;
        size_t len = all.len - at;
        if (len > QUEUE_PART_BYTES)
            len = QUEUE_PART_BYTES;
        sent = queue_stage(queue, replay->row.id, replay->staged,
            slice_make(all.data + at, len), on_staged, replay);
    } else {
        sent = queue_replay(queue, &replay->row,
            meta->parts > 0 ? SLICE_NULL : all, on_replayed, replay);
    }
    if (sent != 0)
        finish(replay, REPLAY_LATER);
}

/* What the script needs of the row, past the end of the callback. */
static void
take_row(
    struct replay *replay, const struct job_result *row, struct slice request)
{
    struct job_meta *meta = &replay->row.meta;
    replay->row = *row;
    job_meta_copy(meta, &row->meta);
    /* Other clocks may have set the two: also not before it begins. */
    int64_t for_ms = meta->expires_ms - meta->created_ms;
    if (row->generation > 0 && (for_ms > AGAIN_MAX_MS || for_ms <= 0))
        meta->expires_ms = meta->created_ms + AGAIN_MAX_MS;
    meta->parts = request.len <= QUEUE_INLINE_MAX
        ? 0
        : (unsigned)((request.len + QUEUE_PART_BYTES - 1) / QUEUE_PART_BYTES);
    buffer_append_slice(&replay->request, request);
}

static void
on_row(void *arg, enum store_status status, const struct job_result *row,
    struct slice request)
{
    struct replay *replay = arg;
    if (status == STORE_ABSENT) {
        finish(replay, REPLAY_ABSENT);
    } else if (status != STORE_OK) {
        finish(replay, REPLAY_LATER);
    } else if (row->state != JOB_FAILED || !row->dead ||
        store_row_is_deleted(row)) {
        finish(replay, REPLAY_ABSENT);
    } else if (request.len == 0 || request.len != row->meta.stored_bytes) {
        log_error("request_unreadable", LOG_TEXT("job", row->id),
            LOG_INT("bytes", request.len),
            LOG_INT("expected", row->meta.stored_bytes));
        finish(replay, REPLAY_UNREADABLE);
    } else {
        take_row(replay, row, request);
        crash_point("replay.read");
        stage_or_replay(replay);
    }
}

void
replay_start(struct status *status, const char *id, int generation,
    void (*on_done)(void *arg, enum replay_outcome outcome), void *arg)
{
    struct replay *replay = memory_zalloc(1, sizeof(*replay));
    replay->status = status;
    replay->on_done = on_done;
    replay->arg = arg;
    store_get(
        status->service->store, id, generation, STORE_REQUEST, on_row, replay);
}
