#ifndef LH_SERVICE_SERVICE_PRIVATE_H
#define LH_SERVICE_SERVICE_PRIVATE_H

/*
 * service_private: what the parts of service share. service.c: start, run,
 * end; service_flags.c: what the command line may say beside settings;
 * service_process.c: the process and its limits; service_marker.c: whose
 * Redis and store this is; service_health.c: routes; service_access.c: who
 * is let in.
 */

#include "common/net/http_server.h"
#include "common/net/redis.h"
#include "common/service/service.h"

#define SERVICE_HOOKS_MAX 8

struct service_hook {
    const char *name;
    void (*run)(void *arg);
    const char *(*check)(void *arg);
    void *arg;
};

struct service_hooks {
    size_t count;
    struct service_hook hooks[SERVICE_HOOKS_MAX];
};

enum service_marker_state {
    SERVICE_MARKER_UNKNOWN, /* not read since the last connect */
    SERVICE_MARKER_OK,
    SERVICE_MARKER_ABSENT, /* neither Redis nor the store has one */
    SERVICE_MARKER_LOST, /* the store has one, Redis has none */
    SERVICE_MARKER_DIFFERENT,
    SERVICE_MARKER_MODE /* real against simulated */
};

struct service_state {
    struct service_hooks drain_hooks;
    struct service_hooks end_hooks;
    struct service_hooks checks;
    struct service_hooks scrape_hooks;
    struct event *sigterm;
    struct event *sigint;
    struct event *grace;
    unsigned holds; /* draining waits for these */
    int exit_code;
    bool ended; /* service_abort() was called */
    int64_t parent; /* to end with; 0: none */
    double started_s;
    /* marker */
    enum service_marker_state marker_state;
    struct event *marker_timer;
    bool marker_asked; /* an answer of Redis or the store is due */
    bool marker_again; /* and then everything is asked anew */
    bool marker_twice; /* Redis was asked once more after the store */
    char *redis_marker; /* what Redis said in this round */
    /* access */
    char *listen_host; /* of the listen address, "" for a unix socket */
};

/* service_flags.c: what the command line said beside settings. */
struct service_flags {
    const char *config_path;
    bool check;
    bool health;
    bool die_with_parent;
    int64_t parent; /* its pid, or 0: not said */
};
/* 0: go on; else the program ends with *exit_code. */
int service_flags_take(int *argc, char **argv,
    const struct service_program *program, struct service_flags *flags,
    int *exit_code) MUST_CHECK;
/* Asks the program that listens there; 0 when it is ready. */
int service_health_ask(const char *address);

/* service_process.c */
void service_process_prepare(const struct service_flags *flags);
double service_process_rss_bytes(void);
double service_process_cpu_s(void);

/* service_marker.c */
void service_marker_start(struct service *service);
void service_marker_stop(struct service *service);
void service_on_redis_state(void *arg, enum redis_state state);
/* NULL when it fits. */
const char *service_marker_problem(const struct service *service);

/* service_health.c */
extern const struct http_route service_routes[];

/* service_access.c */
bool service_address_is_loopback(const char *address);
/* The host part: "" for :PORT and unix sockets. */
struct slice service_address_host(const char *address);
struct http_hooks service_access_hooks(struct service *service);

#endif
