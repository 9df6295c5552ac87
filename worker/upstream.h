#ifndef LH_WORKER_UPSTREAM_H
#define LH_WORKER_UPSTREAM_H

/*
 * upstream: the pool's address and credential. A key file is read again when
 * it changes, so that a rotated key is used without a restart. The key never
 * leaves this module but in the header of a call.
 */

#include <stdbool.h>

#include "common/base/memory.h"

#define UPSTREAM_POOL "default"

struct config;
struct upstream;

/* NULL with a line for people in *error when the key file cannot be read. */
struct upstream *upstream_new(
    const struct config *config, const char **error) MUST_CHECK;
void upstream_free(struct upstream *upstream);
/* "https://api.anthropic.com/v1/messages" */
const char *upstream_messages_url(const struct upstream *upstream);
/* The key, or NULL when there is none (a simulator without keys). */
const char *upstream_key(const struct upstream *upstream);
/* Looks at the key file; true when there is another key now. */
bool upstream_refresh(struct upstream *upstream);

#endif
