#ifndef LH_NET_HTTP_SERVER_IMPL_H
#define LH_NET_HTTP_SERVER_IMPL_H

/*
 * http_server_impl: what the files of http_server share.
 *
 *   http_server.c          the server: mount, tick, run queue, drain, free
 *   http_server_listen.c   sockets, accepting, the connection cap
 *   http_server_conn.c     one connection: read, parse, write, close
 *   http_server_request.c  one request: checks, dispatch, accessors
 *   http_server_route.c    the tables
 *   http_server_reply.c    answers
 *
 * Nothing is written or closed inside a call of a handler: replies go to
 * the connection's output and the connection is queued; the run queue, on
 * the next turn of the loop, flushes, goes on to the next request and frees
 * what died.
 */

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <sys/queue.h>

#include "common/base/id.h"
#include "common/net/http_server.h"

#define HTTP_MAX_PARAMS 4
/* How much of a body is read and dropped after an early reply. */
#define HTTP_DROP_BYTES (64 * 1024)
#define HTTP_READ_BYTES (64 * 1024)
#define HTTP_DATE_SIZE 32

enum conn_state {
    CONN_IDLE, /* between requests */
    CONN_HEAD, /* a request has begun */
    CONN_BODY, /* its body is being read */
    CONN_WAIT, /* all of it was read, the answer is not complete */
    CONN_DROP, /* answered early: the rest of the body is dropped */
    CONN_FLUSH, /* nothing more is taken: write, then close */
    CONN_LINGER, /* written and shut down; the client closes first */
    CONN_DEAD /* closed, to be freed by the run queue */
};

/* Kept small: ten thousand of them may be idle. */
struct http_conn {
    struct http_server *server;
    struct http_request *req;
    struct evbuffer *out; /* NULL when there is nothing to write */
    struct buffer stash; /* bytes read but not yet taken ... */
    size_t stash_at; /* ... from here on */
    int64_t deadline_ms; /* of the state, on the monotonic clock */
    int64_t stall_ms; /* of the output, while there is some */
    uint64_t window_bytes; /* of the body, since window_ms */
    int64_t window_ms;
    TAILQ_ENTRY(http_conn) link; /* idle, busy or dead */
    TAILQ_ENTRY(http_conn) run;
    struct event on_readable;
    struct event on_writable;
    int fd;
    enum conn_state state;
    bool idle; /* on the idle list, else on the busy list */
    bool fresh; /* no byte has come yet */
    bool eof; /* the client has ended its side */
    bool linger; /* the client may still be sending */
    bool queued; /* on the run queue */
    bool running; /* being settled, need not be queued */
    bool reading;
};

TAILQ_HEAD(http_conn_list, http_conn);

/* So long a client may take between connecting and its first byte before it
 * counts as one that has nothing to say. */
#define HTTP_FRESH_MS 1000

struct http_param {
    struct slice name;
    struct slice value;
};

struct http_request {
    struct http_parser parser;
    struct buffer fields; /* further header lines of the answer */
    struct buffer decoded; /* parameter values that had escapes */
    /* From here on cleared between uses. */
    struct http_conn *conn;
    const struct http_route *route;
    void *program;
    const void *identity;
    void *arg;
    void (*on_gone)(struct http_request *req, void *arg);
    void (*on_drain)(struct http_request *req, void *arg);
    struct buffer body;
    struct http_param params[HTTP_MAX_PARAMS];
    size_t param_count;
    int64_t began_us;
    uint64_t received;
    uint64_t sent;
    uint64_t dropped;
    unsigned status;
    bool dispatched; /* a streaming handler runs on_body and on_end */
    bool wants_continue;
    bool paused;
    bool started; /* the head of the answer is written */
    bool ended; /* the answer is complete */
    bool keep; /* the connection lives on after it */
    bool chunked;
    bool blocked; /* http_reply_chunk returned false */
    char id[ID_SIZE];
};

struct http_mount {
    const struct http_route *routes;
    void *program;
};

