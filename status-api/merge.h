#ifndef LH_STATUS_API_MERGE_H
#define LH_STATUS_API_MERGE_H

/*
 * merge: one page of jobs out of several lists that each descend by id, of
 * which some were not read to their end. Pure.
 */

#include <stdbool.h>
#include <stddef.h>

#include "common/base/id.h"

struct merge_item {
    char id[ID_SIZE];
    unsigned generation;
    bool in_flight; /* yields to a row of the same generation: its end */
    bool hidden; /* counts against older generations, is not shown */
    bool failed; /* a row that may have been replayed since */
    size_t at; /* where its text is */
    size_t len;
};

struct merge {
    struct merge_item *items;
    size_t count;
    size_t cap;
    char floor[ID_SIZE]; /* below it some list is unknown; "": none is */
};

struct merge_page {
    size_t count; /* of the first items, after merge_finish() */
    bool has_more;
    char last_id[ID_SIZE]; /* where the next page begins; "": nothing */
};

void merge_clear(struct merge *merge);
/* A copy is kept. */
void merge_add(struct merge *merge, const struct merge_item *item);
/* A list was read down to this id (which is included) and goes on. */
void merge_unknown_below(struct merge *merge, const char *id);
/*
 * Sorts by id, newest first, keeps one item per id (the newest generation),
 * drops hidden ones and those below the floor, and cuts to `limit`.
 */
void merge_finish(struct merge *merge, unsigned limit, struct merge_page *page);

#endif
