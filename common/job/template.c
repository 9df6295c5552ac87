#include "common/job/template.h"

#include <inttypes.h>
#include <string.h>

#define NONE SIZE_MAX
/* Names that an error message lists. */
#define LISTED_MAX 24

/* A run of the text, or a field. */
struct piece {
    size_t field; /* or NONE */
    size_t start; /* in literals */
    size_t len;
};

struct field {
    char *name;
    unsigned long line; /* of its first use */
    size_t column;
};

struct template
{
    struct buffer literals;
    struct piece *pieces;
    size_t count;
    struct field *fields;
    size_t field_count;
};

/* --- reading --- */

struct reader {
    struct template *template;
    struct slice rest;
    unsigned long line;
    struct buffer *error;
};

static struct piece *
add_piece(struct template *template)
{
    template->pieces = memory_resize(
        template->pieces, (template->count + 1) * sizeof(*template->pieces));
    return &template->pieces[template->count++];
}

static void
add_literal(struct template *template, const char *text, size_t len)
{
    struct piece *last =
        template->count > 0 ? &template->pieces[template->count - 1] : NULL;
    if (last == NULL || last->field != NONE) {
        last = add_piece(template);
        *last = (struct piece){NONE, template->literals.len, 0};
    }
    buffer_append(&template->literals, text, len);
    last->len += len;
}

static void
add_field(struct template *template, struct slice name, unsigned long line)
{
    size_t at = 0;
    while (at < template->field_count &&
        !slice_equal_text(name, template->fields[at].name))
        at++;
    if (at == template->field_count) {
        template->fields = memory_resize(
            template->fields, (at + 1) * sizeof(*template->fields));
        template->fields[at] =
            (struct field){memory_dup_bytes(name.data, name.len), line, NONE};
        template->field_count++;
    }
    *add_piece(template) = (struct piece){at, 0, 0};
}

static void
skip(struct reader *reader, size_t len)
{
    for (size_t i = 0; i < len; i++)
        reader->line += reader->rest.data[i] == '\n';
    reader->rest = slice_make(reader->rest.data + len, reader->rest.len - len);
}

/* rest begins with {{ and is not a literal one. */
static int
read_field(struct reader *reader)
{
    struct slice rest = reader->rest;
    size_t end = 2;
    while (end < rest.len && memchr("{}\r\n", rest.data[end], 4) == NULL)
        end++;
    struct slice name = slice_trim(slice_make(rest.data + 2, end - 2));
    if (end + 1 >= rest.len || memcmp(rest.data + end, "}}", 2) != 0) {
        buffer_printf(reader->error,
            "line %lu: {{ is not closed by }}; write {{{{ for {{ itself",
            reader->line);
        return -1;
    }
    if (name.len == 0 || name.len > TEMPLATE_NAME_MAX ||
        memchr(name.data, '\0', name.len) != NULL) {
        buffer_printf(reader->error,
            "line %lu: a field's name has 1 to %d characters; write {{{{ "
            "for {{ itself",
            reader->line, TEMPLATE_NAME_MAX);
        return -1;
    }
    add_field(reader->template, name, reader->line);
    skip(reader, end + 2);
    return 0;
}

static int
read_piece(struct reader *reader)
{
    struct slice rest = reader->rest;
    const char *brace = memmem(rest.data, rest.len, "{{", 2);
    size_t plain = brace != NULL ? (size_t)(brace - rest.data) : rest.len;
    if (plain > 0) {
        add_literal(reader->template, rest.data, plain);
        skip(reader, plain);
        return 0;
    }
    if (slice_starts_with(rest, "{{{{")) {
        add_literal(reader->template, "{{", 2);
        skip(reader, 4);
        return 0;
    }
    if (slice_starts_with(rest, "{{{")) {
        add_literal(reader->template, "{", 1);
        skip(reader, 1);
        return 0;
    }
    return read_field(reader);
}

static struct slice
without_ends(struct slice text)
{
    if (slice_starts_with(text, "\xef\xbb\xbf"))
        text = slice_make(text.data + 3, text.len - 3);
    if (text.len > 0 && text.data[text.len - 1] == '\n') {
        text.len--;
        if (text.len > 0 && text.data[text.len - 1] == '\r')
            text.len--;
    }
    return text;
}

