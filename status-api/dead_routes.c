#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "status-api/dead.h"
#include "status-api/lookup.h"
#include "status-api/replay.h"
#include "status-api/status.h"

#define LIST_LIMIT_MAX 1000
#define EXAMINE_MAX 5000
#define EXAMINE_PAGE 1000

struct dead_call {
    struct call call;
    char id[ID_SIZE];
    int generation; /* that is meant; -1: whichever is dead */
    struct dead_filter filter;
    unsigned limit;
    unsigned found;
    unsigned asked;
    unsigned examined;
    char after[48];
    char last[48]; /* where the next page of the answer begins */
    char first[48];
    bool more;
    struct buffer out;
};

static void
dead_free(struct dead_call *dead)
{
    buffer_clear(&dead->out);
    memory_free(dead);
}

static void
give_up(struct dead_call *dead)
{
    call_unavailable(&dead->call);
    dead_free(dead);
}

static void
no_letter(struct dead_call *dead)
{
    call_error(&dead->call, 404, "not_found_error",
        "there is no dead letter with this id", 0);
    dead_free(dead);
}

/* --- GET /v1/dead-letters ------------------------------------------------ */

static void
put_entry(struct buffer *out, const char *key, const char *entry)
{
    if (entry[0] == '\0')
        buffer_printf(out, ",\"%s\":null", key);
    else
        buffer_printf(out, ",\"%s\":\"%s\"", key, entry);
}

static void
answer_list(struct dead_call *dead)
{
    buffer_printf(
        &dead->out, "],\"has_more\":%s", dead->more ? "true" : "false");
    put_entry(&dead->out, "first_entry", dead->first);
    put_entry(&dead->out, "last_entry", dead->last);
    buffer_append_char(&dead->out, '}');
    call_json(&dead->call, 200, &dead->out);
    dead_free(dead);
}

/* Returns false when the page is full and something is left. */
static bool
take(struct dead_call *dead, const struct queue_dead *letter)
{
    if (!dead_filter_matches(&dead->filter, letter)) {
        memcpy(dead->last, letter->entry, sizeof(dead->last));
        return true;
    }
    if (dead->found == dead->limit)
        return false;
    if (dead->found++ > 0)
        buffer_append_char(&dead->out, ',');
    else
        memcpy(dead->first, letter->entry, sizeof(dead->first));
    dead_encode_open(letter, dead->call.status->service->origin, &dead->out);
    buffer_append_char(&dead->out, '}');
    memcpy(dead->last, letter->entry, sizeof(dead->last));
    return true;
}

static void list_on(struct dead_call *dead);

static void
on_list(void *arg, enum queue_status status, const struct queue_dead *letters,
    size_t count)
{
    struct dead_call *dead = arg;
    if (status != QUEUE_OK && status != QUEUE_ABSENT) {
        give_up(dead);
        return;
    }
    for (size_t i = 0; i < count && !dead->more; i++)
        dead->more = !take(dead, &letters[i]);
    dead->examined += (unsigned)count;
    if (count > 0)
        memcpy(dead->after, letters[count - 1].entry, sizeof(dead->after));
    if (dead->more || count < dead->asked) {
        answer_list(dead);
    } else if (dead->examined >= EXAMINE_MAX) {
        dead->more = true;
        answer_list(dead);
    } else {
        list_on(dead);
    }
}

static void
list_on(struct dead_call *dead)
{
    static const struct dead_filter none;
    bool open = memcmp(&dead->filter, &none, sizeof(none)) == 0;
    dead->asked =
        open && dead->limit < EXAMINE_PAGE ? dead->limit + 1 : EXAMINE_PAGE;
    if (dead->call.req == NULL)
        dead_free(dead);
    else if (dead_read(dead->call.status, &dead->filter,
                 dead->after[0] != '\0' ? dead->after : NULL, NULL, dead->asked,
                 on_list, dead) != 0)
        give_up(dead);
}

