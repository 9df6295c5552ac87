#include "common/job/request.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* The recipe's text form and its application; request.c makes recipes. */

#define FORMAT "1"

/* Letters of the text form and what is inserted, by kind. */
static const struct {
    char letter;
    const char *text; /* NULL: depends */
} kinds[REQUEST_EDIT_KINDS] = {
    [REQUEST_EDIT_STREAM] = {'s', NULL},
    [REQUEST_EDIT_MODEL_INSERT] = {'d', NULL},
    [REQUEST_EDIT_TOKENS] = {'t', "\"max_tokens\":1024,"},
    [REQUEST_EDIT_CUT] = {'c', ""},
    [REQUEST_EDIT_MODEL_VALUE] = {'m', NULL},
    [REQUEST_EDIT_KEY] = {'k', "\"messages\""},
    [REQUEST_EDIT_OPEN] = {'o', "[{\"role\":\"user\",\"content\":"},
    [REQUEST_EDIT_CLOSE] = {'e', "}]"},
};

_Static_assert(REQUEST_SHORTHAND_MAX_TOKENS == 1024, "written out above");

/* ---- text form: "1 BODY_BYTES MODEL|- s1+0 c10+14 ..." ---- */

void
request_recipe_encode(const struct request_recipe *recipe, struct buffer *out)
{
    size_t i;

    buffer_append_text(out, FORMAT " ");
    buffer_append_u64(out, recipe->body_bytes);
    buffer_append_char(out, ' ');
    buffer_append_text(out, recipe->model[0] == '\0' ? "-" : recipe->model);
    for (i = 0; i < recipe->count; i++) {
        const struct request_edit *edit = &recipe->edits[i];

        buffer_append_char(out, ' ');
        buffer_append_char(out, kinds[edit->kind].letter);
        buffer_append_u64(out, edit->offset);
        buffer_append_char(out, '+');
        buffer_append_u64(out, edit->cut);
    }
}

static int
kind_of(char letter, enum request_edit_kind *kind)
{
    size_t i;

    for (i = 0; i < REQUEST_EDIT_KINDS; i++) {
        if (kinds[i].letter == letter) {
            *kind = (enum request_edit_kind)i;
            return 0;
        }
    }
    return -1;
}

static bool
edit_fits(const struct request_recipe *recipe, const struct request_edit *edit)
{
    const struct request_edit *last;

    if (edit->offset > recipe->body_bytes ||
        edit->cut > recipe->body_bytes - edit->offset)
        return false;
    if (recipe->count == 0)
        return true;
    last = &recipe->edits[recipe->count - 1];
    return edit->offset >= last->offset + last->cut;
}

static int
decode_edit(struct slice text, struct request_recipe *recipe)
{
    struct request_edit edit;
    struct slice rest = text;
    struct slice offset;

    if (text.len < 4 || recipe->count == REQUEST_EDITS_MAX ||
        kind_of(text.data[0], &edit.kind) != 0)
        return -1;
    rest = slice_make(text.data + 1, text.len - 1);
    offset = slice_split(&rest, '+');
    if (text_parse_u64(offset, INT64_MAX, &edit.offset) != 0 ||
        text_parse_u64(rest, INT64_MAX, &edit.cut) != 0 ||
        !edit_fits(recipe, &edit))
        return -1;
    if (edit.kind == REQUEST_EDIT_MODEL_INSERT && recipe->model[0] == '\0')
        return -1;
    recipe->edits[recipe->count++] = edit;
    return 0;
}

int
request_recipe_decode(struct slice text, struct request_recipe *recipe)
{
    struct slice model;

    memset(recipe, 0, sizeof(*recipe));
    if (text.len > 0 && text.data[text.len - 1] == ' ')
        return -1;
    if (!slice_equal_text(slice_split(&text, ' '), FORMAT) ||
        text_parse_u64(
            slice_split(&text, ' '), INT64_MAX, &recipe->body_bytes) != 0)
        return -1;
    model = slice_split(&text, ' ');
    if (!slice_equal_text(model, "-")) {
        if (!job_model_is_valid(model))
            return -1;
        (void)text_copy(recipe->model, sizeof(recipe->model), model);
    }
    while (text.len > 0)
        if (decode_edit(slice_split(&text, ' '), recipe) != 0)
            return -1;
    return 0;
}

/* ---- application ---- */

