#include "common/net/json_scan.h"

#include <assert.h>
#include <string.h>

#include "common/net/json_run.h"

static uint64_t
offset_of(const struct json_run *run, const uint8_t *p)
{
    return run->scan->base + (uint64_t)(p - run->data);
}

const uint8_t *
json_run_fault(
    struct json_run *run, const uint8_t *p, enum json_fault_kind kind)
{
    run->scan->fault.kind = kind;
    run->scan->fault.offset = offset_of(run, p);
    return NULL;
}

static const uint8_t *
skip_blanks(const uint8_t *p, const uint8_t *end)
{
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
        p++;
    return p;
}

static bool
in_object(const struct json_scan *scan)
{
    unsigned bit = scan->depth - 1;

    return scan->depth > 0 && (scan->stack[bit / 64] >> (bit % 64) & 1) != 0;
}

/* ---- members of the top-level object ---- */

static void
flush_key(struct json_run *run, const uint8_t *until)
{
    struct json_scan *scan = run->scan;
    size_t len = (size_t)(until - run->mark);

    if (len > sizeof(scan->key_raw) - scan->key_len)
        scan->member.key_too_long = true;
    else
        memcpy(scan->key_raw + scan->key_len, run->mark, len);
    if (!scan->member.key_too_long)
        scan->key_len += len;
}

static void
flush_value(struct json_run *run, const uint8_t *until)
{
    struct json_scan *scan = run->scan;
    size_t len = (size_t)(until - run->mark);

    if (len > scan->capture_left) {
        scan->member.capture_cut = true;
        scan->capturing_value = false;
        return;
    }
    buffer_append(&scan->capture, run->mark, len);
    scan->capture_left -= len;
}

static void
key_begin(struct json_run *run, const uint8_t *p)
{
    struct json_scan *scan = run->scan;

    scan->member.key_start = offset_of(run, p);
    scan->member.key_too_long = false;
    scan->member.key = SLICE_NULL;
    scan->member.captured = scan->member.capture_cut = false;
    scan->member.raw = SLICE_NULL;
    scan->member.elements = 0;
    scan->member.kind = JSON_KIND_NONE;
    scan->key_len = 0;
    scan->capturing_key = true;
    run->mark = p;
}

void
json_run_key_end(struct json_run *run, const uint8_t *p)
{
    struct json_scan *scan = run->scan;
    struct json_member *member = &scan->member;
    size_t len;

    flush_key(run, p);
    scan->capturing_key = false;
    member->key_end = offset_of(run, p);
    if (!member->key_too_long) {
        len = json_unescape(slice_make(scan->key_raw, scan->key_len), scan->key,
            sizeof(scan->key));
        member->key_too_long = len > sizeof(scan->key);
        if (!member->key_too_long)
            member->key = slice_make(scan->key, len);
    }
    scan->capture_left = 0;
    scan->watch = 0;
    if (scan->hooks.on_key != NULL)
        scan->capture_left = scan->hooks.on_key(scan->hooks.arg, member);
    if (scan->watch > 0)
        scan->capture_left = 0;
}

static void
member_value_begin(struct json_run *run, const uint8_t *p, enum json_kind kind)
{
    struct json_scan *scan = run->scan;

    scan->member.kind = kind;
    scan->member.value_start = offset_of(run, p);
    if (scan->capture_left > 0) {
        buffer_reset(&scan->capture);
        scan->capturing_value = true;
        run->mark = p;
    }
}

static void
member_value_end(struct json_run *run, const uint8_t *p)
{
    struct json_scan *scan = run->scan;

    if (scan->capturing_value)
        flush_value(run, p);
    if (scan->capturing_value) {
        scan->capturing_value = false;
        scan->member.captured = true;
        scan->member.raw = buffer_slice(&scan->capture);
    }
    scan->member.value_end = offset_of(run, p);
    if (scan->hooks.on_value != NULL)
        scan->hooks.on_value(scan->hooks.arg, &scan->member);
}

static bool
at_member(const struct json_scan *scan)
{
    return scan->depth == 1 && in_object(scan);
}

static void
value_begin(struct json_run *run, const uint8_t *p, enum json_kind kind)
{
    struct json_scan *scan = run->scan;

    if (json_inner_is_watched(scan)) {
        if (kind == JSON_KIND_STRING)
            json_inner_string(run, p);
        json_inner_begin(run, kind, offset_of(run, p));
    }
    if (scan->depth > 2)
        return;
    if (scan->depth == 0)
        scan->root_start = offset_of(run, p);
    else if (scan->depth == 2 && scan->member.elements < 2)
        scan->member.elements++;
    else if (at_member(scan))
        member_value_begin(run, p, kind);
}

