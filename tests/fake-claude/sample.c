#include "tests/fake-claude/sample.h"

#include <string.h>

#define MAX_DEPTH 12
#define MAX_ITEMS 100

struct sample {
    struct buffer *out;
    const json_t *root;
    struct slice text;
};

static void append_value(
    const struct sample *sample, const json_t *schema, unsigned depth);

static void
append_json(struct buffer *out, const json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    buffer_append_text(out, text != NULL ? text : "null");
    memory_free(text);
}

static bool
is_required(const json_t *schema, const char *name)
{
    const json_t *list = json_object_get(schema, "required");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *item = json_string_value(json_array_get(list, i));
        if (item != NULL && strcmp(item, name) == 0)
            return true;
    }
    return list == NULL;
}

static void
append_object(const struct sample *sample, const json_t *schema, unsigned depth)
{
    json_t *properties = json_object_get(schema, "properties");
    bool first = true;
    buffer_append_char(sample->out, '{');
    for (void *at = json_object_iter(properties); at != NULL;
         at = json_object_iter_next(properties, at)) {
        const char *name = json_object_iter_key(at);
        if (!is_required(schema, name))
            continue;
        if (!first)
            buffer_append_char(sample->out, ',');
        first = false;
        buffer_append_json(sample->out, slice_of(name));
        buffer_append_char(sample->out, ':');
        append_value(sample, json_object_iter_value(at), depth + 1);
    }
    buffer_append_char(sample->out, '}');
}

static void
append_array(const struct sample *sample, const json_t *schema, unsigned depth)
{
    const json_t *items = json_object_get(schema, "items");
    double least = json_number_value(json_object_get(schema, "minItems"));
    unsigned count = items != NULL ? 1 : 0;
    if (least > 1 && items != NULL)
        count = least < MAX_ITEMS ? (unsigned)least : MAX_ITEMS;
    buffer_append_char(sample->out, '[');
    for (unsigned i = 0; i < count; i++) {
        if (i > 0)
            buffer_append_char(sample->out, ',');
        append_value(sample, items, depth + 1);
    }
    buffer_append_char(sample->out, ']');
}

static void
append_typed(const struct sample *sample, const json_t *schema,
    const char *type, unsigned depth)
{
    const json_t *least = json_object_get(schema, "minimum");
    if (strcmp(type, "object") == 0)
        append_object(sample, schema, depth);
    else if (strcmp(type, "array") == 0)
        append_array(sample, schema, depth);
    else if (strcmp(type, "string") == 0)
        buffer_append_json(sample->out, sample->text);
    else if (strcmp(type, "boolean") == 0)
        buffer_append_text(sample->out, "true");
    else if (strcmp(type, "integer") != 0 && strcmp(type, "number") != 0)
        buffer_append_text(sample->out, "null");
    else
        buffer_append_i64(sample->out, (int64_t)json_number_value(least));
}

/* The first alternative of a combining keyword, or NULL. */
static const json_t *
alternative(const json_t *schema)
{
    static const char *const keys[] = {"anyOf", "oneOf", "allOf"};
    for (size_t i = 0; i < 3; i++) {
        const json_t *first =
            json_array_get(json_object_get(schema, keys[i]), 0);
        if (first != NULL)
            return first;
    }
    return NULL;
}

/* "#/$defs/Name" within the root. */
static const json_t *
referenced(const json_t *root, const char *ref)
{
    struct slice rest = slice_of(ref);
    if (!slice_starts_with(rest, "#/"))
        return NULL;
    (void)slice_split(&rest, '/');
    while (root != NULL && rest.len > 0) {
        char key[128];
        if (!text_copy(key, sizeof(key), slice_split(&rest, '/')))
            return NULL;
        root = json_object_get(root, key);
    }
    return root;
}

static const char *
type_of(const json_t *schema)
{
    const json_t *type = json_object_get(schema, "type");
    if (json_is_array(type))
        type = json_array_get(type, 0);
    if (json_is_string(type))
        return json_string_value(type);
    return json_object_get(schema, "properties") != NULL ? "object" : "null";
}

static void
append_value(const struct sample *sample, const json_t *schema, unsigned depth)
{
    const json_t *fixed = json_object_get(schema, "const");
    const char *ref = json_string_value(json_object_get(schema, "$ref"));
    if (fixed == NULL)
        fixed = json_array_get(json_object_get(schema, "enum"), 0);
    if (depth > MAX_DEPTH)
        buffer_append_text(sample->out, "null");
    else if (fixed != NULL)
        append_json(sample->out, fixed);
    else if (ref != NULL)
        append_value(sample, referenced(sample->root, ref), depth + 1);
    else if (alternative(schema) != NULL)
        append_value(sample, alternative(schema), depth + 1);
    else
        append_typed(sample, schema, type_of(schema), depth);
}

void
sample_append(struct buffer *out, const json_t *schema, struct slice text)
{
    struct sample sample = {.out = out, .root = schema, .text = text};
    append_value(&sample, schema, 0);
}
