#include "cli/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/out.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/job/options.h"

#define COMMANDS_MAX 64

volatile sig_atomic_t cli_interrupted;

static void
on_interrupt(int number)
{
    (void)number;
    cli_interrupted = 1;
}

/* The second Ctrl-C ends the program as ever. */
void
cli_catch_interrupt(void)
{
    struct sigaction action = {
        .sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGINT, &action, NULL);
}

bool
cli_sleep(int64_t ms)
{
    struct timespec left = {ms / 1000, (ms % 1000) * 1000000};
    while (
        cli_interrupted == 0 && nanosleep(&left, &left) != 0 && errno == EINTR)
        continue;
    return cli_interrupted == 0;
}

/* --- help --- */

static void
help_of_all(struct buffer *out)
{
    buffer_append_text(out,
        "longhaul: a durable queue of jobs for Claude\n\n"
        "usage: longhaul COMMAND [OPTION]... [WORD]...\n\n");
    for (const struct command *c = cli_commands; c->name != NULL; c++) {
        if (!c->hidden)
            buffer_printf(out, "  %-18s %s\n", c->name, c->summary);
    }
    buffer_append_text(out,
        "\nlonghaul help COMMAND tells more. Exit codes: 0 done, 1 error, "
        "2 usage, 3 some\njobs failed, 4 not allowed, 5 not found, 6 still "
        "running, 7 unreachable,\n130 interrupted.\n");
}

void
cli_help(const struct command *command, struct buffer *out)
{
    if (command == NULL) {
        help_of_all(out);
        return;
    }
    buffer_printf(out, "longhaul %s: %s\n\nusage: longhaul %s %s\n\n",
        command->name, command->summary, command->name, command->synopsis);
    if (command->help != NULL)
        buffer_printf(out, "%s\n", command->help);
    if (command->options != NULL)
        args_help(command->options, out);
}

int
cli_usage(const struct cli *cli, const char *format, ...)
{
    struct buffer text = {0};
    char message[512];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    buffer_append_text(&text, message);
    out_say("%s", text.data);
    out_tell(
        "usage: longhaul %s %s", cli->command->name, cli->command->synopsis);
    out_tell("       longhaul help %s tells more", cli->command->name);
    buffer_clear(&text);
    return CLI_USAGE;
}

int
cli_check_options(const struct cli *cli)
{
    const char *expires_in = cli->args.expires_in;
    enum job_lane lane;
    int64_t ms;
    if (cli->args.lane != NULL &&
        job_lane_parse(slice_of(cli->args.lane), &lane) != 0)
        return cli_usage(cli, "--lane is interactive, standard or bulk");
    if (expires_in != NULL &&
        (text_parse_duration_ms(slice_of(expires_in), &ms) != 0 || ms < 1000 ||
            ms > OPTIONS_EXPIRES_IN_MAX_MS))
        return cli_usage(
            cli, "--expires-in wants a time from 1s to 31d, such as 2h or 7d");
    return CLI_OK;
}

/* --- finding the command --- */

static size_t
words_of(const char *name)
{
    return strchr(name, ' ') != NULL ? 2 : 1;
}

/* argv[0] and perhaps argv[1] name it. */
static const struct command *
find(int argc, char **argv)
{
    for (const struct command *c = cli_commands; c->name != NULL; c++) {
        struct slice second = slice_of(c->name);
        struct slice first = slice_split(&second, ' ');
        if (!slice_equal_text(first, argv[0]))
            continue;
        if (second.len == 0 || (argc > 1 && slice_equal_text(second, argv[1])))
            return c;
    }
    return NULL;
}

/* Whether `word` begins names of two words; they are then listed. */
static bool
tell_group(const char *word)
{
    bool found = false;
    for (const struct command *c = cli_commands; c->name != NULL; c++) {
        struct slice rest = slice_of(c->name);
        if (words_of(c->name) < 2 ||
            !slice_equal_text(slice_split(&rest, ' '), word) || c->hidden)
            continue;
        if (!found)
            out_tell("there are:");
        found = true;
        out_tell("  longhaul %-18s %s", c->name, c->summary);
    }
    return found;
}