/* p is behind the value's last byte. */
void
json_run_value_end(struct json_run *run, const uint8_t *p)
{
    struct json_scan *scan = run->scan;

    scan->state = JSON_AT_AFTER;
    if (scan->depth > 1)
        return;
    if (scan->depth == 0) {
        scan->root_end = offset_of(run, p);
        scan->state = JSON_AT_DONE;
    } else if (at_member(scan)) {
        member_value_end(run, p);
    }
}

/* ---- structure ---- */

static const uint8_t *
open_bracket(struct json_run *run, const uint8_t *p, bool object)
{
    struct json_scan *scan = run->scan;
    uint64_t bit = UINT64_C(1) << (scan->depth % 64);

    if (scan->depth >= scan->depth_limit)
        return json_run_fault(run, p, JSON_FAULT_DEPTH);
    value_begin(run, p, object ? JSON_KIND_OBJECT : JSON_KIND_ARRAY);
    if (object)
        scan->stack[scan->depth / 64] |= bit;
    else
        scan->stack[scan->depth / 64] &= ~bit;
    scan->depth++;
    scan->state = object ? JSON_AT_OBJECT_FIRST : JSON_AT_ARRAY_FIRST;
    return p + 1;
}

static const uint8_t *
close_bracket(struct json_run *run, const uint8_t *p)
{
    run->scan->depth--;
    if (json_inner_is_watched(run->scan))
        json_inner_close(run);
    json_run_value_end(run, p + 1);
    return p + 1;
}

static const uint8_t *
begin_scalar(struct json_run *run, const uint8_t *p, enum json_kind kind,
    enum json_state state)
{
    value_begin(run, p, kind);
    run->scan->state = (int)state;
    return p + 1;
}

static const uint8_t *
begin_literal(struct json_run *run, const uint8_t *p, enum json_kind kind,
    const char *rest)
{
    run->scan->literal = rest;
    return begin_scalar(run, p, kind, JSON_IN_LITERAL);
}

static const uint8_t *
bad_value(struct json_run *run, const uint8_t *p)
{
    if (*p == 0xEF && offset_of(run, p) == 0)
        return json_run_fault(run, p, JSON_FAULT_BOM);
    return json_run_fault(run, p, JSON_FAULT_VALUE);
}

static const uint8_t *
begin_value(struct json_run *run, const uint8_t *p)
{
    struct json_scan *scan = run->scan;

    switch (*p) {
    case '"':
        scan->after_string = JSON_AT_AFTER;
        return begin_scalar(run, p, JSON_KIND_STRING, JSON_IN_STRING);
    case '{': return open_bracket(run, p, true);
    case '[': return open_bracket(run, p, false);
    case '-': return begin_scalar(run, p, JSON_KIND_NUMBER, JSON_IN_MINUS);
    case '0': return begin_scalar(run, p, JSON_KIND_NUMBER, JSON_IN_ZERO);
    case 't': return begin_literal(run, p, JSON_KIND_TRUE, "rue");
    case 'f': return begin_literal(run, p, JSON_KIND_FALSE, "alse");
    case 'n': return begin_literal(run, p, JSON_KIND_NULL, "ull");
    default:
        if (json_is_digit(*p))
            return begin_scalar(run, p, JSON_KIND_NUMBER, JSON_IN_INT);
        return bad_value(run, p);
    }
}

static const uint8_t *
at_value(struct json_run *run, const uint8_t *p)
{
    struct json_scan *scan = run->scan;

    p = skip_blanks(p, run->end);
    if (p == run->end)
        return p;
    if (scan->depth == 0 && (scan->flags & JSON_SCAN_OBJECT) != 0 && *p != '{')
        return *p == 0xEF ? bad_value(run, p)
                          : json_run_fault(run, p, JSON_FAULT_NOT_OBJECT);
    return begin_value(run, p);
}

static const uint8_t *
at_array_first(struct json_run *run, const uint8_t *p)
{
    p = skip_blanks(p, run->end);
    if (p == run->end)
        return p;
    if (*p == ']')
        return close_bracket(run, p);
    return begin_value(run, p);
}

static const uint8_t *
at_key(struct json_run *run, const uint8_t *p)
{
    struct json_scan *scan = run->scan;

    p = skip_blanks(p, run->end);
    if (p == run->end)
        return p;
    if (*p != '"')
        return json_run_fault(run, p, JSON_FAULT_KEY);
    if (scan->depth == 1)
        key_begin(run, p);
    else if (json_inner_is_watched(scan))
        json_inner_string(run, p);
    scan->after_string = JSON_AT_COLON;
    scan->state = JSON_IN_STRING;
    return p + 1;
}

static const uint8_t *
at_object_first(struct json_run *run, const uint8_t *p)
{
    p = skip_blanks(p, run->end);
    if (p == run->end)
        return p;
    if (*p == '}')
        return close_bracket(run, p);
    if (run->scan->depth == 1)
        run->scan->member.has_comma = false;
    return at_key(run, p);
}

