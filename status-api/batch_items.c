#include <string.h>

#include "status-api/batches.h"
#include "status-api/params.h"
#include "status-api/put.h"

/*
 * The accepted items of a batch, and the lines that were rejected, as lines
 * of JSON: from Redis while it is there, from the store after its end. In
 * pages, each when the client has taken the one before.
 */

#define PAGE 1000

struct items {
    struct call call;
    char uuid[BATCH_UUID_SIZE];
    bool rejects; /* else the items */
    uint64_t next; /* items: the index of the next one */
    uint64_t after; /* rejects: the number of the last line */
    int64_t row; /* of the store: the last one that was read */
    int64_t until;
    uint64_t skip; /* of the store's rows: before `next` */
    bool stored; /* read from the store, else from Redis */
    unsigned moves; /* between the two; a batch moves once */
    bool started;
    bool busy;
    struct buffer lines;
};

static void next_page(struct items *items);

static void
items_free(struct items *items)
{
    buffer_clear(&items->lines);
    memory_free(items);
}

static void
on_gone(struct call *call)
{
    struct items *items = (struct items *)call;
    if (!items->busy)
        items_free(items);
}

static void
give_up(struct items *items)
{
    if (items->started && items->call.req != NULL)
        http_reply_abort(items->call.req);
    else
        call_unavailable(&items->call);
    items_free(items);
}

static void
on_drain(struct http_request *req, void *arg)
{
    (void)req;
    next_page(arg);
}

/* Sends the page and reads on, or ends. */
static void
go_on(struct items *items, bool more)
{
    struct http_request *req = items->call.req;
    bool room = true;
    if (!items->started)
        http_reply_start(req, 200, "application/x-ndjson", on_drain);
    items->started = true;
    if (items->lines.len > 0)
        room = http_reply_chunk(req, items->lines.data, items->lines.len);
    buffer_reset(&items->lines);
    if (more && room) {
        next_page(items);
    } else if (!more) {
        http_reply_end(req);
        items->call.req = NULL;
        items_free(items);
    }
}

/* False when there is nobody (left) to answer, or nothing to say. */
static bool
arrived(struct items *items, bool good)
{
    items->busy = false;
    if (items->call.req == NULL)
        items_free(items);
    else if (!good)
        give_up(items);
    else
        return true;
    return false;
}

/* --- items --------------------------------------------------------------- */

static void
put_item(struct items *items, const char *id, struct slice custom_id)
{
    struct buffer *out = &items->lines;
    buffer_append_text(out, "{\"index\":");
    buffer_append_u64(out, items->next++);
    buffer_append_text(out, ",\"custom_id\":");
    buffer_append_json(out, custom_id);
    put_text(out, "job_id", id);
    buffer_append_text(out, "}\n");
}

static void find(struct items *items);

/* Whether it was not found where it was looked for, and is looked for once
 * more: it moves from one to the other when it ends. */
static bool
has_moved(const struct items *items, bool absent)
{
    return absent && !items->started && items->moves < 4;
}

static void
on_entries(void *arg, enum queue_status status,
    const struct queue_bulk_entry *entries, size_t count)
{
    struct items *items = arg;
    bool moved = has_moved(items, status == QUEUE_ABSENT);
    if (!arrived(items, status == QUEUE_OK || moved))
        return;
    if (moved) {
        find(items);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        items->next = entries[i].index;
        put_item(items, entries[i].id, entries[i].custom_id);
    }
    go_on(items, count == PAGE);
}

static void
on_rows(void *arg, enum store_status status, const struct store_batch_row *rows,
    size_t count, bool more)
{
    struct items *items = arg;
    if (!arrived(items, status == STORE_OK))
        return;
    for (size_t i = 0; i < count; i++) {
        const struct job_result *row = &rows[i].result;
        items->row = rows[i].row;
        if (items->skip > 0)
            items->skip--;
        else
            put_item(items, row->id, slice_of(row->meta.custom_id));
    }
    go_on(items, more);
}

/* --- rejected lines ------------------------------------------------------ */

/* The number in {"line":N,...}; we wrote it. */
static uint64_t
number_of(struct slice line)
{
    static const char start[] = "{\"line\":";
    uint64_t number = 0;
    size_t end = sizeof(start) - 1;
    if (!slice_starts_with(line, start))
        return 0;
    while (end < line.len && line.data[end] >= '0' && line.data[end] <= '9')
        end++;
    struct slice digits =
        slice_make(line.data + sizeof(start) - 1, end - (sizeof(start) - 1));
    return text_parse_u64(digits, UINT64_MAX, &number) == 0 ? number : 0;
}

