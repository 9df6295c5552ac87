#include "tests/fake-claude/fast.h"

#include <string.h>

/* What follows the key and its colon, blanks skipped. */
static struct slice
after_key(struct slice body, const char *key)
{
    size_t len = strlen(key);
    const char *at =
        body.len > 0 ? memmem(body.data, body.len, key, len) : NULL;
    if (at == NULL)
        return SLICE_NULL;
    const char *end = body.data + body.len;
    at += len;
    while (at < end && (*at == ' ' || *at == ':' || *at == '\n'))
        at++;
    return slice_make(at, (size_t)(end - at));
}

struct slice
fast_model(struct slice body)
{
    struct slice rest = after_key(body, "\"model\"");
    if (rest.len == 0 || rest.data[0] != '"')
        return SLICE_NULL;
    rest = slice_make(rest.data + 1, rest.len - 1);
    const char *quote = memchr(rest.data, '"', rest.len);
    return quote != NULL ? slice_make(rest.data, (size_t)(quote - rest.data))
                         : SLICE_NULL;
}

bool
fast_stream(struct slice body)
{
    return slice_starts_with(after_key(body, "\"stream\""), "true");
}

int
fast_read(const struct request_setting *setting, struct slice body,
    struct claude_request *request, struct api_error *error)
{
    struct slice name = fast_model(body);
    request->info = catalog_find(setting->catalog, name);
    if (request->info == NULL && card_find(name, &request->card) != 0)
        return api_error_set(error, 404, "model: unknown");
    (void)text_copy(request->card_name, sizeof(request->card_name), name);
    request->model =
        request->info != NULL ? request->info->id : request->card_name;
    request->stream = fast_stream(body);
    request->max_tokens = UINT32_MAX;
    request->prompt.tokens = body.len / 4 + 1;
    return 0;
}
