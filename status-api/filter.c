#include "status-api/filter.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define STATES 7
#define STATES_ALL ((1u << STATES) - 1)
#define STATES_IN_FLIGHT \
    (1u << JOB_QUEUED | 1u << JOB_RUNNING | 1u << JOB_RETRYING)
#define ID_MS_MAX ((INT64_C(1) << 48) - 1)

const char *const filter_names[] = {"status", "lane", "model", "tag", "tenant",
    "error_type", "batch", "created_after", "created_before", "limit",
    "after_id", NULL};

static int
parse_states(const char *text, unsigned *states, char *error, size_t size)
{
    struct slice rest = slice_of(text);
    *states = text == NULL ? STATES_ALL : 0;
    while (rest.len > 0) {
        struct slice word = slice_trim(slice_split(&rest, ','));
        enum job_state state;
        if (job_state_parse(word, &state) != 0) {
            snprintf(error, size,
                "status is a list of queued, running, retrying, succeeded, "
                "failed, canceled, expired");
            return -1;
        }
        *states |= 1u << state;
    }
    return 0;
}

/* "job_" and a UUID above every one of that millisecond. */
static void
id_above(int64_t ms, char out[ID_SIZE])
{
    if (ms < 0)
        ms = 0;
    if (ms > ID_MS_MAX)
        ms = ID_MS_MAX;
    snprintf(out, ID_SIZE,
        JOB_ID_PREFIX "%08" PRIx64 "-%04" PRIx64 "-7fff-bfff-ffffffffffff",
        (uint64_t)ms >> 16, (uint64_t)ms & 0xffff);
}

static int
parse_place(const struct params *params, struct filter *filter, char *error,
    size_t size)
{
    char bound[ID_SIZE];
    const char *after_id = params_get(params, "after_id");
    if (after_id != NULL && !id_is_valid(slice_of(after_id), JOB_ID_PREFIX)) {
        snprintf(error, size, "after_id is not the id of a job");
        return -1;
    }
    text_copy(filter->before_id, ID_SIZE, slice_of(after_id));
    if (filter->before_ms == 0)
        return 0;
    /* created_ms is the time in the id. */
    id_above(filter->before_ms - 1, bound);
    if (after_id == NULL || strcmp(bound, after_id) < 0)
        text_copy(filter->before_id, ID_SIZE, slice_of(bound));
    return 0;
}

/* The ids of its items begin with its 48 bits of time: a span of ids, and
 * little else in it. */
#define BATCH_TIME_LEN 13

static int
parse_batch(const struct params *params, struct filter *filter, char *error,
    size_t size)
{
    char bound[ID_SIZE];
    const char *batch = params_get(params, "batch");
    if (batch == NULL)
        return 0;
    if (batch_id_parse(slice_of(batch), filter->batch) != 0) {
        snprintf(error, size, "batch is not the id of a batch");
        return -1;
    }
    snprintf(bound, sizeof(bound), JOB_ID_PREFIX "%.13s-7fff-bfff-ffffffffffff",
        filter->batch);
    if (filter->before_id[0] == '\0' || strcmp(bound, filter->before_id) < 0)
        text_copy(filter->before_id, ID_SIZE, slice_of(bound));
    return 0;
}

static int
parse_whose(const struct params *params, const char *only_tenant,
    struct filter *filter, char *error, size_t size)
{
    enum job_lane lane;
    filter->lane = params_get(params, "lane");
    filter->model = params_get(params, "model");
    filter->tag = params_get(params, "tag");
    filter->tenant = params_get(params, "tenant");
    filter->error_type = params_get(params, "error_type");
    if (filter->lane != NULL &&
        job_lane_parse(slice_of(filter->lane), &lane) != 0) {
        snprintf(error, size, "lane is one of interactive, standard, bulk");
        return -1;
    }
    if (only_tenant == NULL)
        return 0;
    if (filter->tenant != NULL && strcmp(filter->tenant, only_tenant) != 0) {
        snprintf(error, size,
            "tenant: jobs of others are shown to keys with the scope operate");
        return -1;
    }
    filter->tenant = only_tenant;
    return 0;
}

int
filter_parse(const struct params *params, const char *only_tenant,
    struct filter *filter, char *error, size_t size)
{
    uint64_t limit;
    memset(filter, 0, sizeof(*filter));
    if (parse_states(
            params_get(params, "status"), &filter->states, error, size) != 0 ||
        params_time(params, "created_after", &filter->after_ms, error, size) !=
            0 ||
        params_time(
            params, "created_before", &filter->before_ms, error, size) != 0 ||
        params_number(params, "limit", 1, FILTER_LIMIT_MAX, 20, &limit, error,
            size) != 0 ||
        parse_whose(params, only_tenant, filter, error, size) != 0)
        return -1;
    filter->limit = (unsigned)limit;
    if (parse_place(params, filter, error, size) != 0)
        return -1;
    return parse_batch(params, filter, error, size);
}

static bool
has_tag(const struct job_meta *meta, const char *tag)
{
    for (unsigned i = 0; i < meta->tag_count; i++) {
        if (strcmp(meta->tags[i], tag) == 0)
            return true;
    }
    return false;
}

static bool
fits(const char *wanted, const char *is)
{
    return wanted == NULL || strcmp(wanted, is) == 0;
}

bool
filter_matches(const struct filter *filter, const struct job_view *view)
{
    const struct job_meta *meta = view->meta;
    const char *type =
        view->error.type[0] != '\0' ? view->error.type : view->error.class_name;
    return filter_wants(filter, view->state) &&
        fits(filter->lane, job_lane_name(meta->lane)) &&
        fits(filter->model, meta->model) &&
        fits(filter->tenant, meta->tenant) && fits(filter->error_type, type) &&
        (filter->batch[0] == '\0' || strcmp(filter->batch, meta->batch) == 0) &&
        (filter->tag == NULL || has_tag(meta, filter->tag)) &&
        (filter->after_ms == 0 || meta->created_ms >= filter->after_ms) &&
        (filter->before_ms == 0 || meta->created_ms < filter->before_ms);
}

bool
filter_wants_in_flight(const struct filter *filter)
{
    return (filter->states & STATES_IN_FLIGHT) != 0;
}

bool
filter_wants(const struct filter *filter, enum job_state state)
{
    return (filter->states & 1u << state) != 0;
}

bool
filter_is_open(const struct filter *filter)
{
    return (filter->states & STATES_IN_FLIGHT) == STATES_IN_FLIGHT &&
        filter->lane == NULL && filter->model == NULL && filter->tag == NULL &&
        filter->tenant == NULL && filter->error_type == NULL &&
        filter->batch[0] == '\0';
}

bool
filter_is_past(const struct filter *filter, const char *id)
{
    if (filter->batch[0] != '\0' &&
        strncmp(id + strlen(JOB_ID_PREFIX), filter->batch, BATCH_TIME_LEN) < 0)
        return true;
    return filter->after_ms != 0 && id_is_valid(slice_of(id), JOB_ID_PREFIX) &&
        id_wall_ms(slice_of(id)) < filter->after_ms;
}

void
filter_for_store(const struct filter *filter, struct store_filter *out)
{
    memset(out, 0, sizeof(*out));
    out->tenant = filter->tenant;
    out->model = filter->model;
    out->lane = filter->lane;
    out->tag = filter->tag;
    out->error_type = filter->error_type;
    out->batch = filter->batch[0] != '\0' ? filter->batch : NULL;
    out->after_ms = filter->after_ms;
    out->before_ms = filter->before_ms;
}
