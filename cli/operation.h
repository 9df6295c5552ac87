#ifndef LH_CLI_OPERATION_H
#define LH_CLI_OPERATION_H

/*
 * operation: replay or discard of many dead letters: counted first, then
 * asked for, then followed to its end. The server carries it out; Ctrl-C
 * only stops watching.
 */

#include "cli/client.h"

/* action: "replay" or "discard"; the selection is in cli->args. */
int operation_run(struct cli *cli, const char *action);

/* Follows an operation that was begun to its end; *op is its newest document
 * (the caller's to decref). CLI_OK, CLI_FAILED when some were impossible,
 * CLI_INTERRUPTED (told), or what went wrong. */
int operation_follow(struct client *client, const char *id,
    struct http_sync_reply *reply, json_t **op) MUST_CHECK;

#endif
