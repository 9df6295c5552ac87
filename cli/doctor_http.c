#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/client.h"
#include "cli/doctor.h"
#include "common/service/config.h"

#define TIMEOUT_MS 8000
#define ANSWER_MAX_BYTES (UINT64_C(1) << 20)
#define KEY_MAX_BYTES 4096

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

/* --- Claude --- */

const char *
doctor_key_oddity(struct slice key)
{
    if (key.len == 0)
        return "it is empty";
    for (size_t i = 0; i < key.len; i++) {
        if (!isgraph((unsigned char)key.data[i]))
            return "it holds blanks, line ends or other bytes that no key has";
    }
    if (slice_starts_with(key, "sk-ant-oat"))
        return "it is an OAuth token, which is not an API key";
    if (!slice_starts_with(key, "sk-ant-"))
        return "keys of Claude's begin with sk-ant-";
    return key.len < 40 ? "it is shorter than keys are" : NULL;
}

/* The key itself, or of its file, into out. */
static int
find_key(struct doctor *doctor, struct buffer *out)
{
    const struct config *config = doctor->config;
    if (config->api_key != NULL) {
        buffer_append_text(out, config->api_key);
        return 0;
    }
    FILE *file = fopen(config->api_key_file, "re");
    if (file == NULL) {
        doctor_report(doctor, DOCTOR_FAIL, "key",
            "make the file readable for this user", "%s: %s",
            config->api_key_file, strerrordesc_np(errno));
        return -1;
    }
    char *at = buffer_reserve(out, KEY_MAX_BYTES);
    out->len += fread(at, 1, KEY_MAX_BYTES, file);
    fclose(file);
    while (out->len > 0 && isspace((unsigned char)out->data[out->len - 1]))
        out->len--;
    return 0;
}

static void
report_answer(struct doctor *doctor, const struct http_sync_reply *reply)
{
    const char *url = doctor->config->base_url;
    if (reply->end != HTTP_SYNC_OK)
        doctor_report(doctor, DOCTOR_FAIL, "upstream",
            "check the network, the proxy or ANTHROPIC_BASE_URL; jobs wait "
            "meanwhile",
            "%s: %s", url, reply->detail);
    else if (reply->status == 401 || reply->status == 403)
        doctor_report(doctor, DOCTOR_FAIL, "upstream",
            "set a valid ANTHROPIC_API_KEY; work goes on by itself",
            "%s does not accept the key (%u)", url, reply->status);
    else if (reply->status >= 200 && reply->status < 300)
        doctor_report(
            doctor, DOCTOR_OK, "upstream", NULL, "%s accepts the key", url);
    else
        doctor_report(doctor, DOCTOR_WARN, "upstream",
            "it may pass; gateways need not have this path",
            "%s answers %u to the list of models", url, reply->status);
}

/* The list of models costs nothing and wants a valid key. */
static void
ask_upstream(struct doctor *doctor, const char *key)
{
    struct buffer url = {0};
    struct buffer header = {0};
    struct http_sync_reply reply = {0};
    struct http_sync *http =
        http_sync_new("longhaul/" LONGHAUL_VERSION, &cli_interrupted);
    if (http == NULL)
        return;
    buffer_printf(&url, "%s/v1/models?limit=1", doctor->config->base_url);
    buffer_printf(&header, "x-api-key: %s", key);
    const char *headers[] = {
        header.data, "anthropic-version: 2023-06-01", NULL};
    struct http_sync_request request = {.method = "GET",
        .url = url.data,
        .headers = headers,
        .timeout_ms = TIMEOUT_MS,
        .max_answer_bytes = ANSWER_MAX_BYTES};
    http_sync_call(http, &request, &reply);
    report_answer(doctor, &reply);
    explicit_bzero(header.data, header.len);
    buffer_clear(&header);
    buffer_clear(&url);
    buffer_clear(&reply.body);
    http_sync_free(http);
}

void
doctor_check_upstream(struct doctor *doctor)
{
    const struct config *config = doctor->config;
    struct buffer key = {0};
    if (config->api_key == NULL && config->api_key_file == NULL) {
        doctor_report(doctor, DOCTOR_WARN, "key",
            "set ANTHROPIC_API_KEY or ANTHROPIC_API_KEY_FILE to ask Claude",
            "there is none: longhaul up simulates");
        return;
    }
    if (find_key(doctor, &key) != 0)
        return;
    bool claude = strcmp(config->base_url, "https://api.anthropic.com") == 0;
    const char *oddity = doctor_key_oddity(buffer_slice(&key));
    if (oddity != NULL && claude)
        doctor_report(doctor, DOCTOR_WARN, "key",
            "compare it with the one in the Claude console",
            "the API key looks odd: %s", oddity);
    else
        doctor_report(
            doctor, DOCTOR_OK, "key", NULL, "set, %zu characters", key.len);
    if (key.len > 0 && memchr(key.data, '\n', key.len) == NULL) {
        buffer_append_text(&key, "");
        ask_upstream(doctor, key.data);
    }
    if (key.data != NULL)
        explicit_bzero(key.data, key.len);
    buffer_clear(&key);
}