/* The line on which the bytes stop being UTF-8. */
static unsigned long
bad_line(struct slice text)
{
    unsigned long line = 1;
    size_t step;
    while ((step = text_utf8_step(text)) > 0) {
        line += text.data[0] == '\n';
        text = slice_make(text.data + step, text.len - step);
    }
    return line;
}

struct template *
template_new(struct slice text, struct buffer *error)
{
    struct template *template = memory_zalloc(1, sizeof(*template));
    struct reader reader = {template, without_ends(text), 1, error};
    if (!text_is_utf8(text)) {
        buffer_printf(error,
            "line %lu: not UTF-8 text; convert it, say with iconv -f LATIN1 "
            "-t UTF-8",
            bad_line(text));
        goto fail;
    }
    if (slice_trim(reader.rest).len == 0) {
        buffer_append_text(error, "there is nothing in it");
        goto fail;
    }
    while (reader.rest.len > 0)
        if (read_piece(&reader) != 0)
            goto fail;
    return template;
fail:
    template_free(template);
    return NULL;
}

void
template_free(struct template *template)
{
    if (template == NULL)
        return;
    for (size_t i = 0; i < template->field_count; i++)
        memory_free(template->fields[i].name);
    memory_free(template->fields);
    memory_free(template->pieces);
    buffer_clear(&template->literals);
    memory_free(template);
}

size_t
template_field_count(const struct template *template)
{
    return template->field_count;
}

struct slice
template_field_name(const struct template *template, size_t field)
{
    return slice_of(template->fields[field].name);
}

/* --- binding --- */

static size_t
suggest(const char *name, const struct slice *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (slice_equal_nocase(slice_trim(names[i]), name))
            return i;
    for (size_t i = 0; i < count; i++) {
        char *one = memory_dup_bytes(names[i].data, names[i].len);
        const char *list[] = {one, NULL};
        bool near = text_suggest(slice_of(name), list) != NULL;
        memory_free(one);
        if (near)
            return i;
    }
    return NONE;
}

static void
refuse_unknown(const struct field *field, const struct slice *names,
    size_t count, struct buffer *error)
{
    size_t near = suggest(field->name, names, count);
    buffer_printf(
        error, "line %lu: there is no field {{%s}}", field->line, field->name);
    if (near != NONE)
        buffer_printf(error, "; did you mean {{%.*s}}?", (int)names[near].len,
            names[near].data);
    else
        buffer_append_char(error, '.');
    buffer_append_text(
        error, count > 0 ? " The fields are: " : " There are none");
    for (size_t i = 0; i < count && i < LISTED_MAX; i++)
        buffer_printf(error, "%s%.*s", i > 0 ? ", " : "", (int)names[i].len,
            names[i].data);
    if (count > LISTED_MAX)
        buffer_printf(error, " and %zu more", count - LISTED_MAX);
}

int
template_bind(struct template *template, const struct slice *names,
    size_t count, struct buffer *error)
{
    for (size_t f = 0; f < template->field_count; f++) {
        struct field *field = &template->fields[f];
        field->column = NONE;
        for (size_t i = 0; i < count; i++) {
            if (!slice_equal_text(names[i], field->name))
                continue;
            if (field->column != NONE) {
                buffer_printf(error,
                    "line %lu: {{%s}} is the name of two columns", field->line,
                    field->name);
                return -1;
            }
            field->column = i;
        }
        if (field->column == NONE) {
            refuse_unknown(field, names, count, error);
            return -1;
        }
    }
    return 0;
}

size_t
template_field_column(const struct template *template, size_t field)
{
    return template->fields[field].column;
}

/* --- rendering --- */

static struct slice
literal(const struct template *template, const struct piece *piece)
{
    return slice_make(template->literals.data + piece->start, piece->len);
}

struct slice
template_prefix(const struct template *template)
{
    if (template->count == 0 || template->pieces[0].field != NONE)
        return SLICE_NULL;
    return literal(template, &template->pieces[0]);
}

