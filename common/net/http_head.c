#include "common/net/http_head.h"

#include <string.h>

enum seen_field { SEEN_HOST = 1, SEEN_LENGTH = 2, SEEN_CODING = 4 };

enum char_class { IS_TOKEN = 1, IS_VALUE = 2, IS_HOST = 4, IS_TARGET = 8 };

/*
 * The classes of the ASCII bytes, 16 a row: a token character (RFC 9110
 * 5.6.2) is 1, one of a field value 2, of a host name 4, of a request target
 * 8 (visible and no '#'). Bytes above are allowed in field values only.
 */
static const unsigned char char_classes[128] = {
    /* clang-format off */
    0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    2, 11, 10, 3, 11, 11, 11, 11, 10, 10, 11, 11, 10, 15, 15, 10,
    15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 10, 10, 10, 10, 10, 10,
    10, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15,
    15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 10, 10, 10, 11, 15,
    11, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15,
    15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 10, 11, 10, 15, 0,
    /* clang-format on */
};

static bool
char_is(unsigned char c, enum char_class class)
{
    return ((c < 128 ? char_classes[c] : IS_VALUE) & class) != 0;
}

static bool
slice_is(struct slice in, enum char_class class)
{
    for (size_t i = 0; i < in.len; i++) {
        if (!char_is((unsigned char)in.data[i], class))
            return false;
    }
    return true;
}

bool
http_is_token_char(unsigned char c)
{
    return char_is(c, IS_TOKEN);
}

bool
http_is_value_char(unsigned char c)
{
    return char_is(c, IS_VALUE);
}

int
http_head_refuse(
    struct http_parser *parser, unsigned status, const char *reason)
{
    parser->error_status = status;
    parser->error_reason = reason;
    return -1;
}

static bool
slice_is_digits(struct slice in, size_t max)
{
    for (size_t i = 0; i < in.len; i++) {
        if (in.data[i] < '0' || in.data[i] > '9')
            return false;
    }
    return in.len > 0 && in.len <= max;
}

/* The length of a bracketed IPv6 address at the start, or 0. */
static size_t
bracketed_len(struct slice in)
{
    for (size_t i = 1; i < in.len; i++) {
        if (in.data[i] == ']')
            return i > 1 ? i + 1 : 0;
        if (in.data[i] != ':' && !char_is((unsigned char)in.data[i], IS_HOST))
            return 0;
    }
    return 0;
}

/* host [":" port], where host is a name, an IPv4 or a bracketed IPv6
 * address (RFC 9110 7.2); nothing that a proxy might read otherwise. */
static bool
host_is_valid(struct slice in)
{
    size_t name = 0;

    if (in.len > 0 && in.data[0] == '[') {
        name = bracketed_len(in);
    } else {
        while (name < in.len && char_is((unsigned char)in.data[name], IS_HOST))
            name++;
    }
    if (name == 0 || name == in.len)
        return name > 0;
    return in.data[name] == ':' &&
        slice_is_digits(slice_make(in.data + name + 1, in.len - name - 1), 5);
}

static int
refuse_version(struct http_parser *parser, struct slice version)
{
    if (version.len == 8 && slice_starts_with(version, "HTTP/") &&
        slice_is_digits(slice_make(version.data + 5, 1), 1) &&
        version.data[6] == '.' &&
        slice_is_digits(slice_make(version.data + 7, 1), 1))
        return http_head_refuse(
            parser, 505, "Only HTTP/1.1 and HTTP/1.0 are served.");
    return http_head_refuse(parser, 400, "The request line is malformed.");
}

/* Absolute-form: the authority is kept and must equal Host later. */
static bool
take_authority(struct http_parser *parser, struct slice *target)
{
    size_t skip = slice_starts_with(*target, "http://") ? 7
        : slice_starts_with(*target, "https://")        ? 8
                                                        : 0;
    size_t len = 0;

    if (skip == 0)
        return false;
    target->data += skip;
    target->len -= skip;
    while (len < target->len && target->data[len] != '/' &&
        target->data[len] != '?')
        len++;
    parser->authority = slice_make(target->data, len);
    target->data += len;
    target->len -= len;
    return host_is_valid(parser->authority);
}

