#ifndef LH_SERVICE_SERVICE_H
#define LH_SERVICE_SERVICE_H

/*
 * service: what every server program has in common: flags and configuration,
 * the event loop, signals, connections to Redis and the result store, the
 * HTTP server with its credentials, health and metrics, and an orderly end.
 * A program's main() is then:
 *
 *     int code;
 *     struct service *service = service_start(&argc, argv, &spec, &code);
 *     if (service == NULL)
 *         return code;
 *     struct submitter *submitter = submitter_new(service);
 *     http_server_mount(service->http, submitter_routes, submitter);
 *     code = service_run(service);
 *     submitter_free(submitter);
 *     service_free(service);
 *     return code;
 */

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/buffer.h"

/* What a program asks for. */
#define SERVICE_QUEUE 1u /* Redis and the queue */
#define SERVICE_STORE_READ 2u /* the result store, reading */
#define SERVICE_STORE_WRITE 4u /* reading and committing */
#define SERVICE_MARKER 8u /* makes the installation's marker (workers) */

struct http_route;

enum service_listener {
    SERVICE_LISTEN_NONE,
    SERVICE_LISTEN_SUBMITTER, /* config->submitter_listen, ... */
    SERVICE_LISTEN_STATUS,
    SERVICE_LISTEN_SERVE,
    SERVICE_LISTEN_WORKER
};

struct service_program {
    const char *name; /* "longhaul-submitter", in --help and logs */
    const char *summary; /* one line for --help */
    unsigned needs; /* SERVICE_... */
    enum service_listener listener;
    /* Go before the common ones (/livez, ...), or NULL; the program pointer
     * is the struct service. */
    const struct http_route *routes;
};

/* Exit codes (DESIGN section 7). */
#define SERVICE_EXIT_OK 0
#define SERVICE_EXIT_ERROR 1
#define SERVICE_EXIT_USAGE 2

struct service {
    const struct service_program *program;
    struct event_base *base;
    struct config *config;
    struct metrics *metrics;
    struct keys *keys;
    struct models *models;
    struct redis *redis; /* NULL without SERVICE_QUEUE, likewise below */
    struct queue *queue;
    struct store *store;
    struct http_server *http; /* NULL without a listener */
    int port; /* where it listens, 0: unix socket or none */
    char *origin; /* public origin, no slash at the end */
    char *marker; /* "<uuid> real|simulated", NULL: not known */
    bool draining;
    struct service_state *state; /* private */
};

/*
 * Reads flags and configuration, opens everything, waits up to half
 * a second for Redis and the marker, and begins to listen; no callback of the
 * program's runs before service_run(). Flags that name settings are taken out
 * of argv; one that is left is an error. --help, --version, --check (reads
 * and checks the configuration) and --health (asks the running program's
 * /readyz) end here. Returns NULL when the program is to exit with
 * *exit_code; what is to be said has been said then.
 *
 * Further flags: -c FILE or --config FILE; --die-with-parent: SIGTERM when
 * the process that started it is gone.
 */
struct service *service_start(int *argc, char **argv,
    const struct service_program *program, int *exit_code) MUST_CHECK;

/*
 * Prints "ready http://ADDR:PORT" on stdout and runs the loop until the
 * program has drained (SIGTERM, SIGINT, service_drain()); a second signal
 * ends it at once. Returns the exit code. When it returns, the HTTP server,
 * queue, Redis and store are closed (NULL) and every callback of theirs has
 * run; the loop and the rest live until service_free().
 */
int service_run(struct service *service) MUST_CHECK;
void service_free(struct service *service);

/* --- the end ------------------------------------------------------------ */

/* Begins to drain, as SIGTERM does. */
void service_drain(struct service *service);
/* Whether the program that this one was to end with (--die-with-parent) has
 * gone: then what it ran beside this one, Redis with it, goes as well. */
bool service_is_orphan(const struct service *service);
/* Ends the loop without draining; service_run() returns exit_code. */
void service_abort(struct service *service, int exit_code);
/* Runs once when draining begins. At most 8 hooks. */
void service_on_drain(
    struct service *service, void (*on_drain)(void *arg), void *arg);
/*
 * Runs once when the loop has ended, however it did, and before anything is
 * closed. From then on every callback that was due runs once, with whatever
 * outcome, and must not begin anything with the store, which goes first.
 * At most 8 hooks.
 */
void service_on_end(
    struct service *service, void (*on_end)(void *arg), void *arg);
/* After the grace: for what it was too short for, to be handed back. */
#define SERVICE_HAND_BACK_MS 1500
/*
 * Draining waits for what is held (and for HTTP requests in flight), at most
 * config->grace_ms and then SERVICE_HAND_BACK_MS. Each hold has its release.
 */
void service_hold(struct service *service);
void service_release(struct service *service);

/* 0, or -1 with a line in *errors when a server must not listen there: without
 * keys everybody who can reach it could use it. */
int service_check_listen(const char *address, const struct keys *keys,
    struct buffer *errors) MUST_CHECK;

/* --- health ------------------------------------------------------------- */

/*
 * Whether the process can do its work: Redis is ready, carries the marker,
 * the store has no other one, every check passes, and it is not draining.
 * Never depends on Claude. NULL when ready, else why not, for people (static
 * or valid until the loop turns).
 */
const char *service_not_ready(struct service *service);
/* The same for a request that has arrived: draining does not matter, since
 * what has arrived is still served. */
const char *service_cannot_serve(struct service *service);
/* A further condition: returns NULL or why not. At most 8. Shown by
 * /readyz?verbose under `name`. */
void service_add_check(struct service *service, const char *name,
    const char *(*check)(void *arg), void *arg);
/* Runs before /metrics is rendered, to set gauges. At most 8. */
void service_on_scrape(
    struct service *service, void (*on_scrape)(void *arg), void *arg);
/* What /metrics answers, for a route that answers more. */
void service_render_metrics(struct service *service, struct buffer *out);
/* The store's marker was seen to differ, or is to be read again at once. */
void service_marker_refresh(struct service *service);

#endif
