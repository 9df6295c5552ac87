/* Names, kinds and short strings inside a watched member. */

#include <string.h>

#include "common/net/json_run.h"

void
json_scan_watch(struct json_scan *scan, unsigned depth)
{
    scan->watch = depth;
}

void
json_inner_string(struct json_run *run, const uint8_t *p)
{
    run->scan->inner_len = 0;
    run->scan->capturing_inner = true;
    run->mark = p;
}

void
json_inner_flush(struct json_run *run, const uint8_t *until)
{
    struct json_scan *scan = run->scan;
    size_t len = (size_t)(until - run->mark);

    if (len > sizeof(scan->inner_raw) - scan->inner_len) {
        scan->inner_len = sizeof(scan->inner_raw) + 1;
        scan->capturing_inner = false;
        return;
    }
    memcpy(scan->inner_raw + scan->inner_len, run->mark, len);
    scan->inner_len += len;
}

/* What was captured, decoded; its length, 0 when it is too long. */
static size_t
decode(struct json_run *run, const uint8_t *p, char out[JSON_INNER_MAX])
{
    struct json_scan *scan = run->scan;
    size_t len;

    if (scan->capturing_inner)
        json_inner_flush(run, p);
    scan->capturing_inner = false;
    if (scan->inner_len > sizeof(scan->inner_raw))
        return 0;
    len = json_unescape(
        slice_make(scan->inner_raw, scan->inner_len), out, JSON_INNER_MAX);
    return len > JSON_INNER_MAX ? 0 : len;
}

void
json_inner_key_end(struct json_run *run, const uint8_t *p)
{
    struct json_scan *scan = run->scan;

    scan->inner_key_len = decode(run, p, scan->inner_key);
}

static void
tell(const struct json_scan *scan, struct json_inner *inner)
{
    inner->member = scan->member.kind;
    if (scan->hooks.on_inner != NULL)
        scan->hooks.on_inner(scan->hooks.arg, inner);
}

void
json_inner_begin(struct json_run *run, enum json_kind kind, uint64_t at)
{
    struct json_scan *scan = run->scan;
    struct json_inner inner = {.event = JSON_INNER_BEGIN,
        .depth = scan->depth,
        .kind = kind,
        .at = at,
        .text = slice_make(scan->inner_key, scan->inner_key_len)};

    scan->inner_key_len = 0;
    tell(scan, &inner);
}

void
json_inner_text(struct json_run *run, const uint8_t *p)
{
    char text[JSON_INNER_MAX];
    struct json_inner inner = {.event = JSON_INNER_TEXT,
        .depth = run->scan->depth,
        .kind = JSON_KIND_STRING,
        .text = slice_make(text, decode(run, p, text))};

    tell(run->scan, &inner);
}

void
json_inner_close(struct json_run *run)
{
    struct json_inner inner = {
        .event = JSON_INNER_CLOSE, .depth = run->scan->depth};

    tell(run->scan, &inner);
}
