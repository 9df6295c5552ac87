#include "common/service/service.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/crash.h"
#include "common/base/log.h"
#include "common/queue/queue.h"
#include "common/service/config.h"
#include "common/service/keys.h"
#include "common/service/metrics.h"
#include "common/service/models.h"
#include "common/service/service_private.h"
#include "common/store/store.h"

#define EXIT_INTERRUPTED 130
#define FLUSH_MS 200
#define EARLY_MS 500

/* --- opening --- */

static const char *
listen_address(const struct service *service)
{
    switch (service->program->listener) {
    case SERVICE_LISTEN_SUBMITTER: return service->config->submitter_listen;
    case SERVICE_LISTEN_STATUS: return service->config->status_listen;
    case SERVICE_LISTEN_SERVE: return service->config->serve_listen;
    case SERVICE_LISTEN_WORKER: return service->config->worker_listen;
    case SERVICE_LISTEN_NONE: break;
    }
    return NULL;
}

/* Prints every line of `errors` with the program's name before it. */
static void
say_all(struct buffer *errors)
{
    struct slice rest = buffer_slice(errors);
    while (rest.len > 0) {
        struct slice line = slice_split(&rest, '\n');
        if (line.len > 0)
            log_say("%.*s", (int)line.len, line.data);
    }
    buffer_clear(errors);
}

/* 0, or -1 after saying what is wrong; *exit_code is then set. */
static int
open_config(struct service *service, int *argc, char **argv, const char *path,
    int *exit_code)
{
    struct buffer errors = {0};
    *exit_code = SERVICE_EXIT_USAGE;
    service->config = config_load(path, argc, argv, &errors);
    say_all(&errors);
    if (service->config == NULL)
        return -1;
    if (*argc > 1) {
        log_say("unknown argument %s; --help lists them", argv[1]);
        return -1;
    }
    service->keys = keys_open(service->config->keys_file, &errors);
    say_all(&errors);
    if (service->keys == NULL)
        return -1;
    const char *address = listen_address(service);
    if (address != NULL &&
        service_check_listen(address, service->keys, &errors) != 0) {
        say_all(&errors);
        return -1;
    }
    *exit_code = SERVICE_EXIT_OK;
    return 0;
}

/* The key is the worker's; nobody else keeps it in memory. */
static void
forget_upstream_key(struct service *service)
{
    if ((service->program->needs & SERVICE_MARKER) == 0)
        config_forget_keys(service->config);
}

/* What a pool serves and the table does not know has a limit of its own. */
static void
load_models(struct service *service)
{
    const struct config *config = service->config;
    service->models = models_load();
    for (size_t i = 0; i < config->pool_count; i++) {
        struct slice rest = slice_of(config->pools[i]->models);
        while (rest.len > 0)
            models_add(service->models, slice_split(&rest, ' '));
    }
}

static int
open_store(struct service *service)
{
    char error[512];
    unsigned flags = service->program->needs & SERVICE_STORE_WRITE
        ? STORE_READ | STORE_WRITE
        : STORE_READ;
    if ((service->program->needs &
            (SERVICE_STORE_READ | SERVICE_STORE_WRITE)) == 0)
        return 0;
    service->store = store_open(
        service->base, service->config->store_url, flags, error, sizeof(error));
    if (service->store == NULL) {
        log_say("%s", error);
        return -1;
    }
    log_info("store_open", LOG_TEXT("store", store_describe(service->store)));
    return 0;
}

static void
open_queue(struct service *service)
{
    if ((service->program->needs & SERVICE_QUEUE) == 0)
        return;
    struct redis_options options = {.url = service->config->redis_url,
        .password_file = service->config->redis_password_file,
        .on_state = service_on_redis_state,
        .arg = service};
    service->redis = redis_new(service->base, &options);
    service->queue = queue_new(service->base, service->redis);
    service_marker_start(service);
}

static void
set_origin(struct service *service, const char *address)
{
    const struct config *config = service->config;
    struct slice host = service_address_host(address);
    struct buffer origin = {0};
    service->state->listen_host =
        memory_dup_bytes(host.len > 0 ? host.data : "", host.len);
    bool any = host.len == 0 || slice_equal_text(host, "0.0.0.0") ||
        slice_equal_text(host, "::");
    bool colons = !any && memchr(host.data, ':', host.len) != NULL;
    if (config->public_url != NULL)
        buffer_append_text(&origin, config->public_url);
    else if (strncmp(address, "unix:", 5) == 0)
        buffer_append_text(&origin, "http://localhost");
    else
        buffer_printf(&origin, "http://%s%.*s%s:%d", colons ? "[" : "",
            any ? 9 : (int)host.len, any ? "127.0.0.1" : host.data,
            colons ? "]" : "", service->port);
    service->origin = buffer_take(&origin);
}

