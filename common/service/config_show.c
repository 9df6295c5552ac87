#include <string.h>

#include "common/service/config_options.h"

static const char *
duration_text(uint64_t ms, char *out, size_t size)
{
    static const struct {
        uint64_t ms;
        const char *unit;
    } units[] = {
        {86400000, "d"}, {3600000, "h"}, {60000, "m"}, {1000, "s"}, {1, "ms"}};
    size_t i = 0;
    while (ms % units[i].ms != 0)
        i++;
    if (ms == 0)
        return "0";
    snprintf(out, size, "%llu%s", (unsigned long long)(ms / units[i].ms),
        units[i].unit);
    return out;
}

static const char *
bytes_text(uint64_t bytes, char *out, size_t size)
{
    static const char *const units[] = {"", "KiB", "MiB", "GiB"};
    size_t unit = 0;
    while (bytes != 0 && bytes % 1024 == 0 && unit < 3) {
        bytes /= 1024;
        unit++;
    }
    snprintf(out, size, "%llu%s", (unsigned long long)bytes, units[unit]);
    return out;
}

/* The value as it would be written in the file; NULL: unset. */
static const char *
value_text(const void *base, const struct config_option *option, char *scratch,
    size_t size)
{
    const char *member = (const char *)base + option->offset;
    uint64_t number;
    char *text;
    if (option->kind == CONFIG_BOOL) {
        bool value;
        memcpy(&value, member, sizeof(value));
        return value ? "true" : "false";
    }
    if (config_kind_is_text(option->kind)) {
        memcpy(&text, member, sizeof(text));
        if (text == NULL || option->kind != CONFIG_SECRET)
            return text;
        snprintf(scratch, size, "<set, %zu characters>", strlen(text));
        return scratch;
    }
    memcpy(&number, member, sizeof(number));
    if (option->kind == CONFIG_DURATION)
        return duration_text(number, scratch, size);
    if (option->kind == CONFIG_BYTES)
        return bytes_text(number, scratch, size);
    snprintf(scratch, size, "%llu", (unsigned long long)number);
    return scratch;
}

/* One struct with its table, and the file it was read from. */
struct shown {
    const void *base;
    const struct config_option *options;
    const enum config_origin *origin;
    const unsigned *line;
    const char *path;
    bool with_origin;
};

static void
origin_text(const struct shown *shown, size_t index, struct buffer *out)
{
    char flag[64];
    switch (shown->origin[index]) {
    case CONFIG_ORIGIN_DEFAULT: buffer_append_text(out, "default"); break;
    case CONFIG_ORIGIN_FILE:
        buffer_printf(out, "%s:%u", shown->path, shown->line[index]);
        break;
    case CONFIG_ORIGIN_ENVIRONMENT:
        buffer_append_text(out, shown->options[index].env);
        break;
    case CONFIG_ORIGIN_FLAG:
        config_flag_name(&shown->options[index], flag, sizeof(flag));
        buffer_append_text(out, flag);
        break;
    }
}

static void
show_text(const struct shown *shown, size_t index, const char *value,
    struct buffer *out)
{
    buffer_printf(out, "%s%-24s = %s", value == NULL ? "# " : "",
        shown->options[index].name, value == NULL ? "" : value);
    if (shown->with_origin) {
        buffer_append_text(out, "  ; ");
        origin_text(shown, index, out);
    }
    buffer_append_char(out, '\n');
}

static void
show_json(const struct shown *shown, size_t index, const char *value,
    struct buffer *out)
{
    struct buffer from = {0};
    buffer_append_text(out, index == 0 ? "" : ",");
    buffer_append_json(out, slice_of(shown->options[index].name));
    buffer_append_text(out, shown->with_origin ? ":{\"value\":" : ":");
    if (value == NULL)
        buffer_append_text(out, "null");
    else
        buffer_append_json(out, slice_of(value));
    if (shown->with_origin) {
        origin_text(shown, index, &from);
        buffer_append_text(out, ",\"origin\":");
        buffer_append_json(out, buffer_slice(&from));
        buffer_append_char(out, '}');
    }
    buffer_clear(&from);
}

static void
show_all(const struct shown *shown, bool json, struct buffer *out)
{
    char scratch[64];
    for (size_t i = 0; shown->options[i].name != NULL; i++) {
        const char *value = value_text(
            shown->base, &shown->options[i], scratch, sizeof(scratch));
        if (json)
            show_json(shown, i, value, out);
        else
            show_text(shown, i, value, out);
    }
}

