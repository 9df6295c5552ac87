#ifndef LH_FAKE_MODEL_LIST_H
#define LH_FAKE_MODEL_LIST_H

/*
 * model_list: GET /v1/models and /v1/models/{id} (Claude's documentation,
 * "Models"). Test cards are not listed.
 */

#include "tests/fake-claude/request.h"

void model_list_append(struct buffer *out, const struct catalog_model *model);
/* One page by limit (1..1000, default 20), after_id and before_id of the
 * query; other parameters are ignored. 0, or -1 with the error. */
int model_list_append_page(struct buffer *out, const struct catalog *catalog,
    struct slice query, struct api_error *error) MUST_CHECK;

#endif
