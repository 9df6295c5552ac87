/*
 * The client against a scripted peer on the same loop: each case says what
 * the peer writes and whether it closes, and how the call must end.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/memory.h"
#include "common/net/http_client.h"

struct script {
    const char *answer; /* what the peer writes once it has the request */
    bool closes;
};

struct peer {
    struct event_base *base;
    struct evconnlistener *listener;
    const struct script *script;
    unsigned accepted;
    unsigned requests;
    unsigned hang_up_on; /* this request, without an answer; 0: none */
    unsigned hold; /* answer only when so many requests are waiting */
    struct bufferevent *waiting[1500];
    unsigned waiting_count;
    char url[64];
    char request[4096]; /* the last one */
};

static void
on_peer_wrote(struct bufferevent *bev, void *arg)
{
    struct peer *peer = arg;

    if (peer->script->closes && peer->requests > 0)
        bufferevent_free(bev);
}

static void
on_peer_read(struct bufferevent *bev, void *arg)
{
    struct peer *peer = arg;
    struct evbuffer *in = bufferevent_get_input(bev);
    const char *answer = peer->script->answer;
    size_t len = evbuffer_get_length(in);

    if (evbuffer_search(in, "\r\n\r\nBODY", 8, NULL).pos < 0)
        return;
    len = len < sizeof(peer->request) - 1 ? len : sizeof(peer->request) - 1;
    evbuffer_copyout(in, peer->request, len);
    peer->request[len] = '\0';
    evbuffer_drain(in, evbuffer_get_length(in));
    peer->requests++;
    if ((peer->script->closes && answer == NULL) ||
        peer->requests == peer->hang_up_on) {
        bufferevent_free(bev);
        return;
    }
    peer->waiting[peer->waiting_count++] = bev;
    if (answer == NULL || peer->waiting_count < peer->hold)
        return;
    while (peer->waiting_count > 0)
        bufferevent_write(
            peer->waiting[--peer->waiting_count], answer, strlen(answer));
}

static void
on_peer_event(struct bufferevent *bev, short what, void *arg)
{
    (void)what;
    (void)arg;
    bufferevent_free(bev);
}

static void
on_peer_accept(struct evconnlistener *listener, evutil_socket_t fd,
    struct sockaddr *address, int len, void *arg)
{
    struct peer *peer = arg;
    struct bufferevent *bev =
        bufferevent_socket_new(peer->base, fd, BEV_OPT_CLOSE_ON_FREE);

    (void)listener;
    (void)address;
    (void)len;
    peer->accepted++;
    bufferevent_setcb(bev, on_peer_read, on_peer_wrote, on_peer_event, peer);
    bufferevent_enable(bev, EV_READ | EV_WRITE);
}

static void
peer_open(struct peer *peer, const struct script *script)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t len = sizeof(address);

    memset(peer, 0, sizeof(*peer));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    peer->base = event_base_new();
    peer->script = script;
    peer->listener = evconnlistener_new_bind(peer->base, on_peer_accept, peer,
        LEV_OPT_CLOSE_ON_FREE, 2000, (struct sockaddr *)&address, (int)len);
    assert_non_null(peer->listener);
    getsockname(evconnlistener_get_fd(peer->listener),
        (struct sockaddr *)&address, &len);
    snprintf(peer->url, sizeof(peer->url), "http://127.0.0.1:%u/v1/x",
        ntohs(address.sin_port));
}

/* --- one call and what it told us ------------------------------------ */

struct seen {
    struct peer *peer;
    struct http_call *call;
    struct http_call_result result;
    unsigned done;
    unsigned stop_after;
    size_t bytes;
    char header[64];
    bool cancel_on_data;
};

static void
on_header(void *arg, struct slice name, struct slice value)
{
    struct seen *seen = arg;

    if (slice_equal_nocase(name, "retry-after"))
        text_copy(seen->header, sizeof(seen->header), value);
}

