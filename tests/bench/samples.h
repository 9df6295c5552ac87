#ifndef LH_TESTS_BENCH_SAMPLES_H
#define LH_TESTS_BENCH_SAMPLES_H

/* Every latency of a run, in microseconds; exact percentiles at the end. */

#include <stdint.h>
#include <stdlib.h>

#include "common/base/buffer.h"

struct samples {
    struct buffer bytes; /* of uint32_t */
};

static inline void
samples_add(struct samples *samples, int64_t us)
{
    uint32_t value = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;

    buffer_append(&samples->bytes, &value, sizeof(value));
}

static inline int
samples_compare(const void *a, const void *b)
{
    const uint32_t *x = a;
    const uint32_t *y = b;

    return (*x > *y) - (*x < *y);
}

static inline void
samples_sort(struct samples *samples)
{
    if (samples->bytes.len > 0)
        qsort(samples->bytes.data, samples->bytes.len / sizeof(uint32_t),
            sizeof(uint32_t), samples_compare);
}

/* The value below which `share` (0 to 1) of the sorted samples are. */
static inline double
samples_ms(const struct samples *samples, double share)
{
    const void *data = samples->bytes.data;
    const uint32_t *values = data;
    size_t count = samples->bytes.len / sizeof(uint32_t);
    size_t at = (size_t)(share * (double)count);

    if (count == 0)
        return 0;
    return (double)values[at < count ? at : count - 1] / 1000;
}

#endif
