#include "cli/client.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli/out.h"
#include "common/service/config.h"

#define CALL_TIMEOUT_MS 60000
#define ANSWER_MAX_BYTES (UINT64_C(1024) * 1024 * 1024)
#define DOCUMENT_MAX_BYTES (UINT64_C(256) * 1024 * 1024)

struct client {
    struct http_sync *http;
    char *url;
    char *model;
    struct buffer key_header; /* "x-api-key: ...", or empty */
};

struct client *
client_new(const struct cli *cli, int *exit_code)
{
    struct buffer errors = {0};
    char *no_words[] = {NULL};
    int none = 0;
    struct config *config = config_load(NULL, &none, no_words, &errors);
    if (config == NULL) {
        struct slice rest = buffer_slice(&errors);
        while (rest.len > 0) {
            struct slice line = slice_split(&rest, '\n');
            if (line.len > 0)
                out_say("%.*s", (int)line.len, line.data);
        }
        buffer_clear(&errors);
        *exit_code = CLI_USAGE;
        return NULL;
    }
    struct client *client = memory_zalloc(1, sizeof(*client));
    client->http =
        http_sync_new("longhaul/" LONGHAUL_VERSION, &cli_interrupted);
    client->url =
        memory_dup(cli->args.url != NULL ? cli->args.url : config->url);
    client->model = memory_dup(config->model);
    size_t len = strlen(client->url);
    if (len > 0 && client->url[len - 1] == '/')
        client->url[len - 1] = '\0';
    if (config->client_key != NULL)
        buffer_printf(&client->key_header, "x-api-key: %s", config->client_key);
    config_free(config);
    if (client->http != NULL)
        return client;
    out_say("libcurl cannot start");
    client_free(client);
    *exit_code = CLI_ERROR;
    return NULL;
}

void
client_free(struct client *client)
{
    if (client == NULL)
        return;
    http_sync_free(client->http);
    if (client->key_header.len > 0)
        explicit_bzero(client->key_header.data, client->key_header.len);
    buffer_clear(&client->key_header);
    memory_free(client->url);
    memory_free(client->model);
    memory_free(client);
}

const char *
client_url(const struct client *client)
{
    return client->url;
}

const char *
client_model(const struct client *client)
{
    return client->model;
}

/* --- what went wrong --- */

int
client_exit_of(unsigned status)
{
    if (status >= 200 && status < 300)
        return CLI_OK;
    switch (status) {
    case 401:
    case 403: return CLI_FORBIDDEN;
    case 404:
    case 410: return CLI_NOT_FOUND;
    case 429:
    case 502:
    case 503:
    case 504: return CLI_UNREACHABLE;
    default: return CLI_ERROR;
    }
}

/* What to do about it, or NULL. */
static const char *
advice_of(unsigned status, bool has_key)
{
    if (status == 401)
        return has_key ? "the key in LONGHAUL_API_KEY is not known there; "
                         "`longhaul keys new NAME` on the server makes one"
                       : "set LONGHAUL_API_KEY to a key that `longhaul keys "
                         "new NAME` made on the server";
    if (status == 403)
        return "the key lacks the scope for this; `longhaul keys new NAME "
               "--scopes submit,read,operate` makes one that has it";
    if (status == 429 || status == 503)
        return "nothing was lost; try again a little later";
    if (status >= 500)
        return "this is the server's side: see its log, or run `longhaul "
               "doctor` there";
    return NULL;
}

static int
explain_no_answer(
    const struct client *client, const struct http_sync_reply *reply)
{
    switch (reply->end) {
    case HTTP_SYNC_STOPPED: return CLI_INTERRUPTED;
    case HTTP_SYNC_BAD_URL:
        out_say("%s is not a web address (LONGHAUL_URL or --url)", client->url);
        return CLI_USAGE;
    case HTTP_SYNC_TOO_LARGE:
        out_say(
            "the answer of %s is larger than this program takes", client->url);
        return CLI_ERROR;
    case HTTP_SYNC_CUT:
        out_say("%s was reached, but did not answer: %s", client->url,
            reply->detail);
        out_tell("  whether it did what was asked is not known");
        return CLI_UNREACHABLE;
    case HTTP_SYNC_UNREACHABLE:
    case HTTP_SYNC_OK: break;
    }
    out_say("cannot reach %s: %s", client->url, reply->detail);
    out_tell("  is it running? `longhaul up` starts one here; LONGHAUL_URL "
             "or --url names another");
    return CLI_UNREACHABLE;
}

