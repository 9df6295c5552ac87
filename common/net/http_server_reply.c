#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/base/clock.h"
#include "common/net/http_server_impl.h"

/* Bodies up to here are copied behind the head: one piece to write. */
#define COPY_MAX 4096

static const struct status {
    unsigned status;
    const char *reason;
    const char *type;
} statuses[] = {
    {200, "OK", NULL},
    {201, "Created", NULL},
    {202, "Accepted", NULL},
    {204, "No Content", NULL},
    {206, "Partial Content", NULL},
    {301, "Moved Permanently", NULL},
    {302, "Found", NULL},
    {303, "See Other", NULL},
    {304, "Not Modified", NULL},
    {307, "Temporary Redirect", NULL},
    {308, "Permanent Redirect", NULL},
    {400, "Bad Request", "invalid_request_error"},
    {401, "Unauthorized", "authentication_error"},
    {402, "Payment Required", "billing_error"},
    {403, "Forbidden", "permission_error"},
    {404, "Not Found", "not_found_error"},
    {405, "Method Not Allowed", "invalid_request_error"},
    {406, "Not Acceptable", "invalid_request_error"},
    {408, "Request Timeout", "invalid_request_error"},
    {409, "Conflict", "invalid_request_error"},
    {410, "Gone", "not_found_error"},
    {411, "Length Required", "invalid_request_error"},
    {412, "Precondition Failed", "invalid_request_error"},
    {413, "Content Too Large", "request_too_large"},
    {414, "URI Too Long", "invalid_request_error"},
    {415, "Unsupported Media Type", "invalid_request_error"},
    {417, "Expectation Failed", "invalid_request_error"},
    {421, "Misdirected Request", "invalid_request_error"},
    {422, "Unprocessable Content", "invalid_request_error"},
    {424, "Failed Dependency", "invalid_request_error"},
    {428, "Precondition Required", "invalid_request_error"},
    {429, "Too Many Requests", "rate_limit_error"},
    {431, "Request Header Fields Too Large", "invalid_request_error"},
    {500, "Internal Server Error", "api_error"},
    {501, "Not Implemented", "invalid_request_error"},
    {502, "Bad Gateway", "api_error"},
    {503, "Service Unavailable", "overloaded_error"},
    {504, "Gateway Timeout", "timeout_error"},
    {505, "HTTP Version Not Supported", "invalid_request_error"},
    {507, "Insufficient Storage", "api_error"},
    {529, "Overloaded", "overloaded_error"},
};

static const struct status *
status_find(unsigned status)
{
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        if (statuses[i].status == status)
            return &statuses[i];
    }
    return NULL;
}

const char *
http_error_type(unsigned status)
{
    const struct status *row = status_find(status);

    if (row != NULL && row->type != NULL)
        return row->type;
    return status >= 500 ? "api_error" : "invalid_request_error";
}

