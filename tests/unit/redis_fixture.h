#ifndef LH_TESTS_REDIS_FIXTURE_H
#define LH_TESTS_REDIS_FIXTURE_H

/*
 * redis_fixture: a redis-server of the test's own (unix socket in a fresh
 * folder, append-only file with fsync always), a connection under test, and a
 * plain blocking connection to look behind the scenes.
 */

#include <event2/event.h>
#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <sys/types.h>

#include "common/queue/queue.h"

#define FIXTURE_MARKER "11111111-2222-3333-4444-555555555555 real"

struct fixture {
    char dir[128];
    char socket[160];
    char url[192];
    pid_t pid;
    struct event_base *base;
    struct redis *redis;
    struct queue *queue;
    redisContext *raw;
};

/* With a marker set and the connection ready. */
struct fixture *fixture_new(void);
void fixture_free(struct fixture *f);
/* Kills the server (SIGKILL) / starts it again with its data. */
void fixture_kill_server(struct fixture *f);
void fixture_start_server(struct fixture *f);
void fixture_freeze_server(struct fixture *f, bool freeze);
/* Empties the server and sets the marker. */
void fixture_clear(struct fixture *f);

/* Runs the loop until *done; fails the test after ten seconds. */
void fixture_wait(struct fixture *f, const bool *done);
void fixture_wait_ready(struct fixture *f);
/* Runs what is due now. */
void fixture_spin(struct fixture *f);

/* A command on the blocking connection, words split at blanks; "{}" at the
 * beginning of a word stands for the prefix of all keys. The reply as text:
 * strings as they are, numbers printed, nil as "(nil)", arrays joined by
 * blanks, errors with their text. Lives until the next call. */
const char *fixture_do(struct fixture *f, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
long long fixture_int(struct fixture *f, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
