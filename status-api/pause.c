/* POST /v1/pools/{name}/pause, .../resume, and the same of lanes. */

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "status-api/numbers.h"
#include "status-api/pause.h"
#include "status-api/status.h"

#define REASON_MAX 200
#define FOR_MAX_MS (INT64_C(365) * 86400000)

/*
 * Reads what there is, sets or lifts holds one after the other, and answers
 * with what there is then. A resume lifts all of a pool's holds: what an
 * operator wants is that it is tried now.
 */
struct pause_call {
    struct call call;
    bool of_pool;
    bool pause;
    char name[64];
    int64_t for_ms; /* -1: until lifted */
    char reason[REASON_MAX + 1];
    size_t next; /* of scopes, to be lifted */
    size_t scope_count;
    char (*scopes)[sizeof(((struct queue_hold *)0)->scope)];
};

static void
pause_free(struct pause_call *pause)
{
    memory_free(pause->scopes);
    memory_free(pause);
}

static void
give_up(struct pause_call *pause)
{
    call_unavailable(&pause->call);
    pause_free(pause);
}

static struct queue *
queue_of(const struct pause_call *pause)
{
    return pause->call.status->service->queue;
}

/* --- what may be said --- */

static const char *
read_reason(const json_t *value, char out[REASON_MAX + 1])
{
    const char *text = json_string_value(value);
    size_t len = json_string_length(value);
    if (text == NULL || len == 0 || len > REASON_MAX)
        return "reason: wanted is a text of 1 to 200 bytes";
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
            return "reason: wanted is one line";
    }
    text_copy(out, REASON_MAX + 1, slice_make(text, len));
    return NULL;
}

static const char *
read_for(const json_t *value, int64_t *ms)
{
    const char *text = json_string_value(value);
    if (text == NULL || text_parse_duration_ms(slice_of(text), ms) != 0 ||
        *ms <= 0 || *ms > FOR_MAX_MS)
        return "for: wanted is a duration such as 90s, 15m, 2h, 7d";
    return NULL;
}

/* NULL, or what is wrong with the body: {"for": "15m", "reason": "..."}. */
static const char *
read_body(struct slice body, struct pause_call *pause)
{
    const char *error = NULL;
    const char *key;
    json_t *value;
    pause->for_ms = -1;
    if (body.len == 0)
        return NULL;
    json_t *json =
        json_loadb(body.data, body.len, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(json))
        error = "wanted is a JSON object";
    json_object_foreach(json, key, value)
    {
        if (error != NULL)
            break;
        if (pause->pause && strcmp(key, "for") == 0)
            error = read_for(value, &pause->for_ms);
        else if (pause->pause && strcmp(key, "reason") == 0)
            error = read_reason(value, pause->reason);
        else
            error = pause->pause ? "there are only for and reason"
                                 : "there is nothing to say";
    }
    json_decref(json);
    return error;
}

/* --- the answer --- */

static void
on_shown(void *arg, enum queue_status status, const struct queue_stats *stats)
{
    struct pause_call *pause = arg;
    struct buffer out = {0};
    if (status != QUEUE_OK) {
        give_up(pause);
        return;
    }
    if (pause->of_pool)
        pools_put(stats, slice_of(pause->name), &out);
    else
        lanes_put(stats, pause->name, &out);
    call_json(&pause->call, 200, &out);
    pause_free(pause);
}

static void
show(struct pause_call *pause)
{
    const char *what = pause->of_pool ? "pool" : "lane";
    const char *who = call_actor(&pause->call);
    if (pause->pause)
        log_info("paused_by_hand", LOG_TEXT(what, pause->name),
            LOG_TEXT("tenant", who));
    else
        log_info("resumed_by_hand", LOG_TEXT(what, pause->name),
            LOG_TEXT("tenant", who));
    numbers_refresh(pause->call.status->numbers);
    if (queue_stats_get(queue_of(pause), on_shown, pause) != 0)
        give_up(pause);
}