static int
parse_list(const struct params *params, struct dead_call *dead, char *error,
    size_t size)
{
    uint64_t limit;
    const char *after = params_get(params, "after");
    if (dead_filter_from_params(params, &dead->filter, error, size) != 0 ||
        params_number(
            params, "limit", 1, LIST_LIMIT_MAX, 20, &limit, error, size) != 0)
        return -1;
    dead->limit = (unsigned)limit;
    if (after == NULL)
        return 0;
    if (!dead_entry_is_valid(slice_of(after)) ||
        !text_copy(dead->after, sizeof(dead->after), slice_of(after))) {
        snprintf(error, size, "after is the last_entry of a page before");
        return -1;
    }
    memcpy(dead->last, dead->after, sizeof(dead->last));
    return 0;
}

void
dead_handle_list(struct http_request *req, void *program)
{
    struct dead_call *dead = memory_zalloc(1, sizeof(*dead));
    struct params params;
    char error[256];
    (void)program;
    call_begin(&dead->call, req);
    if (!call_params(&dead->call, dead_params, &params)) {
        dead_free(dead);
        return;
    }
    int bad = parse_list(&params, dead, error, sizeof(error));
    params_clear(&params);
    if (bad != 0) {
        call_bad(&dead->call, "%s", error);
        dead_free(dead);
        return;
    }
    buffer_append_text(&dead->out, "{\"data\":[");
    list_on(dead);
}

/* --- GET /v1/dead-letters/groups ----------------------------------------- */

static int
by_count(const void *left, const void *right)
{
    const struct queue_dead_group *const *a = left, *const *b = right;
    if ((*a)->count != (*b)->count)
        return (*a)->count > (*b)->count ? -1 : 1;
    if ((*a)->last_ms != (*b)->last_ms)
        return (*a)->last_ms > (*b)->last_ms ? -1 : 1;
    return strcmp((*a)->fingerprint, (*b)->fingerprint);
}

static void
on_groups(void *arg, enum queue_status status,
    const struct queue_dead_group *groups, size_t count)
{
    struct dead_call *dead = arg;
    if (status != QUEUE_OK && status != QUEUE_ABSENT) {
        give_up(dead);
        return;
    }
    const struct queue_dead_group **sorted =
        memory_zalloc(count + 1, sizeof(struct queue_dead_group *));
    for (size_t i = 0; i < count; i++)
        sorted[i] = &groups[i];
    if (count > 1)
        qsort(sorted, count, sizeof(struct queue_dead_group *), by_count);
    buffer_append_text(&dead->out, "{\"data\":[");
    for (size_t i = 0; i < count && i < dead->limit; i++) {
        if (i > 0)
            buffer_append_char(&dead->out, ',');
        dead_encode_group(sorted[i], &dead->out);
    }
    buffer_printf(&dead->out, "],\"has_more\":%s}",
        count > dead->limit ? "true" : "false");
    memory_free(sorted);
    call_json(&dead->call, 200, &dead->out);
    dead_free(dead);
}

void
dead_handle_groups(struct http_request *req, void *program)
{
    static const char *const names[] = {"limit", NULL};
    struct dead_call *dead = memory_zalloc(1, sizeof(*dead));
    struct status *status = program;
    struct params params;
    char error[128];
    uint64_t limit;
    call_begin(&dead->call, req);
    if (!call_params(&dead->call, names, &params)) {
        dead_free(dead);
        return;
    }
    int bad = params_number(
        &params, "limit", 1, LIST_LIMIT_MAX, 100, &limit, error, sizeof(error));
    params_clear(&params);
    if (bad != 0) {
        call_bad(&dead->call, "%s", error);
        dead_free(dead);
        return;
    }
    dead->limit = (unsigned)limit;
    if (queue_dead_groups(status->service->queue, on_groups, dead) != 0)
        give_up(dead);
}

/* --- one: show, replay, discard ------------------------------------------ */

static struct dead_call *
begin_one(struct http_request *req)
{
    struct dead_call *dead = memory_zalloc(1, sizeof(*dead));
    call_begin(&dead->call, req);
    if (call_job_id(&dead->call, dead->id))
        return dead;
    memory_free(dead);
    return NULL;
}

/* ?generation=N: a second click must not hit the letter that the first one's
 * new life has left meanwhile. */
