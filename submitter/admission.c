#include "submitter/admission.h"

#include <math.h>

#define DEFAULT_BYTES (UINT64_C(2) << 30)
/* Above this share of maxmemory large bodies would fail half-way. */
#define REDIS_FULL 0.95
#define SMOOTH_S 30.0
#define RETRY_UNKNOWN_S 30
#define RETRY_MAX_S 60
#define ROOM_SHARE 0.01

struct admission_limits
admission_limits_make(
    uint64_t max_jobs, uint64_t configured_bytes, uint64_t redis_max_bytes)
{
    struct admission_limits limits = {
        .max_jobs = max_jobs, .max_bytes = configured_bytes};
    if (limits.max_bytes == 0)
        limits.max_bytes =
            redis_max_bytes > 0 ? redis_max_bytes / 2 : DEFAULT_BYTES;
    return limits;
}

enum admission_verdict
admission_decide(
    const struct admission_load *load, const struct admission_limits *limits)
{
    if (!load->known)
        return ADMISSION_OK;
    if (load->jobs >= limits->max_jobs)
        return ADMISSION_FULL_JOBS;
    if (load->bytes >= limits->max_bytes)
        return ADMISSION_FULL_BYTES;
    if (load->redis_max_bytes > 0 &&
        (double)load->redis_used_bytes >=
            REDIS_FULL * (double)load->redis_max_bytes)
        return ADMISSION_FULL_REDIS;
    return ADMISSION_OK;
}

const char *
admission_verdict_name(enum admission_verdict verdict)
{
    static const char *const names[] = {
        "ok", "full_jobs", "full_bytes", "full_redis"};
    return names[verdict];
}

const char *
admission_verdict_text(enum admission_verdict verdict)
{
    static const char *const texts[] = {"",
        "The queue is full: as many jobs are waiting as this installation "
        "takes.",
        "The queue is full: the waiting requests take as many bytes as "
        "this installation allows.",
        "The queue is full: Redis is near its memory limit."};
    return texts[verdict];
}

void
admission_pace_sample(struct admission_pace *pace, int64_t mono_ms,
    uint64_t jobs, uint64_t submitted)
{
    double seconds = (double)(mono_ms - pace->at_ms) / 1000.0;
    bool first = !pace->known || submitted < pace->submitted;
    if (!first && seconds <= 0)
        return;
    if (first) {
        pace->per_s = 0;
    } else {
        double left = (double)(submitted - pace->submitted) +
            (double)pace->jobs - (double)jobs;
        double weight = 1 - exp(-seconds / SMOOTH_S);
        pace->per_s += weight * (fmax(left, 0) / seconds - pace->per_s);
    }
    pace->known = true;
    pace->at_ms = mono_ms;
    pace->jobs = jobs;
    pace->submitted = submitted;
}

unsigned
admission_retry_after_s(
    const struct admission_pace *pace, const struct admission_limits *limits)
{
    if (!pace->known || pace->per_s <= 0)
        return RETRY_UNKNOWN_S;
    double seconds = ceil(ROOM_SHARE * (double)limits->max_jobs / pace->per_s);
    return seconds < 1          ? 1
        : seconds > RETRY_MAX_S ? RETRY_MAX_S
                                : (unsigned)seconds;
}
