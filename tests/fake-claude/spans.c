#include "tests/fake-claude/spans.h"

static void
skip_blanks(struct slice *in)
{
    while (in->len > 0 &&
        (*in->data == ' ' || *in->data == '\n' || *in->data == '\r' ||
            *in->data == '\t' || *in->data == ',' || *in->data == ':')) {
        in->data++;
        in->len--;
    }
}

/* The length of the string literal `in` begins with, quotes included. */
static size_t
string_len(struct slice in)
{
    size_t i = 1;
    while (i < in.len && in.data[i] != '"')
        i += in.data[i] == '\\' ? 2 : 1;
    return i < in.len ? i + 1 : in.len;
}

static size_t
nested_len(struct slice in)
{
    size_t depth = 0;
    size_t i = 0;
    while (i < in.len) {
        char c = in.data[i];
        if (c == '"') {
            i += string_len(slice_make(in.data + i, in.len - i));
            continue;
        }
        i++;
        if (c == '{' || c == '[')
            depth++;
        else if ((c == '}' || c == ']') && --depth == 0)
            return i;
    }
    return in.len;
}

static bool
ends_literal(char c)
{
    return c == ',' || c == '}' || c == ']' || c == ' ' || c == '\n' ||
        c == '\r' || c == '\t';
}

static size_t
value_len(struct slice in)
{
    if (in.data[0] == '"')
        return string_len(in);
    if (in.data[0] == '{' || in.data[0] == '[')
        return nested_len(in);
    size_t i = 0;
    while (i < in.len && !ends_literal(in.data[i]))
        i++;
    return i;
}

static struct slice
take(struct slice *rest, size_t len)
{
    struct slice taken = slice_make(rest->data, len);
    rest->data += len;
    rest->len -= len;
    return taken;
}

void
span_begin(struct span_walk *walk, struct slice value)
{
    walk->rest = value;
    skip_blanks(&walk->rest);
    if (walk->rest.len > 0)
        (void)take(&walk->rest, 1);
}

bool
span_next(struct span_walk *walk, struct slice *key, struct slice *value)
{
    struct slice *rest = &walk->rest;
    skip_blanks(rest);
    if (rest->len == 0 || rest->data[0] == '}' || rest->data[0] == ']')
        return false;
    if (key != NULL) {
        struct slice quoted = take(rest, string_len(*rest));
        *key = slice_make(quoted.data + 1, quoted.len - 2);
        skip_blanks(rest);
    }
    if (rest->len == 0)
        return false;
    *value = take(rest, value_len(*rest));
    return value->len > 0;
}

struct slice
span_member(struct slice object, const char *name)
{
    struct span_walk walk;
    struct slice key;
    struct slice value;
    struct slice found = SLICE_NULL;
    span_begin(&walk, object);
    while (span_next(&walk, &key, &value))
        if (slice_equal_text(key, name))
            found = value;
    return found;
}