struct http_listener {
    struct http_server *server;
    struct event on_connection;
    int fd;
    bool tcp;
    char *path; /* of a unix socket */
    struct http_listener *next;
};

struct http_server {
    struct event_base *base;
    struct http_limits limits;
    struct http_hooks hooks;
    struct http_mount *mounts;
    size_t mount_count;
    struct http_listener *listeners;
    struct http_conn_list idle; /* oldest first */
    struct http_conn_list busy;
    struct http_conn_list dead;
    struct http_conn_list runs;
    struct event run;
    struct event tick;
    bool ticking;
    struct event resume;
    bool accept_paused;
    int64_t warned_ms; /* when it was last logged */
    int reserve_fd;
    struct http_server_stats stats;
    struct http_request **spares;
    size_t spare_count;
    char *scratch; /* HTTP_READ_BYTES: what was just read */
    struct buffer head; /* the answer's head being built */
    int64_t date_s;
    char date[HTTP_DATE_SIZE];
    bool draining;
    void (*on_drained)(void *arg);
    void *drained_arg;
    unsigned depth; /* inside a callback of the loop */
};

/* --- http_server.c --- */

/* The run callback comes on the next turn of the loop. */
void http_server_wake(struct http_server *server);
/* There is a connection: deadlines are looked at from now on. */
void http_server_start_ticking(struct http_server *server);
/* Makes room by closing the oldest idle connection that has sent nothing;
 * false if there is none. */
bool http_server_evict(struct http_server *server);

/* --- http_server_listen.c --- */

void http_listeners_close(struct http_server *server);
/* A descriptor became free. */
void http_listeners_resume(struct http_server *server);

/* --- http_server_conn.c --- */

/* Takes `fd` over; `refuse`: there is no room, answer 503 and close. */
void http_conn_open(struct http_server *server, int fd, bool refuse);
/* Closes at once; a handler's on_gone runs. Freed by the run queue. */
void http_conn_kill(struct http_conn *conn);
void http_conn_free(struct http_conn *conn);
/* Goes on with the connection from the run queue. */
void http_conn_schedule(struct http_conn *conn);
/* Takes what was read, writes, closes if it is time; may kill. */
void http_conn_settle(struct http_conn *conn);
/* What the clock has to say about a busy connection; may kill. */
void http_conn_tick(struct http_conn *conn, int64_t now_ms);
/* Whether bytes lie in its socket: a request that is not yet read is not
 * dropped. */
bool http_conn_has_input(const struct http_conn *conn);
/* Whether the client has just connected: its request is on the way. */
bool http_conn_is_fresh(const struct http_conn *conn);
size_t http_conn_out_len(const struct http_conn *conn);
void http_conn_write(struct http_conn *conn, const void *data, size_t len);

/* --- http_server_request.c --- */

struct http_request *http_request_new(struct http_conn *conn);
void http_request_release(struct http_request *req);
void http_request_free(struct http_request *req);
void http_request_on_head(struct http_request *req);
void http_request_on_body(struct http_request *req, struct slice data);
void http_request_on_done(struct http_request *req);
/* The request is broken or too slow: tells its handler, answers with an
 * error if that is still possible; the connection closes. */
void http_request_refuse(
    struct http_request *req, unsigned status, const char *message);
/* Tells the handler, once. */
void http_request_gone(struct http_request *req);
/* Body bytes that must still come; UINT64_MAX when that is unknown. */
uint64_t http_request_left(const struct http_request *req);

/* --- http_server_route.c --- */

enum http_match {
    HTTP_MATCHED,
    HTTP_OTHER_METHOD,
    HTTP_NO_PATH,
    HTTP_BAD_PATH
};

/* Sets route, program and params of the request. */
enum http_match http_route_find(struct http_request *req);
/* "GET, HEAD, OPTIONS" for the request's path. */
void http_route_allow(const struct http_request *req, struct buffer *out);

/* --- http_server_reply.c --- */

/* Whether it comes from an origin that the hook allows. */
bool http_reply_is_cross_origin(const struct http_request *req);

#endif
