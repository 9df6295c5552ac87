/* The doctor's questions about upstreams and their keys. */

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/client.h"
#include "cli/doctor.h"
#include "common/service/api_key.h"
#include "common/service/config.h"

#define TIMEOUT_MS 8000
#define ANSWER_MAX_BYTES (UINT64_C(1) << 20)
#define KEY_MAX_BYTES 4096

/* The key itself, or of its file, into out. */
static int
find_key(
    struct doctor *doctor, const struct config_pool *pool, struct buffer *out)
{
    if (pool->api_key != NULL) {
        buffer_append_text(out, pool->api_key);
        return 0;
    }
    FILE *file = fopen(pool->api_key_file, "re");
    if (file == NULL) {
        doctor_report(doctor, DOCTOR_FAIL, "key",
            "make the file readable for this user", "%s: %s",
            pool->api_key_file, strerrordesc_np(errno));
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
report_answer(struct doctor *doctor, const struct config_pool *pool,
    const struct http_sync_reply *reply)
{
    const char *url = pool->base_url;
    if (reply->end != HTTP_SYNC_OK)
        doctor_report(doctor, DOCTOR_FAIL, "upstream",
            "check the network, the proxy or ANTHROPIC_BASE_URL; jobs wait "
            "meanwhile",
            "%s: %s", url, reply->detail);
    else if (reply->status == 401 || reply->status == 403)
        doctor_report(doctor, DOCTOR_FAIL, "upstream",
            "set a valid key; work goes on by itself when its file changes",
            "%s does not accept the key of pool %s (%u)", url, pool->name,
            reply->status);
    else if (reply->status >= 200 && reply->status < 300)
        doctor_report(doctor, DOCTOR_OK, "upstream", NULL,
            "%s accepts the key of pool %s", url, pool->name);
    else
        doctor_report(doctor, DOCTOR_WARN, "upstream",
            "it may pass; gateways need not have this path",
            "%s answers %u to the list of models", url, reply->status);
}

/* The list of models costs nothing and wants a valid key. */
static void
ask_upstream(
    struct doctor *doctor, const struct config_pool *pool, const char *key)
{
    bool bearer = pool->auth != NULL && strcmp(pool->auth, "bearer") == 0;
    struct buffer url = {0};
    struct buffer header = {0};
    struct http_sync_reply reply = {0};
    struct http_sync *http =
        http_sync_new("longhaul/" LONGHAUL_VERSION, &cli_interrupted);
    if (http == NULL)
        return;
    buffer_printf(&url, "%s/v1/models?limit=1", pool->base_url);
    buffer_printf(
        &header, bearer ? "authorization: Bearer %s" : "x-api-key: %s", key);
    const char *headers[] = {
        header.data, "anthropic-version: 2023-06-01", NULL};
    struct http_sync_request request = {.method = "GET",
        .url = url.data,
        .headers = headers,
        .timeout_ms = TIMEOUT_MS,
        .max_answer_bytes = ANSWER_MAX_BYTES};
    http_sync_call(http, &request, &reply);
    report_answer(doctor, pool, &reply);
    explicit_bzero(header.data, header.len);
    buffer_clear(&header);
    buffer_clear(&url);
    buffer_clear(&reply.body);
    http_sync_free(http);
}

static void
check_key(
    struct doctor *doctor, const struct config_pool *pool, struct slice key)
{
    const char *oddity = api_key_oddity(key);
    if (oddity != NULL && api_key_is_claudes(pool->base_url))
        doctor_report(doctor, DOCTOR_WARN, "key",
            "compare it with the one in the Claude console",
            "the API key of pool %s looks odd: %s", pool->name, oddity);
    else
        doctor_report(doctor, DOCTOR_OK, "key", NULL,
            "pool %s: set, %zu characters", pool->name, key.len);
}

static void
check_pool(struct doctor *doctor, const struct config_pool *pool)
{
    struct buffer key = {0};
    if (pool->api_key == NULL && pool->api_key_file == NULL) {
        doctor_report(doctor, DOCTOR_WARN, "key",
            "set ANTHROPIC_API_KEY or ANTHROPIC_API_KEY_FILE, or a pool's "
            "api_key_file, to ask Claude",
            "pool %s has none: longhaul up simulates without any", pool->name);
        return;
    }
    if (find_key(doctor, pool, &key) != 0)
        return;
    check_key(doctor, pool, buffer_slice(&key));
    if (key.len > 0 && memchr(key.data, '\n', key.len) == NULL) {
        buffer_append_text(&key, "");
        ask_upstream(doctor, pool, key.data);
    }
    if (key.data != NULL)
        explicit_bzero(key.data, key.len);
    buffer_clear(&key);
}

void
doctor_check_upstream(struct doctor *doctor)
{
    const struct config *config = doctor->config;
    for (size_t i = 0; i < config->pool_count; i++)
        check_pool(doctor, config->pools[i]);
}
