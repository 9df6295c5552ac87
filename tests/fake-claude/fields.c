#include "tests/fake-claude/fields.h"

#include <math.h>
#include <string.h>

#include "tests/fake-claude/messages_check.h"

#define FIELD_REQUIRED 1u
#define FIELD_SAMPLING 2u /* gone with version 2026-10-21 */
#define FIELD_BETA 4u /* only with an anthropic-beta header */
#define FIELD_NOT_COUNTED 8u /* not in count_tokens */

struct field {
    const char *name;
    unsigned flags;
    int (*check)(const struct field_check *check, const json_t *value);
};

static int
wrong(const struct field_check *check, const char *field, const char *what)
{
    return api_error_set(check->error, 400, "%s: %s", field, what);
}

int
fields_read_count(const json_t *value, uint64_t *count)
{
    double number = json_number_value(value);
    if (!json_is_number(value) || number < 0 || number > 9007199254740992.0 ||
        floor(number) != number)
        return -1;
    *count = (uint64_t)number;
    return 0;
}

static int
check_max_tokens(const struct field_check *check, const json_t *value)
{
    uint64_t count;
    const struct catalog_model *info = check->request->info;
    if (fields_read_count(value, &count) != 0)
        return wrong(check, "max_tokens",
            "Input should be a valid integer greater than or equal to 0");
    if (info != NULL && info->max_output != 0 && count > info->max_output)
        return api_error_set(check->error, 400,
            "max_tokens: %llu > %llu, which is the maximum allowed number of "
            "output tokens for %s",
            (unsigned long long)count, (unsigned long long)info->max_output,
            info->id);
    return 0;
}

static int
check_bool(const struct field_check *check, const json_t *value)
{
    return json_is_boolean(value)
        ? 0
        : wrong(check, "stream", "Input should be a valid boolean");
}

static int
check_stop_sequences(const struct field_check *check, const json_t *value)
{
    bool good = json_is_array(value);
    for (size_t i = 0; good && i < json_array_size(value); i++)
        good = json_string_length(json_array_get(value, i)) > 0;
    return good ? 0
                : wrong(check, "stop_sequences",
                      "Input should be a list of non-empty strings");
}

static int
check_metadata(const struct field_check *check, const json_t *value)
{
    const json_t *user = json_object_get(value, "user_id");
    if (!json_is_object(value) ||
        json_object_size(value) != (user != NULL ? 1 : 0))
        return wrong(check, "metadata", "Extra inputs are not permitted");
    if (user != NULL && !json_is_null(user) &&
        (!json_is_string(user) || json_string_length(user) > 256))
        return wrong(check, "metadata.user_id",
            "Input should be a string of at most 256 characters");
    return 0;
}

static int
check_temperature(const struct field_check *check, const json_t *value)
{
    double number = json_number_value(value);
    const struct catalog_model *info = check->request->info;
    if (!json_is_number(value) || number < 0 || number > 1)
        return wrong(check, "temperature", "range: 0..1");
    if (info != NULL && info->sampling_fixed && number < 1)
        return wrong(
            check, "temperature", "this model accepts only the default, 1.0");
    return 0;
}

static int
check_top_p(const struct field_check *check, const json_t *value)
{
    double number = json_number_value(value);
    const struct catalog_model *info = check->request->info;
    if (!json_is_number(value) || number < 0 || number > 1)
        return wrong(check, "top_p", "range: 0..1");
    if (info != NULL && info->sampling_fixed && number < 0.99)
        return wrong(check, "top_p", "this model accepts only 0.99 and above");
    return 0;
}

static int
check_top_k(const struct field_check *check, const json_t *value)
{
    uint64_t count;
    if (fields_read_count(value, &count) != 0)
        return wrong(check, "top_k", "Input should be a valid integer");
    if (check->request->info != NULL && check->request->info->sampling_fixed)
        return wrong(check, "top_k", "not accepted by this model");
    return 0;
}

static int
check_service_tier(const struct field_check *check, const json_t *value)
{
    const char *tier = json_string_value(value);
    if (tier == NULL ||
        (strcmp(tier, "auto") != 0 && strcmp(tier, "standard_only") != 0))
        return wrong(
            check, "service_tier", "Input should be 'auto' or 'standard_only'");
    return 0;
}

