#ifndef LH_SERVICE_MODELS_H
#define LH_SERVICE_MODELS_H

/*
 * models: schema/models.json (embedded at build) as a lookup: which bucket
 * shares a rate limit, what a token costs, how large the window is. Unknown
 * models share the bucket "other" and have no price.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/job/job.h"

struct models;
struct model_info {
    const char *id;
    const char *bucket;
    uint64_t context_tokens; /* 0: unknown */
    uint64_t max_output_tokens;
    uint64_t cache_min_tokens; /* a shorter prefix is not cached; 0: unknown */
    double token_factor; /* tokens of a text relative to the older tokenizer;
                            0: unknown */
};

/* Aborts when the embedded file is broken (a unit test reads it too). */
struct models *models_load(void);
/* A model that only the configuration knows: its bucket is its own, under
 * its name, when that can be a bucket's; it has no price. What the table or
 * an earlier call knows, as a model or as a bucket, stays as it is. */
void models_add(struct models *models, struct slice name);
void models_free(struct models *models);
const struct model_info *models_find(
    const struct models *models, const char *model); /* NULL: unknown */
const char *models_bucket(const struct models *models, const char *model);
/* Exact cost in 1e-9 USD, or -1 without a price. */
int64_t models_cost_usd_nanos(const struct models *models, const char *model,
    const struct job_usage *usage);
/* From how many tokens on a prefix is cached. For a model of which that is
 * not known the largest figure of any: more is never marked in vain. */
uint64_t models_cache_min_tokens(
    const struct models *models, const char *model);
const char *models_as_of(const struct models *models);

#endif
