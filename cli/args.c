#include "cli/args.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum args_kind { FLAG, TEXT, COUNT, DURATION, LIST };

struct args_option {
    const char *name;
    char letter; /* 0: none */
    const char *value; /* what help calls it; NULL for a flag */
    enum args_kind kind;
    size_t offset;
    const char *help;
};

#define AT(member) offsetof(struct args, member)

/* clang-format off */
static const struct args_option options[] = {
    {"model", 'm', "MODEL", TEXT, AT(model),
        "the model to ask (default: the server's; bulk: LONGHAUL_MODEL here)"},
    {"file", 'f', "FILE", TEXT, AT(file),
        "the prompt; - is standard input"},
    {"template", 't', "FILE", TEXT, AT(template_file),
        "the prompt of every row; {{column}} stands for its field"},
    {"output", 'o', "FILE", TEXT, AT(output),
        "where answers go, a JSON object a line"},
    {"message", 0, "TEXT", TEXT, AT(message), "the prompt itself"},
    {"system", 0, "TEXT", TEXT, AT(system),
        "the system prompt (bulk: the file that has it)"},
    {"max-tokens", 0, "N", COUNT, AT(max_tokens),
        "the longest answer, in tokens"},
    {"lane", 0, "LANE", TEXT, AT(lane), "interactive, standard or bulk"},
    {"tag", 0, "TAG", LIST, AT(tags), "a label; may be repeated"},
    {"expires-in", 0, "TIME", TEXT, AT(expires_in),
        "give up after this time, say 2h (default 7d)"},
    {"idempotency-key", 0, "KEY", TEXT, AT(idempotency_key),
        "the same key and prompt again give the same job"},
    {"json-body", 0, "FILE", TEXT, AT(json_body),
        "send this Messages request byte for byte; - is standard input"},
    {"wait", 'w', NULL, FLAG, AT(wait),
        "wait for the end and print the answer's text"},
    {"result", 0, NULL, FLAG, AT(result), "Claude's message, as JSON"},
    {"text", 0, NULL, FLAG, AT(text), "the answer's text alone"},
    {"timeout", 0, "TIME", DURATION, AT(timeout_ms),
        "stop waiting after this time, say 10m; the job goes on"},
    {"limit", 'n', "N", COUNT, AT(limit), "at most so many (lists: 20)"},
    {"cursor", 0, "CURSOR", TEXT, AT(cursor), "the page after this one"},
    {"fingerprint", 0, "F", TEXT, AT(fingerprint),
        "those with this cause (see: longhaul dlq groups)"},
    {"error-type", 0, "TYPE", TEXT, AT(error_type),
        "those with this error type, say overloaded_error"},
    {"all", 0, NULL, FLAG, AT(all), "every one"},
    {"rate", 0, "N", COUNT, AT(rate),
        "at most so many a second (default 10)"},
    {"dry-run", 0, NULL, FLAG, AT(dry_run), "count them and do nothing"},
    {"detach", 0, NULL, FLAG, AT(detach), "do not wait for the end"},
    {"generation", 0, "N", COUNT, AT(generation),
        "only if this generation of the job is the dead one"},
    {"for", 0, "TIME", TEXT, AT(hold_for),
        "go on by itself after this time, say 2h (default: never)"},
    {"reason", 0, "TEXT", TEXT, AT(reason), "shown to those who wait"},
    {"yes", 'y', NULL, FLAG, AT(yes), "do not ask"},
    {"id-column", 0, "NAME", TEXT, AT(id_column),
        "names the rows (default: a hash of the row does)"},
    {"join", 0, NULL, FLAG, AT(join),
        "write the row's columns beside its answer"},
    {"in-order", 0, NULL, FLAG, AT(in_order),
        "in the end, put the answers into the order of the input"},
    {"max-cost", 0, "USD", TEXT, AT(max_cost),
        "send only what cannot cost more"},
    {"format", 0, "FORMAT", TEXT, AT(format),
        "csv, tsv or jsonl (default: by the name of the input)"},
    {"show", 0, "N", COUNT, AT(show),
        "print so many prompts first (default: 1 on a terminal without "
        "--yes, else none)"},
    {"progress", 0, "MODE", TEXT, AT(progress),
        "auto, bar, plain, json or none"},
    {"summary-json", 0, "FILE", TEXT, AT(summary_json),
        "write how it ended to this file"},
    {"cancel-on-interrupt", 0, NULL, FLAG, AT(cancel_on_interrupt),
        "Ctrl-C stops the rows that are not done, too"},
    {"scopes", 0, "LIST", TEXT, AT(scopes),
        "submit, read, operate; separated by commas (default submit,read)"},
    {"keys-file", 0, "FILE", TEXT, AT(key_file),
        "the file of keys (default: keys_file of the settings)"},
    {"config", 'c', "FILE", TEXT, AT(config),
        "settings (default: longhaul.conf, if it exists)"},
    {"origin", 0, NULL, FLAG, AT(origin), "say where each value came from"},
    {"port", 'p', "PORT", COUNT, AT(port),
        "on 127.0.0.1 (default 8080; 0: any free one)"},
    {"data", 'd', "DIR", TEXT, AT(data),
        "where everything is kept (default ./var)"},
    {"workers", 0, "N", COUNT, AT(workers), "worker processes (default 2)"},
    {"simulate", 0, NULL, FLAG, AT(simulate),
        "the simulator in place of Claude, although there is a key"},
    {"no-demo", 0, NULL, FLAG, AT(no_demo),
        "no first job in a new simulated directory"},
    {"stall-timeout", 0, "TIME", DURATION, AT(stall_ms),
        "a program that does not answer for so long is restarted "
        "(default 20s)"},
    {"url", 0, "URL", TEXT, AT(url),
        "the server (default: LONGHAUL_URL, http://127.0.0.1:8080)"},
    {"json", 0, NULL, FLAG, AT(json), "print the server's JSON as it is"},
    {"no-color", 0, NULL, FLAG, AT(no_color), "no colour (also: NO_COLOR)"},
    {"help", 'h', NULL, FLAG, AT(help), "this text"},
};
/* clang-format on */

