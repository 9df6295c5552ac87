#include "common/job/request.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum member {
    MEMBER_MODEL,
    MEMBER_MAX_TOKENS,
    MEMBER_MESSAGES,
    MEMBER_MESSAGE,
    MEMBER_SYSTEM,
    MEMBER_STREAM,
    MEMBER_OPTIONS,
    MEMBER_TEMPERATURE,
    MEMBER_TOP_P,
    MEMBER_TOP_K,
    MEMBER_SPEED,
    MEMBER_THREAD,
    MEMBERS
};

typedef void member_reader(
    struct request_reader *reader, const struct json_member *member);

static member_reader read_model, read_max_tokens, read_messages, read_message,
    read_system, read_stream, read_options, read_sampling, read_not_in_batch;

static const struct {
    const char *name;
    size_t capture; /* bytes of the value that its reader looks at */
    bool cut; /* not for Claude */
    member_reader *read;
} members[MEMBERS] = {
    [MEMBER_MODEL] = {"model", 6 * REQUEST_MODEL_MAX + 2, false, read_model},
    [MEMBER_MAX_TOKENS] = {"max_tokens", 24, false, read_max_tokens},
    [MEMBER_MESSAGES] = {"messages", 0, false, read_messages},
    [MEMBER_MESSAGE] = {"message", 0, false, read_message},
    [MEMBER_SYSTEM] = {"system", 0, false, read_system},
    [MEMBER_STREAM] = {"stream", 0, true, read_stream},
    [MEMBER_OPTIONS] = {"longhaul", OPTIONS_JSON_MAX, true, read_options},
    [MEMBER_TEMPERATURE] = {"temperature", 0, false, read_sampling},
    [MEMBER_TOP_P] = {"top_p", 0, false, read_sampling},
    [MEMBER_TOP_K] = {"top_k", 0, false, read_sampling},
    [MEMBER_SPEED] = {"speed", 0, false, read_not_in_batch},
    [MEMBER_THREAD] = {"thread", 0, false, read_not_in_batch},
};

/* The first fault is the one that is reported. */
__attribute__((format(printf, 2, 3))) static void
refuse(struct request_reader *reader, const char *format, ...)
{
    va_list args;

    if (reader->failed)
        return;
    reader->failed = true;
    reader->fault.status = 400;
    reader->fault.type = "invalid_request_error";
    va_start(args, format);
    (void)vsnprintf(
        reader->fault.message, sizeof(reader->fault.message), format, args);
    va_end(args);
}

static void
refuse_value(struct request_reader *reader, const struct json_member *member,
    const char *expected)
{
    refuse(reader, "%s: expected %s (byte %llu)", members[reader->member].name,
        expected, (unsigned long long)member->value_start);
}

/* ---- members ---- */

static void
read_model(struct request_reader *reader, const struct json_member *member)
{
    struct request_info *info = &reader->info;
    int len = -1;

    if (member->kind == JSON_KIND_STRING && member->captured)
        len = json_unescape_text(member->raw, info->model, sizeof(info->model));
    if (len < 0 || !job_model_is_valid(slice_make(info->model, (size_t)len))) {
        refuse_value(reader, member,
            "a text of 1 to 128 printable characters without blanks");
        return;
    }
    info->has_model = true;
    reader->model_value = member->value_start;
    reader->model_value_end = member->value_end;
}

static void
read_max_tokens(struct request_reader *reader, const struct json_member *member)
{
    uint64_t value;

    if (member->kind != JSON_KIND_NUMBER || !member->captured ||
        text_parse_u64(member->raw, REQUEST_MAX_TOKENS_MAX, &value) != 0) {
        refuse_value(reader, member, "a whole number from 0 to 10000000");
        return;
    }
    reader->info.has_max_tokens = true;
    reader->info.max_tokens = (int64_t)value;
}

static void
read_messages(struct request_reader *reader, const struct json_member *member)
{
    if (member->kind != JSON_KIND_ARRAY || member->elements == 0)
        refuse_value(reader, member, "a list of at least one message");
}

static void
read_message(struct request_reader *reader, const struct json_member *member)
{
    if (member->kind != JSON_KIND_STRING ||
        member->value_end - member->value_start <= 2) {
        refuse_value(reader, member, "a text that is not empty");
        return;
    }
    reader->info.shorthand = true;
    reader->message_key = member->key_start;
    reader->message_key_end = member->key_end;
    reader->message_value = member->value_start;
    reader->message_value_end = member->value_end;
}