static void
on_data(void *arg, unsigned status, struct slice data)
{
    struct seen *seen = arg;

    (void)status;
    seen->bytes += data.len;
    if (seen->cancel_on_data)
        http_call_cancel(seen->call);
}

static void
on_done(void *arg, const struct http_call_result *result)
{
    struct seen *seen = arg;

    seen->result = *result;
    if (++seen->done >= seen->stop_after)
        event_base_loopbreak(seen->peer->base);
}

static const char *const headers[] = {
    "content-type: application/json", "x-api-key: k", NULL};

static struct http_call *
start(struct http_client *client, struct seen *seen, int64_t timeout_ms)
{
    struct buffer body = {NULL, 0, 0};
    struct http_call_spec spec = {
        .url = seen->peer->url,
        .headers = headers,
        .body = &body,
        .timeout_ms = timeout_ms,
        .max_answer_bytes = 4096,
        .on_header = on_header,
        .on_data = on_data,
        .on_done = on_done,
        .arg = seen,
    };

    buffer_append_text(&body, "BODY{}");
    return http_call_start(client, &spec);
}

static struct http_client *
client_for(struct peer *peer)
{
    const struct http_client_options options = {.user_agent = "test/1"};

    return http_client_new(peer->base, &options);
}

/* Closes what is left of both sides. */
static void
finish(struct peer *peer, struct http_client *client)
{
    http_client_free(client);
    if (peer->listener != NULL)
        evconnlistener_free(peer->listener);
    for (unsigned i = 0; i < 4; i++)
        event_base_loop(peer->base, EVLOOP_NONBLOCK);
    event_base_free(peer->base);
}

#define OK_HEAD "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
#define OK_ANSWER OK_HEAD "Content-Length: 2\r\n\r\n{}"

static const struct end_case {
    const char *name;
    struct script script;
    int64_t timeout_ms;
    enum http_call_end end;
    unsigned status;
    size_t bytes;
} end_cases[] = {
    {"whole", {OK_ANSWER, false}, 5000, HTTP_CALL_OK, 200, 2},
    {"status 429",
        {"HTTP/1.1 429 X\r\nretry-after: 7\r\nContent-Length: 2\r\n\r\n{}",
            false},
        5000, HTTP_CALL_OK, 429, 2},
    {"redirect is not followed",
        {"HTTP/1.1 302 X\r\nLocation: http://127.0.0.1:1/\r\n"
         "Content-Length: 0\r\n\r\n",
            false},
        5000, HTTP_CALL_OK, 302, 0},
    {"cut in the body", {OK_HEAD "Content-Length: 20\r\n\r\n{", true}, 5000,
        HTTP_CALL_CUT, 200, 1},
    {"cut in the head", {"HTTP/1.1 20", true}, 5000, HTTP_CALL_CUT, 0, 0},
    {"cut before the answer", {NULL, true}, 5000, HTTP_CALL_CUT, 0, 0},
    {"cut chunk", {OK_HEAD "Transfer-Encoding: chunked\r\n\r\n5\r\n{\"a", true},
        5000, HTTP_CALL_CUT, 200, 3},
    {"silence", {NULL, false}, 150, HTTP_CALL_TIMEOUT, 0, 0},
    {"silence after the head", {OK_HEAD "Content-Length: 9\r\n\r\n", false},
        150, HTTP_CALL_TIMEOUT, 200, 0},
    {"not HTTP", {"SSH-2.0-OpenSSH\r\n\r\n", true}, 5000,
        HTTP_CALL_BAD_PROTOCOL, 0, 0},
};

