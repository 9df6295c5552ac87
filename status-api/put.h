#ifndef LH_STATUS_API_PUT_H
#define LH_STATUS_API_PUT_H

/* put: members behind the first of a JSON object, each with its comma. */

#include <stdint.h>

#include "common/base/buffer.h"

/* ,"key":"text"; "" is null. */
void put_text(struct buffer *out, const char *key, const char *text);
/* ,"key":"2026-11-20T14:32:10.123Z"; 0 and below is null. */
void put_time(struct buffer *out, const char *key, int64_t wall_ms);

#endif
