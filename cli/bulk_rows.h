#ifndef LH_CLI_BULK_ROWS_H
#define LH_CLI_BULK_ROWS_H

/*
 * bulk_rows: the rows of a run and how far each is, found by custom_id.
 * About 50 bytes a row; nothing of their content. Pure.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/text.h"

enum bulk_state {
    BULK_OPEN, /* to be sent */
    BULK_HELD_BACK, /* not to be sent this time (--limit, --max-cost) */
    BULK_SENT, /* the server has it */
    BULK_DONE, /* its answer is in the output */
    BULK_FAILED, /* its failure is in the file of errors */
    BULK_STATES
};

#define BULK_ABSENT SIZE_MAX

struct bulk_item {
    unsigned char key[16];
    uint64_t offset; /* in the input */
    uint64_t line;
    uint32_t tokens; /* of its prompt, estimated */
    unsigned char state;
};

/* A zeroed struct is an empty table. Callers read items and count. */
struct bulk_rows {
    struct bulk_item *items; /* in the order of the input */
    size_t count;
    size_t room;
    uint32_t *slots; /* item + 1, 0: free */
    size_t slot_count;
    size_t in_state[BULK_STATES];
};

/* The most rows of one run. */
#define BULK_ROWS_MAX ((size_t)UINT32_MAX / 4)

/* Adds a row (BULK_OPEN); false when it is there already, with *at. */
bool bulk_rows_add(struct bulk_rows *rows, const char *id, size_t *at);
/* BULK_ABSENT: no such row. */
size_t bulk_rows_find(const struct bulk_rows *rows, struct slice id);
void bulk_rows_set(struct bulk_rows *rows, size_t at, enum bulk_state state);
void bulk_rows_clear(struct bulk_rows *rows);

#endif
