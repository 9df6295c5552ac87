#include <inttypes.h>
#include <string.h>

#include "cli/bulk_run.h"
#include "cli/out.h"
#include "common/base/clock.h"
#include "common/net/json_scan.h"

#define BACKOFF_FIRST_MS 250
#define BACKOFF_MAX_MS 10000
#define SYNC_EVERY_MS 1000
#define PAGE "100"
#define RETRY_AFTER_MAX_S 3600

struct bulk_batch *
bulk_run_batch(struct bulk_run *run, struct slice id)
{
    for (size_t i = 0; i < run->batch_count; i++)
        if (slice_equal_text(id, run->batches[i].id))
            return &run->batches[i];
    run->batches = memory_resize(
        run->batches, (run->batch_count + 1) * sizeof(*run->batches));
    struct bulk_batch *batch = &run->batches[run->batch_count++];
    memset(batch, 0, sizeof(*batch));
    text_copy(batch->id, sizeof(batch->id), id);
    return batch;
}

/* --- calls --- */

static bool
is_passing(const struct http_sync_reply *reply)
{
    if (reply->end == HTTP_SYNC_OK)
        return reply->status == 409 || reply->status == 429 ||
            reply->status >= 500;
    return reply->end == HTTP_SYNC_CUT || reply->end == HTTP_SYNC_UNREACHABLE;
}

static void
tell_waiting(struct bulk_run *run, const struct http_sync_reply *reply)
{
    if (run->waiting)
        return;
    run->waiting = true;
    bulk_progress_break(&run->progress);
    if (reply->end != HTTP_SYNC_OK)
        out_tell("%s does not answer; waiting for it", client_url(run->client));
    else
        out_tell("%s takes nothing at the moment (%u); waiting",
            client_url(run->client), reply->status);
}

static int64_t
delay_of(const struct http_sync_reply *reply, unsigned tries)
{
    uint64_t seconds = 0;
    int64_t delay_ms = BACKOFF_FIRST_MS;
    if (reply->end == HTTP_SYNC_OK && reply->retry_after[0] != '\0' &&
        text_parse_u64(
            slice_of(reply->retry_after), RETRY_AFTER_MAX_S, &seconds) == 0 &&
        seconds > 0)
        return (int64_t)seconds * 1000;
    for (unsigned i = 0; i < tries && delay_ms < BACKOFF_MAX_MS; i++)
        delay_ms *= 2;
    return delay_ms < BACKOFF_MAX_MS ? delay_ms : BACKOFF_MAX_MS;
}

int
bulk_call(struct bulk_run *run, struct client_request *request,
    struct http_sync_reply *reply, json_t **json)
{
    int64_t since_ms = clock_mono_ms();
    for (unsigned tries = 0;; tries++) {
        request->quiet = true;
        int code = json != NULL ? client_json(run->client, request, reply, json)
                                : client_call(run->client, request, reply);
        if (code == CLI_OK) {
            run->waiting = false;
            return CLI_OK;
        }
        if (run->write_failed)
            return CLI_ERROR;
        if (cli_interrupted != 0)
            return CLI_INTERRUPTED;
        bool over = run->patience_ms >= 0 &&
            clock_mono_ms() - since_ms >= run->patience_ms;
        if (!is_passing(reply) || over) {
            bulk_progress_break(&run->progress);
            return reply->end == HTTP_SYNC_OK && request->unsaid_status != 0 &&
                    reply->status == request->unsaid_status
                ? code
                : client_explain(run->client, reply);
        }
        if (tries > 0)
            tell_waiting(run, reply);
        if (!cli_sleep(delay_of(reply, tries)))
            return CLI_INTERRUPTED;
    }
}

/* --- streams of lines --- */

struct lines {
    struct bulk_run *run;
    bool (*each)(struct bulk_run *run, struct slice line);
};

