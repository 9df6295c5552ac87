#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/net/http_server_impl.h"

#define SPARES 64
/* What a spare request keeps of its buffers. */
#define SPARE_BYTES 4096

/* --- life --- */

struct http_request *
http_request_new(struct http_conn *conn)
{
    struct http_server *server = conn->server;
    struct http_request *req;

    if (server->spare_count > 0) {
        req = server->spares[--server->spare_count];
    } else {
        req = memory_alloc(sizeof(*req));
        req->fields = req->decoded = (struct buffer){NULL, 0, 0};
        http_parser_init(&req->parser);
    }
    memset((char *)req + offsetof(struct http_request, conn), 0,
        sizeof(*req) - offsetof(struct http_request, conn));
    req->conn = conn;
    req->began_us = clock_mono_us();
    id_make("req_", req->id);
    server->stats.requests_in_flight++;
    return req;
}

void
http_request_free(struct http_request *req)
{
    http_parser_clear(&req->parser);
    buffer_clear(&req->fields);
    buffer_clear(&req->decoded);
    buffer_clear(&req->body);
    memory_free(req);
}

void
http_request_release(struct http_request *req)
{
    struct http_server *server = req->conn->server;

    server->stats.requests_in_flight--;
    if (server->spares == NULL)
        server->spares = memory_zalloc(SPARES, sizeof(struct http_request *));
    if (server->spare_count == SPARES || req->parser.bytes.cap > SPARE_BYTES ||
        req->fields.cap > SPARE_BYTES || req->decoded.cap > SPARE_BYTES) {
        http_request_free(req);
        return;
    }
    http_parser_next(&req->parser);
    buffer_reset(&req->fields);
    buffer_clear(&req->body);
    server->spares[server->spare_count++] = req;
}

void
http_request_gone(struct http_request *req)
{
    void (*on_gone)(struct http_request *, void *) = req->on_gone;

    req->on_gone = NULL;
    if (on_gone != NULL && !req->ended)
        on_gone(req, req->arg);
}

uint64_t
http_request_left(const struct http_request *req)
{
    if (req->conn->state == CONN_WAIT)
        return 0;
    if (req->conn->state == CONN_HEAD || req->parser.head.chunked)
        return UINT64_MAX;
    return req->parser.left;
}

void
http_request_refuse(
    struct http_request *req, unsigned status, const char *message)
{
    req->conn->server->stats.rejected++;
    /* Whatever happens, the framing is lost. */
    req->parser.head.keep_alive = false;
    http_request_gone(req);
    if (req->ended)
        return;
    if (req->started)
        http_reply_abort(req);
    else
        http_reply_error(req, status, NULL, message, status == 503 ? 1 : 0);
}

/* --- checks before a handler runs --- */

static bool
is_json(struct slice type)
{
    struct slice essence = slice_trim(slice_split(&type, ';'));

    if (slice_equal_nocase(essence, "application/json"))
        return true;
    return essence.len > strlen("application/+json") &&
        slice_equal_nocase(
            slice_make(essence.data, strlen("application/")), "application/") &&
        slice_equal_nocase(
            slice_make(
                essence.data + essence.len - strlen("+json"), strlen("+json")),
            "+json");
}

/* 0, or a status with *message. */
static unsigned
check_head(struct http_request *req, const char **message)
{
    const struct http_head *head = &req->parser.head;
    const struct http_hooks *hooks = &req->conn->server->hooks;

    if (hooks->host_allowed != NULL &&
        !hooks->host_allowed(hooks->arg, head->host)) {
        *message =
            "This host is not served here; the operator allows hosts with "
            "LONGHAUL_PUBLIC_URL or LONGHAUL_ALLOWED_HOSTS.";
        return 421;
    }
    if (http_head_count(head, "authorization") > 1 ||
        http_head_count(head, "x-api-key") > 1) {
        *message = "There is more than one credential header of a kind.";
        return 400;
    }
    return 0;
}

static unsigned
check_route(struct http_request *req, const char **message)
{
    struct buffer allow = {NULL, 0, 0};

    switch (http_route_find(req)) {
    case HTTP_MATCHED: return 0;
    case HTTP_BAD_PATH: *message = "The path is badly escaped."; return 400;
    case HTTP_NO_PATH: *message = "There is nothing at this path."; return 404;
    case HTTP_OTHER_METHOD: break;
    }
    http_route_allow(req, &allow);
    http_reply_header(req, "Allow", allow.data);
    buffer_clear(&allow);
    *message = "This path does not take this method.";
    return 405;
}

static unsigned
check_credentials(struct http_request *req, const char **message)
{
    const struct http_hooks *hooks = &req->conn->server->hooks;
    const struct http_route *route = req->route;
    int status;

    if ((route->flags & HTTP_ROUTE_OPEN) != 0 || hooks->authorise == NULL)
        return 0;
    *message = "Not allowed.";
    status = hooks->authorise(
        hooks->arg, &req->parser.head, route->scope, &req->identity, message);
    if (status == 401)
        http_reply_header(req, "WWW-Authenticate", "Bearer");
    return (unsigned)status;
}

