#include "tests/fake-claude/simulator.h"

#include <string.h>

#include "common/base/clock.h"
#include "tests/fake-claude/mix.h"

static void
reset_mode(struct simulator *sim)
{
    sim->mode = (struct simulator_mode){.status = 529};
    sim->chance = mix_u64(sim->settings.seed + 1);
}

void
simulator_init(struct simulator *sim, const struct settings *settings,
    struct event_base *base, struct catalog *catalog, struct ledger *ledger)
{
    memset(sim, 0, sizeof(*sim));
    sim->settings = *settings;
    sim->base = base;
    sim->catalog = catalog;
    sim->ledger = ledger;
    reset_mode(sim);
}

void
simulator_clear(struct simulator *sim)
{
    cache_clear(&sim->cache);
    table_clear(&sim->calls_by_job);
    catalog_free(sim->catalog);
    ledger_close(sim->ledger);
}

struct limits *
simulator_limits(struct simulator *sim, const struct catalog_model *info)
{
    const char *name =
        info != NULL ? info->bucket : catalog_default_bucket(sim->catalog);
    for (size_t i = 0; i < sim->bucket_count; i++)
        if (strcmp(sim->buckets[i].name, name) == 0)
            return &sim->buckets[i].limits;
    /* More buckets than expected share the last place. */
    if (sim->bucket_count == SIMULATOR_MAX_BUCKETS)
        return &sim->buckets[SIMULATOR_MAX_BUCKETS - 1].limits;
    struct bucket *bucket = &sim->buckets[sim->bucket_count++];
    bucket->name = name;
    limits_init(&bucket->limits, sim->settings.per_minute,
        sim->settings.burst_s, clock_mono_ms());
    return &bucket->limits;
}

void
simulator_set_limits(struct simulator *sim, const uint64_t *per_minute)
{
    memcpy(
        sim->settings.per_minute, per_minute, sizeof(sim->settings.per_minute));
    sim->bucket_count = 0;
}

void
simulator_reset(struct simulator *sim)
{
    cache_clear(&sim->cache);
    table_clear(&sim->calls_by_job);
    sim->bucket_count = 0;
    sim->outcome_count = 0;
    sim->calls = 0;
    sim->peak_in_flight = sim->in_flight;
    sim->input_tokens = 0;
    sim->output_tokens = 0;
    sim->cache_read = 0;
    sim->cache_write = 0;
    reset_mode(sim);
}

double
simulator_chance(struct simulator *sim)
{
    return mix_unit(mix_next(&sim->chance));
}

void
simulator_count(struct simulator *sim, const struct ledger_end *end)
{
    size_t i = 0;
    sim->input_tokens += end->input_tokens;
    sim->output_tokens += end->output_tokens;
    sim->cache_read += end->cache_read;
    sim->cache_write += end->cache_write;
    while (i < sim->outcome_count &&
        strcmp(sim->outcomes[i].name, end->outcome) != 0)
        i++;
    if (i == SIMULATOR_MAX_OUTCOMES)
        return;
    if (i == sim->outcome_count) {
        sim->outcomes[i].count = 0;
        (void)text_copy(sim->outcomes[i].name, sizeof(sim->outcomes[i].name),
            slice_of(end->outcome));
        sim->outcome_count++;
    }
    sim->outcomes[i].count++;
}
