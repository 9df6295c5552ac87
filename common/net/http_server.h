#ifndef LH_NET_HTTP_SERVER_H
#define LH_NET_HTTP_SERVER_H

/*
 * http_server: an HTTP/1.1 server on one libevent loop, on the strict parser
 * of http_parse. A program describes itself as a table of routes; several
 * tables can be mounted on one server. Everything runs on the loop's thread.
 *
 * Protection that needs no handler's help: header deadline, a minimum body
 * rate, idle timeout, connection cap (the oldest idle keep-alive connection
 * makes room), bounded write buffers, Host check, JSON content type on
 * bodies, 405 with Allow, 404, close after any framing error, accepting is
 * paused (not spun on) when descriptors run out. Errors are
 * {"type":"error","error":{"type","message"},"request_id"}.
 */

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/net/http_parse.h"

struct http_server;
struct http_request;

/* What a route allows without further checks; see http_route.flags. */
#define HTTP_ROUTE_ANY_TYPE 1u /* bodies need not be JSON */
#define HTTP_ROUTE_OPEN 2u /* no credential: health and documents */

/*
 * One row of a program's table. `path` is literal segments and {name}
 * parameters, such as "/v1/jobs/{id}/result".
 *
 * Buffered routes (on_body NULL): `handle` runs when the whole body is
 * there, at most max_body bytes (a longer one is answered 413).
 *
 * Streaming routes (on_body set): `handle` runs as soon as the head is
 * complete and authorised; it must set up req state with
 * http_request_set_arg(). Then on_body runs for each run of body bytes and
 * on_end after the last. An early http_reply() is allowed at any point; the
 * rest of the body is then read and dropped (bounded), or the connection
 * closed. 100-continue is sent by the server before the first body byte.
 */
struct http_route {
    const char *method;
    const char *path;
    unsigned scope; /* handed to the authorise hook; 0 with ROUTE_OPEN */
    unsigned flags;
    uint64_t max_body; /* 0: no body allowed */
    void (*handle)(struct http_request *req, void *program);
    void (*on_body)(struct http_request *req, struct slice data);
    void (*on_end)(struct http_request *req);
};

/* A zero means the default. */
struct http_limits {
    unsigned max_connections; /* default 10,000 */
    int64_t header_deadline_ms; /* from the first byte; default 10,000 */
    int64_t idle_timeout_ms; /* between requests; default 75,000 */
    int64_t body_grace_ms; /* before the rate counts; 5,000 */
    uint64_t body_min_bytes_per_s; /* default 1,024 */
    int64_t write_stall_ms; /* a reader that stands still; 30,000 */
    size_t max_write_bytes; /* pause streaming above this; 256 KiB */
    int64_t half_close_ms; /* an ended client's answer; 1,000 */
    int64_t linger_ms; /* for an early reply to be read; 1,000 */
};

struct http_hooks {
    void *arg;
    /*
     * Decides over credentials before a handler runs. Returns 0 and sets
     * *identity (handed to handlers), or an HTTP status (401, 403) after
     * which the server answers with *message. NULL: everything is allowed.
     */
    int (*authorise)(void *arg, const struct http_head *head, unsigned scope,
        const void **identity, const char **message);
    /* Whether this Host value is served; NULL: every one is. */
    bool (*host_allowed)(void *arg, struct slice host);
    /* The CORS origin check; NULL: no CORS headers, OPTIONS tells Allow. */
    bool (*origin_allowed)(void *arg, struct slice origin);
    /* After every answer, for metrics and logs. `route` is the pattern or
     * NULL for an unknown path; no path, query or header is handed out. */
    void (*on_answer)(void *arg, const char *method, const char *route,
        unsigned status, int64_t duration_us, uint64_t body_bytes);
};

/* Both structs are copied; NULL means defaults / none. SIGPIPE is ignored
 * from then on if the process had not decided about it. */
struct http_server *http_server_new(struct event_base *base,
    const struct http_limits *limits, const struct http_hooks *hooks);
/* Adds a table (a row with method NULL ends it); it must outlive the
 * server. `program` is handed to its handlers. */
void http_server_mount(
    struct http_server *server, const struct http_route *routes, void *program);
