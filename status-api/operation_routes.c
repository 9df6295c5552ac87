#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "status-api/operations.h"
#include "status-api/status.h"

#define COUNT_PAGE 1000
/* Proxies give up after 60. */
#define COUNT_MAX_MS 45000
#define GROUPS_MAX 100
#define LIST_LIMIT_MAX 200

struct group {
    char fingerprint[17];
    char sample_id[ID_SIZE];
    uint64_t count;
};

/* POST /v1/operations: counts what is meant, which also finds the newest
 * dead letter, and then writes the operation down. */
struct create_call {
    struct call call;
    struct operation_request request;
    struct operation op;
    char cursor[48];
    int64_t began_ms;
    bool full; /* the limit is reached */
    size_t group_count;
    uint64_t other_groups; /* dead letters in groups beyond GROUPS_MAX */
    struct group groups[GROUPS_MAX];
};

static void
give_up(struct create_call *create)
{
    call_unavailable(&create->call);
    memory_free(create);
}

/* --- the answers --------------------------------------------------------- */

static int
by_count(const void *left, const void *right)
{
    const struct group *a = left, *b = right;
    if (a->count != b->count)
        return a->count > b->count ? -1 : 1;
    return strcmp(a->fingerprint, b->fingerprint);
}

static void
answer_preview(struct create_call *create)
{
    struct buffer out = {0};
    const struct operation *op = &create->op;
    qsort(create->groups, create->group_count, sizeof(create->groups[0]),
        by_count);
    buffer_printf(&out,
        "{\"object\":\"operation_preview\",\"action\":\"%s\",\"filter\":",
        operation_action_name(op->action));
    dead_filter_encode(&op->filter, &out);
    buffer_append_text(&out, ",\"eligible\":");
    buffer_append_u64(&out, op->eligible);
    buffer_append_text(&out, ",\"snapshot_until\":");
    if (op->snapshot_until[0] == '\0')
        buffer_append_text(&out, "null");
    else
        buffer_append_json(&out, slice_of(op->snapshot_until));
    buffer_append_text(&out, ",\"groups\":[");
    for (size_t i = 0; i < create->group_count; i++) {
        const struct group *group = &create->groups[i];
        buffer_printf(&out, "%s{\"fingerprint\":", i > 0 ? "," : "");
        buffer_append_json(&out, slice_of(group->fingerprint));
        buffer_append_text(&out, ",\"count\":");
        buffer_append_u64(&out, group->count);
        buffer_printf(&out, ",\"sample_id\":\"%s\"}", group->sample_id);
    }
    buffer_append_text(&out, "],\"in_other_groups\":");
    buffer_append_u64(&out, create->other_groups);
    buffer_append_char(&out, '}');
    call_json(&create->call, 200, &out);
    memory_free(create);
}

static void
put_location(struct call *call, const char *id)
{
    struct buffer url = {0};
    if (call->req == NULL)
        return;
    buffer_printf(
        &url, "%s/v1/operations/%s", call->status->service->origin, id);
    http_reply_header(call->req, "Location", url.data);
    http_reply_header(call->req, "Retry-After", "1");
    buffer_clear(&url);
}

static void
answer_operation(struct call *call, unsigned status, const struct operation *op)
{
    struct buffer out = {0};
    operation_encode(op, &out);
    call_json(call, status, &out);
}

static void
on_created(void *arg, enum queue_status status)
{
    struct create_call *create = arg;
    const struct operation *op = &create->op;
    if (status != QUEUE_OK) {
        give_up(create);
        return;
    }
    log_info("operation_created", LOG_TEXT("operation", op->id),
        LOG_TEXT("action", operation_action_name(op->action)),
        LOG_INT("eligible", op->eligible), LOG_TEXT("tenant", op->created_by));
    if (op->state == OPERATION_RUNNING)
        operations_adopt(create->call.status->operations, op->id);
    put_location(&create->call, op->id);
    answer_operation(&create->call, 202, op);
    memory_free(create);
}

static void
write_down(struct create_call *create)
{
    struct operation *op = &create->op;
    struct buffer document = {0};
    id_make(OPERATION_ID_PREFIX, op->id);
    op->created_ms = clock_wall_ms();
    text_copy(op->created_by, sizeof(op->created_by),
        slice_of(call_actor(&create->call)));
    if (op->snapshot_until[0] == '\0') {
        op->state = OPERATION_SUCCEEDED;
        op->finished_ms = op->created_ms;
    }
    operation_encode(op, &document);
    if (queue_operation_put(create->call.status->service->queue, op->id,
            buffer_slice(&document), on_created, create) != 0)
        give_up(create);
    buffer_clear(&document);
}

