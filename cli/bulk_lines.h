#ifndef LH_CLI_BULK_LINES_H
#define LH_CLI_BULK_LINES_H

/*
 * bulk_lines: the lines of a file that a bulk run writes, or of a stream
 * that comes in parts. Memory is bounded by the longest line.
 */

#include "common/base/buffer.h"

#define BULK_OUTPUT_LINE_MAX ((size_t)128 * 1024 * 1024)

struct bulk_lines {
    int fd;
    uint64_t offset; /* of the line that bulk_lines_next() gave */
    bool whole; /* it has its line end */
    /* Inside. */
    uint64_t read_at;
    struct buffer text;
    size_t used; /* bytes of text that were given */
};

/* Reads fd from its start with pread(). */
void bulk_lines_init(struct bulk_lines *lines, int fd);
void bulk_lines_clear(struct bulk_lines *lines);
/* The next line without its end, valid until the next call: 1, 0 at the end,
 * -1 with errno (EFBIG: a line is too long). */
int bulk_lines_next(struct bulk_lines *lines, struct slice *line) MUST_CHECK;

/* All of the bytes, or -1 with errno. */
int bulk_write_all(int fd, struct slice data) MUST_CHECK;

#endif
