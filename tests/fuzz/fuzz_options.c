/*
 * The options object: what is accepted is within its bounds, what is
 * refused has a sentence of printable ASCII.
 */

#include <stdlib.h>
#include <string.h>

#include "common/job/options.h"

#define MUST(condition) \
    do { \
        if (!(condition)) \
            abort(); \
    } while (0)

static void
check_bounds(const struct job_options *options)
{
    unsigned i;

    MUST(options->lane <= JOB_LANE_BULK);
    MUST(options->expires_in_ms >= 1000);
    MUST(options->expires_in_ms <= OPTIONS_EXPIRES_IN_MAX_MS);
    MUST(options->timeout_ms >= 1000);
    MUST(options->timeout_ms <= OPTIONS_TIMEOUT_MAX_MS);
    MUST(options->max_attempts >= 1);
    MUST(options->max_attempts <= OPTIONS_MAX_ATTEMPTS_MAX);
    MUST(options->tag_count <= JOB_TAGS_MAX);
    for (i = 0; i < options->tag_count; i++)
        MUST(options->tags[i][0] != '\0');
    MUST(options->fallback_count <= JOB_FALLBACKS_MAX);
    for (i = 0; i < options->fallback_count; i++)
        MUST(job_model_is_valid(slice_of(options->fallback_models[i])));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct job_options options;
    char error[OPTIONS_ERROR_SIZE] = "";
    size_t i;

    options_init(&options);
    if (options_parse(slice_make((const char *)data, size), &options, error) ==
        0) {
        check_bounds(&options);
        return 0;
    }
    MUST(strncmp(error, "longhaul", 8) == 0);
    for (i = 0; error[i] != '\0'; i++)
        MUST(error[i] >= ' ' && error[i] <= '~');
    return 0;
}
