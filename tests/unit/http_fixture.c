#include "tests/unit/http_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"

struct http_fixture http_fixture;

static void
on_gone(struct http_request *req, void *arg)
{
    assert_ptr_equal(arg, &http_fixture);
    http_fixture.gone++;
    for (unsigned i = 0; i < http_fixture.later_count; i++) {
        if (http_fixture.later[i] == req)
            http_fixture.later[i] = NULL;
    }
    if (http_fixture.paused == req)
        http_fixture.paused = NULL;
}

static void
handle_hello(struct http_request *req, void *program)
{
    assert_ptr_equal(program, &http_fixture);
    http_fixture.handled++;
    http_reply(req, 200, "text/plain", "hello", 5);
}

static void
handle_echo(struct http_request *req, void *program)
{
    struct slice body = http_request_body(req);

    (void)program;
    http_fixture.handled++;
    http_reply(req, 200, "application/json", body.data, body.len);
}

static void
handle_later(struct http_request *req, void *program)
{
    (void)program;
    http_fixture.handled++;
    assert_true(http_fixture.later_count < 8);
    http_fixture.later[http_fixture.later_count++] = req;
    http_request_set_arg(req, &http_fixture, on_gone);
}

static void
handle_stream(struct http_request *req, void *program)
{
    (void)program;
    http_fixture.handled++;
    http_fixture.streamed = http_fixture.sum = 0;
    http_request_set_arg(req, &http_fixture, on_gone);
}

static void
on_stream_body(struct http_request *req, struct slice data)
{
    http_fixture.streamed += data.len;
    for (size_t i = 0; i < data.len; i++)
        http_fixture.sum = http_fixture.sum * 31 + (unsigned char)data.data[i];
    if (http_fixture.pause_at != 0 &&
        http_fixture.streamed >= http_fixture.pause_at) {
        http_fixture.pause_at = 0;
        http_fixture.paused = req;
        http_request_pause(req);
    }
}

static void
on_stream_end(struct http_request *req)
{
    char text[64];
    int len = snprintf(text, sizeof(text), "%llu %llu",
        (unsigned long long)http_fixture.streamed,
        (unsigned long long)http_fixture.sum);

    http_reply(req, 200, "text/plain", text, (size_t)len);
}

static void
handle_early(struct http_request *req, void *program)
{
    (void)program;
    http_fixture.handled++;
    http_request_set_arg(req, &http_fixture, on_gone);
    http_reply(req, 200, "text/plain", "early", 5);
}

static void
never_body(struct http_request *req, struct slice data)
{
    (void)req;
    (void)data;
    fail_msg("a body after the reply");
}

static void
never_end(struct http_request *req)
{
    (void)req;
    fail_msg("an end after the reply");
}

static void
handle_chunks(struct http_request *req, void *program)
{
    (void)program;
    http_fixture.handled++;
    http_reply_start(req, 200, "text/plain", NULL);
    assert_true(http_reply_chunk(req, "one", 3));
    assert_true(http_reply_chunk(req, "", 0));
    assert_true(http_reply_chunk(req, "two", 3));
    http_reply_end(req);
}

static void
flood(struct http_request *req, void *arg)
{
    static const char block[8192] = {'x'};

    assert_ptr_equal(arg, &http_fixture);
    while (http_fixture.flooded < http_fixture.flood_bytes) {
        http_fixture.flooded += sizeof(block);
        if (!http_reply_chunk(req, block, sizeof(block)))
            return;
    }
    http_reply_end(req);
}

static void
handle_flood(struct http_request *req, void *program)
{
    (void)program;
    http_fixture.handled++;
    http_fixture.flooded = 0;
    http_request_set_arg(req, &http_fixture, on_gone);
    http_reply_start(req, 200, "text/plain", flood);
    flood(req, &http_fixture);
}

static void
handle_cut(struct http_request *req, void *program)
{
    (void)program;
    http_fixture.handled++;
    http_reply_start(req, 200, "text/plain", NULL);
    (void)http_reply_chunk(req, "half", 4);
    http_reply_abort(req);
}

static void
handle_item(struct http_request *req, void *program)
{
    struct slice id = http_request_param(req, "id");

    (void)program;
    http_fixture.handled++;
    assert_int_equal(http_request_param(req, "other").len, 0);
    http_reply(req, 200, "text/plain", id.data, id.len);
}

static void
handle_delete(struct http_request *req, void *program)
{
    (void)program;
    http_fixture.handled++;
    http_reply_header(req, "X-Kept", "yes");
    http_reply(req, 204, NULL, NULL, 0);
}

static void
handle_secret(struct http_request *req, void *program)
{
    (void)program;
    http_fixture.handled++;
    assert_string_equal(http_request_identity(req), "somebody");
    http_reply(req, 200, "text/plain", "secret", 6);
}

