#include "common/net/http_parse.h"

#include <assert.h>
#include <string.h>

#include "common/net/http_head.h"

/* Method, two blanks, the version and CRLF beside the target. */
#define REQUEST_LINE_ROOM (HTTP_MAX_URI_BYTES + 64)
#define FIRST_HEAD_BYTES 1024
/* Sizes under 2^60, so that sums of them cannot overflow. */
#define MAX_SIZE_DIGITS 15

enum parser_state {
    IN_REQUEST_LINE,
    IN_FIELDS,
    IN_FIXED_BODY,
    IN_CHUNK_DATA,
    /* One byte at a time from here ... */
    AT_CHUNK_SIZE,
    IN_CHUNK_SIZE,
    AT_EXT_NAME,
    IN_EXT_NAME,
    AT_EXT_VALUE,
    IN_EXT_VALUE,
    IN_EXT_QUOTED,
    IN_EXT_ESCAPE,
    AFTER_EXT_QUOTED,
    AT_CHUNK_SIZE_LF,
    AT_CHUNK_DATA_CR,
    AT_CHUNK_DATA_LF,
    AT_TRAILER,
    IN_TRAILER_NAME,
    IN_TRAILER_VALUE,
    AT_TRAILER_LF,
    AT_LAST_LF,
    /* ... to here. */
    BODY_COMPLETE,
    REQUEST_DONE,
    REFUSED
};

/* After the states of the single bytes: no state follows, refuse. */
#define NO_STATE (-1)

void
http_parser_init(struct http_parser *parser)
{
    parser->bytes = (struct buffer){NULL, 0, 0};
    http_parser_next(parser);
}

void
http_parser_clear(struct http_parser *parser)
{
    buffer_clear(&parser->bytes);
    http_parser_next(parser);
}

void
http_parser_next(struct http_parser *parser)
{
    struct http_head *head = &parser->head;

    /* Not a memset: the header table alone is 3 KB. */
    head->method = head->path = head->query = head->host = SLICE_NULL;
    head->minor = 1;
    head->keep_alive = head->expects_continue = false;
    head->has_length = head->chunked = false;
    head->length = 0;
    head->header_count = 0;
    parser->error_status = 0;
    parser->error_reason = NULL;
    parser->state = IN_REQUEST_LINE;
    parser->seen = 0;
    parser->left = 0;
    parser->line_start = 0;
    parser->extra_bytes = 0;
    parser->extra_fields = 0;
    parser->size_digits = 0;
    parser->authority = SLICE_NULL;
    buffer_reset(&parser->bytes);
}

static enum http_parse_status
refuse(struct http_parser *parser, unsigned status, const char *reason)
{
    if (reason != NULL)
        (void)http_head_refuse(parser, status, reason);
    parser->state = REFUSED;
    return HTTP_PARSE_ERROR;
}

static void
slice_rebase(struct slice *s, const struct buffer *old, const char *fresh)
{
    uintptr_t at = (uintptr_t)s->data, from = (uintptr_t)old->data;

    if (s->data != NULL && at >= from && at <= from + old->len)
        s->data = fresh + (at - from);
}

/* Room for `len` more head bytes; what already points there moves along. */
static void
head_reserve(struct http_parser *parser, size_t len)
{
    struct buffer *old = &parser->bytes, fresh = {NULL, 0, 0};
    struct http_head *head = &parser->head;

    if (old->data != NULL && old->cap - old->len > len)
        return;
    (void)buffer_reserve(&fresh,
        old->len + len >= FIRST_HEAD_BYTES ? 2 * (old->len + len)
                                           : FIRST_HEAD_BYTES);
    if (old->len > 0)
        buffer_append(&fresh, old->data, old->len);
    slice_rebase(&head->method, old, fresh.data);
    slice_rebase(&head->path, old, fresh.data);
    slice_rebase(&head->query, old, fresh.data);
    slice_rebase(&head->host, old, fresh.data);
    slice_rebase(&parser->authority, old, fresh.data);
    for (size_t i = 0; i < head->header_count; i++) {
        slice_rebase(&head->headers[i].name, old, fresh.data);
        slice_rebase(&head->headers[i].value, old, fresh.data);
    }
    buffer_clear(old);
    *old = fresh;
}

static enum http_parse_status
head_complete(struct http_parser *parser)
{
    struct http_head *head = &parser->head;

    if (http_head_finish(parser) != 0)
        return refuse(parser, 0, NULL);
    parser->extra_bytes = 0;
    parser->left = head->length;
    if (head->chunked)
        parser->state = AT_CHUNK_SIZE;
    else if (head->length > 0)
        parser->state = IN_FIXED_BODY;
    else
        parser->state = BODY_COMPLETE;
    return HTTP_PARSE_HEAD;
}

