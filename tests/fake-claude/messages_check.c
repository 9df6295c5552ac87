#include "tests/fake-claude/messages_check.h"

#include <string.h>

#define MAX_MESSAGES 100000

static bool
equals(const json_t *value, const char *text)
{
    const char *string = json_string_value(value);
    return string != NULL && strcmp(string, text) == 0;
}

static bool
is_one_of(const json_t *value, const char *const *texts)
{
    for (; *texts != NULL; texts++)
        if (equals(value, *texts))
            return true;
    return false;
}

static int
wrong_at(const struct field_check *check, const char *list, size_t index,
    const char *what)
{
    return api_error_set(check->error, 400, "%s.%zu%s", list, index, what);
}

/* Version 2026-10-21 wants citations on assistant text only. */
static bool
user_block_has_citations(const json_t *block)
{
    const json_t *inner = json_object_get(block, "content");
    if (equals(json_object_get(block, "type"), "text"))
        return json_array_size(json_object_get(block, "citations")) > 0;
    if (!equals(json_object_get(block, "type"), "search_result"))
        return false;
    for (size_t i = 0; i < json_array_size(inner); i++)
        if (user_block_has_citations(json_array_get(inner, i)))
            return true;
    return false;
}

static int
check_block(const struct field_check *check, size_t at, const json_t *role,
    const json_t *block)
{
    const json_t *type = json_object_get(block, "type");
    if (!json_is_string(type))
        return wrong_at(
            check, "messages", at, ".content: each block needs a type");
    if (equals(type, "text") && !json_is_string(json_object_get(block, "text")))
        return wrong_at(
            check, "messages", at, ".content: text: Field required");
    if (equals(role, "system") && !equals(type, "text"))
        return wrong_at(
            check, "messages", at, ".content: a system message is text only");
    if (prompt_read_ttl(json_object_get(block, "cache_control")) < 0)
        return wrong_at(check, "messages", at, ".content: bad cache_control");
    if (check->setting->version != API_2026_10_21)
        return 0;
    if (equals(role, "assistant") && equals(type, "document"))
        return wrong_at(check, "messages", at,
            ".content: document is not allowed in an assistant message");
    if (equals(role, "user") && user_block_has_citations(block))
        return wrong_at(check, "messages", at,
            ".content: citations are not allowed in a user message");
    return 0;
}

static int
check_message(const struct field_check *check, size_t at, const json_t *message)
{
    static const char *const roles[] = {"user", "assistant", "system", NULL};
    const json_t *role = json_object_get(message, "role");
    const json_t *content = json_object_get(message, "content");
    if (!json_is_object(message))
        return wrong_at(
            check, "messages", at, ": Input should be a valid dictionary");
    if (!is_one_of(role, roles))
        return wrong_at(check, "messages", at,
            ".role: Input should be 'user', 'assistant' or 'system'");
    if (at == 0 && equals(role, "system"))
        return wrong_at(
            check, "messages", at, ".role: a system message cannot come first");
    if (!json_is_string(content) && !json_is_array(content))
        return wrong_at(check, "messages", at,
            ".content: Input should be a string or a list of blocks");
    for (size_t i = 0; i < json_array_size(content); i++)
        if (check_block(check, at, role, json_array_get(content, i)) != 0)
            return -1;
    return 0;
}

int
check_messages(const struct field_check *check, const json_t *value)
{
    size_t count = json_array_size(value);
    if (!json_is_array(value))
        return api_error_set(
            check->error, 400, "messages: Input should be a valid list");
    if (count == 0 || count > MAX_MESSAGES)
        return api_error_set(check->error, 400,
            "messages: between 1 and %d messages are required", MAX_MESSAGES);
    for (size_t i = 0; i < count; i++)
        if (check_message(check, i, json_array_get(value, i)) != 0)
            return -1;
    return 0;
}

int
check_system(const struct field_check *check, const json_t *value)
{
    bool good = json_is_string(value) || json_is_array(value);
    for (size_t i = 0; good && i < json_array_size(value); i++) {
        const json_t *block = json_array_get(value, i);
        good = equals(json_object_get(block, "type"), "text") &&
            json_is_string(json_object_get(block, "text")) &&
            prompt_read_ttl(json_object_get(block, "cache_control")) >= 0;
    }
    return good ? 0
                : api_error_set(check->error, 400,
                      "system: Input should be a string or text blocks");
}

static bool
is_custom_tool(const json_t *tool)
{
    const json_t *type = json_object_get(tool, "type");
    return type == NULL || json_is_null(type) || equals(type, "custom");
}

