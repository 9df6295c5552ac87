#include "common/job/envelope.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The first fault is the one that is reported. */
__attribute__((format(printf, 3, 4))) static void
refuse(struct envelope *envelope, unsigned status, const char *format, ...)
{
    va_list args;

    if (envelope->status != 0)
        return;
    envelope->status = status;
    va_start(args, format);
    (void)vsnprintf(envelope->message, sizeof(envelope->message), format, args);
    va_end(args);
}

/* ---- what the scanner reports ---- */

static void
refuse_member(struct envelope *envelope, struct slice key)
{
    bool plain = key.len > 0;

    for (size_t i = 0; i < key.len; i++)
        plain = plain && key.data[i] > ' ' && key.data[i] <= '~';
    refuse(envelope, 400, "%.*s: Extra inputs are not permitted",
        plain ? (int)key.len : 8, plain ? key.data : "a member");
}

static size_t
on_key(void *arg, const struct json_member *member)
{
    struct envelope *envelope = arg;

    if (member->key_too_long || !slice_equal_text(member->key, "requests"))
        refuse_member(envelope, member->key);
    else if (envelope->seen_requests)
        refuse(envelope, 400, "requests: is given twice");
    envelope->seen_requests = true;
    envelope->requests_next = true;
    return 0;
}

static void
on_value(void *arg, const struct json_member *member)
{
    struct envelope *envelope = arg;

    envelope->in_requests = false;
    if (member->kind != JSON_KIND_ARRAY)
        refuse(envelope, 400, "requests: Input should be a valid list");
}

/* ---- life ---- */

void
envelope_init(struct envelope *envelope, size_t max_bytes, uint64_t max_count)
{
    struct json_hooks hooks = {
        .on_key = on_key, .on_value = on_value, .arg = envelope};

    memset(envelope, 0, sizeof(*envelope));
    envelope->max_bytes = max_bytes;
    envelope->max_count = max_count;
    json_scan_init(
        &envelope->scan, JSON_SCAN_OBJECT, JSON_DEPTH_DEFAULT, &hooks);
}

void
envelope_clear(struct envelope *envelope)
{
    json_scan_clear(&envelope->scan);
    buffer_clear(&envelope->held);
}

/* ---- the envelope itself, byte by byte ---- */

/* The scanner's own offset does not count elements. */
static void
refuse_json(struct envelope *envelope, uint64_t offset)
{
    struct json_fault fault = envelope->scan.fault;
    char text[JSON_FAULT_TEXT_SIZE];

    fault.offset = offset;
    json_fault_text(&fault, text);
    refuse(envelope, 400, "the body is not a valid JSON object: %s", text);
}

static void
scan(struct envelope *envelope, const char *data, size_t len)
{
    if (json_scan_feed(&envelope->scan, data, len) != 0)
        refuse_json(envelope, envelope->taken);
}

static void
begin_element(struct envelope *envelope)
{
    scan(envelope, "{}", 2);
    if (envelope->status != 0)
        return;
    if (envelope->count == envelope->max_count) {
        refuse(envelope, 413, "requests: a batch has at most %llu requests",
            (unsigned long long)envelope->max_count);
        return;
    }
    envelope->count++;
    envelope->inside = true;
    envelope->depth = 0;
}

static bool
is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* One byte outside of elements; an element's first byte is not taken. */
static void
take_byte(struct envelope *envelope, char c)
{
    if (envelope->in_requests && c == '{') {
        begin_element(envelope);
        return;
    }
    if (envelope->in_requests && !is_blank(c) && c != ',' && c != ']') {
        refuse(envelope, 400,
            "requests.%llu: Input should be an object (byte %llu)",
            (unsigned long long)envelope->count,
            (unsigned long long)envelope->taken);
        return;
    }
    scan(envelope, &c, 1);
    envelope->taken++;
    if (envelope->requests_next && envelope->scan.depth == 2) {
        envelope->in_requests = c == '[';
        if (c != '[')
            refuse(envelope, 400, "requests: Input should be a valid list");
    }
    if (envelope->scan.depth != 1)
        envelope->requests_next = false;
}

/* ---- elements ---- */

/* Up to the end of the string or of the run. */
static size_t
pass_string(struct envelope *envelope, struct slice run, size_t i)
{
    for (; i < run.len; i++) {
        char c = run.data[i];

        if (envelope->escaped)
            envelope->escaped = false;
        else if (c == '\\')
            envelope->escaped = true;
        else if (c == '"') {
            envelope->in_string = false;
            return i + 1;
        }
    }
    return i;
}

/* How many bytes of the run belong to the element; `inside` is false when
 * that is its end. */
static size_t
pass_element(struct envelope *envelope, struct slice run)
{
    size_t i = 0;

    while (i < run.len) {
        char c;

        if (envelope->in_string) {
            i = pass_string(envelope, run, i);
            continue;
        }
        c = run.data[i++];
        if (c == '"')
            envelope->in_string = true;
        else if (c == '{' || c == '[')
            envelope->depth++;
        else if ((c == '}' || c == ']') && --envelope->depth == 0) {
            envelope->inside = false;
            break;
        }
    }
    return i;
}

static void
forget_held(struct envelope *envelope)
{
    /* A long element's memory is not kept for short ones. */
    if (envelope->held.cap > 1024 * 1024)
        buffer_clear(&envelope->held);
    else
        buffer_reset(&envelope->held);
    envelope->given = false;
}

/* True when *element is whole. */
static bool
take_element(struct envelope *envelope, struct slice *in, struct slice *element)
{
    size_t len = pass_element(envelope, *in);
    struct slice run = slice_make(in->data, len);

    *in = slice_make(in->data + len, in->len - len);
    envelope->taken += len;
    if (len > envelope->max_bytes - envelope->held.len) {
        refuse(envelope, 413, "requests.%llu: is larger than %zu bytes",
            (unsigned long long)envelope->count - 1, envelope->max_bytes);
        return false;
    }
    if (envelope->inside || envelope->held.len > 0)
        buffer_append_slice(&envelope->held, run);
    if (envelope->inside)
        return false;
    *element = envelope->held.len > 0 ? buffer_slice(&envelope->held) : run;
    envelope->given = true;
    return true;
}

enum envelope_status
envelope_next(
    struct envelope *envelope, struct slice *in, struct slice *element)
{
    if (envelope->given)
        forget_held(envelope);
    while (in->len > 0 && envelope->status == 0) {
        if (envelope->inside) {
            if (take_element(envelope, in, element))
                return ENVELOPE_ELEMENT;
            continue;
        }
        take_byte(envelope, in->data[0]);
        if (!envelope->inside)
            *in = slice_make(in->data + 1, in->len - 1);
    }
    return envelope->status != 0 ? ENVELOPE_FAULT : ENVELOPE_MORE;
}

int
envelope_finish(struct envelope *envelope)
{
    if (envelope->status == 0 && envelope->inside)
        refuse(envelope, 400, "requests.%llu: the body ended inside of it",
            (unsigned long long)envelope->count - 1);
    else if (envelope->status == 0 && json_scan_finish(&envelope->scan) != 0)
        refuse_json(envelope, envelope->taken);
    else if (!envelope->seen_requests)
        refuse(envelope, 400, "requests: Field required");
    else if (envelope->count == 0)
        refuse(envelope, 400, "requests: List should have at least 1 item");
    return envelope->status == 0 ? 0 : -1;
}