/* A line with its LF lies at line_start; the status so far comes back. */
static enum http_parse_status
head_line(struct http_parser *parser)
{
    struct buffer *bytes = &parser->bytes;
    size_t start = parser->line_start, len = bytes->len - start;
    struct slice line = slice_make(bytes->data + start, len);

    parser->line_start = bytes->len;
    if (len < 2 || line.data[len - 2] != '\r')
        return refuse(parser, 400, "A line must end with CR LF.");
    line.len = len - 2;
    if (parser->state == IN_REQUEST_LINE) {
        if (http_head_request_line(parser, line) != 0)
            return refuse(parser, 0, NULL);
        parser->state = IN_FIELDS;
        return HTTP_PARSE_MORE;
    }
    if (line.len == 0)
        return head_complete(parser);
    parser->extra_bytes += len;
    if (parser->extra_bytes > HTTP_MAX_HEADER_BYTES)
        return refuse(parser, 431, "The header is too large.");
    if (http_head_field_line(parser, line) != 0)
        return refuse(parser, 0, NULL);
    return HTTP_PARSE_MORE;
}

/* How many bytes the current line may still take, CRLF included. The same
 * at every cut, so that the answer is too. */
static size_t
head_room(const struct http_parser *parser)
{
    size_t have = parser->bytes.len - parser->line_start;

    if (parser->state == IN_REQUEST_LINE)
        return REQUEST_LINE_ROOM - have;
    return HTTP_MAX_HEADER_BYTES + 2 - parser->extra_bytes - have;
}

static enum http_parse_status
feed_head(
    struct http_parser *parser, const char *data, size_t len, size_t *used)
{
    enum http_parse_status status = HTTP_PARSE_MORE;

    if (parser->bytes.len == 0 && len > 0 &&
        !http_is_token_char((unsigned char)data[0]))
        return refuse(parser, 400, "The request line is malformed.");
    while (status == HTTP_PARSE_MORE && *used < len) {
        const char *at = data + *used;
        const char *lf = memchr(at, '\n', len - *used);
        size_t run = lf != NULL ? (size_t)(lf - at) + 1 : len - *used;

        if (run > head_room(parser))
            return parser->state == IN_REQUEST_LINE
                ? refuse(parser, 414, "The request target is too long.")
                : refuse(parser, 431, "The header is too large.");
        head_reserve(parser, run);
        buffer_append(&parser->bytes, at, run);
        *used += run;
        if (lf != NULL)
            status = head_line(parser);
    }
    return status;
}

