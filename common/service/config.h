#ifndef LH_SERVICE_CONFIG_H
#define LH_SERVICE_CONFIG_H

/*
 * config: every setting of every program in one table (config_options[]):
 * name in the file, environment variable, flag, kind, default, bounds, and
 * one line of help. Help texts, `config show` and docs/configuration.md are
 * made from it. Precedence: flag > environment > file > default. Unknown
 * keys are errors, with a suggestion; all errors are told, not the first.
 */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/base/buffer.h"

/* One upstream: a [pool NAME] section of the file, or the settings outside of
 * any, which are the pool "default". */
struct config_pool {
    char *name;
    char *base_url;
    char *api_key; /* of the pool "default" alone; never shown */
    char *api_key_file; /* or NULL */
    char *auth; /* how the key is sent: "x-api-key" or "bearer" */
    char *version; /* anthropic-version for jobs that name none, or NULL */
    char *models; /* models or buckets that it serves; NULL: all */
    uint64_t weight;
    uint64_t limit_rpm;
    uint64_t limit_itpm;
    uint64_t limit_otpm;
    uint64_t limit_percent;
};
#define CONFIG_POOLS_MAX 32
#define CONFIG_POOL_DEFAULT "default"
#define CONFIG_POOL_NAME_MAX 40

/* A [route NAME] section: jobs that fit all that is set go to another model. */
struct config_route {
    char *name;
    char *to; /* the model; NULL: none was set, which is an error */
    char *from; /* models or buckets, separated by blanks; NULL: any */
    char *lanes; /* NULL: any */
    char *tags; /* one of them; NULL: any or none */
    uint64_t min_prompt_tokens; /* about, as estimated from the text */
    uint64_t max_prompt_tokens;
};
#define CONFIG_ROUTES_MAX 32

struct config {
    /* upstream */
    char *api_key; /* the key's text; never shown */
    char *api_key_file; /* or NULL; re-read when it changes */
    char *base_url; /* https://api.anthropic.com */
    char *ca_file; /* PEM; NULL: the system's certificates */
    bool simulated; /* results are marked as simulated */
    char *job_header; /* name of a header that carries the job id, or NULL */
    size_t pool_count; /* at least one */
    struct config_pool *pools[CONFIG_POOLS_MAX];
    size_t route_count;
    struct config_route *routes[CONFIG_ROUTES_MAX]; /* the first that fits */
    /* stores */
    char *redis_url;
    char *redis_password_file;
    char *store_url;
    /* servers */
    char *submitter_listen;
    char *status_listen;
    char *serve_listen;
    char *worker_listen; /* metrics and health of a worker */
    char *public_url; /* NULL: from the listen address */
    char *keys_file;
    char *cors_origins; /* space-separated, NULL: none */
    char *allowed_hosts; /* more Host values, space-separated */
    uint64_t max_connections;
    uint64_t max_body_bytes;
    int64_t header_deadline_ms;
    /* work */
    uint64_t worker_concurrency;
    uint64_t worker_memory_bytes; /* of requests in hand */
    char *model;
    char *fallback_models; /* space-separated, NULL: none */
    char *fallback_on; /* "rate_limit", NULL: outage and overload only */
    uint64_t limit_rpm;
    uint64_t limit_itpm;
    uint64_t limit_otpm;
    uint64_t limit_percent; /* of the limits that is used */
    int64_t grace_ms; /* shutdown: for calls in flight */
    uint64_t stream_above_tokens; /* stream the answer when max_tokens >= */
    uint64_t max_answer_bytes;
    uint64_t retry_base_ms;
    uint64_t retry_cap_ms;
    uint64_t max_attempts;
    /* admission and retention */
    uint64_t max_queued_jobs;
    uint64_t max_queued_bytes; /* 0: half of maxmemory, or 2 GiB */
    int64_t retention_ms;
    int64_t dead_letter_retention_ms; /* 0: until discarded */
    bool accept_empty_redis;
    /* client */
    char *url;
    char *client_key;
};

/*
 * Reads defaults, the file (path, or NULL: LONGHAUL_CONFIG, else
 * ./longhaul.conf if it exists), the environment and `flags` ("--name
 * value" or "--name=value" pairs of argv that name options; what is not an
 * option is left in argv, *argc is adjusted). Returns NULL with every error,
 * a line each, in *errors. Secrets in the environment are read and then
 * unset.
 */
struct config *config_load(
    const char *path, int *argc, char **argv, struct buffer *errors) MUST_CHECK;
void config_free(struct config *config);
/* Wipes the keys of upstreams from memory. */
void config_forget_keys(struct config *config);
/* Effective values; with `origin` where each came from. Secrets show as
 * "<set, N characters>". json: one object. */
void config_show(
    const struct config *config, bool origin, bool json, struct buffer *out);
/* The option table as help text for a program's --help. */
void config_help(const char *program, struct buffer *out);
/* The option tables as the Markdown of docs/configuration.md. */
void config_document(struct buffer *out);
void config_document_pools(struct buffer *out);
void config_document_routes(struct buffer *out);

#endif