static int
open_http(struct service *service)
{
    const char *address = listen_address(service);
    const char *error = "";
    const struct config *config = service->config;
    if (address == NULL)
        return 0;
    struct http_limits limits = {
        .max_connections = (unsigned)config->max_connections,
        .header_deadline_ms = config->header_deadline_ms};
    struct http_hooks hooks = service_access_hooks(service);
    service->http = http_server_new(service->base, &limits, &hooks);
    if (service->program->routes != NULL)
        http_server_mount(service->http, service->program->routes, service);
    http_server_mount(service->http, service_routes, service);
    service->port = http_server_listen(service->http, address, true, &error);
    if (service->port < 0) {
        log_say("cannot listen on %s: %s", address, error);
        return -1;
    }
    set_origin(service, address);
    return 0;
}

/* --- signals and the end --- */

/* The hold that draining itself took for the HTTP server. */
static void
on_http_drained(void *arg)
{
    service_release(arg);
}

static void
on_grace_over(evutil_socket_t fd, short events, void *arg)
{
    struct service *service = arg;
    (void)fd;
    (void)events;
    log_warn("drain_cut_short", LOG_INT("held", service->state->holds));
    event_base_loopbreak(service->base);
}

static void
run_hooks(const struct service_hooks *hooks)
{
    for (size_t i = 0; i < hooks->count; i++)
        hooks->hooks[i].run(hooks->hooks[i].arg);
}

void
service_drain(struct service *service)
{
    struct service_state *state = service->state;
    if (service->draining)
        return;
    service->draining = true;
    log_info("draining", LOG_INT("grace_ms", service->config->grace_ms));
    int64_t most_ms = service->config->grace_ms + SERVICE_HAND_BACK_MS;
    const struct timeval most = {most_ms / 1000, (most_ms % 1000) * 1000};
    evtimer_add(state->grace, &most);
    service_hold(service);
    if (service->http != NULL) {
        service_hold(service);
        http_server_drain(service->http, on_http_drained, service);
    }
    run_hooks(&state->drain_hooks);
    service_release(service);
}

static void
on_signal(evutil_socket_t number, short events, void *arg)
{
    struct service *service = arg;
    (void)events;
    if (service->draining)
        service_abort(
            service, number == SIGINT ? EXIT_INTERRUPTED : SERVICE_EXIT_ERROR);
    else
        service_drain(service);
}

bool
service_is_orphan(const struct service *service)
{
    return service->state->parent != 0 && getppid() != service->state->parent;
}

void
service_abort(struct service *service, int exit_code)
{
    service->state->exit_code = exit_code;
    service->state->ended = true;
    event_base_loopbreak(service->base);
}

void
service_hold(struct service *service)
{
    service->state->holds++;
}

void
service_release(struct service *service)
{
    assert(service->state->holds > 0);
    service->state->holds--;
    if (service->draining && service->state->holds == 0)
        event_base_loopbreak(service->base);
}

/* --- hooks --- */

static void
add_hook(struct service_hooks *hooks, struct service_hook hook)
{
    assert(hooks->count < SERVICE_HOOKS_MAX);
    hooks->hooks[hooks->count++] = hook;
}

void
service_on_drain(
    struct service *service, void (*on_drain)(void *arg), void *arg)
{
    add_hook(&service->state->drain_hooks,
        (struct service_hook){.run = on_drain, .arg = arg});
}

void
service_on_end(struct service *service, void (*on_end)(void *arg), void *arg)
{
    add_hook(&service->state->end_hooks,
        (struct service_hook){.run = on_end, .arg = arg});
}

void
service_on_scrape(
    struct service *service, void (*on_scrape)(void *arg), void *arg)
{
    add_hook(&service->state->scrape_hooks,
        (struct service_hook){.run = on_scrape, .arg = arg});
}

void
service_add_check(struct service *service, const char *name,
    const char *(*check)(void *arg), void *arg)
{
    add_hook(&service->state->checks,
        (struct service_hook){.name = name, .check = check, .arg = arg});
}

/* --- life --- */

static struct service *
service_new(const struct service_program *program)
{
    struct service *service = memory_zalloc(1, sizeof(*service));
    service->program = program;
    service->state = memory_zalloc(1, sizeof(*service->state));
    service->state->started_s = (double)clock_wall_ms() / 1000.0;
    return service;
}

static int
open_loop(struct service *service)
{
    struct service_state *state = service->state;
    service->base = event_base_new();
    if (service->base == NULL) {
        log_say("the event loop cannot be made");
        return -1;
    }
    state->sigterm = evsignal_new(service->base, SIGTERM, on_signal, service);
    state->sigint = evsignal_new(service->base, SIGINT, on_signal, service);
    state->grace = evtimer_new(service->base, on_grace_over, service);
    evsignal_add(state->sigterm, NULL);
    evsignal_add(state->sigint, NULL);
    return 0;
}

/* -1 when the program is to end with *exit_code. */
static int
set_up_crash(int *exit_code)
{
    bool listed;
    const char *why = crash_setup(&listed);
    *exit_code = why != NULL ? SERVICE_EXIT_USAGE : SERVICE_EXIT_OK;
    if (why != NULL)
        log_say("%s", why);
    return why != NULL || listed ? -1 : 0;
}

static void
on_early_tick(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    (void)arg;
}

