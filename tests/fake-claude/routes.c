#include "tests/fake-claude/routes.h"

#include "tests/fake-claude/call.h"
#include "tests/fake-claude/caller.h"
#include "tests/fake-claude/model_list.h"

#define MAX_BODY (32u * 1024 * 1024)
#define OPEN (HTTP_ROUTE_OPEN | HTTP_ROUTE_ANY_TYPE)

static void
fail(struct http_request *req, const struct api_error *error)
{
    struct buffer body = {0};
    caller_answer_headers(req, true);
    message_append_error(&body, error, http_request_id(req), false);
    http_reply_buffer(req, error->status, "application/json", &body);
}

static void
reply(struct http_request *req, struct buffer *body)
{
    caller_answer_headers(req, true);
    http_reply_buffer(req, 200, "application/json", body);
}

static void
count_tokens(struct http_request *req, void *program)
{
    struct simulator *sim = program;
    struct claude_request request = {0};
    struct caller caller;
    struct api_error error;
    struct buffer body = {0};
    int result = caller_read(http_request_head(req), &caller, &error);
    struct request_setting setting = {.catalog = sim->catalog,
        .version = caller.version,
        .has_betas = caller.has_betas,
        .count_only = true};
    if (result == 0)
        result =
            request_read(&setting, http_request_body(req), &request, &error);
    if (result != 0) {
        fail(req, &error);
    } else {
        buffer_printf(&body, "{\"input_tokens\":%llu}",
            (unsigned long long)request.prompt.tokens);
        reply(req, &body);
    }
    request_clear(&request);
}

static void
list_models(struct http_request *req, void *program)
{
    struct simulator *sim = program;
    struct caller caller;
    struct api_error error;
    struct buffer body = {0};
    const struct http_head *head = http_request_head(req);
    if (caller_read(head, &caller, &error) != 0 ||
        model_list_append_page(&body, sim->catalog, head->query, &error) != 0)
        fail(req, &error);
    else
        reply(req, &body);
}

static void
get_model(struct http_request *req, void *program)
{
    struct simulator *sim = program;
    struct caller caller;
    struct api_error error;
    struct buffer body = {0};
    struct slice id = http_request_param(req, "id");
    const struct catalog_model *model = catalog_find(sim->catalog, id);
    int result = caller_read(http_request_head(req), &caller, &error);
    if (result == 0 && model == NULL)
        result = api_error_set(&error, 404, "model: %.*s",
            (int)(id.len < 100 ? id.len : 100), id.data);
    if (result != 0) {
        fail(req, &error);
        return;
    }
    model_list_append(&body, model);
    reply(req, &body);
}

static void
say_ok(struct http_request *req, void *program)
{
    (void)program;
    http_reply(req, 200, "text/plain", "ok\n", 3);
}

static void
say_hello(struct http_request *req, void *program)
{
    (void)program;
    caller_answer_headers(req, true);
    http_reply(req, 200, NULL, NULL, 0);
}

const struct http_route routes_api[] = {
    {"POST", "/v1/messages", 0, OPEN, MAX_BODY, call_messages, NULL, NULL},
    {"POST", "/messages", 0, OPEN, MAX_BODY, call_messages, NULL, NULL},
    {"POST", "/v1/messages/count_tokens", 0, OPEN, MAX_BODY, count_tokens, NULL,
        NULL},
    {"GET", "/v1/models", 0, OPEN, 0, list_models, NULL, NULL},
    {"GET", "/v1/models/{id}", 0, OPEN, 0, get_model, NULL, NULL},
    {"HEAD", "/api/hello", 0, OPEN, 0, say_hello, NULL, NULL},
    {"GET", "/livez", 0, OPEN, 0, say_ok, NULL, NULL},
    {.method = NULL},
};

static void
set_mode(struct http_request *req, void *program)
{
    const char *what = "";
    struct api_error error;
    struct buffer body = {0};
    if (simulator_set_mode(program, http_request_body(req), &what) != 0) {
        (void)api_error_set(&error, 400, "%s", what);
        fail(req, &error);
        return;
    }
    simulator_append_stats(program, &body);
    reply(req, &body);
}

static void
get_stats(struct http_request *req, void *program)
{
    struct buffer body = {0};
    simulator_append_stats(program, &body);
    reply(req, &body);
}

static void
reset(struct http_request *req, void *program)
{
    simulator_reset(program);
    get_stats(req, program);
}

const struct http_route routes_control[] = {
    {"POST", "/_fake/mode", 0, OPEN, 65536, set_mode, NULL, NULL},
    {"GET", "/_fake/stats", 0, OPEN, 0, get_stats, NULL, NULL},
    {"POST", "/_fake/reset", 0, OPEN, 65536, reset, NULL, NULL},
    {.method = NULL},
};
