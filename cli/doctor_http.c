#include "cli/client.h"
#include "cli/doctor.h"

#define TIMEOUT_MS 8000

/* --- the server --- */

static void
report_not_ready(struct doctor *doctor, const struct http_sync_reply *reply)
{
    json_t *json = json_loadb(reply->body.data != NULL ? reply->body.data : "",
        reply->body.len, 0, NULL);
    const char *reason = client_text(json, "reason");
    doctor_report(doctor, DOCTOR_FAIL, "server", NULL, "not ready: %s",
        reason[0] != '\0' ? reason : "it does not say why");
    json_decref(json);
}

void
doctor_check_server(struct doctor *doctor)
{
    struct http_sync_reply reply = {0};
    int code;
    struct client *client = client_new(doctor->cli, &code);
    if (client == NULL)
        return;
    struct client_request request = {
        .path = "/readyz?verbose=1", .timeout_ms = TIMEOUT_MS, .quiet = true};
    code = client_call(client, &request, &reply);
    if (reply.end == HTTP_SYNC_OK && code == CLI_OK)
        doctor_report(doctor, DOCTOR_OK, "server", NULL, "ready at %s",
            client_url(client));
    else if (reply.end == HTTP_SYNC_OK && reply.status == 503)
        report_not_ready(doctor, &reply);
    else if (reply.end == HTTP_SYNC_OK)
        doctor_report(doctor, DOCTOR_FAIL, "server",
            "check LONGHAUL_URL or --url", "%s answers %u to /readyz",
            client_url(client), reply.status);
    else
        doctor_report(doctor, DOCTOR_WARN, "server",
            "start it with longhaul up, or set LONGHAUL_URL", "%s: %s",
            client_url(client), reply.detail);
    buffer_clear(&reply.body);
    client_free(client);
}
