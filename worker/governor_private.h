#ifndef LH_WORKER_GOVERNOR_PRIVATE_H
#define LH_WORKER_GOVERNOR_PRIVATE_H

/* What governor.c (jobs and what they need) and governor_share.c (limits, and
 * what is told about them) know of a scope. */

#include "worker/governor.h"

#define GOVERNOR_SCOPE_MAX (JOB_BUCKET_MAX + 80)
#define GOVERNOR_QUEUES_MAX 1024
/* The refill that fits into our buckets; less after a refusal. */
#define GOVERNOR_BURST_MS 600

/* What answers to a queue's jobs were like. */
struct habit {
    const char *scope;
    char queue[JOB_QUEUE_MAX + 1];
    double output;
    unsigned samples;
    int64_t ask_ms; /* not before: its next job has to wait */
};

/* What the headers told of one kind. */
struct told {
    int64_t limit; /* -1: never */
    int64_t remaining; /* not yet judged; -1: nothing new */
    int64_t at_ms; /* of `remaining` */
    int64_t capacity; /* the most that ever remained under this limit */
    int64_t asked; /* `remaining` when the report on its way was sent; -1 */
    int64_t asked_ms; /* of `asked` */
    double slack; /* the share of the pace that is ours, as last judged */
    int64_t judged_ms;
};

struct scope {
    char name[GOVERNOR_SCOPE_MAX];
    struct governor_limits limits;
    struct prompt_rates rates;
    double cached_share;
    struct told told[QUOTA_KINDS];
    struct governor_headers heard; /* what each last said */
    bool answered; /* by Claude, in whatever way */
    bool untold; /* the last report did not arrive */
    unsigned bare; /* answers in a row that told no limit */
    bool synced; /* the shared state is known */
    bool reporting;
    bool empty; /* to be reported */
    int64_t report_ms; /* the last one */
    int64_t used[QUOTA_KINDS]; /* to be reported */
    int64_t per_min[QUOTA_KINDS]; /* as shared; -1 nobody knows */
    int64_t wanted[QUOTA_KINDS]; /* as it should be; -1 not known */
    int64_t level[QUOTA_KINDS]; /* as shared, at report_ms */
    int64_t burst_ms; /* as it should be */
    int64_t burst_told_ms; /* as shared by us; -1 never */
    int64_t burst_at_ms; /* when it changed */
    int64_t ramp_ms; /* to be reported; -1 no */
    int64_t reserved[QUOTA_KINDS]; /* by this worker, ever */
    uint64_t refusals; /* heard by this worker, ever */
    unsigned running;
    double brake;
    double guess; /* requests per minute without headers; 0 none */
    double guess_refused; /* the pace that was refused last */
    int64_t guess_at_ms;
    int64_t refused_ms;
    int64_t window_ms; /* when `started` began */
    unsigned started;
};

struct governor {
    size_t count;
    struct scope *scopes[GOVERNOR_SCOPES_MAX];
    size_t habit_count;
    struct habit *habits[GOVERNOR_QUEUES_MAX];
};

struct scope *governor_find(const struct governor *governor, const char *name);
/* Nothing is known of its limits, and nothing was configured. */
bool governor_is_scouting(const struct scope *scope);

#endif
