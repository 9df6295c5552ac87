#include "common/net/json_run.h"

#include <string.h>

#if defined(__SSE2__) && !defined(LH_JSON_SCALAR)
#include <emmintrin.h>
#define USE_SSE2 1
#else
#define USE_SSE2 0
#endif

/* ---- strings ---- */

/* The first byte that is not printable ASCII, or is a quote or backslash. */
static const uint8_t *
skip_plain(const uint8_t *p, const uint8_t *end)
{
#if USE_SSE2
    const __m128i quote = _mm_set1_epi8('"');
    const __m128i backslash = _mm_set1_epi8('\\');
    const __m128i space = _mm_set1_epi8(' ');

    while (end - p >= 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)(const void *)p);
        /* Signed: bytes from 0x80 are below a blank, too. */
        __m128i stop = _mm_or_si128(_mm_cmplt_epi8(x, space),
            _mm_or_si128(
                _mm_cmpeq_epi8(x, quote), _mm_cmpeq_epi8(x, backslash)));
        int mask = _mm_movemask_epi8(stop);

        if (mask != 0)
            return p + __builtin_ctz((unsigned)mask);
        p += 16;
    }
#endif
    while (p < end && *p >= ' ' && *p < 0x80 && *p != '"' && *p != '\\')
        p++;
    return p;
}

/* The bounds of RFC 3629, section 4, for what may follow this first byte. */
static bool
utf8_begin(struct json_scan *scan, uint8_t c)
{
    scan->utf8_min = 0x80;
    scan->utf8_max = 0xBF;
    if (c < 0xC2 || c > 0xF4)
        return false;
    scan->utf8_left = c < 0xE0 ? 1 : c < 0xF0 ? 2 : 3;
    if (c == 0xE0)
        scan->utf8_min = 0xA0; /* overlong */
    else if (c == 0xED)
        scan->utf8_max = 0x9F; /* surrogates */
    else if (c == 0xF0)
        scan->utf8_min = 0x90; /* overlong */
    else if (c == 0xF4)
        scan->utf8_max = 0x8F; /* above U+10FFFF */
    return true;
}

const uint8_t *
json_in_utf8(struct json_run *run, const uint8_t *p)
{
    struct json_scan *scan = run->scan;

    while (p < run->end && scan->utf8_left > 0) {
        if (*p < scan->utf8_min || *p > scan->utf8_max)
            return json_run_fault(run, p, JSON_FAULT_UTF8);
        scan->utf8_min = 0x80;
        scan->utf8_max = 0xBF;
        scan->utf8_left--;
        p++;
    }
    scan->state = scan->utf8_left > 0 ? JSON_IN_UTF8 : JSON_IN_STRING;
    return p;
}

static bool
is_tail(uint8_t c)
{
    return (c & 0xC0) == 0x80;
}

/* A run of characters of two and three bytes; stops at any other thing. */
static const uint8_t *
skip_common_utf8(const uint8_t *p, const uint8_t *end)
{
    while (end - p >= 3) {
        if (p[0] >= 0xE1 && p[0] <= 0xEC && is_tail(p[1]) && is_tail(p[2]))
            p += 3;
        else if (p[0] >= 0xC2 && p[0] <= 0xDF && is_tail(p[1]))
            p += 2;
        else
            break;
    }
    return p;
}

static const uint8_t *
string_end(struct json_run *run, const uint8_t *p)
{
    struct json_scan *scan = run->scan;

    if (scan->after_string == JSON_AT_AFTER) {
        if (json_inner_is_watched(scan))
            json_inner_text(run, p);
        json_run_value_end(run, p);
        return p;
    }
    scan->state = JSON_AT_COLON;
    if (scan->capturing_key)
        json_run_key_end(run, p);
    else if (json_inner_is_watched(scan))
        json_inner_key_end(run, p);
    if (p == run->end || *p != ':')
        return p;
    scan->state = JSON_AT_VALUE; /* mostly there: one turn less */
    return p + 1;
}

const uint8_t *
json_in_string(struct json_run *run, const uint8_t *p)
{
    struct json_scan *scan = run->scan;

    while (p != NULL && p < run->end && scan->state == JSON_IN_STRING) {
        p = skip_plain(p, run->end);
        if (p == run->end)
            break;
        if (*p == '"')
            return string_end(run, p + 1);
        if (*p == '\\') {
            scan->state = JSON_IN_ESCAPE;
            return p + 1;
        }
        if (*p < ' ')
            return json_run_fault(run, p, JSON_FAULT_CONTROL);
        p = skip_common_utf8(p, run->end);
        if (p == run->end || *p < 0x80)
            continue;
        if (!utf8_begin(scan, *p))
            return json_run_fault(run, p, JSON_FAULT_UTF8);
        p = json_in_utf8(run, p + 1);
    }
    return p;
}