/* --- counting ------------------------------------------------------------ */

static void
count_group(struct create_call *create, const struct queue_dead *letter)
{
    size_t i = 0;
    while (i < create->group_count &&
        strcmp(create->groups[i].fingerprint, letter->fingerprint) != 0)
        i++;
    if (i == GROUPS_MAX) {
        create->other_groups++;
        return;
    }
    struct group *group = &create->groups[i];
    if (i == create->group_count) {
        create->group_count++;
        memcpy(group->fingerprint, letter->fingerprint,
            sizeof(group->fingerprint));
        memcpy(group->sample_id, letter->id, sizeof(group->sample_id));
    }
    group->count++;
}

static void
count_page(
    struct create_call *create, const struct queue_dead *letters, size_t count)
{
    struct operation *op = &create->op;
    for (size_t i = 0; i < count && !create->full; i++) {
        memcpy(
            op->snapshot_until, letters[i].entry, sizeof(op->snapshot_until));
        if (!dead_filter_matches(&op->filter, &letters[i]))
            continue;
        op->eligible++;
        count_group(create, &letters[i]);
        create->full = op->limit > 0 && op->eligible == op->limit;
    }
}

static void count_on(struct create_call *create);

static void
on_page(void *arg, enum queue_status status, const struct queue_dead *letters,
    size_t count)
{
    struct create_call *create = arg;
    if (status != QUEUE_OK && status != QUEUE_ABSENT) {
        give_up(create);
        return;
    }
    count_page(create, letters, count);
    if (count > 0)
        memcpy(
            create->cursor, letters[count - 1].entry, sizeof(create->cursor));
    if (create->call.req == NULL) {
        memory_free(create);
    } else if (count == COUNT_PAGE && !create->full) {
        count_on(create);
    } else if (create->request.dry_run) {
        answer_preview(create);
    } else {
        write_down(create);
    }
}

static void
count_on(struct create_call *create)
{
    if (clock_mono_ms() - create->began_ms > COUNT_MAX_MS) {
        call_error(&create->call, 503, "api_error",
            "there are too many dead letters to count in time; set a limit", 5);
        memory_free(create);
        return;
    }
    if (dead_read(create->call.status, &create->op.filter,
            create->cursor[0] != '\0' ? create->cursor : NULL, NULL, COUNT_PAGE,
            on_page, create) != 0)
        give_up(create);
}

void
operations_create(
    struct http_request *req, const struct operation_request *request)
{
    struct create_call *create = memory_zalloc(1, sizeof(*create));
    call_begin(&create->call, req);
    create->request = *request;
    create->op.action = request->action;
    create->op.filter = request->filter;
    create->op.rate = request->rate;
    create->op.limit = request->limit;
    create->began_ms = clock_mono_ms();
    count_on(create);
}

void
operations_handle_create(struct http_request *req, void *program)
{
    struct call call;
    struct operation_request request;
    char error[256];
    (void)program;
    memset(&call, 0, sizeof(call));
    if (operation_request_parse(
            http_request_body(req), &request, error, sizeof(error)) != 0) {
        call.req = req;
        call_bad(&call, "%s", error);
        return;
    }
    operations_create(req, &request);
}

/* --- reading and canceling ----------------------------------------------- */

struct read_call {
    struct call call;
    char id[ID_SIZE]; /* "": the list */
    unsigned limit;
    bool cancel;
    struct operation op;
};

static void
read_unavailable(struct read_call *read)
{
    call_unavailable(&read->call);
    memory_free(read);
}

static int
by_id(const void *left, const void *right)
{
    const struct operation *a = left, *b = right;
    return strcmp(b->id, a->id);
}

/* All operations, newest first; the caller frees them. */
static struct operation *
decode_all(const struct slice *documents, size_t count, size_t *found)
{
    struct operation *all = memory_zalloc(count + 1, sizeof(*all));
    char canceled[ID_SIZE];
    *found = 0;
    for (size_t i = 0; i < count; i++) {
        if (operation_decode(documents[i], &all[*found]) == 0)
            (*found)++;
    }
    for (size_t i = 0; i < count; i++) {
        if (!operation_cancel_decode(documents[i], canceled))
            continue;
        for (size_t j = 0; j < *found; j++) {
            if (strcmp(all[j].id, canceled) == 0)
                all[j].cancel_requested = true;
        }
    }
    qsort(all, *found, sizeof(*all), by_id);
    return all;
}

