#include <stddef.h>

#include "cli/cli.h"

#define CLIENT "url json no-color"
#define SELECTION \
    "fingerprint generation error-type model lane all rate dry-run detach " \
    "yes " CLIENT

static const char filter_help[] =
    "Filters are words: status:failed model:NAME tag:T lane:L tenant:NAME\n"
    "error:TYPE newer:2h older:7d. Several states: status:failed,expired.\n";

static const char submit_help[] =
    "The prompt comes from -f FILE, --message, or standard input. The job's\n"
    "id is printed on stdout; with --wait, the answer's text.\n";

static const char many_help[] =
    "Name jobs, or say which with --fingerprint, --error-type, --model or\n"
    "--all. The server counts them first; what comes later is not touched.\n"
    "Ctrl-C leaves it to the server.\n";

static const char bulk_run_help[] =
    "INPUT is CSV, TSV or JSONL with a row for each prompt; - is standard\n"
    "input. {{column}} in the template stands for the row's field, {{{{ for\n"
    "{{ itself. Without a template each line of JSON is a whole request.\n"
    "Answers are appended to OUT as they come, in no order; failures and bad\n"
    "rows go to OUT's .errors.jsonl, and the exit code is then 3.\n\n"
    "Ctrl-C leaves the rest to the server. The same command again goes on and\n"
    "pays for no row twice: a row is known by its id column, or else by a\n"
    "hash of the row, template, model and parameters. Name an id column only\n"
    "if its ids are never used for another row.\n";

static const char up_help[] =
    "Runs Redis, the server, the workers and, without a key, a simulator of\n"
    "Claude, on one port of this machine. Everything is kept in the data\n"
    "directory. Prints `ready URL` on stdout when it serves; Ctrl-C drains.\n"
    "Settings of the servers may be given as well: longhaul config show.\n";

