#include "status-api/params.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/net/http_parse.h"

struct reading {
    struct params *params;
    char *error;
    size_t size;
    bool known_only;
};

static size_t
index_of(const struct params *params, struct slice name)
{
    size_t i = 0;
    while (
        params->names[i] != NULL && !slice_equal_text(name, params->names[i]))
        i++;
    return i;
}

static int
on_pair(void *arg, struct slice name, struct slice value)
{
    struct reading *reading = arg;
    struct params *params = reading->params;
    size_t i = index_of(params, name);
    if (params->names[i] == NULL && reading->known_only)
        return 0;
    if (params->names[i] == NULL) {
        const char *near = text_suggest(name, params->names);
        snprintf(reading->error, reading->size, "unknown parameter %.*s%s%s%s",
            (int)(name.len > 64 ? 64 : name.len), name.data,
            near != NULL ? ": did you mean " : "", near != NULL ? near : "",
            near != NULL ? "?" : "");
        return -1;
    }
    if (params->values[i] != NULL) {
        snprintf(reading->error, reading->size, "%s is given twice",
            params->names[i]);
        return -1;
    }
    if (value.len > PARAMS_VALUE_MAX || !text_is_utf8(value)) {
        snprintf(reading->error, reading->size,
            "%s is not UTF-8 of at most %d bytes", params->names[i],
            PARAMS_VALUE_MAX);
        return -1;
    }
    params->values[i] = memory_dup_bytes(value.data, value.len);
    return 0;
}

static int
parse(struct slice query, const char *const *names, bool known_only,
    struct params *params, char *error, size_t size)
{
    struct reading reading = {params, error, size, known_only};
    memset(params, 0, sizeof(*params));
    params->names = names;
    snprintf(error, size, "the query is malformed");
    if (http_query_each(query, on_pair, &reading) == 0)
        return 0;
    params_clear(params);
    return -1;
}

int
params_parse(struct slice query, const char *const *names,
    struct params *params, char *error, size_t size)
{
    return parse(query, names, false, params, error, size);
}

int
params_parse_known(struct slice query, const char *const *names,
    struct params *params, char *error, size_t size)
{
    return parse(query, names, true, params, error, size);
}

void
params_clear(struct params *params)
{
    for (size_t i = 0; i < PARAMS_MAX; i++) {
        memory_free(params->values[i]);
        params->values[i] = NULL;
    }
}

const char *
params_get(const struct params *params, const char *name)
{
    size_t i = index_of(params, slice_of(name));
    assert(params->names[i] != NULL);
    const char *value = params->values[i];
    return value == NULL || value[0] == '\0' ? NULL : value;
}

int
params_number(const struct params *params, const char *name, uint64_t min,
    uint64_t max, uint64_t otherwise, uint64_t *value, char *error, size_t size)
{
    const char *text = params_get(params, name);
    *value = otherwise;
    if (text == NULL ||
        (text_parse_u64(slice_of(text), max, value) == 0 && *value >= min))
        return 0;
    snprintf(error, size,
        "%s must be a whole number from %" PRIu64 " to %" PRIu64, name, min,
        max);
    return -1;
}

int
params_time(const struct params *params, const char *name, int64_t *value,
    char *error, size_t size)
{
    const char *text = params_get(params, name);
    *value = 0;
    if (text == NULL || clock_parse_rfc3339(slice_of(text), value) == 0)
        return 0;
    snprintf(
        error, size, "%s must be a time such as 2026-11-20T14:32:10Z", name);
    return -1;
}
