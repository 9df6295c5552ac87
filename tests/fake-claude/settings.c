#include "tests/fake-claude/settings.h"

#include <stddef.h>
#include <string.h>

#include "tests/fake-claude/cards.h"

enum kind { KIND_TEXT, KIND_COUNT, KIND_REAL, KIND_FLAG };

struct option {
    const char *name;
    const char *value; /* what help calls it; NULL for a flag */
    enum kind kind;
    size_t offset;
    const char *help;
};

#define AT(member) offsetof(struct settings, member)

static const struct option options[] = {
    {"listen", "ADDR:PORT", KIND_TEXT, AT(listen),
        "where to serve (127.0.0.1:0: a free port, printed on stdout)"},
    {"seed", "N", KIND_COUNT, AT(seed), "varies answers and chance (0)"},
    {"ttft-ms", "N", KIND_COUNT, AT(ttft_ms), "time to the first token (0)"},
    {"tokens-per-s", "N", KIND_REAL, AT(tokens_per_s),
        "speed of an answer; 0: at once (0)"},
    {"jitter", "SHARE", KIND_REAL, AT(jitter),
        "both vary by this share, say 0.2 (0)"},
    {"rpm", "N", KIND_COUNT, AT(per_minute[LIMIT_REQUESTS]),
        "requests a minute for each model bucket; 0: unlimited (0)"},
    {"itpm", "N", KIND_COUNT, AT(per_minute[LIMIT_INPUT]),
        "input tokens a minute, without cache reads (0)"},
    {"otpm", "N", KIND_COUNT, AT(per_minute[LIMIT_OUTPUT]),
        "output tokens a minute (0)"},
    {"burst-s", "SECONDS", KIND_REAL, AT(burst_s),
        "a full bucket is worth this much time (60)"},
    {"ledger", "FILE", KIND_TEXT, AT(ledger),
        "append a JSON line for every call"},
    {"fsync-ledger", NULL, KIND_FLAG, AT(fsync_ledger),
        "make each line durable before the answer"},
    {"record", "DIR", KIND_TEXT, AT(record),
        "keep every request, credentials masked"},
    {"unmarked", NULL, KIND_FLAG, AT(unmarked),
        "answers do not say that they are simulated: tests of prices"},
    {"control", NULL, KIND_FLAG, AT(control), "serve /_fake/"},
    {"fast", NULL, KIND_FLAG, AT(fast),
        "for benchmarks: bodies are not parsed, the answer is canned"},
    {"shared", NULL, KIND_FLAG, AT(shared),
        "several processes on one port; each counts its own limits"},
    {"die-with-parent", NULL, KIND_FLAG, AT(die_with_parent),
        "end when the parent process ends"},
    {"help", NULL, KIND_FLAG, AT(help), "this text"},
};

#define OPTIONS (sizeof(options) / sizeof(options[0]))

static const struct option *
find(struct slice name)
{
    for (size_t i = 0; i < OPTIONS; i++)
        if (slice_equal_text(name, options[i].name))
            return &options[i];
    return NULL;
}

static int
store(struct settings *settings, const struct option *option, const char *value)
{
    char *at = (char *)settings + option->offset;
    double real;
    switch (option->kind) {
    case KIND_TEXT: memcpy(at, &value, sizeof(value)); return 0;
    case KIND_COUNT: {
        uint64_t count;
        if (text_parse_u64(slice_of(value), UINT64_MAX, &count) != 0)
            return -1;
        memcpy(at, &count, sizeof(count));
        return 0;
    }
    case KIND_REAL:
        if (text_parse_double(slice_of(value), &real) != 0 || real < 0)
            return -1;
        memcpy(at, &real, sizeof(real));
        return 0;
    case KIND_FLAG: break;
    }
    *(bool *)at = true;
    return 0;
}

/* One option at argv[*at]; its value may be the next argument. */
static int
read_option(struct settings *settings, int argc, char **argv, int *at,
    struct buffer *error)
{
    const char *arg = argv[*at];
    if (strncmp(arg, "--", 2) != 0) {
        buffer_printf(error, "unexpected argument: %s", arg);
        return -1;
    }
    struct slice rest = slice_of(arg + 2);
    bool inlined = memchr(rest.data, '=', rest.len) != NULL;
    const struct option *option = find(slice_split(&rest, '='));
    if (option == NULL || (inlined && option->kind == KIND_FLAG)) {
        buffer_printf(error, "unknown option: %s (see --help)", arg);
        return -1;
    }
    const char *value = inlined ? rest.data : NULL;
    if (!inlined && option->kind != KIND_FLAG)
        value = *at + 1 < argc ? argv[++*at] : NULL;
    if (option->kind != KIND_FLAG && value == NULL) {
        buffer_printf(error, "--%s wants a value", option->name);
        return -1;
    }
    if (store(settings, option, value) != 0) {
        buffer_printf(error, "--%s: not a number: %s", option->name, value);
        return -1;
    }
    return 0;
}

int
settings_read(
    struct settings *settings, int argc, char **argv, struct buffer *error)
{
    *settings = (struct settings){.listen = "127.0.0.1:0", .burst_s = 60};
    for (int i = 1; i < argc; i++)
        if (read_option(settings, argc, argv, &i, error) != 0)
            return -1;
    return 0;
}

void
settings_help(struct buffer *out)
{
    buffer_append_text(out,
        "fake-claude: a simulator of Claude's API\n\n"
        "usage: fake-claude [OPTION]...\n\n");
    for (size_t i = 0; i < OPTIONS; i++) {
        const struct option *option = &options[i];
        char name[48] = "";
        struct buffer both = {0};
        buffer_printf(&both, "--%s %s", option->name,
            option->value != NULL ? option->value : "");
        (void)text_copy(name, sizeof(name), buffer_slice(&both));
        buffer_clear(&both);
        buffer_printf(out, "  %-22s %s\n", name, option->help);
    }
    buffer_append_text(out,
        "\nTest cards (the model of a request). Failures are counted per "
        "job: by the\nheader x-longhaul-job, else by the body.\n\n");
    cards_help(out);
}
