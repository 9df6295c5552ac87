#include "cli/job.h"

#include <inttypes.h>
#include <string.h>

#include "cli/out.h"
#include "common/base/clock.h"
#include "common/base/id.h"

#define LONG_POLL_S 50
#define PATIENCE_MS 30000

bool
job_id_ok(const char *word)
{
    if (id_is_valid(slice_of(word), "job_"))
        return true;
    out_say("%s is not the id of a job; ids look like "
            "job_0199f6a2-5c1e-7abc-9def-0123456789ab",
        word);
    return false;
}

struct client *
job_client(struct cli *cli, int *code)
{
    *code = CLI_USAGE;
    for (int i = 0; i < cli->argc; i++) {
        if (!job_id_ok(cli->argv[i]))
            return NULL;
    }
    return client_new(cli, code);
}

bool
job_has_ended(const json_t *job)
{
    static const char *const ends[] = {
        "succeeded", "failed", "canceled", "expired"};
    const char *status = client_text(job, "status");
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        if (strcmp(status, ends[i]) == 0)
            return true;
    }
    return false;
}

int
job_exit(const json_t *job)
{
    if (!job_has_ended(job))
        return CLI_RUNNING;
    return strcmp(client_text(job, "status"), "succeeded") == 0 ? CLI_OK
                                                                : CLI_FAILED;
}

/* Seconds of the next long-poll, at least 1; 0: the time is over. */
static int
poll_seconds(int64_t deadline_ms)
{
    int64_t left_ms = deadline_ms - clock_mono_ms();
    if (deadline_ms < 0 || left_ms > LONG_POLL_S * 1000)
        return LONG_POLL_S;
    return left_ms > 0 ? (int)((left_ms + 999) / 1000) : 0;
}

int
job_wait(struct client *client, const char *id, int64_t deadline_ms,
    struct http_sync_reply *reply, json_t **job)
{
    int64_t heard_ms = clock_mono_ms();
    for (;;) {
        char path[ID_SIZE + 40];
        int seconds = poll_seconds(deadline_ms);
        snprintf(path, sizeof(path), "/v1/jobs/%s?wait=%d", id, seconds);
        struct client_request request = {.path = path,
            .timeout_ms = (seconds + 15) * 1000,
            .quiet = clock_mono_ms() - heard_ms < PATIENCE_MS};
        int code = client_json(client, &request, reply, job);
        if (code == CLI_UNREACHABLE && request.quiet && seconds > 0) {
            if (!cli_sleep(1000))
                return CLI_INTERRUPTED;
            continue;
        }
        if (code != CLI_OK)
            return request.quiet ? client_explain(client, reply) : code;
        heard_ms = clock_mono_ms();
        if (job_has_ended(*job))
            return CLI_OK;
        if (seconds == 0 || poll_seconds(deadline_ms) == 0)
            return CLI_RUNNING;
        json_decref(*job);
        *job = NULL;
    }
}

void
job_text(const json_t *message, struct buffer *out)
{
    const json_t *content = json_object_get(message, "content");
    for (size_t i = 0; i < json_array_size(content); i++) {
        const json_t *block = json_array_get(content, i);
        if (strcmp(client_text(block, "type"), "text") == 0)
            buffer_append_slice(out, client_slice(block, "text"));
    }
}

int
job_print_text(struct client *client, const char *id, FILE *file)
{
    struct http_sync_reply reply = {0};
    struct buffer text = {0};
    struct buffer safe = {0};
    json_t *message;
    int code = client_get(client, &reply, &message, "/v1/jobs/%s/result", id);
    if (code == CLI_OK && reply.status == 202) {
        out_say("the job has not ended yet; longhaul wait %s", id);
        code = CLI_RUNNING;
    } else if (code == CLI_OK) {
        job_text(message, &text);
        if (out_is_terminal(file))
            out_safe(&safe, buffer_slice(&text), true);
        else
            buffer_append_slice(&safe, buffer_slice(&text));
        if (safe.len == 0 || safe.data[safe.len - 1] != '\n')
            buffer_append_char(&safe, '\n');
        if (fwrite(safe.data, 1, safe.len, file) != safe.len)
            code = CLI_ERROR;
    } else if (reply.status == 409) {
        code = CLI_FAILED;
    }
    json_decref(message);
    buffer_clear(&text);
    buffer_clear(&safe);
    buffer_clear(&reply.body);
    return code;
}

void
job_failure(const json_t *job, struct buffer *out)
{
    const json_t *error = json_object_get(job, "error");
    const char *status = client_text(job, "status");
    const char *type = client_text(error, "type");
    const char *request_id = client_text(error, "request_id");
    if (job_exit(job) != CLI_FAILED)
        return;
    buffer_append_text(out, status);
    if (type[0] == '\0')
        type = client_text(error, "class");
    if (type[0] != '\0')
        buffer_printf(out, ": %s", type);
    if (client_text(error, "message")[0] != '\0')
        buffer_printf(out, ": %s", client_text(error, "message"));
    if (client_count(error, "status") > 0)
        buffer_printf(
            out, " (HTTP %" PRIu64 ")", client_count(error, "status"));
    if (request_id[0] != '\0')
        buffer_printf(out, " [Claude's %s]", request_id);
}
