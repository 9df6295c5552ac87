#include <string.h>

#include "common/queue/queue.h"
#include "common/store/store.h"
#include "status-api/filter.h"
#include "status-api/jobs.h"
#include "status-api/merge.h"
#include "status-api/status.h"

/*
 * GET /v1/jobs: first what is in flight (a bounded number is looked at),
 * then the rows of the store, then both as one page. In this order a job
 * that moves between the two reads is seen twice and never missed.
 */

#define EXAMINE_MAX 2000
#define EXAMINE_PAGE 250
#define OPEN_PAGE_MIN 50
#define TERMINAL_STATES 4

struct list_call {
    struct call call;
    struct params params;
    struct filter filter;
    struct merge merge;
    struct merge_page page;
    struct buffer text; /* the jobs' JSON, of this round */
    struct buffer out; /* the answer; the rounds before are in it */
    unsigned limit; /* as asked; the filter's is this round's */
    unsigned shown;
    char first_id[ID_SIZE]; /* "": none */
    char last_id[ID_SIZE];
    char before[ID_SIZE]; /* of the next page of Redis; "": the newest */
    unsigned examined; /* in all rounds */
    unsigned found;
    bool all_states; /* one read of the store serves every state */
    unsigned state; /* of the store's read under way, 0..3 */
    bool in_flight_known;
    bool failed;
    unsigned checks; /* answers due */
};

static void
list_free(struct list_call *list)
{
    params_clear(&list->params);
    merge_clear(&list->merge);
    buffer_clear(&list->text);
    buffer_clear(&list->out);
    memory_free(list);
}

static void
give_up(struct list_call *list)
{
    call_unavailable(&list->call);
    list_free(list);
}

static void
add(struct list_call *list, const struct job_view *view, bool in_flight,
    bool hidden)
{
    struct merge_item item = {.generation = view->generation,
        .in_flight = in_flight,
        .hidden = hidden,
        .failed = !in_flight && view->state == JOB_FAILED,
        .at = list->text.len};
    text_copy(item.id, ID_SIZE, slice_of(view->id));
    if (!hidden)
        status_encode_job(list->call.status, view, &list->text);
    item.len = list->text.len - item.at;
    merge_add(&list->merge, &item);
}

/* --- the page ------------------------------------------------------------ */

static void
put_id(struct buffer *out, const char *key, const char *id)
{
    buffer_printf(out, ",\"%s\":", key);
    if (id[0] == '\0')
        buffer_append_text(out, "null");
    else
        buffer_append_json(out, slice_of(id));
}

static void begin_round(struct list_call *list);

static void
finish(struct list_call *list, bool has_more)
{
    struct buffer *out = &list->out;
    buffer_printf(out, "],\"has_more\":%s", has_more ? "true" : "false");
    put_id(out, "first_id", list->first_id);
    put_id(out, "last_id", list->last_id);
    buffer_append_char(out, '}');
    call_json(&list->call, 200, out);
    list_free(list);
}

static void
show(struct list_call *list, const struct merge_item *item)
{
    if (list->shown > 0)
        buffer_append_char(&list->out, ',');
    else
        memcpy(list->first_id, item->id, ID_SIZE);
    list->shown++;
    buffer_append(&list->out, list->text.data + item->at, item->len);
}

/* True when the page ends with the last of what was looked at. */
static bool
show_items(struct list_call *list)
{
    const struct merge_page *page = &list->page;
    for (size_t i = 0; i < page->count; i++) {
        const struct merge_item *item = &list->merge.items[i];
        if (item->hidden)
            continue;
        show(list, item);
        if (list->shown == list->limit && i + 1 < page->count) {
            memcpy(list->last_id, item->id, ID_SIZE);
            return false;
        }
    }
    if (page->last_id[0] != '\0')
        memcpy(list->last_id, page->last_id, ID_SIZE);
    return true;
}

/* Jobs that were deleted a moment ago must not make an empty page of a list
 * that goes on: it looks further, but not without end. */
