#ifndef LH_WORKER_UPSTREAM_H
#define LH_WORKER_UPSTREAM_H

/*
 * upstream: a pool's address and credential. A key file is read again when
 * it changes, so that a rotated key is used without a restart. The key never
 * leaves this module but in the header of a call.
 */

#include <stdbool.h>

#include "common/base/memory.h"

struct config_pool;
struct upstream;

/* NULL with a line for people in error when the key file cannot be read. The
 * configuration must live longer. */
struct upstream *upstream_new(const struct config_pool *config, bool simulated,
    char *error, size_t error_size) MUST_CHECK;
void upstream_free(struct upstream *upstream);
/* "https://api.anthropic.com/v1/messages" */
const char *upstream_messages_url(const struct upstream *upstream);
/* The key, or NULL when there is none (a simulator without keys). */
const char *upstream_key(const struct upstream *upstream);
/* Whether the key is sent as Authorization: Bearer. */
bool upstream_is_bearer(const struct upstream *upstream);
/* Looks at the key file; true when there is another key now. */
bool upstream_refresh(struct upstream *upstream);

#endif