static bool
slice_is_blank(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (memchr(" \t\r\n\f\v", text.data[i], 6) == NULL)
            return false;
    return true;
}

bool
template_is_blank(const struct template *template, const struct slice *values)
{
    for (size_t i = 0; i < template->field_count; i++)
        if (!slice_is_blank(values[template->fields[i].column]))
            return false;
    return template->field_count > 0;
}

static void
render_from(const struct template *template, size_t from,
    const struct slice *values, struct buffer *out)
{
    for (size_t i = from; i < template->count; i++) {
        const struct piece *piece = &template->pieces[i];
        buffer_append_slice(out,
            piece->field == NONE
                ? literal(template, piece)
                : values[template->fields[piece->field].column]);
    }
}

void
template_render(const struct template *template, const struct slice *values,
    struct buffer *out)
{
    render_from(template, 0, values, out);
}

/* --- the request --- */

/* Twelfths of a token by the first byte of a character. */
static unsigned
twelfths(unsigned char lead)
{
    if (lead < 0x80)
        return 3;
    if (lead < 0xc0)
        return 0;
    if (lead < 0xe0)
        return 6;
    return lead < 0xf0 ? 8 : 18;
}

uint64_t
template_tokens(struct slice text)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < text.len; i++)
        sum += twelfths((unsigned char)text.data[i]);
    return (sum + 11) / 12;
}

static bool
is_long(uint64_t tokens, uint64_t min_tokens, double factor)
{
    return (double)tokens * (factor > 0 ? factor : 1) >= (double)min_tokens;
}

void
template_request_plan(
    struct template_request *request, uint64_t min_tokens, double factor)
{
    const struct template *system = request->system;
    bool system_varies = system != NULL && system->field_count > 0;
    struct slice shared = system != NULL ? template_prefix(system) : SLICE_NULL;
    struct slice prefix = template_prefix(request->prompt);
    uint64_t tokens = template_tokens(shared);
    request->cache_prompt = false;
    request->cache_system = false;
    if (min_tokens == 0)
        return;
    if (!system_varies && request->prompt->field_count > 0 &&
        !slice_is_blank(prefix) &&
        is_long(tokens + template_tokens(prefix), min_tokens, factor))
        request->cache_prompt = true;
    else if (!slice_is_blank(shared) && is_long(tokens, min_tokens, factor))
        request->cache_system = true;
}

/* The text as a JSON string, or with `cache` as blocks: the shared part,
 * marked, and the rest. */
static void
append_text(const struct template *template, const struct slice *values,
    bool cache, struct buffer *out)
{
    struct buffer text = {0};
    if (cache) {
        buffer_append_text(out, "[{\"type\":\"text\",\"text\":");
        buffer_append_json(out, template_prefix(template));
        buffer_append_text(out, ",\"cache_control\":{\"type\":\"ephemeral\"}}");
    }
    render_from(template, cache ? 1 : 0, values, &text);
    if (!cache) {
        buffer_append_json(out, buffer_slice(&text));
    } else {
        if (!slice_is_blank(buffer_slice(&text))) {
            buffer_append_text(out, ",{\"type\":\"text\",\"text\":");
            buffer_append_json(out, buffer_slice(&text));
            buffer_append_char(out, '}');
        }
        buffer_append_char(out, ']');
    }
    buffer_clear(&text);
}

void
template_request_render(const struct template_request *request,
    const struct slice *values, struct buffer *out)
{
    buffer_append_char(out, '{');
    if (request->model != NULL) {
        buffer_append_text(out, "\"model\":");
        buffer_append_json(out, slice_of(request->model));
        buffer_append_char(out, ',');
    }
    buffer_printf(out, "\"max_tokens\":%" PRIu64 ",", request->max_tokens);
    if (request->system != NULL) {
        buffer_append_text(out, "\"system\":");
        append_text(request->system, values, request->cache_system, out);
        buffer_append_char(out, ',');
    }
    buffer_append_text(out, "\"messages\":[{\"role\":\"user\",\"content\":");
    append_text(request->prompt, values, request->cache_prompt, out);
    buffer_append_text(out, "}]}");
}
