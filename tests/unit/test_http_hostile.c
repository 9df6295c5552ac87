/*
 * What the server does with clients that mean harm or do not know better:
 * malformed framing, slow senders and readers, too many of everything.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "tests/unit/http_fixture.h"

#define JSON "Content-Type: application/json\r\n"
#define HOST "Host: localhost\r\n"
#define HELLO "GET /hello HTTP/1.1\r\n" HOST "\r\n"
#define ECHO "POST /echo HTTP/1.1\r\n" HOST JSON
#define CHUNKED ECHO "Transfer-Encoding: chunked\r\n\r\n"

static const struct http_limits quick = {
    .max_connections = 2000,
    .header_deadline_ms = 150,
    .idle_timeout_ms = 300,
    .body_grace_ms = 150,
    .write_stall_ms = 150,
    .half_close_ms = 60,
    .linger_ms = 60,
};

static int
start(void **state)
{
    (void)state;
    http_fixture_start(NULL);
    return 0;
}

static int
start_quick(void **state)
{
    (void)state;
    http_fixture_start(&quick);
    return 0;
}

/* The good client of the same test is not to be called idle. */
static int
start_quick_requests(void **state)
{
    const struct http_limits limits = {
        .header_deadline_ms = 150, .body_grace_ms = 150, .linger_ms = 60};

    (void)state;
    http_fixture_start(&limits);
    return 0;
}

static int
stop(void **state)
{
    (void)state;
    http_fixture_stop();
    return 0;
}

struct attack {
    const char *what;
    unsigned status;
    const char *input;
    size_t len; /* when the input holds a NUL */
};

#define WITH_NUL(text) text, sizeof(text) - 1

static const struct attack attacks[] = {
    {"length and coding", 400,
        ECHO "Content-Length: 5\r\n"
             "Transfer-Encoding: chunked\r\n\r\n"
             "0\r\n\r\n" HELLO,
        0},
    {"two lengths", 400,
        ECHO "Content-Length: 2\r\nContent-Length: 60\r\n\r\n"
             "{}" HELLO,
        0},
    {"length +5", 400, ECHO "Content-Length: +5\r\n\r\nhello" HELLO, 0},
    {"length of 20 digits", 400,
        ECHO "Content-Length: 99999999999999999999\r\n\r\n{}" HELLO, 0},
    {"unknown coding and length", 501,
        ECHO "Transfer-Encoding: xchunked\r\nContent-Length: 2\r\n\r\n{}" HELLO,
        0},
    {"coding twice", 400,
        ECHO "Transfer-Encoding: chunked\r\n"
             "Transfer-Encoding: identity\r\n\r\n"
             "0\r\n\r\n" HELLO,
        0},
    {"folded coding", 400,
        ECHO "Transfer-Encoding:\r\n chunked\r\n\r\n"
             "0\r\n\r\n" HELLO,
        0},
    {"blank before the colon", 400,
        ECHO "Transfer-Encoding : chunked\r\n"
             "Content-Length: 5\r\n\r\n"
             "0\r\n\r\n" HELLO,
        0},
    {"coding on 1.0", 400,
        "POST /echo HTTP/1.0\r\n" HOST JSON "Connection: keep-alive\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"
        "0\r\n\r\n" HELLO,
        0},
    {"chunk 0x2", 400, CHUNKED "0x2\r\n{}\r\n0\r\n\r\n" HELLO, 0},
    {"chunk +2", 400, CHUNKED "+2\r\n{}\r\n0\r\n\r\n" HELLO, 0},
    {"chunk blank 2", 400, CHUNKED " 2\r\n{}\r\n0\r\n\r\n" HELLO, 0},
    {"chunk lines with LF", 400, CHUNKED "2\n{}\n0\n\n" HELLO, 0},
    {"chunk without CRLF", 400, CHUNKED "2\r\n{}0\r\n\r\n" HELLO, 0},
    {"chunk of 2^64+2", 400,
        CHUNKED "10000000000000002\r\n{}\r\n0\r\n\r\n" HELLO, 0},
    {"header lines with LF", 400,
        "GET /hello HTTP/1.1\nHost: localhost\n\n" HELLO, 0},
    {"bare CR in a value", 400,
        "GET /hello HTTP/1.1\r\n" HOST "X-A: b\rX-B: c\r\n\r\n" HELLO, 0},
    {"NUL in a value", 400,
        WITH_NUL("GET /hello HTTP/1.1\r\n" HOST "X-A: b\0c\r\n\r\n" HELLO)},
    {"NUL in the URL", 400,
        WITH_NUL("GET /hello\0x HTTP/1.1\r\n" HOST "\r\n" HELLO)},
    {"obs-fold", 400,
        "GET /hello HTTP/1.1\r\n" HOST "X-A: b\r\n c\r\n\r\n" HELLO, 0},
    {"no Host", 400, "GET /hello HTTP/1.1\r\n\r\n" HELLO, 0},
    {"two Hosts", 400, "GET /hello HTTP/1.1\r\n" HOST HOST "\r\n" HELLO, 0},
    {"blank in a name", 400,
        "GET /hello HTTP/1.1\r\n" HOST "X A: b\r\n\r\n" HELLO, 0},
    {"two blanks in the request line", 400,
        "GET  /hello HTTP/1.1\r\n" HOST "\r\n" HELLO, 0},
    {"absolute-form of another host", 400,
        "GET http://evil.example/hello HTTP/1.1\r\n" HOST "\r\n" HELLO, 0},
    {"version 3.0", 505, "GET /hello HTTP/3.0\r\n" HOST "\r\n" HELLO, 0},
    {"HTTP/2 preface", 505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0},
    {"TLS hello", 400, WITH_NUL("\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03")},
    {"noise", 400, "\x80\x81\x82\x83\r\n\r\n", 0},
    {"CONNECT", 501, "CONNECT evil:1 HTTP/1.1\r\nHost: evil:1\r\n\r\n" HELLO,
        0},
};

