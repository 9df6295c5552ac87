#include <inttypes.h>
#include <string.h>

#include "cli/job.h"
#include "cli/out.h"
#include "common/base/clock.h"
#include "common/base/id.h"

/* --- get --- */

static void
field_time(const json_t *job, const char *name, const char *key)
{
    struct buffer text = {0};
    out_time(client_slice(job, key), &text);
    if (text.len > 0)
        out_field(name, buffer_slice(&text));
    buffer_clear(&text);
}

static void
field_text(const json_t *job, const char *name, const char *key)
{
    if (client_text(job, key)[0] != '\0')
        out_field(name, client_slice(job, key));
}

static void
field_counts(const json_t *job)
{
    struct buffer text = {0};
    const json_t *usage = json_object_get(job, "usage");
    buffer_printf(&text, "%" PRIu64 " of %" PRIu64,
        client_count(job, "attempts"), client_count(job, "max_attempts"));
    out_field("attempts", buffer_slice(&text));
    buffer_reset(&text);
    if (json_is_object(usage)) {
        buffer_printf(&text, "%" PRIu64 " in, %" PRIu64 " out",
            client_count(usage, "input_tokens"),
            client_count(usage, "output_tokens"));
        out_field("tokens", buffer_slice(&text));
    }
    buffer_clear(&text);
}

static void
field_tags(const json_t *job)
{
    struct buffer text = {0};
    const json_t *tags = json_object_get(job, "tags");
    for (size_t i = 0; i < json_array_size(tags); i++) {
        const char *tag = json_string_value(json_array_get(tags, i));
        buffer_printf(&text, "%s%s", i > 0 ? " " : "", tag != NULL ? tag : "");
    }
    if (text.len > 0)
        out_field("tags", buffer_slice(&text));
    buffer_clear(&text);
}

static void
show_job(const json_t *job)
{
    struct buffer failure = {0};
    field_text(job, "job", "id");
    out_field_state("status", client_slice(job, "status"));
    field_text(job, "reason", "status_reason");
    field_text(job, "model", "model");
    field_text(job, "lane", "lane");
    field_tags(job);
    field_time(job, "created", "created_at");
    field_time(job, "started", "started_at");
    field_time(job, "finished", "finished_at");
    field_time(job, "next attempt", "next_attempt_at");
    field_counts(job);
    field_text(job, "stop reason", "stop_reason");
    field_text(job, "cost (USD)", "cost_usd");
    job_failure(job, &failure);
    if (failure.len > 0)
        out_field("error", buffer_slice(&failure));
    if (json_is_true(json_object_get(job, "simulated")))
        out_field("simulated", slice_of("yes: this answer is not Claude's"));
    buffer_clear(&failure);
}

static int
get_result(struct client *client, const char *id)
{
    struct http_sync_reply reply = {0};
    char path[ID_SIZE + 24];
    snprintf(path, sizeof(path), "/v1/jobs/%s/result", id);
    struct client_request request = {.path = path, .timeout_ms = 120000};
    int code = client_call(client, &request, &reply);
    if (code == CLI_OK && reply.status == 202) {
        out_say("the job has not ended yet; longhaul wait %s", id);
        code = CLI_RUNNING;
    } else if (code == CLI_OK) {
        code = out_write_line(buffer_slice(&reply.body)) ? CLI_OK : CLI_ERROR;
    } else if (reply.status == 409) {
        code = CLI_FAILED;
    }
    buffer_clear(&reply.body);
    return code;
}

int
cmd_get(struct cli *cli)
{
    struct http_sync_reply reply = {0};
    json_t *job = NULL;
    int code;
    const char *id = cli->argv[0];
    struct client *client = job_client(cli, &code);
    if (client == NULL)
        return code;
    if (cli->args.result) {
        code = get_result(client, id);
    } else if (cli->args.text) {
        code = job_print_text(client, id, stdout);
    } else {
        code = client_get(client, &reply, &job, "/v1/jobs/%s", id);
        if (code == CLI_OK && cli->args.json)
            out_write_line(buffer_slice(&reply.body));
        else if (code == CLI_OK)
            show_job(job);
    }
    json_decref(job);
    buffer_clear(&reply.body);
    client_free(client);
    return code;
}

