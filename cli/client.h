#ifndef LH_CLI_CLIENT_H
#define LH_CLI_CLIENT_H

/*
 * client: the server as the commands see it: one call, one answer, and for
 * everything that is not a success one sentence on stderr (what happened,
 * whose side it is on, what to do next) and an exit code.
 */

#include <jansson.h>

#include "cli/cli.h"
#include "common/net/http_sync.h"

struct client;

/* Reads LONGHAUL_URL and LONGHAUL_API_KEY (or the file of settings); --url
 * goes first. NULL with *exit_code, said. */
struct client *client_new(const struct cli *cli, int *exit_code) MUST_CHECK;
void client_free(struct client *client);
const char *client_url(const struct client *client);
/* The model for those who name none, by the settings here. */
const char *client_model(const struct client *client);

struct client_request {
    const char *method; /* NULL: GET */
    const char *path; /* "/v1/jobs?limit=20" */
    struct slice body; /* JSON, or empty */
    const char *idempotency_key; /* or NULL */
    int64_t timeout_ms; /* 0: 60 s */
    bool quiet; /* says nothing about a failure */
    unsigned unsaid_status; /* bulk_call() says nothing about this one */
    /* Streams, as in http_sync.h; with read_body or on_body there is no
     * time limit but that something must move within STREAM_IDLE_MS. */
    const char *content_type; /* NULL: application/json */
    void (*on_start)(void *arg); /* before each call with this request */
    size_t (*read_body)(void *arg, char *out, size_t size);
    int (*on_body)(void *arg, struct slice part);
    void (*on_tick)(void *arg);
    void *arg;
};

#define STREAM_IDLE_MS 120000

/*
 * CLI_OK with a 2xx answer, else what the program should end with. *reply
 * is valid until the next call with it; the caller clears it.
 */
int client_call(struct client *client, const struct client_request *request,
    struct http_sync_reply *reply) MUST_CHECK;
/* The same, parsed; *json is the caller's to decref, NULL on failure. */
int client_json(struct client *client, const struct client_request *request,
    struct http_sync_reply *reply, json_t **json) MUST_CHECK;
/* GET with a format for the path; prints the body as it is with --json. */
int client_get(struct client *client, struct http_sync_reply *reply,
    json_t **json, const char *format, ...)
    __attribute__((format(printf, 4, 5), warn_unused_result));

/* One call, shown: its body as it is with --json, else by `show`. Returns the
 * exit code. */
int client_show(struct cli *cli, const char *method, const char *path,
    void (*show)(const json_t *json)) MUST_CHECK;

/* Says why the call failed, in the words of the server if it had any, and
 * gives the exit code. */
int client_explain(
    const struct client *client, const struct http_sync_reply *reply);
/* The exit code of an HTTP status. */
int client_exit_of(unsigned status);

/* A path segment or query value, percent-encoded. */
void client_encode(struct buffer *out, struct slice text);

/* Members of a JSON object, "" or 0 when absent or of another type. */
const char *client_text(const json_t *object, const char *key);
struct slice client_slice(const json_t *object, const char *key);
uint64_t client_count(const json_t *object, const char *key);

#endif