/* One answer, no handler, no second answer, the end. */
static void
run_attack(const struct attack *attack)
{
    size_t len = attack->len != 0 ? attack->len : strlen(attack->input);
    struct peer peer;
    struct peer_reply reply;

    http_fixture_dial(&peer);
    peer_send(&peer, attack->input, len);
    peer_reply(&peer, false, &reply);
    if (reply.status != attack->status)
        fail_msg("%s: %u, not %u", attack->what, reply.status, attack->status);
    assert_string_equal(peer_header(&reply, "Connection"), "close");
    assert_non_null(strstr(reply.body.data, "\"invalid_request_error\""));
    peer_wait_eof(&peer);
    if (peer.in.len != 0 || peer.reset)
        fail_msg("%s: more than one answer", attack->what);
    peer_reply_clear(&reply);
    peer_close(&peer);
}

static void
bad_framing_gets_one_answer_and_the_end(void **state)
{
    const unsigned count = sizeof(attacks) / sizeof(attacks[0]);

    (void)state;
    for (unsigned i = 0; i < count; i++)
        run_attack(&attacks[i]);
    assert_int_equal(http_fixture.handled, 0);
    assert_int_equal(http_fixture.answers, count);
    assert_int_equal(http_fixture_stats().rejected, count);
}

static void
a_good_request_before_a_bad_one_is_answered(void **state)
{
    struct peer peer;

    (void)state;
    http_fixture_dial(&peer);
    assert_int_equal(peer_ask(&peer, HELLO "GET /x HTTP/1.1\r\n\r\n"), 200);
    assert_int_equal(peer_ask(&peer, ""), 400);
    peer_wait_eof(&peer);
    peer_close(&peer);
}

static void
a_body_that_breaks_tells_its_handler(void **state)
{
    struct peer peer;

    (void)state;
    http_fixture_dial(&peer);
    assert_int_equal(peer_ask(&peer,
                         "POST /stream HTTP/1.1\r\n" HOST JSON
                         "Transfer-Encoding: chunked\r\n\r\n"
                         "2\r\n{}\r\nzz\r\n"),
        400);
    assert_int_equal(http_fixture.gone, 1);
    peer_wait_eof(&peer);
    peer_close(&peer);

    /* After an early reply there is nobody to tell and nothing to say. */
    http_fixture_dial(&peer);
    assert_int_equal(peer_ask(&peer,
                         "POST /early HTTP/1.1\r\n" HOST JSON
                         "Transfer-Encoding: chunked\r\n\r\n"
                         "zz\r\n"),
        200);
    peer_wait_eof(&peer);
    assert_int_equal(peer.in.len, 0);
    assert_int_equal(http_fixture.gone, 1);
    peer_close(&peer);
}

/* --- limits --- */

