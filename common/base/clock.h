#ifndef LH_BASE_CLOCK_H
#define LH_BASE_CLOCK_H

/*
 * clock: the two clocks and their text forms. Durations and deadlines use
 * the monotonic clock; the wall clock is for what is shown and stored.
 */

#include <stdint.h>

#include "common/base/text.h"

/* Milliseconds since the Unix epoch, from the wall clock. */
int64_t clock_wall_ms(void);
/* Milliseconds on the monotonic clock; the zero point means nothing. */
int64_t clock_mono_ms(void);
int64_t clock_mono_us(void);

#define CLOCK_TEXT_SIZE 32
/* "2026-11-20T14:32:10.123Z" (RFC 3339, UTC) into out[CLOCK_TEXT_SIZE]. */
void clock_format_ms(int64_t wall_ms, char *out);
/* RFC 3339 with Z or a numeric offset, fraction optional. 0 or -1. */
int clock_parse_rfc3339(struct slice in, int64_t *wall_ms) MUST_CHECK;
/* An HTTP-date in any of the three forms of RFC 9110 5.6.7. 0 or -1. */
int clock_parse_http_date(struct slice in, int64_t *wall_ms) MUST_CHECK;

#endif
