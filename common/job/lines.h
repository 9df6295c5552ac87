#ifndef LH_JOB_LINES_H
#define LH_JOB_LINES_H

/*
 * lines: cuts a stream of newline-delimited JSON into lines. LF or CRLF
 * ends a line, the last may have none; blank lines are passed over but
 * counted; a byte order mark at the very beginning is dropped. A line that
 * is too long is skipped in bounded memory and reported by its number. What
 * is inside a line is not looked at: whether it is UTF-8 and JSON is the
 * item's reader's to say.
 *
 * The input may be cut at any byte. A line that lies in one run of input is
 * not copied.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buffer.h"

enum lines_status {
    LINES_MORE, /* the input is used up */
    LINES_LINE, /* *line is whole, without its end */
    LINES_TOO_LONG /* line `number` was skipped */
};

struct lines {
    uint64_t number; /* of the line last reported, from 1 */
    size_t max_bytes; /* of one line, its end not counted */
    uint64_t begun; /* lines begun so far */
    bool inside; /* a line has begun */
    bool over; /* ... and is too long */
    bool given; /* `held` was handed out and can be emptied */
    unsigned mark; /* bytes of a possible byte order mark seen, 3: past it */
    struct buffer held; /* what earlier runs had of this line */
};

void lines_init(struct lines *lines, size_t max_bytes);
void lines_clear(struct lines *lines);
/* Takes from the front of *in up to the end of the next line. *line lives
 * until the next call, and as long as the bytes of *in do. */
enum lines_status lines_next(
    struct lines *lines, struct slice *in, struct slice *line) MUST_CHECK;
/* There is no more input. LINES_MORE when no line was left; to be called
 * once. */
enum lines_status lines_finish(
    struct lines *lines, struct slice *line) MUST_CHECK;

#endif