static void
answer_all(struct read_call *read, const struct operation *all, size_t count)
{
    struct buffer out = {0};
    buffer_append_text(&out, "{\"data\":[");
    for (size_t i = 0; i < count && i < read->limit; i++) {
        if (i > 0)
            buffer_append_char(&out, ',');
        operation_encode(&all[i], &out);
    }
    buffer_printf(
        &out, "],\"has_more\":%s}", count > read->limit ? "true" : "false");
    call_json(&read->call, 200, &out);
    memory_free(read);
}

static void
on_cancel_noted(void *arg, enum queue_status status)
{
    struct read_call *read = arg;
    if (status != QUEUE_OK) {
        read_unavailable(read);
        return;
    }
    operations_cancel(read->call.status->operations, read->id);
    read->op.cancel_requested = true;
    put_location(&read->call, read->id);
    answer_operation(&read->call, 202, &read->op);
    memory_free(read);
}

static void
note_cancel(struct read_call *read)
{
    struct buffer wish = {0};
    char id[ID_SIZE];
    operation_cancel_id(read->id, id);
    operation_cancel_encode(read->id, &wish);
    if (queue_operation_put(read->call.status->service->queue, id,
            buffer_slice(&wish), on_cancel_noted, read) != 0)
        read_unavailable(read);
    buffer_clear(&wish);
}

static void
answer_one(struct read_call *read, const struct operation *all, size_t count)
{
    size_t i = 0;
    while (i < count && strcmp(all[i].id, read->id) != 0)
        i++;
    if (i == count) {
        call_error(&read->call, 404, "not_found_error",
            "there is no operation with this id", 0);
    } else if (read->cancel && all[i].state == OPERATION_RUNNING) {
        read->op = all[i];
        note_cancel(read);
        return;
    } else if (read->cancel && all[i].state == OPERATION_SUCCEEDED) {
        call_conflict(&read->call, "the operation has finished already");
    } else {
        answer_operation(&read->call, 200, &all[i]);
    }
    memory_free(read);
}

static void
on_documents(void *arg, enum queue_status status, const struct slice *documents,
    size_t count)
{
    struct read_call *read = arg;
    size_t found;
    if (status != QUEUE_OK && status != QUEUE_ABSENT) {
        read_unavailable(read);
        return;
    }
    struct operation *all = decode_all(documents, count, &found);
    if (read->id[0] == '\0')
        answer_all(read, all, found);
    else
        answer_one(read, all, found);
    memory_free(all);
}

static void
ask(struct read_call *read)
{
    if (queue_operation_list(
            read->call.status->service->queue, on_documents, read) != 0)
        read_unavailable(read);
}

void
operations_handle_list(struct http_request *req, void *program)
{
    static const char *const names[] = {"limit", NULL};
    struct read_call *read = memory_zalloc(1, sizeof(*read));
    struct params params;
    char error[128];
    uint64_t limit;
    (void)program;
    call_begin(&read->call, req);
    if (!call_params(&read->call, names, &params)) {
        memory_free(read);
        return;
    }
    int bad = params_number(
        &params, "limit", 1, LIST_LIMIT_MAX, 20, &limit, error, sizeof(error));
    params_clear(&params);
    if (bad != 0) {
        call_bad(&read->call, "%s", error);
        memory_free(read);
        return;
    }
    read->limit = (unsigned)limit;
    ask(read);
}

static void
read_one(struct http_request *req, bool cancel)
{
    struct read_call *read = memory_zalloc(1, sizeof(*read));
    struct slice id = http_request_param(req, "id");
    call_begin(&read->call, req);
    read->cancel = cancel;
    if (!id_is_valid(id, OPERATION_ID_PREFIX)) {
        call_error(&read->call, 404, "not_found_error",
            "there is no operation with this id", 0);
        memory_free(read);
        return;
    }
    text_copy(read->id, sizeof(read->id), id);
    ask(read);
}

void
operations_handle_get(struct http_request *req, void *program)
{
    (void)program;
    read_one(req, false);
}

void
operations_handle_cancel(struct http_request *req, void *program)
{
    (void)program;
    read_one(req, true);
}
