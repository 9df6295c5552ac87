#include <string.h>

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

/* --- what holds jobs back ------------------------------------------------- */

static void
report_hold(struct doctor *doctor, const json_t *hold)
{
    bool by_hand = strcmp(client_text(hold, "kind"), "stopped") == 0;
    bool account = strcmp(client_text(hold, "kind"), "paused") == 0;
    doctor_report(doctor, account ? DOCTOR_FAIL : DOCTOR_WARN, "held back",
        by_hand       ? "longhaul pools resume, longhaul lanes resume"
            : account ? "mend the cause; then it goes on by itself, or "
                        "longhaul pools resume"
                      : "it passes by itself",
        "%s", client_text(hold, "text"));
}

static size_t
report_holds(struct doctor *doctor, struct client *client, const char *path)
{
    struct http_sync_reply reply = {0};
    struct client_request request = {
        .path = path, .timeout_ms = TIMEOUT_MS, .quiet = true};
    json_t *list = NULL;
    size_t count = 0;
    int code = client_json(client, &request, &reply, &list);
    const json_t *data = json_object_get(list, "data");
    for (size_t i = 0; code == CLI_OK && i < json_array_size(data); i++) {
        const json_t *holds = json_object_get(json_array_get(data, i), "holds");
        for (size_t k = 0; k < json_array_size(holds); k++, count++)
            report_hold(doctor, json_array_get(holds, k));
    }
    json_decref(list);
    buffer_clear(&reply.body);
    return code == CLI_OK ? count : 1; /* it may not ask: nothing is known */
}

void
doctor_check_holds(struct doctor *doctor)
{
    int code;
    struct client *client = client_new(doctor->cli, &code);
    if (client == NULL)
        return;
    if (report_holds(doctor, client, "/v1/pools") +
            report_holds(doctor, client, "/v1/lanes") ==
        0)
        doctor_report(
            doctor, DOCTOR_OK, "held back", NULL, "no pool, model or lane is");
    client_free(client);
}
