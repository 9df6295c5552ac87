#ifndef LH_FAKE_TABLE_H
#define LH_FAKE_TABLE_H

/*
 * table: a hash map from 64-bit hashes to 64-bit values, for what the
 * simulator remembers: calls per job, cached prefixes. A zeroed struct is a
 * valid empty table. Two different things with the same hash are taken for
 * one; at 64 bits that does not happen in a test.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table_cell {
    uint64_t key; /* 0: free */
    uint64_t value;
};

struct table {
    struct table_cell *cells;
    size_t size; /* a power of two, or 0 */
    size_t used;
};

/* The value of `key`, or NULL. Lives until the next table_at(). */
uint64_t *table_find(const struct table *table, uint64_t key);
/* The same, added with value 0 if it is not there. */
uint64_t *table_at(struct table *table, uint64_t key);
/* Drops every value for which `keep` says no. */
void table_sweep(
    struct table *table, bool (*keep)(void *arg, uint64_t value), void *arg);
void table_clear(struct table *table);

#endif