/* null is not documented, but not refused for certain. */
static void
read_system(struct request_reader *reader, const struct json_member *member)
{
    if (member->kind != JSON_KIND_STRING && member->kind != JSON_KIND_ARRAY &&
        member->kind != JSON_KIND_NULL)
        refuse_value(reader, member, "a text or a list of blocks");
}

static void
read_stream(struct request_reader *reader, const struct json_member *member)
{
    if (member->kind != JSON_KIND_TRUE && member->kind != JSON_KIND_FALSE)
        refuse_value(reader, member, "true or false");
    reader->info.wants_stream = member->kind == JSON_KIND_TRUE;
}

static void
read_options(struct request_reader *reader, const struct json_member *member)
{
    char error[OPTIONS_ERROR_SIZE];

    if (member->kind != JSON_KIND_OBJECT) {
        refuse_value(reader, member, "an object of options");
        return;
    }
    if (!member->captured) {
        refuse_value(reader, member, "an object of at most 16 KiB");
        return;
    }
    reader->info.has_options = true;
    if (options_parse(member->raw, &reader->info.options, error) != 0)
        refuse(reader, "%s (byte %llu)", error,
            (unsigned long long)member->value_start);
}

static void
read_sampling(struct request_reader *reader, const struct json_member *member)
{
    (void)member;
    reader->info.has_sampling = true;
}

static void
read_not_in_batch(
    struct request_reader *reader, const struct json_member *member)
{
    if (member->kind != JSON_KIND_NULL)
        reader->info.not_in_batch = members[reader->member].name;
}

/* ---- what the scanner reports ---- */

static int
find_member(const struct json_member *member)
{
    int i;

    for (i = 0; i < MEMBERS; i++)
        if (slice_equal_text(member->key, members[i].name))
            return i;
    return -1;
}

static void
watch_shape(struct request_reader *reader)
{
    enum request_shape_member member = REQUEST_SHAPE_MESSAGES;

    if (reader->member == MEMBER_SYSTEM)
        member = REQUEST_SHAPE_SYSTEM;
    else if (reader->member != MEMBER_MESSAGES)
        return;
    request_shape_start(&reader->shape, member);
    json_scan_watch(&reader->scan, request_shape_depth(member));
}

static void
on_inner(void *arg, const struct json_inner *inner)
{
    struct request_reader *reader = arg;

    if (reader->failed)
        return;
    request_shape_see(&reader->shape, inner);
    if (reader->shape.fault[0] != '\0')
        refuse(reader, "%s", reader->shape.fault);
}

static size_t
on_key(void *arg, const struct json_member *member)
{
    struct request_reader *reader = arg;

    if (reader->cut_open) {
        reader->cuts[reader->cut_count - 1][1] = member->comma_at + 1;
        reader->cut_open = false;
    }
    reader->member = find_member(member);
    if (reader->member < 0)
        return 0;
    if ((reader->seen & 1u << reader->member) != 0)
        refuse(reader, "%s: is given twice (byte %llu)",
            members[reader->member].name,
            (unsigned long long)member->key_start);
    reader->seen |= 1u << reader->member;
    watch_shape(reader);
    return reader->failed ? 0 : members[reader->member].capture;
}

/* With exactly one comma: the one before it when something that stays is
 * before it, else the one behind it, which is not known yet. */
static void
cut_member(struct request_reader *reader, const struct json_member *member)
{
    uint64_t *cut = reader->cuts[reader->cut_count];

    assert(reader->cut_count < REQUEST_CUTS_MAX);
    reader->cut_count++;
    cut[0] = reader->kept_any ? member->comma_at : member->key_start;
    cut[1] = member->value_end;
    reader->cut_open = !reader->kept_any;
}

static void
on_value(void *arg, const struct json_member *member)
{
    struct request_reader *reader = arg;

    if (reader->failed)
        return;
    if (reader->member >= 0)
        members[reader->member].read(reader, member);
    if (reader->member >= 0 && members[reader->member].cut)
        cut_member(reader, member);
    else
        reader->kept_any = true;
}

/* ---- the recipe ---- */

