#include "common/net/http_server.h"

#include <assert.h>
#include <signal.h>

#include "common/base/clock.h"
#include "common/net/http_server_impl.h"

#define TICK_MIN_MS 5
#define TICK_MAX_MS 250
/* How many idle connections are looked at for one that has asked nothing. */
#define EVICT_TRIES 16

static const struct http_limits default_limits = {
    .max_connections = 10000,
    .header_deadline_ms = 10000,
    .idle_timeout_ms = 75000,
    .body_grace_ms = 5000,
    .body_min_bytes_per_s = 1024,
    .write_stall_ms = 30000,
    .max_write_bytes = 256 * 1024,
    .half_close_ms = 1000,
    .linger_ms = 1000,
};

#define TAKE_LIMIT(name) \
    if (limits->name != 0) \
    out->name = limits->name

static void
take_limits(struct http_limits *out, const struct http_limits *limits)
{
    *out = default_limits;
    if (limits == NULL)
        return;
    TAKE_LIMIT(max_connections);
    TAKE_LIMIT(header_deadline_ms);
    TAKE_LIMIT(idle_timeout_ms);
    TAKE_LIMIT(body_grace_ms);
    TAKE_LIMIT(body_min_bytes_per_s);
    TAKE_LIMIT(write_stall_ms);
    TAKE_LIMIT(max_write_bytes);
    TAKE_LIMIT(half_close_ms);
    TAKE_LIMIT(linger_ms);
}

/* A quarter of the shortest deadline, so that all are met within 25 %. */
static struct timeval
tick_interval(const struct http_limits *limits)
{
    const int64_t spans[] = {limits->header_deadline_ms,
        limits->idle_timeout_ms, limits->body_grace_ms, limits->write_stall_ms,
        limits->half_close_ms, limits->linger_ms};
    int64_t ms = TICK_MAX_MS;

    for (size_t i = 0; i < sizeof(spans) / sizeof(spans[0]); i++) {
        if (spans[i] / 4 < ms)
            ms = spans[i] / 4;
    }
    if (ms < TICK_MIN_MS)
        ms = TICK_MIN_MS;
    return (struct timeval){ms / 1000, ms % 1000 * 1000};
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct http_server *server = arg;
    struct http_conn *conn, *next;
    int64_t now = clock_mono_ms();

    (void)fd;
    (void)what;
    server->depth++;
    for (conn = TAILQ_FIRST(&server->busy); conn != NULL; conn = next) {
        next = TAILQ_NEXT(conn, link);
        http_conn_tick(conn, now);
    }
    while (
        (conn = TAILQ_FIRST(&server->idle)) != NULL && now >= conn->deadline_ms)
        http_conn_kill(conn);
    server->depth--;
    if (server->stats.connections == 0) {
        event_del(&server->tick);
        server->ticking = false;
    }
}

static void
free_dead(struct http_server *server)
{
    struct http_conn *conn;

    while ((conn = TAILQ_FIRST(&server->dead)) != NULL) {
        TAILQ_REMOVE(&server->dead, conn, link);
        http_conn_free(conn);
    }
}

static void
on_run(evutil_socket_t fd, short what, void *arg)
{
    struct http_server *server = arg;
    struct http_conn_list now;
    struct http_conn *conn;
    void (*on_drained)(void *) = NULL;

    (void)fd;
    (void)what;
    server->depth++;
    /* What is scheduled meanwhile has to wait for the next turn, so that a
     * busy connection cannot keep the loop from its other events. */
    TAILQ_INIT(&now);
    TAILQ_CONCAT(&now, &server->runs, run);
    while ((conn = TAILQ_FIRST(&now)) != NULL) {
        TAILQ_REMOVE(&now, conn, run);
        conn->queued = false;
        if (conn->state != CONN_DEAD)
            http_conn_settle(conn);
    }
    free_dead(server);
    server->depth--;
    if (server->draining && server->stats.connections == 0) {
        on_drained = server->on_drained;
        server->on_drained = NULL;
    }
    /* Last, because it may free the server. */
    if (on_drained != NULL)
        on_drained(server->drained_arg);
}

