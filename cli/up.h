#ifndef LH_CLI_UP_H
#define LH_CLI_UP_H

/*
 * up: everything on one machine. Stages, each begun when the one before is
 * done:
 *
 *   REDIS      redis-server is started; it answers PING
 *   SIMULATOR  only when simulating: it says where it listens
 *   SERVERS    `longhaul serve` and the workers; /readyz says 200
 *   SERVING    "ready URL" was printed
 *   DRAINING   workers and server end, then the simulator, then Redis
 *
 * up.c: the stages; up_plan.c: what is started and how; up_say.c: what
 * people read; up_trouble.c: what they read when Redis ends.
 */

#include <event2/event.h>

#include "cli/args.h"
#include "cli/child.h"
#include "cli/up_dir.h"
#include "cli/up_redis.h"

struct config;
struct probe;

#define UP_WORKERS_MAX 64
#define UP_REDIS_WORDS 3

enum up_stage { UP_REDIS, UP_SIMULATOR, UP_SERVERS, UP_SERVING, UP_DRAINING };

/* Groups of children, ended from the highest. */
enum up_group { UP_GROUP_REDIS, UP_GROUP_SIMULATOR, UP_GROUP_WORK };

struct up {
    struct args args;
    struct config *config;
    struct child_words settings; /* words that the servers get as well */
    bool simulated;
    char *folder; /* of our programs */
    struct up_dir dir;
    struct up_redis redis;
    struct event_base *base;
    struct children *children;
    struct event *sigterm;
    struct event *sigint;
    struct event *poll; /* asks whether a stage is done */
    struct event *limit; /* of draining */
    struct probe *probe;
    struct child *workers[UP_WORKERS_MAX];
    struct child *redis_child;
    char redis_words[UP_REDIS_WORDS][256]; /* its last warnings */
    struct child *simulator;
    struct child *server;
    struct child *demo;
    char *simulator_url;
    char *url; /* of the server, once it is known */
    enum up_stage stage;
    enum up_group group; /* that is being ended */
    int64_t started_ms;
    unsigned signals; /* that asked for the end */
    int exit_code;
};

/* --- up_plan --- */

/* Reads options and settings. CLI_OK, or the exit code after saying why. */
int up_plan(struct up *up, int argc, char **argv) MUST_CHECK;
/* CLI_OK when the port is free. */
int up_check_port(const struct up *up) MUST_CHECK;
void up_plan_clear(struct up *up);
void up_start_redis(struct up *up);
void up_start_simulator(struct up *up);
/* `longhaul serve` and the workers. */
void up_start_servers(struct up *up);
void up_start_demo(struct up *up);
/* Tells the server where the workers are (peers.h). */
void up_write_peers(struct up *up);

/* --- up_say --- */

void up_say_hello(const struct up *up);
void up_say_ready(const struct up *up);

/* --- up_trouble --- */

/* A line of Redis's log. */
void up_hear_redis(struct up *up, struct slice line);
/* "redis cannot start (exit code 1)" with its last words, and what to do when
 * there is no room left. */
void up_say_redis_end(struct up *up, const char *what, const char *how);

#endif
