#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/queue/batch_fill.h"
#include "status-api/batch_pace.h"
#include "status-api/batch_page.h"
#include "status-api/batches.h"
#include "status-api/params.h"

/*
 * Lists of batches: first those that Redis has, then the ended ones of the
 * store, then both as one page. In this order a batch that moves between the
 * two reads is seen twice and never missed. On the native face the open ones
 * of the page then get their numbers, one after the other.
 */

#define LIST_LIMIT_MAX 1000
#define EXAMINE_PAGE 500
#define EXAMINE_MAX 5000

struct list_call {
    struct call call;
    enum bulk_face face;
    bool ascending; /* before_id: towards newer ones */
    bool by_state;
    enum batch_state state; /* the wanted one */
    unsigned limit;
    char tenant[JOB_TENANT_MAX + 1]; /* "": any; likewise below */
    char run[BATCH_RUN_MAX + 1];
    char cursor[BATCH_UUID_SIZE]; /* "": from the end */
    char next[BATCH_UUID_SIZE]; /* of the next page of Redis */
    unsigned examined;
    unsigned matched;
    struct batch_page page;
    size_t counted; /* items of the page whose numbers are there */
};

static void
list_free(struct list_call *list)
{
    batch_page_clear(&list->page);
    memory_free(list);
}

static void
give_up(struct list_call *list)
{
    call_unavailable(&list->call);
    list_free(list);
}

static bool
matches(const struct list_call *list, const struct bulk *batch)
{
    return (list->tenant[0] == '\0' ||
               strcmp(list->tenant, batch->tenant) == 0) &&
        (list->run[0] == '\0' || strcmp(list->run, batch->run) == 0) &&
        (!list->by_state || list->state == batch->state);
}

static void
add(struct list_call *list, const struct bulk *batch,
    const struct queue_bulk_view *live)
{
    struct batch_page_item item = {.hidden = !matches(list, batch),
        .stored = live == NULL,
        .open = batch->state != BATCH_ENDED};
    if (live != NULL)
        item.live = *live;
    batch_fill_view(batch, live, &batch->tally, clock_wall_ms(), &item.view);
    if (!item.open)
        item.view.seconds_left = 0;
    list->matched += item.hidden ? 0 : 1;
    batch_page_add(&list->page, &item);
}

/* --- the answer ---------------------------------------------------------- */

static void
put_id(struct buffer *out, const struct list_call *list, const char *key,
    const char *uuid)
{
    const char *prefix =
        list->face == BULK_CLAUDE ? BATCH_CLAUDE_PREFIX : BATCH_PREFIX;
    if (uuid[0] == '\0')
        buffer_printf(out, ",\"%s\":null", key);
    else
        buffer_printf(out, ",\"%s\":\"%s%s\"", key, prefix, uuid);
}

static void
answer(struct list_call *list)
{
    struct buffer out = {0};
    const struct batch_page *page = &list->page;
    const char *origin = list->call.status->service->origin;
    buffer_append_text(&out, "{\"data\":[");
    for (size_t i = 0; i < page->count; i++) {
        const struct batch_view *view = &page->items[i].view;
        if (i > 0)
            buffer_append_char(&out, ',');
        if (list->face == BULK_NATIVE)
            batch_view_encode(view, origin, SLICE_NULL, &out);
        else
            batch_view_encode_message(view, origin, false, &out);
    }
    buffer_printf(&out, "],\"has_more\":%s", page->has_more ? "true" : "false");
    put_id(&out, list, "first_id", page->first);
    put_id(&out, list, "last_id", page->last);
    buffer_append_char(&out, '}');
    call_json(&list->call, 200, &out);
    list_free(list);
}

/* --- numbers of open ones ------------------------------------------------ */

static void count_next(struct list_call *list);

static void
on_tally(void *arg, enum store_status status, const struct bulk_tally *tally)
{
    struct list_call *list = arg;
    struct batch_page_item *item = &list->page.items[list->counted];
    if (status != STORE_OK) {
        give_up(list);
        return;
    }
    struct bulk batch = {.state = item->view.state,
        .created_ms = item->view.created_ms,
        .expires_ms = item->view.expires_ms,
        .cancel_ms = item->view.cancel_ms,
        .total = item->view.accepted,
        .rejected = item->view.rejected};
    memcpy(batch.uuid, item->view.uuid, sizeof(batch.uuid));
    memcpy(batch.tenant, item->view.tenant, sizeof(batch.tenant));
    memcpy(batch.run, item->view.run, sizeof(batch.run));
    batch_fill_view(&batch, &item->live, tally, 0, &item->view);
    batch_pace_estimate(list->call.status->pace, &item->view);
    list->counted++;
    count_next(list);
}

static void
count_next(struct list_call *list)
{
    const struct batch_page *page = &list->page;
    while (list->counted < page->count && !page->items[list->counted].open)
        list->counted++;
    if (list->call.req == NULL)
        list_free(list);
    else if (list->counted == page->count || list->face == BULK_CLAUDE)
        answer(list);
    else
        store_batch_tally(list->call.status->service->store,
            page->items[list->counted].view.uuid, on_tally, list);
}

static void
make_page(struct list_call *list)
{
    batch_page_finish(&list->page, list->ascending, list->limit);
    count_next(list);
}

/* --- the store ----------------------------------------------------------- */

static void
on_stored(void *arg, enum store_status status, const struct bulk *batches,
    size_t count)
{
    struct list_call *list = arg;
    unsigned asked = list->limit + 1;
    if (list->call.req == NULL) {
        list_free(list);
        return;
    }
    if (status != STORE_OK && status != STORE_ABSENT) {
        give_up(list);
        return;
    }
    for (size_t i = 0; i < count; i++)
        add(list, &batches[i], NULL);
    if (count >= asked || count == LIST_LIMIT_MAX)
        batch_page_unknown_beyond(
            &list->page, list->ascending, batches[count - 1].uuid);
    make_page(list);
}

