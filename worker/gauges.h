#ifndef LH_WORKER_GAUGES_H
#define LH_WORKER_GAUGES_H

/* gauges: the worker's part of /metrics. */

#include <stdbool.h>

struct claude_reply;
struct job_meta;
struct job_result;
struct pool;
struct worker;

/* A claim. `first`: nobody had the job before. */
void gauges_claimed(
    struct worker *worker, const struct job_result *job, bool first);
/* A call that counts as an attempt ended. error_type: Claude's, else our class;
 * NULL: it was answered. */
void gauges_attempt(
    struct worker *worker, const struct job_meta *meta, const char *error_type);
/* A call ended: counters and times by model, class and pool. */
void gauges_call(struct worker *worker, const struct pool *pool,
    const char *model, const struct claude_reply *reply);
/* A call was cut off by us: nobody knows whether Claude worked. */
void gauges_cut(struct worker *worker, const char *model);
/* A row was committed. */
void gauges_finished(struct worker *worker, const struct job_result *result);
/* Takeovers that this worker carried out. */
void gauges_reaped(struct worker *worker, unsigned jobs);
/* Before /metrics is rendered; arg is the worker. */
void gauges_scrape(void *arg);

#endif