static struct dead_call *
begin_change(struct http_request *req)
{
    static const char *const names[] = {"generation", NULL};
    struct dead_call *dead = begin_one(req);
    struct params params;
    char error[128];
    uint64_t generation = 0;
    if (dead == NULL)
        return NULL;
    if (!call_params(&dead->call, names, &params)) {
        dead_free(dead);
        return NULL;
    }
    dead->generation = -1;
    int bad = params_number(&params, "generation", 0, INT32_MAX, 0, &generation,
        error, sizeof(error));
    if (params_get(&params, "generation") != NULL)
        dead->generation = (int)generation;
    params_clear(&params);
    if (bad == 0)
        return dead;
    call_bad(&dead->call, "%s", error);
    dead_free(dead);
    return NULL;
}

static void
on_show_job(void *arg, const struct lookup_result *result)
{
    struct dead_call *dead = arg;
    buffer_append_text(&dead->out, ",\"job\":");
    if (result->outcome == LOOKUP_FOUND)
        status_encode_job(dead->call.status, result->view, &dead->out);
    else
        buffer_append_text(&dead->out, "null");
    buffer_append_char(&dead->out, '}');
    call_json(&dead->call, 200, &dead->out);
    dead_free(dead);
}

static void
on_show(void *arg, enum queue_status status, const struct queue_dead *letter)
{
    struct dead_call *dead = arg;
    if (status == QUEUE_ABSENT) {
        no_letter(dead);
        return;
    }
    if (status != QUEUE_OK) {
        give_up(dead);
        return;
    }
    dead_encode_open(letter, dead->call.status->service->origin, &dead->out);
    lookup_start(dead->call.status, dead->id, STORE_ROW, on_show_job, dead);
}

void
dead_handle_show(struct http_request *req, void *program)
{
    struct status *status = program;
    struct dead_call *dead = begin_one(req);
    if (dead != NULL &&
        queue_dead_get(status->service->queue, dead->id, on_show, dead) != 0)
        give_up(dead);
}

static void
on_replayed_job(void *arg, const struct lookup_result *result)
{
    struct dead_call *dead = arg;
    if (result->outcome == LOOKUP_FOUND)
        call_job(&dead->call, 202, result->view);
    else
        call_unavailable(&dead->call);
    dead_free(dead);
}

static void
on_replay(void *arg, enum replay_outcome outcome)
{
    struct dead_call *dead = arg;
    switch (outcome) {
    case REPLAY_DONE:
        lookup_start(
            dead->call.status, dead->id, STORE_ROW, on_replayed_job, dead);
        return;
    case REPLAY_ABSENT: no_letter(dead); return;
    case REPLAY_UNREADABLE:
        call_conflict(&dead->call,
            "the request of this job is not in the store as it should be; "
            "it cannot be replayed");
        dead_free(dead);
        return;
    case REPLAY_LATER: give_up(dead); return;
    }
}

void
dead_handle_replay(struct http_request *req, void *program)
{
    struct status *status = program;
    struct dead_call *dead = begin_change(req);
    if (dead != NULL)
        replay_start(status, dead->id, dead->generation, on_replay, dead);
}

static void
on_discard(void *arg, enum queue_status status)
{
    struct dead_call *dead = arg;
    if (status == QUEUE_ABSENT) {
        no_letter(dead);
        return;
    }
    if (status != QUEUE_OK) {
        give_up(dead);
        return;
    }
    call_empty(&dead->call, 204);
    dead_free(dead);
}

static void
on_discard_found(
    void *arg, enum queue_status status, const struct queue_dead *letter)
{
    struct dead_call *dead = arg;
    struct queue *queue = dead->call.status->service->queue;
    if (status == QUEUE_ABSENT ||
        (status == QUEUE_OK && dead->generation >= 0 &&
            letter->generation != (unsigned)dead->generation))
        no_letter(dead);
    else if (status != QUEUE_OK ||
        queue_discard(queue, dead->id, letter->generation, on_discard, dead) !=
            0)
        give_up(dead);
}

void
dead_handle_discard(struct http_request *req, void *program)
{
    struct status *status = program;
    struct dead_call *dead = begin_change(req);
    if (dead != NULL &&
        queue_dead_get(
            status->service->queue, dead->id, on_discard_found, dead) != 0)
        give_up(dead);
}
