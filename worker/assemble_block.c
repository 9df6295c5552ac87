#include "worker/assemble_block.h"

#include <assert.h>
#include <string.h>

#include "common/net/json_scan.h"

/* Leaves room for the levels around an input. */
#define INPUT_DEPTH (JSON_DEPTH_MAX - 8)

void
assemble_block_start(struct assemble_block *block, struct slice raw)
{
    buffer_append_slice(&block->start, raw);
}

void
assemble_block_clear(struct assemble_block *block)
{
    buffer_clear(&block->start);
    buffer_clear(&block->text);
    buffer_clear(&block->input);
    buffer_clear(&block->signature);
    buffer_clear(&block->citations);
}

/* ---- deltas --------------------------------------------------------- */

/* A string or an array as written, without its first and last byte. */
static struct slice
inside(struct slice raw)
{
    return slice_make(raw.data + 1, raw.len - 2);
}

static int
add_text(struct assemble_block *block, const char *name,
    const struct json_item *item)
{
    if (item->kind != JSON_KIND_STRING)
        return -1;
    if (block->text_name != NULL && strcmp(block->text_name, name) != 0)
        return -1;
    block->text_name = name;
    buffer_append_slice(&block->text, inside(item->raw));
    return 0;
}

static int
add_input(struct assemble_block *block, const struct json_item *item)
{
    if (item->kind != JSON_KIND_STRING)
        return -1;
    json_unescape_append(&block->input, item->raw);
    return 0;
}

static int
set_signature(struct assemble_block *block, const struct json_item *item)
{
    if (item->kind != JSON_KIND_STRING)
        return -1;
    buffer_reset(&block->signature);
    buffer_append_slice(&block->signature, item->raw);
    return 0;
}

static int
add_citation(struct assemble_block *block, const struct json_item *item)
{
    if (item->kind != JSON_KIND_OBJECT)
        return -1;
    if (block->citations.len > 0)
        buffer_append_char(&block->citations, ',');
    buffer_append_slice(&block->citations, item->raw);
    return 0;
}

int
assemble_block_delta(struct assemble_block *block, struct slice raw)
{
    enum { TYPE, TEXT, INPUT, THINKING, SIGNATURE, CITATION, NAMES };
    static const char *const names[NAMES] = {
        "type", "text", "partial_json", "thinking", "signature", "citation"};
    struct json_item items[NAMES];
    char type[32];

    if (json_object_pick(raw, names, items, NAMES) != 0 ||
        items[TYPE].kind != JSON_KIND_STRING ||
        json_unescape_text(items[TYPE].raw, type, sizeof(type)) < 0)
        return -1;
    if (strcmp(type, "text_delta") == 0)
        return add_text(block, "text", &items[TEXT]);
    if (strcmp(type, "thinking_delta") == 0)
        return add_text(block, "thinking", &items[THINKING]);
    if (strcmp(type, "input_json_delta") == 0)
        return add_input(block, &items[INPUT]);
    if (strcmp(type, "signature_delta") == 0)
        return set_signature(block, &items[SIGNATURE]);
    if (strcmp(type, "citations_delta") == 0)
        return add_citation(block, &items[CITATION]);
    return -1;
}

/* ---- the block ------------------------------------------------------ */

bool
assemble_block_is_whole(const struct assemble_block *block)
{
    return block->input.len == 0 ||
        json_scan_all(block->input.data, block->input.len, INPUT_DEPTH, NULL) ==
        0;
}

enum field {
    FIELD_TEXT,
    FIELD_INPUT,
    FIELD_SIGNATURE,
    FIELD_CITATIONS,
    FIELDS
};

struct render {
    const struct assemble_block *block;
    struct buffer *out;
    const char *names[FIELDS]; /* NULL: nothing was added to it */
};

/* What the deltas made of a field; `begun` is what the block began with. */
static void
put_field(struct render *render, enum field field, struct slice begun,
    enum json_kind kind, unsigned elements)
{
    const struct assemble_block *block = render->block;
    struct buffer *out = render->out;

    switch (field) {
    case FIELD_TEXT:
        buffer_append_char(out, '"');
        if (kind == JSON_KIND_STRING)
            buffer_append_slice(out, inside(begun));
        buffer_append_slice(out, buffer_slice(&block->text));
        buffer_append_char(out, '"');
        break;
    case FIELD_INPUT:
        if (assemble_block_is_whole(block)) {
            buffer_append_slice(out, buffer_slice(&block->input));
            break;
        }
        buffer_append_text(out, "{\"INVALID_JSON\":");
        buffer_append_json(out, buffer_slice(&block->input));
        buffer_append_char(out, '}');
        break;
    case FIELD_SIGNATURE:
        buffer_append_slice(out, buffer_slice(&block->signature));
        break;
    case FIELD_CITATIONS:
        buffer_append_char(out, '[');
        if (kind == JSON_KIND_ARRAY && elements > 0) {
            buffer_append_slice(out, inside(begun));
            buffer_append_char(out, ',');
        }
        buffer_append_slice(out, buffer_slice(&block->citations));
        buffer_append_char(out, ']');
        break;
    case FIELDS: break;
    }
}

static void
put_comma(struct buffer *out)
{
    if (out->data[out->len - 1] != '{')
        buffer_append_char(out, ',');
}

static void
render_member(void *arg, const struct json_member *member, struct slice key_raw,
    struct slice value)
{
    struct render *render = arg;
    size_t i;

    put_comma(render->out);
    buffer_append_slice(render->out, key_raw);
    buffer_append_char(render->out, ':');
    for (i = 0; i < FIELDS; i++) {
        if (render->names[i] == NULL ||
            !slice_equal_text(member->key, render->names[i]))
            continue;
        put_field(render, (enum field)i, value, member->kind, member->elements);
        render->names[i] = NULL;
        return;
    }
    buffer_append_slice(render->out, value);
}

void
assemble_block_render(const struct assemble_block *block, struct buffer *out)
{
    struct render render = {.block = block, .out = out};
    int result;
    size_t i;

    render.names[FIELD_TEXT] = block->text_name;
    render.names[FIELD_INPUT] = block->input.len > 0 ? "input" : NULL;
    render.names[FIELD_SIGNATURE] =
        block->signature.len > 0 ? "signature" : NULL;
    render.names[FIELD_CITATIONS] =
        block->citations.len > 0 ? "citations" : NULL;
    buffer_append_char(out, '{');
    result =
        json_object_each(buffer_slice(&block->start), render_member, &render);
    assert(result == 0);
    (void)result;
    for (i = 0; i < FIELDS; i++) {
        if (render.names[i] == NULL)
            continue;
        put_comma(out);
        buffer_append_json(out, slice_of(render.names[i]));
        buffer_append_char(out, ':');
        put_field(&render, (enum field)i, SLICE_NULL, JSON_KIND_NONE, 0);
    }
    buffer_append_char(out, '}');
}
