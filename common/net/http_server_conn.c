#include <assert.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/net/http_server_impl.h"

/* What a client may send ahead while its request is being answered; also
 * what is seen of it, so that its end is noticed. */
#define STASH_MAX HTTP_READ_BYTES

static size_t
stash_len(const struct http_conn *conn)
{
    return conn->stash.len - conn->stash_at;
}

size_t
http_conn_out_len(const struct http_conn *conn)
{
    return conn->out != NULL ? evbuffer_get_length(conn->out) : 0;
}

bool
http_conn_has_input(const struct http_conn *conn)
{
    char c;

    return recv(conn->fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* An idle connection's deadline tells since when it is idle. */
bool
http_conn_is_fresh(const struct http_conn *conn)
{
    int64_t since_ms = conn->deadline_ms - conn->server->limits.idle_timeout_ms;

    return conn->fresh && clock_mono_ms() - since_ms < HTTP_FRESH_MS;
}

static bool
conn_is_backed_up(const struct http_conn *conn)
{
    return http_conn_out_len(conn) >= conn->server->limits.max_write_bytes;
}

/* Exactly the connections that can be closed without loss are idle. */
static void
conn_place(struct http_conn *conn)
{
    struct http_server *server = conn->server;
    bool idle =
        conn->state == CONN_IDLE && conn->out == NULL && stash_len(conn) == 0;

    if (idle == conn->idle)
        return;
    TAILQ_REMOVE(conn->idle ? &server->idle : &server->busy, conn, link);
    conn->idle = idle;
    TAILQ_INSERT_TAIL(idle ? &server->idle : &server->busy, conn, link);
    if (idle)
        conn->deadline_ms = clock_mono_ms() + server->limits.idle_timeout_ms;
}

void
http_conn_schedule(struct http_conn *conn)
{
    if (conn->queued || conn->running)
        return;
    conn->queued = true;
    TAILQ_INSERT_TAIL(&conn->server->runs, conn, run);
    http_server_wake(conn->server);
}

void
http_conn_kill(struct http_conn *conn)
{
    struct http_server *server = conn->server;
    struct http_request *req = conn->req;

    assert(conn->state != CONN_DEAD);
    conn->state = CONN_DEAD;
    event_del(&conn->on_readable);
    event_del(&conn->on_writable);
    close(conn->fd);
    TAILQ_REMOVE(conn->idle ? &server->idle : &server->busy, conn, link);
    TAILQ_INSERT_TAIL(&server->dead, conn, link);
    server->stats.connections--;
    http_listeners_resume(server);
    http_server_wake(server);
    if (req != NULL) {
        http_request_gone(req);
        conn->req = NULL;
        http_request_release(req);
    }
}

void
http_conn_free(struct http_conn *conn)
{
    if (conn->queued)
        TAILQ_REMOVE(&conn->server->runs, conn, run);
    if (conn->out != NULL)
        evbuffer_free(conn->out);
    buffer_clear(&conn->stash);
    memory_free(conn);
}

void
http_conn_write(struct http_conn *conn, const void *data, size_t len)
{
    if (conn->out == NULL) {
        conn->out = evbuffer_new();
        assert(conn->out != NULL);
        conn->stall_ms = clock_mono_ms() + conn->server->limits.write_stall_ms;
    }
    (void)evbuffer_add(conn->out, data, len);
}

/* --- from bytes to requests --- */

static void
conn_begin_request(struct http_conn *conn)
{
    conn->req = http_request_new(conn);
    conn->fresh = false;
    conn->state = CONN_HEAD;
    conn->deadline_ms =
        clock_mono_ms() + conn->server->limits.header_deadline_ms;
    conn_place(conn);
}

static void
conn_end_request(struct http_conn *conn, enum conn_state next)
{
    struct http_request *req = conn->req;

    conn->state = next;
    conn->req = NULL;
    http_request_release(req);
}

/* The answer is complete (in the output); the request may not be. */
static void
conn_after_reply(struct http_conn *conn)
{
    if (conn->state == CONN_WAIT) {
        conn_end_request(conn, conn->req->keep ? CONN_IDLE : CONN_FLUSH);
    } else if (conn->req->keep) {
        conn->state = CONN_DROP;
    } else {
        conn->linger = true;
        conn_end_request(conn, CONN_FLUSH);
    }
}

static void
conn_drop(struct http_conn *conn, size_t len)
{
    conn->req->dropped += len;
    if (conn->req->dropped > HTTP_DROP_BYTES) {
        conn->linger = true;
        conn_end_request(conn, CONN_FLUSH);
    }
}

static void
conn_on_refused(struct http_conn *conn)
{
    const struct http_parser *parser = &conn->req->parser;

    if (conn->state != CONN_DROP) {
        http_request_refuse(
            conn->req, parser->error_status, parser->error_reason);
        return;
    }
    conn->server->stats.rejected++;
    conn->linger = true;
    conn_end_request(conn, CONN_FLUSH);
}

static void
conn_on_parsed(
    struct http_conn *conn, enum http_parse_status status, struct slice body)
{
    switch (status) {
    case HTTP_PARSE_MORE: break;
    case HTTP_PARSE_HEAD:
        conn->state = CONN_BODY;
        conn->window_ms = clock_mono_ms();
        conn->window_bytes = 0;
        http_request_on_head(conn->req);
        break;
    case HTTP_PARSE_BODY:
        conn->window_bytes += body.len;
        if (conn->state == CONN_DROP)
            conn_drop(conn, body.len);
        else
            http_request_on_body(conn->req, body);
        break;
    case HTTP_PARSE_DONE:
        if (conn->state == CONN_DROP) {
            conn_end_request(conn, CONN_IDLE);
            break;
        }
        conn->state = CONN_WAIT;
        http_request_on_done(conn->req);
        break;
    case HTTP_PARSE_ERROR: conn_on_refused(conn); break;
    }
}

/* 100 Continue waits for a handler that has paused, as its body does. */
static void
conn_invite_body(struct http_conn *conn)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";

    if (!conn->req->wants_continue)
        return;
    conn->req->wants_continue = false;
    http_conn_write(conn, text, sizeof(text) - 1);
}

/* Takes as many of the bytes as can be taken now; says how many. */
static size_t
conn_take(struct http_conn *conn, const char *data, size_t len)
{
    enum http_parse_status status;
    struct slice body;
    size_t at = 0, used;

    for (;;) {
        if (conn->req != NULL && conn->req->ended && conn->state != CONN_DROP)
            conn_after_reply(conn);
        if (conn->state >= CONN_FLUSH) {
            conn->linger = conn->linger || at < len;
            return len;
        }
        if (conn->state == CONN_WAIT)
            return at;
        if (conn->state == CONN_IDLE) {
            if (at == len || conn_is_backed_up(conn))
                return at;
            conn_begin_request(conn);
        }
        if (conn->state == CONN_BODY) {
            if (conn->req->paused)
                return at;
            conn_invite_body(conn);
        }
        status = http_parser_feed(
            &conn->req->parser, data + at, len - at, &used, &body);
        at += used;
        if (status == HTTP_PARSE_MORE)
            return at;
        conn_on_parsed(conn, status, body);
    }
}

static void
conn_take_stash(struct http_conn *conn)
{
    size_t used =
        conn_take(conn, conn->stash.data + conn->stash_at, stash_len(conn));

    conn->stash_at += used;
    if (stash_len(conn) == 0) {
        buffer_clear(&conn->stash);
        conn->stash_at = 0;
    }
}

static void
conn_take_input(struct http_conn *conn, const char *data, size_t len)
{
    size_t used = 0;

    if (stash_len(conn) == 0)
        used = conn_take(conn, data, len);
    if (used == len)
        return;
    /* A client that is always ahead must not make it grow for ever. */
    if (conn->stash_at >= STASH_MAX) {
        buffer_consume(&conn->stash, conn->stash_at);
        conn->stash_at = 0;
    }
    buffer_append(&conn->stash, data + used, len - used);
}

static void
conn_take_eof(struct http_conn *conn)
{
    conn->eof = true;
    switch (conn->state) {
    case CONN_WAIT:
        /* It may have ended its side only, and still read. */
        conn->deadline_ms =
            clock_mono_ms() + conn->server->limits.half_close_ms;
        break;
    case CONN_DROP: conn_end_request(conn, CONN_FLUSH); break;
    case CONN_LINGER: http_conn_kill(conn); break;
    case CONN_IDLE:
    case CONN_HEAD:
    case CONN_BODY:
    case CONN_FLUSH:
    case CONN_DEAD: break;
    }
}

/* --- from the output to the socket --- */

/* 0, or -1 when the client is gone. */
static int
conn_flush(struct http_conn *conn)
{
    int n;

    if (conn->out == NULL)
        return 0;
    n = evbuffer_write(conn->out, conn->fd);
    if (n > 0)
        conn->stall_ms = clock_mono_ms() + conn->server->limits.write_stall_ms;
    else if (n < 0 && errno != EAGAIN && errno != EINTR)
        return -1;
    if (evbuffer_get_length(conn->out) > 0) {
        event_add(&conn->on_writable, NULL);
        return 0;
    }
    event_del(&conn->on_writable);
    evbuffer_free(conn->out);
    conn->out = NULL;
    return 0;
}

/* A streaming handler may go on; true if it was told. */
static bool
conn_tell_drained(struct http_conn *conn)
{
    struct http_request *req = conn->req;

    if (req == NULL || !req->blocked || req->ended || conn_is_backed_up(conn))
        return false;
    req->blocked = false;
    if (req->on_drain != NULL)
        req->on_drain(req, req->arg);
    return req->on_drain != NULL;
}

/* Everything is written: the end, at once or when the client has read. */
static void
conn_finish(struct http_conn *conn)
{
    if (!conn->linger || conn->eof || shutdown(conn->fd, SHUT_WR) != 0) {
        http_conn_kill(conn);
        return;
    }
    conn->state = CONN_LINGER;
    conn->deadline_ms = clock_mono_ms() + conn->server->limits.linger_ms;
}

static bool
conn_wants_input(const struct http_conn *conn)
{
    if (conn->eof)
        return false;
    switch (conn->state) {
    case CONN_IDLE:
    case CONN_BODY:
        return stash_len(conn) == 0 &&
            (conn->req == NULL || !conn->req->paused);
    case CONN_HEAD:
    case CONN_DROP:
    case CONN_LINGER: return true;
    case CONN_WAIT: return stash_len(conn) < STASH_MAX;
    case CONN_FLUSH:
    case CONN_DEAD: break;
    }
    return false;
}

static void
conn_set_reading(struct http_conn *conn)
{
    bool wanted = conn_wants_input(conn);

    if (wanted && !conn->reading)
        event_add(&conn->on_readable, NULL);
    else if (!wanted && conn->reading)
        event_del(&conn->on_readable);
    conn->reading = wanted;
}

/* Whether nothing can follow any more. */
static void
conn_end(struct http_conn *conn)
{
    bool ended = conn->eof && stash_len(conn) == 0;

    if (ended && (conn->state == CONN_HEAD || conn->state == CONN_BODY)) {
        http_conn_kill(conn);
        return;
    }
    if (conn->state == CONN_IDLE && stash_len(conn) == 0 &&
        (ended || conn->server->draining))
        conn->state = CONN_FLUSH;
    if (conn->state == CONN_FLUSH && conn->out == NULL)
        conn_finish(conn);
}

static bool
conn_can_go_on(const struct http_conn *conn)
{
    return conn->state == CONN_IDLE && stash_len(conn) > 0 &&
        !conn_is_backed_up(conn);
}

void
http_conn_settle(struct http_conn *conn)
{
    bool told;

    conn->running = true;
    do {
        conn_take_stash(conn);
        if (conn_flush(conn) != 0) {
            http_conn_kill(conn);
            return;
        }
        told = conn_tell_drained(conn);
    } while (conn_can_go_on(conn));
    conn->running = false;
    if (told)
        http_conn_schedule(conn);
    conn_end(conn);
    if (conn->state == CONN_DEAD)
        return;
    conn_set_reading(conn);
    conn_place(conn);
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct http_conn *conn = arg;
    struct http_server *server = conn->server;
    ssize_t n = recv(fd, server->scratch, HTTP_READ_BYTES, 0);

    (void)what;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    server->depth++;
    conn->running = true;
    if (n < 0)
        http_conn_kill(conn);
    else if (n == 0)
        conn_take_eof(conn);
    else
        conn_take_input(conn, server->scratch, (size_t)n);
    if (conn->state != CONN_DEAD)
        http_conn_settle(conn);
    server->depth--;
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct http_conn *conn = arg;
    struct http_server *server = conn->server;

    (void)fd;
    (void)what;
    server->depth++;
    http_conn_settle(conn);
    server->depth--;
}

/* --- opening and time --- */

void
http_conn_open(struct http_server *server, int fd, bool refuse)
{
    struct http_conn *conn = memory_zalloc(1, sizeof(*conn));

    conn->server = server;
    conn->fd = fd;
    conn->state = CONN_IDLE;
    conn->idle = true;
    conn->fresh = true;
    conn->deadline_ms = clock_mono_ms() + server->limits.idle_timeout_ms;
    event_assign(&conn->on_readable, server->base, fd, EV_READ | EV_PERSIST,
        on_readable, conn);
    event_assign(&conn->on_writable, server->base, fd, EV_WRITE | EV_PERSIST,
        on_writable, conn);
    TAILQ_INSERT_TAIL(&server->idle, conn, link);
    server->stats.connections++;
    http_server_start_ticking(server);
    if (refuse) {
        conn_begin_request(conn);
        http_request_refuse(conn->req, 503, "There are too many connections.");
        http_conn_schedule(conn);
    } else {
        conn_set_reading(conn);
    }
}

/* Whether a body comes in too slowly. Looked at in windows, so that a fast
 * start buys no standstill. A paused handler stops the clock. */
static bool
conn_is_too_slow(struct http_conn *conn, int64_t now_ms)
{
    const struct http_limits *limits = &conn->server->limits;
    uint64_t wanted =
        limits->body_min_bytes_per_s * (uint64_t)limits->body_grace_ms / 1000;

    if (conn->req->paused || stash_len(conn) > 0) {
        conn->window_ms = now_ms;
        conn->window_bytes = 0;
        return false;
    }
    if (now_ms - conn->window_ms < limits->body_grace_ms)
        return false;
    if (conn->window_bytes < (wanted > 0 ? wanted : 1))
        return true;
    conn->window_ms = now_ms;
    conn->window_bytes = 0;
    return false;
}

void
http_conn_tick(struct http_conn *conn, int64_t now_ms)
{
    bool late = now_ms >= conn->deadline_ms;
    const char *slow = NULL;

    if (conn->out != NULL && now_ms >= conn->stall_ms) {
        conn->server->stats.rejected++;
        http_conn_kill(conn);
        return;
    }
    if (conn->state == CONN_HEAD && late)
        slow = "The header did not arrive in time.";
    else if (conn->state == CONN_BODY && conn_is_too_slow(conn, now_ms))
        slow = "The body arrives too slowly.";
    if (slow != NULL) {
        http_request_refuse(conn->req, 408, slow);
        http_conn_settle(conn);
    } else if ((conn->state == CONN_WAIT && conn->eof && late) ||
        (conn->state == CONN_LINGER && late) ||
        (conn->state == CONN_DROP && conn_is_too_slow(conn, now_ms))) {
        http_conn_kill(conn);
    }
}