int
client_explain(const struct client *client, const struct http_sync_reply *reply)
{
    if (reply->end != HTTP_SYNC_OK)
        return explain_no_answer(client, reply);
    json_t *json = json_loadb(reply->body.data != NULL ? reply->body.data : "",
        reply->body.len, JSON_REJECT_DUPLICATES, NULL);
    const char *message =
        client_text(json_object_get(json, "error"), "message");
    const char *advice = advice_of(reply->status, client->key_header.len > 0);
    if (message[0] != '\0')
        out_say("%s", message);
    else
        out_say("%s answered %u, and not in the words of longhaul; is it "
                "a longhaul server?",
            client->url, reply->status);
    if (reply->retry_after[0] != '\0')
        out_tell("  try again in %s s", reply->retry_after);
    if (advice != NULL)
        out_tell("  %s", advice);
    if (reply->status >= 500 && reply->request_id[0] != '\0')
        out_tell("  request %s", reply->request_id);
    json_decref(json);
    return client_exit_of(reply->status);
}

/* --- calls --- */

static void
call(struct client *client, const struct client_request *request,
    struct http_sync_reply *reply)
{
    struct buffer url = {0};
    struct buffer idempotency = {0};
    struct buffer type = {0};
    const char *headers[4] = {NULL};
    size_t count = 0;
    bool stream = request->read_body != NULL || request->on_body != NULL;
    if (request->on_start != NULL)
        request->on_start(request->arg);
    buffer_printf(&url, "%s%s", client->url, request->path);
    if (client->key_header.len > 0)
        headers[count++] = client->key_header.data;
    if (request->body.len > 0 || request->read_body != NULL) {
        buffer_printf(&type, "content-type: %s",
            request->content_type != NULL ? request->content_type
                                          : "application/json");
        headers[count++] = type.data;
    }
    if (request->idempotency_key != NULL) {
        buffer_printf(
            &idempotency, "idempotency-key: %s", request->idempotency_key);
        headers[count++] = idempotency.data;
    }
    struct http_sync_request sent = {
        .method = request->method != NULL ? request->method : "GET",
        .url = url.data,
        .headers = headers,
        .body = request->body,
        .timeout_ms = request->timeout_ms > 0 ? request->timeout_ms
            : stream                          ? 0
                                              : CALL_TIMEOUT_MS,
        .max_answer_bytes = ANSWER_MAX_BYTES,
        .idle_timeout_ms = stream ? STREAM_IDLE_MS : 0,
        .read_body = request->read_body,
        .on_body = request->on_body,
        .on_tick = request->on_tick,
        .arg = request->arg};
    http_sync_call(client->http, &sent, reply);
    buffer_clear(&url);
    buffer_clear(&idempotency);
    buffer_clear(&type);
}

int
client_call(struct client *client, const struct client_request *request,
    struct http_sync_reply *reply)
{
    call(client, request, reply);
    if (reply->end == HTTP_SYNC_OK && client_exit_of(reply->status) == CLI_OK)
        return CLI_OK;
    if (!request->quiet)
        return client_explain(client, reply);
    if (reply->end == HTTP_SYNC_OK)
        return client_exit_of(reply->status);
    return reply->end == HTTP_SYNC_STOPPED ? CLI_INTERRUPTED : CLI_UNREACHABLE;
}

int
client_json(struct client *client, const struct client_request *request,
    struct http_sync_reply *reply, json_t **json)
{
    *json = NULL;
    int code = client_call(client, request, reply);
    if (code != CLI_OK)
        return code;
    if (reply->body.len > 0 && reply->body.len <= DOCUMENT_MAX_BYTES)
        *json = json_loadb(
            reply->body.data, reply->body.len, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_object(*json))
        return CLI_OK;
    json_decref(*json);
    *json = NULL;
    out_say("%s answered something that is not JSON; is it a longhaul "
            "server?",
        client->url);
    return CLI_ERROR;
}

int
client_show(struct cli *cli, const char *method, const char *path,
    void (*show)(const json_t *json))
{
    struct http_sync_reply reply = {0};
    json_t *json;
    int code;
    struct client *client = client_new(cli, &code);
    if (client == NULL)
        return code;
    struct client_request request = {.method = method, .path = path};
    code = client_json(client, &request, &reply, &json);
    if (code == CLI_OK && cli->args.json)
        out_write_line(buffer_slice(&reply.body));
    else if (code == CLI_OK)
        show(json);
    json_decref(json);
    buffer_clear(&reply.body);
    client_free(client);
    return code;
}

int
client_get(struct client *client, struct http_sync_reply *reply, json_t **json,
    const char *format, ...)
{
    char path[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(path, sizeof(path), format, args);
    va_end(args);
    struct client_request request = {.path = path};
    return client_json(client, &request, reply, json);
}

/* --- helpers --- */

void
client_encode(struct buffer *out, struct slice text)
{
    static const char safe[] = "abcdefghijklmnopqrstuvwxyz"
                               "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (c != '\0' && strchr(safe, c) != NULL)
            buffer_append_char(out, c);
        else
            buffer_printf(out, "%%%02X", (unsigned char)c);
    }
}

const char *
client_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

struct slice
client_slice(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_string(value))
        return SLICE_NULL;
    return slice_make(json_string_value(value), json_string_length(value));
}

uint64_t
client_count(const json_t *object, const char *key)
{
    json_int_t value = json_integer_value(json_object_get(object, key));
    return value > 0 ? (uint64_t)value : 0;
}
