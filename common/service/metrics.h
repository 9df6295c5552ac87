#ifndef LH_SERVICE_METRICS_H
#define LH_SERVICE_METRICS_H

/*
 * metrics: counters, gauges and histograms of one process in the Prometheus
 * text format (0.0.4). A metric is a row of a static table; label values are
 * few by construction (never an id). Single-threaded.
 */

#include <stdint.h>

#include "common/base/buffer.h"

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

/* One family. Histograms have the fixed buckets 5 ms ... 24 h. */
struct metric_family {
    const char *name; /* longhaul_..., base units, counters end in _total */
    const char *help;
    enum metric_kind kind;
    const char *labels[4]; /* NULL-terminated label names */
};

struct metrics;
struct metrics *metrics_new(void);
void metrics_free(struct metrics *metrics);
/* `values` are the label values in the family's order, NULL when it has
 * none. A series that does not exist yet is made; beyond 1,000 series in a
 * family further ones count under the label value "other". */
void metrics_add(struct metrics *metrics, const struct metric_family *family,
    const char *const *values, double by);
void metrics_set(struct metrics *metrics, const struct metric_family *family,
    const char *const *values, double value);
void metrics_observe(struct metrics *metrics,
    const struct metric_family *family, const char *const *values,
    double seconds);
/* Forgets the series of a gauge family before it is set anew. */
void metrics_reset(struct metrics *metrics, const struct metric_family *family);
void metrics_render(const struct metrics *metrics, struct buffer *out);

#endif
