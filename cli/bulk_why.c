#include <stdio.h>
#include <string.h>

#include "cli/bulk_run.h"

/* Nobody waits longer for an explanation. */
#define TIMEOUT_MS 5000

/* "queued: 37 jobs ahead in its queue; pool default is paused until ...":
 * what holds it back says more than its place. */
static struct slice
cause_of(struct slice reason)
{
    static const char mark[] = "; ";
    const char *at = memmem(reason.data, reason.len, mark, sizeof(mark) - 1);
    if (at == NULL)
        return reason;
    at += sizeof(mark) - 1;
    return slice_make(at, (size_t)(reason.data + reason.len - at));
}

void
bulk_why(struct client *client, const char *batch, struct buffer *out)
{
    struct http_sync_reply reply = {0};
    char path[160];
    json_t *json = NULL;
    snprintf(path, sizeof(path),
        "/v1/jobs?batch=%s&status=queued,retrying&limit=1", batch);
    struct client_request request = {
        .path = path, .quiet = true, .timeout_ms = TIMEOUT_MS};
    int code = client_json(client, &request, &reply, &json);
    const json_t *job = json_array_get(json_object_get(json, "data"), 0);
    struct slice reason = client_slice(job, "status_reason");
    if (code == CLI_OK && reason.len > 0)
        buffer_append_slice(out, cause_of(reason));
    json_decref(json);
    buffer_clear(&reply.body);
}