static const uint8_t *
at_colon(struct json_run *run, const uint8_t *p)
{
    p = skip_blanks(p, run->end);
    if (p == run->end)
        return p;
    if (*p != ':')
        return json_run_fault(run, p, JSON_FAULT_COLON);
    run->scan->state = JSON_AT_VALUE;
    return p + 1;
}

static const uint8_t *
at_after(struct json_run *run, const uint8_t *p)
{
    struct json_scan *scan = run->scan;
    bool object = in_object(scan);

    p = skip_blanks(p, run->end);
    if (p == run->end)
        return p;
    if (*p == (object ? '}' : ']'))
        return close_bracket(run, p);
    if (*p != ',')
        return json_run_fault(run, p, JSON_FAULT_COMMA);
    if (scan->depth == 1) {
        scan->member.has_comma = true;
        scan->member.comma_at = offset_of(run, p);
    }
    scan->state = object ? JSON_AT_KEY : JSON_AT_VALUE;
    p++;
    return object && p < run->end ? at_key(run, p) : p;
}

static const uint8_t *
at_done(struct json_run *run, const uint8_t *p)
{
    p = skip_blanks(p, run->end);
    if (p == run->end)
        return p;
    return json_run_fault(run, p, JSON_FAULT_TRAILING);
}

/* ---- the scanner ---- */

static json_handler *const handlers[JSON_STATES] = {
    [JSON_AT_VALUE] = at_value,
    [JSON_AT_ARRAY_FIRST] = at_array_first,
    [JSON_AT_OBJECT_FIRST] = at_object_first,
    [JSON_AT_KEY] = at_key,
    [JSON_AT_COLON] = at_colon,
    [JSON_AT_AFTER] = at_after,
    [JSON_AT_DONE] = at_done,
    [JSON_IN_STRING] = json_in_string,
    [JSON_IN_ESCAPE] = json_in_escape,
    [JSON_IN_HEX] = json_in_hex,
    [JSON_IN_LOW] = json_in_low,
    [JSON_IN_LOW_U] = json_in_low_u,
    [JSON_IN_UTF8] = json_in_utf8,
    [JSON_IN_LITERAL] = json_in_literal,
    [JSON_IN_MINUS] = json_in_minus,
    [JSON_IN_ZERO] = json_in_zero,
    [JSON_IN_INT] = json_in_int,
    [JSON_IN_DOT] = json_in_dot,
    [JSON_IN_FRAC] = json_in_frac,
    [JSON_IN_E] = json_in_e,
    [JSON_IN_E_SIGN] = json_in_e_sign,
    [JSON_IN_EXP] = json_in_exp,
};

void
json_scan_init(struct json_scan *scan, unsigned flags, unsigned depth,
    const struct json_hooks *hooks)
{
    assert(depth >= 1 && depth <= JSON_DEPTH_MAX);
    memset(scan, 0, sizeof(*scan));
    scan->flags = flags;
    scan->depth_limit = depth;
    scan->state = JSON_AT_VALUE;
    if (hooks != NULL)
        scan->hooks = *hooks;
}

void
json_scan_clear(struct json_scan *scan)
{
    buffer_clear(&scan->capture);
}

int
json_scan_feed(struct json_scan *scan, const void *data, size_t len)
{
    const uint8_t *p = data;
    struct json_run run = {scan, p, p + len, p};

    if (scan->fault.kind != JSON_FAULT_NONE)
        return -1;
    if (len == 0)
        return 0;
    while (p < run.end) {
        p = handlers[scan->state](&run, p);
        if (p == NULL)
            return -1;
    }
    if (scan->capturing_key)
        flush_key(&run, run.end);
    else if (scan->capturing_value)
        flush_value(&run, run.end);
    else if (scan->capturing_inner)
        json_inner_flush(&run, run.end);
    scan->base += len;
    return 0;
}

static bool
number_may_end(int state)
{
    return state == JSON_IN_ZERO || state == JSON_IN_INT ||
        state == JSON_IN_FRAC || state == JSON_IN_EXP;
}

int
json_scan_finish(struct json_scan *scan)
{
    if (scan->fault.kind != JSON_FAULT_NONE)
        return -1;
    if (scan->depth == 0 && number_may_end(scan->state)) {
        scan->root_end = scan->base;
        scan->state = JSON_AT_DONE;
    }
    if (scan->state == JSON_AT_DONE)
        return 0;
    scan->fault.kind = scan->depth == 0 && scan->state == JSON_AT_VALUE
        ? JSON_FAULT_EMPTY
        : JSON_FAULT_TRUNCATED;
    scan->fault.offset = scan->base;
    return -1;
}
