#include "common/job/lines.h"

#include <string.h>

static const char byte_order_mark[3] = {'\xEF', '\xBB', '\xBF'};

void
lines_init(struct lines *lines, size_t max_bytes)
{
    memset(lines, 0, sizeof(*lines));
    lines->max_bytes = max_bytes;
}

void
lines_clear(struct lines *lines)
{
    buffer_clear(&lines->held);
}

static bool
is_blank(struct slice line)
{
    for (size_t i = 0; i < line.len; i++) {
        char c = line.data[i];
        if (c != ' ' && c != '\t' && c != '\r')
            return false;
    }
    return true;
}

static void
forget_held(struct lines *lines)
{
    /* A long line's memory is not kept for short ones. */
    if (lines->held.cap > 1024 * 1024)
        buffer_clear(&lines->held);
    else
        buffer_reset(&lines->held);
    lines->given = false;
}

static void
keep(struct lines *lines, struct slice run)
{
    /* One more for the CR that may still turn out to be of the line's end. */
    size_t room = lines->max_bytes + 1 - lines->held.len;

    if (lines->over)
        return;
    lines->over = run.len > room;
    if (lines->over)
        forget_held(lines);
    else
        buffer_append_slice(&lines->held, run);
}

/* The line is complete: all of it, or its end when some is held. */
static enum lines_status
give(struct lines *lines, struct slice run, struct slice *line)
{
    bool held = lines->held.len > 0 || lines->over;

    if (held)
        keep(lines, run);
    if (held)
        run = buffer_slice(&lines->held);
    lines->given = true;
    lines->inside = false;
    lines->number = lines->begun;
    if (run.len > 0 && run.data[run.len - 1] == '\r')
        run.len--;
    if (lines->over || run.len > lines->max_bytes) {
        lines->over = false;
        return LINES_TOO_LONG;
    }
    *line = run;
    return is_blank(run) ? LINES_MORE : LINES_LINE;
}

/* Drops the mark; true when all of *in was taken by it. */
static bool
pass_mark(struct lines *lines, struct slice *in)
{
    while (lines->mark < 3 && in->len > 0) {
        if (in->data[0] != byte_order_mark[lines->mark]) {
            /* It was something else, which belongs to the line. */
            buffer_append(&lines->held, byte_order_mark, lines->mark);
            if (lines->mark > 0) {
                lines->inside = true;
                lines->begun++;
            }
            lines->mark = 3;
            return false;
        }
        lines->mark++;
        *in = slice_make(in->data + 1, in->len - 1);
    }
    return in->len == 0;
}

enum lines_status
lines_next(struct lines *lines, struct slice *in, struct slice *line)
{
    if (lines->given)
        forget_held(lines);
    if (lines->mark < 3 && pass_mark(lines, in))
        return LINES_MORE;
    while (in->len > 0) {
        const char *end = memchr(in->data, '\n', in->len);
        size_t len = end != NULL ? (size_t)(end - in->data) : in->len;
        struct slice run = slice_make(in->data, len);
        enum lines_status status;

        if (!lines->inside)
            lines->begun++;
        lines->inside = true;
        if (end == NULL) {
            keep(lines, run);
            *in = slice_make(in->data + len, 0);
            return LINES_MORE;
        }
        *in = slice_make(end + 1, in->len - len - 1);
        status = give(lines, run, line);
        if (status != LINES_MORE)
            return status;
        forget_held(lines);
    }
    return LINES_MORE;
}

enum lines_status
lines_finish(struct lines *lines, struct slice *line)
{
    if (lines->given)
        forget_held(lines);
    if (lines->mark > 0 && lines->mark < 3) {
        buffer_append(&lines->held, byte_order_mark, lines->mark);
        lines->inside = true;
        lines->begun++;
    }
    return lines->inside ? give(lines, SLICE_NULL, line) : LINES_MORE;
}
