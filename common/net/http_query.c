#include "common/net/http_parse.h"

#include <string.h>

static int
hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* The byte behind the '%' at in.data[at]; -1 for a bad escape or NUL. */
static int
escape_at(struct slice in, size_t at)
{
    int high, low;

    if (in.len - at < 3)
        return -1;
    high = hex_digit(in.data[at + 1]);
    low = hex_digit(in.data[at + 2]);
    if (high < 0 || low < 0 || high + low == 0)
        return -1;
    return high * 16 + low;
}

/* The decoded length, or -1; out has room for `size` bytes with a NUL. */
static int
decode(struct slice in, bool plus_is_blank, char *out, size_t size)
{
    size_t len = 0;

    if (size == 0)
        return -1;
    for (size_t i = 0; i < in.len; i++) {
        int c = (unsigned char)in.data[i];

        if (c == '%') {
            c = escape_at(in, i);
            i += 2;
        } else if (c == '+' && plus_is_blank) {
            c = ' ';
        }
        if (c <= 0 || len + 1 >= size)
            return -1;
        out[len++] = (char)c;
    }
    out[len] = '\0';
    return (int)len;
}

int
http_path_decode(struct slice in, char *out, size_t size)
{
    int len = decode(in, false, out, size);

    if (len < 0 || memchr(out, '/', (size_t)len) != NULL)
        return -1;
    return 0;
}

int
http_query_get(struct slice query, const char *name, char *out, size_t size)
{
    char key[256];
    int found = 0;

    while (query.len > 0) {
        struct slice value = slice_split(&query, '&');
        struct slice raw = slice_split(&value, '=');

        /* What does not fit key cannot be the name that is asked for. */
        if (raw.len > 3 * (sizeof(key) - 1))
            continue;
        if (decode(raw, true, key, sizeof(key)) < 0) {
            if (raw.len < sizeof(key))
                return -1;
            continue;
        }
        if (strcmp(key, name) != 0)
            continue;
        if (found++ > 0 || decode(value, true, out, size) < 0)
            return -1;
    }
    return found;
}

int
http_query_each(struct slice query,
    int (*on_pair)(void *arg, struct slice name, struct slice value), void *arg)
{
    char text[HTTP_MAX_URI_BYTES + 2];

    while (query.len > 0) {
        struct slice value = slice_split(&query, '&');
        struct slice name = slice_split(&value, '=');
        int name_len, value_len;

        if (name.len == 0 && value.len == 0)
            continue;
        name_len = decode(name, true, text, sizeof(text));
        if (name_len < 0)
            return -1;
        value_len = decode(value, true, text + name_len + 1,
            sizeof(text) - (size_t)name_len - 1);
        if (value_len < 0)
            return -1;
        if (on_pair(arg, slice_make(text, (size_t)name_len),
                slice_make(text + name_len + 1, (size_t)value_len)) != 0)
            return -1;
    }
    return 0;
}