static unsigned
ask_with(size_t uri, size_t headers, size_t header_bytes)
{
    struct buffer text = {NULL, 0, 0};
    struct peer peer;
    unsigned status;

    buffer_append_text(&text, "GET /hello?");
    while (text.len < 4 + uri)
        buffer_append_char(&text, 'u');
    buffer_append_text(&text, " HTTP/1.1\r\n");
    size_t begin = text.len;
    buffer_append_text(&text, HOST);
    for (size_t i = 1; i < headers; i++)
        buffer_append_text(&text, "X:\r\n");
    if (header_bytes > 0) {
        buffer_append_text(&text, "X-Long:");
        while (text.len - begin + 2 < header_bytes)
            buffer_append_char(&text, 'h');
        buffer_append_text(&text, "\r\n");
    }
    buffer_append_text(&text, "\r\n");
    http_fixture_dial(&peer);
    status = peer_ask(&peer, text.data);
    if (status != 200)
        peer_wait_eof(&peer);
    peer_close(&peer);
    buffer_clear(&text);
    return status;
}

static void
heads_are_served_at_the_limit_and_refused_past_it(void **state)
{
    (void)state;
    assert_int_equal(ask_with(HTTP_MAX_URI_BYTES, 1, 0), 200);
    assert_int_equal(ask_with(HTTP_MAX_URI_BYTES + 1, 1, 0), 414);
    assert_int_equal(ask_with(64 * 1024, 1, 0), 414);
    assert_int_equal(ask_with(10, HTTP_MAX_HEADERS, 0), 200);
    assert_int_equal(ask_with(10, HTTP_MAX_HEADERS + 1, 0), 431);
    assert_int_equal(ask_with(10, 20000, 0), 431);
    assert_int_equal(ask_with(10, 1, HTTP_MAX_HEADER_BYTES), 200);
    assert_int_equal(ask_with(10, 1, HTTP_MAX_HEADER_BYTES + 1), 431);
    assert_int_equal(ask_with(10, 1, 1024 * 1024), 431);
    assert_int_equal(
        ask_with(HTTP_MAX_URI_BYTES, HTTP_MAX_HEADERS - 1, 16384), 200);
}

static unsigned
ask_body(size_t len, size_t chunk, size_t *echoed)
{
    struct buffer text = {NULL, 0, 0};
    struct peer peer;
    struct peer_reply reply;

    if (chunk == 0)
        buffer_printf(&text, ECHO "Content-Length: %zu\r\n\r\n", len);
    else
        buffer_append_text(&text, CHUNKED);
    for (size_t at = 0; at < len;) {
        size_t run = chunk == 0 || chunk > len - at ? len - at : chunk;

        if (chunk > 0)
            buffer_printf(&text, "%zx\r\n", run);
        memset(buffer_reserve(&text, run), 'b', run);
        text.len += run;
        if (chunk > 0)
            buffer_append_text(&text, "\r\n");
        at += run;
    }
    if (chunk > 0)
        buffer_append_text(&text, "0\r\n\r\n");
    http_fixture_dial(&peer);
    peer_send(&peer, text.data, text.len);
    peer_reply(&peer, false, &reply);
    *echoed = reply.body.len;
    if (reply.status != 200)
        peer_wait_eof(&peer);
    peer_close(&peer);
    peer_reply_clear(&reply);
    buffer_clear(&text);
    return reply.status;
}

static void
bodies_are_served_at_the_limit_and_refused_past_it(void **state)
{
    size_t echoed;

    (void)state;
    assert_int_equal(ask_body(ECHO_MAX, 0, &echoed), 200);
    assert_int_equal(echoed, ECHO_MAX);
    assert_int_equal(ask_body(ECHO_MAX + 1, 0, &echoed), 413);
    assert_int_equal(ask_body(ECHO_MAX, 1000, &echoed), 200);
    assert_int_equal(echoed, ECHO_MAX);
    assert_int_equal(ask_body(ECHO_MAX + 1, 1000, &echoed), 413);
    assert_int_equal(ask_body(8 * ECHO_MAX, 0, &echoed), 413);
}

static int
start_small(void **state)
{
    const struct http_limits limits = {.max_connections = 3, .linger_ms = 50};

    (void)state;
    http_fixture_start(&limits);
    return 0;
}

