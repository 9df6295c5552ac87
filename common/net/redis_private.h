#ifndef LH_NET_REDIS_PRIVATE_H
#define LH_NET_REDIS_PRIVATE_H

/*
 * What the parts of the redis module share: redis.c (life, state,
 * connecting), redis_command.c (commands and answers),
 * redis_address.c (URLs), redis_check.c (what is asked of a server before it
 * is used), redis_subscribe.c (the second socket), redis_reply.c (reading).
 */

#include <hiredis/async.h>

#include "common/base/buffer.h"
#include "common/net/redis.h"
#include "common/net/resolve.h"

#define REDIS_REPLY_MAX_ELEMENTS 1000000
#define REDIS_REPLY_MAX_BYTES (64u * 1024 * 1024)

struct redis_address {
    char *host; /* NULL for a unix socket */
    int port;
    char *path; /* of the unix socket, or NULL */
    char *user;
    char *password;
    uint64_t db;
};

/* 0, or -1 with what is wrong with the URL in *why (static text). */
int redis_address_parse(struct slice url, struct redis_address *address,
    const char **why) MUST_CHECK;
void redis_address_clear(struct redis_address *address);

/* One command that was sent. */
struct redis_pending {
    struct redis_pending *next;
    struct redis *redis; /* NULL: its callback has run already */
    redis_on_reply *on_reply;
    void *arg;
    int64_t deadline_ms;
    const struct redis_script *script; /* NULL: not a script, or sent as EVAL */
    struct buffer text; /* what was sent, for scripts */
    size_t tail; /* where the arguments behind the SHA1 begin in it */
    size_t argc;
};

struct redis_channel {
    struct redis_channel *next;
    char *name;
    void (*on_message)(void *arg, struct slice message);
    void (*on_gap)(void *arg);
    void *arg;
    bool live; /* confirmed on the present connection */
};

struct redis_subscriber {
    redisAsyncContext *ac;
    struct redis_channel *channels;
    struct event *timer;
    int64_t answer_by_ms; /* 0: nothing is expected */
    int64_t asked_ms; /* the last (re)subscription */
    unsigned failures;
};

struct redis {
    struct event_base *base;
    struct redis_options options; /* url and password_file are owned */
    char *url;
    char *password_file;
    struct redis_address address;
    const char *address_error; /* NULL: the URL is usable */

    enum redis_state state;
    char reason[256];
    struct resolve *resolve; /* NULL: no name is being looked up */
    char target[RESOLVE_TEXT_SIZE]; /* where the last dial went */
    redisAsyncContext *ac;
    struct event *connect_timer;
    struct event *deadline_timer;
    struct event *watch_timer;
    int64_t deadline_armed_ms;
    int64_t ready_since_ms;
    unsigned failures;

    bool dead; /* redis_close was called */
    unsigned holders; /* the memory stays until nobody holds it */

    struct redis_pending *first;
    struct redis_pending **last;
    unsigned in_flight;

    uint64_t error_replies;
    int64_t error_logged_ms;

    struct buffer info; /* INFO of the server under check */
    char refusal[256]; /* the first complaint of the check */
    struct redis_subscriber subscriber;
};

/* Begins to connect a socket to the target, on the loop; NULL if that is
 * impossible now. Its data is `redis`. */
redisAsyncContext *redis_dial(struct redis *redis);
/* The delay before attempt number `failures` (from 1), with jitter. */
int64_t redis_backoff_ms(const struct redis *redis, unsigned failures);
void redis_timer_set(struct event *timer, int64_t delay_ms);
/* Sends whatever the state; for the check. */
int redis_send(struct redis *redis, redis_on_reply *on_reply, void *arg,
    size_t argc, const struct slice *argv) MUST_CHECK;
/* Fills argv with AUTH and its arguments; 0 when no password is set.
 * `password` keeps the bytes. */
size_t redis_auth_command(
    const struct redis *redis, struct buffer *password, struct slice argv[3]);

/* Callbacks may free the object; whoever uses it behind one holds it. */
void redis_hold(struct redis *redis);
void redis_let_go(struct redis *redis);
/* Every command under way gets NULL. */
void redis_fail_pending(struct redis *redis);
/* Forgets the connection, which is being freed or will be by the caller. */
void redis_detach(
    struct redis *redis, enum redis_state state, const char *reason);
/* Ends the connection and tries again later. */
void redis_drop(
    struct redis *redis, enum redis_state state, const char *reason);
void redis_on_deadline(evutil_socket_t fd, short what, void *arg);

/* Asks the server all questions; ends in redis_check_passed/refused. */
void redis_check_begin(struct redis *redis);
void redis_check_passed(struct redis *redis);
void redis_check_refused(struct redis *redis, const char *reason);

void redis_subscriber_init(struct redis *redis);
void redis_subscriber_clear(struct redis *redis);
/* The main connection became ready. */
void redis_subscriber_wake(struct redis *redis);

#endif
