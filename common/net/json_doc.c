#include "common/net/json_scan.h"

#include <stdio.h>
#include <string.h>

/* The half of json_scan.h that needs a whole document in memory. */

int
json_scan_all(
    const void *data, size_t len, unsigned depth, struct json_fault *fault)
{
    struct json_scan scan;
    int result;

    json_scan_init(&scan, JSON_SCAN_ANY, depth, NULL);
    result = json_scan_feed(&scan, data, len);
    if (result == 0)
        result = json_scan_finish(&scan);
    if (fault != NULL)
        *fault = scan.fault;
    json_scan_clear(&scan);
    return result;
}

static const char *const fault_texts[] = {
    [JSON_FAULT_NONE] = "no fault",
    [JSON_FAULT_EMPTY] = "the document is empty",
    [JSON_FAULT_TRUNCATED] = "the document ends too early",
    [JSON_FAULT_BOM] = "a byte order mark is not allowed",
    [JSON_FAULT_NOT_OBJECT] = "an object was expected",
    [JSON_FAULT_VALUE] = "a value was expected",
    [JSON_FAULT_KEY] = "a member name in double quotes was expected",
    [JSON_FAULT_COLON] = "a colon was expected",
    [JSON_FAULT_COMMA] = "a comma or the closing bracket was expected",
    [JSON_FAULT_TRAILING] = "the document should have ended here",
    [JSON_FAULT_NUMBER] = "this number is malformed",
    [JSON_FAULT_LITERAL] = "only true, false and null are words of JSON",
    [JSON_FAULT_CONTROL] = "a control character in a string must be escaped",
    [JSON_FAULT_ESCAPE] = "this escape sequence does not exist",
    [JSON_FAULT_SURROGATE] = "a surrogate escape lacks its other half",
    [JSON_FAULT_UTF8] = "this is not valid UTF-8",
    [JSON_FAULT_DEPTH] = "too many levels of nesting",
};

void
json_fault_text(const struct json_fault *fault, char *out)
{
    (void)snprintf(out, JSON_FAULT_TEXT_SIZE, "byte %llu: %s",
        (unsigned long long)fault->offset, fault_texts[fault->kind]);
}

/* ---- objects in memory ---- */

struct each {
    struct slice object;
    void (*on_member)(void *arg, const struct json_member *member,
        struct slice key_raw, struct slice value);
    void *arg;
};

static void
each_value(void *arg, const struct json_member *member)
{
    const struct each *each = arg;
    const char *base = each->object.data;

    each->on_member(each->arg, member,
        slice_make(base + member->key_start,
            (size_t)(member->key_end - member->key_start)),
        slice_make(base + member->value_start,
            (size_t)(member->value_end - member->value_start)));
}

int
json_object_each(struct slice object,
    void (*on_member)(void *arg, const struct json_member *member,
        struct slice key_raw, struct slice value),
    void *arg)
{
    struct each each = {object, on_member, arg};
    struct json_hooks hooks = {.on_value = each_value, .arg = &each};
    struct json_scan scan;
    int result;

    json_scan_init(&scan, JSON_SCAN_OBJECT, JSON_DEPTH_MAX, &hooks);
    result = json_scan_feed(&scan, object.data, object.len);
    if (result == 0)
        result = json_scan_finish(&scan);
    json_scan_clear(&scan);
    return result;
}

struct pick {
    const char *const *names;
    struct json_item *items;
    size_t count;
};

static void
pick_member(void *arg, const struct json_member *member, struct slice key_raw,
    struct slice value)
{
    const struct pick *pick = arg;
    size_t i;

    (void)key_raw;
    if (member->key_too_long)
        return;
    for (i = 0; i < pick->count; i++) {
        if (!slice_equal_text(member->key, pick->names[i]))
            continue;
        pick->items[i].kind = member->kind;
        pick->items[i].raw = value;
        pick->items[i].elements = member->elements;
        return;
    }
}

int
json_object_pick(struct slice object, const char *const *names,
    struct json_item *items, size_t count)
{
    struct pick pick = {names, items, count};

    memset(items, 0, count * sizeof(*items));
    if (json_object_each(object, pick_member, &pick) == 0)
        return 0;
    memset(items, 0, count * sizeof(*items));
    return -1;
}

/* ---- strings ---- */

static unsigned
hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    return (unsigned)((c | 0x20) - 'a' + 10);
}

static unsigned
hex_unit(const char *p)
{
    return hex_digit(p[0]) << 12 | hex_digit(p[1]) << 8 | hex_digit(p[2]) << 4 |
        hex_digit(p[3]);
}

static size_t
utf8_encode(unsigned code, char *out)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xC0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3F));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xE0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3F));
        out[2] = (char)(0x80 | (code & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3F));
    out[2] = (char)(0x80 | (code >> 6 & 0x3F));
    out[3] = (char)(0x80 | (code & 0x3F));
    return 4;
}

/* p is behind the backslash; *len bytes are in out[4]. Returns the rest. */
static const char *
unescape_one(const char *p, char *out, size_t *len)
{
    static const char from[] = "bfnrt";
    static const char to[] = "\b\f\n\r\t";
    const char *at;
    unsigned code;

    *len = 1;
    if (*p != 'u') {
        at = strchr(from, *p);
        out[0] = at == NULL ? *p : to[at - from];
        return p + 1;
    }
    code = hex_unit(p + 1);
    p += 5;
    if (code >= 0xD800 && code <= 0xDBFF) {
        code = 0x10000 + ((code - 0xD800) << 10) + hex_unit(p + 2) - 0xDC00;
        p += 6;
    }
    *len = utf8_encode(code, out);
    return p;
}

static size_t
put(char *out, size_t size, size_t at, const char *bytes, size_t len)
{
    if (at < size)
        memcpy(out + at, bytes, len < size - at ? len : size - at);
    return at + len;
}

size_t
json_unescape(struct slice raw, char *out, size_t size)
{
    const char *p = raw.data + 1;
    const char *end = raw.data + raw.len - 1;
    size_t at = 0;

    while (p < end) {
        const char *stop = memchr(p, '\\', (size_t)(end - p));
        char one[4];
        size_t len;

        if (stop == NULL)
            stop = end;
        at = put(out, size, at, p, (size_t)(stop - p));
        p = stop;
        if (p == end)
            break;
        p = unescape_one(p + 1, one, &len);
        at = put(out, size, at, one, len);
    }
    return at;
}

void
json_unescape_append(struct buffer *out, struct slice raw)
{
    char *to = buffer_reserve(out, raw.len);
    size_t len = json_unescape(raw, to, raw.len);

    out->len += len;
    out->data[out->len] = '\0';
}

int
json_unescape_text(struct slice raw, char *out, size_t size)
{
    size_t len = json_unescape(raw, out, size);

    if (len >= size || memchr(out, '\0', len) != NULL)
        return -1;
    out[len] = '\0';
    return (int)len;
}
