#ifndef LH_WORKER_SSE_H
#define LH_WORKER_SSE_H

/*
 * sse: an incremental parser of server-sent events, as the WHATWG HTML
 * standard (9.2.6) has it: LF, CR and CRLF; a byte order mark at the start;
 * comments; several data lines joined by LF; `id` and `retry` ignored. An
 * event that no blank line closes is not reported. The input may be cut at
 * any byte.
 */

#include <stdbool.h>

#include "common/base/buffer.h"

#define SSE_LINE_MAX (8u * 1024 * 1024)
#define SSE_EVENT_MAX (16u * 1024 * 1024)
/* A longer event name is cut to this. */
#define SSE_NAME_MAX 64

struct sse_parser {
    /* name is empty when the event has none. Both live until it returns.
     * A return of -1 ends the parsing. */
    int (*on_event)(void *arg, struct slice name, struct slice data);
    void *arg;
    size_t line_max;
    size_t event_max;
    struct buffer line; /* a line that is not complete yet */
    struct buffer data;
    bool has_data;
    bool skip_lf; /* the last byte was CR */
    bool started; /* the place of the byte order mark is behind us */
    bool failed;
    size_t name_len;
    char name[SSE_NAME_MAX];
};

void sse_init(struct sse_parser *sse,
    int (*on_event)(void *arg, struct slice name, struct slice data),
    void *arg);
void sse_clear(struct sse_parser *sse);
/* 0, or -1: a line or an event is over its limit, or on_event said so.
 * Every further call then fails. */
int sse_feed(struct sse_parser *sse, const void *data, size_t len) MUST_CHECK;

#endif
