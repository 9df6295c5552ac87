#include "common/job/item.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum member { MEMBER_CUSTOM_ID, MEMBER_PARAMS, MEMBER_OPTIONS, MEMBERS };

static const struct {
    const char *name;
    size_t capture;
} members[MEMBERS] = {
    [MEMBER_CUSTOM_ID] = {"custom_id", 6 * JOB_CUSTOM_ID_MAX + 2},
    [MEMBER_PARAMS] = {"params", 0},
    [MEMBER_OPTIONS] = {"longhaul", OPTIONS_JSON_MAX},
};

/* The first fault is the one that is reported. */
__attribute__((format(printf, 2, 3))) static void
refuse(struct item_reader *reader, const char *format, ...)
{
    va_list args;

    if (reader->failed)
        return;
    reader->failed = true;
    va_start(args, format);
    (void)vsnprintf(reader->message, sizeof(reader->message), format, args);
    va_end(args);
}

/* ---- what the scanner reports ---- */

static void
note_unknown(struct item_info *info, const struct json_member *member)
{
    bool plain = member->key.len > 0;

    if (info->unknown[0] != '\0')
        return;
    for (size_t i = 0; i < member->key.len; i++)
        plain =
            plain && member->key.data[i] > ' ' && member->key.data[i] <= '~';
    (void)text_copy(info->unknown, sizeof(info->unknown),
        plain ? member->key : slice_of("?"));
}

static size_t
on_key(void *arg, const struct json_member *member)
{
    struct item_reader *reader = arg;

    for (int i = 0; i < MEMBERS; i++) {
        if (!slice_equal_text(member->key, members[i].name))
            continue;
        if ((reader->seen & 1u << i) != 0)
            refuse(reader, "%s: is given twice (byte %llu)", members[i].name,
                (unsigned long long)member->key_start);
        reader->seen |= 1u << i;
        reader->member = i;
        return members[i].capture;
    }
    reader->member = -1;
    note_unknown(&reader->info, member);
    return 0;
}

static void
take_custom_id(struct item_info *info, enum json_kind kind, struct slice raw)
{
    int len = -1;

    if (kind == JSON_KIND_STRING && raw.len > 0)
        len = json_unescape_text(raw, info->custom_id, sizeof(info->custom_id));
    if (len >= 0 &&
        job_custom_id_is_valid(slice_make(info->custom_id, (size_t)len))) {
        info->custom_id_is = ITEM_CUSTOM_ID_GOOD;
        return;
    }
    info->custom_id[0] = '\0';
    info->custom_id_is = ITEM_CUSTOM_ID_BAD;
}

static void
take_options(struct item_reader *reader, const struct json_member *member)
{
    reader->info.options = member->kind;
    if (member->kind != JSON_KIND_OBJECT)
        return;
    if (!member->captured)
        refuse(reader, "longhaul: expected an object of at most 16 KiB");
    else
        buffer_append_slice(&reader->options, member->raw);
}

static void
on_value(void *arg, const struct json_member *member)
{
    struct item_reader *reader = arg;
    struct item_info *info = &reader->info;

    if (reader->member == MEMBER_CUSTOM_ID) {
        take_custom_id(
            info, member->kind, member->captured ? member->raw : SLICE_NULL);
    } else if (reader->member == MEMBER_PARAMS) {
        info->params = member->kind;
        info->params_start = member->value_start;
        info->params_end = member->value_end;
    } else if (reader->member == MEMBER_OPTIONS) {
        take_options(reader, member);
    }
}

/* ---- the reader ---- */

void
item_reader_init(struct item_reader *reader)
{
    struct json_hooks hooks = {
        .on_key = on_key, .on_value = on_value, .arg = reader};

    memset(reader, 0, sizeof(*reader));
    /* Deeper than a request may be: that is for its reader to refuse. */
    json_scan_init(&reader->scan, JSON_SCAN_OBJECT, JSON_DEPTH_MAX, &hooks);
}

void
item_reader_clear(struct item_reader *reader)
{
    json_scan_clear(&reader->scan);
    buffer_clear(&reader->options);
}

static int
refuse_json(struct item_reader *reader)
{
    char text[JSON_FAULT_TEXT_SIZE];

    json_fault_text(&reader->scan.fault, text);
    refuse(reader, "not a valid JSON object: %s", text);
    return -1;
}

int
item_reader_feed(struct item_reader *reader, struct slice run)
{
    if (reader->failed)
        return -1;
    if (json_scan_feed(&reader->scan, run.data, run.len) != 0)
        return refuse_json(reader);
    return reader->failed ? -1 : 0;
}

int
item_reader_finish(struct item_reader *reader)
{
    static const char *const names[] = {"custom_id"};
    struct item_info *info = &reader->info;
    struct json_item inner;

    if (reader->failed)
        return -1;
    if (json_scan_finish(&reader->scan) != 0)
        return refuse_json(reader);
    if (info->params == JSON_KIND_NONE && reader->options.len > 0 &&
        json_object_pick(buffer_slice(&reader->options), names, &inner, 1) ==
            0 &&
        inner.kind != JSON_KIND_NONE)
        take_custom_id(info, inner.kind, inner.raw);
    return 0;
}

struct slice
item_reader_options(const struct item_reader *reader)
{
    return buffer_slice(&reader->options);
}
