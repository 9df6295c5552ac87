#include "worker/sse.h"

#include <string.h>

void
sse_init(struct sse_parser *sse,
    int (*on_event)(void *arg, struct slice name, struct slice data), void *arg)
{
    memset(sse, 0, sizeof(*sse));
    sse->on_event = on_event;
    sse->arg = arg;
    sse->line_max = SSE_LINE_MAX;
    sse->event_max = SSE_EVENT_MAX;
}

void
sse_clear(struct sse_parser *sse)
{
    buffer_clear(&sse->line);
    buffer_clear(&sse->data);
}

static void
keep_name(struct sse_parser *sse, struct slice value)
{
    sse->name_len = value.len < SSE_NAME_MAX ? value.len : SSE_NAME_MAX;
    if (sse->name_len > 0)
        memcpy(sse->name, value.data, sse->name_len);
}

static int
keep_data(struct sse_parser *sse, struct slice value)
{
    if (value.len + 1 > sse->event_max - sse->data.len)
        return -1;
    if (sse->has_data)
        buffer_append_char(&sse->data, '\n');
    buffer_append_slice(&sse->data, value);
    sse->has_data = true;
    return 0;
}

static int
dispatch(struct sse_parser *sse)
{
    int result = 0;

    if (sse->has_data)
        result = sse->on_event(sse->arg, slice_make(sse->name, sse->name_len),
            buffer_slice(&sse->data));
    buffer_reset(&sse->data);
    sse->has_data = false;
    sse->name_len = 0;
    return result;
}

static int
take_line(struct sse_parser *sse, struct slice line)
{
    struct slice field;

    if (!sse->started && slice_starts_with(line, "\xEF\xBB\xBF"))
        line = slice_make(line.data + 3, line.len - 3);
    sse->started = true;
    if (line.len == 0)
        return dispatch(sse);
    /* A comment is a field without a name. */
    field = slice_split(&line, ':');
    if (line.len > 0 && line.data[0] == ' ')
        line = slice_make(line.data + 1, line.len - 1);
    if (slice_equal_text(field, "data"))
        return keep_data(sse, line);
    if (slice_equal_text(field, "event"))
        keep_name(sse, line);
    return 0;
}

/* `piece` completes what is kept of the line. */
static int
end_line(struct sse_parser *sse, struct slice piece)
{
    int result;

    if (sse->line.len == 0)
        return take_line(sse, piece);
    buffer_append_slice(&sse->line, piece);
    result = take_line(sse, buffer_slice(&sse->line));
    buffer_reset(&sse->line);
    return result;
}

static const char *
find_line_end(const char *p, const char *end)
{
    while (p < end && *p != '\n' && *p != '\r')
        p++;
    return p;
}

static int
feed(struct sse_parser *sse, const char *p, const char *end)
{
    while (p < end) {
        const char *stop;
        struct slice piece;

        if (sse->skip_lf && *p == '\n') {
            sse->skip_lf = false;
            p++;
            continue;
        }
        sse->skip_lf = false;
        stop = find_line_end(p, end);
        piece = slice_make(p, (size_t)(stop - p));
        if (piece.len > sse->line_max - sse->line.len)
            return -1;
        if (stop == end) {
            buffer_append_slice(&sse->line, piece);
            return 0;
        }
        sse->skip_lf = *stop == '\r';
        if (end_line(sse, piece) != 0)
            return -1;
        p = stop + 1;
    }
    return 0;
}

int
sse_feed(struct sse_parser *sse, const void *data, size_t len)
{
    const char *bytes = data;

    if (!sse->failed && len > 0 && feed(sse, bytes, bytes + len) != 0)
        sse->failed = true;
    return sse->failed ? -1 : 0;
}
