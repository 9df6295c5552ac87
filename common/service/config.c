#include "common/service/config.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/service/config_options.h"

#define DEFAULT_PATH "longhaul.conf"
#define NAME_SIZE 64
#define SECRET_FILE_MAX 4096

/* One reading of everything. */
struct loader {
    struct config_loaded *loaded;
    struct buffer *errors;
    FILE *file;
    const char *path;
    unsigned line;
    bool too_long;
};

extern char **environ;

static const struct config_option *
find_option(const struct config_option *option, struct slice name)
{
    while (option->name != NULL && !slice_equal_text(name, option->name))
        option++;
    return option->name != NULL ? option : NULL;
}

static void
suggest(struct buffer *errors, const struct config_option *option,
    struct slice name)
{
    const char *names[CONFIG_OPTIONS_MAX + 1];
    size_t count = 0;
    for (; option->name != NULL; option++)
        names[count++] = option->name;
    names[count] = NULL;
    const char *near = text_suggest(name, names);
    if (near != NULL)
        buffer_printf(errors, "; did you mean %s?", near);
    buffer_append_char(errors, '\n');
}

/* --- one value --- */

static const char *
kind_wanted(enum config_kind kind)
{
    switch (kind) {
    case CONFIG_DURATION: return "a duration such as 250ms, 10s, 5m, 2h, 7d";
    case CONFIG_BYTES: return "a size such as 4096, 512KiB, 32MiB";
    case CONFIG_COUNT: return "a whole number";
    case CONFIG_BOOL: return "true or false";
    case CONFIG_TEXT:
    case CONFIG_SECRET:
    case CONFIG_PATH: break;
    }
    return "text";
}

static int
parse_number(enum config_kind kind, struct slice value, uint64_t *number)
{
    int64_t ms;
    if (kind == CONFIG_BYTES)
        return text_parse_bytes(value, number);
    if (kind == CONFIG_COUNT)
        return text_parse_u64(value, UINT64_MAX, number);
    if (text_parse_duration_ms(value, &ms) != 0 || ms < 0)
        return -1;
    *number = (uint64_t)ms;
    return 0;
}

/* NULL when the value was taken, else what is wanted (in scratch or
 * static). */
static const char *
set_value(void *base, const struct config_option *option, struct slice value,
    char *scratch, size_t size)
{
    if (config_kind_is_text(option->kind)) {
        if (value.len > 0 && memchr(value.data, '\n', value.len) != NULL)
            return "one line";
        const char *wanted =
            option->check != NULL ? option->check(value) : NULL;
        if (wanted != NULL)
            return wanted;
        char **text = config_text_at(base, option);
        memory_free(*text);
        *text = value.len > 0 ? memory_dup_bytes(value.data, value.len) : NULL;
        return NULL;
    }
    if (option->kind == CONFIG_BOOL)
        return text_parse_bool(value, config_bool_at(base, option)) == 0
            ? NULL
            : kind_wanted(option->kind);
    uint64_t number;
    if (parse_number(option->kind, value, &number) != 0)
        return kind_wanted(option->kind);
    if (number < option->min || number > option->max) {
        snprintf(scratch, size, "between %llu and %llu%s",
            (unsigned long long)option->min, (unsigned long long)option->max,
            option->kind == CONFIG_DURATION    ? " ms"
                : option->kind == CONFIG_BYTES ? " bytes"
                                               : "");
        return scratch;
    }
    *config_number_at(base, option) = number;
    return NULL;
}

/* `where` names the value's place in the error. */
static void
put_value(struct loader *loader, const struct config_place *place,
    const struct config_option *option, struct slice value,
    enum config_origin origin, const char *where)
{
    char scratch[96];
    const char *wanted =
        set_value(place->base, option, value, scratch, sizeof(scratch));
    if (wanted != NULL)
        buffer_printf(loader->errors, "%s: wanted is %s\n", where, wanted);
    place->origin[option - place->options] = origin;
    place->line[option - place->options] = loader->line;
}