static void
each_way_a_call_can_end_is_told_apart(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(end_cases) / sizeof(end_cases[0]); i++) {
        const struct end_case *c = &end_cases[i];
        struct peer peer;
        struct seen seen = {.peer = &peer, .stop_after = 1};
        struct http_client *client;

        peer_open(&peer, &c->script);
        client = client_for(&peer);
        start(client, &seen, c->timeout_ms);
        event_base_dispatch(peer.base);
        if (seen.result.end != c->end || seen.result.status != c->status ||
            seen.bytes != c->bytes)
            print_message("case: %s: %d %u %zu (%s)\n", c->name,
                (int)seen.result.end, seen.result.status, seen.bytes,
                seen.result.detail);
        assert_int_equal(seen.result.end, c->end);
        assert_int_equal(seen.result.status, c->status);
        assert_int_equal(seen.bytes, c->bytes);
        assert_true(seen.result.sent);
        assert_int_equal(http_client_in_flight(client), 0);
        finish(&peer, client);
    }
}

static void
a_refused_connection_was_not_sent(void **state)
{
    const struct script script = {NULL, false};
    struct peer peer;
    struct seen seen = {.peer = &peer, .stop_after = 1};
    struct http_client *client;

    (void)state;
    peer_open(&peer, &script);
    evconnlistener_free(peer.listener);
    peer.listener = NULL;
    client = client_for(&peer);
    start(client, &seen, 5000);
    event_base_dispatch(peer.base);
    assert_int_equal(seen.result.end, HTTP_CALL_CONNECT);
    assert_false(seen.result.sent);
    finish(&peer, client);
}

/* Handles are used again, and of some URLs more is known than of others. */
static void
each_call_goes_to_its_own_url(void **state)
{
    static const char *const paths[] = {
        "one", "two?a=b", "one", NULL, "three", "two?a=b"};
    const struct script script = {OK_ANSWER, false};
    struct peer peer;
    struct seen seen = {.peer = &peer, .stop_after = 1};
    struct http_client *client;
    char origin[40];

    (void)state;
    peer_open(&peer, &script);
    client = client_for(&peer);
    text_copy(origin, sizeof(origin), slice_of(peer.url));
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        char line[64];

        seen.done = 0;
        snprintf(peer.url, sizeof(peer.url), "%s/%s", origin,
            paths[i] != NULL ? paths[i] : "");
        if (paths[i] == NULL) /* not a URL */
            snprintf(peer.url, sizeof(peer.url), "http://[::x]/");
        start(client, &seen, 5000);
        event_base_dispatch(peer.base);
        if (paths[i] == NULL) {
            assert_int_not_equal(seen.result.end, HTTP_CALL_OK);
            assert_false(seen.result.sent);
            continue;
        }
        snprintf(line, sizeof(line), "POST /v1/x/%s HTTP/1.1\r\n", paths[i]);
        assert_int_equal(seen.result.end, HTTP_CALL_OK);
        assert_int_equal(strncmp(peer.request, line, strlen(line)), 0);
    }
    assert_int_equal(peer.accepted, 1);
    finish(&peer, client);
}

/* More than are kept in parsed form. */
static void
a_hundred_urls_are_called(void **state)
{
    const struct script script = {OK_ANSWER, false};
    struct peer peer;
    struct seen seen = {.peer = &peer, .stop_after = 1};
    struct http_client *client;
    size_t len;

    (void)state;
    peer_open(&peer, &script);
    client = client_for(&peer);
    len = strlen(peer.url);
    for (unsigned i = 0; i < 100; i++) {
        seen.done = 0;
        snprintf(peer.url + len, sizeof(peer.url) - len, "/%u", i);
        start(client, &seen, 5000);
        event_base_dispatch(peer.base);
        assert_int_equal(seen.result.end, HTTP_CALL_OK);
        assert_non_null(strstr(peer.request, peer.url + len));
    }
    finish(&peer, client);
}

