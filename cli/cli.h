#ifndef LH_CLI_CLI_H
#define LH_CLI_CLI_H

/*
 * cli: what the commands of `longhaul` share. A command is a row of the
 * table in command.c: name, synopsis, help, options, function. Commands that
 * talk to a server do so over HTTP alone (client.h).
 */

#include <signal.h>

#include "cli/args.h"

/* Exit codes (DESIGN section 7). */
enum cli_exit {
    CLI_OK = 0,
    CLI_ERROR = 1,
    CLI_USAGE = 2,
    CLI_FAILED = 3, /* some jobs failed */
    CLI_FORBIDDEN = 4,
    CLI_NOT_FOUND = 5,
    CLI_RUNNING = 6, /* the wait is over, the job is not */
    CLI_UNREACHABLE = 7, /* or refusing work: safe to try again */
    CLI_INTERRUPTED = 130
};

struct cli {
    const struct command *command;
    struct args args;
    int argc; /* words: what is left without options */
    char **argv;
};

struct command {
    const char *name; /* "dlq show": two words are matched as such */
    const char *synopsis; /* after the name */
    const char *summary; /* one line */
    const char *help; /* more, or NULL */
    const char *options; /* names of args_option, separated by blanks */
    int min_words;
    int max_words; /* -1: any number */
    int (*run)(struct cli *cli);
    /* Gets argv as it is and does everything itself; NULL: run() is used. */
    int (*run_raw)(int argc, char **argv);
    bool hidden;
};

/* Ends with a NULL name. */
extern const struct command cli_commands[];

/* The whole program: finds the command, parses, runs. */
int cli_main(int argc, char **argv);
/* The help of one command, or of all with NULL. */
void cli_help(const struct command *command, struct buffer *out);
/* Says what is wrong with how the command was used; returns CLI_USAGE. */
int cli_usage(const struct cli *cli, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* CLI_OK when --lane and --expires-in, if said, are what a server takes, else
 * CLI_USAGE (said). */
int cli_check_options(const struct cli *cli) MUST_CHECK;

/* Set by SIGINT once cli_catch_interrupt() was called. */
extern volatile sig_atomic_t cli_interrupted;
void cli_catch_interrupt(void);
/* Waits so long, or until interrupted: then false. */
bool cli_sleep(int64_t ms);

/* --- the commands (cmd_*.c) --- */
int cmd_submit(struct cli *cli);
int cmd_get(struct cli *cli);
int cmd_wait(struct cli *cli);
int cmd_ls(struct cli *cli);
int cmd_bulk_run(struct cli *cli);
int cmd_bulk_attach(struct cli *cli);
int cmd_bulk_status(struct cli *cli);
int cmd_bulk_results(struct cli *cli);
int cmd_bulk_cancel(struct cli *cli);
int cmd_bulk_retry_failed(struct cli *cli);
int cmd_cancel(struct cli *cli);
int cmd_rm(struct cli *cli);
int cmd_why(struct cli *cli);
int cmd_dlq_ls(struct cli *cli);
int cmd_dlq_groups(struct cli *cli);
int cmd_dlq_show(struct cli *cli);
int cmd_dlq_replay(struct cli *cli);
int cmd_dlq_discard(struct cli *cli);
int cmd_op_ls(struct cli *cli);
int cmd_op_show(struct cli *cli);
int cmd_op_cancel(struct cli *cli);
int cmd_pools_ls(struct cli *cli);
int cmd_pools_pause(struct cli *cli);
int cmd_pools_resume(struct cli *cli);
int cmd_lanes_ls(struct cli *cli);
int cmd_lanes_pause(struct cli *cli);
int cmd_lanes_resume(struct cli *cli);
int cmd_keys_new(struct cli *cli);
int cmd_keys_ls(struct cli *cli);
int cmd_keys_rm(struct cli *cli);
int cmd_doctor(struct cli *cli);
int cmd_config_check(int argc, char **argv);
int cmd_config_show(int argc, char **argv);
int cmd_config_document(int argc, char **argv);
int cmd_version(struct cli *cli);
int cmd_demo(struct cli *cli);
int cmd_help(int argc, char **argv);
int cmd_up(int argc, char **argv);
int cmd_serve(int argc, char **argv);

#endif
