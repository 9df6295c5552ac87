#ifndef LH_FAKE_SIMULATOR_H
#define LH_FAKE_SIMULATOR_H

/*
 * simulator: what all calls share: the settings, the catalog, the rate
 * limits and the prompt cache of one account, the mode that the control
 * routes change, and what was counted.
 */

#include <event2/event.h>

#include "tests/fake-claude/catalog.h"
#include "tests/fake-claude/ledger.h"
#include "tests/fake-claude/request.h"
#include "tests/fake-claude/settings.h"

#define SIMULATOR_MAX_BUCKETS 32
#define SIMULATOR_MAX_OUTCOMES 64

/* What POST /_fake/mode changes at run time. */
struct simulator_mode {
    bool outage; /* every call fails with status */
    double error_rate; /* this share of calls does */
    unsigned status; /* 529 */
    unsigned retry_after_s; /* sent with the failures; 0: not sent */
    uint64_t latency_ms; /* added to every answer */
};

struct bucket {
    const char *name; /* belongs to the catalog */
    struct limits limits;
};

struct simulator_outcome {
    char name[24];
    uint64_t count;
};

struct simulator {
    struct settings settings;
    struct event_base *base;
    struct catalog *catalog;
    struct ledger *ledger; /* NULL: none */
    struct simulator_mode mode;
    struct bucket buckets[SIMULATOR_MAX_BUCKETS];
    size_t bucket_count;
    struct prompt_cache cache;
    struct table calls_by_job;
    uint64_t chance; /* state of the sequence for error_rate and jitter */
    bool stopping;
    /* counted */
    uint64_t calls;
    uint64_t in_flight;
    uint64_t peak_in_flight;
    uint64_t input_tokens;
    uint64_t output_tokens;
    uint64_t cache_read;
    uint64_t cache_write;
    struct simulator_outcome outcomes[SIMULATOR_MAX_OUTCOMES];
    size_t outcome_count;
};

/* Takes the catalog and the ledger over. */
void simulator_init(struct simulator *sim, const struct settings *settings,
    struct event_base *base, struct catalog *catalog, struct ledger *ledger);
void simulator_clear(struct simulator *sim);

/* The rate limits of a model; info NULL: a test card. */
struct limits *simulator_limits(
    struct simulator *sim, const struct catalog_model *info);
/* New limits for every bucket; all buckets are full again. */
void simulator_set_limits(struct simulator *sim, const uint64_t *per_minute);
/* Forgets calls per job, cache, bucket levels and counts; the mode returns
 * to the beginning. Calls in flight go on. */
void simulator_reset(struct simulator *sim);
/* The next number in [0, 1) of the seeded sequence. */
double simulator_chance(struct simulator *sim);
/* Counts a finished call. */
void simulator_count(struct simulator *sim, const struct ledger_end *end);
/* GET /_fake/stats. */
void simulator_append_stats(const struct simulator *sim, struct buffer *out);
/* POST /_fake/mode: 0, or -1 with what is wrong with `body` in *error. */
int simulator_set_mode(
    struct simulator *sim, struct slice body, const char **error) MUST_CHECK;

#endif
