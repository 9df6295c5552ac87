#ifndef LH_CLI_ARGS_H
#define LH_CLI_ARGS_H

/*
 * args: the options of all commands in one table. A command names those it
 * takes; parsing, help and suggestions come from here. Forms: --name VALUE,
 * --name=VALUE, -l VALUE, -lVALUE, flags without value; "--" ends options;
 * "-" alone is a word (standard input). Pure.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buffer.h"

#define ARGS_LIST_MAX 64
/* A count that was not said. */
#define ARGS_UNSAID UINT64_MAX

struct args_list {
    const char *items[ARGS_LIST_MAX];
    size_t count;
};

/* What was said; texts point into argv. */
struct args {
    /* every client command */
    bool help;
    bool json;
    bool no_color;
    const char *url;
    /* submit, wait, get */
    const char *model;
    const char *file;
    const char *message;
    const char *system;
    const char *json_body;
    const char *lane;
    const char *expires_in;
    const char *idempotency_key;
    struct args_list tags;
    uint64_t max_tokens; /* or ARGS_UNSAID */
    bool wait;
    bool result;
    bool text;
    int64_t timeout_ms; /* -1: not said */
    /* lists and operations */
    uint64_t limit; /* or ARGS_UNSAID */
    const char *cursor;
    const char *fingerprint;
    uint64_t generation; /* UINT64_MAX: the one that is dead now */
    const char *error_type;
    uint64_t rate;
    bool all;
    bool dry_run;
    bool detach;
    bool yes;
    /* pause */
    const char *hold_for;
    const char *reason;
    /* bulk */
    const char *template_file;
    const char *output;
    const char *id_column;
    const char *max_cost;
    const char *progress;
    const char *format;
    const char *summary_json;
    uint64_t show; /* or ARGS_UNSAID */
    bool join;
    bool in_order;
    bool cancel_on_interrupt;
    /* keys, config, doctor */
    const char *scopes;
    const char *key_file;
    const char *config;
    bool origin;
    /* up */
    uint64_t port;
    const char *data;
    uint64_t workers;
    bool simulate;
    bool no_demo;
    int64_t stall_ms;
};

/* args.data points at it when --data was not said. */
extern const char args_data_default[];

/* Before parsing. */
void args_init(struct args *args);
/*
 * `accepted`: names of options, separated by blanks. Options are taken out
 * of argv; words stay, *argc is adjusted. 0, or -1 with a sentence in
 * *error that names the wrong one, with a suggestion if there is a near one.
 */
int args_parse(struct args *args, const char *accepted, int *argc, char **argv,
    struct buffer *error) MUST_CHECK;
/* How long a list should be: --limit, or 20. */
uint64_t args_list_limit(const struct args *args);
/* A line for each accepted option. */
void args_help(const char *accepted, struct buffer *out);

#endif
