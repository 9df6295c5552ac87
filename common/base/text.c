#include "common/base/text.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

bool
slice_equal(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

bool
slice_equal_text(struct slice a, const char *text)
{
    if (text == NULL)
        return a.len == 0;
    /* Mostly asked of words that differ, and early. */
    for (size_t i = 0; i < a.len; i++) {
        if (a.data[i] != text[i] || text[i] == '\0')
            return false;
    }
    return text[a.len] == '\0';
}

bool
slice_equal_nocase(struct slice a, const char *text)
{
    /* Letters of either case differ in one bit: most words differ in more. */
    if (text != NULL && a.len > 0 && ((a.data[0] ^ text[0]) & ~0x20) != 0)
        return false;
    struct slice b = slice_of(text);
    return a.len == b.len &&
        (a.len == 0 || strncasecmp(a.data, b.data, a.len) == 0);
}

bool
slice_starts_with(struct slice a, const char *prefix)
{
    size_t len = strlen(prefix);
    return a.len >= len && (len == 0 || memcmp(a.data, prefix, len) == 0);
}

static bool
is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct slice
slice_trim(struct slice a)
{
    while (a.len > 0 && is_blank(a.data[0])) {
        a.data++;
        a.len--;
    }
    while (a.len > 0 && is_blank(a.data[a.len - 1]))
        a.len--;
    return a;
}

struct slice
slice_split(struct slice *rest, char sep)
{
    struct slice all = *rest;
    const char *at = all.len > 0 ? memchr(all.data, sep, all.len) : NULL;
    if (at == NULL) {
        *rest = SLICE_NULL;
        return all;
    }
    size_t before = (size_t)(at - all.data);
    *rest = slice_make(at + 1, all.len - before - 1);
    return slice_make(all.data, before);
}

size_t
text_i64(int64_t value, char out[TEXT_I64_SIZE])
{
    /* The unsigned negation is also right for -2^63. */
    uint64_t left = value < 0 ? -(uint64_t)value : (uint64_t)value;
    char digits[TEXT_I64_SIZE];
    char *at = digits + sizeof(digits);
    *--at = '\0';
    do {
        *--at = (char)('0' + left % 10);
        left /= 10;
    } while (left > 0);
    if (value < 0)
        *--at = '-';
    size_t size = (size_t)(digits + sizeof(digits) - at);
    memcpy(out, at, size);
    return size - 1;
}

void
text_hex(const void *data, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *in = data;
    for (size_t i = 0; i < len; i++) {
        *out++ = digits[in[i] >> 4];
        *out++ = digits[in[i] & 15];
    }
    *out = '\0';
}

static int
hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int
text_unhex(struct slice in, void *out, size_t len)
{
    unsigned char *bytes = out;
    if (in.len % 2 != 0 || in.len / 2 != len)
        return -1;
    for (size_t i = 0; i < len; i++) {
        int high = hex_value(in.data[2 * i]);
        int low = hex_value(in.data[2 * i + 1]);
        if (high < 0 || low < 0)
            return -1;
        bytes[i] = (unsigned char)(high << 4 | low);
    }
    return 0;
}

/* How long the sequence that begins with `lead` is, and the range of its
 * second byte, where RFC 3629 cuts off overlong forms and surrogates. */
static size_t
utf8_lead(unsigned char lead, unsigned char *low, unsigned char *high)
{
    *low = 0x80;
    *high = 0xbf;
    if (lead < 0x80)
        return 1;
    if (lead >= 0xc2 && lead <= 0xdf)
        return 2;
    if (lead >= 0xe0 && lead <= 0xef) {
        *low = lead == 0xe0 ? 0xa0 : 0x80;
        *high = lead == 0xed ? 0x9f : 0xbf;
        return 3;
    }
    if (lead >= 0xf0 && lead <= 0xf4) {
        *low = lead == 0xf0 ? 0x90 : 0x80;
        *high = lead == 0xf4 ? 0x8f : 0xbf;
        return 4;
    }
    return 0;
}

size_t
text_utf8_step(struct slice in)
{
    if (in.len == 0)
        return 0;
    unsigned char low, high;
    size_t len = utf8_lead((unsigned char)in.data[0], &low, &high);
    if (len == 0 || len > in.len)
        return 0;
    for (size_t i = 1; i < len; i++) {
        unsigned char c = (unsigned char)in.data[i];
        if (c < low || c > high)
            return 0;
        low = 0x80;
        high = 0xbf;
    }
    return len;
}

/* Eight bytes at once: prompts are mostly ASCII, and large. */
static size_t
ascii_run(struct slice in)
{
    size_t run = 0;
    uint64_t word;
    while (in.len - run >= sizeof(word)) {
        memcpy(&word, in.data + run, sizeof(word));
        if ((word & UINT64_C(0x8080808080808080)) != 0)
            break;
        run += sizeof(word);
    }
    return run;
}

bool
text_is_utf8(struct slice in)
{
    while (in.len > 0) {
        size_t step = ascii_run(in);
        if (step == 0)
            step = text_utf8_step(in);
        if (step == 0)
            return false;
        in.data += step;
        in.len -= step;
    }
    return true;
}

#define SUGGEST_MAX 64

static size_t
smallest(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

/* Edit distance where swapping two neighbours counts as one slip. Both are
 * at most SUGGEST_MAX bytes. */
static size_t
edit_distance(struct slice a, struct slice b)
{
    size_t rows[3][SUGGEST_MAX + 1];
    size_t *before = rows[0], *last = rows[1], *now = rows[2];
    for (size_t j = 0; j <= b.len; j++)
        last[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        now[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            bool same = a.data[i - 1] == b.data[j - 1];
            now[j] = smallest(
                last[j] + 1, now[j - 1] + 1, last[j - 1] + (same ? 0 : 1));
            if (i > 1 && j > 1 && a.data[i - 1] == b.data[j - 2] &&
                a.data[i - 2] == b.data[j - 1] && before[j - 2] + 1 < now[j])
                now[j] = before[j - 2] + 1;
        }
        size_t *oldest = before;
        before = last;
        last = now;
        now = oldest;
    }
    return last[b.len];
}

const char *
text_suggest(struct slice word, const char *const *candidates)
{
    const char *best = NULL;
    size_t best_distance = 3;
    if (word.len > SUGGEST_MAX)
        return NULL;
    for (; *candidates != NULL; candidates++) {
        struct slice candidate = slice_of(*candidates);
        if (candidate.len > SUGGEST_MAX)
            continue;
        size_t distance = edit_distance(word, candidate);
        if (distance < best_distance && 2 * distance < word.len) {
            best = *candidates;
            best_distance = distance;
        }
    }
    return best;
}

#define SECOND_MS INT64_C(1000)
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS (60 * MINUTE_MS)
#define DAY_MS (24 * HOUR_MS)

/* "2 h 5 min"; the smaller unit is left out when it is 0. */
static void
format_two_units(char *out, size_t size, int64_t large, const char *large_unit,
    int64_t small, const char *small_unit)
{
    if (small == 0)
        snprintf(out, size, "%lld %s", (long long)large, large_unit);
    else
        snprintf(out, size, "%lld %s %lld %s", (long long)large, large_unit,
            (long long)small, small_unit);
}

void
text_format_duration(int64_t ms, char *out, size_t size)
{
    if (ms < 0)
        ms = 0;
    if (ms < SECOND_MS) {
        snprintf(out, size, "%lld ms", (long long)ms);
    } else if (ms < MINUTE_MS) {
        int tenth = (int)(ms % SECOND_MS / 100);
        if (tenth == 0)
            snprintf(out, size, "%d s", (int)(ms / SECOND_MS));
        else
            snprintf(out, size, "%d.%d s", (int)(ms / SECOND_MS), tenth);
    } else if (ms < HOUR_MS) {
        format_two_units(
            out, size, ms / MINUTE_MS, "min", ms % MINUTE_MS / SECOND_MS, "s");
    } else if (ms < DAY_MS) {
        format_two_units(
            out, size, ms / HOUR_MS, "h", ms % HOUR_MS / MINUTE_MS, "min");
    } else {
        format_two_units(out, size, ms / DAY_MS,
            ms / DAY_MS == 1 ? "day" : "days", ms % DAY_MS / HOUR_MS, "h");
    }
}

bool
text_copy(char *out, size_t size, struct slice in)
{
    assert(size > 0);
    size_t len = in.len < size ? in.len : size - 1;
    if (len > 0)
        memcpy(out, in.data, len);
    out[len] = '\0';
    return len == in.len;
}
