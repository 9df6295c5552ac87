#ifndef LH_STATUS_API_ETA_H
#define LH_STATUS_API_ETA_H

/*
 * eta: how long a batch will still take, from how fast it went lately. Pure.
 * Says nothing rather than something that is not credible: right after the
 * start, after a stand-still, and when nothing was seen of it before.
 */

#include <stdint.h>

#define ETA_SAMPLES 32
/* What lies further back says little about the pace of now. */
#define ETA_WINDOW_MS 120000

/* A zeroed struct has seen nothing. */
struct eta {
    struct {
        int64_t at_ms;
        uint64_t done;
    } samples[ETA_SAMPLES]; /* a ring */
    unsigned count;
    unsigned next;
};

/* So many were done at this moment (monotonic); ones that follow each other
 * closely are dropped. */
void eta_note(struct eta *eta, int64_t now_ms, uint64_t done);
/*
 * Seconds until the other `left` are done, -1 when that cannot be said.
 * `age_ms` is the time since the batch was created; its own pace counts while
 * there are no samples yet.
 */
int64_t eta_seconds(const struct eta *eta, int64_t now_ms, uint64_t done,
    uint64_t left, int64_t age_ms);

#endif