/* IMF-fixdate, made once a second. */
static const char *
date_text(struct http_server *server)
{
    static const char days[][4] = {
        "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    int64_t now_s = clock_wall_ms() / 1000;
    time_t seconds = (time_t)now_s;
    struct tm tm;

    if (now_s == server->date_s)
        return server->date;
    server->date_s = now_s;
    (void)gmtime_r(&seconds, &tm);
    (void)snprintf(server->date, sizeof(server->date),
        "%s, %02d %s %d %02d:%02d:%02d GMT", days[tm.tm_wday], tm.tm_mday,
        months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
    return server->date;
}

/* --- the head --- */

static void
append_line(struct buffer *out, const char *name, const char *value)
{
    buffer_append_text(out, name);
    buffer_append(out, ": ", 2);
    buffer_append_text(out, value);
    buffer_append(out, "\r\n", 2);
}

void
http_reply_header(struct http_request *req, const char *name, const char *value)
{
    assert(!req->started);
    assert(strpbrk(value, "\r\n") == NULL && strpbrk(name, "\r\n:") == NULL);
    append_line(&req->fields, name, value);
}

bool
http_reply_is_cross_origin(const struct http_request *req)
{
    const struct http_hooks *hooks = &req->conn->server->hooks;
    const struct http_head *head = &req->parser.head;

    return hooks->origin_allowed != NULL &&
        http_head_count(head, "origin") == 1 &&
        hooks->origin_allowed(hooks->arg, http_head_get(head, "origin"));
}

static void
append_cors(const struct http_request *req, struct buffer *out)
{
    if (req->conn->server->hooks.origin_allowed == NULL)
        return;
    append_line(out, "Vary", "Origin");
    if (!http_reply_is_cross_origin(req))
        return;
    buffer_append_text(out, "Access-Control-Allow-Origin: ");
    buffer_append_slice(out, http_head_get(&req->parser.head, "origin"));
    buffer_append(out, "\r\n", 2);
    append_line(out, "Access-Control-Expose-Headers",
        "Location, Retry-After, ETag, Longhaul-Request-Id");
}

/* The connection outlives an answer if the rest of the request is known to
 * be short and on its way. */
static bool
request_keeps(const struct http_request *req)
{
    const struct http_conn *conn = req->conn;
    bool last = conn->eof && conn->stash.len == conn->stash_at;

    return req->parser.head.keep_alive && !last && !conn->server->draining &&
        http_request_left(req) <= HTTP_DROP_BYTES &&
        !(http_request_left(req) > 0 && req->parser.head.expects_continue);
}

static void
append_status(struct buffer *out, unsigned status)
{
    const struct status *row = status_find(status);

    buffer_append_text(out, "HTTP/1.1 ");
    buffer_append_u64(out, status);
    buffer_append_char(out, ' ');
    buffer_append_text(out, row != NULL ? row->reason : "Status");
    buffer_append(out, "\r\n", 2);
}

static bool
status_has_body(unsigned status)
{
    return status != 204 && status != 304;
}

/* Builds the head in server->head; `len` of the body, or -1 if unknown. */
static struct buffer *
build_head(
    struct http_request *req, unsigned status, const char *type, int64_t len)
{
    struct http_server *server = req->conn->server;
    struct buffer *out = &server->head;

    assert(!req->started);
    req->started = true;
    req->status = status;
    buffer_reset(out);
    append_status(out, status);
    append_line(out, "Date", date_text(server));
    append_line(out, "Longhaul-Request-Id", req->id);
    if (type != NULL) {
        append_line(out, "Content-Type", type);
        append_line(out, "X-Content-Type-Options", "nosniff");
    }
    append_cors(req, out);
    buffer_append_slice(out, buffer_slice(&req->fields));
    req->chunked = len < 0 && req->parser.head.minor > 0;
    req->keep = request_keeps(req) && (len >= 0 || req->chunked);
    if (req->chunked) {
        append_line(out, "Transfer-Encoding", "chunked");
    } else if (len >= 0 && status_has_body(status)) {
        buffer_append_text(out, "Content-Length: ");
        buffer_append_i64(out, len);
        buffer_append(out, "\r\n", 2);
    }
    if (!req->keep)
        append_line(out, "Connection", "close");
    else if (req->parser.head.minor == 0)
        append_line(out, "Connection", "keep-alive");
    buffer_append(out, "\r\n", 2);
    return out;
}

static bool
sends_body(const struct http_request *req)
{
    return status_has_body(req->status) &&
        !slice_equal_text(req->parser.head.method, "HEAD");
}

/* --- the end --- */

/* One of a closed set, so that it can be the label of a metric. */
static const char *
method_name(struct slice method)
{
    static const char *const names[] = {
        "GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (slice_equal_text(method, names[i]))
            return names[i];
    }
    return "OTHER";
}

static void
reply_complete(struct http_request *req)
{
    const struct http_hooks *hooks = &req->conn->server->hooks;

    assert(!req->ended);
    req->ended = true;
    req->on_gone = NULL;
    if (hooks->on_answer != NULL && req->status != 0)
        hooks->on_answer(hooks->arg, method_name(req->parser.head.method),
            req->route != NULL ? req->route->path : NULL, req->status,
            clock_mono_us() - req->began_us, req->sent);
    http_conn_schedule(req->conn);
}

void
http_reply(struct http_request *req, unsigned status, const char *type,
    const void *body, size_t len)
{
    struct buffer *head = build_head(req, status, type, (int64_t)len);
    bool whole = sends_body(req) && len > 0;

    if (whole && len <= COPY_MAX)
        buffer_append(head, body, len);
    http_conn_write(req->conn, head->data, head->len);
    if (whole && len > COPY_MAX)
        http_conn_write(req->conn, body, len);
    req->sent = whole ? len : 0;
    reply_complete(req);
}

static void
release_body(const void *data, size_t len, void *memory)
{
    (void)data;
    (void)len;
    memory_free(memory);
}

void
http_reply_buffer(struct http_request *req, unsigned status, const char *type,
    struct buffer *body)
{
    size_t len = body->len;
    struct buffer *head;
    char *memory;

    if (len <= COPY_MAX) {
        http_reply(req, status, type, body->data, len);
        buffer_clear(body);
        return;
    }
    head = build_head(req, status, type, (int64_t)len);
    http_conn_write(req->conn, head->data, head->len);
    if (sends_body(req)) {
        memory = buffer_take(body);
        req->sent = len;
        (void)evbuffer_add_reference(
            req->conn->out, memory, len, release_body, memory);
    }
    buffer_clear(body);
    reply_complete(req);
}

void
http_reply_error(struct http_request *req, unsigned status, const char *type,
    const char *message, unsigned retry_after_s)
{
    struct buffer body = {NULL, 0, 0};
    char seconds[16];

    if (type == NULL)
        type = http_error_type(status);
    if (retry_after_s > 0) {
        (void)snprintf(seconds, sizeof(seconds), "%u", retry_after_s);
        http_reply_header(req, "Retry-After", seconds);
    }
    buffer_append_text(&body, "{\"type\":\"error\",\"error\":{\"type\":");
    buffer_append_json(&body, slice_of(type));
    buffer_append_text(&body, ",\"message\":");
    buffer_append_json(&body, slice_of(message));
    buffer_append_text(&body, "},\"request_id\":");
    buffer_append_json(&body, slice_of(req->id));
    buffer_append_text(&body, "}\n");
    http_reply(req, status, "application/json", body.data, body.len);
    buffer_clear(&body);
}

/* --- answers of unknown length --- */

void
http_reply_start(struct http_request *req, unsigned status, const char *type,
    void (*on_drain)(struct http_request *req, void *arg))
{
    struct buffer *head = build_head(req, status, type, -1);

    req->on_drain = on_drain;
    /* What is left of the request is dropped, not waited for. */
    req->paused = false;
    http_conn_write(req->conn, head->data, head->len);
    http_conn_schedule(req->conn);
}

bool
http_reply_chunk(struct http_request *req, const void *data, size_t len)
{
    struct http_conn *conn = req->conn;
    char size[20];
    int n;

    assert(req->started && !req->ended);
    if (len > 0 && sends_body(req)) {
        n = snprintf(size, sizeof(size), "%zx\r\n", len);
        if (req->chunked)
            http_conn_write(conn, size, (size_t)n);
        http_conn_write(conn, data, len);
        if (req->chunked)
            http_conn_write(conn, "\r\n", 2);
        req->sent += len;
        http_conn_schedule(conn);
    }
    req->blocked =
        http_conn_out_len(conn) >= conn->server->limits.max_write_bytes;
    return !req->blocked;
}

void
http_reply_end(struct http_request *req)
{
    assert(req->started && !req->ended);
    if (req->chunked && sends_body(req))
        http_conn_write(req->conn, "0\r\n\r\n", 5);
    reply_complete(req);
}

void
http_reply_abort(struct http_request *req)
{
    req->started = true;
    req->keep = false;
    reply_complete(req);
}
