#ifndef LH_FAKE_FAST_H
#define LH_FAKE_FAST_H

/*
 * fast: the little that a benchmark's request must say, found by searching
 * its bytes. The first "model" and "stream" count, at whatever depth; counts
 * of tokens come from the length.
 */

#include "tests/fake-claude/request.h"

/* The value of "model" as it is written, or an empty slice. */
struct slice fast_model(struct slice body);
/* Whether "stream" is true. */
bool fast_stream(struct slice body);
/* Like request_read(), but root stays NULL. *request must not be moved. */
int fast_read(const struct request_setting *setting, struct slice body,
    struct claude_request *request, struct api_error *error) MUST_CHECK;

#endif
