#ifndef LH_NET_RESOLVE_H
#define LH_NET_RESOLVE_H

/*
 * resolve: the addresses of a host name, without stopping the loop: a name
 * server that is away keeps getaddrinfo for half a minute. Each question has
 * a short-lived thread of its own; there are few (one when a connection to
 * Redis is made).
 */

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/base/memory.h"

#define RESOLVE_MAX 8
#define RESOLVE_TEXT_SIZE 64

struct resolve;

/* IPv4 before IPv6, as text; count 0: there is none, or nobody knew. Runs
 * once, on the loop, never before resolve_start() has returned. */
typedef void resolve_on_done(
    void *arg, char addresses[RESOLVE_MAX][RESOLVE_TEXT_SIZE], size_t count);

/* NULL when no thread can be had. `host` is copied. */
struct resolve *resolve_start(struct event_base *base, const char *host,
    resolve_on_done *on_done, void *arg) MUST_CHECK;
/* The callback will not run; what the thread has still to do is thrown
 * away. Not from the callback. */
void resolve_cancel(struct resolve *resolve);

/* Whether it is an address already. */
bool resolve_is_address(const char *host);

/* What a thread asks; for tests. Fills `addresses`, returns the count. */
typedef size_t resolve_lookup(
    const char *host, char addresses[RESOLVE_MAX][RESOLVE_TEXT_SIZE]);
/* NULL: the system's, again. */
void resolve_set_lookup(resolve_lookup *lookup);

#endif