static void
answer(struct list_call *list)
{
    if (list->failed) {
        give_up(list);
        return;
    }
    if (!show_items(list)) {
        finish(list, true);
        return;
    }
    if (!list->page.has_more || list->shown == list->limit ||
        list->examined >= EXAMINE_MAX) {
        finish(list, list->page.has_more);
        return;
    }
    memcpy(list->filter.before_id, list->last_id, ID_SIZE);
    list->filter.limit = OPEN_PAGE_MIN;
    if (list->filter.limit < list->limit - list->shown)
        list->filter.limit = list->limit - list->shown;
    merge_clear(&list->merge);
    buffer_reset(&list->text);
    begin_round(list);
}

/* --- what the store does not know yet: deletions and replays ------------- */

struct check {
    struct list_call *list;
    size_t item;
};

static struct check *
check_new(struct list_call *list, size_t item)
{
    struct check *check = memory_zalloc(1, sizeof(*check));
    check->list = list;
    check->item = item;
    list->checks++;
    return check;
}

static void
check_done(struct check *check)
{
    struct list_call *list = check->list;
    memory_free(check);
    if (--list->checks == 0)
        answer(list);
}

static void
on_deleted(void *arg, enum queue_status status)
{
    struct check *check = arg;
    struct list_call *list = check->list;
    if (status == QUEUE_OK)
        list->merge.items[check->item].hidden = true;
    else if (status != QUEUE_ABSENT)
        list->failed = true;
    check_done(check);
}

/* A failed row whose job is in flight again tells of an older generation. */
static void
on_replayed(void *arg, enum queue_status status, const struct job_view *view)
{
    struct check *check = arg;
    struct list_call *list = check->list;
    struct merge_item *item = &list->merge.items[check->item];
    if (status == QUEUE_OK && filter_matches(&list->filter, view)) {
        item->at = list->text.len;
        status_encode_job(list->call.status, view, &list->text);
        item->len = list->text.len - item->at;
    } else if (status == QUEUE_OK) {
        item->hidden = true;
    } else if (status != QUEUE_ABSENT) {
        list->failed = true;
    }
    check_done(check);
}

static void
check_item(struct list_call *list, size_t i)
{
    struct queue *queue = list->call.status->service->queue;
    const struct merge_item *item = &list->merge.items[i];
    struct check *check;
    if (item->in_flight)
        return;
    check = check_new(list, i);
    if (queue_is_deleted(queue, item->id, on_deleted, check) != 0) {
        list->failed = true;
        list->checks--;
        memory_free(check);
    }
    if (!item->failed || list->in_flight_known)
        return;
    check = check_new(list, i);
    if (queue_get(queue, item->id, on_replayed, check) != 0) {
        list->failed = true;
        list->checks--;
        memory_free(check);
    }
}

static void
make_page(struct list_call *list)
{
    merge_finish(&list->merge, list->filter.limit, &list->page);
    list->checks = 1; /* ours, so that it ends once */
    for (size_t i = 0; i < list->page.count && !list->failed; i++)
        check_item(list, i);
    if (--list->checks == 0)
        answer(list);
}

/* --- the store ----------------------------------------------------------- */

static void next_rows(struct list_call *list);

static void
on_rows(void *arg, enum store_status status, const struct job_result *rows,
    size_t count)
{
    struct list_call *list = arg;
    if (status == STORE_BUSY) {
        call_error(&list->call, 503, "api_error",
            "this combination of filters takes too long to search at the "
            "moment; narrow it with created_after, or try again",
            5);
        list_free(list);
        return;
    }
    if (status != STORE_OK && status != STORE_ABSENT) {
        give_up(list);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        struct job_view view;
        job_view_from_result(&rows[i], &view);
        add(list, &view, false, false);
    }
    list->examined += (unsigned)count;
    if (count == list->filter.limit + 1 || count == FILTER_LIMIT_MAX)
        merge_unknown_below(&list->merge, rows[count - 1].id);
    list->state++;
    next_rows(list);
}