/*
 * Several processes may share the port, and the kernel gives each its part of
 * the connections from the moment it listens: one that does not know its
 * Redis yet would refuse what the others take. A Redis that is away must not
 * keep health unanswered, hence the limit.
 */
static void
await_ready(struct service *service)
{
    static const struct timeval step = {0, 5000};
    int64_t end_ms = clock_mono_ms() + EARLY_MS;
    struct event *tick;
    if (service->redis == NULL)
        return;
    tick = event_new(service->base, -1, EV_PERSIST, on_early_tick, NULL);
    event_add(tick, &step);
    while (service_not_ready(service) != NULL && clock_mono_ms() < end_ms &&
        !service->draining && !service->state->ended)
        event_base_loop(service->base, EVLOOP_ONCE);
    event_free(tick);
    if (service->draining)
        service->state->ended = true; /* nothing is there to drain */
}

struct service *
service_start(int *argc, char **argv, const struct service_program *program,
    int *exit_code)
{
    struct service_flags flags = {0};
    memory_install_hooks();
    log_init(strncmp(program->name, "longhaul-", 9) == 0 ? program->name + 9
                                                         : program->name);
    if (service_flags_take(argc, argv, program, &flags, exit_code) != 0 ||
        set_up_crash(exit_code) != 0)
        return NULL;
    service_process_prepare(&flags);
    struct service *service = service_new(program);
    if (flags.die_with_parent)
        service->state->parent = flags.parent != 0 ? flags.parent : getppid();
    if (open_config(service, argc, argv, flags.config_path, exit_code) != 0)
        goto fail;
    if (flags.check) {
        puts("the configuration is fine");
        goto fail;
    }
    if (flags.health) {
        const char *address = listen_address(service);
        *exit_code = address != NULL && service_health_ask(address) == 0
            ? SERVICE_EXIT_OK
            : SERVICE_EXIT_ERROR;
        goto fail;
    }
    forget_upstream_key(service);
    *exit_code = SERVICE_EXIT_ERROR;
    service->metrics = metrics_new();
    load_models(service);
    if (open_loop(service) != 0 || open_store(service) != 0)
        goto fail;
    open_queue(service);
    await_ready(service);
    if (open_http(service) != 0)
        goto fail;
    return service;
fail:
    service_free(service);
    return NULL;
}

/* What was sent last (parts of bodies to throw away, a worker's farewell)
 * gets its answer, if Redis is quick. */
static void
flush_redis(struct service *service)
{
    int64_t end_ms = clock_mono_ms() + FLUSH_MS;
    struct timeval step = {0, 10000};
    while (redis_get_state(service->redis) == REDIS_READY &&
        redis_in_flight(service->redis) > 0 && clock_mono_ms() < end_ms) {
        event_base_loopexit(service->base, &step);
        event_base_loop(service->base, EVLOOP_ONCE);
    }
}

/* The store first: its last callbacks may still talk to Redis. */
static void
disconnect(struct service *service)
{
    if (service->http != NULL)
        http_server_free(service->http);
    service->http = NULL;
    if (service->store != NULL)
        store_close(service->store);
    service->store = NULL;
    if (service->redis == NULL)
        return;
    flush_redis(service);
    redis_close(service->redis); /* whose callbacks may use the queue */
    queue_free(service->queue);
    redis_free(service->redis);
    service->queue = NULL;
    service->redis = NULL;
}

/* Turn by turn, so that the log is written once in each. */
static void
turn_loop(struct event_base *base)
{
    log_batch(true);
    do {
        log_flush();
        event_base_loop(base, EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY);
    } while (event_base_got_break(base) == 0 && event_base_got_exit(base) == 0);
    log_batch(false);
}

int
service_run(struct service *service)
{
    const char *address = listen_address(service);
    if (address != NULL && strncmp(address, "unix:", 5) == 0)
        printf("ready %s\n", address);
    else if (service->http != NULL)
        printf("ready http://%s:%d\n",
            strchr(service->state->listen_host, ':') != NULL ? "[::1]"
                : service->state->listen_host[0] != '\0'
                ? service->state->listen_host
                : "127.0.0.1",
            service->port);
    fflush(stdout);
    log_info("started", LOG_TEXT("version", LONGHAUL_VERSION),
        LOG_TEXT("listen", address), LOG_INT("port", service->port));
    if (!service->state->ended)
        turn_loop(service->base);
    run_hooks(&service->state->end_hooks);
    disconnect(service);
    log_info("ended", LOG_INT("exit_code", service->state->exit_code));
    return service->state->exit_code;
}

static void
free_event(struct event *event)
{
    if (event != NULL)
        event_free(event);
}

void
service_free(struct service *service)
{
    if (service == NULL)
        return;
    disconnect(service);
    service_marker_stop(service);
    free_event(service->state->sigterm);
    free_event(service->state->sigint);
    free_event(service->state->grace);
    if (service->base != NULL)
        event_base_free(service->base);
    models_free(service->models);
    metrics_free(service->metrics);
    keys_free(service->keys);
    config_free(service->config);
    memory_free(service->state->listen_host);
    memory_free(service->state);
    memory_free(service->marker);
    memory_free(service->origin);
    memory_free(service);
}
