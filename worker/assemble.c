#include "worker/assemble.h"

#include <assert.h>
#include <string.h>

#include "common/net/json_scan.h"
#include "worker/assemble_block.h"
#include "worker/sse.h"

/* Claude's are below 1 KiB and have a dozen members. Merging looks at the
 * one for each member of the other. */
#define USAGE_MAX ((size_t)16 * 1024)
#define USAGE_MEMBERS_MAX 64
/* What a content block costs beside its bytes. */
#define BLOCK_COST ((size_t)512)

/* Members of the Message that message_delta sets. */
enum late { STOP_REASON, STOP_SEQUENCE, STOP_DETAILS, CONTAINER, LATES };

static const char *const late_names[LATES] = {
    "stop_reason", "stop_sequence", "stop_details", "container"};

struct assembler {
    struct sse_parser sse;
    enum assemble_status status;
    const char *reason;
    size_t limit;
    size_t held; /* bytes of what is kept */
    bool has_unknown;
    struct buffer start; /* the message of message_start */
    struct buffer usage;
    struct buffer late[LATES];
    struct assemble_block *blocks;
    size_t block_count;
    size_t block_cap;
    struct answer_error error;
};

/* The members of an event that any event type uses. */
enum part { TYPE, MESSAGE, INDEX, CONTENT_BLOCK, DELTA, USAGE, PARTS };

static const char *const part_names[PARTS] = {
    "type", "message", "index", "content_block", "delta", "usage"};

typedef int event_reader(
    struct assembler *assembler, const struct json_item *parts);

static int
end_with(struct assembler *a, enum assemble_status status)
{
    a->status = status;
    return -1;
}

static int
garbage(struct assembler *a, const char *reason)
{
    a->reason = reason;
    return end_with(a, ASSEMBLE_GARBAGE);
}

/* ---- usage: later values win, field by field, unless they are null -- */

struct merge {
    struct slice newer;
    struct buffer *out;
    bool adding; /* what only the newer one has */
    struct slice older;
    size_t count;
};

static void
put_member(struct buffer *out, struct slice key_raw, struct slice value)
{
    if (out->data[out->len - 1] != '{')
        buffer_append_char(out, ',');
    buffer_append_slice(out, key_raw);
    buffer_append_char(out, ':');
    buffer_append_slice(out, value);
}

static void
merge_member(void *arg, const struct json_member *member, struct slice key_raw,
    struct slice value)
{
    struct merge *merge = arg;
    char name[JSON_KEY_MAX + 1];
    const char *names[] = {name};
    struct json_item other = {.kind = JSON_KIND_NONE};

    if (++merge->count > 2 * USAGE_MEMBERS_MAX)
        return;
    if (!member->key_too_long && text_copy(name, sizeof(name), member->key) &&
        json_object_pick(
            merge->adding ? merge->older : merge->newer, names, &other, 1) != 0)
        return;
    if (merge->adding) {
        if (other.kind == JSON_KIND_NONE && member->kind != JSON_KIND_NULL)
            put_member(merge->out, key_raw, value);
        return;
    }
    if (other.kind == JSON_KIND_NONE || other.kind == JSON_KIND_NULL)
        put_member(merge->out, key_raw, value);
    else
        put_member(merge->out, key_raw, other.raw);
}

static int
merge_usage(struct assembler *a, struct slice newer)
{
    struct buffer out = {0};
    struct merge merge = {newer, &out, false, buffer_slice(&a->usage), 0};
    int result;

    if (a->usage.len + newer.len > USAGE_MAX)
        return garbage(a, "usage is too large");
    buffer_append_char(&out, '{');
    result = json_object_each(merge.older, merge_member, &merge);
    merge.adding = true;
    if (result == 0)
        result = json_object_each(newer, merge_member, &merge);
    assert(result == 0);
    (void)result;
    buffer_append_char(&out, '}');
    buffer_clear(&a->usage);
    a->usage = out;
    if (merge.count > 2 * USAGE_MEMBERS_MAX)
        return garbage(a, "usage is too large");
    return 0;
}

/* ---- events --------------------------------------------------------- */

static int
on_message_start(struct assembler *a, const struct json_item *parts)
{
    static const char *const names[] = {"usage", "content"};
    struct json_item items[2];

    if (a->start.len > 0)
        return garbage(a, "a second message_start");
    if (parts[MESSAGE].kind != JSON_KIND_OBJECT ||
        json_object_pick(parts[MESSAGE].raw, names, items, 2) != 0)
        return garbage(a, "message_start without a message");
    if (items[1].kind == JSON_KIND_ARRAY && items[1].elements != 0)
        return garbage(a, "message_start with content");
    buffer_append_slice(&a->start, parts[MESSAGE].raw);
    if (items[0].kind == JSON_KIND_OBJECT)
        buffer_append_slice(&a->usage, items[0].raw);
    else
        buffer_append_text(&a->usage, "{}");
    return 0;
}