/* Whole lines go to `each`; what was written goes to the files at once. */
static int
on_part(void *arg, struct slice part)
{
    const struct lines *lines = arg;
    struct bulk_run *run = lines->run;
    bool good = true;
    while (good && part.len > 0) {
        const char *end = memchr(part.data, '\n', part.len);
        size_t len = end != NULL ? (size_t)(end - part.data) : part.len;
        struct slice line = slice_make(part.data, len);
        if (end == NULL || run->part.len > 0) {
            buffer_append_slice(&run->part, line);
            line = buffer_slice(&run->part);
        }
        if (end != NULL) {
            good = lines->each(run, line);
            buffer_reset(&run->part);
            len++;
        }
        part = slice_make(part.data + len, part.len - len);
    }
    int64_t now_ms = clock_mono_ms();
    bool sync = now_ms - run->synced_ms >= SYNC_EVERY_MS;
    if (good && run->output != NULL)
        good = bulk_output_flush(run->output, sync) == 0;
    if (sync)
        run->synced_ms = now_ms;
    run->write_failed |= !good;
    return good ? 0 : -1;
}

static void
on_tick(void *arg)
{
    const struct lines *lines = arg;
    if (lines->run->following)
        bulk_show_progress(lines->run, false);
}

/* GETs lines; what comes twice must do no harm. */
static int
get_lines(struct bulk_run *run, const char *path,
    bool (*each)(struct bulk_run *run, struct slice line),
    struct http_sync_reply *reply)
{
    struct lines lines = {run, each};
    struct client_request request = {
        .path = path, .on_body = on_part, .on_tick = on_tick, .arg = &lines};
    buffer_reset(&run->part);
    return bulk_call(run, &request, reply, NULL);
}

/* --- batches --- */

static void
take_batch(struct bulk_run *run, const json_t *json)
{
    struct bulk_batch *batch = bulk_run_batch(run, client_slice(json, "id"));
    const json_t *counts = json_object_get(json, "counts");
    batch->known = true;
    batch->ended = strcmp(client_text(json, "status"), "ended") == 0;
    batch->queued = client_count(counts, "queued");
    batch->running = client_count(counts, "running");
    batch->retrying = client_count(counts, "retrying");
    batch->lines =
        client_count(json, "accepted") + client_count(json, "rejected");
}

/* A page; *after is the path's cursor of the next, or empty. */
static int
find_page(struct bulk_run *run, struct buffer *after)
{
    struct http_sync_reply reply = {0};
    struct buffer path = {0};
    json_t *json = NULL;
    buffer_printf(&path, "/v1/batches?limit=" PAGE "&run=%s", run->label);
    if (after->len > 0)
        buffer_printf(&path, "&after_id=%s", after->data);
    struct client_request request = {.path = path.data};
    int code = bulk_call(run, &request, &reply, &json);
    const json_t *data = json_object_get(json, "data");
    for (size_t i = 0; i < json_array_size(data); i++)
        take_batch(run, json_array_get(data, i));
    buffer_reset(after);
    if (json_is_true(json_object_get(json, "has_more")))
        buffer_append_text(after, client_text(json, "last_id"));
    json_decref(json);
    buffer_clear(&path);
    buffer_clear(&reply.body);
    return code;
}

static int
compare_batches(const void *a, const void *b)
{
    const struct bulk_batch *one = a;
    const struct bulk_batch *two = b;
    return strcmp(one->id, two->id);
}

int
bulk_find_batches(struct bulk_run *run)
{
    struct buffer after = {0};
    int code;
    do {
        code = find_page(run, &after);
    } while (code == CLI_OK && after.len > 0);
    buffer_clear(&after);
    /* Ids begin with the time. */
    if (run->batch_count > 1)
        qsort(run->batches, run->batch_count, sizeof(*run->batches),
            compare_batches);
    return code;
}

