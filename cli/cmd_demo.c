#include <string.h>

#include "cli/job.h"
#include "cli/out.h"
#include "common/base/clock.h"
#include "common/base/id.h"

/*
 * The first job of a new simulated installation, through the same API that
 * everybody uses. `up` starts it as a program of its own.
 */

#define WAIT_MS 60000

static const char demo_body[] =
    "{\"model\":\"claude-sonnet-5-5\",\"max_tokens\":200,"
    "\"longhaul\":{\"lane\":\"interactive\",\"tags\":[\"demo\"]},"
    "\"messages\":[{\"role\":\"user\",\"content\":"
    "\"Summarise in two sentences: The depot in Rotterdam received 412 "
    "pallets on Monday, 30 of them damaged by rain. The carrier has accepted "
    "the claim and sends replacements on Thursday. Until then the two largest "
    "customers are served from the depot in Gent, which has stock for nine "
    "days. Nobody has to be called in at the weekend.\"}]}";

static void
tell_job(struct client *client, const json_t *job)
{
    const char *id = client_text(job, "id");
    struct http_sync_reply reply = {0};
    struct buffer text = {0};
    json_t *message;
    if (client_get(client, &reply, &message, "/v1/jobs/%s/result", id) ==
        CLI_OK)
        job_text(message, &text);
    out_tell("first job   %s  %s%s%s  (simulated)", id, "",
        client_text(job, "status"), "");
    if (text.len > 0)
        out_tell("            %s", text.data);
    json_decref(message);
    buffer_clear(&text);
    buffer_clear(&reply.body);
}

int
cmd_demo(struct cli *cli)
{
    struct http_sync_reply reply = {0};
    json_t *job = NULL;
    char id[ID_SIZE];
    int code;
    struct client *client = client_new(cli, &code);
    if (client == NULL)
        return code;
    struct client_request request = {.method = "POST",
        .path = "/v1/jobs",
        .body = slice_make(demo_body, sizeof(demo_body) - 1),
        .idempotency_key = "longhaul-demo"};
    code = client_json(client, &request, &reply, &job);
    if (code == CLI_OK && job_id_ok(client_text(job, "id"))) {
        text_copy(id, sizeof(id), client_slice(job, "id"));
        json_decref(job);
        job = NULL;
        code = job_wait(client, id, clock_mono_ms() + WAIT_MS, &reply, &job);
    }
    if (code == CLI_OK)
        tell_job(client, job);
    json_decref(job);
    buffer_clear(&reply.body);
    client_free(client);
    return code;
}
