#include <math.h>
#include <stdlib.h>

#include "common/base/text.h"

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

int
text_parse_u64(struct slice in, uint64_t max, uint64_t *value)
{
    uint64_t result = 0;
    if (in.len == 0)
        return -1;
    for (size_t i = 0; i < in.len; i++) {
        if (!is_digit(in.data[i]))
            return -1;
        uint64_t digit = (uint64_t)(in.data[i] - '0');
        if (result > (UINT64_MAX - digit) / 10)
            return -1;
        result = result * 10 + digit;
    }
    if (result > max)
        return -1;
    *value = result;
    return 0;
}

int
text_parse_i64(struct slice in, int64_t min, int64_t max, int64_t *value)
{
    bool negative = in.len > 0 && in.data[0] == '-';
    uint64_t magnitude;
    if (negative)
        in = slice_make(in.data + 1, in.len - 1);
    uint64_t limit = (uint64_t)INT64_MAX + (negative ? 1 : 0);
    if (text_parse_u64(in, limit, &magnitude) != 0)
        return -1;
    /* -2^63 has no positive counterpart: subtract one before the turn. */
    int64_t result = (int64_t)magnitude;
    if (negative)
        result = magnitude == 0 ? 0 : -(int64_t)(magnitude - 1) - 1;
    if (result < min || result > max)
        return -1;
    *value = result;
    return 0;
}

/* The digits at `at`, at least one; returns behind them or 0. */
static size_t
skip_digits(struct slice in, size_t at)
{
    size_t end = at;
    while (end < in.len && is_digit(in.data[end]))
        end++;
    return end > at ? end : 0;
}

/* -?digits(.digits)?([eE][+-]?digits)? and nothing else; strtod would also
 * take blanks, hex, "inf" and "nan". */
static bool
is_decimal(struct slice in)
{
    size_t at = in.len > 0 && in.data[0] == '-' ? 1 : 0;
    at = skip_digits(in, at);
    if (at == 0)
        return false;
    if (at < in.len && in.data[at] == '.') {
        at = skip_digits(in, at + 1);
        if (at == 0)
            return false;
    }
    if (at < in.len && (in.data[at] == 'e' || in.data[at] == 'E')) {
        at++;
        if (at < in.len && (in.data[at] == '+' || in.data[at] == '-'))
            at++;
        at = skip_digits(in, at);
    }
    return at == in.len && at != 0;
}

int
text_parse_double(struct slice in, double *value)
{
    char text[64];
    if (!is_decimal(in) || !text_copy(text, sizeof(text), in))
        return -1;
    double result = strtod(text, NULL);
    if (!isfinite(result))
        return -1;
    *value = result;
    return 0;
}

struct unit {
    const char *name;
    uint64_t factor;
};

/* Digits and one of the units. The product is at most `max`. */
static int
parse_with_unit(
    struct slice in, const struct unit *units, uint64_t max, uint64_t *value)
{
    size_t digits = skip_digits(in, 0);
    struct slice name = slice_make(in.data + digits, in.len - digits);
    uint64_t number;
    if (text_parse_u64(slice_make(in.data, digits), max, &number) != 0)
        return -1;
    for (; units->name != NULL; units++) {
        if (!slice_equal_text(name, units->name))
            continue;
        if (number > max / units->factor)
            return -1;
        *value = number * units->factor;
        return 0;
    }
    return -1;
}

int
text_parse_duration_ms(struct slice in, int64_t *ms)
{
    static const struct unit units[] = {{"", 1000}, {"ms", 1}, {"s", 1000},
        {"m", 60000}, {"h", 3600000}, {"d", 86400000}, {NULL, 0}};
    uint64_t value;
    if (parse_with_unit(in, units, INT64_MAX, &value) != 0)
        return -1;
    *ms = (int64_t)value;
    return 0;
}

int
text_parse_bytes(struct slice in, uint64_t *bytes)
{
    static const struct unit units[] = {{"", 1}, {"B", 1}, {"KiB", 1 << 10},
        {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"KB", 1000}, {"MB", 1000000},
        {"GB", 1000000000}, {NULL, 0}};
    return parse_with_unit(in, units, UINT64_MAX, bytes);
}

int
text_parse_bool(struct slice in, bool *value)
{
    static const struct {
        const char *word;
        bool value;
    } words[] = {{"true", true}, {"false", false}, {"yes", true}, {"no", false},
        {"on", true}, {"off", false}, {"1", true}, {"0", false}};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (slice_equal_text(in, words[i].word)) {
            *value = words[i].value;
            return 0;
        }
    }
    return -1;
}