static int
check_speed(const struct field_check *check, const json_t *value)
{
    const char *speed = json_string_value(value);
    if (!json_is_null(value) &&
        (speed == NULL ||
            (strcmp(speed, "standard") != 0 && strcmp(speed, "fast") != 0)))
        return wrong(check, "speed", "Input should be 'standard' or 'fast'");
    return 0;
}

static int
check_cache_control(const struct field_check *check, const json_t *value)
{
    return prompt_read_ttl(value) >= 0
        ? 0
        : wrong(check, "cache_control",
              "Input should be {\"type\":\"ephemeral\"} with ttl 5m or 1h");
}

static int
check_any(const struct field_check *check, const json_t *value)
{
    (void)check;
    (void)value;
    return 0;
}

static const struct field fields[] = {
    {"model", FIELD_REQUIRED, check_any}, /* was read before */
    {"messages", FIELD_REQUIRED, check_messages},
    {"max_tokens", FIELD_REQUIRED | FIELD_NOT_COUNTED, check_max_tokens},
    {"system", 0, check_system},
    {"stop_sequences", FIELD_NOT_COUNTED, check_stop_sequences},
    {"stream", FIELD_NOT_COUNTED, check_bool},
    {"metadata", FIELD_NOT_COUNTED, check_metadata},
    {"tools", 0, check_tools},
    {"tool_choice", 0, check_tool_choice},
    {"thinking", 0, check_thinking},
    {"output_config", 0, check_output_config},
    {"service_tier", FIELD_NOT_COUNTED, check_service_tier},
    {"speed", 0, check_speed},
    {"inference_geo", FIELD_NOT_COUNTED, check_any},
    {"cache_control", 0, check_cache_control},
    {"container", FIELD_NOT_COUNTED, check_any},
    {"diagnostics", FIELD_NOT_COUNTED, check_any},
    {"temperature", FIELD_SAMPLING | FIELD_NOT_COUNTED, check_temperature},
    {"top_p", FIELD_SAMPLING | FIELD_NOT_COUNTED, check_top_p},
    {"top_k", FIELD_SAMPLING | FIELD_NOT_COUNTED, check_top_k},
    {"context_management", FIELD_BETA, check_any},
    {"compaction", FIELD_BETA, check_any},
    {"thread", FIELD_BETA, check_any},
    {"mcp_servers", FIELD_BETA, check_any},
    {"fallbacks", FIELD_BETA, check_any},
    {"fallback_credit_token", FIELD_BETA, check_any},
    {"billing_policy", FIELD_BETA, check_any},
    {"output_format", FIELD_BETA, check_any},
    {NULL, 0, NULL},
};

static const struct field *
find_field(const char *name)
{
    const struct field *field = fields;
    while (field->name != NULL && strcmp(field->name, name) != 0)
        field++;
    return field->name != NULL ? field : NULL;
}

static bool
is_permitted(const struct field *field, const struct request_setting *setting)
{
    if (field == NULL)
        return false;
    if ((field->flags & FIELD_BETA) != 0 && !setting->has_betas)
        return false;
    return !setting->count_only || (field->flags & FIELD_NOT_COUNTED) == 0;
}

static int
check_member(
    const struct field_check *check, const char *name, const json_t *value)
{
    const struct field *field = find_field(name);
    if (!is_permitted(field, check->setting))
        return api_error_set(
            check->error, 400, "%.64s: Extra inputs are not permitted", name);
    if ((field->flags & FIELD_SAMPLING) != 0 &&
        check->setting->version == API_2026_10_21)
        return wrong(
            check, field->name, "removed in anthropic-version 2026-10-21");
    return field->check(check, value);
}

int
fields_check(const struct field_check *check)
{
    for (const struct field *field = fields; field->name != NULL; field++)
        if ((field->flags & FIELD_REQUIRED) != 0 &&
            is_permitted(field, check->setting) &&
            json_object_get(check->root, field->name) == NULL)
            return wrong(check, field->name, "Field required");
    json_t *root = (json_t *)(uintptr_t)check->root;
    for (void *at = json_object_iter(root); at != NULL;
         at = json_object_iter_next(root, at))
        if (check_member(check, json_object_iter_key(at),
                json_object_iter_value(at)) != 0)
            return -1;
    return 0;
}