static int
hex_value(unsigned char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static int
step_chunk_size(struct http_parser *parser, unsigned char c)
{
    int digit = hex_value(c);

    if (digit >= 0) {
        if (++parser->size_digits > MAX_SIZE_DIGITS)
            return NO_STATE;
        parser->left = parser->left << 4 | (unsigned)digit;
        return IN_CHUNK_SIZE;
    }
    if (parser->state == AT_CHUNK_SIZE)
        return NO_STATE;
    if (c == '\r')
        return AT_CHUNK_SIZE_LF;
    return c == ';' ? AT_EXT_NAME : NO_STATE;
}

/* Within name and value of an extension: what may follow them. */
static int
step_ext_end(int state, unsigned char c)
{
    if (c == '=' && state == IN_EXT_NAME)
        return AT_EXT_VALUE;
    if (c == ';')
        return AT_EXT_NAME;
    return c == '\r' ? AT_CHUNK_SIZE_LF : NO_STATE;
}

/* ;name, ;name=token and ;name="quoted", without blanks (RFC 9112 7.1.1). */
static int
step_chunk_ext(int state, unsigned char c)
{
    bool token = http_is_token_char(c);

    switch (state) {
    case AT_EXT_NAME: return token ? IN_EXT_NAME : NO_STATE;
    case IN_EXT_NAME: return token ? IN_EXT_NAME : step_ext_end(state, c);
    case AT_EXT_VALUE:
        if (c == '"')
            return IN_EXT_QUOTED;
        return token ? IN_EXT_VALUE : NO_STATE;
    case IN_EXT_VALUE: return token ? IN_EXT_VALUE : step_ext_end(state, c);
    case IN_EXT_QUOTED:
        if (c == '"')
            return AFTER_EXT_QUOTED;
        if (c == '\\')
            return IN_EXT_ESCAPE;
        return http_is_value_char(c) ? IN_EXT_QUOTED : NO_STATE;
    case IN_EXT_ESCAPE: return http_is_value_char(c) ? IN_EXT_QUOTED : NO_STATE;
    default: return step_ext_end(state, c);
    }
}

static int
step_trailer(struct http_parser *parser, unsigned char c)
{
    switch (parser->state) {
    case AT_TRAILER:
        if (c == '\r')
            return AT_LAST_LF;
        parser->extra_fields++;
        return http_is_token_char(c) ? IN_TRAILER_NAME : NO_STATE;
    case IN_TRAILER_NAME:
        if (c == ':')
            return IN_TRAILER_VALUE;
        return http_is_token_char(c) ? IN_TRAILER_NAME : NO_STATE;
    case IN_TRAILER_VALUE:
        if (c == '\r')
            return AT_TRAILER_LF;
        return http_is_value_char(c) ? IN_TRAILER_VALUE : NO_STATE;
    case AT_TRAILER_LF: return c == '\n' ? AT_TRAILER : NO_STATE;
    default: return c == '\n' ? BODY_COMPLETE : NO_STATE;
    }
}

/* The state after one byte of chunked framing, or NO_STATE. */
static int
step_framing(struct http_parser *parser, unsigned char c)
{
    switch (parser->state) {
    case AT_CHUNK_SIZE:
    case IN_CHUNK_SIZE: return step_chunk_size(parser, c);
    case AT_CHUNK_SIZE_LF:
        if (c != '\n')
            return NO_STATE;
        parser->size_digits = 0;
        return parser->left > 0 ? IN_CHUNK_DATA : AT_TRAILER;
    case AT_CHUNK_DATA_CR: return c == '\r' ? AT_CHUNK_DATA_LF : NO_STATE;
    case AT_CHUNK_DATA_LF: return c == '\n' ? AT_CHUNK_SIZE : NO_STATE;
    default:
        if (parser->state >= AT_TRAILER)
            return step_trailer(parser, c);
        return step_chunk_ext(parser->state, c);
    }
}

static bool
state_is_framing(int state)
{
    return state >= AT_CHUNK_SIZE && state <= AT_LAST_LF;
}

/* Bytes that are read and dropped: extensions and trailers. */
static bool
state_is_extra(int state)
{
    return (state >= AT_EXT_NAME && state <= AFTER_EXT_QUOTED) ||
        (state >= IN_TRAILER_NAME && state <= IN_TRAILER_VALUE);
}

static enum http_parse_status
feed_framing(
    struct http_parser *parser, const char *data, size_t len, size_t *used)
{
    while (*used < len && state_is_framing(parser->state)) {
        int next = step_framing(parser, (unsigned char)data[*used]);

        ++*used;
        if (next == NO_STATE)
            return refuse(parser, 400, "The chunked body is malformed.");
        parser->state = next;
        if (state_is_extra(next))
            parser->extra_bytes++;
        if (parser->extra_bytes > HTTP_MAX_HEADER_BYTES ||
            parser->extra_fields > HTTP_MAX_HEADERS)
            return refuse(parser, 431, "Trailers or extensions too large.");
    }
    return HTTP_PARSE_MORE;
}

static enum http_parse_status
feed_data(struct http_parser *parser, const char *data, size_t len,
    size_t *used, struct slice *body)
{
    size_t run = len - *used;

    if (run > parser->left)
        run = (size_t)parser->left;
    *body = slice_make(data + *used, run);
    *used += run;
    parser->left -= run;
    if (parser->left == 0)
        parser->state =
            parser->state == IN_FIXED_BODY ? BODY_COMPLETE : AT_CHUNK_DATA_CR;
    return HTTP_PARSE_BODY;
}

enum http_parse_status
http_parser_feed(struct http_parser *parser, const char *data, size_t len,
    size_t *used, struct slice *body)
{
    enum http_parse_status status = HTTP_PARSE_MORE;

    assert(parser->state != REQUEST_DONE);
    *used = 0;
    *body = SLICE_NULL;
    if (parser->state <= IN_FIELDS)
        status = feed_head(parser, data, len, used);
    else if (state_is_framing(parser->state))
        status = feed_framing(parser, data, len, used);
    else if (parser->state == REFUSED)
        status = HTTP_PARSE_ERROR;
    if (status == HTTP_PARSE_ERROR)
        *used = len;
    if (status != HTTP_PARSE_MORE)
        return status;
    if (parser->state == BODY_COMPLETE) {
        parser->state = REQUEST_DONE;
        return HTTP_PARSE_DONE;
    }
    if (*used < len)
        return feed_data(parser, data, len, used, body);
    return HTTP_PARSE_MORE;
}
