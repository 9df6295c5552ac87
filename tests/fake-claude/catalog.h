#ifndef LH_FAKE_CATALOG_H
#define LH_FAKE_CATALOG_H

/*
 * catalog: what the simulator knows of each model, from schema/models.json
 * (its "_about" explains the members). Zero stands for an unknown number.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/text.h"

#define CATALOG_THINKING_DISABLED 1u
#define CATALOG_THINKING_ENABLED 2u

struct catalog_model {
    const char *id;
    const char *alias; /* NULL: none */
    const char *display_name;
    const char *line;
    const char *created_at; /* NULL: unknown */
    const char *lifecycle;
    const char *retires_at; /* NULL: not announced */
    const char *bucket;
    uint64_t context;
    uint64_t max_output;
    uint64_t cache_min_tokens;
    unsigned token_percent; /* 100: the older tokenizer */
    bool sampling_fixed; /* only temperature 1 and top_p >= 0.99 */
    bool refuses_forced_tools; /* tool_choice any and tool are a 400 */
    unsigned thinking_refused; /* CATALOG_THINKING_* */
};

struct catalog;

/* From the text of models.json; NULL if it is not as documented there. */
struct catalog *catalog_new(struct slice json) MUST_CHECK;
void catalog_free(struct catalog *catalog);
size_t catalog_count(const struct catalog *catalog);
/* Newest first; index < count. */
const struct catalog_model *catalog_model(
    const struct catalog *catalog, size_t index);
/* By id or alias; NULL: unknown. */
const struct catalog_model *catalog_find(
    const struct catalog *catalog, struct slice id);
/* The bucket of everything that is not in the catalog. */
const char *catalog_default_bucket(const struct catalog *catalog);

#endif
