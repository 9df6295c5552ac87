#ifndef LH_TESTS_UNIT_HTTP_FIXTURE_H
#define LH_TESTS_UNIT_HTTP_FIXTURE_H

/*
 * http_fixture: a real server on a free port with one route of each kind,
 * for the tests of http_server.
 *
 *   GET  /hello           "hello"
 *   POST /echo            the body, up to ECHO_MAX
 *   GET  /later           kept in http_fixture.later until the test answers it
 *   POST /stream          counts; pauses after pause_at bytes; "BYTES SUM"
 *   POST /early           answers 200 before the body
 *   GET  /chunks          "one", "two" in chunks
 *   GET  /flood           flood_bytes of 'x' by on_drain
 *   GET  /cut             a chunk, then the connection breaks
 *   GET  /items/{id}/x    the id
 *   GET  /secret          with scope 7, credential "good"
 *   POST /any             any content type
 *   DELETE /items/{id}/x  204
 */

#include "common/net/http_server.h"
#include "tests/unit/http_peer.h"

#define ECHO_MAX (1024 * 1024)
#define STREAM_MAX (64 * 1024 * 1024)

struct http_fixture {
    struct event_base *base;
    struct http_server *server;
    int port;
    struct http_request *later[8];
    unsigned later_count;
    unsigned gone;
    unsigned handled; /* handlers that ran */
    unsigned answers; /* calls of on_answer */
    unsigned last_status;
    char last_route[64];
    uint64_t streamed;
    uint64_t sum;
    uint64_t pause_at;
    struct http_request *paused;
    uint64_t flood_bytes;
    uint64_t flooded;
    unsigned drained; /* calls of the server's on_drained */
    bool free_when_drained;
};

extern struct http_fixture http_fixture;

/* Starts http_fixture.server; NULL limits are the defaults. */
void http_fixture_start(const struct http_limits *limits);
/* Frees it; nothing may be left. */
void http_fixture_stop(void);
void http_fixture_dial(struct peer *peer);
struct http_server_stats http_fixture_stats(void);
/* Turns the loop until *count reaches `want`. */
void http_fixture_wait(const unsigned *count, unsigned want);
/* Turns the loop until the server has no connection. */
void http_fixture_wait_alone(void);
/* Turns the loop for some milliseconds; how often it came round. */
unsigned http_fixture_turn_for(int64_t ms);

#endif