static struct config_place
own_place(struct loader *loader)
{
    return (struct config_place){&loader->loaded->config, config_options,
        loader->loaded->origin, loader->loaded->line};
}

static void
take_value(struct loader *loader, const struct config_option *option,
    struct slice value, enum config_origin origin, const char *where)
{
    const struct config_place place = own_place(loader);
    put_value(loader, &place, option, value, origin, where);
}

/* --- the file --- */

/* inih cuts lines that do not fit its buffer and reads the rest as a line of
 * its own; here that is an error. */
static char *
read_line(char *out, int size, void *stream)
{
    struct loader *loader = stream;
    if (fgets(out, size, loader->file) == NULL)
        return NULL;
    size_t len = strlen(out);
    if (!loader->too_long)
        loader->line++;
    bool cut = len + 1 == (size_t)size && out[len - 1] != '\n';
    if (cut && !loader->too_long)
        buffer_printf(loader->errors, "%s:%u: the line is too long\n",
            loader->path, loader->line);
    if (loader->too_long || cut)
        out[0] = '\0';
    loader->too_long = cut;
    return out;
}

static void
put_defaults(struct loader *loader, const struct config_place *place)
{
    for (const struct config_option *option = place->options;
         option->name != NULL; option++) {
        if (option->fallback != NULL)
            put_value(loader, place, option, slice_of(option->fallback),
                CONFIG_ORIGIN_DEFAULT, option->name);
    }
}

/* The place of a [pool NAME] or [route NAME]; -1: *wanted says what the name
 * should be, NULL: it is another section. */
static int
find_section(struct loader *loader, struct slice name,
    struct config_place *place, bool *is_new, const char **wanted)
{
    struct config *config = &loader->loaded->config;
    struct slice word = slice_split(&name, ' ');
    *wanted = NULL;
    name = slice_trim(name);
    if (slice_equal_text(word, "pool")) {
        struct config_pool *pool =
            config_pool_section(config, name, is_new, wanted);
        if (pool != NULL)
            *place = config_place_of_pool(pool);
        return pool != NULL ? 0 : -1;
    }
    if (slice_equal_text(word, "route")) {
        struct config_route *route =
            config_route_section(config, name, is_new, wanted);
        if (route != NULL)
            *place = config_place_of_route(route);
        return route != NULL ? 0 : -1;
    }
    return -1;
}

/* Where the settings of a section go; -1 with the error told. */
static int
find_place(
    struct loader *loader, const char *section, struct config_place *place)
{
    const char *wanted = NULL;
    bool is_new = false;
    if (section[0] == '\0' || strcmp(section, "longhaul") == 0) {
        *place = own_place(loader);
        return 0;
    }
    int found =
        find_section(loader, slice_of(section), place, &is_new, &wanted);
    if (found != 0 && wanted == NULL)
        buffer_printf(loader->errors,
            "%s:%u: unknown section [%s]; there are [pool NAME] and [route "
            "NAME]\n",
            loader->path, loader->line, section);
    else if (found != 0)
        buffer_printf(loader->errors, "%s:%u: [%s]: wanted is %s\n",
            loader->path, loader->line, section, wanted);
    if (found != 0)
        return -1;
    if (is_new)
        put_defaults(loader, place);
    return 0;
}

static int
on_setting(void *arg, const char *section, const char *name, const char *value)
{
    struct loader *loader = arg;
    struct config_place place;
    char where[NAME_SIZE + 512];
    if (find_place(loader, section, &place) != 0)
        return 1;
    const struct config_option *option =
        find_option(place.options, slice_of(name));
    if (option == NULL) {
        buffer_printf(loader->errors, "%s:%u: unknown setting %s", loader->path,
            loader->line, name);
        suggest(loader->errors, place.options, slice_of(name));
        return 1;
    }
    snprintf(where, sizeof(where), "%s:%u: %s", loader->path, loader->line,
        option->name);
    if (place.origin[option - place.options] == CONFIG_ORIGIN_FILE) {
        buffer_printf(loader->errors, "%s is set twice\n", where);
        return 1;
    }
    put_value(
        loader, &place, option, slice_of(value), CONFIG_ORIGIN_FILE, where);
    return 1;
}

