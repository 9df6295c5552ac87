#include "submitter/upload_query.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MAX_TOKENS_DEFAULT 1024
#define MAX_TOKENS_MAX 10000000

struct reading {
    struct upload_query *query;
    char *error;
    struct buffer prompt; /* decoded */
    struct buffer system;
    unsigned seen;
};

__attribute__((format(printf, 2, 3))) static int
refuse(struct reading *reading, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(reading->error, UPLOAD_QUERY_ERROR_SIZE, format, args);
    va_end(args);
    return -1;
}

/* --- parameters --- */

typedef int reader(struct reading *reading, struct slice value);

static int
read_strict(struct reading *reading, struct slice value)
{
    if (text_parse_bool(value, &reading->query->strict) != 0)
        return refuse(reading, "strict: expected 1 or 0");
    return 0;
}

static int
read_lane(struct reading *reading, struct slice value)
{
    if (job_lane_parse(value, &reading->query->options.lane) != 0)
        return refuse(reading, "lane: expected interactive, standard or bulk");
    return 0;
}

static int
read_run(struct reading *reading, struct slice value)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "abcdefghijklmnopqrstuvwxyz"
                                  "0123456789_.:-";
    bool fine = value.len > 0 && value.len <= BATCH_RUN_MAX;
    for (size_t i = 0; i < value.len; i++)
        fine = fine && value.data[i] != '\0' &&
            strchr(allowed, value.data[i]) != NULL;
    if (!fine)
        return refuse(
            reading, "run: expected 1 to 128 letters, digits or _.:-");
    text_copy(reading->query->run, sizeof(reading->query->run), value);
    return 0;
}

static int
read_model(struct reading *reading, struct slice value)
{
    if (!job_model_is_valid(value))
        return refuse(reading,
            "model: expected 1 to 128 printable characters without blanks");
    text_copy(reading->query->model, sizeof(reading->query->model), value);
    return 0;
}

static int
read_max_tokens(struct reading *reading, struct slice value)
{
    uint64_t tokens;
    if (text_parse_u64(value, MAX_TOKENS_MAX, &tokens) != 0 || tokens == 0)
        return refuse(
            reading, "max_tokens: expected a whole number from 1 to 10000000");
    reading->query->max_tokens = tokens;
    return 0;
}

static int
read_expires_in(struct reading *reading, struct slice value)
{
    int64_t ms;
    if (text_parse_duration_ms(value, &ms) != 0 || ms < 1000 ||
        ms > OPTIONS_EXPIRES_IN_MAX_MS)
        return refuse(reading,
            "expires_in: expected seconds or a text such as 7d, from 1s to "
            "31d");
    reading->query->options.expires_in_ms = ms;
    return 0;
}

static int
read_max_attempts(struct reading *reading, struct slice value)
{
    uint64_t count;
    if (text_parse_u64(value, OPTIONS_MAX_ATTEMPTS_MAX, &count) != 0 ||
        count == 0)
        return refuse(
            reading, "max_attempts: expected a whole number from 1 to 100");
    reading->query->options.max_attempts = (unsigned)count;
    return 0;
}

static int
read_template(struct reading *reading, struct slice value)
{
    buffer_append_slice(&reading->prompt, value);
    return 0;
}

static int
read_system(struct reading *reading, struct slice value)
{
    buffer_append_slice(&reading->system, value);
    return 0;
}

static int
read_id_column(struct reading *reading, struct slice value)
{
    if (value.len == 0 ||
        !text_copy(reading->query->id_column, sizeof(reading->query->id_column),
            value))
        return refuse(reading, "id_column: expected 1 to 256 bytes");
    return 0;
}

static const struct {
    const char *name;
    bool csv; /* with text/csv alone */
    reader *read;
} parameters[] = {{"strict", false, read_strict}, {"lane", false, read_lane},
    {"run", false, read_run}, {"model", false, read_model},
    {"max_tokens", true, read_max_tokens},
    {"expires_in", false, read_expires_in},
    {"max_attempts", false, read_max_attempts},
    {"template", true, read_template}, {"system", true, read_system},
    {"id_column", true, read_id_column}};