/* clang-format off */
const struct command cli_commands[] = {
    {.name = "up", .synopsis = "[--port 8080] [--data ./var] [--workers 2]",
        .summary = "run everything on this machine", .help = up_help,
        .options = "port data workers simulate no-demo stall-timeout config "
            "no-color", .run_raw = cmd_up},
    {.name = "serve", .synopsis = "[SETTING...]",
        .summary = "submitter and status API in one process",
        .run_raw = cmd_serve},
    {.name = "submit", .synopsis = "[-m MODEL] [-f FILE|-]",
        .summary = "hand in a prompt", .help = submit_help,
        .options = "model file message system max-tokens lane tag expires-in "
            "idempotency-key json-body wait timeout " CLIENT,
        .run = cmd_submit},
    {.name = "get", .synopsis = "ID", .summary = "show a job",
        .options = "result text " CLIENT,
        .min_words = 1, .max_words = 1, .run = cmd_get},
    {.name = "wait", .synopsis = "ID...", .summary = "wait for jobs to end",
        .help = "Exit code 3 when one did not succeed, 6 when time is up.\n",
        .options = "timeout " CLIENT,
        .min_words = 1, .max_words = -1, .run = cmd_wait},
    {.name = "ls", .synopsis = "[FILTER...]", .summary = "list jobs",
        .help = filter_help, .options = "limit cursor " CLIENT,
        .max_words = -1, .run = cmd_ls},
    {.name = "cancel", .synopsis = "ID...", .summary = "stop jobs",
        .options = CLIENT, .min_words = 1, .max_words = -1,
        .run = cmd_cancel},
    {.name = "rm", .synopsis = "ID...",
        .summary = "delete ended jobs and their answers",
        .options = CLIENT, .min_words = 1, .max_words = -1, .run = cmd_rm},
    {.name = "why", .synopsis = "ID",
        .summary = "why a job is where it is, and what to do",
        .options = CLIENT, .min_words = 1, .max_words = 1, .run = cmd_why},
    {.name = "bulk run", .synopsis = "INPUT -t TEMPLATE -o OUT",
        .summary = "a prompt for each row of a file", .help = bulk_run_help,
        .options = "template output system model max-tokens lane expires-in "
            "id-column join in-order limit max-cost dry-run yes show format "
            "progress summary-json cancel-on-interrupt url no-color",
        .min_words = 1, .max_words = 1, .run = cmd_bulk_run},
    {.name = "bulk attach", .synopsis = "BATCH [-o OUT]",
        .summary = "follow a batch to its end",
        .options = "output progress summary-json url no-color",
        .min_words = 1, .max_words = 1, .run = cmd_bulk_attach},
    {.name = "bulk status", .synopsis = "[BATCH]",
        .summary = "how far a batch is; without one, a list",
        .options = "limit " CLIENT, .max_words = 1, .run = cmd_bulk_status},
    {.name = "bulk results", .synopsis = "BATCH [-o FILE]",
        .summary = "the results of a batch so far, as JSON lines",
        .options = "output url no-color",
        .min_words = 1, .max_words = 1, .run = cmd_bulk_results},
    {.name = "bulk cancel", .synopsis = "BATCH",
        .summary = "stop what is not done of a batch", .options = CLIENT,
        .min_words = 1, .max_words = 1, .run = cmd_bulk_cancel},
    {.name = "bulk retry-failed", .synopsis = "BATCH",
        .summary = "run what failed of a batch again",
        .options = "detach " CLIENT,
        .min_words = 1, .max_words = 1, .run = cmd_bulk_retry_failed},
    {.name = "dlq ls", .synopsis = "", .summary = "list dead letters",
        .options = "limit cursor fingerprint error-type model lane " CLIENT,
        .run = cmd_dlq_ls},
    {.name = "dlq groups", .synopsis = "",
        .summary = "dead letters by cause", .options = CLIENT,
        .run = cmd_dlq_groups},
    {.name = "dlq show", .synopsis = "ID", .summary = "show a dead letter",
        .options = CLIENT, .min_words = 1, .max_words = 1,
        .run = cmd_dlq_show},
    {.name = "dlq replay", .synopsis = "(ID... | --fingerprint F | --all)",
        .summary = "run dead letters again", .help = many_help,
        .options = SELECTION, .max_words = -1, .run = cmd_dlq_replay},
    {.name = "dlq discard", .synopsis = "(ID... | --fingerprint F | --all)",
        .summary = "give dead letters up", .help = many_help,
        .options = SELECTION, .max_words = -1, .run = cmd_dlq_discard},
    {.name = "op ls", .synopsis = "", .summary = "list operations",
        .options = CLIENT, .run = cmd_op_ls},
    {.name = "op show", .synopsis = "ID", .summary = "show an operation",
        .options = CLIENT, .min_words = 1, .max_words = 1,
        .run = cmd_op_show},
    {.name = "op cancel", .synopsis = "ID", .summary = "stop an operation",
        .options = CLIENT, .min_words = 1, .max_words = 1,
        .run = cmd_op_cancel},
    {.name = "pools ls", .synopsis = "",
        .summary = "upstreams, and what holds them back", .options = CLIENT,
        .run = cmd_pools_ls},
    {.name = "pools pause", .synopsis = "POOL [--for TIME]",
        .summary = "call an upstream no more; its work goes to others or waits",
        .options = "for reason " CLIENT, .min_words = 1, .max_words = 1,
        .run = cmd_pools_pause},
    {.name = "pools resume", .synopsis = "POOL",
        .summary = "try a held upstream again now, whatever held it",
        .options = CLIENT, .min_words = 1, .max_words = 1,
        .run = cmd_pools_resume},
    {.name = "lanes ls", .synopsis = "",
        .summary = "lanes, and what waits in them", .options = CLIENT,
        .run = cmd_lanes_ls},
    {.name = "lanes pause", .synopsis = "LANE [--for TIME]",
        .summary = "start no job of a lane", .options = "for reason " CLIENT,
        .min_words = 1, .max_words = 1, .run = cmd_lanes_pause},
    {.name = "lanes resume", .synopsis = "LANE",
        .summary = "let a lane go on", .options = CLIENT,
        .min_words = 1, .max_words = 1, .run = cmd_lanes_resume},
    {.name = "keys new", .synopsis = "NAME",
        .summary = "make a key; it is shown once",
        .options = "scopes keys-file", .min_words = 1, .max_words = 1,
        .run = cmd_keys_new},
    {.name = "keys ls", .synopsis = "", .summary = "list keys",
        .options = "keys-file", .run = cmd_keys_ls},
    {.name = "keys rm", .synopsis = "NAME", .summary = "remove a key",
        .options = "keys-file", .min_words = 1, .max_words = 1,
        .run = cmd_keys_rm},
    {.name = "doctor", .synopsis = "", .summary = "what is wrong, if anything",
        .help = "Works also when nothing runs. Spends nothing at Claude.\n",
        .options = "data config " CLIENT, .run = cmd_doctor},
    {.name = "config check", .synopsis = "[-c FILE] [SETTING...]",
        .summary = "check the settings", .run_raw = cmd_config_check},
    {.name = "config show", .synopsis = "[--origin] [-c FILE] [SETTING...]",
        .summary = "the settings in effect", .options = "origin json config",
        .run_raw = cmd_config_show},
    {.name = "config document", .synopsis = "",
        .summary = "every setting, as Markdown",
        .run_raw = cmd_config_document, .hidden = true},
    {.name = "version", .synopsis = "", .summary = "the version",
        .run = cmd_version},
    {.name = "help", .synopsis = "[COMMAND]", .summary = "help of a command",
        .run_raw = cmd_help},
    {.name = "demo", .synopsis = "", .summary = "a first job, shown",
        .options = CLIENT, .run = cmd_demo, .hidden = true},
    {.name = NULL},
};
/* clang-format on */
