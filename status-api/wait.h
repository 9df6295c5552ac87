#ifndef LH_STATUS_API_WAIT_H
#define LH_STATUS_API_WAIT_H

/* wait: how long a request is ready to wait: ?wait=SECONDS, or the
 * preference of RFC 7240. Pure. */

#include <stdint.h>

#include "common/net/http_parse.h"

/* Seconds from "Prefer: wait=n" (any number of headers and preferences),
 * at most `max`; -1 when there is none that can be read. */
int64_t wait_preferred_s(const struct http_head *head, int64_t max);

#endif