static void
next_rows(struct list_call *list)
{
    struct store_filter filter;
    const char *before = list->filter.before_id;
    unsigned limit = list->filter.limit + 1;
    filter_for_store(&list->filter, &filter);
    while (list->state < TERMINAL_STATES && !list->all_states &&
        !filter_wants(&list->filter, JOB_SUCCEEDED + list->state))
        list->state++;
    if (list->call.req == NULL) {
        list_free(list);
        return;
    }
    if (list->state == TERMINAL_STATES ||
        (list->all_states && list->state > 0)) {
        make_page(list);
        return;
    }
    filter.has_state = !list->all_states;
    filter.state = JOB_SUCCEEDED + list->state;
    store_list(list->call.status->service->store, &filter,
        before[0] != '\0' ? before : NULL,
        limit < FILTER_LIMIT_MAX ? limit : FILTER_LIMIT_MAX, on_rows, list);
}

/* --- Redis --------------------------------------------------------------- */

static void next_in_flight(struct list_call *list);

static void
on_in_flight(void *arg, enum queue_status status, const struct job_view *views,
    size_t count)
{
    struct list_call *list = arg;
    bool past = false;
    if (status != QUEUE_OK && status != QUEUE_ABSENT) {
        give_up(list);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        bool matches = filter_matches(&list->filter, &views[i]);
        add(list, &views[i], true, !matches);
        list->found += matches ? 1 : 0;
        past = filter_is_past(&list->filter, views[i].id);
    }
    list->examined += (unsigned)count;
    if (count > 0)
        text_copy(list->before, ID_SIZE, slice_of(views[count - 1].id));
    /* Jobs that end while they are read leave gaps: only an empty page is
     * the end. */
    if (past || count == 0) {
        next_rows(list);
    } else if (list->found > list->filter.limit ||
        list->examined >= EXAMINE_MAX) {
        merge_unknown_below(&list->merge, list->before);
        next_rows(list);
    } else {
        next_in_flight(list);
    }
}

static void
next_in_flight(struct list_call *list)
{
    unsigned want = EXAMINE_PAGE;
    if (filter_is_open(&list->filter))
        want = list->filter.limit < OPEN_PAGE_MIN ? OPEN_PAGE_MIN
                                                  : list->filter.limit + 1;
    if (want > FILTER_LIMIT_MAX)
        want = FILTER_LIMIT_MAX;
    if (list->call.req == NULL)
        list_free(list);
    else if (queue_list(list->call.status->service->queue,
                 list->before[0] != '\0' ? list->before : NULL, want,
                 on_in_flight, list) != 0)
        give_up(list);
}

/* --- the route ----------------------------------------------------------- */

static bool
wants_every_terminal(const struct filter *filter)
{
    for (unsigned i = 0; i < TERMINAL_STATES; i++) {
        if (!filter_wants(filter, JOB_SUCCEEDED + i))
            return false;
    }
    return true;
}

static void
begin_round(struct list_call *list)
{
    memcpy(list->before, list->filter.before_id, ID_SIZE);
    list->found = 0;
    list->state = 0;
    if (list->in_flight_known)
        next_in_flight(list);
    else
        next_rows(list);
}

void
jobs_handle_list(struct http_request *req, void *program)
{
    char error[256];
    struct list_call *list = memory_zalloc(1, sizeof(*list));
    (void)program;
    call_begin(&list->call, req);
    if (!call_params(&list->call, filter_names, &list->params)) {
        memory_free(list);
        return;
    }
    if (filter_parse(&list->params, call_only_tenant(&list->call),
            &list->filter, error, sizeof(error)) != 0) {
        call_bad(&list->call, "%s", error);
        list_free(list);
        return;
    }
    if (!status_redis_usable(list->call.status)) {
        give_up(list);
        return;
    }
    list->limit = list->filter.limit;
    list->all_states = wants_every_terminal(&list->filter);
    list->in_flight_known = filter_wants_in_flight(&list->filter);
    buffer_append_text(&list->out, "{\"data\":[");
    begin_round(list);
}