static void
ask_store(struct list_call *list)
{
    const struct store_batch_filter filter = {
        .tenant = list->tenant[0] != '\0' ? list->tenant : NULL,
        .run = list->run[0] != '\0' ? list->run : NULL,
        .cursor = list->cursor[0] != '\0' ? list->cursor : NULL,
        .ascending = list->ascending,
        .limit =
            list->limit < LIST_LIMIT_MAX ? list->limit + 1 : LIST_LIMIT_MAX};
    if (list->by_state && list->state != BATCH_ENDED)
        make_page(list);
    else
        store_batch_list(
            list->call.status->service->store, &filter, on_stored, list);
}

/* --- Redis --------------------------------------------------------------- */

static void next_in_redis(struct list_call *list);

static void
take(struct list_call *list, const struct queue_bulk_view *views, size_t count,
    const struct slice *deleted, size_t deleted_count)
{
    for (size_t i = 0; i < deleted_count; i++)
        batch_page_hide(&list->page, deleted[i]);
    for (size_t i = 0; i < count; i++)
        add(list, views[i].batch, &views[i]);
    list->examined += (unsigned)count;
    if (count > 0)
        memcpy(list->next, views[count - 1].batch->uuid, sizeof(list->next));
}

static void
on_views(void *arg, enum queue_status status,
    const struct queue_bulk_view *views, size_t count,
    const struct slice *deleted, size_t deleted_count)
{
    struct list_call *list = arg;
    if (list->call.req == NULL) {
        list_free(list);
        return;
    }
    if (status != QUEUE_OK && status != QUEUE_ABSENT) {
        give_up(list);
        return;
    }
    take(list, views, count, deleted, deleted_count);
    /* Batches that leave while they are read leave gaps: only an empty page
     * is the end. */
    if (count == 0) {
        ask_store(list);
    } else if (list->matched > list->limit || list->examined >= EXAMINE_MAX) {
        batch_page_unknown_beyond(&list->page, list->ascending, list->next);
        ask_store(list);
    } else {
        next_in_redis(list);
    }
}

static void
next_in_redis(struct list_call *list)
{
    if (queue_bulk_list(list->call.status->service->queue,
            list->next[0] != '\0' ? list->next : NULL, list->ascending,
            EXAMINE_PAGE, on_views, list) != 0)
        give_up(list);
}

/* --- the routes ---------------------------------------------------------- */

static int
parse_cursor(const struct params *params, struct list_call *list, char *error,
    size_t size)
{
    const char *after = params_get(params, "after_id");
    const char *before = params_get(params, "before_id");
    const char *id = after != NULL ? after : before;
    if (after != NULL && before != NULL) {
        snprintf(error, size, "after_id and before_id exclude each other");
        return -1;
    }
    if (id == NULL)
        return 0;
    list->ascending = before != NULL;
    if (batch_id_parse(slice_of(id), list->cursor) == 0)
        return 0;
    snprintf(error, size, "%s is not the id of a batch",
        after != NULL ? "after_id" : "before_id");
    return -1;
}

static int
parse_state(const struct params *params, struct list_call *list, char *error,
    size_t size)
{
    const char *text = params_get(params, "status");
    list->by_state = text != NULL;
    if (text == NULL || batch_state_parse(slice_of(text), &list->state) == 0)
        return 0;
    snprintf(error, size, "status is one of in_progress, canceling, ended");
    return -1;
}

static int
parse(const struct params *params, struct list_call *list, char *error,
    size_t size)
{
    const bool native = list->face == BULK_NATIVE;
    const char *only = call_only_tenant(&list->call);
    uint64_t limit;
    if (params_number(
            params, "limit", 1, LIST_LIMIT_MAX, 20, &limit, error, size) != 0 ||
        parse_cursor(params, list, error, size) != 0 ||
        (native && parse_state(params, list, error, size) != 0))
        return -1;
    list->limit = (unsigned)limit;
    text_copy(list->tenant, sizeof(list->tenant), slice_of(only));
    if (native &&
        !text_copy(list->run, sizeof(list->run),
            slice_of(params_get(params, "run")))) {
        snprintf(error, size, "run is text of at most %d bytes", BATCH_RUN_MAX);
        return -1;
    }
    memcpy(list->next, list->cursor, sizeof(list->next));
    return 0;
}

static void
handle(struct http_request *req, enum bulk_face face, const char *const *names)
{
    struct list_call *list = memory_zalloc(1, sizeof(*list));
    struct params params;
    char error[256];
    list->face = face;
    struct slice query = http_request_head(req)->query;
    batches_begin(&list->call, req, face);
    int bad = face == BULK_NATIVE
        ? params_parse(query, names, &params, error, sizeof(error))
        : params_parse_known(query, names, &params, error, sizeof(error));
    if (bad == 0)
        bad = parse(&params, list, error, sizeof(error));
    params_clear(&params);
    if (bad != 0) {
        call_bad(&list->call, "%s", error);
        list_free(list);
    } else if (!status_redis_usable(list->call.status)) {
        give_up(list);
    } else {
        next_in_redis(list);
    }
}

void
batches_handle_list(struct http_request *req, void *program)
{
    static const char *const names[] = {
        "limit", "after_id", "before_id", "run", "status", NULL};
    (void)program;
    handle(req, BULK_NATIVE, names);
}

void
message_batches_handle_list(struct http_request *req, void *program)
{
    static const char *const names[] = {"limit", "after_id", "before_id", NULL};
    (void)program;
    handle(req, BULK_CLAUDE, names);
}
