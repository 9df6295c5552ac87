#ifndef LH_CLI_OPERATION_H
#define LH_CLI_OPERATION_H

/*
 * operation: replay or discard of many dead letters: counted first, then
 * asked for, then followed to its end. The server carries it out; Ctrl-C
 * only stops watching.
 */

#include "cli/cli.h"

/* action: "replay" or "discard"; the selection is in cli->args. */
int operation_run(struct cli *cli, const char *action);

#endif