#define OPTIONS (sizeof(options) / sizeof(options[0]))

const char args_data_default[] = "var";

void
args_init(struct args *args)
{
    memset(args, 0, sizeof(*args));
    args->timeout_ms = -1;
    args->limit = ARGS_UNSAID;
    args->show = ARGS_UNSAID;
    args->max_tokens = ARGS_UNSAID;
    args->generation = UINT64_MAX;
    args->port = 8080;
    args->data = args_data_default;
    args->workers = 2;
    args->stall_ms = 20000;
}

uint64_t
args_list_limit(const struct args *args)
{
    return args->limit != ARGS_UNSAID ? args->limit : 20;
}

static bool
is_accepted(const struct args_option *option, const char *accepted)
{
    struct slice rest = slice_of(accepted);
    if (strcmp(option->name, "help") == 0)
        return true;
    while (rest.len > 0) {
        if (slice_equal_text(slice_split(&rest, ' '), option->name))
            return true;
    }
    return false;
}

static void
refuse_unknown(const char *accepted, struct slice name, struct buffer *error)
{
    const char *names[OPTIONS + 1];
    size_t count = 0;
    for (size_t i = 0; i < OPTIONS; i++) {
        if (is_accepted(&options[i], accepted))
            names[count++] = options[i].name;
    }
    names[count] = NULL;
    const char *near = text_suggest(name, names);
    buffer_printf(error, "unknown option %s%.*s", name.len > 1 ? "--" : "-",
        (int)name.len, name.data);
    if (near != NULL)
        buffer_printf(error, "; did you mean --%s?", near);
}

