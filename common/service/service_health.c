#include <string.h>
#include <time.h>

#include "common/queue/queue.h"
#include "common/service/config.h"
#include "common/service/keys.h"
#include "common/service/metrics.h"
#include "common/service/service_private.h"
#include "common/store/store.h"

#define TEXT_JSON "application/json"
#define TEXT_METRICS "text/plain; version=0.0.4; charset=utf-8"

static const struct metric_family build_info = {.name = "longhaul_build_info",
    .help = "1, with the version as label.",
    .kind = METRIC_GAUGE,
    .labels = {"version"}};
static const struct metric_family up_since = {
    .name = "longhaul_up_since_timestamp_seconds",
    .help = "When this process started.",
    .kind = METRIC_GAUGE};
static const struct metric_family process_rss = {
    .name = "process_resident_memory_bytes",
    .help = "Resident memory.",
    .kind = METRIC_GAUGE};
static const struct metric_family process_cpu = {
    .name = "process_cpu_seconds_total",
    .help = "User and system time.",
    .kind = METRIC_COUNTER};
static const struct metric_family http_connections = {
    .name = "longhaul_http_connections",
    .help = "Open connections.",
    .kind = METRIC_GAUGE};
static const struct metric_family http_in_flight = {
    .name = "longhaul_http_requests_in_flight",
    .help = "Requests without an answer yet.",
    .kind = METRIC_GAUGE};
static const struct metric_family http_refused = {
    .name = "longhaul_http_connections_rejected_total",
    .help = "Connections closed for framing, deadline or rate.",
    .kind = METRIC_COUNTER};
static const struct metric_family ready_gauge = {.name = "longhaul_ready",
    .help = "1 when /readyz says so.",
    .kind = METRIC_GAUGE};

/* --- what readiness consists of --- */

static const char *
check_draining(const struct service *service)
{
    return service->draining ? "the program is shutting down" : NULL;
}

static const char *
check_redis(const struct service *service)
{
    if (service->redis == NULL ||
        redis_get_state(service->redis) == REDIS_READY)
        return NULL;
    const char *reason = redis_state_reason(service->redis);
    return reason[0] != '\0' ? reason : "Redis is not connected yet";
}

static const char *
check_marker(const struct service *service)
{
    return service->redis == NULL ? NULL : service_marker_problem(service);
}

static const struct {
    const char *name;
    const char *(*check)(const struct service *service);
} common_checks[] = {{"running", check_draining}, {"redis", check_redis},
    {"installation", check_marker}};
#define COMMON_CHECKS (sizeof(common_checks) / sizeof(common_checks[0]))

/* Check i: 0 when there is none. */
static int
run_check(
    struct service *service, size_t i, const char **name, const char **problem)
{
    const struct service_hooks *own = &service->state->checks;
    if (i < COMMON_CHECKS) {
        *name = common_checks[i].name;
        *problem = common_checks[i].check(service);
        return 1;
    }
    i -= COMMON_CHECKS;
    if (i >= own->count)
        return 0;
    *name = own->hooks[i].name;
    *problem = own->hooks[i].check(own->hooks[i].arg);
    return 1;
}

static const char *
first_problem(struct service *service, size_t i)
{
    const char *name;
    const char *problem = NULL;
    while (problem == NULL && run_check(service, i, &name, &problem))
        i++;
    return problem;
}

const char *
service_not_ready(struct service *service)
{
    return first_problem(service, 0);
}

const char *
service_cannot_serve(struct service *service)
{
    return first_problem(service, 1); /* behind check_draining */
}

/* --- routes --- */

static void
handle_livez(struct http_request *req, void *program)
{
    static const char body[] = "{\"status\":\"alive\"}\n";
    (void)program;
    http_reply(req, 200, TEXT_JSON, body, sizeof(body) - 1);
}

static void
append_checks(struct service *service, struct buffer *out)
{
    const char *name;
    const char *problem;
    buffer_append_text(out, ",\"checks\":[");
    for (size_t i = 0; run_check(service, i, &name, &problem); i++) {
        buffer_append_text(out, i > 0 ? ",{\"name\":" : "{\"name\":");
        buffer_append_json(out, slice_of(name));
        buffer_append_text(
            out, problem == NULL ? ",\"ok\":true" : ",\"ok\":false");
        if (problem != NULL) {
            buffer_append_text(out, ",\"reason\":");
            buffer_append_json(out, slice_of(problem));
        }
        buffer_append_char(out, '}');
    }
    buffer_append_char(out, ']');
}

static void
handle_readyz(struct http_request *req, void *program)
{
    struct service *service = program;
    const char *problem = service_not_ready(service);
    struct buffer body = {0};
    char value[8];
    bool verbose = http_query_get(http_request_head(req)->query, "verbose",
                       value, sizeof(value)) == 1;
    buffer_append_text(&body,
        problem == NULL ? "{\"status\":\"ready\""
                        : "{\"status\":\"not_ready\",\"reason\":");
    if (problem != NULL)
        buffer_append_json(&body, slice_of(problem));
    if (verbose)
        append_checks(service, &body);
    buffer_append_text(&body, "}\n");
    if (problem != NULL)
        http_reply_header(req, "Retry-After", "1");
    http_reply_buffer(req, problem == NULL ? 200 : 503, TEXT_JSON, &body);
    buffer_clear(&body);
}

static void
set_gauges(struct service *service)
{
    struct metrics *metrics = service->metrics;
    static const char *const version[] = {LONGHAUL_VERSION};
    struct http_server_stats stats;
    http_server_get_stats(service->http, &stats);
    metrics_set(metrics, &build_info, version, 1);
    metrics_set(metrics, &up_since, NULL, service->state->started_s);
    metrics_set(metrics, &process_rss, NULL, service_process_rss_bytes());
    metrics_set(metrics, &process_cpu, NULL, service_process_cpu_s());
    metrics_set(metrics, &http_connections, NULL, stats.connections);
    metrics_set(metrics, &http_in_flight, NULL, stats.requests_in_flight);
    metrics_set(metrics, &http_refused, NULL, (double)stats.rejected);
    metrics_set(metrics, &ready_gauge, NULL,
        service_not_ready(service) == NULL ? 1 : 0);
}

void
service_render_metrics(struct service *service, struct buffer *out)
{
    const struct service_hooks *hooks = &service->state->scrape_hooks;
    for (size_t i = 0; i < hooks->count; i++)
        hooks->hooks[i].run(hooks->hooks[i].arg);
    set_gauges(service);
    metrics_render(service->metrics, out);
}

static void
handle_metrics(struct http_request *req, void *program)
{
    struct buffer body = {0};
    service_render_metrics(program, &body);
    http_reply_buffer(req, 200, TEXT_METRICS, &body);
    buffer_clear(&body);
}

const struct http_route service_routes[] = {{.method = "GET",
                                                .path = "/livez",
                                                .flags = HTTP_ROUTE_OPEN,
                                                .handle = handle_livez},
    {.method = "GET",
        .path = "/readyz",
        .flags = HTTP_ROUTE_OPEN,
        .handle = handle_readyz},
    {.method = "GET",
        .path = "/metrics",
        .scope = KEYS_SCOPE_READ,
        .handle = handle_metrics},
    {.method = NULL}};
