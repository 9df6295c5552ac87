#ifndef LH_STATUS_API_PARAMS_H
#define LH_STATUS_API_PARAMS_H

/*
 * params: the parameters of a query against the list of those a route
 * knows. Pure. One that is not known is an error, with a suggestion: a
 * misspelt filter that is ignored would show (or discard) everything.
 */

#include <stdint.h>

#include "common/base/text.h"

#define PARAMS_MAX 16
#define PARAMS_VALUE_MAX 512

struct params {
    const char *const *names; /* NULL-terminated, at most PARAMS_MAX */
    char *values[PARAMS_MAX]; /* decoded; NULL: not given */
};

/* 0, or -1 with a sentence in error[size]; cleared then. */
int params_parse(struct slice query, const char *const *names,
    struct params *params, char *error, size_t size) MUST_CHECK;
/* The same, but what is not in the list is ignored: for clients that were
 * written for another API (older SDKs append ?beta=true to every path). */
int params_parse_known(struct slice query, const char *const *names,
    struct params *params, char *error, size_t size) MUST_CHECK;
void params_clear(struct params *params);
/* The value of a name from the list; NULL when it was not given or is
 * empty. */
const char *params_get(const struct params *params, const char *name);
/* A number within [min, max], `otherwise` when it was not given. 0 or -1 as
 * above. */
int params_number(const struct params *params, const char *name, uint64_t min,
    uint64_t max, uint64_t otherwise, uint64_t *value, char *error,
    size_t size) MUST_CHECK;
/* RFC 3339 in ms, 0 when it was not given. */
int params_time(const struct params *params, const char *name, int64_t *value,
    char *error, size_t size) MUST_CHECK;

#endif