static bool
take_item(struct bulk_run *run, struct slice line)
{
    static const char *const names[] = {"custom_id"};
    struct json_item id;
    char text[BULK_ID_SIZE];
    size_t at;
    if (line.len == 0)
        return true;
    if (json_object_pick(line, names, &id, 1) != 0 ||
        id.kind != JSON_KIND_STRING)
        return false;
    struct slice custom_id = slice_make(id.raw.data + 1, id.raw.len - 2);
    if (run->attached && text_copy(text, sizeof(text), custom_id))
        bulk_rows_add(&run->rows, text, &at);
    at = bulk_rows_find(&run->rows, custom_id);
    if (at != BULK_ABSENT &&
        (run->rows.items[at].state == BULK_OPEN ||
            run->rows.items[at].state == BULK_HELD_BACK))
        bulk_rows_set(&run->rows, at, BULK_SENT);
    return true;
}

int
bulk_read_items(struct bulk_run *run, struct bulk_batch *batch)
{
    struct http_sync_reply reply = {0};
    char path[128];
    snprintf(path, sizeof(path), "/v1/batches/%s/items", batch->id);
    int code = get_lines(run, path, take_item, &reply);
    buffer_clear(&reply.body);
    return code;
}

int
bulk_read_batch(struct bulk_run *run, struct bulk_batch *batch)
{
    struct http_sync_reply reply = {0};
    char path[128];
    json_t *json = NULL;
    snprintf(path, sizeof(path), "/v1/batches/%s", batch->id);
    struct client_request request = {.path = path};
    int code = bulk_call(run, &request, &reply, &json);
    if (code == CLI_OK)
        take_batch(run, json);
    json_decref(json);
    buffer_clear(&reply.body);
    return code;
}

int
bulk_read_results(
    struct bulk_run *run, struct bulk_batch *batch, unsigned wait_s)
{
    struct http_sync_reply reply = {0};
    int64_t since_ms = clock_mono_ms();
    int code;
    run->batch = batch;
    for (unsigned tries = 0;; tries++) {
        char path[160];
        uint64_t before = batch->seq;
        snprintf(path, sizeof(path),
            "/v1/batches/%s/results?after=%" PRIu64 "&wait=%u", batch->id,
            batch->seq, wait_s);
        /* No patience inside: what was taken is not asked for again. */
        struct lines lines = {run, bulk_take_result};
        struct client_request request = {.path = path,
            .quiet = true,
            .on_body = on_part,
            .on_tick = on_tick,
            .arg = &lines};
        buffer_reset(&run->part);
        code = client_call(run->client, &request, &reply);
        if (code == CLI_OK || run->write_failed || cli_interrupted != 0)
            break;
        if (batch->seq != before) {
            tries = 0;
            since_ms = clock_mono_ms();
        }
        bool over = run->patience_ms >= 0 &&
            clock_mono_ms() - since_ms >= run->patience_ms;
        if (!is_passing(&reply) || over) {
            bulk_progress_break(&run->progress);
            code = client_explain(run->client, &reply);
            break;
        }
        if (tries > 0)
            tell_waiting(run, &reply);
        if (!cli_sleep(delay_of(&reply, tries)))
            break;
    }
    run->waiting &= code != CLI_OK;
    buffer_clear(&reply.body);
    if (run->write_failed)
        return CLI_ERROR;
    return cli_interrupted != 0 ? CLI_INTERRUPTED : code;
}

int
bulk_catch_up(struct bulk_run *run)
{
    int code = bulk_find_batches(run);
    for (size_t i = 0; code == CLI_OK && i < run->batch_count; i++) {
        struct bulk_batch *batch = &run->batches[i];
        if (!batch->known)
            continue;
        code = bulk_read_items(run, batch);
        if (code == CLI_OK)
            code = bulk_read_results(run, batch, 0);
        if (code == CLI_OK)
            batch->drained = batch->ended;
    }
    if (code == CLI_OK)
        code = bulk_look_again(run, false);
    if (code == CLI_OK && run->output != NULL &&
        bulk_output_flush(run->output, true) != 0)
        code = CLI_ERROR;
    return code;
}