/*
 * Listens on "ADDRESS:PORT", ":PORT" (loopback), "[::1]:8080" or
 * "unix:PATH" (mode 0600); port 0 picks a free one. SO_REUSEPORT when
 * `shared`. Returns the port (0 for a unix socket) or -1 with a line for
 * people in *error (static).
 */
int http_server_listen(struct http_server *server, const char *address,
    bool shared, const char **error) MUST_CHECK;
/* Stops accepting, closes idle connections, answers what is in flight with
 * Connection: close. Who connected within the last second has one more to
 * send a request: else a restart would fail whoever just came. on_drained
 * runs once, from the loop. */
void http_server_drain(
    struct http_server *server, void (*on_drained)(void *arg), void *arg);
/* Closes everything; handlers' on_gone callbacks run. Not from inside a
 * handler or hook; on_drained may call it. */
void http_server_free(struct http_server *server);

struct http_server_stats {
    unsigned connections;
    unsigned requests_in_flight;
    uint64_t accepted;
    uint64_t rejected; /* closed for framing, deadline or rate */
};
void http_server_get_stats(
    const struct http_server *server, struct http_server_stats *stats);

/* --- inside handlers ------------------------------------------------- */

const struct http_head *http_request_head(const struct http_request *req);
/* The value of {name}, percent-decoded; empty if there is no such name. */
struct slice http_request_param(
    const struct http_request *req, const char *name);
/* The buffered body; lives until the reply. */
struct slice http_request_body(const struct http_request *req);
/* What the authorise hook set, or NULL. */
const void *http_request_identity(const struct http_request *req);
/* "req_..." : on every answer as Longhaul-Request-Id and in errors. */
const char *http_request_id(const struct http_request *req);
/* The program pointer given to http_server_mount. */
void *http_request_program(const struct http_request *req);
struct event_base *http_request_base(const struct http_request *req);

/*
 * State of a handler that answers later. on_gone runs at most once: when the
 * client left, or its body was refused, before the answer was complete (the
 * request must not be touched from then on). After a complete reply it does
 * not run. A client that ends its side of the connection after the request
 * is gone when half_close_ms have passed without a complete answer.
 */
void http_request_set_arg(struct http_request *req, void *arg,
    void (*on_gone)(struct http_request *req, void *arg));
void *http_request_arg(const struct http_request *req);

/* Stops and resumes reading the body of a streaming route (backpressure);
 * the body-rate clock stands still meanwhile. */
void http_request_pause(struct http_request *req);
void http_request_resume(struct http_request *req);

/* Adds a header to the answer; name and value are copied, CR, LF and NUL in
 * a value are fatal. Only before the reply. */
void http_reply_header(
    struct http_request *req, const char *name, const char *value);
/*
 * The whole answer. `type` is the Content-Type (NULL with an empty body);
 * the bytes are copied. After any reply the request is gone for the caller.
 */
void http_reply(struct http_request *req, unsigned status, const char *type,
    const void *body, size_t len);
/* Same, but takes the buffer's memory over; *body is empty afterwards. */
void http_reply_buffer(struct http_request *req, unsigned status,
    const char *type, struct buffer *body);
/* The error shape. `type` is one of Claude's error types, NULL picks the one
 * of the status. `retry_after_s` 0 leaves the header out (429 and 503 must
 * give one). */
void http_reply_error(struct http_request *req, unsigned status,
    const char *type, const char *message, unsigned retry_after_s);

/*
 * An answer of unknown length (chunked; HTTP/1.0: until close). start, then
 * chunk any number of times, then end. on_drain (may be NULL) runs when the
 * write buffer fell under the mark after http_reply_chunk returned false
 * (from the loop, never inside http_reply_chunk); after reply_start the rest
 * of an unfinished request body is dropped; a client that goes away is told
 * by on_gone, also between chunks.
 */
void http_reply_start(struct http_request *req, unsigned status,
    const char *type, void (*on_drain)(struct http_request *req, void *arg));
bool http_reply_chunk(struct http_request *req, const void *data, size_t len);
void http_reply_end(struct http_request *req);
/* Writes what was given so far and breaks the connection in the middle (the
 * simulator's cut answers). Also instead of any reply; then there is no
 * on_answer. */
void http_reply_abort(struct http_request *req);
/* Claude's error type for a status, such as "not_found_error". */
const char *http_error_type(unsigned status);

#endif
