#include "worker/lease.h"

#include <string.h>

#include "common/base/memory.h"

struct known {
    char name[LEASE_NAME_MAX + 1];
    uint64_t beats;
    int64_t since_ms; /* the counter stands still since this sample */
    bool seen; /* by the sample in progress */
};

struct lease_table {
    int64_t now_ms;
    bool sampled;
    bool gap; /* the sample in progress follows a gap */
    size_t count;
    struct known known[LEASE_WORKERS_MAX];
};

struct lease_table *
lease_table_new(void)
{
    return memory_zalloc(1, sizeof(struct lease_table));
}

void
lease_table_free(struct lease_table *table)
{
    memory_free(table);
}

void
lease_sample_begin(struct lease_table *table, int64_t now_ms)
{
    table->gap = !table->sampled || now_ms - table->now_ms > LEASE_GAP_MS;
    table->sampled = true;
    table->now_ms = now_ms;
    for (size_t i = 0; i < table->count; i++)
        table->known[i].seen = false;
}

static struct known *
find_or_add(struct lease_table *table, struct slice name, uint64_t beats)
{
    struct known *known;

    for (size_t i = 0; i < table->count; i++) {
        if (slice_equal_text(name, table->known[i].name))
            return &table->known[i];
    }
    if (table->count == LEASE_WORKERS_MAX || name.len > LEASE_NAME_MAX)
        return NULL;
    known = &table->known[table->count++];
    text_copy(known->name, sizeof(known->name), name);
    known->beats = beats;
    known->since_ms = table->now_ms;
    return known;
}

bool
lease_sample_worker(
    struct lease_table *table, struct slice name, uint64_t beats, bool gone)
{
    struct known *known = find_or_add(table, name, beats);

    if (known == NULL)
        return gone;
    known->seen = true;
    if (gone)
        return true;
    if (table->gap || known->beats != beats)
        known->since_ms = table->now_ms;
    known->beats = beats;
    return table->now_ms - known->since_ms >= LEASE_TIME_MS;
}

void
lease_sample_end(struct lease_table *table)
{
    size_t kept = 0;

    for (size_t i = 0; i < table->count; i++) {
        if (table->known[i].seen)
            table->known[kept++] = table->known[i];
    }
    table->count = kept;
}