const uint8_t *
json_in_escape(struct json_run *run, const uint8_t *p)
{
    struct json_scan *scan = run->scan;

    if (*p == 'u') {
        scan->state = JSON_IN_HEX;
        scan->hex_left = 4;
        scan->unit = 0;
        return p + 1;
    }
    if (*p == 0 || strchr("\"\\/bfnrt", *p) == NULL)
        return json_run_fault(run, p, JSON_FAULT_ESCAPE);
    scan->state = JSON_IN_STRING;
    return p + 1;
}

static int
hex_value(uint8_t c)
{
    if (json_is_digit(c))
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static const uint8_t *
unit_end(struct json_run *run, const uint8_t *last)
{
    struct json_scan *scan = run->scan;
    bool is_high = scan->unit >= 0xD800 && scan->unit <= 0xDBFF;
    bool is_low = scan->unit >= 0xDC00 && scan->unit <= 0xDFFF;

    if (is_low != scan->want_low)
        return json_run_fault(run, last, JSON_FAULT_SURROGATE);
    scan->want_low = is_high;
    scan->state = is_high ? JSON_IN_LOW : JSON_IN_STRING;
    return last + 1;
}

const uint8_t *
json_in_hex(struct json_run *run, const uint8_t *p)
{
    struct json_scan *scan = run->scan;
    int digit = hex_value(*p);

    if (digit < 0)
        return json_run_fault(run, p, JSON_FAULT_ESCAPE);
    scan->unit = scan->unit << 4 | (unsigned)digit;
    if (--scan->hex_left > 0)
        return p + 1;
    return unit_end(run, p);
}

const uint8_t *
json_in_low(struct json_run *run, const uint8_t *p)
{
    if (*p != '\\')
        return json_run_fault(run, p, JSON_FAULT_SURROGATE);
    run->scan->state = JSON_IN_LOW_U;
    return p + 1;
}

const uint8_t *
json_in_low_u(struct json_run *run, const uint8_t *p)
{
    if (*p != 'u')
        return json_run_fault(run, p, JSON_FAULT_SURROGATE);
    return json_in_escape(run, p);
}

/* ---- numbers and literals ---- */

const uint8_t *
json_in_literal(struct json_run *run, const uint8_t *p)
{
    struct json_scan *scan = run->scan;

    while (p < run->end && *scan->literal != '\0') {
        if (*p != (uint8_t)*scan->literal)
            return json_run_fault(run, p, JSON_FAULT_LITERAL);
        scan->literal++;
        p++;
    }
    if (*scan->literal == '\0')
        json_run_value_end(run, p);
    return p;
}

/* Behind a digit: a fraction or an exponent where they may be, or the
 * number's end. */
static const uint8_t *
number_next(struct json_run *run, const uint8_t *p, bool may_have_fraction)
{
    struct json_scan *scan = run->scan;

    if (*p == '.' && may_have_fraction) {
        scan->state = JSON_IN_DOT;
        return p + 1;
    }
    if (*p == 'e' || *p == 'E') {
        scan->state = JSON_IN_E;
        return p + 1;
    }
    json_run_value_end(run, p);
    return p;
}

static const uint8_t *
skip_digits(const uint8_t *p, const uint8_t *end)
{
    while (p < end && json_is_digit(*p))
        p++;
    return p;
}

static const uint8_t *
need_digit(struct json_run *run, const uint8_t *p, enum json_state next)
{
    if (!json_is_digit(*p))
        return json_run_fault(run, p, JSON_FAULT_NUMBER);
    run->scan->state = (int)next;
    return p + 1;
}

const uint8_t *
json_in_minus(struct json_run *run, const uint8_t *p)
{
    return need_digit(run, p, *p == '0' ? JSON_IN_ZERO : JSON_IN_INT);
}

const uint8_t *
json_in_zero(struct json_run *run, const uint8_t *p)
{
    if (json_is_digit(*p))
        return json_run_fault(run, p, JSON_FAULT_NUMBER);
    return number_next(run, p, true);
}

const uint8_t *
json_in_int(struct json_run *run, const uint8_t *p)
{
    p = skip_digits(p, run->end);
    return p == run->end ? p : number_next(run, p, true);
}

const uint8_t *
json_in_dot(struct json_run *run, const uint8_t *p)
{
    return need_digit(run, p, JSON_IN_FRAC);
}

const uint8_t *
json_in_frac(struct json_run *run, const uint8_t *p)
{
    p = skip_digits(p, run->end);
    return p == run->end ? p : number_next(run, p, false);
}

const uint8_t *
json_in_e(struct json_run *run, const uint8_t *p)
{
    if (*p != '+' && *p != '-')
        return need_digit(run, p, JSON_IN_EXP);
    run->scan->state = JSON_IN_E_SIGN;
    return p + 1;
}

const uint8_t *
json_in_e_sign(struct json_run *run, const uint8_t *p)
{
    return need_digit(run, p, JSON_IN_EXP);
}

const uint8_t *
json_in_exp(struct json_run *run, const uint8_t *p)
{
    p = skip_digits(p, run->end);
    if (p == run->end)
        return p;
    json_run_value_end(run, p);
    return p;
}
