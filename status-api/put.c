#include "status-api/put.h"

#include "common/base/clock.h"

void
put_text(struct buffer *out, const char *key, const char *text)
{
    buffer_printf(out, ",\"%s\":", key);
    if (text[0] == '\0')
        buffer_append_text(out, "null");
    else
        buffer_append_json(out, slice_of(text));
}

void
put_time(struct buffer *out, const char *key, int64_t wall_ms)
{
    char text[CLOCK_TEXT_SIZE] = "";
    if (wall_ms > 0)
        clock_format_ms(wall_ms, text);
    put_text(out, key, text);
}