void
http_server_wake(struct http_server *server)
{
    const struct timeval at_once = {0, 0};

    if (!evtimer_pending(&server->run, NULL))
        evtimer_add(&server->run, &at_once);
}

static void
ignore_sigpipe(void)
{
    struct sigaction action;

    if (sigaction(SIGPIPE, NULL, &action) == 0 &&
        (action.sa_flags & SA_SIGINFO) == 0 && action.sa_handler == SIG_DFL) {
        action.sa_handler = SIG_IGN;
        (void)sigaction(SIGPIPE, &action, NULL);
    }
}

struct http_server *
http_server_new(struct event_base *base, const struct http_limits *limits,
    const struct http_hooks *hooks)
{
    struct http_server *server = memory_zalloc(1, sizeof(*server));

    ignore_sigpipe();
    server->base = base;
    take_limits(&server->limits, limits);
    if (hooks != NULL)
        server->hooks = *hooks;
    TAILQ_INIT(&server->idle);
    TAILQ_INIT(&server->busy);
    TAILQ_INIT(&server->dead);
    TAILQ_INIT(&server->runs);
    server->scratch = memory_alloc(HTTP_READ_BYTES);
    server->reserve_fd = -1;
    server->date_s = -1;
    evtimer_assign(&server->run, base, on_run, server);
    event_assign(&server->tick, base, -1, EV_PERSIST, on_tick, server);
    return server;
}

void
http_server_mount(
    struct http_server *server, const struct http_route *routes, void *program)
{
    server->mounts = memory_resize(
        server->mounts, (server->mount_count + 1) * sizeof(*server->mounts));
    server->mounts[server->mount_count++] =
        (struct http_mount){routes, program};
}

void
http_server_start_ticking(struct http_server *server)
{
    struct timeval interval = tick_interval(&server->limits);

    if (!server->ticking)
        event_add(&server->tick, &interval);
    server->ticking = true;
}

void
http_server_drain(
    struct http_server *server, void (*on_drained)(void *arg), void *arg)
{
    static const struct timeval drain_tick = {0, 200000};
    struct http_conn *conn, *next;

    if (server->draining)
        return;
    http_listeners_close(server);
    server->draining = true;
    server->on_drained = on_drained;
    server->drained_arg = arg;
    for (conn = TAILQ_FIRST(&server->idle); conn != NULL; conn = next) {
        next = TAILQ_NEXT(conn, link);
        if (http_conn_has_input(conn))
            continue;
        if (http_conn_is_fresh(conn))
            conn->deadline_ms = clock_mono_ms() + HTTP_FRESH_MS;
        else
            http_conn_kill(conn);
    }
    if (server->ticking)
        event_add(&server->tick, &drain_tick);
    http_server_wake(server);
}

bool
http_server_evict(struct http_server *server)
{
    struct http_conn *conn = TAILQ_FIRST(&server->idle);

    for (int i = 0; i < EVICT_TRIES && conn != NULL; i++) {
        if (!http_conn_has_input(conn) && !http_conn_is_fresh(conn)) {
            http_conn_kill(conn);
            return true;
        }
        conn = TAILQ_NEXT(conn, link);
    }
    return false;
}

void
http_server_free(struct http_server *server)
{
    struct http_conn *conn;

    if (server == NULL)
        return;
    assert(server->depth == 0);
    http_listeners_close(server);
    while ((conn = TAILQ_FIRST(&server->busy)) != NULL)
        http_conn_kill(conn);
    while ((conn = TAILQ_FIRST(&server->idle)) != NULL)
        http_conn_kill(conn);
    free_dead(server);
    event_del(&server->run);
    event_del(&server->tick);
    for (size_t i = 0; i < server->spare_count; i++)
        http_request_free(server->spares[i]);
    buffer_clear(&server->head);
    memory_free(server->spares);
    memory_free(server->scratch);
    memory_free(server->mounts);
    memory_free(server);
}

void
http_server_get_stats(
    const struct http_server *server, struct http_server_stats *stats)
{
    *stats = server->stats;
}
