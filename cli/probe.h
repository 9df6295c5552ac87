#ifndef LH_CLI_PROBE_H
#define LH_CLI_PROBE_H

/*
 * probe: asks a program on this machine one short question over its socket
 * and hands over the answer or its beginning. For telling whether it lives,
 * so without any library that could wait or retry.
 */

#include <event2/event.h>
#include <stdint.h>

#include "common/base/text.h"

struct probe;

#define PROBE_GET(path) \
    "GET " path " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

/*
 * address: "127.0.0.1:PORT" or "unix:PATH". The request is copied. on_answer
 * runs exactly once, from the loop, never before this returns, and the probe
 * is gone afterwards: with PROBE_LINE once the first line or 12 bytes of it
 * are there, with PROBE_ALL when the other side has closed (at most 4 MiB).
 * The answer is empty when nothing came within timeout_ms.
 */
enum probe_size { PROBE_LINE, PROBE_ALL };
struct probe *probe_start(struct event_base *base, const char *address,
    const char *request, enum probe_size size, int64_t timeout_ms,
    void (*on_answer)(void *arg, struct slice answer), void *arg);
/* Ends it without on_answer. */
void probe_cancel(struct probe *probe);

#endif