static void
an_answer_past_the_bound_ends_the_call(void **state)
{
    static char answer[8300];
    struct script script = {answer, false};
    struct peer peer;
    struct seen seen = {.peer = &peer, .stop_after = 1};
    struct http_client *client;
    int head;

    (void)state;
    head = snprintf(
        answer, sizeof(answer), OK_HEAD "Content-Length: 8000\r\n\r\n");
    memset(answer + head, 'x', 8000);
    peer_open(&peer, &script);
    client = client_for(&peer);
    start(client, &seen, 5000);
    event_base_dispatch(peer.base);
    assert_int_equal(seen.result.end, HTTP_CALL_TOO_LARGE);
    finish(&peer, client);
}

static void
the_request_is_what_was_asked_for(void **state)
{
    const struct script script = {
        "HTTP/1.1 429 X\r\nRetry-After:  7 \r\nContent-Length: 0\r\n\r\n",
        false};
    struct peer peer;
    struct seen seen = {.peer = &peer, .stop_after = 1};
    struct http_client *client;

    (void)state;
    peer_open(&peer, &script);
    client = client_for(&peer);
    start(client, &seen, 5000);
    event_base_dispatch(peer.base);
    assert_int_equal(strncmp(peer.request, "POST /v1/x HTTP/1.1\r\n", 21), 0);
    assert_non_null(strstr(peer.request, "User-Agent: test/1\r\n"));
    assert_non_null(strstr(peer.request, "x-api-key: k\r\n"));
    assert_non_null(strstr(peer.request, "Content-Length: 6\r\n"));
    assert_null(strstr(peer.request, "Expect"));
    assert_null(strstr(peer.request, "Accept-Encoding"));
    assert_string_equal(strstr(peer.request, "\r\n\r\n") + 4, "BODY{}");
    assert_string_equal(seen.header, "7");
    finish(&peer, client);
}

static void
connections_and_handles_are_used_again(void **state)
{
    const struct script script = {OK_ANSWER, false};
    struct peer peer;
    struct seen seen = {.peer = &peer, .stop_after = 1};
    struct http_client *client;

    (void)state;
    peer_open(&peer, &script);
    client = client_for(&peer);
    for (unsigned i = 0; i < 20; i++) {
        start(client, &seen, 5000);
        event_base_dispatch(peer.base);
        assert_int_equal(seen.result.end, HTTP_CALL_OK);
    }
    assert_int_equal(peer.requests, 20);
    assert_int_equal(peer.accepted, 1);
    finish(&peer, client);
}

/* An idle connection stays on the loop, which must not turn for it once the
 * peer has closed it. */
static void
a_connection_closed_while_idle_is_not_watched_and_not_used(void **state)
{
    const struct script script = {OK_ANSWER, true};
    struct peer peer;
    struct seen seen = {.peer = &peer, .stop_after = 1};
    struct http_client *client;

    (void)state;
    peer_open(&peer, &script);
    client = client_for(&peer);
    for (unsigned i = 1; i <= 3; i++) {
        peer.requests = 0; /* the next connection may be written to */
        start(client, &seen, 5000);
        event_base_dispatch(peer.base);
        assert_int_equal(seen.result.end, HTTP_CALL_OK);
        assert_int_equal(peer.accepted, i);
        for (unsigned turn = 0; turn < 4; turn++)
            event_base_loop(peer.base, EVLOOP_NONBLOCK);
        assert_int_equal(
            event_base_get_num_events(peer.base, EVENT_BASE_COUNT_ADDED), 1);
    }
    finish(&peer, client);
}

/* libcurl on its own sends again what a connection that it had used before
 * took without an answer; each sending may be paid for. */
static void
a_request_is_sent_once_also_on_a_connection_used_before(void **state)
{
    const struct script script = {OK_ANSWER, false};
    struct peer peer;
    struct seen seen = {.peer = &peer, .stop_after = 1};
    struct http_client *client;

    (void)state;
    peer_open(&peer, &script);
    peer.hang_up_on = 2;
    client = client_for(&peer);
    start(client, &seen, 5000);
    event_base_dispatch(peer.base);
    assert_int_equal(seen.result.end, HTTP_CALL_OK);

    start(client, &seen, 5000);
    event_base_dispatch(peer.base);
    assert_int_equal(seen.result.end, HTTP_CALL_CUT);
    assert_true(seen.result.sent);
    assert_int_equal(peer.requests, 2);
    finish(&peer, client);
}