static int
take_target(struct http_parser *parser, struct slice target)
{
    struct http_head *head = &parser->head;

    if (target.len > HTTP_MAX_URI_BYTES)
        return http_head_refuse(parser, 414, "The request target is too long.");
    if (target.len == 0 || !slice_is(target, IS_TARGET))
        return http_head_refuse(
            parser, 400, "The request target is malformed.");
    if (slice_equal_text(head->method, "CONNECT"))
        return http_head_refuse(parser, 501, "CONNECT is not served.");
    if (target.data[0] != '/') {
        bool asterisk = slice_equal_text(target, "*") &&
            slice_equal_text(head->method, "OPTIONS");

        if (!asterisk && !take_authority(parser, &target))
            return http_head_refuse(
                parser, 400, "The request target is malformed.");
    }
    head->path = slice_split(&target, '?');
    head->query = target;
    if (head->path.len == 0)
        head->path = slice_of("/");
    return 0;
}

int
http_head_request_line(struct http_parser *parser, struct slice line)
{
    struct http_head *head = &parser->head;
    struct slice rest = line;
    const char *last;

    head->method = slice_split(&rest, ' ');
    last = rest.len > 0 ? memrchr(rest.data, ' ', rest.len) : NULL;
    if (last == NULL || head->method.len == 0 ||
        !slice_is(head->method, IS_TOKEN))
        return http_head_refuse(parser, 400, "The request line is malformed.");
    rest.len = (size_t)(last - rest.data);
    line = slice_make(last + 1, line.len - (size_t)(last + 1 - line.data));
    if (slice_equal_text(line, "HTTP/1.1"))
        head->minor = 1;
    else if (slice_equal_text(line, "HTTP/1.0"))
        head->minor = 0;
    else
        return refuse_version(parser, line);
    return take_target(parser, rest);
}

static int
take_host(struct http_parser *parser, struct slice value)
{
    if ((parser->seen & SEEN_HOST) != 0)
        return http_head_refuse(parser, 400, "There is more than one Host.");
    if (!host_is_valid(value))
        return http_head_refuse(parser, 400, "The Host is malformed.");
    parser->seen |= SEEN_HOST;
    parser->head.host = value;
    return 0;
}

static int
take_length(struct http_parser *parser, struct slice value)
{
    if ((parser->seen & SEEN_LENGTH) != 0)
        return http_head_refuse(
            parser, 400, "There is more than one Content-Length.");
    if (text_parse_u64(value, INT64_MAX, &parser->head.length) != 0)
        return http_head_refuse(
            parser, 400, "The Content-Length is malformed.");
    parser->seen |= SEEN_LENGTH;
    parser->head.has_length = true;
    return 0;
}

/* "chunked" alone is served. Well-formed codings that end with chunked, or
 * one unknown coding, are a 501; all else leaves the length in doubt. */
static int
take_coding(struct http_parser *parser, struct slice value)
{
    struct slice rest = value, item = SLICE_NULL;
    size_t count = 0, chunked = 0;
    bool last_chunked;

    if ((parser->seen & SEEN_CODING) != 0)
        return http_head_refuse(
            parser, 400, "There is more than one Transfer-Encoding.");
    parser->seen |= SEEN_CODING;
    parser->head.chunked = true;
    if (slice_equal_nocase(value, "chunked"))
        return 0;
    do {
        item = slice_trim(slice_split(&rest, ','));
        if (item.len == 0 || !slice_is(item, IS_TOKEN))
            return http_head_refuse(
                parser, 400, "The Transfer-Encoding is malformed.");
        count++;
        chunked += slice_equal_nocase(item, "chunked");
    } while (rest.len > 0);
    last_chunked = slice_equal_nocase(item, "chunked");
    if (chunked > 1 || (chunked == 1 && !last_chunked) ||
        (count > 1) != last_chunked)
        return http_head_refuse(
            parser, 400, "The Transfer-Encoding must end with chunked.");
    return http_head_refuse(
        parser, 501, "Only the transfer coding chunked is served.");
}