static void
load_file(struct loader *loader, const char *path)
{
    const char *named = path != NULL ? path : getenv("LONGHAUL_CONFIG");
    if (named != NULL && named[0] == '\0')
        named = NULL;
    loader->path = named != NULL ? named : DEFAULT_PATH;
    loader->file = fopen(loader->path, "re");
    if (loader->file == NULL) {
        if (named != NULL || errno != ENOENT)
            buffer_printf(loader->errors, "%s: cannot be read\n", loader->path);
        return;
    }
    loader->loaded->path = memory_dup(loader->path);
    int bad = ini_parse_stream(read_line, loader, on_setting, loader);
    if (bad != 0)
        buffer_printf(loader->errors,
            "%s:%d: neither a [section] nor NAME = VALUE\n", loader->path, bad);
    fclose(loader->file);
    loader->line = 0;
}

/* --- the environment --- */

static struct slice
trimmed_line(char *text, size_t len)
{
    while (len > 0 && strchr(" \t\r\n", text[len - 1]) != NULL)
        len--;
    return slice_trim(slice_make(text, len));
}

/* NAME_FILE of a secret that has no option of its own for its file. */
static void
take_secret_file(struct loader *loader, const struct config_option *option,
    const char *variable, const char *path)
{
    char text[SECRET_FILE_MAX];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd >= 0 ? read(fd, text, sizeof(text)) : -1;
    if (fd >= 0)
        close(fd);
    if (len <= 0 || (size_t)len == sizeof(text))
        buffer_printf(loader->errors,
            "%s: %s cannot be read or is not a "
            "short text\n",
            variable, path);
    else
        take_value(loader, option, trimmed_line(text, (size_t)len),
            CONFIG_ORIGIN_ENVIRONMENT, variable);
    explicit_bzero(text, sizeof(text));
}

static void
load_secret_file(
    struct loader *loader, const struct config_option *option, bool has_value)
{
    char variable[NAME_SIZE + 8];
    snprintf(variable, sizeof(variable), "%s_FILE", option->env);
    const struct config_option *other = config_options;
    while (other->name != NULL && strcmp(other->env, variable) != 0)
        other++;
    const char *path = getenv(variable);
    if (other->name != NULL || path == NULL || path[0] == '\0')
        return;
    if (has_value)
        buffer_printf(
            loader->errors, "%s and %s are both set\n", option->env, variable);
    else
        take_secret_file(loader, option, variable, path);
}

/* A slip in a name must not be ignored; other people's LONGHAUL_... (a
 * Kubernetes service of that name makes some) may be there. */
static void
check_unknown_variables(struct loader *loader)
{
    const char *names[CONFIG_OPTIONS_MAX + 3];
    size_t count = 0;
    for (const struct config_option *option = config_options;
         option->name != NULL; option++)
        names[count++] = option->env;
    names[count++] = "LONGHAUL_CONFIG";
    names[count++] = "LONGHAUL_LOG";
    names[count] = NULL;
    for (char **entry = environ; entry != NULL && *entry != NULL; entry++) {
        struct slice rest = slice_of(*entry);
        struct slice name = slice_split(&rest, '=');
        if (!slice_starts_with(name, "LONGHAUL_"))
            continue;
        const char *near = text_suggest(name, names);
        if (near != NULL && !slice_equal_text(name, near))
            buffer_printf(loader->errors,
                "%.*s: unknown variable; did you mean %s?\n", (int)name.len,
                name.data, near);
    }
}

