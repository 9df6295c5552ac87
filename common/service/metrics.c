#include "common/service/metrics.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define LABELS_MAX 3
#define SERIES_MAX 1000
#define SLOTS_FIRST 16

static const double bounds[] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1,
    2.5, 5, 10, 30, 60, 300, 900, 3600, 21600, 86400};
#define BOUNDS (sizeof(bounds) / sizeof(bounds[0]))

struct series {
    char *values; /* label values, each with its NUL */
    size_t values_len;
    double value; /* of a histogram: the sum */
    uint64_t *buckets; /* BOUNDS + 1, not cumulative; histograms only */
};

/* Series in the order they came, found through a hash table of indexes. */
struct family {
    const struct metric_family *info;
    size_t labels;
    struct series *series;
    size_t count;
    size_t cap;
    uint32_t *slots; /* index + 1, 0 = free */
    size_t slot_count;
};

struct metrics {
    struct family *families;
    size_t count;
    size_t cap;
    struct buffer joined; /* of series_of */
};

struct metrics *
metrics_new(void)
{
    return memory_zalloc(1, sizeof(struct metrics));
}

static void
family_reset(struct family *family)
{
    for (size_t i = 0; i < family->count; i++) {
        memory_free(family->series[i].values);
        memory_free(family->series[i].buckets);
    }
    family->count = 0;
    if (family->slots != NULL)
        memset(family->slots, 0, family->slot_count * sizeof(family->slots[0]));
}

void
metrics_free(struct metrics *metrics)
{
    if (metrics == NULL)
        return;
    for (size_t i = 0; i < metrics->count; i++) {
        family_reset(&metrics->families[i]);
        memory_free(metrics->families[i].series);
        memory_free(metrics->families[i].slots);
    }
    memory_free(metrics->families);
    buffer_clear(&metrics->joined);
    memory_free(metrics);
}

static struct family *
family_of(struct metrics *metrics, const struct metric_family *info)
{
    for (size_t i = 0; i < metrics->count; i++) {
        if (metrics->families[i].info == info)
            return &metrics->families[i];
    }
    if (metrics->count == metrics->cap) {
        metrics->cap = metrics->cap == 0 ? 16 : metrics->cap * 2;
        metrics->families = memory_resize(
            metrics->families, metrics->cap * sizeof(struct family));
    }
    struct family *family = &metrics->families[metrics->count++];
    *family = (struct family){.info = info};
    while (family->labels < LABELS_MAX && info->labels[family->labels] != NULL)
        family->labels++;
    return family;
}

/* --- series --- */

/* FNV-1a */
static uint32_t
hash_of(const char *data, size_t len)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)data[i]) * 16777619u;
    return hash;
}

/* The slot of these values: taken by them, or free. */
static size_t
find_slot(const struct family *family, const char *values, size_t len)
{
    size_t slot = hash_of(values, len) & (family->slot_count - 1);
    while (family->slots[slot] != 0) {
        const struct series *series = &family->series[family->slots[slot] - 1];
        if (series->values_len == len &&
            memcmp(series->values, values, len) == 0)
            break;
        slot = (slot + 1) & (family->slot_count - 1);
    }
    return slot;
}

static void
grow_slots(struct family *family)
{
    if ((family->count + 1) * 2 <= family->slot_count)
        return;
    memory_free(family->slots);
    family->slot_count =
        family->slot_count == 0 ? SLOTS_FIRST : family->slot_count * 2;
    family->slots = memory_zalloc(family->slot_count, sizeof(family->slots[0]));
    for (size_t i = 0; i < family->count; i++) {
        const struct series *series = &family->series[i];
        family->slots[find_slot(family, series->values, series->values_len)] =
            (uint32_t)(i + 1);
    }
}

static struct series *
add_series(struct family *family, size_t slot, const char *values, size_t len)
{
    if (family->count == family->cap) {
        family->cap = family->cap == 0 ? 8 : family->cap * 2;
        family->series =
            memory_resize(family->series, family->cap * sizeof(struct series));
    }
    struct series *series = &family->series[family->count++];
    *series = (struct series){
        .values = memory_dup_bytes(values, len), .values_len = len};
    if (family->info->kind == METRIC_HISTOGRAM)
        series->buckets = memory_zalloc(BOUNDS + 1, sizeof(uint64_t));
    family->slots[slot] = (uint32_t)family->count;
    return series;
}

static void
join_values(
    const struct family *family, const char *const *values, struct buffer *out)
{
    for (size_t i = 0; i < family->labels; i++)
        buffer_append(out, values[i], strlen(values[i]) + 1);
}

