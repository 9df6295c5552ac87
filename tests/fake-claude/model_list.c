#include "tests/fake-claude/model_list.h"

#include "common/net/http_parse.h"

/* The API says "the epoch" where a release date is unknown. */
#define UNKNOWN_DATE "1970-01-01T00:00:00Z"
#define DEFAULT_LIMIT 20
#define MOST 1000

static void
append_member(struct buffer *out, const char *key, const char *text)
{
    buffer_append_json(out, slice_of(key));
    buffer_append_char(out, ':');
    if (text != NULL)
        buffer_append_json(out, slice_of(text));
    else
        buffer_append_text(out, "null");
    buffer_append_char(out, ',');
}

static void
append_number(struct buffer *out, const char *key, uint64_t number)
{
    buffer_append_json(out, slice_of(key));
    buffer_append_char(out, ':');
    if (number != 0)
        buffer_append_u64(out, number);
    else
        buffer_append_text(out, "null");
    buffer_append_char(out, ',');
}

void
model_list_append(struct buffer *out, const struct catalog_model *model)
{
    buffer_append_text(out, "{\"type\":\"model\",");
    append_member(out, "id", model->id);
    append_member(out, "display_name", model->display_name);
    append_member(out, "created_at",
        model->created_at != NULL ? model->created_at : UNKNOWN_DATE);
    append_member(out, "line", model->line);
    append_member(out, "lifecycle", model->lifecycle);
    append_member(out, "deprecated_at", NULL);
    append_member(out, "retires_at", model->retires_at);
    append_number(out, "max_input_tokens", model->context);
    append_number(out, "max_tokens", model->max_output);
    buffer_append_text(out, "\"capabilities\":null}");
}

/* The place of the model the cursor names, -1 without one. */
static int
read_cursor(const struct catalog *catalog, struct slice query, const char *name,
    int64_t *place, struct api_error *error)
{
    char id[128];
    *place = -1;
    int found = http_query_get(query, name, id, sizeof(id));
    if (found == 0)
        return 0;
    const struct catalog_model *model =
        found == 1 ? catalog_find(catalog, slice_of(id)) : NULL;
    if (model == NULL)
        return api_error_set(error, 400, "%s: unknown model", name);
    *place = model - catalog_model(catalog, 0);
    return 0;
}

static int
read_limit(struct slice query, uint64_t *limit, struct api_error *error)
{
    char text[8];
    *limit = DEFAULT_LIMIT;
    int found = http_query_get(query, "limit", text, sizeof(text));
    if (found == 0)
        return 0;
    if (found < 0 || text_parse_u64(slice_of(text), MOST, limit) != 0 ||
        *limit == 0)
        return api_error_set(error, 400, "limit: should be 1 to %d", MOST);
    return 0;
}

static void
append_page(struct buffer *out, const struct catalog *catalog, size_t from,
    size_t to, bool more)
{
    buffer_append_text(out, "{\"data\":[");
    for (size_t i = from; i < to; i++) {
        if (i > from)
            buffer_append_char(out, ',');
        model_list_append(out, catalog_model(catalog, i));
    }
    buffer_append_text(out, "],");
    bool some = to > from;
    append_member(
        out, "first_id", some ? catalog_model(catalog, from)->id : NULL);
    append_member(
        out, "last_id", some ? catalog_model(catalog, to - 1)->id : NULL);
    buffer_append_text(
        out, more ? "\"has_more\":true}" : "\"has_more\":false}");
}

int
model_list_append_page(struct buffer *out, const struct catalog *catalog,
    struct slice query, struct api_error *error)
{
    int64_t after;
    int64_t before;
    uint64_t limit;
    if (read_cursor(catalog, query, "after_id", &after, error) != 0 ||
        read_cursor(catalog, query, "before_id", &before, error) != 0 ||
        read_limit(query, &limit, error) != 0)
        return -1;
    size_t count = catalog_count(catalog);
    size_t from = (size_t)(after + 1);
    size_t to = before >= 0 ? (size_t)before : count;
    bool backwards = before >= 0 && after < 0;
    bool more = to > from && to - from > limit;
    if (more && backwards)
        from = to - limit;
    else if (more)
        to = from + limit;
    append_page(out, catalog, from, to > from ? to : from, more);
    return 0;
}
