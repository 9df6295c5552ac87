#ifndef LH_BASE_BUFFER_H
#define LH_BASE_BUFFER_H

/*
 * buffer: a growable run of bytes. `data` is always NUL-terminated behind
 * `len` once something was appended (the NUL is not counted), so text can be
 * handed to C functions. A zeroed struct is a valid empty buffer.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/text.h"

struct buffer {
    char *data;
    size_t len;
    size_t cap;
};

/* Room for `extra` more bytes; returns where they go. Does not move len. */
char *buffer_reserve(struct buffer *buf, size_t extra);

/* The small ones are inline: an answer is put together of hundreds. */
static inline void
buffer_append(struct buffer *buf, const void *data, size_t len)
{
    char *to = buf->cap - buf->len > len ? buf->data + buf->len
                                         : buffer_reserve(buf, len);

    if (len > 0)
        memcpy(to, data, len);
    buf->len += len;
    buf->data[buf->len] = '\0';
}

static inline void
buffer_append_text(struct buffer *buf, const char *text)
{
    buffer_append(buf, text, strlen(text));
}

static inline void
buffer_append_slice(struct buffer *buf, struct slice in)
{
    buffer_append(buf, in.data, in.len);
}

static inline void
buffer_append_char(struct buffer *buf, char c)
{
    if (buf->len + 1 >= buf->cap)
        buffer_reserve(buf, 1);
    buf->data[buf->len++] = c;
    buf->data[buf->len] = '\0';
}

void buffer_append_u64(struct buffer *buf, uint64_t value);
void buffer_append_i64(struct buffer *buf, int64_t value);
void buffer_printf(struct buffer *buf, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/*
 * A JSON string literal with its quotes. Control characters, quote and
 * backslash are escaped; ill-formed UTF-8 becomes U+FFFD, so the result is
 * always valid JSON.
 */
void buffer_append_json(struct buffer *buf, struct slice in);
/* "key": for a member of an object. The key is a word of ours: it is written
 * as it is. */
void buffer_append_key(struct buffer *buf, const char *key);
/* The first `count` bytes are dropped; count <= len. */
void buffer_consume(struct buffer *buf, size_t count);
/* len = 0, the memory stays. */
void buffer_reset(struct buffer *buf);
/* Frees the memory and zeroes the struct. */
void buffer_clear(struct buffer *buf);
/* Takes the memory out (NUL-terminated; the caller frees it); buf is empty
 * afterwards. */
char *buffer_take(struct buffer *buf) MUST_CHECK;
struct slice buffer_slice(const struct buffer *buf);

#endif