static void
the_oldest_idle_connection_makes_room(void **state)
{
    struct peer peers[5];
    struct peer_reply reply;

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        http_fixture_dial(&peers[i]);
        assert_int_equal(peer_ask(&peers[i], HELLO), 200);
    }
    /* 0 is used again, so that 1 is the oldest. */
    assert_int_equal(peer_ask(&peers[0], HELLO), 200);
    http_fixture_dial(&peers[3]);
    assert_int_equal(peer_ask(&peers[3], HELLO), 200);
    peer_wait_eof(&peers[1]);
    assert_int_equal(http_fixture_stats().connections, 3);

    /* All busy: the fourth is told so. */
    peer_send_text(&peers[0], "GET /later HTTP/1.1\r\n" HOST "\r\n");
    peer_send_text(&peers[2], "GET /later HTTP/1.1\r\n" HOST "\r\n");
    peer_send_text(&peers[3], "GET /later HTTP/1.1\r\n" HOST "\r\n");
    http_fixture_wait(&http_fixture.later_count, 3);
    http_fixture_dial(&peers[4]);
    peer_reply(&peers[4], false, &reply);
    assert_int_equal(reply.status, 503);
    assert_string_equal(peer_header(&reply, "Retry-After"), "1");
    assert_non_null(strstr(reply.body.data, "overloaded_error"));
    peer_reply_clear(&reply);
    peer_wait_eof(&peers[4]);
    peer_close(&peers[4]);
    assert_int_equal(http_fixture.gone, 0);

    /* One ends, one more is served. */
    http_reply(http_fixture.later[0], 200, "text/plain", "x", 1);
    assert_int_equal(peer_ask(&peers[0], ""), 200);
    http_fixture_dial(&peers[4]);
    assert_int_equal(peer_ask(&peers[4], HELLO), 200);
    for (unsigned i = 0; i < 5; i++)
        peer_close(&peers[i]);
}

static void
a_hundred_over_the_cap_cost_nothing(void **state)
{
    struct peer busy[3], over[100];

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        http_fixture_dial(&busy[i]);
        peer_send_text(&busy[i], "GET /later HTTP/1.1\r\n" HOST "\r\n");
    }
    http_fixture_wait(&http_fixture.later_count, 3);
    for (unsigned i = 0; i < 100; i++)
        http_fixture_dial(&over[i]);
    for (unsigned i = 0; i < 100; i++) {
        peer_wait_eof(&over[i]);
        peer_close(&over[i]);
    }
    for (unsigned i = 0; i < 3; i++) {
        http_reply(http_fixture.later[i], 200, "text/plain", "x", 1);
        assert_int_equal(peer_ask(&busy[i], ""), 200);
        peer_close(&busy[i]);
    }
}

/* --- time --- */

static void
half_sent_requests_end_while_others_are_served(void **state)
{
    enum { EACH = 300 };
    static struct peer heads[EACH], bodies[EACH];
    struct peer good;
    int64_t began = clock_mono_ms(), slowest = 0;
    unsigned open = 2 * EACH, served = 0;

    (void)state;
    for (unsigned i = 0; i < EACH; i++) {
        http_fixture_dial(&heads[i]);
        http_fixture_dial(&bodies[i]);
        peer_send_text(&heads[i], "GET /hello HTTP/1.1\r\nHost: loc");
        peer_send_text(&bodies[i],
            i % 2 == 0 ? ECHO "Content-Length: 100\r\n\r\n{"
                       : CHUNKED "64\r\n{");
    }
    http_fixture_dial(&good);
    while (open > 0 && clock_mono_ms() - began < PEER_PATIENCE_MS) {
        int64_t asked = clock_mono_ms();

        assert_int_equal(peer_ask(&good, HELLO), 200);
        served++;
        if (clock_mono_ms() - asked > slowest)
            slowest = clock_mono_ms() - asked;
        open = 0;
        for (unsigned i = 0; i < EACH; i++) {
            (void)peer_read(&heads[i]);
            (void)peer_read(&bodies[i]);
            open += !heads[i].eof + !bodies[i].eof;
        }
    }
    assert_int_equal(open, 0);
    assert_true(served > 1);
    assert_true(slowest < 1000);
    for (unsigned i = 0; i < EACH; i++) {
        struct peer_reply reply;

        peer_reply(&heads[i], false, &reply);
        assert_int_equal(reply.status, 408);
        peer_reply_clear(&reply);
        peer_reply(&bodies[i], false, &reply);
        assert_int_equal(reply.status, 408);
        peer_reply_clear(&reply);
        peer_close(&heads[i]);
        peer_close(&bodies[i]);
    }
    peer_close(&good);
    assert_int_equal(http_fixture_stats().rejected, 2 * EACH);
}