/* Whether the edit takes part; the others leave the body as it is. */
static bool
edit_applies(const struct request_edit *edit, const char *model, bool stream)
{
    if (edit->kind == REQUEST_EDIT_STREAM)
        return stream;
    if (edit->kind == REQUEST_EDIT_MODEL_VALUE)
        return model != NULL;
    return true;
}

static struct slice
edit_text(const struct request_edit *edit, struct slice model)
{
    static const char stream[] = "\"stream\":true,";
    static const size_t name_len = sizeof("\"model\":") - 1;

    switch (edit->kind) {
    case REQUEST_EDIT_STREAM: return slice_of(stream);
    case REQUEST_EDIT_MODEL_INSERT: return model;
    case REQUEST_EDIT_MODEL_VALUE:
        /* The value alone: without the name before and the comma behind. */
        return slice_make(model.data + name_len, model.len - name_len - 1);
    case REQUEST_EDIT_TOKENS:
    case REQUEST_EDIT_CUT:
    case REQUEST_EDIT_KEY:
    case REQUEST_EDIT_OPEN:
    case REQUEST_EDIT_CLOSE:
    case REQUEST_EDIT_KINDS: break;
    }
    return slice_of(kinds[edit->kind].text);
}

void
request_apply_init(struct request_apply *apply,
    const struct request_recipe *recipe, const char *model, bool stream,
    int (*sink)(void *arg, struct slice run), void *arg)
{
    const char *name = model != NULL ? model : recipe->model;

    assert(model == NULL || job_model_is_valid(slice_of(model)));
    memset(apply, 0, sizeof(*apply));
    apply->recipe = recipe;
    apply->model = model;
    apply->stream = stream;
    apply->sink = sink;
    apply->arg = arg;
    (void)snprintf(apply->model_text, sizeof(apply->model_text),
        "\"model\":\"%s\",", name);
}

static int
emit(struct request_apply *apply, struct slice run)
{
    return run.len == 0 ? 0 : apply->sink(apply->arg, run);
}

/* Every edit that begins where the application stands. */
static int
apply_edits_here(struct request_apply *apply)
{
    const struct request_recipe *recipe = apply->recipe;

    while (apply->next < recipe->count && apply->cut == 0 &&
        recipe->edits[apply->next].offset == apply->at) {
        const struct request_edit *edit = &recipe->edits[apply->next++];

        if (!edit_applies(edit, apply->model, apply->stream))
            continue;
        if (emit(apply, edit_text(edit, slice_of(apply->model_text))) != 0)
            return -1;
        apply->cut = edit->cut;
    }
    return 0;
}

/* How many bytes from here on share one fate. */
static size_t
run_length(const struct request_apply *apply, size_t available)
{
    const struct request_recipe *recipe = apply->recipe;
    uint64_t run = available;

    if (apply->cut > 0)
        return apply->cut < run ? (size_t)apply->cut : available;
    if (apply->next < recipe->count &&
        recipe->edits[apply->next].offset - apply->at < run)
        run = recipe->edits[apply->next].offset - apply->at;
    return (size_t)run;
}

int
request_apply_feed(struct request_apply *apply, struct slice part)
{
    if (part.len > apply->recipe->body_bytes - apply->at)
        return -1;
    while (part.len > 0) {
        size_t len;

        if (apply_edits_here(apply) != 0)
            return -1;
        len = run_length(apply, part.len);
        if (apply->cut > 0)
            apply->cut -= len;
        else if (emit(apply, slice_make(part.data, len)) != 0)
            return -1;
        apply->at += len;
        part = slice_make(part.data + len, part.len - len);
    }
    return 0;
}

int
request_apply_finish(struct request_apply *apply)
{
    if (apply->at != apply->recipe->body_bytes || apply->cut != 0)
        return -1;
    return apply_edits_here(apply);
}

uint64_t
request_apply_length(
    const struct request_recipe *recipe, const char *model, bool stream)
{
    uint64_t length = recipe->body_bytes;
    struct request_apply apply;
    size_t i;

    request_apply_init(&apply, recipe, model, stream, NULL, NULL);
    for (i = 0; i < recipe->count; i++) {
        const struct request_edit *edit = &recipe->edits[i];

        if (edit_applies(edit, model, stream))
            length = length - edit->cut +
                edit_text(edit, slice_of(apply.model_text)).len;
    }
    return length;
}