#define COUNT (sizeof(parameters) / sizeof(parameters[0]))

static int
refuse_unknown(struct reading *reading, struct slice name)
{
    const char *names[COUNT + 1] = {NULL};
    for (size_t i = 0; i < COUNT; i++)
        names[i] = parameters[i].name;
    const char *near = text_suggest(name, names);
    if (near != NULL)
        return refuse(
            reading, "There is no such parameter; did you mean %s?", near);
    return refuse(reading,
        "A parameter is not known; there are strict, lane, run, model, "
        "max_tokens, expires_in, max_attempts, template, system and "
        "id_column.");
}

static int
on_pair(void *arg, struct slice name, struct slice value)
{
    struct reading *reading = arg;
    for (size_t i = 0; i < COUNT; i++) {
        const char *its = parameters[i].name;
        if (!slice_equal_text(name, its))
            continue;
        if ((reading->seen & 1u << i) != 0)
            return refuse(reading, "%s: is given twice", its);
        reading->seen |= 1u << i;
        if (parameters[i].csv && reading->query->form != UPLOAD_CSV)
            return refuse(reading, "%s: is for text/csv only", its);
        return parameters[i].read(reading, value);
    }
    return refuse_unknown(reading, name);
}

/* --- templates --- */

static int
compile(struct reading *reading, const char *name, struct slice text,
    struct template **out)
{
    struct buffer error = {0};
    if (text.len == 0)
        return 0;
    *out = template_new(text, &error);
    if (*out == NULL)
        refuse(reading, "%s: %s", name, error.data);
    buffer_clear(&error);
    for (size_t i = 0; i + 1 < text.len; i++)
        reading->query->places +=
            text.data[i] == '{' && text.data[i + 1] == '{';
    return *out != NULL ? 0 : -1;
}

static int
compile_both(struct reading *reading)
{
    struct upload_query *query = reading->query;
    if (query->form != UPLOAD_CSV)
        return 0;
    if (reading->prompt.len == 0)
        return refuse(reading,
            "template: is required with text/csv: a prompt with {{columns}}, "
            "percent-encoded");
    if (compile(reading, "template", buffer_slice(&reading->prompt),
            &query->prompt) != 0)
        return -1;
    return compile(
        reading, "system", buffer_slice(&reading->system), &query->system);
}

/* --- all of it --- */

static int
read_form(const struct http_head *head, enum upload_form *form)
{
    static const struct {
        const char *type;
        enum upload_form form;
    } types[] = {{"application/x-ndjson", UPLOAD_LINES},
        {"application/ndjson", UPLOAD_LINES},
        {"application/jsonl", UPLOAD_LINES},
        {"application/x-jsonl", UPLOAD_LINES}, {"text/csv", UPLOAD_CSV}};
    struct slice value = http_head_get(head, "content-type");
    struct slice essence = slice_trim(slice_split(&value, ';'));
    if (http_head_count(head, "content-type") != 1)
        return -1;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (slice_equal_nocase(essence, types[i].type)) {
            *form = types[i].form;
            return 0;
        }
    }
    return -1;
}

unsigned
upload_query_read(
    const struct http_head *head, struct upload_query *query, char *error)
{
    struct reading reading = {.query = query, .error = error};
    query->max_tokens = MAX_TOKENS_DEFAULT;
    if (read_form(head, &query->form) != 0) {
        refuse(&reading,
            "The upload must be sent with Content-Type: application/x-ndjson "
            "or text/csv.");
        return 415;
    }
    refuse(&reading, "The query is badly encoded.");
    int status = http_query_each(head->query, on_pair, &reading);
    if (status == 0)
        status = compile_both(&reading);
    buffer_clear(&reading.prompt);
    buffer_clear(&reading.system);
    return status == 0 ? 0 : 400;
}

void
upload_query_clear(struct upload_query *query)
{
    template_free(query->prompt);
    template_free(query->system);
    query->prompt = query->system = NULL;
}
