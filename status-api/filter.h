#ifndef LH_STATUS_API_FILTER_H
#define LH_STATUS_API_FILTER_H

/* filter: which jobs GET /v1/jobs shows. Pure. */

#include "common/job/batch.h"
#include "common/store/store.h"
#include "status-api/params.h"

#define FILTER_LIMIT_MAX 1000

/* The names of the parameters. */
extern const char *const filter_names[];

struct filter {
    unsigned states; /* bit per enum job_state */
    const char *lane; /* NULL: any; these borrow from params */
    const char *model;
    const char *tag;
    const char *tenant;
    const char *error_type;
    int64_t after_ms; /* 0: any */
    int64_t before_ms;
    unsigned limit;
    char batch[BATCH_UUID_SIZE]; /* "": any; its items' ids share its time */
    char before_id[ID_SIZE]; /* ids are strictly below; "": from the newest */
};

/*
 * `only_tenant`: the key's own tenant when it may not see others, else NULL;
 * asking for another one is an error. `params` must outlive the filter. 0, or
 * -1 with a sentence in error[size].
 */
int filter_parse(const struct params *params, const char *only_tenant,
    struct filter *filter, char *error, size_t size) MUST_CHECK;

bool filter_matches(const struct filter *filter, const struct job_view *view);
/* Whether jobs in flight, or in this terminal state, can match. */
bool filter_wants_in_flight(const struct filter *filter);
bool filter_wants(const struct filter *filter, enum job_state state);
/* Whether every job matches, so that a page is as long as what is read. */
bool filter_is_open(const struct filter *filter);
/* Whether this id, and so every smaller one, is older than what is wanted. */
bool filter_is_past(const struct filter *filter, const char *id);
/* The same filter for the store, without the state. */
void filter_for_store(const struct filter *filter, struct store_filter *out);

#endif