static void
put_reject(struct items *items, struct slice line)
{
    uint64_t number = number_of(line);
    if (number <= items->after)
        return;
    buffer_append_slice(&items->lines, line);
    buffer_append_char(&items->lines, '\n');
    items->after = number;
}

static void
on_rejects(void *arg, enum queue_status status, const struct slice *lines,
    size_t count)
{
    struct items *items = arg;
    bool moved = has_moved(items, status == QUEUE_ABSENT);
    if (!arrived(items, status == QUEUE_OK || moved))
        return;
    if (moved) {
        find(items);
        return;
    }
    for (size_t i = 0; i < count; i++)
        put_reject(items, lines[i]);
    go_on(items, count == PAGE);
}

static void
on_stored_rejects(void *arg, enum store_status status, struct slice lines)
{
    struct items *items = arg;
    bool moved = has_moved(items, status == STORE_ABSENT);
    if (!arrived(items, status == STORE_OK || moved))
        return;
    if (moved) { /* it has ended, and Redis has it still */
        items->stored = false;
        items->moves++;
        next_page(items);
        return;
    }
    while (lines.len > 0) {
        struct slice line = slice_split(&lines, '\n');
        if (line.len > 0)
            put_reject(items, line);
    }
    go_on(items, false);
}

/* --- pages --------------------------------------------------------------- */

static void
next_stored_page(struct items *items)
{
    struct store *store = items->call.status->service->store;
    const struct store_batch_query query = {.uuid = items->uuid,
        .after = items->row,
        .until = items->until,
        .newest = true,
        .limit = PAGE};
    if (items->rejects)
        store_batch_rejects(store, items->uuid, on_stored_rejects, items);
    else
        store_batch_rows(store, &query, on_rows, items);
}

static void
next_page(struct items *items)
{
    struct queue *queue = items->call.status->service->queue;
    int failed = 0;
    items->busy = true;
    if (items->stored)
        next_stored_page(items);
    else if (items->rejects)
        failed = queue_bulk_rejects(
            queue, items->uuid, items->after, PAGE, on_rejects, items);
    else
        failed = queue_bulk_items(
            queue, items->uuid, items->next, PAGE, on_entries, items);
    if (failed != 0) {
        items->busy = false;
        give_up(items);
    }
}

static void
on_found(void *arg, const struct batch_found *found)
{
    struct items *items = arg;
    items->busy = false;
    if (items->call.req == NULL ||
        !batches_is_there(&items->call, BULK_NATIVE, found)) {
        items_free(items);
        return;
    }
    items->stored = found->view.state == BATCH_ENDED;
    items->until = found->last_row;
    items->skip = items->stored ? items->next : 0;
    if (items->stored && !items->rejects && items->until == 0)
        go_on(items, false);
    else
        next_page(items);
}

static void
find(struct items *items)
{
    items->busy = true;
    items->moves++;
    batch_look(items->call.status, items->uuid, on_found, items);
}

static void
handle(struct http_request *req, bool rejects)
{
    static const char *const names[] = {"after", NULL};
    struct items *items = memory_zalloc(1, sizeof(*items));
    struct params params;
    char error[128];
    uint64_t after;
    items->rejects = rejects;
    batches_begin(&items->call, req, BULK_NATIVE);
    if (!batches_id(&items->call, items->uuid) ||
        !call_params(&items->call, names, &params)) {
        memory_free(items);
        return;
    }
    int bad = params_number(
        &params, "after", 0, INT64_MAX - 1, 0, &after, error, sizeof(error));
    bool given = params_get(&params, "after") != NULL;
    params_clear(&params);
    if (bad != 0) {
        call_bad(&items->call, "%s", error);
        memory_free(items);
        return;
    }
    items->after = after;
    items->next = given ? after + 1 : 0;
    items->call.on_gone = on_gone;
    find(items);
}

void
batches_handle_items(struct http_request *req, void *program)
{
    (void)program;
    handle(req, false);
}

void
batches_handle_errors(struct http_request *req, void *program)
{
    (void)program;
    handle(req, true);
}
