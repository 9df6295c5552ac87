#include "common/job/options.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

/* Reads one option; 0, or -1 with the sentence in error. */
typedef int option_reader(
    const char *name, const json_t *value, struct job_options *o, char *error);

static option_reader read_lane, read_tags, read_expires_in, read_max_attempts,
    read_timeout, read_fallbacks, read_fallback_on, read_custom_id;

static const struct options_row rows[] = {
    {"lane", "text",
        "class of urgency: interactive, standard or bulk; default standard"},
    {"tags", "list of text",
        "at most 16 labels of 1 to 64 letters, digits or ._:/=@-, to filter "
        "lists by; default none"},
    {"expires_in", "duration",
        "from acceptance until an unfinished job becomes expired; 1s to 31d, "
        "default 7d"},
    {"max_attempts", "number",
        "calls to Claude before the job becomes a dead letter; 1 to 100, "
        "default 8"},
    {"timeout", "duration", "of one call to Claude; 1s to 3600s, default 600s"},
    {"fallback_models", "list of text",
        "at most 4 models to ask, in this order, while the first one's "
        "breaker is open or it is overloaded; default none"},
    {"fallback_on", "list of text",
        "rate_limit: also while Claude refuses the first one for its rate "
        "limit; default none"},
    {"custom_id", "text",
        "in a line of a bulk upload: what the client calls the row; 1 to 64 "
        "letters, digits, _ and -; default none"},
    {NULL, NULL, NULL}};

#define ROWS (sizeof(rows) / sizeof(rows[0]) - 1)

static option_reader *const readers[ROWS] = {read_lane, read_tags,
    read_expires_in, read_max_attempts, read_timeout, read_fallbacks,
    read_fallback_on, read_custom_id};

const struct options_row *
options_table(void)
{
    return rows;
}

void
options_init(struct job_options *options)
{
    memset(options, 0, sizeof(*options));
    options->lane = JOB_LANE_STANDARD;
    options->expires_in_ms = OPTIONS_EXPIRES_IN_DEFAULT_MS;
    options->timeout_ms = OPTIONS_TIMEOUT_DEFAULT_MS;
    options->max_attempts = OPTIONS_MAX_ATTEMPTS_DEFAULT;
}

bool
job_model_is_valid(struct slice model)
{
    size_t i;

    if (model.len == 0 || model.len > JOB_MODEL_MAX)
        return false;
    for (i = 0; i < model.len; i++) {
        char c = model.data[i];

        if (c <= ' ' || c > '~' || c == '"' || c == '\\')
            return false;
    }
    return true;
}

static int
refuse(char *error, const char *name, const char *expected)
{
    (void)snprintf(
        error, OPTIONS_ERROR_SIZE, "longhaul.%s: expected %s", name, expected);
    return -1;
}

static struct slice
text_of(const json_t *value)
{
    return slice_make(json_string_value(value), json_string_length(value));
}

static int
read_lane(
    const char *name, const json_t *value, struct job_options *o, char *error)
{
    if (json_is_string(value) &&
        slice_equal_text(text_of(value), "overnight")) {
        (void)snprintf(error, OPTIONS_ERROR_SIZE,
            "longhaul.lane: the overnight lane is not built yet; use "
            "\"bulk\"");
        return -1;
    }
    if (!json_is_string(value) || job_lane_parse(text_of(value), &o->lane) != 0)
        return refuse(error, name, "\"interactive\", \"standard\" or \"bulk\"");
    return 0;
}

static bool
tag_is_valid(struct slice tag)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "abcdefghijklmnopqrstuvwxyz"
                                  "0123456789._:/=@-";
    size_t i;

    if (tag.len == 0 || tag.len > JOB_TAG_MAX)
        return false;
    for (i = 0; i < tag.len; i++)
        if (tag.data[i] == '\0' || strchr(allowed, tag.data[i]) == NULL)
            return false;
    return true;
}

static int
read_tags(
    const char *name, const json_t *value, struct job_options *o, char *error)
{
    size_t i;

    if (!json_is_array(value) || json_array_size(value) > JOB_TAGS_MAX)
        return refuse(error, name, "a list of at most 16 tags");
    o->tag_count = 0;
    for (i = 0; i < json_array_size(value); i++) {
        const json_t *tag = json_array_get(value, i);

        if (!json_is_string(tag) || !tag_is_valid(text_of(tag)))
            return refuse(
                error, name, "tags of 1 to 64 letters, digits or ._:/=@- each");
        (void)text_copy(o->tags[o->tag_count++], JOB_TAG_MAX + 1, text_of(tag));
    }
    return 0;
}

/* Whole seconds, or text such as "90s" or "7d". */
static int
duration_of(const json_t *value, int64_t max_ms, int64_t *ms)
{
    int64_t got;

    if (json_is_integer(value)) {
        got = json_integer_value(value);
        if (got < 0 || got > max_ms / 1000)
            return -1;
        got *= 1000;
    } else if (!json_is_string(value) ||
        text_parse_duration_ms(text_of(value), &got) != 0) {
        return -1;
    }
    if (got < 1000 || got > max_ms)
        return -1;
    *ms = got;
    return 0;
}