/* As above, and then nobody listens any more. */
static void
a_cut_call_is_not_taken_for_a_refused_connection(void **state)
{
    const struct script script = {OK_ANSWER, false};
    struct peer peer;
    struct seen seen = {.peer = &peer, .stop_after = 1};
    struct http_client *client;

    (void)state;
    peer_open(&peer, &script);
    peer.hang_up_on = 2;
    client = client_for(&peer);
    start(client, &seen, 5000);
    event_base_dispatch(peer.base);
    evconnlistener_free(peer.listener);
    peer.listener = NULL;

    start(client, &seen, 5000);
    event_base_dispatch(peer.base);
    assert_int_equal(seen.result.end, HTTP_CALL_CUT);
    assert_true(seen.result.sent);
    assert_int_equal(peer.requests, 2);
    finish(&peer, client);
}

static void
more_calls_than_one_multi_holds_are_in_flight_at_once(void **state)
{
    const struct script script = {OK_ANSWER, false};
    const struct http_client_options options = {
        .user_agent = "test/1", .calls_per_multi = 64};
    struct peer peer;
    struct seen seen = {.peer = &peer, .stop_after = 300};
    struct http_client *client;

    (void)state;
    peer_open(&peer, &script);
    peer.hold = 300; /* nobody is answered before all are there */
    client = http_client_new(peer.base, &options);
    for (unsigned i = 0; i < 300; i++)
        start(client, &seen, 20000);
    assert_int_equal(http_client_in_flight(client), 300);
    event_base_dispatch(peer.base);
    assert_int_equal(seen.result.end, HTTP_CALL_OK);
    assert_int_equal(seen.done, 300);
    assert_int_equal(seen.bytes, 600);
    finish(&peer, client);
}

static void
a_cancelled_call_says_nothing_more(void **state)
{
    const struct script script = {OK_HEAD "Content-Length: 9\r\n\r\n{}", false};
    struct timeval soon = {0, 100000};
    struct peer peer;
    struct seen seen = {.peer = &peer, .stop_after = 1, .cancel_on_data = true};
    struct http_client *client;

    (void)state;
    peer_open(&peer, &script);
    client = client_for(&peer);
    seen.call = start(client, &seen, 5000);
    event_base_loopexit(peer.base, &soon);
    event_base_dispatch(peer.base);
    assert_int_equal(seen.bytes, 2);
    assert_int_equal(seen.done, 0);
    assert_int_equal(http_client_in_flight(client), 0);

    seen.call = start(client, &seen, 5000);
    http_call_cancel(seen.call);
    assert_int_equal(http_client_in_flight(client), 0);
    finish(&peer, client);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_way_a_call_can_end_is_told_apart),
        cmocka_unit_test(a_refused_connection_was_not_sent),
        cmocka_unit_test(an_answer_past_the_bound_ends_the_call),
        cmocka_unit_test(the_request_is_what_was_asked_for),
        cmocka_unit_test(connections_and_handles_are_used_again),
        cmocka_unit_test(
            a_connection_closed_while_idle_is_not_watched_and_not_used),
        cmocka_unit_test(
            a_request_is_sent_once_also_on_a_connection_used_before),
        cmocka_unit_test(each_call_goes_to_its_own_url),
        cmocka_unit_test(a_hundred_urls_are_called),
        cmocka_unit_test(a_cut_call_is_not_taken_for_a_refused_connection),
        cmocka_unit_test(more_calls_than_one_multi_holds_are_in_flight_at_once),
        cmocka_unit_test(a_cancelled_call_says_nothing_more),
    };

    memory_install_hooks();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
