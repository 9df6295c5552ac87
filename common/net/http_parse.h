#ifndef LH_NET_HTTP_PARSE_H
#define LH_NET_HTTP_PARSE_H

/*
 * http_parse: the request half of HTTP/1.1 (RFC 9110, RFC 9112) as a pure,
 * push-driven parser. One grammar and no leniency, because framing is a
 * security boundary: CRLF only, no obs-fold, no blank before a colon, token
 * characters in names, no NUL or bare CR anywhere, exactly one Host on
 * HTTP/1.1, Content-Length xor Transfer-Encoding, digits only, chunked as
 * the only coding, chunk extensions and trailers read and dropped within the
 * header limits, no Transfer-Encoding on HTTP/1.0.
 *
 * The parser holds no descriptor and takes no time. The result is the same
 * however the input is cut.
 *
 * Target forms: origin-form; "*" for OPTIONS only; absolute-form with the
 * scheme http or https when its authority equals Host. CONNECT is refused
 * with 501, another version than 1.0 and 1.1 with 505.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buffer.h"

#define HTTP_MAX_HEADERS 100
#define HTTP_MAX_HEADER_BYTES (16 * 1024)
#define HTTP_MAX_URI_BYTES (8 * 1024)

struct http_header {
    struct slice name;
    struct slice value;
};

/* The head of one request. Slices point into the parser and live until
 * http_parser_next() or _clear(). */
struct http_head {
    struct slice method;
    struct slice path; /* before '?', as sent (not decoded) */
    struct slice query; /* after '?', may be empty */
    struct slice host;
    unsigned minor; /* 0 or 1: HTTP/1.0 or HTTP/1.1 */
    bool keep_alive; /* by version and Connection */
    bool expects_continue;
    bool has_length;
    bool chunked;
    uint64_t length; /* Content-Length when has_length */
    size_t header_count;
    struct http_header headers[HTTP_MAX_HEADERS];
};

enum http_parse_status {
    HTTP_PARSE_MORE, /* everything was consumed, feed more */
    HTTP_PARSE_HEAD, /* the head is complete (reported once) */
    HTTP_PARSE_BODY, /* body bytes are in *body (may repeat) */
    HTTP_PARSE_DONE, /* the request is complete (reported once) */
    HTTP_PARSE_ERROR /* answer parser->error_status and close */
};

/* Filled by the implementation; callers read head, error_* only. */
struct http_parser {
    struct http_head head;
    unsigned error_status; /* 400, 414, 431, 501, 505 */
    const char *error_reason; /* static text, safe to show */
    int state;
    unsigned seen; /* which single-valued fields have come */
    uint64_t left; /* body bytes to come, of this chunk if chunked */
    size_t line_start;
    size_t extra_bytes; /* field lines; later extensions, trailers */
    unsigned extra_fields;
    unsigned size_digits; /* of the chunk size being read */
    struct slice authority; /* of an absolute-form target */
    struct buffer bytes; /* the head as received */
};

void http_parser_init(struct http_parser *parser);
void http_parser_clear(struct http_parser *parser);
/* After HTTP_PARSE_DONE: ready for the next request of the connection. */
void http_parser_next(struct http_parser *parser);

/*
 * Consumes at least one of the `len` bytes (len > 0) unless it returns
 * HEAD or DONE, *used says how many. On BODY, *body is the run of body bytes
 * inside `data`. With len 0 it returns DONE if the request is complete and
 * that was not yet reported, else MORE. After an error: ERROR again.
 */
enum http_parse_status http_parser_feed(struct http_parser *parser,
    const char *data, size_t len, size_t *used, struct slice *body);

/* The first header of that name (any case), or the empty slice. */
struct slice http_head_get(const struct http_head *head, const char *name);
/* How many headers carry that name. */
size_t http_head_count(const struct http_head *head, const char *name);

/*
 * The value of `name` in a query string, percent-decoded into out ('+' is a
 * blank, as forms write it; NUL-terminated). Returns 1 when present, 0 when
 * absent, -1 when malformed, repeated or too long.
 */
int http_query_get(
    struct slice query, const char *name, char *out, size_t size) MUST_CHECK;
/* Calls back for each pair, decoded; stops and returns -1 on a malformed
 * one or when the callback returns nonzero. */
int http_query_each(struct slice query,
    int (*on_pair)(void *arg, struct slice name, struct slice value),
    void *arg) MUST_CHECK;
/* Percent-decoding of one path segment; -1 on a bad escape, %00 or '/'. */
int http_path_decode(struct slice in, char *out, size_t size) MUST_CHECK;

#endif