static void
a_dripping_header_does_not_buy_time(void **state)
{
    static const char text[] = "GET /hello HTTP/1.1\r\n" HOST "X-A: aaaaaaaaa"
                               "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    struct peer peer;
    struct peer_reply reply;
    size_t sent = 0;

    (void)state;
    http_fixture_dial(&peer);
    while (sent < sizeof(text) - 1 && !peer.eof) {
        sent += peer_try_send(&peer, text + sent, 1);
        for (int turns = 0; turns < 8; turns++)
            peer_turn(&peer);
    }
    peer_reply(&peer, false, &reply);
    assert_int_equal(reply.status, 408);
    assert_true(sent < sizeof(text) - 1);
    peer_reply_clear(&reply);
    peer_close(&peer);
}

static void
a_fast_start_does_not_buy_a_standstill(void **state)
{
    char *block = memory_zalloc(1, 500000);
    struct peer peer;
    struct peer_reply reply;

    (void)state;
    http_fixture_dial(&peer);
    peer_send_text(&peer,
        "POST /stream HTTP/1.1\r\n" HOST JSON
        "Content-Length: 1000000\r\n\r\n");
    peer_send(&peer, block, 500000);
    peer_reply(&peer, false, &reply);
    assert_int_equal(reply.status, 408);
    assert_int_equal(http_fixture.gone, 1);
    assert_int_equal(http_fixture.streamed, 500000);
    peer_reply_clear(&reply);
    peer_close(&peer);
    memory_free(block);
}

static void
a_paused_handler_stops_the_clock_of_its_client(void **state)
{
    struct peer peer;
    struct peer_reply reply;

    (void)state;
    http_fixture.pause_at = 1;
    http_fixture_dial(&peer);
    peer_send_text(&peer,
        "POST /stream HTTP/1.1\r\n" HOST JSON "Content-Length: 3\r\n\r\na");
    http_fixture_turn_for(450);
    assert_non_null(http_fixture.paused);
    http_request_resume(http_fixture.paused);
    peer_send_text(&peer, "bc");
    peer_reply(&peer, false, &reply);
    assert_int_equal(reply.status, 200);
    peer_reply_clear(&reply);
    peer_close(&peer);
}

static void
idle_connections_end_and_handlers_may_take_their_time(void **state)
{
    struct peer silent, used, waiting;
    struct peer_reply reply;

    (void)state;
    http_fixture_dial(&silent);
    http_fixture_dial(&used);
    http_fixture_dial(&waiting);
    assert_int_equal(peer_ask(&used, HELLO), 200);
    peer_send_text(&waiting, "GET /later HTTP/1.1\r\n" HOST "\r\n");
    peer_wait_eof(&silent);
    peer_wait_eof(&used);
    http_fixture_turn_for(200);
    assert_int_equal(http_fixture.gone, 0);
    http_reply(http_fixture.later[0], 200, "text/plain", "late", 4);
    peer_reply(&waiting, false, &reply);
    assert_int_equal(reply.status, 200);
    peer_reply_clear(&reply);
    peer_close(&silent);
    peer_close(&used);
    peer_close(&waiting);
}

static void
a_reader_that_stands_still_is_given_up(void **state)
{
    struct peer peer;

    (void)state;
    http_fixture.flood_bytes = 64 * 1024 * 1024;
    http_fixture_dial(&peer);
    peer.muted = true;
    peer_send_text(&peer, "GET /flood HTTP/1.1\r\n" HOST "\r\n");
    http_fixture_wait(&http_fixture.gone, 1);
    assert_true(http_fixture.flooded < http_fixture.flood_bytes);
    assert_int_equal(http_fixture_stats().connections, 0);
    peer_close(&peer);
}

static void
a_client_that_ended_its_side_is_gone_after_a_while(void **state)
{
    struct peer peer;

    (void)state;
    http_fixture_dial(&peer);
    peer_send_text(&peer, "GET /later HTTP/1.1\r\n" HOST "\r\n");
    http_fixture_wait(&http_fixture.later_count, 1);
    peer_close(&peer);
    http_fixture_wait(&http_fixture.gone, 1);
    assert_null(http_fixture.later[0]);
}

static void
read_until_handled(struct peer *peer, unsigned handled)
{
    int64_t began = clock_mono_ms();

    while (http_fixture.handled < handled) {
        peer_turn(peer);
        buffer_reset(&peer->in);
        assert_true(clock_mono_ms() - began < PEER_PATIENCE_MS);
    }
}