static struct assemble_block *
add_block(struct assembler *a)
{
    struct assemble_block *block;

    if (a->block_count == a->block_cap) {
        a->block_cap = a->block_cap == 0 ? 4 : a->block_cap * 2;
        a->blocks = memory_resize(a->blocks, a->block_cap * sizeof(*a->blocks));
    }
    block = &a->blocks[a->block_count++];
    memset(block, 0, sizeof(*block));
    return block;
}

static int
on_block_start(struct assembler *a, const struct json_item *parts)
{
    uint64_t index;

    if (parts[INDEX].kind != JSON_KIND_NUMBER ||
        text_parse_u64(parts[INDEX].raw, UINT32_MAX, &index) != 0 ||
        index != a->block_count)
        return garbage(a, "content blocks are not in order");
    if (parts[CONTENT_BLOCK].kind != JSON_KIND_OBJECT)
        return garbage(a, "content_block_start without a block");
    a->held += BLOCK_COST;
    assemble_block_start(add_block(a), parts[CONTENT_BLOCK].raw);
    return 0;
}

static int
on_block_delta(struct assembler *a, const struct json_item *parts)
{
    uint64_t index;

    if (parts[INDEX].kind != JSON_KIND_NUMBER ||
        text_parse_u64(parts[INDEX].raw, UINT32_MAX, &index) != 0 ||
        index >= a->block_count)
        return garbage(a, "a delta of a block that was not begun");
    if (parts[DELTA].kind != JSON_KIND_OBJECT)
        return garbage(a, "content_block_delta without a delta");
    if (assemble_block_delta(&a->blocks[index], parts[DELTA].raw) != 0)
        a->has_unknown = true;
    return 0;
}

static int
on_message_delta(struct assembler *a, const struct json_item *parts)
{
    struct json_item items[LATES];
    size_t i;

    if (parts[DELTA].kind == JSON_KIND_OBJECT &&
        json_object_pick(parts[DELTA].raw, late_names, items, LATES) == 0) {
        for (i = 0; i < LATES; i++) {
            if (items[i].kind == JSON_KIND_NONE)
                continue;
            buffer_reset(&a->late[i]);
            buffer_append_slice(&a->late[i], items[i].raw);
        }
    }
    if (parts[USAGE].kind == JSON_KIND_OBJECT)
        return merge_usage(a, parts[USAGE].raw);
    return 0;
}

static int
on_message_stop(struct assembler *a, const struct json_item *parts)
{
    size_t i;

    (void)parts;
    for (i = 0; i < a->block_count; i++)
        if (!assemble_block_is_whole(&a->blocks[i]))
            a->has_unknown = true;
    return end_with(a, ASSEMBLE_DONE);
}

static const struct {
    const char *name;
    event_reader *read; /* NULL: nothing to do */
    bool before_start;
} events[] = {
    {"message_start", on_message_start, true},
    {"content_block_start", on_block_start, false},
    {"content_block_delta", on_block_delta, false},
    {"content_block_stop", NULL, false},
    {"message_delta", on_message_delta, false},
    {"message_stop", on_message_stop, false},
};

static int
read_known(struct assembler *a, const char *type, const struct json_item *parts,
    size_t len)
{
    size_t i;

    for (i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
        if (strcmp(type, events[i].name) != 0)
            continue;
        if (!events[i].before_start && a->start.len == 0)
            return garbage(a, "an event before message_start");
        a->held += len;
        if (a->held > a->limit)
            return end_with(a, ASSEMBLE_TOO_LARGE);
        return events[i].read == NULL ? 0 : events[i].read(a, parts);
    }
    return 0;
}

static bool
is_known(struct slice name)
{
    size_t i;

    for (i = 0; i < sizeof(events) / sizeof(events[0]); i++)
        if (slice_equal_text(name, events[i].name))
            return true;
    return false;
}

static int
on_error(struct assembler *a, struct slice data)
{
    if (answer_error_parse(data, &a->error) != 0)
        (void)text_copy(
            a->error.type, sizeof(a->error.type), slice_of("api_error"));
    return end_with(a, ASSEMBLE_ERROR);
}

/* The type inside the data decides; the event's name equals it. */
static int
on_event(void *arg, struct slice name, struct slice data)
{
    struct assembler *a = arg;
    struct json_item parts[PARTS];
    char type[32];

    if (slice_equal_text(name, "ping"))
        return 0;
    if (slice_equal_text(name, "error"))
        return on_error(a, data);
    if (json_object_pick(data, part_names, parts, PARTS) != 0)
        return is_known(name) ? garbage(a, "an event is not JSON") : 0;
    if (parts[TYPE].kind != JSON_KIND_STRING)
        return is_known(name) ? garbage(a, "an event has no type") : 0;
    if (json_unescape_text(parts[TYPE].raw, type, sizeof(type)) < 0)
        return 0;
    if (strcmp(type, "error") == 0)
        return on_error(a, data);
    return read_known(a, type, parts, data.len);
}

