#include <string.h>

#include "cli/job.h"
#include "cli/out.h"
#include "common/base/buffer.h"

/* What may be done about a job that waits or has failed, by what is known of
 * its last error. First match of the class or type; NULL ends it. */
static const struct {
    const char *word;
    const char *advice;
} advices[] = {
    {"authentication",
        "Claude does not accept the API key: set a valid one "
        "(ANTHROPIC_API_KEY or its file); work goes on by "
        "itself"},
    {"permission", "the API key may not do this: use another key or model"},
    {"billing",
        "Claude wants a payment: see the account's billing page; "
        "work goes on by itself"},
    {"spend",
        "a spend limit is reached: raise it, or wait for the next "
        "period"},
    {"not_found",
        "the model or resource does not exist: submit it again "
        "with another model"},
    {"too_large", "the request is too large for Claude: submit it in parts"},
    {"invalid_request",
        "Claude refuses this request as it is: it has to be "
        "changed and submitted again; a replay would fail the "
        "same way"},
    {"crash_loop",
        "workers died while they had this job: see their logs "
        "before it is replayed"},
    {"overloaded", "Claude is overloaded; this passes. Then replay it"},
    {"rate_limit", "Claude's rate limit; this passes. Then replay it"},
    {NULL, "when the cause is gone, replay it"},
};

static const char *
advice_for(const json_t *job)
{
    const json_t *error = json_object_get(job, "error");
    size_t i = 0;
    for (; advices[i].word != NULL; i++) {
        if (strstr(client_text(error, "class"), advices[i].word) != NULL ||
            strstr(client_text(error, "type"), advices[i].word) != NULL)
            break;
    }
    return advices[i].advice;
}

static void
tell_error(const json_t *job)
{
    const json_t *error = json_object_get(job, "error");
    struct buffer text = {0};
    const char *type = client_text(error, "type");
    if (!json_is_object(error))
        return;
    buffer_printf(&text, "%s: %s",
        type[0] != '\0' ? type : client_text(error, "class"),
        client_text(error, "message"));
    out_field("last error", buffer_slice(&text));
    if (client_text(error, "request_id")[0] != '\0')
        out_field("Claude's id", client_slice(error, "request_id"));
    buffer_clear(&text);
}

static void
tell_why(const json_t *job)
{
    const char *id = client_text(job, "id");
    struct buffer text = {0};
    out_field_state("status", client_slice(job, "status"));
    out_field("why", client_slice(job, "status_reason"));
    if (client_text(job, "next_attempt_at")[0] != '\0') {
        out_time(client_slice(job, "next_attempt_at"), &text);
        out_field("next attempt", buffer_slice(&text));
        buffer_reset(&text);
    }
    tell_error(job);
    if (json_is_true(json_object_get(job, "dead_letter"))) {
        out_field("what to do", slice_of(advice_for(job)));
        buffer_printf(&text, "longhaul dlq replay %s", id);
        out_field("", buffer_slice(&text));
        buffer_reset(&text);
        buffer_printf(&text, "longhaul dlq discard %s", id);
        out_field("", buffer_slice(&text));
    } else if (strcmp(client_text(job, "status"), "retrying") == 0) {
        out_field("what to do",
            slice_of("nothing: it is tried again by "
                     "itself"));
    } else if (strcmp(client_text(job, "status"), "succeeded") == 0) {
        buffer_printf(&text, "longhaul get %s --text", id);
        out_field("the answer", buffer_slice(&text));
    }
    buffer_clear(&text);
}

int
cmd_why(struct cli *cli)
{
    struct http_sync_reply reply = {0};
    json_t *job = NULL;
    int code;
    struct client *client = job_client(cli, &code);
    if (client == NULL)
        return code;
    code = client_get(client, &reply, &job, "/v1/jobs/%s", cli->argv[0]);
    if (code == CLI_OK && cli->args.json)
        out_write_line(buffer_slice(&reply.body));
    else if (code == CLI_OK)
        tell_why(job);
    json_decref(job);
    buffer_clear(&reply.body);
    client_free(client);
    return code;
}