static unsigned
check_body(struct http_request *req, const char **message)
{
    const struct http_head *head = &req->parser.head;
    const struct http_route *route = req->route;

    if (!head->chunked && head->length == 0)
        return 0;
    if (route->max_body == 0) {
        *message = "This method takes no body here.";
        return 413;
    }
    if (head->length > route->max_body) {
        *message = "The body is too large.";
        return 413;
    }
    size_t codings = http_head_count(head, "content-encoding");
    if (codings > 1 ||
        (codings == 1 &&
            !slice_equal_nocase(
                http_head_get(head, "content-encoding"), "identity"))) {
        *message = "The body must be sent as it is, without a "
                   "Content-Encoding.";
        return 415;
    }
    if ((route->flags & HTTP_ROUTE_ANY_TYPE) == 0 &&
        (http_head_count(head, "content-type") != 1 ||
            !is_json(http_head_get(head, "content-type")))) {
        *message = "The body must be sent with Content-Type: "
                   "application/json.";
        return 415;
    }
    return 0;
}

static void
answer_options(struct http_request *req)
{
    const struct http_head *head = &req->parser.head;
    struct buffer allow = {NULL, 0, 0};

    http_route_allow(req, &allow);
    http_reply_header(req, "Allow", allow.data);
    if (http_reply_is_cross_origin(req) &&
        http_head_count(head, "access-control-request-method") > 0) {
        http_reply_header(req, "Access-Control-Allow-Methods", allow.data);
        http_reply_header(req, "Access-Control-Allow-Headers",
            "content-type, authorization, x-api-key, idempotency-key, "
            "anthropic-version, anthropic-beta, prefer, if-none-match");
        http_reply_header(req, "Access-Control-Max-Age", "600");
    }
    buffer_clear(&allow);
    http_reply(req, 204, NULL, NULL, 0);
}

static bool
is_options(struct http_request *req)
{
    const struct http_head *head = &req->parser.head;

    if (!slice_equal_text(head->method, "OPTIONS"))
        return false;
    return slice_equal_text(head->path, "*") ||
        http_route_find(req) == HTTP_OTHER_METHOD;
}

/* --- dispatch --- */

void
http_request_on_head(struct http_request *req)
{
    const char *message = NULL;
    unsigned status = check_head(req, &message);

    if (status == 0 && is_options(req)) {
        answer_options(req);
        return;
    }
    if (status == 0)
        status = check_route(req, &message);
    if (status == 0)
        status = check_credentials(req, &message);
    if (status == 0)
        status = check_body(req, &message);
    if (status != 0) {
        http_reply_error(req, status, NULL, message, 0);
        return;
    }
    req->wants_continue =
        req->parser.head.expects_continue && http_request_left(req) > 0;
    if (req->route->on_body != NULL) {
        req->dispatched = true;
        req->route->handle(req, req->program);
    }
}

void
http_request_on_body(struct http_request *req, struct slice data)
{
    req->received += data.len;
    if (req->started)
        return;
    if (req->received > req->route->max_body) {
        req->parser.head.keep_alive = false;
        http_request_gone(req);
        http_reply_error(req, 413, NULL, "The body is too large.", 0);
    } else if (req->route->on_body != NULL) {
        req->route->on_body(req, data);
    } else {
        buffer_append_slice(&req->body, data);
    }
}

void
http_request_on_done(struct http_request *req)
{
    if (req->started)
        return;
    if (!req->dispatched)
        req->route->handle(req, req->program);
    else if (req->route->on_end != NULL)
        req->route->on_end(req);
}

/* --- what handlers see --- */

const struct http_head *
http_request_head(const struct http_request *req)
{
    return &req->parser.head;
}

struct slice
http_request_param(const struct http_request *req, const char *name)
{
    for (size_t i = 0; i < req->param_count; i++) {
        if (slice_equal_text(req->params[i].name, name))
            return req->params[i].value;
    }
    return SLICE_NULL;
}

struct slice
http_request_body(const struct http_request *req)
{
    return buffer_slice(&req->body);
}

const void *
http_request_identity(const struct http_request *req)
{
    return req->identity;
}

const char *
http_request_id(const struct http_request *req)
{
    return req->id;
}

void *
http_request_program(const struct http_request *req)
{
    return req->program;
}

struct event_base *
http_request_base(const struct http_request *req)
{
    return req->conn->server->base;
}

void
http_request_set_arg(struct http_request *req, void *arg,
    void (*on_gone)(struct http_request *req, void *arg))
{
    req->arg = arg;
    req->on_gone = on_gone;
}

void *
http_request_arg(const struct http_request *req)
{
    return req->arg;
}

void
http_request_pause(struct http_request *req)
{
    req->paused = true;
    http_conn_schedule(req->conn);
}

void
http_request_resume(struct http_request *req)
{
    req->paused = false;
    http_conn_schedule(req->conn);
}
