#ifndef LH_SUBMITTER_ADMISSION_H
#define LH_SUBMITTER_ADMISSION_H

/*
 * admission: whether one more job is taken. Pure. What was accepted is
 * never dropped, so the only defence against a full Redis is to say no
 * early, with a time after which asking again makes sense.
 *
 * The load is a second old at most; the enqueue script decides with exact
 * numbers, this only spares a large upload that would be refused at its end.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/memory.h"

struct admission_load {
    bool known; /* false: nothing was read yet, everything is taken */
    uint64_t jobs;
    uint64_t bytes; /* stored request bytes */
    uint64_t redis_used_bytes;
    uint64_t redis_max_bytes; /* 0: none set */
};

struct admission_limits {
    uint64_t max_jobs;
    uint64_t max_bytes;
};

enum admission_verdict {
    ADMISSION_OK,
    ADMISSION_FULL_JOBS,
    ADMISSION_FULL_BYTES,
    ADMISSION_FULL_REDIS /* near its maxmemory */
};

/* configured_bytes 0: half of Redis's maxmemory, or 2 GiB without one. */
struct admission_limits admission_limits_make(
    uint64_t max_jobs, uint64_t configured_bytes, uint64_t redis_max_bytes);

enum admission_verdict admission_decide(const struct admission_load *load,
    const struct admission_limits *limits) MUST_CHECK;
/* "jobs", "bytes", "redis_memory": the reason in logs and metrics. */
const char *admission_verdict_name(enum admission_verdict verdict);
/* A sentence for the client. */
const char *admission_verdict_text(enum admission_verdict verdict);

/* How fast jobs leave, smoothed over half a minute. A zeroed struct knows
 * nothing. */
struct admission_pace {
    bool known;
    int64_t at_ms;
    uint64_t jobs;
    uint64_t submitted;
    double per_s;
};
/* A sample: jobs in flight and jobs ever submitted at mono_ms. */
void admission_pace_sample(struct admission_pace *pace, int64_t mono_ms,
    uint64_t jobs, uint64_t submitted);
/* Seconds after which a hundredth of the room will be free at this pace,
 * 1..60; 30 when nothing moves or nothing is known. */
unsigned admission_retry_after_s(
    const struct admission_pace *pace, const struct admission_limits *limits);

#endif