static void
load_environment(struct loader *loader)
{
    for (const struct config_option *option = config_options;
         option->name != NULL; option++) {
        char *value = getenv(option->env);
        bool has_value = value != NULL && value[0] != '\0';
        if (has_value)
            take_value(loader, option, slice_of(value),
                CONFIG_ORIGIN_ENVIRONMENT, option->env);
        if (option->kind == CONFIG_SECRET) {
            load_secret_file(loader, option, has_value);
            /* Also where /proc/PID/environ would show it. */
            if (has_value)
                explicit_bzero(value, strlen(value));
            unsetenv(option->env);
        }
    }
    check_unknown_variables(loader);
}

/* --- flags --- */

static const struct config_option *
find_flag(struct slice word, struct slice *value)
{
    char flag[NAME_SIZE];
    struct slice rest = word;
    struct slice name = slice_split(&rest, '=');
    for (const struct config_option *option = config_options;
         option->name != NULL; option++) {
        config_flag_name(option, flag, sizeof(flag));
        if (flag[0] == '\0' || !slice_equal_text(name, flag))
            continue;
        *value = name.len < word.len ? rest : SLICE_NULL;
        return option;
    }
    return NULL;
}

static void
load_flags(struct loader *loader, int *argc, char **argv)
{
    int kept = *argc > 0 ? 1 : 0;
    bool ended = false;
    for (int i = 1; i < *argc; i++) {
        struct slice value;
        ended = ended || strcmp(argv[i], "--") == 0;
        const struct config_option *option =
            ended ? NULL : find_flag(slice_of(argv[i]), &value);
        if (option == NULL) {
            argv[kept++] = argv[i];
            continue;
        }
        const char *where = argv[i];
        char flag[NAME_SIZE];
        config_flag_name(option, flag, sizeof(flag));
        if (value.data == NULL && option->kind == CONFIG_BOOL) {
            value = slice_of("true");
        } else if (value.data == NULL && i + 1 < *argc) {
            value = slice_of(argv[++i]);
        } else if (value.data == NULL) {
            buffer_printf(loader->errors, "%s: a value is missing\n", where);
            continue;
        }
        take_value(loader, option, value, CONFIG_ORIGIN_FLAG, flag);
    }
    if (*argc > 0)
        argv[kept] = NULL;
    *argc = kept;
}

/* --- all of it --- */

static void
check_together(struct loader *loader)
{
    const struct config *config = &loader->loaded->config;
    if (config->api_key != NULL && config->api_key_file != NULL)
        buffer_append_text(loader->errors,
            "api_key and api_key_file are both set; keep one\n");
    if (config->retry_base_ms > config->retry_cap_ms)
        buffer_append_text(loader->errors, "retry_base is above retry_cap\n");
}

struct config *
config_load(const char *path, int *argc, char **argv, struct buffer *errors)
{
    struct loader loader = {
        .loaded = memory_zalloc(1, sizeof(struct config_loaded)),
        .errors = errors};
    size_t before = errors->len;
    const struct config_place place = own_place(&loader);
    put_defaults(&loader, &place);
    load_file(&loader, path);
    load_environment(&loader);
    load_flags(&loader, argc, argv);
    check_together(&loader);
    config_pools_complete(&loader.loaded->config);
    config_routes_check(&loader.loaded->config, loader.loaded->path, errors);
    if (errors->len == before)
        return &loader.loaded->config;
    config_free(&loader.loaded->config);
    return NULL;
}

void
config_free(struct config *config)
{
    if (config == NULL)
        return;
    void *memory = config;
    struct config_loaded *loaded = memory;
    config_pools_free(config);
    config_routes_free(config);
    for (const struct config_option *option = config_options;
         option->name != NULL; option++) {
        if (!config_kind_is_text(option->kind))
            continue;
        char *text = *config_text_at(config, option);
        if (text != NULL && option->kind == CONFIG_SECRET)
            explicit_bzero(text, strlen(text));
        memory_free(text);
    }
    memory_free(loaded->path);
    memory_free(loaded);
}