static int
read_expires_in(
    const char *name, const json_t *value, struct job_options *o, char *error)
{
    if (duration_of(value, OPTIONS_EXPIRES_IN_MAX_MS, &o->expires_in_ms) != 0)
        return refuse(
            error, name, "seconds or a text such as \"7d\", from 1s to 31d");
    return 0;
}

static int
read_timeout(
    const char *name, const json_t *value, struct job_options *o, char *error)
{
    if (duration_of(value, OPTIONS_TIMEOUT_MAX_MS, &o->timeout_ms) != 0)
        return refuse(
            error, name, "seconds or a text such as \"10m\", from 1s to 3600s");
    return 0;
}

static int
read_max_attempts(
    const char *name, const json_t *value, struct job_options *o, char *error)
{
    json_int_t n = json_integer_value(value);

    if (!json_is_integer(value) || n < 1 || n > OPTIONS_MAX_ATTEMPTS_MAX)
        return refuse(error, name, "a whole number from 1 to 100");
    o->max_attempts = (unsigned)n;
    return 0;
}

static int
read_fallbacks(
    const char *name, const json_t *value, struct job_options *o, char *error)
{
    size_t i;

    if (!json_is_array(value) || json_array_size(value) > JOB_FALLBACKS_MAX)
        return refuse(error, name, "a list of at most 4 models");
    o->fallback_count = 0;
    for (i = 0; i < json_array_size(value); i++) {
        const json_t *model = json_array_get(value, i);

        if (!json_is_string(model) || !job_model_is_valid(text_of(model)))
            return refuse(error, name,
                "model names of 1 to 128 printable characters each");
        (void)text_copy(o->fallback_models[o->fallback_count++],
            JOB_MODEL_MAX + 1, text_of(model));
    }
    return 0;
}

static int
read_fallback_on(
    const char *name, const json_t *value, struct job_options *o, char *error)
{
    size_t count = json_array_size(value);
    const json_t *first = json_array_get(value, 0);

    if (!json_is_array(value) || count > 1 ||
        (count == 1 &&
            (!json_is_string(first) ||
                !slice_equal_text(text_of(first), "rate_limit"))))
        return refuse(error, name, "[] or [\"rate_limit\"]");
    o->has_fallback_on = true;
    o->fallback_on_limit = count == 1;
    return 0;
}

bool
job_custom_id_is_valid(struct slice text)
{
    if (text.len == 0 || text.len > JOB_CUSTOM_ID_MAX)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
            (c >= '0' && c <= '9') || c == '_' || c == '-';
        if (!fine)
            return false;
    }
    return true;
}

static int
read_custom_id(
    const char *name, const json_t *value, struct job_options *o, char *error)
{
    if (!json_is_string(value) || !job_custom_id_is_valid(text_of(value)))
        return refuse(error, name, "1 to 64 letters, digits, _ and -");
    (void)text_copy(o->custom_id, sizeof(o->custom_id), text_of(value));
    return 0;
}

/* A name of the client's may be shown only as far as it is plain. */
static void
refuse_unknown(const char *name, char *error)
{
    const char *names[ROWS + 1] = {NULL};
    const char *near;
    char shown[41] = "";
    size_t i;

    for (i = 0; i < ROWS; i++)
        names[i] = rows[i].name;
    for (i = 0; i + 1 < sizeof(shown) && name[i] != '\0'; i++)
        shown[i] = name[i] > ' ' && name[i] <= '~' ? name[i] : '?';
    near = text_suggest(slice_of(name), names);
    if (near != NULL)
        (void)snprintf(error, OPTIONS_ERROR_SIZE,
            "longhaul.%s: there is no such option; did you mean %s?", shown,
            near);
    else
        (void)snprintf(error, OPTIONS_ERROR_SIZE,
            "longhaul.%s: there is no such option; there are lane, tags, "
            "expires_in, max_attempts, timeout, fallback_models, "
            "fallback_on and custom_id",
            shown);
}

static int
read_option(
    const char *name, const json_t *value, struct job_options *o, char *error)
{
    size_t i;

    for (i = 0; i < ROWS; i++)
        if (strcmp(name, rows[i].name) == 0)
            return readers[i](name, value, o, error);
    refuse_unknown(name, error);
    return -1;
}

static json_t *
load(struct slice json, char *error)
{
    json_error_t fault;
    json_t *root;

    if (json.len > OPTIONS_JSON_MAX) {
        (void)snprintf(error, OPTIONS_ERROR_SIZE,
            "longhaul: the options are larger than 16 KiB");
        return NULL;
    }
    root = json_loadb(
        json.data, json.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &fault);
    if (json_is_object(root))
        return root;
    json_decref(root);
    (void)snprintf(error, OPTIONS_ERROR_SIZE, "longhaul: %s",
        root == NULL && json_error_code(&fault) == json_error_duplicate_key
            ? "an option is given twice"
            : "expected an object of options");
    return NULL;
}

int
options_parse(struct slice json, struct job_options *options, char *error)
{
    json_t *root = load(json, error);
    const char *name;
    json_t *value;
    int result = root == NULL ? -1 : 0;

    json_object_foreach(root, name, value)
    {
        result = read_option(name, value, options, error);
        if (result != 0)
            break;
    }
    json_decref(root);
    return result;
}
