/*
 * The request parser under any bytes: it neither reads nor writes outside,
 * keeps its promises about what it consumes, and gives the same result
 * however the input is cut. The first byte of the input seeds the cuts.
 */

#include <stdlib.h>
#include <string.h>

#include "common/net/http_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PROMISE(what) \
    if (!(what)) \
    abort()

/* All that can be seen of a parse. */
struct trace {
    struct buffer text;
    uint64_t body_hash;
    uint64_t body_len;
    bool failed;
};

static bool
inside(const struct http_parser *parser, struct slice in)
{
    const struct buffer *bytes = &parser->bytes;

    return in.len == 0 || slice_equal_text(in, "/") ||
        (in.data >= bytes->data &&
            in.data + in.len <= bytes->data + bytes->len);
}

static void
trace_slice(
    struct trace *trace, const struct http_parser *parser, struct slice in)
{
    PROMISE(inside(parser, in));
    PROMISE(in.len == 0 || memchr(in.data, '\0', in.len) == NULL);
    PROMISE(in.len == 0 || memchr(in.data, '\r', in.len) == NULL);
    PROMISE(in.len == 0 || memchr(in.data, '\n', in.len) == NULL);
    buffer_append_slice(&trace->text, in);
    buffer_append_char(&trace->text, '\n');
}

static void
trace_head(struct trace *trace, const struct http_parser *parser)
{
    const struct http_head *head = &parser->head;
    char value[64];

    PROMISE(head->header_count <= HTTP_MAX_HEADERS);
    PROMISE(!(head->chunked && head->has_length));
    PROMISE(!(head->chunked && head->minor == 0));
    PROMISE(head->minor == 0 || http_head_count(head, "host") == 1);
    PROMISE(http_head_count(head, "content-length") <= 1);
    PROMISE(http_head_count(head, "transfer-encoding") <= 1);
    trace_slice(trace, parser, head->method);
    trace_slice(trace, parser, head->path);
    trace_slice(trace, parser, head->query);
    trace_slice(trace, parser, head->host);
    for (size_t i = 0; i < head->header_count; i++) {
        trace_slice(trace, parser, head->headers[i].name);
        trace_slice(trace, parser, head->headers[i].value);
    }
    buffer_printf(&trace->text, "%u%d%d%d%d %llu\n", head->minor,
        head->keep_alive, head->expects_continue, head->has_length,
        head->chunked, (unsigned long long)head->length);
    buffer_append_i64(
        &trace->text, http_query_get(head->query, "a", value, sizeof(value)));
    buffer_append_i64(
        &trace->text, http_path_decode(head->path, value, sizeof(value)));
}

static void
trace_body(struct trace *trace, struct slice body, const char *data, size_t len)
{
    PROMISE(body.len > 0);
    PROMISE(body.data >= data && body.data + body.len <= data + len);
    for (size_t i = 0; i < body.len; i++)
        trace->body_hash = trace->body_hash * 31 + (unsigned char)body.data[i];
    trace->body_len += body.len;
}

static void
trace_piece(struct trace *trace, struct http_parser *parser, const char *data,
    size_t len)
{
    enum http_parse_status status;
    struct slice body;
    size_t used;

    do {
        status = http_parser_feed(parser, data, len, &used, &body);
        PROMISE(used <= len);
        PROMISE(used > 0 || len == 0 || status == HTTP_PARSE_HEAD ||
            status == HTTP_PARSE_DONE);
        PROMISE(status != HTTP_PARSE_MORE || used == len);
        if (status == HTTP_PARSE_HEAD)
            trace_head(trace, parser);
        if (status == HTTP_PARSE_BODY)
            trace_body(trace, body, data, len);
        data += used;
        len -= used;
        if (status == HTTP_PARSE_DONE) {
            buffer_printf(&trace->text, "done %llu %llu\n",
                (unsigned long long)trace->body_len,
                (unsigned long long)trace->body_hash);
            http_parser_next(parser);
        }
    } while (status != HTTP_PARSE_ERROR &&
        (status != HTTP_PARSE_MORE && (status != HTTP_PARSE_DONE || len > 0)));
    if (status == HTTP_PARSE_ERROR) {
        PROMISE(parser->error_reason != NULL);
        buffer_printf(&trace->text, "error %u %s\n", parser->error_status,
            parser->error_reason);
        trace->failed = true;
    }
}

static void
trace_all(struct trace *trace, const char *data, size_t len, uint32_t seed)
{
    struct http_parser parser;

    memset(trace, 0, sizeof(*trace));
    http_parser_init(&parser);
    while (len > 0 && !trace->failed) {
        /* Seed 0: whole; 1: byte by byte; else pieces of up to 63. */
        size_t run = seed == 0 ? len : 1;
        char *piece;

        if (seed > 1) {
            seed = seed * 1664525 + 1013904223;
            run = 1 + (seed >> 24) % 63;
        }
        if (run > len)
            run = len;
        piece = memory_dup_bytes(data, run);
        trace_piece(trace, &parser, piece, run);
        memory_free(piece);
        data += run;
        len -= run;
    }
    http_parser_clear(&parser);
}

static bool
same(const struct trace *a, const struct trace *b)
{
    return a->text.len == b->text.len && a->body_len == b->body_len &&
        a->body_hash == b->body_hash &&
        (a->text.len == 0 ||
            memcmp(a->text.data, b->text.data, a->text.len) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct trace whole, cut;
    const char *text;

    if (size < 1)
        return 0;
    text = (const char *)data + 1;
    trace_all(&whole, text, size - 1, 0);
    trace_all(&cut, text, size - 1, 1);
    PROMISE(same(&whole, &cut));
    buffer_clear(&cut.text);
    trace_all(&cut, text, size - 1, 2 + data[0]);
    PROMISE(same(&whole, &cut));
    buffer_clear(&cut.text);
    buffer_clear(&whole.text);
    return 0;
}
