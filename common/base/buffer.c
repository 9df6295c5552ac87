#include "common/base/buffer.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define FIRST_CAP 64

char *
buffer_reserve(struct buffer *buf, size_t extra)
{
    assert(extra < SIZE_MAX / 2 - buf->len);
    size_t need = buf->len + extra + 1;
    if (need > buf->cap) {
        size_t cap = buf->cap < FIRST_CAP ? FIRST_CAP : buf->cap * 2;
        buf->cap = cap < need ? need : cap;
        buf->data = memory_resize(buf->data, buf->cap);
    }
    return buf->data + buf->len;
}

static void
set_len(struct buffer *buf, size_t len)
{
    buf->len = len;
    buf->data[len] = '\0';
}

void
buffer_append_u64(struct buffer *buf, uint64_t value)
{
    char digits[20];
    char *at = digits + sizeof(digits);
    do {
        *--at = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    buffer_append(buf, at, (size_t)(digits + sizeof(digits) - at));
}

void
buffer_append_i64(struct buffer *buf, int64_t value)
{
    if (value < 0)
        buffer_append_char(buf, '-');
    /* The unsigned negation is also right for -2^63. */
    buffer_append_u64(buf, value < 0 ? -(uint64_t)value : (uint64_t)value);
}

void
buffer_printf(struct buffer *buf, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    assert(len >= 0);
    char *to = buffer_reserve(buf, (size_t)len);
    vsnprintf(to, (size_t)len + 1, format, again);
    buf->len += (size_t)len;
    va_end(again);
    va_end(args);
}

/* What c needs inside a JSON string: "" when it stands for itself. */
static const char *
json_escape(unsigned char c, char out[7])
{
    switch (c) {
    case '"': return "\\\"";
    case '\\': return "\\\\";
    case '\b': return "\\b";
    case '\f': return "\\f";
    case '\n': return "\\n";
    case '\r': return "\\r";
    case '\t': return "\\t";
    default: break;
    }
    if (c >= 0x20)
        return "";
    snprintf(out, 7, "\\u%04x", c);
    return out;
}

/* How many bytes at the front stand for themselves in a JSON string. Eight at
 * a time: a byte is marked by its own high bit, by a borrow below 0x20, or by
 * being zero after an exclusive or with a quote or a backslash. */
static size_t
json_plain(struct slice in)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    const uint64_t high = ones * 0x80;
    size_t at = 0;
    for (; at + 8 <= in.len; at += 8) {
        uint64_t word;
        memcpy(&word, in.data + at, 8);
        uint64_t quote = word ^ (ones * '"');
        uint64_t slash = word ^ (ones * '\\');
        if (((word | (word - ones * 0x20) | (quote - ones) | (slash - ones)) &
                high) != 0)
            break;
    }
    for (; at < in.len; at++) {
        unsigned char c = (unsigned char)in.data[at];
        if (c < 0x20 || c >= 0x80 || c == '"' || c == '\\')
            break;
    }
    return at;
}

void
buffer_append_json(struct buffer *buf, struct slice in)
{
    char escape[7];
    buffer_reserve(buf, in.len + 2);
    buffer_append_char(buf, '"');
    while (in.len > 0) {
        size_t step = json_plain(in);
        if (step == 0 && (in.data[0] & 0x80) != 0)
            step = text_utf8_step(in);
        if (step > 0) {
            buffer_append(buf, in.data, step);
        } else {
            const char *as = json_escape((unsigned char)in.data[0], escape);
            buffer_append_text(buf, *as != '\0' ? as : "\xef\xbf\xbd");
            step = 1;
        }
        in = slice_make(in.data + step, in.len - step);
    }
    buffer_append_char(buf, '"');
}

void
buffer_append_key(struct buffer *buf, const char *key)
{
    buffer_append_char(buf, '"');
    buffer_append_text(buf, key);
    buffer_append(buf, "\":", 2);
}

void
buffer_consume(struct buffer *buf, size_t count)
{
    assert(count <= buf->len);
    if (count == 0)
        return;
    memmove(buf->data, buf->data + count, buf->len - count);
    set_len(buf, buf->len - count);
}

void
buffer_reset(struct buffer *buf)
{
    if (buf->data != NULL)
        set_len(buf, 0);
}

void
buffer_clear(struct buffer *buf)
{
    memory_free(buf->data);
    *buf = (struct buffer){NULL, 0, 0};
}

char *
buffer_take(struct buffer *buf)
{
    if (buf->data == NULL)
        return memory_dup("");
    char *data = buf->data;
    data[buf->len] = '\0';
    *buf = (struct buffer){NULL, 0, 0};
    return data;
}

struct slice
buffer_slice(const struct buffer *buf)
{
    return slice_make(buf->data, buf->len);
}
