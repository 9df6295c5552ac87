#include <string.h>

#include "cli/bulk_run.h"
#include "cli/job.h"
#include "cli/out.h"

/*
 * Rows that failed may have been run again since. An ended batch stays as it
 * was, so that their jobs are asked one by one.
 */

#define LOOK_EVERY_MS 500

void
bulk_note_failed(struct bulk_run *run, const struct bulk_past *past)
{
    struct bulk_failed failed = {0};
    if (past->job_id.len == 0 ||
        !text_copy(failed.job_id, sizeof(failed.job_id), past->job_id) ||
        !text_copy(failed.id, sizeof(failed.id), past->custom_id) ||
        !text_copy(failed.batch, sizeof(failed.batch), past->batch))
        return;
    run->failed = memory_resize(
        run->failed, (run->failed_count + 1) * sizeof(*run->failed));
    run->failed[run->failed_count++] = failed;
}

/* As if its batch had said so. */
static int
take_answer(struct bulk_run *run, const struct bulk_failed *failed,
    const json_t *job, struct slice message)
{
    struct buffer line = {0};
    char *usage = json_dumps(
        json_object_get(job, "usage"), JSON_COMPACT | JSON_ENCODE_ANY);
    char *cost = json_dumps(
        json_object_get(job, "cost_usd"), JSON_COMPACT | JSON_ENCODE_ANY);
    buffer_printf(&line,
        "{\"seq\":0,\"custom_id\":\"%s\",\"job_id\":\"%s\","
        "\"status\":\"succeeded\",\"result\":{\"type\":\"succeeded\","
        "\"message\":",
        failed->id, failed->job_id);
    buffer_append_slice(&line, message);
    buffer_append_text(&line, "},\"model\":");
    buffer_append_json(&line, client_slice(job, "model"));
    buffer_printf(&line, ",\"usage\":%s,\"cost_usd\":%s}",
        usage != NULL ? usage : "null", cost != NULL ? cost : "null");
    run->batch = bulk_run_batch(run, slice_of(failed->batch));
    bool good = bulk_take_result(run, buffer_slice(&line));
    memory_free(usage);
    memory_free(cost);
    buffer_clear(&line);
    if (!good ||
        (run->output != NULL && bulk_output_flush(run->output, false) != 0))
        return CLI_ERROR;
    return CLI_OK;
}

static int
fetch_answer(
    struct bulk_run *run, const struct bulk_failed *failed, const json_t *job)
{
    struct http_sync_reply reply = {0};
    char path[128];
    snprintf(path, sizeof(path), "/v1/jobs/%s/result", failed->job_id);
    struct client_request request = {.path = path};
    int code = bulk_call(run, &request, &reply, NULL);
    if (code == CLI_OK)
        code = take_answer(run, failed, job, buffer_slice(&reply.body));
    buffer_clear(&reply.body);
    return code;
}

/* *pending is set when it is being run again. */
static int
look(struct bulk_run *run, const struct bulk_failed *failed, bool *pending)
{
    struct http_sync_reply reply = {0};
    json_t *job = NULL;
    char path[128];
    snprintf(path, sizeof(path), "/v1/jobs/%s", failed->job_id);
    struct client_request request = {.path = path, .quiet = true};
    int code = client_json(run->client, &request, &reply, &job);
    if (code == CLI_NOT_FOUND)
        code = CLI_OK; /* it was deleted */
    else if (code == CLI_UNREACHABLE)
        code = bulk_call(run, &request, &reply, &job);
    if (code == CLI_OK && job != NULL) {
        *pending = !job_has_ended(job);
        if (strcmp(client_text(job, "status"), "succeeded") == 0)
            code = fetch_answer(run, failed, job);
    }
    json_decref(job);
    buffer_clear(&reply.body);
    return code;
}

int
bulk_look_again(struct bulk_run *run, bool wait)
{
    size_t pending;
    do {
        pending = 0;
        for (size_t i = 0; i < run->failed_count; i++) {
            const struct bulk_failed *failed = &run->failed[i];
            size_t at = bulk_rows_find(&run->rows, slice_of(failed->id));
            bool again = false;
            if (at == BULK_ABSENT || run->rows.items[at].state != BULK_FAILED)
                continue;
            int code = look(run, failed, &again);
            if (code != CLI_OK)
                return code;
            pending += again;
        }
        if (wait && pending > 0 && !cli_sleep(LOOK_EVERY_MS))
            return CLI_INTERRUPTED;
    } while (wait && pending > 0);
    return CLI_OK;
}
