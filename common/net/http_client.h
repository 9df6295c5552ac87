#ifndef LH_NET_HTTP_CLIENT_H
#define LH_NET_HTTP_CLIENT_H

/*
 * http_client: thousands of POSTs in flight on one libevent loop (libcurl's
 * multi interface). Connections are kept alive, HTTP/2 is used where TLS
 * negotiates it, easy handles are reused, and multi handles are added by
 * demand, because libcurl slows down above about 1,000 connections each.
 *
 * What a hostile or broken peer can do is bounded: no redirects, no proxy
 * from the environment, no netrc, no decompression, header and body bytes
 * counted, one total deadline, and an idle deadline for streams.
 */

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/buffer.h"

struct http_client;
struct http_call;

struct http_client_options {
    const char *user_agent; /* required */
    const char *ca_file; /* NULL: the system's */
    int64_t connect_timeout_ms; /* 0: 10,000 */
    unsigned calls_per_multi; /* 0: 512 */
};

/* How a call ended below HTTP. */
enum http_call_end {
    HTTP_CALL_OK, /* a complete answer of any status */
    HTTP_CALL_DNS, /* the name did not resolve */
    HTTP_CALL_CONNECT, /* refused, unreachable, connect timed out */
    HTTP_CALL_TLS, /* handshake or certificate */
    HTTP_CALL_TIMEOUT, /* the deadline passed after sending began */
    HTTP_CALL_CUT, /* connection lost before the answer's end */
    HTTP_CALL_TOO_LARGE, /* more bytes than max_answer_bytes */
    HTTP_CALL_BAD_PROTOCOL /* not HTTP, broken framing, a local failure */
};

struct http_call_result {
    enum http_call_end end;
    unsigned status; /* 0 if no status line came */
    bool sent; /* the peer may have seen the request */
    const char *detail; /* libcurl's word for it; static, no content */
    int64_t duration_us;
    int64_t first_byte_us; /* from the start, -1 if none came */
};

struct http_call_spec {
    const char *url;
    /* Complete lines "name: value", NULL-terminated; copied. A value with
     * CR, LF or NUL is fatal (a bug of the caller). */
    const char *const *headers;
    /* Taken over; freed with the call. */
    struct buffer *body;
    int64_t timeout_ms; /* of the whole call */
    int64_t idle_timeout_ms; /* nothing received for so long; 0: none */
    uint64_t max_answer_bytes;
    /* All from the loop, never before http_call_start returned. */
    void (*on_header)(void *arg, struct slice name, struct slice value);
    void (*on_data)(void *arg, unsigned status, struct slice data);
    /* Exactly once, last; the call is gone afterwards. */
    void (*on_done)(void *arg, const struct http_call_result *result);
    void *arg;
};

/* Options are copied. curl_global_init must have been called
 * (memory_install_hooks). */
struct http_client *http_client_new(
    struct event_base *base, const struct http_client_options *options);
/* Calls in flight are cancelled without callbacks. */
void http_client_free(struct http_client *client);

struct http_call *http_call_start(
    struct http_client *client, const struct http_call_spec *spec);
/* Ends it without on_done; allowed from its own callbacks except on_done. */
void http_call_cancel(struct http_call *call);

unsigned http_client_in_flight(const struct http_client *client);

#endif