static void
take_connection(struct http_head *head, struct slice value)
{
    while (value.len > 0) {
        struct slice item = slice_trim(slice_split(&value, ','));

        if (slice_equal_nocase(item, "close"))
            head->keep_alive = false;
        else if (slice_equal_nocase(item, "keep-alive") && head->minor == 0)
            head->keep_alive = true;
    }
}

/* The few fields that the framing needs, picked by length first. */
static int
take_known(struct http_parser *parser, struct slice name, struct slice value)
{
    switch (name.len) {
    case 4:
        if (slice_equal_nocase(name, "host"))
            return take_host(parser, value);
        break;
    case 6:
        if (slice_equal_nocase(name, "expect") &&
            slice_equal_nocase(value, "100-continue"))
            parser->head.expects_continue = parser->head.minor > 0;
        break;
    case 14:
        if (slice_equal_nocase(name, "content-length"))
            return take_length(parser, value);
        break;
    case 17:
        if (slice_equal_nocase(name, "transfer-encoding"))
            return take_coding(parser, value);
        break;
    default: break;
    }
    return 0;
}

int
http_head_field_line(struct http_parser *parser, struct slice line)
{
    struct http_head *head = &parser->head;
    struct http_header *field;
    const char *colon = memchr(line.data, ':', line.len);

    if (head->header_count == HTTP_MAX_HEADERS)
        return http_head_refuse(parser, 431, "There are too many headers.");
    field = &head->headers[head->header_count];
    if (colon == NULL)
        return http_head_refuse(parser, 400, "A header has no colon.");
    field->name = slice_make(line.data, (size_t)(colon - line.data));
    field->value = slice_make(colon + 1, line.len - field->name.len - 1);
    if (field->name.len == 0 || !slice_is(field->name, IS_TOKEN))
        return http_head_refuse(parser, 400, "A header name is malformed.");
    if (!slice_is(field->value, IS_VALUE))
        return http_head_refuse(
            parser, 400, "A header value holds a control character.");
    field->value = slice_trim(field->value);
    head->header_count++;
    return take_known(parser, field->name, field->value);
}

int
http_head_finish(struct http_parser *parser)
{
    struct http_head *head = &parser->head;

    if (head->chunked && head->has_length)
        return http_head_refuse(parser, 400,
            "Content-Length and Transfer-Encoding exclude each other.");
    if (head->chunked && head->minor == 0)
        return http_head_refuse(
            parser, 400, "HTTP/1.0 has no Transfer-Encoding.");
    if ((parser->seen & SEEN_HOST) == 0 && head->minor > 0)
        return http_head_refuse(parser, 400, "The Host is missing.");
    if (parser->authority.data != NULL &&
        (parser->authority.len != head->host.len ||
            strncasecmp(
                parser->authority.data, head->host.data, head->host.len) != 0))
        return http_head_refuse(parser, 400, "Host and request target differ.");
    head->keep_alive = head->minor > 0;
    for (size_t i = 0; i < head->header_count; i++) {
        if (slice_equal_nocase(head->headers[i].name, "connection"))
            take_connection(head, head->headers[i].value);
    }
    return 0;
}

struct slice
http_head_get(const struct http_head *head, const char *name)
{
    for (size_t i = 0; i < head->header_count; i++) {
        if (slice_equal_nocase(head->headers[i].name, name))
            return head->headers[i].value;
    }
    return SLICE_NULL;
}

size_t
http_head_count(const struct http_head *head, const char *name)
{
    size_t count = 0;

    for (size_t i = 0; i < head->header_count; i++)
        count += slice_equal_nocase(head->headers[i].name, name);
    return count;
}