static void
add_edit(struct request_reader *reader, enum request_edit_kind kind,
    uint64_t from, uint64_t until)
{
    struct request_recipe *recipe = &reader->info.recipe;
    size_t at = recipe->count;

    assert(recipe->count < REQUEST_EDITS_MAX);
    for (; at > 0 && recipe->edits[at - 1].offset > from; at--)
        recipe->edits[at] = recipe->edits[at - 1];
    recipe->edits[at].kind = kind;
    recipe->edits[at].offset = from;
    recipe->edits[at].cut = until - from;
    recipe->count++;
}

/* Cuts last: at the same place they come behind an insertion. */
static void
make_recipe(struct request_reader *reader)
{
    struct request_info *info = &reader->info;
    uint64_t first = reader->scan.root_start + 1;
    size_t i;

    info->recipe.body_bytes = info->body_bytes;
    add_edit(reader, REQUEST_EDIT_STREAM, first, first);
    if (info->has_model) {
        add_edit(reader, REQUEST_EDIT_MODEL_VALUE, reader->model_value,
            reader->model_value_end);
    } else {
        memcpy(info->recipe.model, info->model, sizeof(info->recipe.model));
        add_edit(reader, REQUEST_EDIT_MODEL_INSERT, first, first);
    }
    if (!info->has_max_tokens)
        add_edit(reader, REQUEST_EDIT_TOKENS, first, first);
    if (info->shorthand) {
        add_edit(reader, REQUEST_EDIT_KEY, reader->message_key,
            reader->message_key_end);
        add_edit(reader, REQUEST_EDIT_OPEN, reader->message_value,
            reader->message_value);
        add_edit(reader, REQUEST_EDIT_CLOSE, reader->message_value_end,
            reader->message_value_end);
    }
    for (i = 0; i < reader->cut_count; i++)
        add_edit(
            reader, REQUEST_EDIT_CUT, reader->cuts[i][0], reader->cuts[i][1]);
}

/* ---- the reader ---- */

void
request_reader_init(struct request_reader *reader, const char *default_model)
{
    struct json_hooks hooks = {on_key, on_value, on_inner, reader};

    assert(job_model_is_valid(slice_of(default_model)));
    memset(reader, 0, sizeof(*reader));
    (void)text_copy(reader->default_model, sizeof(reader->default_model),
        slice_of(default_model));
    options_init(&reader->info.options);
    json_scan_init(&reader->scan, JSON_SCAN_OBJECT, JSON_DEPTH_DEFAULT, &hooks);
}

void
request_reader_clear(struct request_reader *reader)
{
    json_scan_clear(&reader->scan);
}

static int
refuse_json(struct request_reader *reader)
{
    char text[JSON_FAULT_TEXT_SIZE];

    json_fault_text(&reader->scan.fault, text);
    refuse(reader, "the body is not a valid JSON object: %s", text);
    return -1;
}

int
request_reader_feed(struct request_reader *reader, const void *data, size_t len)
{
    if (reader->failed)
        return -1;
    reader->info.body_bytes += len;
    if (json_scan_feed(&reader->scan, data, len) != 0)
        return refuse_json(reader);
    return reader->failed ? -1 : 0;
}

static bool
has_seen(const struct request_reader *reader, enum member member)
{
    return (reader->seen & 1u << member) != 0;
}

static void
check_complete(struct request_reader *reader)
{
    bool full = has_seen(reader, MEMBER_MESSAGES);

    if (full && reader->info.shorthand)
        refuse(reader, "message: cannot be given together with messages");
    else if (!full && !reader->info.shorthand)
        refuse(reader,
            "messages: is required (or message, the shorthand: a text)");
    else if (full && !reader->info.has_max_tokens)
        refuse(reader, "max_tokens: is required");
}

int
request_reader_finish(struct request_reader *reader)
{
    if (reader->failed)
        return -1;
    if (json_scan_finish(&reader->scan) != 0)
        return refuse_json(reader);
    check_complete(reader);
    if (reader->failed)
        return -1;
    if (!reader->info.has_model)
        memcpy(reader->info.model, reader->default_model,
            sizeof(reader->info.model));
    if (!reader->info.has_max_tokens)
        reader->info.max_tokens = REQUEST_SHORTHAND_MAX_TOKENS;
    make_recipe(reader);
    return 0;
}