static void
many_requests_without_reading_are_not_all_answered(void **state)
{
    struct buffer many = {NULL, 0, 0};
    size_t at = 0;
    struct peer peer;
    unsigned handled;

    (void)state;
    http_fixture_dial(&peer);
    peer.muted = true;
    for (int i = 0; i < 1000; i++)
        buffer_append_text(&many, HELLO);
    for (int full = 0; full < 20;) {
        size_t n = peer_try_send(&peer, many.data + at, many.len - at);

        full = n == 0 ? full + 1 : 0;
        at = (at + n) % many.len;
        event_base_loop(http_fixture.base, EVLOOP_NONBLOCK);
    }
    handled = http_fixture.handled;
    assert_true(handled > 0);
    http_fixture_turn_for(20);
    assert_int_equal(http_fixture.handled, handled);
    assert_int_equal(http_fixture.last_status, 200);
    /* It goes on where it stopped when the client reads. */
    peer.muted = false;
    read_until_handled(&peer, handled + 1000);
    assert_int_equal(http_fixture.last_status, 200);
    buffer_clear(&many);
    peer_close(&peer);
}

/* --- descriptors --- */

static void
accepting_rests_when_descriptors_run_out(void **state)
{
    enum { CLIENTS = 40, ROOM = 10 };
    struct peer peers[CLIENTS];
    struct rlimit old, low;
    unsigned turns, busy = 0, told = 0;
    int top;

    (void)state;
    for (unsigned i = 0; i < CLIENTS; i++) {
        http_fixture_dial(&peers[i]);
        assert_true(peer_try_send(&peers[i],
                        "GET /flood HTTP/1.1\r\n" HOST "\r\n", 40) == 40);
        peers[i].muted = true;
    }
    http_fixture.flood_bytes = 64 * 1024 * 1024;
    top = dup(0);
    close(top);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    low = old;
    low.rlim_cur = (rlim_t)top + ROOM;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    turns = http_fixture_turn_for(150);
    busy = http_fixture_stats().connections;
    assert_true(busy > 0 && busy <= ROOM);
    /* It beats every 10 ms; a spinning accept would turn thousands. */
    if (turns > 300)
        fail_msg("%u turns", turns);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    http_fixture_turn_for(150);
    for (unsigned i = 0; i < CLIENTS; i++) {
        peers[i].muted = false;
        peer_turn(&peers[i]);
        peer_turn(&peers[i]);
        assert_true(peers[i].in.len > 12);
        told += memcmp(peers[i].in.data, "HTTP/1.1 503", 12) == 0;
        peer_close(&peers[i]);
    }
    assert_true(told > 0 && told < CLIENTS / 2);
}

static void
idle_connections_hold_no_request(void **state)
{
    enum { CLIENTS = 400 };
    static struct peer peers[CLIENTS];
    struct http_server_stats stats;

    (void)state;
    for (unsigned i = 0; i < CLIENTS; i++) {
        http_fixture_dial(&peers[i]);
        assert_int_equal(peer_ask(&peers[i], HELLO), 200);
        buffer_clear(&peers[i].in);
    }
    stats = http_fixture_stats();
    assert_int_equal(stats.connections, CLIENTS);
    assert_int_equal(stats.requests_in_flight, 0);
    for (unsigned i = 0; i < CLIENTS; i++)
        peer_close(&peers[i]);
    http_fixture_wait_alone();
}

#define TEST(name, setup) cmocka_unit_test_setup_teardown(name, setup, stop)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bad_framing_gets_one_answer_and_the_end, start),
        TEST(a_good_request_before_a_bad_one_is_answered, start),
        TEST(a_body_that_breaks_tells_its_handler, start),
        TEST(heads_are_served_at_the_limit_and_refused_past_it, start),
        TEST(bodies_are_served_at_the_limit_and_refused_past_it, start),
        TEST(the_oldest_idle_connection_makes_room, start_small),
        TEST(a_hundred_over_the_cap_cost_nothing, start_small),
        TEST(half_sent_requests_end_while_others_are_served,
            start_quick_requests),
        TEST(a_dripping_header_does_not_buy_time, start_quick),
        TEST(a_fast_start_does_not_buy_a_standstill, start_quick),
        TEST(a_paused_handler_stops_the_clock_of_its_client, start_quick),
        TEST(
            idle_connections_end_and_handlers_may_take_their_time, start_quick),
        TEST(a_reader_that_stands_still_is_given_up, start_quick),
        TEST(a_client_that_ended_its_side_is_gone_after_a_while, start_quick),
        TEST(many_requests_without_reading_are_not_all_answered, start),
        TEST(accepting_rests_when_descriptors_run_out, start),
        TEST(idle_connections_hold_no_request, start),
    };
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