/* The pool that the other settings make is shown by them. */
static void
show_pools(const struct config_loaded *loaded, bool origin, bool json,
    struct buffer *out)
{
    const struct config *config = &loaded->config;
    bool first = true;
    if (json)
        buffer_append_text(out, ",\"pools\":{");
    for (size_t i = 0; i < config->pool_count; i++) {
        const struct config_place place =
            config_place_of_pool(config->pools[i]);
        const struct shown shown = {place.base, place.options, place.origin,
            place.line, loaded->path, origin};
        const char *name = config->pools[i]->name;
        if (strcmp(name, CONFIG_POOL_DEFAULT) == 0)
            continue;
        if (json)
            buffer_printf(out, "%s\"%s\":{", first ? "" : ",", name);
        else
            buffer_printf(out, "\n[pool %s]\n", name);
        show_all(&shown, json, out);
        buffer_append_text(out, json ? "}" : "");
        first = false;
    }
    buffer_append_text(out, json ? "}" : "");
}

static void
show_routes(const struct config_loaded *loaded, bool origin, bool json,
    struct buffer *out)
{
    const struct config *config = &loaded->config;
    buffer_append_text(out, json ? ",\"routes\":{" : "");
    for (size_t i = 0; i < config->route_count; i++) {
        const struct config_place place =
            config_place_of_route(config->routes[i]);
        const struct shown shown = {place.base, place.options, place.origin,
            place.line, loaded->path, origin};
        buffer_printf(out, json ? "%s\"%s\":{" : "%s[route %s]\n",
            !json       ? "\n"
                : i > 0 ? ","
                        : "",
            config->routes[i]->name);
        show_all(&shown, json, out);
        buffer_append_text(out, json ? "}" : "");
    }
    buffer_append_text(out, json ? "}" : "");
}

void
config_show(
    const struct config *config, bool origin, bool json, struct buffer *out)
{
    const void *memory = config;
    const struct config_loaded *loaded = memory;
    const struct shown shown = {config, config_options, loaded->origin,
        loaded->line, loaded->path, origin};
    buffer_append_text(out, json ? "{" : "");
    show_all(&shown, json, out);
    show_pools(loaded, origin, json, out);
    show_routes(loaded, origin, json, out);
    buffer_append_text(out, json ? "}\n" : "");
}

static const char *
placeholder(enum config_kind kind)
{
    switch (kind) {
    case CONFIG_PATH: return " FILE";
    case CONFIG_DURATION: return " DURATION";
    case CONFIG_BYTES: return " SIZE";
    case CONFIG_COUNT: return " N";
    case CONFIG_BOOL: return "";
    case CONFIG_TEXT:
    case CONFIG_SECRET: break;
    }
    return " TEXT";
}

void
config_help(const char *program, struct buffer *out)
{
    buffer_printf(out,
        "Settings of %s: flag (here) before environment before file before "
        "default.\n\n",
        program);
    for (const struct config_option *option = config_options;
         option->name != NULL; option++) {
        char flag[64];
        config_flag_name(option, flag, sizeof(flag));
        if (flag[0] != '\0')
            buffer_printf(
                out, "  %s%s\n      ", flag, placeholder(option->kind));
        else
            buffer_printf(out, "  (%s)\n      ", option->env);
        buffer_append_text(out, option->help);
        if (option->fallback != NULL)
            buffer_printf(out, " [%s]", option->fallback);
        if (flag[0] != '\0')
            buffer_printf(out, " (%s)", option->env);
        buffer_append_char(out, '\n');
    }
}

void
config_document(struct buffer *out)
{
    buffer_append_text(out,
        "| setting | environment | flag | default | meaning |\n"
        "|---|---|---|---|---|\n");
    for (const struct config_option *option = config_options;
         option->name != NULL; option++) {
        char flag[64];
        config_flag_name(option, flag, sizeof(flag));
        buffer_printf(out, "| `%s` | `%s` | %s%s%s | %s%s%s | %s |\n",
            option->name, option->env, flag[0] ? "`" : "",
            flag[0] ? flag : "none (secret)", flag[0] ? "`" : "",
            option->fallback != NULL ? "`" : "",
            option->fallback != NULL ? option->fallback : "unset",
            option->fallback != NULL ? "`" : "", option->help);
    }
}

static void
document_section(const struct config_option *options, struct buffer *out)
{
    buffer_append_text(out,
        "| setting | default | meaning |\n"
        "|---|---|---|\n");
    for (const struct config_option *option = options; option->name != NULL;
         option++)
        buffer_printf(out, "| `%s` | %s%s%s | %s |\n", option->name,
            option->fallback != NULL ? "`" : "",
            option->fallback != NULL ? option->fallback : "unset",
            option->fallback != NULL ? "`" : "", option->help);
}

void
config_document_pools(struct buffer *out)
{
    document_section(config_pool_options, out);
}

void
config_document_routes(struct buffer *out)
{
    document_section(config_route_options, out);
}
