#ifndef LH_BASE_TEXT_H
#define LH_BASE_TEXT_H

/*
 * text: borrowed byte ranges and the strict little parsers for what people
 * and peers write: numbers, durations, sizes, dates, hex. Every parser takes
 * the whole input or fails; none skips blanks, signs or trailing bytes
 * unless it says so.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/base/memory.h"

/* Bytes that belong to somebody else; not NUL-terminated. data may be NULL
 * only when len is 0. */
struct slice {
    const char *data;
    size_t len;
};

#define SLICE_NULL ((struct slice){NULL, 0})

static inline struct slice
slice_make(const char *data, size_t len)
{
    return (struct slice){data, len};
}

/* A slice over a C string (NULL gives the empty slice). */
static inline struct slice
slice_of(const char *text)
{
    return text == NULL ? SLICE_NULL : slice_make(text, strlen(text));
}

bool slice_equal(struct slice a, struct slice b);
bool slice_equal_text(struct slice a, const char *text);
/* ASCII case is ignored (HTTP field names). */
bool slice_equal_nocase(struct slice a, const char *text);
bool slice_starts_with(struct slice a, const char *prefix);
/* Without leading and trailing spaces and tabs. */
struct slice slice_trim(struct slice a);
/*
 * Cuts the part before the first `sep` off *rest and returns it; *rest then
 * begins behind the separator. Without one, returns all and empties *rest.
 */
struct slice slice_split(struct slice *rest, char sep);

/*
 * Digits only, at least one, value <= max. 0 and *value set, or -1 with
 * *value untouched.
 */
int text_parse_u64(struct slice in, uint64_t max, uint64_t *value) MUST_CHECK;
/* An optional '-' and digits within [min, max]. */
int text_parse_i64(
    struct slice in, int64_t min, int64_t max, int64_t *value) MUST_CHECK;
/* A plain decimal such as 12, 0.5, 1e3; finite. */
int text_parse_double(struct slice in, double *value) MUST_CHECK;
/* "250ms", "10s", "5m", "2h", "7d"; a bare number is seconds. In ms. */
int text_parse_duration_ms(struct slice in, int64_t *ms) MUST_CHECK;
/* "4096", "512KiB", "32MiB", "2GiB" (also KB, MB, GB = powers of 1000). */
int text_parse_bytes(struct slice in, uint64_t *bytes) MUST_CHECK;
/* "true", "false", "yes", "no", "on", "off", "1", "0". */
int text_parse_bool(struct slice in, bool *value) MUST_CHECK;

/* Decimal digits, with a '-' before them, and a NUL; their number. */
#define TEXT_I64_SIZE 21
size_t text_i64(int64_t value, char out[TEXT_I64_SIZE]);

/* Lower-case hex of `len` bytes into out[2 * len + 1]. */
void text_hex(const void *data, size_t len, char *out);
/* 2 * len hex digits, either case, into out[len]; 0 or -1. */
int text_unhex(struct slice in, void *out, size_t len) MUST_CHECK;

/* Whether the bytes are well-formed UTF-8 (RFC 3629: no surrogates, no
 * overlong forms, nothing above U+10FFFF). */
bool text_is_utf8(struct slice in);
/* The length of the well-formed sequence that `in` begins with, or 0. */
size_t text_utf8_step(struct slice in);

/*
 * The candidate (a NULL-terminated list) nearest to `word` when it is near
 * enough to be a slip of the finger (edit distance <= 2 and < half the
 * word), else NULL.
 */
const char *text_suggest(struct slice word, const char *const *candidates);

/* "250 ms", "4.2 s", "3 min", "2 h 5 min", "6 days" into out. */
void text_format_duration(int64_t ms, char *out, size_t size);

/* Length-limited copy; always NUL-terminated. Returns false if it was cut. */
bool text_copy(char *out, size_t size, struct slice in);

#endif