static struct series *
series_of(struct metrics *metrics, const struct metric_family *info,
    const char *const *values)
{
    static const char *const others[LABELS_MAX] = {"other", "other", "other"};
    struct family *family = family_of(metrics, info);
    struct buffer *joined = &metrics->joined;
    buffer_reset(joined);
    buffer_reserve(joined, 64);
    join_values(family, values, joined);
    grow_slots(family);
    size_t slot = find_slot(family, joined->data, joined->len);
    if (family->slots[slot] == 0 && family->count >= SERIES_MAX) {
        buffer_reset(joined);
        join_values(family, others, joined);
        slot = find_slot(family, joined->data, joined->len);
    }
    return family->slots[slot] != 0
        ? &family->series[family->slots[slot] - 1]
        : add_series(family, slot, joined->data, joined->len);
}

void
metrics_add(struct metrics *metrics, const struct metric_family *family,
    const char *const *values, double by)
{
    series_of(metrics, family, values)->value += by;
}

void
metrics_set(struct metrics *metrics, const struct metric_family *family,
    const char *const *values, double value)
{
    series_of(metrics, family, values)->value = value;
}

void
metrics_observe(struct metrics *metrics, const struct metric_family *family,
    const char *const *values, double seconds)
{
    struct series *series = series_of(metrics, family, values);
    size_t i = 0;
    while (i < BOUNDS && seconds > bounds[i])
        i++;
    series->buckets[i]++;
    series->value += seconds;
}

void
metrics_reset(struct metrics *metrics, const struct metric_family *family)
{
    family_reset(family_of(metrics, family));
}

/* --- the text --- */

static void
append_number(struct buffer *out, double value)
{
    if (value == floor(value) && fabs(value) < 1e15)
        buffer_printf(out, "%.0f", value);
    else
        buffer_printf(out, "%.10g", value);
}

static void
append_value(struct buffer *out, const char *value)
{
    for (; *value != '\0'; value++) {
        if (*value == '\\' || *value == '"')
            buffer_append_char(out, '\\');
        if (*value == '\n')
            buffer_append_text(out, "\\n");
        else
            buffer_append_char(out, *value);
    }
}

/* name suffix {labels, and le when it is not NULL} and a blank */
static void
append_name(struct buffer *out, const struct family *family,
    const struct series *series, const char *suffix, const char *le)
{
    const char *value = series->values;
    buffer_append_text(out, family->info->name);
    buffer_append_text(out, suffix);
    if (family->labels > 0 || le != NULL)
        buffer_append_char(out, '{');
    for (size_t i = 0; i < family->labels; i++) {
        buffer_printf(
            out, "%s%s=\"", i > 0 ? "," : "", family->info->labels[i]);
        append_value(out, value);
        buffer_append_char(out, '"');
        value += strlen(value) + 1;
    }
    if (le != NULL)
        buffer_printf(out, "%sle=\"%s\"", family->labels > 0 ? "," : "", le);
    if (family->labels > 0 || le != NULL)
        buffer_append_char(out, '}');
    buffer_append_char(out, ' ');
}

static void
append_histogram(struct buffer *out, const struct family *family,
    const struct series *series)
{
    uint64_t total = 0;
    char le[32];
    for (size_t i = 0; i <= BOUNDS; i++) {
        total += series->buckets[i];
        if (i < BOUNDS)
            snprintf(le, sizeof(le), "%g", bounds[i]);
        append_name(out, family, series, "_bucket", i < BOUNDS ? le : "+Inf");
        buffer_append_u64(out, total);
        buffer_append_char(out, '\n');
    }
    append_name(out, family, series, "_sum", NULL);
    append_number(out, series->value);
    buffer_append_char(out, '\n');
    append_name(out, family, series, "_count", NULL);
    buffer_append_u64(out, total);
    buffer_append_char(out, '\n');
}

static void
append_family(struct buffer *out, const struct family *family)
{
    static const char *const kinds[] = {"counter", "gauge", "histogram"};
    const struct metric_family *info = family->info;
    if (family->count == 0)
        return;
    buffer_printf(out, "# HELP %s %s\n# TYPE %s %s\n", info->name, info->help,
        info->name, kinds[info->kind]);
    for (size_t i = 0; i < family->count; i++) {
        const struct series *series = &family->series[i];
        if (info->kind == METRIC_HISTOGRAM) {
            append_histogram(out, family, series);
            continue;
        }
        append_name(out, family, series, "", NULL);
        append_number(out, series->value);
        buffer_append_char(out, '\n');
    }
}

void
metrics_render(const struct metrics *metrics, struct buffer *out)
{
    for (size_t i = 0; i < metrics->count; i++)
        append_family(out, &metrics->families[i]);
}