static const struct args_option *
find(const char *accepted, struct slice name)
{
    for (size_t i = 0; i < OPTIONS; i++) {
        const struct args_option *option = &options[i];
        bool same = name.len == 1 ? name.data[0] == option->letter
                                  : slice_equal_text(name, option->name);
        if (same && is_accepted(option, accepted))
            return option;
    }
    return NULL;
}

static int
store_list(struct args_list *list, const char *value)
{
    if (list->count == ARGS_LIST_MAX)
        return -1;
    list->items[list->count++] = value;
    return 0;
}

/* NULL when it was taken, else what is wanted. */
static const char *
store(struct args *args, const struct args_option *option, const char *value)
{
    void *at = (char *)args + option->offset;
    switch (option->kind) {
    case FLAG: *(bool *)at = true; return NULL;
    case TEXT: *(const char **)at = value; return NULL;
    case LIST:
        return store_list(at, value) == 0 ? NULL
                                          : "to be given at most 64 "
                                            "times";
    case COUNT:
        return text_parse_u64(slice_of(value), INT64_MAX, at) == 0
            ? NULL
            : "a whole number";
    case DURATION: break;
    }
    return text_parse_duration_ms(slice_of(value), at) == 0
        ? NULL
        : "a time such as 30s, 10m, 2h";
}

/* The name in `word`, and its value when that is in the same word. */
static struct slice
split_word(const char *word, const char **value)
{
    *value = NULL;
    if (word[1] != '-') {
        if (word[2] != '\0')
            *value = word + 2;
        return slice_make(word + 1, 1);
    }
    struct slice rest = slice_of(word + 2);
    struct slice name = slice_split(&rest, '=');
    if (word[2 + name.len] == '=')
        *value = word + 2 + name.len + 1;
    return name;
}

/* The option at argv[*at]; its value may be the next word. */
static int
take(struct args *args, const char *accepted, int argc, char **argv, int *at,
    struct buffer *error)
{
    const char *value;
    struct slice name = split_word(argv[*at], &value);
    const struct args_option *option = find(accepted, name);
    if (option == NULL) {
        refuse_unknown(accepted, name, error);
        return -1;
    }
    if (option->kind == FLAG && value != NULL) {
        buffer_printf(error, "--%s takes no value", option->name);
        return -1;
    }
    if (option->kind != FLAG && value == NULL && *at + 1 < argc)
        value = argv[++*at];
    if (option->kind != FLAG && value == NULL) {
        buffer_printf(
            error, "--%s wants a value: %s", option->name, option->value);
        return -1;
    }
    const char *wanted = store(args, option, value);
    if (wanted == NULL)
        return 0;
    buffer_printf(error, "--%s wants %s", option->name, wanted);
    return -1;
}

int
args_parse(struct args *args, const char *accepted, int *argc, char **argv,
    struct buffer *error)
{
    int kept = 0;
    bool words_only = false;
    for (int i = 0; i < *argc; i++) {
        if (words_only || argv[i][0] != '-' || argv[i][1] == '\0')
            argv[kept++] = argv[i];
        else if (strcmp(argv[i], "--") == 0)
            words_only = true;
        else if (take(args, accepted, *argc, argv, &i, error) != 0)
            return -1;
    }
    *argc = kept;
    return 0;
}

void
args_help(const char *accepted, struct buffer *out)
{
    for (size_t i = 0; i < OPTIONS; i++) {
        const struct args_option *option = &options[i];
        char left[40];
        if (!is_accepted(option, accepted))
            continue;
        snprintf(left, sizeof(left), "--%s%s%s", option->name,
            option->value != NULL ? " " : "",
            option->value != NULL ? option->value : "");
        if (option->letter != 0)
            buffer_printf(out, "  -%c, ", option->letter);
        else
            buffer_append_text(out, "      ");
        buffer_printf(out, "%-22s %s\n", left, option->help);
    }
}
