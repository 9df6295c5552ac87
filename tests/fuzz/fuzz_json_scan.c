/*
 * The JSON scanner: the result does not depend on where the input is cut;
 * what jansson takes, it takes; members lie where it says; and what it
 * unescapes is UTF-8. The first byte chooses the cut.
 */

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/net/json_scan.h"

#define MUST(condition) \
    do { \
        if (!(condition)) \
            abort(); \
    } while (0)

struct trace {
    struct slice document;
    uint64_t hash;
};

static size_t
on_key(void *arg, const struct json_member *member)
{
    (void)arg;
    return member->key.len * 3;
}

static void
mix(struct trace *trace, uint64_t value)
{
    trace->hash = (trace->hash ^ value) * UINT64_C(0x100000001B3);
}

static void
on_value(void *arg, const struct json_member *member)
{
    struct trace *trace = arg;
    const char *text = trace->document.data;

    MUST(text[member->key_start] == '"' && text[member->key_end - 1] == '"');
    MUST(member->key_end <= member->value_start);
    MUST(member->value_start < member->value_end);
    MUST(!member->has_comma || text[member->comma_at] == ',');
    MUST(json_scan_all(text + member->value_start,
             (size_t)(member->value_end - member->value_start), JSON_DEPTH_MAX,
             NULL) == 0);
    MUST(text_is_utf8(member->key));
    if (member->captured)
        MUST(memcmp(member->raw.data, text + member->value_start,
                 member->raw.len) == 0);
    if (member->kind == JSON_KIND_STRING) {
        struct buffer out = {0};

        json_unescape_append(&out,
            slice_make(text + member->value_start,
                (size_t)(member->value_end - member->value_start)));
        MUST(text_is_utf8(buffer_slice(&out)));
        buffer_clear(&out);
    }
    mix(trace, member->key_start);
    mix(trace, member->value_end);
    mix(trace,
        (uint64_t)member->kind * 16 + member->elements * 4 +
            (member->captured ? 2 : 0) + (member->capture_cut ? 1 : 0));
}

static int
scan_in_parts(
    struct trace *trace, size_t part, unsigned flags, struct json_fault *fault)
{
    struct json_hooks hooks = {on_key, on_value, NULL, trace};
    struct json_scan scan;
    int result = 0;
    size_t at;

    json_scan_init(&scan, flags, JSON_DEPTH_DEFAULT, &hooks);
    for (at = 0; result == 0 && at < trace->document.len; at += part) {
        size_t left = trace->document.len - at;

        result = json_scan_feed(
            &scan, trace->document.data + at, left < part ? left : part);
    }
    if (result == 0)
        result = json_scan_finish(&scan);
    *fault = scan.fault;
    json_scan_clear(&scan);
    return result;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json_fault fault[2];
    struct trace trace[2];
    unsigned flags;
    json_t *root;
    int result;

    if (size < 1)
        return 0;
    flags = (data[0] & 1) != 0 ? JSON_SCAN_OBJECT : JSON_SCAN_ANY;
    trace[0].document = slice_make((const char *)data + 1, size - 1);
    trace[0].hash = 1;
    trace[1] = trace[0];
    result = scan_in_parts(&trace[0], size, flags, &fault[0]);
    MUST(scan_in_parts(&trace[1], (size_t)(data[0] >> 1) % 32 + 1, flags,
             &fault[1]) == result);
    MUST(fault[0].kind == fault[1].kind);
    MUST(fault[0].offset == fault[1].offset);
    MUST(fault[0].offset <= size - 1);
    MUST(trace[0].hash == trace[1].hash);
    /* jansson stops at a NUL as if the document ended there. */
    if (flags != JSON_SCAN_ANY || memchr(data, '\0', size) != NULL)
        return 0;
    root = json_loadb((const char *)data + 1, size - 1,
        JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    MUST(root == NULL || result == 0 || fault[0].kind == JSON_FAULT_DEPTH);
    json_decref(root);
    return 0;
}
