#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/base/log.h"
#include "common/service/config.h"
#include "common/service/keys.h"
#include "common/service/metrics.h"
#include "common/service/service_private.h"

static const struct metric_family http_requests = {
    .name = "longhaul_http_requests_total",
    .help = "Answers by route, method and status code.",
    .kind = METRIC_COUNTER,
    .labels = {"route", "method", "code"}};
static const struct metric_family http_seconds = {
    .name = "longhaul_http_request_seconds",
    .help = "Time from a request's head to its answer.",
    .kind = METRIC_HISTOGRAM,
    .labels = {"route"}};

/* Without brackets and port: "::1" of "[::1]:8080". */
static struct slice
host_part(struct slice host)
{
    if (host.len > 0 && host.data[0] == '[') {
        const char *end = memchr(host.data, ']', host.len);
        if (end != NULL)
            return slice_make(host.data + 1, (size_t)(end - host.data) - 1);
        return host;
    }
    const char *colon = host.len > 0 ? memchr(host.data, ':', host.len) : NULL;
    if (colon != NULL)
        host.len = (size_t)(colon - host.data);
    return host;
}

static bool
host_is_loopback(struct slice host)
{
    if (slice_equal_nocase(host, "localhost") || slice_equal_text(host, "::1"))
        return true;
    /* 127.a.b.c, and no name that merely begins so */
    if (!slice_starts_with(host, "127."))
        return false;
    for (size_t i = 0; i < host.len; i++) {
        if (host.data[i] != '.' && (host.data[i] < '0' || host.data[i] > '9'))
            return false;
    }
    return true;
}

struct slice
service_address_host(const char *address)
{
    const char *colon = strrchr(address, ':');
    if (strncmp(address, "unix:", 5) == 0 || colon == NULL)
        return SLICE_NULL;
    struct slice host = slice_make(address, (size_t)(colon - address));
    if (host.len >= 2 && host.data[0] == '[')
        host = slice_make(host.data + 1, host.len - 2);
    return host;
}

bool
service_address_is_loopback(const char *address)
{
    struct slice host = service_address_host(address);
    return host.len == 0 || host_is_loopback(host);
}

int
service_check_listen(
    const char *address, const struct keys *keys, struct buffer *errors)
{
    if (keys_required(keys) || service_address_is_loopback(address))
        return 0;
    buffer_printf(errors,
        "refusing to listen on %s without keys: everybody who can reach it "
        "could use it. Set keys_file (longhaul keys new makes keys), or "
        "listen on 127.0.0.1\n",
        address);
    return -1;
}

static bool
nocase_equal(struct slice a, struct slice b)
{
    return a.len == b.len && strncasecmp(a.data, b.data, a.len) == 0;
}

/* An entry with a port wants that port, one without takes every port. */
static bool
entry_allows(struct slice entry, struct slice host)
{
    return entry.len > 0 &&
        (nocase_equal(entry, host) || nocase_equal(entry, host_part(host)));
}

static bool
host_allowed(void *arg, struct slice host)
{
    struct service *service = arg;
    const struct config *config = service->config;
    struct slice name = host_part(host);
    if (name.len == 0)
        return false;
    if (host_is_loopback(name) ||
        entry_allows(slice_of(service->state->listen_host), host))
        return true;
    if (config->public_url != NULL) {
        struct slice origin = slice_of(strstr(config->public_url, "//") + 2);
        if (nocase_equal(host_part(slice_split(&origin, '/')), name))
            return true;
    }
    struct slice rest = slice_of(config->allowed_hosts);
    while (rest.len > 0) {
        if (entry_allows(slice_split(&rest, ' '), host))
            return true;
    }
    return false;
}

static bool
origin_allowed(void *arg, struct slice origin)
{
    struct service *service = arg;
    struct slice rest = slice_of(service->config->cors_origins);
    while (rest.len > 0) {
        struct slice entry = slice_split(&rest, ' ');
        if (entry.len > 0 && slice_equal(entry, origin))
            return true;
    }
    return false;
}

static int
authorise(void *arg, const struct http_head *head, unsigned scope,
    const void **identity, const char **message)
{
    struct service *service = arg;
    return keys_authorise(service->keys, head, scope, identity, message);
}

/* Methods come from outside; label values are few. */
static const char *
method_label(const char *method)
{
    static const char *const known[] = {
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (method != NULL && strcmp(method, known[i]) == 0)
            return known[i];
    }
    return "other";
}

static void
on_answer(void *arg, const char *method, const char *route, unsigned status,
    int64_t duration_us, uint64_t body_bytes)
{
    struct service *service = arg;
    char code[TEXT_I64_SIZE];
    if (route == NULL)
        route = "unknown";
    (void)text_i64(status, code);
    const char *values[] = {route, method_label(method), code};
    metrics_add(service->metrics, &http_requests, values, 1);
    metrics_observe(
        service->metrics, &http_seconds, values, (double)duration_us / 1e6);
    log_debug("answered", LOG_TEXT("route", route),
        LOG_TEXT("method", values[1]), LOG_INT("status", status),
        LOG_INT("duration_us", duration_us), LOG_INT("body_bytes", body_bytes));
}

struct http_hooks
service_access_hooks(struct service *service)
{
    return (struct http_hooks){.arg = service,
        .authorise = authorise,
        .host_allowed = host_allowed,
        .origin_allowed =
            service->config->cors_origins != NULL ? origin_allowed : NULL,
        .on_answer = on_answer};
}