/* ---- the Message ---------------------------------------------------- */

struct render {
    const struct assembler *a;
    struct buffer *out;
    bool content_done;
    bool usage_done;
    bool late_done[LATES];
};

static void
put_content(const struct assembler *a, struct buffer *out)
{
    size_t i;

    buffer_append_char(out, '[');
    for (i = 0; i < a->block_count; i++) {
        if (i > 0)
            buffer_append_char(out, ',');
        assemble_block_render(&a->blocks[i], out);
    }
    buffer_append_char(out, ']');
}

static void
render_name(struct render *render, const char *name)
{
    if (render->out->data[render->out->len - 1] != '{')
        buffer_append_char(render->out, ',');
    buffer_append_json(render->out, slice_of(name));
    buffer_append_char(render->out, ':');
}

static void
render_content(struct render *render)
{
    if (render->content_done)
        return;
    render->content_done = true;
    render_name(render, "content");
    put_content(render->a, render->out);
}

static void
render_usage(struct render *render)
{
    if (render->usage_done)
        return;
    render->usage_done = true;
    render_name(render, "usage");
    buffer_append_slice(render->out, buffer_slice(&render->a->usage));
}

static void
render_late(struct render *render, size_t i)
{
    if (render->late_done[i] || render->a->late[i].len == 0)
        return;
    render->late_done[i] = true;
    render_name(render, late_names[i]);
    buffer_append_slice(render->out, buffer_slice(&render->a->late[i]));
}

static int
find_late(const struct assembler *a, struct slice key)
{
    int i;

    for (i = 0; i < LATES; i++)
        if (a->late[i].len > 0 && slice_equal_text(key, late_names[i]))
            return i;
    return -1;
}

static void
render_member(void *arg, const struct json_member *member, struct slice key_raw,
    struct slice value)
{
    struct render *render = arg;
    int late = find_late(render->a, member->key);

    if (slice_equal_text(member->key, "content"))
        render_content(render);
    else if (slice_equal_text(member->key, "usage"))
        render_usage(render);
    else if (late >= 0)
        render_late(render, (size_t)late);
    else
        put_member(render->out, key_raw, value);
}

void
assembler_message(const struct assembler *a, struct buffer *out)
{
    struct render render = {.a = a, .out = out};
    int result;
    size_t i;

    assert(a->status == ASSEMBLE_DONE);
    buffer_append_char(out, '{');
    result = json_object_each(buffer_slice(&a->start), render_member, &render);
    assert(result == 0);
    (void)result;
    render_content(&render);
    for (i = 0; i < LATES; i++)
        render_late(&render, i);
    render_usage(&render);
    buffer_append_char(out, '}');
}

/* ---- life ----------------------------------------------------------- */

struct assembler *
assembler_new(size_t limit)
{
    struct assembler *a = memory_zalloc(1, sizeof(*a));

    a->limit = limit;
    a->reason = "";
    sse_init(&a->sse, on_event, a);
    if (a->sse.event_max > limit)
        a->sse.event_max = limit;
    if (a->sse.line_max > limit)
        a->sse.line_max = limit;
    return a;
}

void
assembler_free(struct assembler *a)
{
    size_t i;

    if (a == NULL)
        return;
    for (i = 0; i < a->block_count; i++)
        assemble_block_clear(&a->blocks[i]);
    memory_free(a->blocks);
    for (i = 0; i < LATES; i++)
        buffer_clear(&a->late[i]);
    buffer_clear(&a->usage);
    buffer_clear(&a->start);
    sse_clear(&a->sse);
    memory_free(a);
}

enum assemble_status
assembler_feed(struct assembler *a, const void *data, size_t len)
{
    if (a->status == ASSEMBLE_MORE && sse_feed(&a->sse, data, len) != 0 &&
        a->status == ASSEMBLE_MORE)
        a->status = ASSEMBLE_TOO_LARGE;
    return a->status;
}

enum assemble_status
assembler_status(const struct assembler *a)
{
    return a->status;
}

bool
assembler_has_started(const struct assembler *a)
{
    return a->start.len > 0;
}

bool
assembler_has_content(const struct assembler *a)
{
    return a->block_count > 0 &&
        (a->status == ASSEMBLE_MORE || a->status == ASSEMBLE_DONE);
}

bool
assembler_has_unknown(const struct assembler *a)
{
    return a->has_unknown;
}

const struct answer_error *
assembler_error(const struct assembler *a)
{
    return &a->error;
}

const char *
assembler_reason(const struct assembler *a)
{
    return a->reason;
}
