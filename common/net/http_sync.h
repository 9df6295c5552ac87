#ifndef LH_NET_HTTP_SYNC_H
#define LH_NET_HTTP_SYNC_H

/*
 * http_sync: one HTTP request at a time, waited for. For the command line,
 * which has nothing else to do meanwhile; servers use http_client. The
 * connection is kept between calls. No redirects, no proxy from the
 * environment, no netrc; the answer's size and the time are bounded.
 */

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/buffer.h"

struct http_sync;

struct http_sync_request {
    const char *method;
    const char *url;
    const char *unix_path; /* connect there instead, or NULL */
    /* "name: value", NULL-terminated, or NULL. No CR, LF or NUL inside. */
    const char *const *headers;
    struct slice body; /* sent when not empty */
    int64_t timeout_ms; /* of the whole call; 0: see idle_timeout_ms */
    uint64_t max_answer_bytes;

    /* The rest is for long streams; all may be absent. */
    int64_t idle_timeout_ms; /* whole seconds in which nothing moves */
    /* The body in parts, of unknown length, in place of `body`: writes up to
     * `size` bytes and returns how many, 0 at the end, or
     * HTTP_SYNC_READ_FAILED, which cuts the call. */
    size_t (*read_body)(void *arg, char *out, size_t size);
    /* Gets the body of a 2xx answer in place of reply->body; -1 ends the
     * call as HTTP_SYNC_CUT. */
    int (*on_body)(void *arg, struct slice part);
    /* About once a second and whenever something moved. */
    void (*on_tick)(void *arg);
    void *arg;
};

#define HTTP_SYNC_READ_FAILED SIZE_MAX

enum http_sync_end {
    HTTP_SYNC_OK, /* an answer of any status */
    HTTP_SYNC_UNREACHABLE, /* nothing was sent: name, connection or TLS */
    HTTP_SYNC_CUT, /* sent, and then lost or timed out: the effect is unknown */
    HTTP_SYNC_TOO_LARGE,
    HTTP_SYNC_STOPPED, /* *stop became true */
    HTTP_SYNC_BAD_URL
};

#define HTTP_SYNC_VALUE_SIZE 128
struct http_sync_reply {
    enum http_sync_end end;
    unsigned status;
    struct buffer body; /* the caller's to clear */
    /* Of these headers the (last) value, "" if there was none. */
    char request_id[HTTP_SYNC_VALUE_SIZE]; /* request-id */
    char retry_after[HTTP_SYNC_VALUE_SIZE];
    char detail[256]; /* when not OK: libcurl's sentence */
};

/* `stop` (may be NULL) is looked at about once a second and after signals. */
struct http_sync *http_sync_new(
    const char *user_agent, const volatile sig_atomic_t *stop) MUST_CHECK;
void http_sync_free(struct http_sync *http);
/* *reply is overwritten (its body is reset, the memory reused). Returns
 * reply->end. */
enum http_sync_end http_sync_call(struct http_sync *http,
    const struct http_sync_request *request, struct http_sync_reply *reply);

#endif
