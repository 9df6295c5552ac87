#ifndef LH_STATUS_API_WAITERS_H
#define LH_STATUS_API_WAITERS_H

/*
 * waiters: requests that wait for a job to change, by the thousand. They are
 * found by the job's id in a hash table; a change that Redis publishes marks
 * the id, and one read serves all who wait for it. Reads are paced, because
 * a thousand jobs may end in the same second. What is published is only a
 * hint: after any gap everything is read again.
 */

#include "status-api/lookup.h"

struct waiters;
struct waiter;

struct waiters *waiters_new(struct status *status);
/* No waiter and no read may be left. */
void waiters_free(struct waiters *waiters);
size_t waiters_count(const struct waiters *waiters);
/* Everybody is answered now with what is so, also those who come later. */
void waiters_drain(struct waiters *waiters);

struct waiter_spec {
    const char *id;
    int64_t for_ms; /* 0: only the first read */
    /* Only the end of the job matters, not each change. */
    bool terminal_only;
    /* Whether this state is what was waited for (a terminal one always is);
     * NULL: no other one. */
    bool (*enough)(void *arg, const struct job_view *view);
    /*
     * Runs exactly once, from the loop and never before waiter_add()
     * returned, unless the waiter is cancelled: with the state that was
     * waited for, with the one at the deadline, or with what went wrong.
     */
    void (*on_wake)(void *arg, const struct lookup_result *result);
    void *arg;
};
/* The first read begins after this call, so nothing is older than it. */
struct waiter *waiter_add(
    struct waiters *waiters, const struct waiter_spec *spec) MUST_CHECK;
void waiter_cancel(struct waiter *waiter);

#endif