static const struct http_route routes[] = {
    {.method = "GET", .path = "/hello", .handle = handle_hello},
    {.method = "GET",
        .path = "/open",
        .flags = HTTP_ROUTE_OPEN,
        .handle = handle_hello},
    {.method = "POST",
        .path = "/echo",
        .max_body = ECHO_MAX,
        .handle = handle_echo},
    {.method = "GET", .path = "/later", .handle = handle_later},
    {.method = "POST",
        .path = "/stream",
        .max_body = STREAM_MAX,
        .handle = handle_stream,
        .on_body = on_stream_body,
        .on_end = on_stream_end},
    {.method = "POST",
        .path = "/early",
        .max_body = STREAM_MAX,
        .handle = handle_early,
        .on_body = never_body,
        .on_end = never_end},
    {.method = "GET", .path = "/chunks", .handle = handle_chunks},
    {.method = "GET", .path = "/flood", .handle = handle_flood},
    {.method = "GET", .path = "/cut", .handle = handle_cut},
    {.method = NULL},
};

static const struct http_route more_routes[] = {
    {.method = "GET", .path = "/items/{id}/x", .handle = handle_item},
    {.method = "DELETE", .path = "/items/{id}/x", .handle = handle_delete},
    {.method = "GET", .path = "/secret", .scope = 7, .handle = handle_secret},
    {.method = "POST",
        .path = "/any",
        .flags = HTTP_ROUTE_ANY_TYPE,
        .max_body = 10,
        .handle = handle_echo},
    {.method = NULL},
};

static int
authorise(void *arg, const struct http_head *head, unsigned scope,
    const void **identity, const char **message)
{
    struct slice key = http_head_get(head, "x-api-key");

    assert_ptr_equal(arg, &http_fixture);
    if (scope == 0)
        return 0;
    assert_int_equal(scope, 7);
    if (slice_equal_text(key, "good")) {
        *identity = "somebody";
        return 0;
    }
    *message = key.len > 0 ? "wrong key" : "no key";
    return key.len > 0 ? 403 : 401;
}

static bool
host_allowed(void *arg, struct slice host)
{
    (void)arg;
    return !slice_equal_text(host, "evil.example");
}

static bool
origin_allowed(void *arg, struct slice origin)
{
    (void)arg;
    return slice_equal_text(origin, "https://app.example");
}

static void
on_answer(void *arg, const char *method, const char *route, unsigned status,
    int64_t duration_us, uint64_t body_bytes)
{
    (void)arg;
    (void)body_bytes;
    assert_non_null(method);
    assert_true(duration_us >= 0);
    http_fixture.answers++;
    http_fixture.last_status = status;
    text_copy(http_fixture.last_route, sizeof(http_fixture.last_route),
        slice_of(route != NULL ? route : "none"));
}

void
http_fixture_start(const struct http_limits *limits)
{
    const struct http_hooks hooks = {.arg = &http_fixture,
        .authorise = authorise,
        .host_allowed = host_allowed,
        .origin_allowed = origin_allowed,
        .on_answer = on_answer};
    const char *error = NULL;

    memset(&http_fixture, 0, sizeof(http_fixture));
    http_fixture.base = event_base_new();
    http_fixture.server = http_server_new(http_fixture.base, limits, &hooks);
    http_server_mount(http_fixture.server, routes, &http_fixture);
    http_server_mount(http_fixture.server, more_routes, &http_fixture);
    http_fixture.port =
        http_server_listen(http_fixture.server, "127.0.0.1:0", false, &error);
    assert_true(http_fixture.port > 0);
}

void
http_fixture_stop(void)
{
    http_server_free(http_fixture.server);
    http_fixture.server = NULL;
    event_base_free(http_fixture.base);
}

void
http_fixture_dial(struct peer *peer)
{
    peer_open(peer, http_fixture.base, http_fixture.port);
}

struct http_server_stats
http_fixture_stats(void)
{
    struct http_server_stats stats;

    http_server_get_stats(http_fixture.server, &stats);
    return stats;
}

void
http_fixture_wait(const unsigned *count, unsigned want)
{
    int64_t began = clock_mono_ms();

    while (*count < want) {
        event_base_loop(http_fixture.base, EVLOOP_NONBLOCK);
        poll(NULL, 0, 1);
        if (clock_mono_ms() - began > PEER_PATIENCE_MS)
            fail_msg("%u of %u", *count, want);
    }
}

void
http_fixture_wait_alone(void)
{
    int64_t began = clock_mono_ms();

    while (http_fixture_stats().connections > 0) {
        event_base_loop(http_fixture.base, EVLOOP_NONBLOCK);
        poll(NULL, 0, 1);
        assert_true(clock_mono_ms() - began < PEER_PATIENCE_MS);
    }
}

static void
on_nothing(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
}

unsigned
http_fixture_turn_for(int64_t ms)
{
    struct timeval interval = {0, 10000};
    struct event *beat =
        event_new(http_fixture.base, -1, EV_PERSIST, on_nothing, NULL);
    int64_t end = clock_mono_ms() + ms;
    unsigned turns = 0;

    event_add(beat, &interval);
    while (clock_mono_ms() < end) {
        event_base_loop(http_fixture.base, EVLOOP_ONCE);
        turns++;
    }
    event_free(beat);
    return turns;
}