int
check_tools(const struct field_check *check, const json_t *value)
{
    if (!json_is_array(value))
        return api_error_set(
            check->error, 400, "tools: Input should be a valid list");
    for (size_t i = 0; i < json_array_size(value); i++) {
        const json_t *tool = json_array_get(value, i);
        const json_t *schema = json_object_get(tool, "input_schema");
        if (!json_is_object(tool))
            return wrong_at(
                check, "tools", i, ": Input should be a valid dictionary");
        if (prompt_read_ttl(json_object_get(tool, "cache_control")) < 0)
            return wrong_at(check, "tools", i, ": bad cache_control");
        if (!is_custom_tool(tool))
            continue;
        if (json_string_length(json_object_get(tool, "name")) == 0)
            return wrong_at(check, "tools", i, ".name: Field required");
        if (!equals(json_object_get(schema, "type"), "object"))
            return wrong_at(check, "tools", i,
                ".input_schema: a schema of type object is required");
    }
    return 0;
}

static bool
has_tool(const json_t *root, const json_t *name)
{
    const json_t *tools = json_object_get(root, "tools");
    const char *wanted = json_string_value(name);
    for (size_t i = 0; wanted != NULL && i < json_array_size(tools); i++)
        if (equals(json_object_get(json_array_get(tools, i), "name"), wanted))
            return true;
    return false;
}

int
check_tool_choice(const struct field_check *check, const json_t *value)
{
    static const char *const types[] = {"auto", "any", "tool", "none", NULL};
    const json_t *type = json_object_get(value, "type");
    if (!is_one_of(type, types))
        return api_error_set(check->error, 400,
            "tool_choice.type: Input should be auto, any, tool or none");
    if (equals(type, "auto") || equals(type, "none"))
        return 0;
    if (check->request->info != NULL &&
        check->request->info->refuses_forced_tools)
        return api_error_set(check->error, 400,
            "tool_choice: this model accepts only auto and none");
    if (json_array_size(json_object_get(check->root, "tools")) == 0)
        return api_error_set(
            check->error, 400, "tool_choice: may only be given with tools");
    if (equals(type, "tool") &&
        !has_tool(check->root, json_object_get(value, "name")))
        return api_error_set(
            check->error, 400, "tool_choice.name: no tool has that name");
    return 0;
}

static int
check_budget(const struct field_check *check, const json_t *value)
{
    uint64_t budget;
    uint64_t most;
    if (fields_read_count(json_object_get(value, "budget_tokens"), &budget) !=
            0 ||
        budget < 1024)
        return api_error_set(check->error, 400,
            "thinking.budget_tokens: Input should be at least 1024");
    if (fields_read_count(json_object_get(check->root, "max_tokens"), &most) ==
            0 &&
        budget >= most)
        return api_error_set(check->error, 400,
            "max_tokens must be greater than thinking.budget_tokens");
    return 0;
}

int
check_thinking(const struct field_check *check, const json_t *value)
{
    static const char *const types[] = {
        "adaptive", "enabled", "disabled", "between_tools", NULL};
    const json_t *type = json_object_get(value, "type");
    const struct catalog_model *info = check->request->info;
    unsigned refused = info != NULL ? info->thinking_refused : 0;
    if (!is_one_of(type, types))
        return api_error_set(check->error, 400,
            "thinking.type: Input should be adaptive, enabled, disabled or "
            "between_tools");
    if (((refused & CATALOG_THINKING_ENABLED) != 0 &&
            equals(type, "enabled")) ||
        ((refused & CATALOG_THINKING_DISABLED) != 0 &&
            equals(type, "disabled")))
        return api_error_set(check->error, 400,
            "thinking.type: '%s' is not accepted by this model",
            json_string_value(type));
    return equals(type, "enabled") ? check_budget(check, value) : 0;
}

int
check_output_config(const struct field_check *check, const json_t *value)
{
    static const char *const efforts[] = {
        "low", "medium", "high", "xhigh", "max", NULL};
    const json_t *effort = json_object_get(value, "effort");
    const json_t *format = json_object_get(value, "format");
    if (!json_is_object(value))
        return api_error_set(check->error, 400,
            "output_config: Input should be a valid dictionary");
    if (effort != NULL && !json_is_null(effort) && !is_one_of(effort, efforts))
        return api_error_set(check->error, 400,
            "output_config.effort: Input should be low, medium, high, xhigh "
            "or max");
    if (format != NULL && !json_is_null(format) &&
        (!equals(json_object_get(format, "type"), "json_schema") ||
            !json_is_object(json_object_get(format, "schema"))))
        return api_error_set(check->error, 400,
            "output_config.format: Input should be a json_schema");
    return 0;
}
