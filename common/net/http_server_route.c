#include <assert.h>

#include "common/net/http_server_impl.h"

static bool
is_param(struct slice segment)
{
    return segment.len > 2 && segment.data[0] == '{';
}

/* Compares without keeping anything; most rows end at an early segment. */
static bool
path_matches(const char *pattern, struct slice path)
{
    struct slice want = slice_of(pattern);

    do {
        struct slice segment = slice_split(&want, '/');
        struct slice have = slice_split(&path, '/');

        if (is_param(segment) ? have.len == 0 : !slice_equal(have, segment))
            return false;
    } while (want.data != NULL && path.data != NULL);
    return want.data == NULL && path.data == NULL;
}

/* 0, or -1 when a value is badly escaped. */
static int
take_params(struct http_request *req)
{
    struct slice want = slice_of(req->route->path);
    struct slice path = req->parser.head.path;

    buffer_reset(&req->decoded);
    /* All of them fit, so that the buffer never moves. */
    (void)buffer_reserve(&req->decoded, path.len + HTTP_MAX_PARAMS);
    while (want.data != NULL) {
        struct slice segment = slice_split(&want, '/');
        struct slice have = slice_split(&path, '/');
        struct http_param *param = &req->params[req->param_count];
        char *text = buffer_reserve(&req->decoded, have.len + 1);

        if (!is_param(segment))
            continue;
        assert(req->param_count < HTTP_MAX_PARAMS);
        if (http_path_decode(have, text, have.len + 1) != 0)
            return -1;
        param->name = slice_make(segment.data + 1, segment.len - 2);
        param->value = slice_of(text);
        req->decoded.len += param->value.len + 1;
        req->param_count++;
    }
    return 0;
}

static bool
method_matches(const struct http_route *route, struct slice method)
{
    return slice_equal_text(method, route->method) ||
        (slice_equal_text(method, "HEAD") &&
            slice_equal_text(slice_of(route->method), "GET"));
}

enum http_match
http_route_find(struct http_request *req)
{
    const struct http_server *server = req->conn->server;
    const struct http_head *head = &req->parser.head;
    enum http_match match = HTTP_NO_PATH;

    for (size_t i = 0; i < server->mount_count; i++) {
        const struct http_route *row = server->mounts[i].routes;

        for (; row->method != NULL; row++) {
            if (!path_matches(row->path, head->path))
                continue;
            match = HTTP_OTHER_METHOD;
            if (!method_matches(row, head->method))
                continue;
            req->route = row;
            req->program = server->mounts[i].program;
            return take_params(req) == 0 ? HTTP_MATCHED : HTTP_BAD_PATH;
        }
    }
    return match;
}

/* Whether an earlier row of the path has the same method. */
static bool
is_listed(struct slice listed, const char *method)
{
    while (listed.len > 0) {
        if (slice_equal_text(slice_trim(slice_split(&listed, ',')), method))
            return true;
    }
    return false;
}

static void
list_method(struct buffer *out, const char *method)
{
    if (is_listed(buffer_slice(out), method))
        return;
    if (out->len > 0)
        buffer_append_text(out, ", ");
    buffer_append_text(out, method);
}

void
http_route_allow(const struct http_request *req, struct buffer *out)
{
    const struct http_server *server = req->conn->server;
    struct slice path = req->parser.head.path;
    bool any = slice_equal_text(path, "*");

    for (size_t i = 0; i < server->mount_count; i++) {
        const struct http_route *row = server->mounts[i].routes;

        for (; row->method != NULL; row++) {
            if (!any && !path_matches(row->path, path))
                continue;
            list_method(out, row->method);
            if (slice_equal_text(slice_of(row->method), "GET"))
                list_method(out, "HEAD");
        }
    }
    list_method(out, "OPTIONS");
}
