#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/net/http_parse.h"

#define GET "GET / HTTP/1.1\r\nHost: a\r\n"
#define POST "POST /v1/jobs HTTP/1.1\r\nHost: a\r\n"
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"

/* status 0: the request is good and its body is `body`. */
struct row {
    const char *what;
    unsigned status;
    const char *input;
    const char *body;
    size_t len; /* when the input holds a NUL */
};

#define WITH_NUL(text) text, NULL, sizeof(text) - 1

static const struct row rows[] = {
    /* What is served. */
    {"plain get", 0, GET "\r\n", "", 0},
    {"1.0 without host", 0, "GET /x HTTP/1.0\r\n\r\n", "", 0},
    {"fixed body", 0, POST "Content-Length: 5\r\n\r\nhello", "hello", 0},
    {"length zero", 0, POST "Content-Length: 0\r\n\r\n", "", 0},
    {"length with zeros", 0, POST "Content-Length: 0005\r\n\r\nhello", "hello",
        0},
    {"name in any case", 0, POST "cOnTeNt-LeNgTh:\t 5 \t\r\n\r\nhello", "hello",
        0},
    {"chunked", 0, CHUNKED "5\r\nhello\r\n3\r\n wo\r\n0\r\n\r\n", "hello wo",
        0},
    {"chunked, hex case", 0,
        CHUNKED "A\r\n0123456789\r\n0a\r\nabcdefghij\r\n"
                "000\r\n\r\n",
        "0123456789abcdefghij", 0},
    {"coding in any case", 0,
        POST "Transfer-Encoding: CHUNKED\r\n\r\n"
             "1\r\nx\r\n0\r\n\r\n",
        "x", 0},
    {"chunk extensions", 0,
        CHUNKED "5;a;b=c;d=\"e;\\\"f\"\r\nhello\r\n"
                "0;last\r\n\r\n",
        "hello", 0},
    {"trailers are dropped", 0,
        CHUNKED "1\r\nx\r\n0\r\nX-Auth: a\r\n"
                "Content-Length: 9\r\n\r\n",
        "x", 0},
    {"empty chunked", 0, CHUNKED "0\r\n\r\n", "", 0},
    {"empty value", 0, GET "X-Empty:\r\n\r\n", "", 0},
    {"high bytes in a value", 0, GET "X-Name: \xc3\xa9\xff\r\n\r\n", "", 0},
    {"absolute-form", 0, "GET http://a/b?c HTTP/1.1\r\nHost: A\r\n\r\n", "", 0},
    {"absolute-form, no path", 0,
        "GET https://a:1?c HTTP/1.1\r\nHost: a:1\r\n\r\n", "", 0},
    {"asterisk", 0, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "", 0},
    {"IPv6 host", 0, "GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", "", 0},
    {"unknown method", 0, "BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n", "", 0},
    {"two pipelined", 0, POST "Content-Length: 2\r\n\r\nab" GET "\r\n", "ab",
        0},
    {"expect", 0, POST "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\nx",
        "x", 0},

    /* Framing in doubt. */
    {"length and coding", 400,
        POST "Content-Length: 5\r\n"
             "Transfer-Encoding: chunked\r\n\r\n"
             "0\r\n\r\n",
        NULL, 0},
    {"coding and length", 400,
        POST "Transfer-Encoding: chunked\r\n"
             "Content-Length: 5\r\n\r\n0\r\n\r\n",
        NULL, 0},
    {"two lengths", 400,
        POST "Content-Length: 5\r\nContent-Length: 6\r\n"
             "\r\nhello",
        NULL, 0},
    {"two equal lengths", 400,
        POST "Content-Length: 5\r\n"
             "content-length: 5\r\n\r\nhello",
        NULL, 0},
    {"length list", 400, POST "Content-Length: 5, 5\r\n\r\nhello", NULL, 0},
    {"length +5", 400, POST "Content-Length: +5\r\n\r\nhello", NULL, 0},
    {"length -1", 400, POST "Content-Length: -1\r\n\r\n", NULL, 0},
    {"length 0x5", 400, POST "Content-Length: 0x5\r\n\r\nhello", NULL, 0},
    {"length 5.0", 400, POST "Content-Length: 5.0\r\n\r\nhello", NULL, 0},
    {"length empty", 400, POST "Content-Length:\r\n\r\n", NULL, 0},
    {"length inner blank", 400, POST "Content-Length: 1 0\r\n\r\n", NULL, 0},
    {"length of 20 digits", 400,
        POST "Content-Length: 99999999999999999999\r\n\r\n", NULL, 0},
    {"length 2^63", 400, POST "Content-Length: 9223372036854775808\r\n\r\n",
        NULL, 0},
    {"length 2^64+5", 400, POST "Content-Length: 18446744073709551621\r\n\r\n",
        NULL, 0},
    {"unknown coding with length", 501,
        POST "Transfer-Encoding: xchunked\r\n"
             "Content-Length: 5\r\n\r\nhello",
        NULL, 0},
    {"two codings", 400,
        POST "Transfer-Encoding: chunked\r\n"
             "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        NULL, 0},
    {"chunked twice", 400, POST "Transfer-Encoding: chunked, chunked\r\n\r\n",
        NULL, 0},
    {"chunked not last", 400, POST "Transfer-Encoding: chunked, gzip\r\n\r\n",
        NULL, 0},
    {"chunked and comma", 400, POST "Transfer-Encoding: chunked,\r\n\r\n", NULL,
        0},
    {"comma and chunked", 400, POST "Transfer-Encoding: ,chunked\r\n\r\n", NULL,
        0},
    {"codings without chunked", 400,
        POST "Transfer-Encoding: gzip, identity\r\n\r\n", NULL, 0},
    {"quoted coding", 400, POST "Transfer-Encoding: \"chunked\"\r\n\r\n", NULL,
        0},
    {"coding empty", 400, POST "Transfer-Encoding:\r\n\r\n", NULL, 0},
    {"coding with vertical tab", 400,
        POST "Transfer-Encoding: \x0b"
             "chunked\r\n\r\n0\r\n\r\n",
        NULL, 0},
    {"folded coding", 400, POST "Transfer-Encoding:\r\n chunked\r\n\r\n", NULL,
        0},
    {"blank before colon", 400, POST "Transfer-Encoding : chunked\r\n\r\n",
        NULL, 0},
    {"coding on 1.0", 400,
        "POST / HTTP/1.0\r\nHost: a\r\n"
        "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        NULL, 0},
    {"unknown coding", 501, POST "Transfer-Encoding: xchunked\r\n\r\n", NULL,
        0},
    {"identity", 501, POST "Transfer-Encoding: identity\r\n\r\n", NULL, 0},
    {"gzip and chunked", 501, POST "Transfer-Encoding: gzip, chunked\r\n\r\n",
        NULL, 0},

    /* Chunk syntax. */
    {"chunk 0x5", 400, CHUNKED "0x5\r\nhello\r\n0\r\n\r\n", NULL, 0},
    {"chunk +5", 400, CHUNKED "+5\r\nhello\r\n0\r\n\r\n", NULL, 0},
    {"chunk -5", 400, CHUNKED "-5\r\nhello\r\n0\r\n\r\n", NULL, 0},
    {"chunk blank 5", 400, CHUNKED " 5\r\nhello\r\n0\r\n\r\n", NULL, 0},
    {"chunk 5 blank", 400, CHUNKED "5 \r\nhello\r\n0\r\n\r\n", NULL, 0},
    {"chunk 5 blank ext", 400, CHUNKED "5 ;a\r\nhello\r\n0\r\n\r\n", NULL, 0},
    {"chunk without size", 400, CHUNKED "\r\nhello\r\n0\r\n\r\n", NULL, 0},
    {"chunk of ext only", 400, CHUNKED ";a\r\nhello\r\n0\r\n\r\n", NULL, 0},
    {"chunk size ends with LF", 400, CHUNKED "5\nhello\r\n0\r\n\r\n", NULL, 0},
    {"chunk size ends with CR", 400, CHUNKED "5\rXhello\r\n0\r\n\r\n", NULL, 0},
    {"chunk data ends with LF", 400, CHUNKED "5\r\nhello\n0\r\n\r\n", NULL, 0},
    {"chunk data without end", 400, CHUNKED "5\r\nhello0\r\n\r\n", NULL, 0},
    {"chunk longer than said", 400, CHUNKED "4\r\nhello\r\n0\r\n\r\n", NULL, 0},
    {"chunk of 2^64", 400, CHUNKED "10000000000000000\r\nx\r\n0\r\n\r\n", NULL,
        0},
    {"chunk of ffff...", 400, CHUNKED "ffffffffffffffff\r\nx\r\n0\r\n\r\n",
        NULL, 0},
    {"chunk with many zeros", 400, CHUNKED "0000000000000000005\r\nhello", NULL,
        0},
    {"chunk bare semicolon", 400, CHUNKED "5;\r\nhello\r\n0\r\n\r\n", NULL, 0},
    {"chunk ext open quote", 400, CHUNKED "5;a=\"\r\nhello\r\n0\r\n\r\n", NULL,
        0},
    {"chunk ext bare LF", 400, CHUNKED "5;a\nhello\r\n0\r\n\r\n", NULL, 0},
    {"chunk ext bare CR", 400, CHUNKED "5;a\rb\r\nhello\r\n0\r\n\r\n", NULL, 0},
    {"last chunk ends with LF", 400, CHUNKED "0\r\n\n", NULL, 0},
    {"trailer folded", 400, CHUNKED "0\r\nA: b\r\n c\r\n\r\n", NULL, 0},
    {"trailer blank before colon", 400, CHUNKED "0\r\nA : b\r\n\r\n", NULL, 0},
    {"trailer bare LF", 400, CHUNKED "0\r\nA: b\n\r\n", NULL, 0},
    {"trailer without colon", 400, CHUNKED "0\r\nA\r\n\r\n", NULL, 0},
    {"trailer without name", 400, CHUNKED "0\r\n: b\r\n\r\n", NULL, 0},
    {"trailer with NUL", 400, WITH_NUL(CHUNKED "0\r\nA: b\0c\r\n\r\n")},

    /* Lines and bytes. */
    {"bare LF in headers", 400, "GET / HTTP/1.1\r\nHost: a\n\r\n", NULL, 0},
    {"bare LF at the end", 400, GET "\n", NULL, 0},
    {"bare LF after request line", 400, "GET / HTTP/1.1\nHost: a\r\n\r\n", NULL,
        0},
    {"all bare LF", 400, "GET / HTTP/1.1\nHost: a\n\n", NULL, 0},
    {"bare CR in a value", 400, GET "X-A: b\rX-C: d\r\n\r\n", NULL, 0},
    {"CR CR LF", 400, GET "X-A: b\r\r\n\r\n", NULL, 0},
    {"NUL in a value", 400, WITH_NUL(GET "X-A: b\0c\r\n\r\n")},
    {"NUL in a name", 400, WITH_NUL(GET "X\0A: b\r\n\r\n")},
    {"NUL in the target", 400,
        WITH_NUL("GET /a\0b HTTP/1.1\r\nHost: a\r\n\r\n")},
    {"DEL in a value", 400, GET "X-A: b\x7f\r\n\r\n", NULL, 0},
    {"obs-fold", 400, GET "X-A: b\r\n c\r\n\r\n", NULL, 0},
    {"obs-fold with tab", 400, GET "X-A: b\r\n\tc\r\n\r\n", NULL, 0},
    {"folded first header", 400, "GET / HTTP/1.1\r\n Host: a\r\n\r\n", NULL, 0},
    {"blank in a name", 400, GET "X A: b\r\n\r\n", NULL, 0},
    {"blank before a colon", 400, GET "X-A : b\r\n\r\n", NULL, 0},
    {"tab before a colon", 400, GET "X-A\t: b\r\n\r\n", NULL, 0},
    {"header without colon", 400, GET "X-A\r\n\r\n", NULL, 0},
    {"header without name", 400, GET ": b\r\n\r\n", NULL, 0},
    {"name with a slash", 400, GET "X/A: b\r\n\r\n", NULL, 0},
    {"name with high byte", 400, GET "X\xc3: b\r\n\r\n", NULL, 0},

    /* Host. */
    {"no host", 400, "GET / HTTP/1.1\r\n\r\n", NULL, 0},
    {"two hosts", 400, GET "Host: b\r\n\r\n", NULL, 0},
    {"two equal hosts", 400, GET "host: a\r\n\r\n", NULL, 0},
    {"empty host", 400, "GET / HTTP/1.1\r\nHost:\r\n\r\n", NULL, 0},
    {"host list", 400, "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", NULL, 0},
    {"host with user", 400, "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", NULL, 0},
    {"host with path", 400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", NULL, 0},
    {"host with bad port", 400, "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", NULL, 0},
    {"host without port digits", 400, "GET / HTTP/1.1\r\nHost: a:\r\n\r\n",
        NULL, 0},
    {"host with open bracket", 400, "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n",
        NULL, 0},
    {"host with bytes behind ]", 400, "GET / HTTP/1.1\r\nHost: [::1]a\r\n\r\n",
        NULL, 0},
    {"two hosts on 1.0", 400, "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
        NULL, 0},

    /* The request line. */
    {"empty line first", 400, "\r\n" GET "\r\n", NULL, 0},
    {"blank first", 400, " " GET "\r\n", NULL, 0},
    {"two blanks", 400, "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", NULL, 0},
    {"two blanks before version", 400, "GET /  HTTP/1.1\r\nHost: a\r\n\r\n",
        NULL, 0},
    {"blank at the end", 400, "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", NULL, 0},
    {"tab between", 400, "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", NULL, 0},
    {"blank in the target", 400, "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", NULL,
        0},
    {"no version", 400, "GET /\r\nHost: a\r\n\r\n", NULL, 0},
    {"no target", 400, "GET HTTP/1.1\r\nHost: a\r\n\r\n", NULL, 0},
    {"empty target", 400, "GET  HTTP/1.1\r\nHost: a\r\n\r\n", NULL, 0},
    {"one word", 400, "GET\r\nHost: a\r\n\r\n", NULL, 0},
    {"lower-case version", 400, "GET / http/1.1\r\nHost: a\r\n\r\n", NULL, 0},
    {"version 1.1x", 400, "GET / HTTP/1.1x\r\nHost: a\r\n\r\n", NULL, 0},
    {"version 1.10", 400, "GET / HTTP/1.10\r\nHost: a\r\n\r\n", NULL, 0},
    {"version 1", 400, "GET / HTTP/1\r\nHost: a\r\n\r\n", NULL, 0},
    {"version 2.0", 505, "GET / HTTP/2.0\r\nHost: a\r\n\r\n", NULL, 0},
    {"version 1.2", 505, "GET / HTTP/1.2\r\nHost: a\r\n\r\n", NULL, 0},
    {"version 0.9", 505, "GET / HTTP/0.9\r\nHost: a\r\n\r\n", NULL, 0},
    {"HTTP/2 preface", 505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", NULL, 0},
    {"method with a colon", 400, "G:T / HTTP/1.1\r\nHost: a\r\n\r\n", NULL, 0},
    {"TLS hello", 400, WITH_NUL("\x16\x03\x01\x02\0\x01")},
    {"relative target", 400, "GET a HTTP/1.1\r\nHost: a\r\n\r\n", NULL, 0},
    {"asterisk with get", 400, "GET * HTTP/1.1\r\nHost: a\r\n\r\n", NULL, 0},
    {"other scheme", 400, "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", NULL, 0},
    {"target of another host", 400, "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
        NULL, 0},
    {"target with user", 400, "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        NULL, 0},
    {"target without host", 400, "GET http:/// HTTP/1.1\r\nHost: a\r\n\r\n",
        NULL, 0},
    {"absolute-form, 1.0, no host", 400, "GET http://a/ HTTP/1.0\r\n\r\n", NULL,
        0},
    {"fragment", 400, "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", NULL, 0},
    {"high byte in target", 400, "GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n",
        NULL, 0},
    {"connect", 501, "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", NULL, 0},
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

/* Everything that can be seen of a parse, as text. */
struct trace {
    struct buffer text;
    struct buffer body;
    unsigned status;
    unsigned done;
};

static void
trace_head(struct trace *trace, const struct http_head *head)
{
    buffer_printf(&trace->text, "%.*s|%.*s|%.*s|%.*s|%u%d%d%d%d|%llu\n",
        (int)head->method.len, head->method.data, (int)head->path.len,
        head->path.data, (int)head->query.len, head->query.data,
        (int)head->host.len, head->host.data, head->minor, head->keep_alive,
        head->expects_continue, head->has_length, head->chunked,
        (unsigned long long)head->length);
    for (size_t i = 0; i < head->header_count; i++) {
        buffer_append_slice(&trace->text, head->headers[i].name);
        buffer_append_char(&trace->text, '=');
        buffer_append_slice(&trace->text, head->headers[i].value);
        buffer_append_char(&trace->text, '\n');
    }
}

/* Feeds one piece; false after an error. */
static bool
trace_feed(struct trace *trace, struct http_parser *parser, const char *data,
    size_t len)
{
    /* A copy of its own, so that reading past the end is seen. */
    char *piece = memory_dup_bytes(data, len);
    size_t at = 0, used;
    struct slice body;
    enum http_parse_status status;

    do {
        status = http_parser_feed(parser, piece + at, len - at, &used, &body);
        assert_true(used <= len - at);
        at += used;
        if (status == HTTP_PARSE_HEAD)
            trace_head(trace, &parser->head);
        else if (status == HTTP_PARSE_BODY)
            buffer_append_slice(&trace->body, body);
        else if (status == HTTP_PARSE_MORE)
            assert_int_equal(at, len);
        if (status == HTTP_PARSE_DONE) {
            buffer_printf(&trace->text, "done %zu\n", trace->body.len);
            trace->done++;
            http_parser_next(parser);
            if (at == len)
                break;
        }
    } while (status != HTTP_PARSE_MORE && status != HTTP_PARSE_ERROR);
    if (status == HTTP_PARSE_ERROR) {
        trace->status = parser->error_status;
        assert_non_null(parser->error_reason);
        buffer_printf(&trace->text, "%u %s\n", parser->error_status,
            parser->error_reason);
    }
    memory_free(piece);
    return status != HTTP_PARSE_ERROR;
}

/* Feeds `input` in pieces that end at the cuts (ascending). */
static void
trace_cut(struct trace *trace, const char *input, size_t len,
    const size_t *cuts, size_t count)
{
    struct http_parser parser;
    size_t from = 0;
    bool going = true;

    *trace = (struct trace){.status = 0};
    http_parser_init(&parser);
    for (size_t i = 0; going && i <= count; i++) {
        size_t to = i < count ? cuts[i] : len;

        if (to > from)
            going = trace_feed(trace, &parser, input + from, to - from);
        from = to;
    }
    http_parser_clear(&parser);
}

static void
trace_clear(struct trace *trace)
{
    buffer_clear(&trace->text);
    buffer_clear(&trace->body);
}

static void
assert_same(const struct row *row, struct trace *a, struct trace *b, size_t at)
{
    if (a->text.len != b->text.len || a->body.len != b->body.len ||
        memcmp(a->text.data, b->text.data, a->text.len) != 0 ||
        (a->body.len > 0 &&
            memcmp(a->body.data, b->body.data, a->body.len) != 0))
        fail_msg("%s cut at %zu:\n%s---\n%s", row->what, at,
            a->text.data != NULL ? a->text.data : "",
            b->text.data != NULL ? b->text.data : "");
    trace_clear(b);
}

static size_t
row_len(const struct row *row)
{
    return row->len != 0 ? row->len : strlen(row->input);
}

static void
every_case_gets_its_answer(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        const struct row *row = &rows[i];
        struct trace trace;

        trace_cut(&trace, row->input, row_len(row), NULL, 0);
        if (trace.status != row->status)
            fail_msg("%s: %u, not %u", row->what, trace.status, row->status);
        if (row->status == 0) {
            assert_true(trace.done > 0);
            buffer_append_char(&trace.body, '\0');
            if (strcmp(trace.body.data, row->body) != 0)
                fail_msg("%s: body %s", row->what, trace.body.data);
        }
        trace_clear(&trace);
    }
}

static void
a_cut_at_any_byte_changes_nothing(void **state)
{
    size_t every[4096];

    (void)state;
    for (size_t i = 0; i < 4096; i++)
        every[i] = i + 1;
    for (size_t i = 0; i < ROWS; i++) {
        const struct row *row = &rows[i];
        size_t len = row_len(row);
        struct trace whole, cut;

        trace_cut(&whole, row->input, len, NULL, 0);
        for (size_t at = 1; at < len; at++) {
            size_t two[] = {at, at + 1};

            trace_cut(&cut, row->input, len, two, 1);
            assert_same(row, &whole, &cut, at);
            trace_cut(&cut, row->input, len, two, 2);
            assert_same(row, &whole, &cut, at);
        }
        trace_cut(&cut, row->input, len, every, len - 1);
        assert_same(row, &whole, &cut, 0);
        trace_clear(&whole);
    }
}

static void
every_prefix_of_a_good_request_is_waited_for(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        for (size_t len = 1; rows[i].status == 0 && len < row_len(&rows[i]);
             len++) {
            struct trace trace;

            trace_cut(&trace, rows[i].input, len, NULL, 0);
            if (trace.status != 0)
                fail_msg("%s at %zu", rows[i].what, len);
            trace_clear(&trace);
        }
    }
}

/* `count` headers, or one header, that make `bytes` of field lines. */
static void
append_fields(struct buffer *out, size_t count, size_t bytes)
{
    size_t end = out->len + bytes;

    for (size_t i = 0; i < count; i++)
        buffer_append_text(out, i + 1 < count ? "x:\r\n" : "x:");
    while (out->len + 2 < end)
        buffer_append_char(out, 'y');
    buffer_append_text(out, "\r\n\r\n");
}

static unsigned
status_of(struct buffer *input)
{
    struct row row = {"limit", 0, NULL, NULL, 0};
    struct trace whole, cut;
    unsigned status;

    trace_cut(&whole, input->data, input->len, NULL, 0);
    status = whole.status;
    if (status == 0)
        assert_int_equal(whole.done, 1);
    for (size_t at = 1; at < input->len; at += 997) {
        trace_cut(&cut, input->data, input->len, &at, 1);
        assert_same(&row, &whole, &cut, at);
    }
    trace_clear(&whole);
    buffer_clear(input);
    return status;
}

static unsigned
status_with_fields(size_t count, size_t bytes)
{
    struct buffer in = {NULL, 0, 0};

    buffer_append_text(&in, GET);
    append_fields(&in, count, bytes - strlen("Host: a\r\n"));
    return status_of(&in);
}

static unsigned
status_with_target(size_t len)
{
    struct buffer in = {NULL, 0, 0};

    buffer_append_text(&in, "GET /");
    for (size_t i = 1; i < len; i++)
        buffer_append_char(&in, 'a');
    buffer_append_text(&in, " HTTP/1.1\r\nHost: a\r\n\r\n");
    return status_of(&in);
}

static void
limits_hold_at_the_limit_and_one_past_it(void **state)
{
    (void)state;
    assert_int_equal(status_with_fields(1, HTTP_MAX_HEADER_BYTES - 1), 0);
    assert_int_equal(status_with_fields(1, HTTP_MAX_HEADER_BYTES), 0);
    assert_int_equal(status_with_fields(1, HTTP_MAX_HEADER_BYTES + 1), 431);
    assert_int_equal(status_with_fields(1, HTTP_MAX_HEADER_BYTES + 2), 431);
    assert_int_equal(status_with_fields(1, HTTP_MAX_HEADER_BYTES + 3), 431);
    assert_int_equal(status_with_fields(1, 1 << 20), 431);
    assert_int_equal(status_with_fields(HTTP_MAX_HEADERS - 1, 600), 0);
    assert_int_equal(status_with_fields(HTTP_MAX_HEADERS, 600), 431);
    assert_int_equal(status_with_fields(20000, 90000), 431);
    assert_int_equal(status_with_target(HTTP_MAX_URI_BYTES), 0);
    assert_int_equal(status_with_target(HTTP_MAX_URI_BYTES + 1), 414);
    assert_int_equal(status_with_target(HTTP_MAX_URI_BYTES + 100), 414);
    assert_int_equal(status_with_target(64 * 1024), 414);
}

/* A chunked request whose extensions or trailers sum up to `bytes`. */
static unsigned
status_with_extra(const char *before, size_t bytes, const char *after)
{
    struct buffer in = {NULL, 0, 0};

    buffer_append_text(&in, CHUNKED);
    buffer_append_text(&in, before);
    for (size_t i = 0; i < bytes; i++)
        buffer_append_char(&in, 'e');
    buffer_append_text(&in, after);
    return status_of(&in);
}

static void
extensions_and_trailers_are_bounded(void **state)
{
    struct buffer in = {NULL, 0, 0};

    (void)state;
    assert_int_equal(status_with_extra("1;", 16000, "\r\nx\r\n0\r\n\r\n"), 0);
    assert_int_equal(status_with_extra("1;", 17000, "\r\nx\r\n0\r\n\r\n"), 431);
    assert_int_equal(status_with_extra("0\r\nA:", 16000, "\r\n\r\n"), 0);
    assert_int_equal(status_with_extra("0\r\nA:", 17000, "\r\n\r\n"), 431);

    buffer_append_text(&in, CHUNKED "0\r\n");
    for (size_t i = 0; i <= HTTP_MAX_HEADERS; i++)
        buffer_append_text(&in, "a:\r\n");
    buffer_append_text(&in, "\r\n");
    assert_int_equal(status_of(&in), 431);

    /* Many small chunks are no extra. */
    buffer_append_text(&in, CHUNKED);
    for (size_t i = 0; i < 20000; i++)
        buffer_append_text(&in, "01\r\nx\r\n");
    buffer_append_text(&in, "0\r\n\r\n");
    assert_int_equal(status_of(&in), 0);
}

static struct http_parser *
parsed(const char *input)
{
    static struct http_parser parser;
    size_t used;
    struct slice body;

    http_parser_init(&parser);
    assert_int_equal(
        http_parser_feed(&parser, input, strlen(input), &used, &body),
        HTTP_PARSE_HEAD);
    return &parser;
}

static void
the_head_says_what_was_sent(void **state)
{
    struct http_parser *parser = parsed(
        "POST /a/b%20c?x=1&y HTTP/1.1\r\nhost: Ex.com:80\r\nX-One: 1\r\n"
        "x-one:  2\t\r\nContent-Length: 12\r\nExpect: 100-continue\r\n\r\n");
    const struct http_head *head = &parser->head;

    (void)state;
    assert_true(slice_equal_text(head->method, "POST"));
    assert_true(slice_equal_text(head->path, "/a/b%20c"));
    assert_true(slice_equal_text(head->query, "x=1&y"));
    assert_true(slice_equal_text(head->host, "Ex.com:80"));
    assert_true(slice_equal_text(http_head_get(head, "X-ONE"), "1"));
    assert_true(slice_equal_text(head->headers[2].value, "2"));
    assert_int_equal(http_head_count(head, "x-oNe"), 2);
    assert_int_equal(http_head_count(head, "x-two"), 0);
    assert_int_equal(http_head_get(head, "x-two").len, 0);
    assert_int_equal(head->minor, 1);
    assert_true(head->has_length && head->expects_continue);
    assert_int_equal(head->length, 12);
    http_parser_clear(parser);

    parser = parsed("OPTIONS * HTTP/1.0\r\nExpect: 100-continue\r\n\r\n");
    assert_true(slice_equal_text(head->path, "*"));
    assert_false(head->expects_continue);
    http_parser_clear(parser);

    parser = parsed("GET http://a:1?q HTTP/1.1\r\nHost: a:1\r\n\r\n");
    assert_true(slice_equal_text(head->path, "/"));
    assert_true(slice_equal_text(head->query, "q"));
    http_parser_clear(parser);
}

static void
connections_persist_as_version_and_header_say(void **state)
{
    static const struct {
        const char *input;
        bool keep;
    } cases[] = {
        {GET "\r\n", true},
        {GET "Connection: close\r\n\r\n", false},
        {GET "connection: foo , CLOSE\r\n\r\n", false},
        {GET "Connection: foo\r\nConnection: close\r\n\r\n", false},
        {GET "Connection: closed\r\n\r\n", true},
        {GET "Connection: close, keep-alive\r\n\r\n", false},
        {"GET / HTTP/1.0\r\n\r\n", false},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true},
        {"GET / HTTP/1.0\r\nConnection: close\r\n\r\n", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct http_parser *parser = parsed(cases[i].input);

        if (parser->head.keep_alive != cases[i].keep)
            fail_msg("%s", cases[i].input);
        http_parser_clear(parser);
    }
}

static void
query_values_are_decoded_strictly(void **state)
{
    static const struct {
        const char *query;
        int result;
        const char *value;
    } cases[] = {
        {"", 0, ""},
        {"b=1", 0, ""},
        {"a=1", 1, "1"},
        {"a", 1, ""},
        {"x=2&a=1&y", 1, "1"},
        {"%61=1", 1, "1"},
        {"a=%41%2f+%2B", 1, "A/ +"},
        {"a==", 1, "="},
        {"aa=1", 0, ""},
        {"a=1&a=2", -1, ""},
        {"a=%", -1, ""},
        {"a=%4", -1, ""},
        {"a=%zz", -1, ""},
        {"a=%00", -1, ""},
        {"a=12345678", -1, ""},
        {"a=1234567", 1, "1234567"},
        {"%zz=1&a=1", -1, ""},
    };
    char out[8];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int result =
            http_query_get(slice_of(cases[i].query), "a", out, sizeof(out));

        if (result != cases[i].result ||
            (result == 1 && strcmp(out, cases[i].value) != 0))
            fail_msg("%s: %d", cases[i].query, result);
    }
}

static int
collect_pair(void *arg, struct slice name, struct slice value)
{
    struct buffer *out = arg;

    buffer_append_slice(out, name);
    buffer_append_char(out, '>');
    buffer_append_slice(out, value);
    buffer_append_char(out, ';');
    return slice_equal_text(name, "stop") ? 1 : 0;
}

static void
query_pairs_come_in_order(void **state)
{
    struct buffer out = {NULL, 0, 0};

    (void)state;
    assert_int_equal(
        http_query_each(slice_of("a=1&&b&c=%41+=&"), collect_pair, &out), 0);
    assert_string_equal(out.data, "a>1;b>;c>A =;");
    assert_int_equal(
        http_query_each(slice_of("stop&b"), collect_pair, &out), -1);
    assert_string_equal(out.data, "a>1;b>;c>A =;stop>;");
    assert_int_equal(
        http_query_each(slice_of("d=%g1"), collect_pair, &out), -1);
    assert_int_equal(http_query_each(slice_of("%=d"), collect_pair, &out), -1);
    buffer_clear(&out);
}

static void
path_segments_are_decoded_strictly(void **state)
{
    char out[8];

    (void)state;
    assert_int_equal(http_path_decode(slice_of("a%20b+"), out, 8), 0);
    assert_string_equal(out, "a b+");
    assert_int_equal(http_path_decode(slice_of("1234567"), out, 8), 0);
    assert_int_equal(http_path_decode(slice_of("12345678"), out, 8), -1);
    assert_int_equal(http_path_decode(slice_of("a%2fb"), out, 8), -1);
    assert_int_equal(http_path_decode(slice_of("a%00"), out, 8), -1);
    assert_int_equal(http_path_decode(slice_of("a%"), out, 8), -1);
    assert_int_equal(http_path_decode(slice_of("a%4"), out, 8), -1);
    assert_int_equal(http_path_decode(slice_of("a%-1"), out, 8), -1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_case_gets_its_answer),
        cmocka_unit_test(a_cut_at_any_byte_changes_nothing),
        cmocka_unit_test(every_prefix_of_a_good_request_is_waited_for),
        cmocka_unit_test(limits_hold_at_the_limit_and_one_past_it),
        cmocka_unit_test(extensions_and_trailers_are_bounded),
        cmocka_unit_test(the_head_says_what_was_sent),
        cmocka_unit_test(connections_persist_as_version_and_header_say),
        cmocka_unit_test(query_values_are_decoded_strictly),
        cmocka_unit_test(query_pairs_come_in_order),
        cmocka_unit_test(path_segments_are_decoded_strictly),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
