#ifndef LH_NET_REDIS_H
#define LH_NET_REDIS_H

/*
 * redis: one asynchronous connection to Redis (hiredis on libevent) that
 * looks after itself: connects, authenticates, verifies the server's
 * settings, loads scripts on demand, reconnects with jitter, and gives every
 * command a deadline. Commands given while it is not ready fail at once, so
 * callers decide about waiting. One object uses two sockets when it
 * subscribes.
 *
 * Checked at every connect, because a Redis may come back different:
 * Redis >= 7.0 or Valkey, maxmemory-policy noeviction, appendonly yes,
 * appendfsync always. A server that fails a check is not used; the reason is
 * logged once per change and kept for redis_state_reason().
 */

#include <event2/event.h>
#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/text.h"

struct redis;

enum redis_state {
    REDIS_CONNECTING, /* also: waiting to reconnect */
    REDIS_READY,
    REDIS_REFUSED /* connected, but a check failed; tried again */
};

struct redis_options {
    const char *url; /* redis://[user:password@]host:port[/db], unix://PATH */
    /* A file holding the password, or NULL; re-read at every connect. */
    const char *password_file;
    int64_t command_timeout_ms; /* 0: 2,000; then the connection is dropped */
    int64_t reconnect_max_ms; /* 0: 2,000; first try after ~50 ms */
    bool skip_durability_checks; /* benchmarks and unit tests only */
    /* One of several to the same server: its states are not logged. */
    bool quiet;
    /* Runs from the loop on every change of state. May be NULL. */
    void (*on_state)(void *arg, enum redis_state state);
    void *arg;
};

/* Begins to connect; on_state tells. The options are copied. */
struct redis *redis_new(
    struct event_base *base, const struct redis_options *options);
/* Ends the connection for good; outstanding callbacks run with a NULL reply
 * before this returns, and commands they give are refused. */
void redis_close(struct redis *redis);
/* Closes it as well; NULL is allowed. */
void redis_free(struct redis *redis);

enum redis_state redis_get_state(const struct redis *redis);
/* What is wrong, for people; "" when ready. Never contains a password. */
const char *redis_state_reason(const struct redis *redis);
unsigned redis_in_flight(const struct redis *redis);

/*
 * Runs exactly once per accepted command, from the loop, never before the
 * call returned. `reply` is borrowed for the call; NULL when the connection
 * was lost or the deadline passed: whether the command took effect is then
 * unknown. Error replies are handed through (REDIS_REPLY_ERROR).
 */
typedef void redis_on_reply(void *arg, const struct redisReply *reply);

/*
 * Sends a command; arguments are copied. 0, or -1 if it is not ready (the
 * callback will not run). on_reply may be NULL.
 */
int redis_command(struct redis *redis, redis_on_reply *on_reply, void *arg,
    size_t argc, const struct slice *argv) MUST_CHECK;

/* A script known by its text; EVALSHA first, EVAL after NOSCRIPT (also when
 * the script cache was flushed). Must outlive every redis that uses it. */
struct redis_script {
    const char *name; /* for logs and metrics */
    const char *text;
    char sha1[41]; /* filled by redis_script_init */
};
void redis_script_init(
    struct redis_script *script, const char *name, const char *text);
/* keys first (nkeys of argc), then arguments. As redis_command. */
int redis_eval(struct redis *redis, const struct redis_script *script,
    redis_on_reply *on_reply, void *arg, size_t nkeys, size_t argc,
    const struct slice *argv) MUST_CHECK;

/*
 * Subscribes to a channel on a second socket, kept through reconnects.
 * on_message runs per message; on_gap after every (re)subscription, because
 * messages may have been missed before it. One handler per channel.
 * Unsubscribing is immediate for the caller.
 */
void redis_subscribe(struct redis *redis, const char *channel,
    void (*on_message)(void *arg, struct slice message),
    void (*on_gap)(void *arg), void *arg);
void redis_unsubscribe(struct redis *redis, const char *channel);

/* Helpers for reading replies; defaults when the shape is another. */
struct slice redis_reply_slice(const struct redisReply *reply);
int64_t redis_reply_int(const struct redisReply *reply, int64_t otherwise);
bool redis_reply_is_ok(const struct redisReply *reply);
/* Element i of an array reply, or NULL. */
const struct redisReply *redis_reply_at(
    const struct redisReply *reply, size_t i);

#endif
