#include "tests/fake-claude/request.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tests/fake-claude/fields.h"

static const char *
type_of_status(unsigned status)
{
    switch (status) {
    case 401: return "authentication_error";
    case 402: return "billing_error";
    case 403: return "permission_error";
    case 404: return "not_found_error";
    case 409: return "conflict_error";
    case 413: return "request_too_large";
    case 429: return "rate_limit_error";
    case 504: return "timeout_error";
    case 529: return "overloaded_error";
    default: break;
    }
    return status >= 500 ? "api_error" : "invalid_request_error";
}

int
api_error_set(struct api_error *error, unsigned status, const char *format, ...)
{
    va_list args;
    error->status = status;
    error->type = type_of_status(status);
    error->code = NULL;
    va_start(args, format);
    (void)vsnprintf(error->message, sizeof(error->message), format, args);
    va_end(args);
    return -1;
}

/* Numbers are read as real ones, so that an integer beyond 64 bits in a tool
 * input is no error here; nothing is printed back. */
static int
parse_body(struct slice body, json_t **root, struct api_error *error)
{
    json_error_t where;
    *root = json_loadb(body.data, body.len,
        JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL,
        &where);
    if (*root == NULL)
        return api_error_set(error, 400,
            "The request body is not valid JSON (line %d, column %d)",
            where.line, where.column);
    if (!json_is_object(*root))
        return api_error_set(
            error, 400, "The request body should be a JSON object");
    return 0;
}

static int
read_model(const struct request_setting *setting,
    struct claude_request *request, struct api_error *error)
{
    const json_t *value = json_object_get(request->root, "model");
    if (value == NULL)
        return api_error_set(error, 400, "model: Field required");
    if (!json_is_string(value) || json_string_length(value) == 0)
        return api_error_set(
            error, 400, "model: Input should be a valid string");
    struct slice name =
        slice_make(json_string_value(value), json_string_length(value));
    request->info = catalog_find(setting->catalog, name);
    if (request->info != NULL) {
        request->model = request->info->id;
        return 0;
    }
    if (card_find(name, &request->card) == 0) {
        request->model = json_string_value(value);
        return 0;
    }
    return api_error_set(error, 404, "model: %.100s", json_string_value(value));
}

static const char *
forced_tool(const json_t *root)
{
    const json_t *choice = json_object_get(root, "tool_choice");
    const char *type = json_string_value(json_object_get(choice, "type"));
    const json_t *first = json_array_get(json_object_get(root, "tools"), 0);
    if (type == NULL)
        return NULL;
    if (strcmp(type, "tool") == 0)
        return json_string_value(json_object_get(choice, "name"));
    return strcmp(type, "any") == 0
        ? json_string_value(json_object_get(first, "name"))
        : NULL;
}

static bool
asks_to_think(const json_t *root)
{
    const json_t *thinking = json_object_get(root, "thinking");
    const char *type = json_string_value(json_object_get(thinking, "type"));
    return type != NULL && strcmp(type, "enabled") == 0;
}

/* max_tokens 0 only warms the cache, and several things exclude it. */
static int
check_prewarm(const struct claude_request *request, struct api_error *error)
{
    if (request->max_tokens > 0)
        return 0;
    if (request->stream || request->thinks || request->schema != NULL ||
        request->forced_tool != NULL)
        return api_error_set(error, 400,
            "max_tokens: 0 cannot be combined with stream, thinking, a "
            "format or a forced tool");
    return 0;
}

static int
check_caching(const struct prompt *prompt, struct api_error *error)
{
    if (prompt->breakpoints > CACHE_MAX_BREAKPOINTS)
        return api_error_set(error, 400,
            "A maximum of 4 blocks with cache_control may be provided. "
            "Found %zu.",
            prompt->breakpoints);
    if (prompt->ttl_disorder)
        return api_error_set(error, 400,
            "cache_control: a ttl of 1h must not come after one of 5m");
    return 0;
}

static int
measure(
    struct claude_request *request, struct slice body, struct api_error *error)
{
    static const char marker[] = "cache_control";
    const struct catalog_model *info = request->info;
    bool caching =
        memmem(body.data, body.len, marker, sizeof(marker) - 1) != NULL;
    prompt_measure(&request->prompt, request->root, body, request->model,
        info != NULL ? info->token_percent : 100, caching);
    if (check_caching(&request->prompt, error) != 0)
        return -1;
    if (info != NULL && info->context != 0 &&
        request->prompt.tokens > info->context)
        return api_error_set(error, 400,
            "prompt is too long: %llu tokens > %llu maximum",
            (unsigned long long)request->prompt.tokens,
            (unsigned long long)info->context);
    return 0;
}

int
request_read(const struct request_setting *setting, struct slice body,
    struct claude_request *request, struct api_error *error)
{
    if (parse_body(body, &request->root, error) != 0 ||
        read_model(setting, request, error) != 0)
        return -1;
    const json_t *root = request->root;
    struct field_check check = {
        .setting = setting, .root = root, .request = request, .error = error};
    if (fields_check(&check) != 0)
        return -1;
    if (!setting->count_only &&
        fields_read_count(
            json_object_get(root, "max_tokens"), &request->max_tokens) != 0)
        return api_error_set(error, 400, "max_tokens: Field required");
    request->stream = json_is_true(json_object_get(root, "stream"));
    request->thinks = asks_to_think(root);
    request->forced_tool = forced_tool(root);
    request->stop_sequences = json_object_get(root, "stop_sequences");
    request->schema = json_object_get(
        json_object_get(json_object_get(root, "output_config"), "format"),
        "schema");
    if (!setting->count_only && check_prewarm(request, error) != 0)
        return -1;
    return measure(request, body, error);
}

void
request_clear(struct claude_request *request)
{
    prompt_clear(&request->prompt);
    json_decref(request->root);
    *request = (struct claude_request){0};
}
