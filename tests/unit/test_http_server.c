#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "tests/unit/http_fixture.h"

#define JSON "Content-Type: application/json\r\n"
#define HOST "Host: localhost\r\n"

static int
start(void **state)
{
    (void)state;
    http_fixture_start(NULL);
    return 0;
}

static int
stop(void **state)
{
    (void)state;
    http_fixture_stop();
    return 0;
}

static void
expect_body(const struct peer_reply *reply, const char *body)
{
    assert_int_equal(reply->body.len, strlen(body));
    assert_memory_equal(reply->body.data, body, reply->body.len);
}

/* One request on the connection; its status and, if not NULL, its body. */
static void
expect(
    struct peer *peer, const char *request, unsigned status, const char *body)
{
    struct peer_reply reply;

    peer_send_text(peer, request);
    peer_reply(peer, strncmp(request, "HEAD", 4) == 0, &reply);
    if (reply.status != status)
        fail_msg("%u, not %u: %s", reply.status, status, request);
    if (body != NULL)
        expect_body(&reply, body);
    peer_reply_clear(&reply);
}

static void
every_answer_says_who_when_and_how_long(void **state)
{
    struct peer peer;
    struct peer_reply reply;

    (void)state;
    http_fixture_dial(&peer);
    peer_send_text(&peer, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    peer_reply(&peer, false, &reply);
    assert_int_equal(reply.status, 200);
    expect_body(&reply, "hello");
    assert_string_equal(peer_header(&reply, "Content-Length"), "5");
    assert_string_equal(peer_header(&reply, "Content-Type"), "text/plain");
    assert_string_equal(peer_header(&reply, "Connection"), "");
    assert_true(strlen(peer_header(&reply, "Date")) == 29);
    assert_memory_equal(peer_header(&reply, "Longhaul-Request-Id"), "req_", 4);
    assert_string_equal(http_fixture.last_route, "/hello");
    assert_int_equal(http_fixture.last_status, 200);
    assert_int_equal(http_fixture.answers, 1);
    peer_reply_clear(&reply);

    /* The same connection goes on. */
    expect(&peer, "GET /hello HTTP/1.1\r\n" HOST "\r\n", 200, "hello");
    assert_int_equal(http_fixture_stats().accepted, 1);
    peer_close(&peer);
}

static void
errors_have_the_one_shape(void **state)
{
    struct peer peer;
    struct peer_reply reply;
    char want[512];

    (void)state;
    http_fixture_dial(&peer);
    peer_send_text(&peer, "GET /nothing HTTP/1.1\r\n" HOST "\r\n");
    peer_reply(&peer, false, &reply);
    assert_int_equal(reply.status, 404);
    assert_string_equal(
        peer_header(&reply, "Content-Type"), "application/json");
    snprintf(want, sizeof(want),
        "{\"type\":\"error\",\"error\":{\"type\":\"not_found_error\","
        "\"message\":\"There is nothing at this path.\"},"
        "\"request_id\":\"%s\"}\n",
        peer_header(&reply, "Longhaul-Request-Id"));
    expect_body(&reply, want);
    assert_string_equal(http_fixture.last_route, "none");
    peer_reply_clear(&reply);
    peer_close(&peer);
}

static void
statuses_have_claudes_error_types(void **state)
{
    static const struct {
        unsigned status;
        const char *type;
    } cases[] = {{400, "invalid_request_error"}, {401, "authentication_error"},
        {403, "permission_error"}, {404, "not_found_error"},
        {405, "invalid_request_error"}, {413, "request_too_large"},
        {418, "invalid_request_error"}, {421, "invalid_request_error"},
        {429, "rate_limit_error"}, {431, "invalid_request_error"},
        {500, "api_error"}, {501, "invalid_request_error"}, {502, "api_error"},
        {503, "overloaded_error"}, {505, "invalid_request_error"},
        {599, "api_error"}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_string_equal(http_error_type(cases[i].status), cases[i].type);
}

static void
paths_and_methods_are_told_apart(void **state)
{
    struct peer peer;
    struct peer_reply reply;

    (void)state;
    http_fixture_dial(&peer);
    expect(&peer, "GET /items/a%20b/x HTTP/1.1\r\n" HOST "\r\n", 200, "a b");
    expect(&peer, "GET /items/a/x?y=/z HTTP/1.1\r\n" HOST "\r\n", 200, "a");
    expect(&peer, "GET /items//x HTTP/1.1\r\n" HOST "\r\n", 404, NULL);
    expect(&peer, "GET /items/a HTTP/1.1\r\n" HOST "\r\n", 404, NULL);
    expect(&peer, "GET /items/a/x/ HTTP/1.1\r\n" HOST "\r\n", 404, NULL);
    expect(&peer, "GET /hello/ HTTP/1.1\r\n" HOST "\r\n", 404, NULL);
    expect(&peer, "GET /hell HTTP/1.1\r\n" HOST "\r\n", 404, NULL);
    expect(&peer, "GET /a/../hello HTTP/1.1\r\n" HOST "\r\n", 404, NULL);
    expect(&peer, "GET /items/%zz/x HTTP/1.1\r\n" HOST "\r\n", 400, NULL);
    expect(&peer, "GET /items/a%00/x HTTP/1.1\r\n" HOST "\r\n", 400, NULL);
    expect(&peer, "GET /items/a%2fb/x HTTP/1.1\r\n" HOST "\r\n", 400, NULL);
    expect(&peer, "get /hello HTTP/1.1\r\n" HOST "\r\n", 405, NULL);
    expect(&peer, "TRACE /hello HTTP/1.1\r\n" HOST "\r\n", 405, NULL);
    peer_send_text(&peer, "PUT /items/a/x HTTP/1.1\r\n" HOST "\r\n");
    peer_reply(&peer, false, &reply);
    assert_int_equal(reply.status, 405);
    assert_string_equal(
        peer_header(&reply, "Allow"), "GET, HEAD, DELETE, OPTIONS");
    peer_reply_clear(&reply);
    peer_send_text(&peer, "DELETE /items/a/x HTTP/1.1\r\n" HOST "\r\n");
    peer_reply(&peer, false, &reply);
    assert_int_equal(reply.status, 204);
    assert_string_equal(peer_header(&reply, "Content-Length"), "");
    assert_string_equal(peer_header(&reply, "X-Kept"), "yes");
    peer_reply_clear(&reply);
    assert_int_equal(http_fixture_stats().accepted, 1);
    peer_close(&peer);
    http_fixture_dial(&peer);
    expect(&peer, "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 501, NULL);
    peer_wait_eof(&peer);
    peer_close(&peer);
}

static void
head_is_get_without_a_body(void **state)
{
    struct peer peer;
    struct peer_reply reply;

    (void)state;
    http_fixture_dial(&peer);
    peer_send_text(&peer,
        "HEAD /hello HTTP/1.1\r\n" HOST "\r\n"
        "HEAD /chunks HTTP/1.1\r\n" HOST "\r\n"
        "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    peer_reply(&peer, true, &reply);
    assert_int_equal(reply.status, 200);
    assert_string_equal(peer_header(&reply, "Content-Length"), "5");
    peer_reply_clear(&reply);
    peer_reply(&peer, true, &reply);
    assert_string_equal(peer_header(&reply, "Transfer-Encoding"), "chunked");
    peer_reply_clear(&reply);
    peer_reply(&peer, false, &reply);
    expect_body(&reply, "hello");
    peer_reply_clear(&reply);
    peer_close(&peer);
}

static void
origins_are_allowed_by_name(void **state)
{
    struct peer peer;
    struct peer_reply reply;

    (void)state;
    http_fixture_dial(&peer);
    peer_send_text(&peer,
        "OPTIONS /echo HTTP/1.1\r\n" HOST "Origin: https://app.example\r\n"
        "Access-Control-Request-Method: POST\r\n\r\n");
    peer_reply(&peer, false, &reply);
    assert_int_equal(reply.status, 204);
    assert_string_equal(peer_header(&reply, "Allow"), "POST, OPTIONS");
    assert_string_equal(peer_header(&reply, "Access-Control-Allow-Origin"),
        "https://app.example");
    assert_string_equal(peer_header(&reply, "Vary"), "Origin");
    assert_string_equal(
        peer_header(&reply, "Access-Control-Allow-Methods"), "POST, OPTIONS");
    assert_string_equal(peer_header(&reply, "Access-Control-Allow-Headers"),
        "content-type, authorization, x-api-key, idempotency-key, "
        "anthropic-version, anthropic-beta, prefer, if-none-match");
    peer_reply_clear(&reply);

    peer_send_text(&peer,
        "GET /hello HTTP/1.1\r\n" HOST "Origin: https://app.example\r\n\r\n");
    peer_reply(&peer, false, &reply);
    assert_string_equal(peer_header(&reply, "Access-Control-Expose-Headers"),
        "Location, Retry-After, ETag, Longhaul-Request-Id");
    peer_reply_clear(&reply);

    peer_send_text(&peer,
        "OPTIONS /echo HTTP/1.1\r\n" HOST "Origin: https://other.example\r\n"
        "Access-Control-Request-Method: POST\r\n\r\n");
    peer_reply(&peer, false, &reply);
    assert_int_equal(reply.status, 204);
    assert_string_equal(peer_header(&reply, "Access-Control-Allow-Origin"), "");
    assert_string_equal(
        peer_header(&reply, "Access-Control-Allow-Methods"), "");
    assert_string_equal(peer_header(&reply, "Vary"), "Origin");
    peer_reply_clear(&reply);

    expect(&peer, "OPTIONS * HTTP/1.1\r\n" HOST "\r\n", 204, "");
    expect(&peer, "OPTIONS /nothing HTTP/1.1\r\n" HOST "\r\n", 404, NULL);
    peer_close(&peer);
}

static void
credentials_are_checked_before_a_handler_runs(void **state)
{
    struct peer peer;
    struct peer_reply reply;

    (void)state;
    http_fixture_dial(&peer);
    peer_send_text(&peer, "GET /secret HTTP/1.1\r\n" HOST "\r\n");
    peer_reply(&peer, false, &reply);
    assert_int_equal(reply.status, 401);
    assert_string_equal(peer_header(&reply, "WWW-Authenticate"), "Bearer");
    assert_non_null(strstr(reply.body.data, "no key"));
    peer_reply_clear(&reply);
    expect(&peer, "GET /secret HTTP/1.1\r\n" HOST "X-Api-Key: bad\r\n\r\n", 403,
        NULL);
    expect(&peer,
        "GET /secret HTTP/1.1\r\n" HOST
        "X-Api-Key: good\r\nx-api-key: good\r\n\r\n",
        400, NULL);
    expect(&peer,
        "GET /secret HTTP/1.1\r\n" HOST "X-Api-Key: good\r\n"
        "Authorization: a\r\nauthorization: b\r\n\r\n",
        400, NULL);
    assert_int_equal(http_fixture.handled, 0);
    expect(&peer, "GET /secret HTTP/1.1\r\n" HOST "X-Api-Key: good\r\n\r\n",
        200, "secret");
    expect(&peer, "GET /open HTTP/1.1\r\n" HOST "\r\n", 200, "hello");
    expect(
        &peer, "GET /hello HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421, NULL);
    assert_int_equal(http_fixture.handled, 2);
    peer_close(&peer);
}

static void
bodies_must_be_json_and_fit(void **state)
{
    static const struct {
        const char *request;
        unsigned status;
        const char *body;
    } cases[] = {
        {"POST /echo HTTP/1.1\r\n" HOST JSON "Content-Length: 2\r\n\r\n{}", 200,
            "{}"},
        {"POST /echo HTTP/1.1\r\n" HOST
         "Content-Type: Application/JSON ; charset=utf-8\r\n"
         "Content-Length: 2\r\n\r\n{}",
            200, "{}"},
        {"POST /echo HTTP/1.1\r\n" HOST
         "Content-Type: application/merge-patch+json\r\n"
         "Content-Length: 2\r\n\r\n{}",
            200, "{}"},
        {"POST /echo HTTP/1.1\r\n" HOST "\r\n", 200, ""},
        {"POST /echo HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\n{}", 415,
            NULL},
        {"POST /echo HTTP/1.1\r\n" HOST
         "Content-Type: application/x-www-form-urlencoded\r\n"
         "Content-Length: 2\r\n\r\n{}",
            415, NULL},
        {"POST /echo HTTP/1.1\r\n" HOST "Content-Type: text/plain;+json\r\n"
         "Content-Length: 2\r\n\r\n{}",
            415, NULL},
        {"POST /echo HTTP/1.1\r\n" HOST "Content-Type: application/jsonx\r\n"
         "Content-Length: 2\r\n\r\n{}",
            415, NULL},
        {"POST /echo HTTP/1.1\r\n" HOST JSON "Content-Type: text/plain\r\n"
         "Content-Length: 2\r\n\r\n{}",
            415, NULL},
        {"POST /echo HTTP/1.1\r\n" HOST JSON "Content-Encoding: Identity\r\n"
         "Content-Length: 2\r\n\r\n{}",
            200, "{}"},
        {"POST /echo HTTP/1.1\r\n" HOST JSON "Content-Encoding: gzip\r\n"
         "Content-Length: 2\r\n\r\n{}",
            415, NULL},
        {"POST /any HTTP/1.1\r\n" HOST "Content-Encoding: identity, br\r\n"
         "Content-Length: 2\r\n\r\n{}",
            415, NULL},
        {"POST /any HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\n0123456789",
            200, "0123456789"},
        {"POST /any HTTP/1.1\r\n" HOST "Content-Length: 11\r\n\r\n0123456789a",
            413, NULL},
        {"GET /hello HTTP/1.1\r\n" HOST JSON "Content-Length: 2\r\n\r\n{}", 413,
            NULL},
        {"POST /any HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
         "5\r\nhello\r\n5\r\nworld\r\n0\r\nX-Trailer: x\r\n\r\n",
            200, "helloworld"},
        {"GET /hello HTTP/1.1\r\n" HOST "\r\n", 200, "hello"},
    };
    struct peer peer;

    (void)state;
    http_fixture_dial(&peer);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        expect(&peer, cases[i].request, cases[i].status, cases[i].body);
    assert_int_equal(http_fixture_stats().accepted, 1);

    /* The length is not known beforehand. */
    expect(&peer,
        "POST /any HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
        "a\r\n0123456789\r\n1\r\nx\r\n0\r\n\r\n",
        413, NULL);
    peer_wait_eof(&peer);
    peer_close(&peer);
}

static void
a_request_may_come_byte_by_byte(void **state)
{
    static const char text[] =
        "POST /echo HTTP/1.1\r\n" HOST JSON
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        "POST /echo HTTP/1.1\r\n" HOST JSON "Content-Length: 3\r\n\r\nabc";
    struct peer peer;
    struct peer_reply reply;

    (void)state;
    http_fixture_dial(&peer);
    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        peer_send(&peer, text + i, 1);
        event_base_loop(http_fixture.base, EVLOOP_NONBLOCK);
    }
    peer_reply(&peer, false, &reply);
    expect_body(&reply, "hello");
    peer_reply_clear(&reply);
    peer_reply(&peer, false, &reply);
    expect_body(&reply, "abc");
    peer_reply_clear(&reply);
    peer_close(&peer);
}

static void
pipelined_requests_are_answered_in_order(void **state)
{
    struct peer peer;
    struct peer_reply reply;

    (void)state;
    http_fixture_dial(&peer);
    peer_send_text(&peer,
        "GET /items/1/x HTTP/1.1\r\n" HOST "\r\n"
        "GET /later HTTP/1.1\r\n" HOST "\r\n"
        "POST /echo HTTP/1.1\r\n" HOST JSON "Content-Length: 3\r\n\r\ntwo"
        "GET /later HTTP/1.1\r\n" HOST "\r\n"
        "GET /items/4/x HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n"
        "GET /items/5/x HTTP/1.1\r\n" HOST "\r\n");
    http_fixture_wait(&http_fixture.later_count, 1);
    /* The second is not answered: the third has not begun. */
    assert_int_equal(http_fixture.handled, 2);
    http_reply(http_fixture.later[0], 200, "text/plain", "later", 5);
    http_fixture_wait(&http_fixture.later_count, 2);
    http_reply(http_fixture.later[1], 200, "text/plain", "again", 5);
    static const char *const bodies[] = {"1", "later", "two", "again", "4"};
    for (size_t i = 0; i < 5; i++) {
        peer_reply(&peer, false, &reply);
        assert_int_equal(reply.status, 200);
        expect_body(&reply, bodies[i]);
        peer_reply_clear(&reply);
    }
    peer_wait_eof(&peer);
    assert_int_equal(peer.in.len, 0);
    assert_int_equal(http_fixture.handled, 5);
    peer_close(&peer);
}

/* Of the address sanitizer: what is allocated now. Resident memory would
 * count what it keeps of freed blocks. */
size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

static size_t
allocated_bytes(void)
{
    if (__sanitizer_get_current_allocated_bytes == NULL)
        return mallinfo2().uordblks;
    return __sanitizer_get_current_allocated_bytes();
}

static void
answer_when_asked(void)
{
    while (http_fixture.later_count > 0) {
        unsigned last = --http_fixture.later_count;

        http_reply(http_fixture.later[last], 200, "text/plain", "l", 1);
    }
}

static void
a_client_that_is_always_ahead_is_served(void **state)
{
    enum { BATCH = 100, BATCHES = 40, QUERY = 2000 };
    struct buffer many = {NULL, 0, 0};
    struct peer peer;
    size_t before, at = 0, total, most = 0;

    (void)state;
    for (int i = 0; i < BATCH; i++)
        buffer_printf(
            &many, "GET /later?%0*d HTTP/1.1\r\n" HOST "\r\n", QUERY, 0);
    before = allocated_bytes();
    total = many.len * BATCHES;
    http_fixture_dial(&peer);
    while (http_fixture.handled < BATCH * BATCHES) {
        while (at < total) {
            size_t from = at % many.len;
            size_t n = peer_try_send(&peer, many.data + from, many.len - from);

            at += n;
            if (n == 0)
                break;
        }
        event_base_loop(http_fixture.base, EVLOOP_NONBLOCK);
        answer_when_asked();
        (void)peer_read(&peer);
        buffer_reset(&peer.in);
        if (allocated_bytes() > most)
            most = allocated_bytes();
    }
    assert_true(most < before + 1024 * 1024);
    buffer_clear(&many);
    peer_close(&peer);
}

static void
answers_of_unknown_length_are_chunked(void **state)
{
    struct peer peer;
    struct peer_reply reply;

    (void)state;
    http_fixture_dial(&peer);
    expect(&peer, "GET /chunks HTTP/1.1\r\n" HOST "\r\n", 200, "onetwo");
    expect(&peer, "GET /chunks HTTP/1.1\r\n" HOST "\r\n", 200, "onetwo");
    peer_send_text(&peer, "GET /cut HTTP/1.1\r\n" HOST "\r\n");
    peer_wait_eof(&peer);
    assert_non_null(strstr(peer.in.data, "4\r\nhalf\r\n"));
    assert_null(strstr(peer.in.data, "0\r\n\r\n"));
    peer_close(&peer);

    /* HTTP/1.0 knows no chunks: until the end. */
    http_fixture_dial(&peer);
    peer_send_text(
        &peer, "GET /chunks HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    peer_wait_eof(&peer);
    peer_reply(&peer, false, &reply);
    assert_int_equal(reply.status, 200);
    assert_string_equal(peer_header(&reply, "Connection"), "close");
    expect_body(&reply, "onetwo");
    peer_reply_clear(&reply);
    peer_close(&peer);
}

static void
http_1_0_keeps_a_connection_that_asks(void **state)
{
    struct peer peer;
    struct peer_reply reply;

    (void)state;
    http_fixture_dial(&peer);
    peer_send_text(
        &peer, "GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    peer_reply(&peer, false, &reply);
    assert_string_equal(peer_header(&reply, "Connection"), "keep-alive");
    peer_reply_clear(&reply);
    expect(&peer, "GET /hello HTTP/1.0\r\n\r\n", 200, "hello");
    peer_wait_eof(&peer);
    peer_close(&peer);
}

static void
a_slow_reader_holds_the_handler_back(void **state)
{
    struct peer peer;
    struct peer_reply reply;
    uint64_t before;

    (void)state;
    http_fixture.flood_bytes = 32 * 1024 * 1024;
    http_fixture_dial(&peer);
    peer.muted = true;
    peer_send_text(&peer, "GET /flood HTTP/1.1\r\n" HOST "\r\n");
    for (int i = 0; i < 200; i++)
        peer_turn(&peer);
    /* What the two sockets hold and the mark, not all of it. */
    assert_true(http_fixture.flooded > 0);
    assert_true(http_fixture.flooded < http_fixture.flood_bytes / 2);
    before = http_fixture.flooded;
    http_fixture_turn_for(20);
    assert_int_equal(http_fixture.flooded, before);
    peer.muted = false;
    peer_reply(&peer, false, &reply);
    assert_int_equal(reply.status, 200);
    assert_int_equal(reply.body.len, http_fixture.flood_bytes);
    assert_int_equal(http_fixture.gone, 0);
    peer_reply_clear(&reply);
    expect(&peer, "GET /hello HTTP/1.1\r\n" HOST "\r\n", 200, "hello");
    peer_close(&peer);
}

static void
a_handler_may_pause_the_body(void **state)
{
    const size_t len = 8 * 1024 * 1024;
    char *data = memory_alloc(len), want[64];
    struct peer peer;
    struct peer_reply reply;
    uint64_t sum = 0, streamed;
    size_t at = 0;

    (void)state;
    for (size_t i = 0; i < len; i++) {
        data[i] = (char)(i * 7 + i / 1000);
        sum = sum * 31 + (unsigned char)data[i];
    }
    http_fixture.pause_at = 100000;
    http_fixture_dial(&peer);
    peer_send_text(&peer,
        "POST /stream HTTP/1.1\r\n" HOST JSON
        "Content-Length: 8388608\r\n\r\n");
    for (int i = 0; i < 300; i++) {
        at += peer_try_send(&peer, data + at, len - at);
        event_base_loop(http_fixture.base, EVLOOP_NONBLOCK);
    }
    assert_non_null(http_fixture.paused);
    assert_true(http_fixture.streamed < 200000);
    assert_true(at < len);
    streamed = http_fixture.streamed;
    http_fixture_turn_for(20);
    assert_int_equal(http_fixture.streamed, streamed);
    http_request_resume(http_fixture.paused);
    peer_send(&peer, data + at, len - at);
    peer_reply(&peer, false, &reply);
    snprintf(want, sizeof(want), "%zu %llu", len, (unsigned long long)sum);
    expect_body(&reply, want);
    peer_reply_clear(&reply);
    memory_free(data);
    peer_close(&peer);
}

static void
thirty_one_megabytes_stream_through(void **state)
{
    const size_t len = 31 * 1024 * 1024;
    static char block[64 * 1024];
    struct peer peer;
    struct peer_reply reply;
    size_t before = allocated_bytes(), most = 0;
    char head[128];

    (void)state;
    http_fixture_dial(&peer);
    snprintf(head, sizeof(head),
        "POST /stream HTTP/1.1\r\n" HOST JSON "Content-Length: %zu\r\n\r\n",
        len);
    peer_send_text(&peer, head);
    for (size_t at = 0; at < len; at += sizeof(block)) {
        peer_send(&peer, block, sizeof(block));
        if (allocated_bytes() > most)
            most = allocated_bytes();
    }
    peer_reply(&peer, false, &reply);
    assert_memory_equal(reply.body.data, "32505856 ", 9);
    assert_true(most < before + 512 * 1024);
    peer_reply_clear(&reply);
    peer_close(&peer);
}

static void
an_expected_continue_is_sent_when_the_body_is_wanted(void **state)
{
    struct peer peer;
    struct peer_reply reply;

    (void)state;
    http_fixture_dial(&peer);
    expect(&peer,
        "POST /stream HTTP/1.1\r\n" HOST JSON
        "Expect: 100-continue\r\nContent-Length: 1\r\n\r\n",
        100, NULL);
    expect(&peer, "x", 200, "1 120");
    expect(&peer,
        "POST /echo HTTP/1.1\r\n" HOST JSON
        "Expect: 100-continue\r\nContent-Length: 1\r\n\r\n",
        100, NULL);
    expect(&peer, "y", 200, "y");
    /* Refused: no invitation, and the body cannot be told from the next. */
    peer_send_text(&peer,
        "POST /echo HTTP/1.1\r\n" HOST
        "Expect: 100-continue\r\nContent-Length: 1\r\n\r\n");
    peer_reply(&peer, false, &reply);
    assert_int_equal(reply.status, 415);
    assert_string_equal(peer_header(&reply, "Connection"), "close");
    peer_reply_clear(&reply);
    peer_wait_eof(&peer);
    peer_close(&peer);
}

static void
after_an_early_reply_a_short_rest_is_dropped(void **state)
{
    char *rest = memory_zalloc(1, 65536);
    struct peer peer;
    struct peer_reply reply;

    (void)state;
    http_fixture_dial(&peer);
    expect(&peer,
        "POST /early HTTP/1.1\r\n" HOST JSON "Content-Length: 65536\r\n\r\n",
        200, "early");
    peer_send(&peer, rest, 65536);
    expect(&peer, "GET /hello HTTP/1.1\r\n" HOST "\r\n", 200, "hello");

    /* One byte more is a reason to close, but the answer is read. */
    peer_send_text(&peer,
        "POST /early HTTP/1.1\r\n" HOST JSON "Content-Length: 65537\r\n\r\n");
    peer_send(&peer, rest, 65536);
    peer_reply(&peer, false, &reply);
    assert_int_equal(reply.status, 200);
    assert_string_equal(peer_header(&reply, "Connection"), "close");
    peer_reply_clear(&reply);
    peer_wait_eof(&peer);
    assert_false(peer.reset);
    peer_close(&peer);
    memory_free(rest);
    assert_int_equal(http_fixture.gone, 0);
}

static void
a_client_that_leaves_is_told_once(void **state)
{
    struct peer peer, other;

    (void)state;
    http_fixture_dial(&peer);
    http_fixture_dial(&other);
    peer_send_text(&peer, "GET /later HTTP/1.1\r\n" HOST "\r\n");
    http_fixture_wait(&http_fixture.later_count, 1);
    peer_send_text(&other,
        "POST /stream HTTP/1.1\r\n" HOST JSON "Content-Length: 100\r\n\r\nabc");
    http_fixture_wait(&http_fixture.handled, 2);
    /* In the middle of a body: at once. */
    peer_close(&other);
    http_fixture_wait(&http_fixture.gone, 1);
    /* A reset too. */
    struct linger hard = {.l_onoff = 1};
    setsockopt(peer.fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    peer_close(&peer);
    http_fixture_wait(&http_fixture.gone, 2);
    http_fixture_turn_for(20);
    assert_int_equal(http_fixture.gone, 2);
    assert_int_equal(http_fixture_stats().connections, 0);
    assert_int_equal(http_fixture_stats().requests_in_flight, 0);
}

static void
a_client_may_end_its_side_first(void **state)
{
    struct peer peer;
    struct peer_reply reply;

    (void)state;
    http_fixture_dial(&peer);
    peer_send_text(&peer,
        "GET /later HTTP/1.1\r\n" HOST "\r\n"
        "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    shutdown(peer.fd, SHUT_WR);
    http_fixture_wait(&http_fixture.later_count, 1);
    http_fixture_turn_for(30);
    assert_int_equal(http_fixture.gone, 0);
    http_reply(http_fixture.later[0], 200, "text/plain", "later", 5);
    peer_reply(&peer, false, &reply);
    expect_body(&reply, "later");
    peer_reply_clear(&reply);
    peer_reply(&peer, false, &reply);
    expect_body(&reply, "hello");
    peer_reply_clear(&reply);
    peer_wait_eof(&peer);
    peer_close(&peer);
}

static void
freeing_the_server_tells_the_handlers(void **state)
{
    struct peer peers[4];

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        http_fixture_dial(&peers[i]);
        peer_send_text(&peers[i], "GET /later HTTP/1.1\r\n" HOST "\r\n");
    }
    http_fixture_wait(&http_fixture.later_count, 4);
    http_reply(http_fixture.later[1], 200, "text/plain", "x", 1);
    http_server_free(http_fixture.server);
    http_fixture.server = NULL;
    assert_int_equal(http_fixture.gone, 3);
    for (unsigned i = 0; i < 4; i++)
        peer_close(&peers[i]);
}

static void
on_drained(void *arg)
{
    assert_ptr_equal(arg, &http_fixture);
    http_fixture.drained++;
    http_server_free(http_fixture.server);
    http_fixture.server = NULL;
}

static void
draining_answers_what_is_in_flight(void **state)
{
    struct peer idle, busy, late, later;
    struct peer_reply reply;

    (void)state;
    http_fixture_dial(&idle);
    expect(&idle, "GET /hello HTTP/1.1\r\n" HOST "\r\n", 200, "hello");
    http_fixture_dial(&busy);
    peer_send_text(&busy, "GET /later HTTP/1.1\r\n" HOST "\r\n");
    http_fixture_wait(&http_fixture.later_count, 1);
    /* Has connected, and asks a moment after the end began. */
    http_fixture_dial(&later);
    http_fixture_turn_for(20);
    /* Has connected and asked, but nobody has looked yet. */
    http_fixture_dial(&late);
    assert_int_equal(
        peer_try_send(&late, "GET /hello HTTP/1.1\r\n" HOST "\r\n", 40), 40);
    http_server_drain(http_fixture.server, on_drained, &http_fixture);
    peer_wait_eof(&idle);
    expect(&later, "GET /hello HTTP/1.1\r\n" HOST "\r\n", 200, "hello");
    peer_wait_eof(&later);
    peer_reply(&late, false, &reply);
    assert_int_equal(reply.status, 200);
    assert_string_equal(peer_header(&reply, "Connection"), "close");
    peer_reply_clear(&reply);
    http_fixture_turn_for(20);
    assert_int_equal(http_fixture.drained, 0);
    http_reply(http_fixture.later[0], 200, "text/plain", "later", 5);
    peer_reply(&busy, false, &reply);
    expect_body(&reply, "later");
    assert_string_equal(peer_header(&reply, "Connection"), "close");
    peer_reply_clear(&reply);
    http_fixture_wait(&http_fixture.drained, 1);
    assert_null(http_fixture.server);
    peer_close(&idle);
    peer_close(&busy);
    peer_close(&late);
    peer_close(&later);
}

static void
draining_an_idle_server_ends_at_once(void **state)
{
    (void)state;
    http_server_drain(http_fixture.server, on_drained, &http_fixture);
    assert_int_equal(http_fixture.drained, 0);
    http_fixture_wait(&http_fixture.drained, 1);
}

static int
dial_local(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    text_copy(address.sun_path, sizeof(address.sun_path), slice_of(path));
    assert_true(fd >= 0);
    assert_int_equal(
        connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void
a_unix_socket_is_private_and_replaces_a_dead_one(void **state)
{
    char folder[] = "/tmp/lhXXXXXX", path[64], address[80];
    const char *error = NULL;
    struct stat info;
    struct peer peer = {.base = http_fixture.base};
    struct http_server *second;

    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/s", folder);
    snprintf(address, sizeof(address), "unix:%s", path);
    assert_int_equal(
        http_server_listen(http_fixture.server, address, false, &error), 0);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    peer.fd = dial_local(path);
    expect(&peer, "GET /hello HTTP/1.1\r\n" HOST "\r\n", 200, "hello");
    peer_close(&peer);

    /* In use: left alone. */
    second = http_server_new(http_fixture.base, NULL, NULL);
    assert_int_equal(http_server_listen(second, address, false, &error), -1);
    assert_string_equal(error, "the address is in use");
    http_server_free(http_fixture.server);
    http_fixture.server = NULL;
    assert_int_equal(access(path, F_OK), -1);

    /* A left-over file of a process that died. */
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un where = {.sun_family = AF_UNIX};
    text_copy(where.sun_path, sizeof(where.sun_path), slice_of(path));
    assert_int_equal(bind(fd, (struct sockaddr *)&where, sizeof(where)), 0);
    close(fd);
    assert_int_equal(http_server_listen(second, address, false, &error), 0);
    http_server_free(second);
    rmdir(folder);
}

static void
addresses_are_read_strictly(void **state)
{
    static const char *const bad[] = {"", "8080", "127.0.0.1",
        "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", "127.0.0.1:-1",
        "1.2.3:80", "[::1:80", "::1:80", "example.com:80", "unix:"};
    char text[64];
    const char *error;
    int port;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        error = NULL;
        assert_int_equal(
            http_server_listen(http_fixture.server, bad[i], false, &error), -1);
        assert_non_null(error);
    }
    snprintf(text, sizeof(text), ":%d", http_fixture.port);
    assert_int_equal(
        http_server_listen(http_fixture.server, text, false, &error), -1);
    assert_string_equal(error, "the address is in use");
    assert_int_equal(
        http_server_listen(http_fixture.server, "192.0.2.1:0", false, &error),
        -1);
    port = http_server_listen(http_fixture.server, "localhost:0", true, &error);
    assert_true(port > 0);
    snprintf(text, sizeof(text), "127.0.0.1:%d", port);
    assert_int_equal(
        http_server_listen(http_fixture.server, text, true, &error), port);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_answer_says_who_when_and_how_long),
        TEST(errors_have_the_one_shape),
        TEST(statuses_have_claudes_error_types),
        TEST(paths_and_methods_are_told_apart),
        TEST(head_is_get_without_a_body),
        TEST(origins_are_allowed_by_name),
        TEST(credentials_are_checked_before_a_handler_runs),
        TEST(bodies_must_be_json_and_fit),
        TEST(a_request_may_come_byte_by_byte),
        TEST(pipelined_requests_are_answered_in_order),
        TEST(a_client_that_is_always_ahead_is_served),
        TEST(answers_of_unknown_length_are_chunked),
        TEST(http_1_0_keeps_a_connection_that_asks),
        TEST(a_slow_reader_holds_the_handler_back),
        TEST(a_handler_may_pause_the_body),
        TEST(thirty_one_megabytes_stream_through),
        TEST(an_expected_continue_is_sent_when_the_body_is_wanted),
        TEST(after_an_early_reply_a_short_rest_is_dropped),
        TEST(a_client_that_leaves_is_told_once),
        TEST(a_client_may_end_its_side_first),
        TEST(freeing_the_server_tells_the_handlers),
        TEST(draining_answers_what_is_in_flight),
        TEST(draining_an_idle_server_ends_at_once),
        TEST(a_unix_socket_is_private_and_replaces_a_dead_one),
        TEST(addresses_are_read_strictly),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
