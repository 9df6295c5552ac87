#include "bulk_helpers.h"

#include <string.h>

struct got_bulk got_bulk;

#define ASK_BULK(f, call) (memset(&got_bulk, 0, sizeof(got_bulk)), ASK(f, call))

void
make_bulk(struct bulk *bulk)
{
    memset(bulk, 0, sizeof(*bulk));
    bulk_make_uuid(bulk->uuid);
    memcpy(bulk->tenant, "default", 8);
    bulk->created_ms = id_wall_ms(slice_of(bulk->uuid));
    bulk->expires_ms = bulk->created_ms + 3600000;
}

static void
keep(const struct bulk *bulk)
{
    got_bulk.bulk = *bulk;
    if (bulk->idempotency_key != NULL)
        (void)text_copy(got_bulk.key, sizeof(got_bulk.key),
            slice_of(bulk->idempotency_key));
    got_bulk.bulk.idempotency_key = NULL;
    got_bulk.bulk.meta = NULL;
}

static void
on_opened(void *arg, const struct queue_bulk_opened *result)
{
    got_bulk.continued = result->continued;
    if (result->batch != NULL)
        keep(result->batch);
    on_status(arg, result->status);
}

enum queue_status
do_open(struct fixture *f, const struct bulk *bulk)
{
    return ASK_BULK(f, queue_bulk_open(f->queue, bulk, on_opened, NULL));
}

static void
on_staged(void *arg, enum queue_status status, uint64_t ordinal)
{
    got_bulk.ordinal = ordinal;
    on_status(arg, status);
}

enum queue_status
do_stage(struct fixture *f, const char *uuid, const char *name,
    uint64_t ordinal, const struct job_error *refused)
{
    char id[ID_SIZE], custom_id[64];
    struct job_meta meta;
    struct queue_bulk_item item = {.id = id,
        .meta = &meta,
        .body = slice_of("body"),
        .ordinal = ordinal,
        .refused = refused};

    make_meta(&meta);
    (void)text_copy(custom_id, sizeof(custom_id), slice_of(name));
    memcpy(meta.batch, uuid, BATCH_UUID_SIZE);
    meta.custom_id = custom_id;
    bulk_item_id(uuid, slice_of(name), id);
    return ASK_BULK(
        f, queue_bulk_stage(f->queue, &item, &no_limits, on_staged, NULL));
}

static void
on_revealed(void *arg, enum queue_status status, struct slice uuid)
{
    (void)text_copy(got_bulk.uuid, sizeof(got_bulk.uuid), uuid);
    on_status(arg, status);
}

enum queue_status
do_reveal(struct fixture *f, const char *uuid, uint64_t accepted, char sha)
{
    char sha256[65] = "";
    struct queue_bulk_reveal reveal = {uuid, accepted, 0, sha256, sha == 'R'};

    memset(sha256, sha == 'R' ? 'a' : sha, 64);
    return ASK_BULK(f, queue_bulk_reveal(f->queue, &reveal, on_revealed, NULL));
}

static void
on_batch(
    void *arg, enum queue_status status, const struct queue_bulk_view *view)
{
    if (view != NULL) {
        got_bulk.view = *view;
        keep(view->batch);
    }
    on_status(arg, status);
}

enum queue_status
do_bulk_get(struct fixture *f, const char *uuid)
{
    return ASK_BULK(f, queue_bulk_get(f->queue, uuid, on_batch, NULL));
}

static void
on_batches(void *arg, enum queue_status status,
    const struct queue_bulk_view *views, size_t count,
    const struct slice *deleted, size_t deleted_count)
{
    (void)deleted;
    assert_true(count <= 16);
    for (size_t i = 0; i < count; i++)
        memcpy(got_bulk.uuids[i], views[i].batch->uuid, BATCH_UUID_SIZE);
    got.count = count;
    got_bulk.deleted = deleted_count;
    on_status(arg, status);
}

enum queue_status
do_bulk_list(struct fixture *f, const char *cursor, bool ascending)
{
    return ASK_BULK(
        f, queue_bulk_list(f->queue, cursor, ascending, 2, on_batches, NULL));
}

static void
on_items(void *arg, enum queue_status status,
    const struct queue_bulk_entry *items, size_t count)
{
    assert_true(count <= 16);
    for (size_t i = 0; i < count; i++) {
        got_bulk.items[i] = items[i];
        (void)text_copy(got_bulk.texts[i], 64, items[i].custom_id);
    }
    got.count = count;
    on_status(arg, status);
}

enum queue_status
do_items(struct fixture *f, const char *uuid, uint64_t from)
{
    return ASK_BULK(
        f, queue_bulk_items(f->queue, uuid, from, 2, on_items, NULL));
}

static void
on_rejects(void *arg, enum queue_status status, const struct slice *lines,
    size_t count)
{
    assert_true(count <= 16);
    for (size_t i = 0; i < count; i++)
        (void)text_copy(got_bulk.texts[i], 64, lines[i]);
    got.count = count;
    on_status(arg, status);
}

enum queue_status
do_rejects(struct fixture *f, const char *uuid, uint64_t after)
{
    return ASK_BULK(
        f, queue_bulk_rejects(f->queue, uuid, after, 2, on_rejects, NULL));
}

static void
on_advanced(void *arg, enum queue_status status, unsigned moved, bool more)
{
    got.moved = moved;
    got.more = more;
    on_status(arg, status);
}

enum queue_status
do_advance(struct fixture *f, unsigned most)
{
    return ASK(f, queue_bulk_advance(f->queue, most, on_advanced, NULL));
}

enum queue_status
do_bulk_end(
    struct fixture *f, const char *uuid, uint64_t replays, uint64_t succeeded)
{
    struct bulk_tally tally = {.succeeded = succeeded, .last_row = 7};

    return ASK(
        f, queue_bulk_end(f->queue, uuid, replays, &tally, on_status, NULL));
}