/* The nearest name to "word" or "word second", or NULL. */
static const char *
suggest(int argc, char **argv)
{
    const char *names[COMMANDS_MAX];
    struct buffer two = {0};
    const char *near = NULL;
    size_t count = 0;
    for (const struct command *c = cli_commands; c->name != NULL; c++) {
        if (!c->hidden && count + 1 < COMMANDS_MAX)
            names[count++] = c->name;
    }
    names[count] = NULL;
    if (argc > 1) {
        buffer_printf(&two, "%s %s", argv[0], argv[1]);
        near = text_suggest(buffer_slice(&two), names);
    }
    buffer_clear(&two);
    return near != NULL ? near : text_suggest(slice_of(argv[0]), names);
}

static bool
is_group(const char *word)
{
    size_t len = strlen(word);
    for (const struct command *c = cli_commands; c->name != NULL; c++) {
        if (strncmp(c->name, word, len) == 0 && c->name[len] == ' ')
            return true;
    }
    return false;
}

static int
unknown(int argc, char **argv)
{
    const char *near = suggest(argc, argv);
    bool two = argc > 1 && is_group(argv[0]);
    out_say("%s: %s%s%s%s%s%s",
        two || !is_group(argv[0]) ? "unknown command" : "an incomplete command",
        argv[0], two ? " " : "", two ? argv[1] : "",
        near != NULL ? "; did you mean: longhaul " : "",
        near != NULL ? near : "", near != NULL ? "?" : "");
    if (!tell_group(argv[0]))
        out_tell("longhaul help lists the commands");
    return CLI_USAGE;
}

static int
print_help(const struct command *command)
{
    struct buffer out = {0};
    cli_help(command, &out);
    bool written = out_write(buffer_slice(&out));
    buffer_clear(&out);
    return written && out_flush() ? CLI_OK : CLI_ERROR;
}

int
cmd_help(int argc, char **argv)
{
    if (argc < 2)
        return print_help(NULL);
    const struct command *command = find(argc - 1, argv + 1);
    if (command != NULL)
        return print_help(command);
    if (!tell_group(argv[1]))
        return unknown(argc - 1, argv + 1);
    return CLI_OK;
}

/* --- running it --- */

static bool
asks_for_help(int argc, char **argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    }
    return false;
}

static int
check_words(const struct cli *cli)
{
    const struct command *command = cli->command;
    if (cli->argc < command->min_words)
        return cli_usage(cli, "%s wants %s", command->name, command->synopsis);
    if (command->max_words >= 0 && cli->argc > command->max_words)
        return cli_usage(cli, "%s: unexpected word: %s", command->name,
            cli->argv[command->max_words]);
    return CLI_OK;
}

static int
run(const struct command *command, int argc, char **argv)
{
    struct cli cli = {.command = command, .argc = argc, .argv = argv};
    struct buffer error = {0};
    const char *accepted = command->options != NULL ? command->options : "";
    args_init(&cli.args);
    if (args_parse(&cli.args, accepted, &cli.argc, argv, &error) != 0) {
        int code = cli_usage(&cli, "%s: %s", command->name, error.data);
        buffer_clear(&error);
        return code;
    }
    out_init(cli.args.no_color);
    int code = check_words(&cli);
    if (code == CLI_OK)
        code = command->run(&cli);
    if (!out_flush() && code == CLI_OK)
        code = CLI_ERROR;
    return code;
}

int
cli_main(int argc, char **argv)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    memory_install_hooks();
    log_init("longhaul");
    sigaction(SIGPIPE, &ignore, NULL);
    out_init(false);
    if (argc < 2) {
        struct buffer out = {0};
        cli_help(NULL, &out);
        fwrite(out.data, 1, out.len, stderr);
        buffer_clear(&out);
        return CLI_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return print_help(NULL);
    if (strcmp(argv[1], "--version") == 0)
        return cmd_version(NULL);
    const struct command *command = find(argc - 1, argv + 1);
    if (command == NULL && asks_for_help(argc - 2, argv + 2) &&
        tell_group(argv[1]))
        return CLI_OK;
    if (command == NULL)
        return unknown(argc - 1, argv + 1);
    int words = (int)words_of(command->name);
    if (asks_for_help(argc - 1 - words, argv + 1 + words) &&
        command->run_raw != cmd_serve)
        return print_help(command);
    if (command->run_raw != NULL)
        return command->run_raw(argc - words, argv + words);
    return run(command, argc - 1 - words, argv + 1 + words);
}