/* --- wait --- */

/* The worse of two ends: an error, then still running, then failed. */
static int
worse(int a, int b)
{
    static const int order[] = {CLI_OK, CLI_FAILED, CLI_RUNNING, CLI_NOT_FOUND,
        CLI_ERROR, CLI_FORBIDDEN, CLI_UNREACHABLE, CLI_INTERRUPTED};
    for (size_t i = sizeof(order) / sizeof(order[0]); i-- > 0;) {
        if (a == order[i] || b == order[i])
            return order[i];
    }
    return CLI_ERROR;
}

static int
wait_one(
    struct cli *cli, struct client *client, const char *id, int64_t deadline_ms)
{
    struct http_sync_reply reply = {0};
    struct buffer failure = {0};
    json_t *job = NULL;
    int code = job_wait(client, id, deadline_ms, &reply, &job);
    if (code == CLI_OK)
        code = job_exit(job);
    if (job != NULL && cli->args.json) {
        out_write_line(buffer_slice(&reply.body));
    } else if (job != NULL) {
        struct buffer line = {0};
        buffer_printf(&line, "%s\t", id);
        out_safe(&line, client_slice(job, "status"), false);
        out_write_line(buffer_slice(&line));
        buffer_clear(&line);
        out_flush();
    }
    if (code == CLI_FAILED) {
        job_failure(job, &failure);
        out_say("%s %s", id, failure.data);
    } else if (code == CLI_RUNNING) {
        out_say("%s has not ended: %s", id, client_text(job, "status_reason"));
    }
    buffer_clear(&failure);
    json_decref(job);
    buffer_clear(&reply.body);
    return code;
}

int
cmd_wait(struct cli *cli)
{
    int code;
    int64_t timeout_ms = cli->args.timeout_ms;
    int64_t deadline = timeout_ms < 0 ? -1 : clock_mono_ms() + timeout_ms;
    struct client *client = job_client(cli, &code);
    if (client == NULL)
        return code;
    cli_catch_interrupt();
    code = CLI_OK;
    for (int i = 0; i < cli->argc && code != CLI_INTERRUPTED; i++)
        code = worse(code, wait_one(cli, client, cli->argv[i], deadline));
    if (code == CLI_INTERRUPTED || code == CLI_RUNNING)
        out_tell("the jobs go on; the same command waits again");
    client_free(client);
    return code;
}

/* --- cancel, rm --- */

static int
each(struct cli *cli, const char *method, const char *tail,
    void (*done)(const char *id, const json_t *job))
{
    struct http_sync_reply reply = {0};
    int code;
    struct client *client = job_client(cli, &code);
    if (client == NULL)
        return code;
    code = CLI_OK;
    for (int i = 0; i < cli->argc; i++) {
        char path[ID_SIZE + 24];
        snprintf(path, sizeof(path), "/v1/jobs/%s%s", cli->argv[i], tail);
        struct client_request request = {.method = method, .path = path};
        int one = client_call(client, &request, &reply);
        json_t *job = one != CLI_OK || reply.body.len == 0
            ? NULL
            : json_loadb(reply.body.data, reply.body.len, 0, NULL);
        if (one == CLI_OK && cli->args.json && reply.body.len > 0)
            out_write_line(buffer_slice(&reply.body));
        else if (one == CLI_OK)
            done(cli->argv[i], job);
        json_decref(job);
        code = worse(code, one);
    }
    buffer_clear(&reply.body);
    client_free(client);
    return code;
}

static void
on_canceled(const char *id, const json_t *job)
{
    if (strcmp(client_text(job, "status"), "canceled") == 0)
        out_tell("%s is canceled", id);
    else
        out_tell("%s will be canceled; longhaul wait %s", id, id);
}

static void
on_removed(const char *id, const json_t *job)
{
    (void)job;
    out_tell("%s is deleted", id);
}

int
cmd_cancel(struct cli *cli)
{
    return each(cli, "POST", "/cancel", on_canceled);
}

int
cmd_rm(struct cli *cli)
{
    return each(cli, "DELETE", "", on_removed);
}
