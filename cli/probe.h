#ifndef LH_CLI_PROBE_H
#define LH_CLI_PROBE_H

/*
 * probe: asks a program on this machine one short question over its socket
 * and hands over the beginning of the answer. For telling whether it lives,
 * so without any library that could wait or retry.
 */

#include <event2/event.h>
#include <stdint.h>

#include "common/base/text.h"

struct probe;

#define PROBE_GET(path) \
    "GET " path " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

/*
 * address: "127.0.0.1:PORT" or "unix:PATH". The request is kept, not copied.
 * on_answer runs exactly once, from the loop, never before this returns,
 * with at most 63 bytes, empty when nothing came within timeout_ms; the
 * probe is gone afterwards.
 */
struct probe *probe_start(struct event_base *base, const char *address,
    const char *request, int64_t timeout_ms,
    void (*on_answer)(void *arg, struct slice answer), void *arg);
/* Ends it without on_answer. */
void probe_cancel(struct probe *probe);

#endif
