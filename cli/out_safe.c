#include <string.h>

#include "cli/out.h"

/* The code point of a well-formed sequence of `len` bytes. */
static uint32_t
code_point(const char *data, size_t len)
{
    static const unsigned char first_mask[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t code = (unsigned char)data[0] & first_mask[len];
    for (size_t i = 1; i < len; i++)
        code = code << 6 | ((unsigned char)data[i] & 0x3f);
    return code;
}

/* C1 controls, bidirectional overrides, and separators of lines. */
static bool
obeys(uint32_t code)
{
    return (code >= 0x80 && code < 0xa0) ||
        (code >= 0x202a && code <= 0x202e) ||
        (code >= 0x2066 && code <= 0x2069) || code == 0x200e ||
        code == 0x200f || code == 0x061c || code == 0x2028 || code == 0x2029;
}

static void
append_control(struct buffer *out, unsigned char c, bool lines)
{
    if (lines && (c == '\n' || c == '\t'))
        buffer_append_char(out, (char)c);
    else if (c == '\n')
        buffer_append_text(out, "\\n");
    else if (c == '\t')
        buffer_append_text(out, "\\t");
    else if (c == '\r')
        buffer_append_text(out, "\\r");
    else
        buffer_printf(out, "\\x%02x", c);
}

void
out_safe(struct buffer *out, struct slice text, bool lines)
{
    while (text.len > 0) {
        unsigned char c = (unsigned char)text.data[0];
        size_t step = text_utf8_step(text);
        if (step == 0 || c < ' ' || c == 0x7f) {
            append_control(out, c, lines);
            step = 1;
        } else if (step > 1 && obeys(code_point(text.data, step))) {
            buffer_printf(out, "\\u%04x", code_point(text.data, step));
        } else {
            buffer_append(out, text.data, step);
        }
        text.data += step;
        text.len -= step;
    }
}

/* East Asian wide and emoji, roughly; zero for combining marks. */
static size_t
code_width(uint32_t code)
{
    static const struct {
        uint32_t first;
        uint32_t last;
        size_t width;
    } ranges[] = {{0x0300, 0x036f, 0}, {0x1100, 0x115f, 2}, {0x200b, 0x200d, 0},
        {0x2e80, 0xa4cf, 2}, {0xac00, 0xd7a3, 2}, {0xf900, 0xfaff, 2},
        {0xfe00, 0xfe0f, 0}, {0xfe30, 0xfe6f, 2}, {0xff00, 0xff60, 2},
        {0x1f300, 0x1faff, 2}, {0x20000, 0x3fffd, 2}};
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        if (code >= ranges[i].first && code <= ranges[i].last)
            return ranges[i].width;
    }
    return 1;
}

size_t
out_width(struct slice text)
{
    size_t width = 0;
    while (text.len > 0) {
        size_t step = text_utf8_step(text);
        width += step > 0 ? code_width(code_point(text.data, step)) : 1;
        step += step == 0;
        text.data += step;
        text.len -= step;
    }
    return width;
}
