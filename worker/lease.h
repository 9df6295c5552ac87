#ifndef LH_WORKER_LEASE_H
#define LH_WORKER_LEASE_H

/*
 * lease: tells dead workers from live ones by their heartbeat counters, on
 * the judge's own monotonic clock. Pure.
 *
 * A worker is dead when its counter did not move over a whole lease time of
 * consecutive samples. Any gap in the judge's own samples starts the count
 * again for everybody: a frozen Redis, or a judge that was frozen itself,
 * must not look like dead workers. A worker that said it is gone is dead at
 * once.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/text.h"

#ifdef LONGHAUL_TEST /* builds for chaos runs live three times as fast */
#define LEASE_PACE 3
#else
#define LEASE_PACE 1
#endif
#define LEASE_BEAT_MS (2000 / LEASE_PACE)
#define LEASE_TIME_MS (10000 / LEASE_PACE)
/* Two samples further apart than this are not consecutive. */
#define LEASE_GAP_MS (4500 / LEASE_PACE)
#define LEASE_NAME_MAX 64
#define LEASE_WORKERS_MAX 1024

struct lease_table;

struct lease_table *lease_table_new(void);
void lease_table_free(struct lease_table *table);

/* A sample begins: what redis told at `now_ms` (monotonic). */
void lease_sample_begin(struct lease_table *table, int64_t now_ms);
/* One worker of the sample. True: it is dead, its work may be taken. */
bool lease_sample_worker(
    struct lease_table *table, struct slice name, uint64_t beats, bool gone);
/* Forgets workers that the sample did not name. */
void lease_sample_end(struct lease_table *table);

#endif