/* --- doing it --- */

static void
on_paused(void *arg, enum queue_status status)
{
    struct pause_call *pause = arg;
    if (status == QUEUE_OK)
        show(pause);
    else
        give_up(pause);
}

static void
do_pause(struct pause_call *pause)
{
    char scope[128];
    (void)snprintf(scope, sizeof(scope), "%s:%s",
        pause->of_pool ? "pool" : "lane", pause->name);
    if (pause->reason[0] == '\0')
        (void)snprintf(pause->reason, sizeof(pause->reason), "paused by %s",
            call_actor(&pause->call));
    if (queue_hold_set(queue_of(pause), scope, "stopped", pause->for_ms,
            pause->reason, true, on_paused, pause) != 0)
        give_up(pause);
}

static void
on_lifted(void *arg, enum queue_status status)
{
    struct pause_call *pause = arg;
    if (status != QUEUE_OK && status != QUEUE_ABSENT) {
        give_up(pause);
        return;
    }
    if (pause->next == pause->scope_count)
        show(pause);
    else if (queue_hold_clear(queue_of(pause), pause->scopes[pause->next++],
                 on_lifted, pause) != 0)
        give_up(pause);
}

static bool
is_ours(const struct pause_call *pause, const char *scope)
{
    if (pause->of_pool)
        return slice_equal_text(pools_of_scope(scope), pause->name);
    return strncmp(scope, "lane:", 5) == 0 &&
        strcmp(scope + 5, pause->name) == 0;
}

static void
do_resume(struct pause_call *pause, const struct queue_stats *stats)
{
    pause->scopes =
        memory_zalloc(stats->hold_count + 1, sizeof(pause->scopes[0]));
    for (size_t i = 0; i < stats->hold_count; i++) {
        if (is_ours(pause, stats->holds[i].scope))
            text_copy(pause->scopes[pause->scope_count++],
                sizeof(pause->scopes[0]), slice_of(stats->holds[i].scope));
    }
    on_lifted(pause, QUEUE_OK);
}

static void
on_known(void *arg, enum queue_status status, const struct queue_stats *stats)
{
    struct pause_call *pause = arg;
    enum job_lane lane;
    if (status != QUEUE_OK) {
        give_up(pause);
        return;
    }
    if (pause->of_pool ? !pools_know(stats, slice_of(pause->name))
                       : job_lane_parse(slice_of(pause->name), &lane) != 0) {
        call_error(&pause->call, 404, "not_found_error",
            pause->of_pool ? "there is no pool of this name"
                           : "there is no lane of this name",
            0);
        pause_free(pause);
        return;
    }
    if (pause->pause)
        do_pause(pause);
    else
        do_resume(pause, stats);
}

static void
handle(struct http_request *req, bool of_pool, bool want_pause)
{
    struct pause_call *pause = memory_zalloc(1, sizeof(*pause));
    pause->of_pool = of_pool;
    pause->pause = want_pause;
    call_begin(&pause->call, req);
    text_copy(
        pause->name, sizeof(pause->name), http_request_param(req, "name"));
    const char *error = read_body(http_request_body(req), pause);
    if (error != NULL) {
        call_bad(&pause->call, "%s", error);
        pause_free(pause);
    } else if (queue_stats_get(queue_of(pause), on_known, pause) != 0) {
        give_up(pause);
    }
}

void
pools_handle_pause(struct http_request *req, void *program)
{
    (void)program;
    handle(req, true, true);
}

void
pools_handle_resume(struct http_request *req, void *program)
{
    (void)program;
    handle(req, true, false);
}

void
lanes_handle_pause(struct http_request *req, void *program)
{
    (void)program;
    handle(req, false, true);
}

void
lanes_handle_resume(struct http_request *req, void *program)
{
    (void)program;
    handle(req, false, false);
}
