#include "cli/bulk_lines.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define CHUNK_BYTES ((size_t)256 * 1024)

void
bulk_lines_init(struct bulk_lines *lines, int fd)
{
    memset(lines, 0, sizeof(*lines));
    lines->fd = fd;
}

void
bulk_lines_clear(struct bulk_lines *lines)
{
    buffer_clear(&lines->text);
}

/* More bytes behind what is in text: how many, or -1. */
static ssize_t
read_more(struct bulk_lines *lines)
{
    ssize_t got;
    if (lines->used > 0)
        buffer_consume(&lines->text, lines->used);
    lines->used = 0;
    if (lines->text.len > BULK_OUTPUT_LINE_MAX) {
        errno = EFBIG;
        return -1;
    }
    char *at = buffer_reserve(&lines->text, CHUNK_BYTES);
    do {
        got = pread(lines->fd, at, CHUNK_BYTES, (off_t)lines->read_at);
    } while (got < 0 && errno == EINTR);
    if (got > 0) {
        lines->text.len += (size_t)got;
        lines->read_at += (uint64_t)got;
    }
    return got;
}

int
bulk_lines_next(struct bulk_lines *lines, struct slice *line)
{
    size_t looked = 0;
    for (;;) {
        struct slice rest = slice_make(
            lines->text.data + lines->used, lines->text.len - lines->used);
        const char *end = rest.len > looked
            ? memchr(rest.data + looked, '\n', rest.len - looked)
            : NULL;
        lines->offset = lines->read_at - rest.len;
        if (end != NULL) {
            *line = slice_make(rest.data, (size_t)(end - rest.data));
            lines->used += line->len + 1;
            lines->whole = true;
            return 1;
        }
        looked = rest.len;
        ssize_t got = read_more(lines);
        if (got < 0)
            return -1;
        if (got > 0)
            continue;
        *line = slice_make(lines->text.data, looked);
        lines->used = looked;
        lines->whole = false;
        return looked > 0 ? 1 : 0;
    }
}

int
bulk_write_all(int fd, struct slice data)
{
    while (data.len > 0) {
        ssize_t put = write(fd, data.data, data.len);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -1;
        data = slice_make(data.data + put, data.len - (size_t)put);
    }
    return 0;
}
