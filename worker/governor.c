#include "worker/governor.h"

#include <string.h>

#include "common/base/memory.h"
#include "common/base/text.h"

#define MS_PER_MIN 60000.0
/* Before anything is known of what such jobs need and produce. */
#define INPUT_GUESS_TOKENS 1000.0
#define OUTPUT_GUESS_TOKENS 256.0
/* Weight of the newest value in the running mean. */
#define MEAN_WEIGHT 0.05

enum kind { REQUESTS, INPUT, OUTPUT, KINDS };

struct bucket {
    char name[GOVERNOR_NAME_MAX + 1];
    double level[KINDS]; /* what may be used; negative: overdrawn */
    int64_t filled_ms;
    double mean_input;
    double mean_output;
};

struct governor {
    double per_min[KINDS]; /* 0: no limit */
    unsigned workers;
    int64_t start_ms;
    size_t count;
    struct bucket buckets[GOVERNOR_BUCKETS_MAX];
};

struct governor *
governor_new(const struct governor_limits *limits, int64_t now_ms)
{
    struct governor *governor = memory_zalloc(1, sizeof(*governor));

    governor->per_min[REQUESTS] = (double)limits->requests_per_min;
    governor->per_min[INPUT] = (double)limits->input_tokens_per_min;
    governor->per_min[OUTPUT] = (double)limits->output_tokens_per_min;
    governor->workers = 1;
    governor->start_ms = now_ms;
    return governor;
}

void
governor_free(struct governor *governor)
{
    memory_free(governor);
}

void
governor_set_workers(struct governor *governor, unsigned workers)
{
    governor->workers = workers > 0 ? workers : 1;
}

/* Units per millisecond of this worker's share. */
static double
rate(const struct governor *governor, enum kind kind)
{
    return governor->per_min[kind] / MS_PER_MIN / governor->workers;
}

/* One second's worth, but at least one request. */
static double
burst(const struct governor *governor, enum kind kind)
{
    double second = rate(governor, kind) * 1000.0;

    return kind == REQUESTS && second < 1.0 ? 1.0 : second;
}

static struct bucket *
bucket_of(struct governor *governor, const char *name)
{
    struct bucket *bucket;

    for (size_t i = 0; i < governor->count; i++) {
        if (strcmp(governor->buckets[i].name, name) == 0)
            return &governor->buckets[i];
    }
    /* Names come from the model table; past the end they share the last. */
    if (governor->count == GOVERNOR_BUCKETS_MAX)
        return &governor->buckets[GOVERNOR_BUCKETS_MAX - 1];
    bucket = &governor->buckets[governor->count++];
    text_copy(bucket->name, sizeof(bucket->name), slice_of(name));
    bucket->filled_ms = governor->start_ms;
    bucket->mean_input = INPUT_GUESS_TOKENS;
    bucket->mean_output = OUTPUT_GUESS_TOKENS;
    for (unsigned kind = 0; kind < KINDS; kind++)
        bucket->level[kind] = burst(governor, (enum kind)kind);
    return bucket;
}

static void
refill(struct governor *governor, struct bucket *bucket, int64_t now_ms)
{
    double elapsed = (double)(now_ms - bucket->filled_ms);

    if (elapsed <= 0)
        return;
    bucket->filled_ms = now_ms;
    for (unsigned kind = 0; kind < KINDS; kind++) {
        double most = burst(governor, (enum kind)kind);

        bucket->level[kind] += elapsed * rate(governor, (enum kind)kind);
        if (bucket->level[kind] > most)
            bucket->level[kind] = most;
    }
}

/* How many starts of `each` units fit; at least one while it is not
 * overdrawn, so that a job larger than the burst can run. */
static unsigned
fits(double level, double each, unsigned want)
{
    double n;

    if (level <= 0)
        return 0;
    n = each > 0 ? level / each : want;
    return n >= want ? want : n < 1 ? 1 : (unsigned)n;
}

unsigned
governor_grant(
    struct governor *governor, const char *name, int64_t now_ms, unsigned want)
{
    struct bucket *bucket = bucket_of(governor, name);

    refill(governor, bucket, now_ms);
    if (governor->per_min[REQUESTS] > 0) {
        double level = bucket->level[REQUESTS];

        if (level < 1)
            return 0;
        want = level < want ? (unsigned)level : want;
    }
    if (governor->per_min[INPUT] > 0)
        want = fits(bucket->level[INPUT], bucket->mean_input, want);
    if (governor->per_min[OUTPUT] > 0)
        want = fits(bucket->level[OUTPUT], bucket->mean_output, want);
    return want;
}

struct governor_reserve
governor_start(struct governor *governor, const char *name, int64_t now_ms,
    int64_t input_tokens)
{
    struct bucket *bucket = bucket_of(governor, name);
    struct governor_reserve reserve = {
        .input_tokens = input_tokens,
        .output_tokens = (int64_t)bucket->mean_output,
    };

    refill(governor, bucket, now_ms);
    bucket->level[REQUESTS] -= 1;
    bucket->level[INPUT] -= (double)reserve.input_tokens;
    bucket->level[OUTPUT] -= (double)reserve.output_tokens;
    return reserve;
}

void
governor_settle(struct governor *governor, const char *name, int64_t now_ms,
    const struct governor_reserve *reserve, int64_t input_tokens,
    int64_t output_tokens)
{
    struct bucket *bucket = bucket_of(governor, name);

    refill(governor, bucket, now_ms);
    bucket->level[INPUT] += (double)(reserve->input_tokens - input_tokens);
    bucket->level[OUTPUT] += (double)(reserve->output_tokens - output_tokens);
    if (input_tokens == 0 && output_tokens == 0)
        return;
    bucket->mean_input +=
        MEAN_WEIGHT * ((double)input_tokens - bucket->mean_input);
    bucket->mean_output +=
        MEAN_WEIGHT * ((double)output_tokens - bucket->mean_output);
}
