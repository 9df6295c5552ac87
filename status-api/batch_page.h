#ifndef LH_STATUS_API_BATCH_PAGE_H
#define LH_STATUS_API_BATCH_PAGE_H

/*
 * batch_page: one page of batches out of two lists, in either direction, of
 * which each may have been read in part. Pure.
 */

#include "common/job/batch_view.h"
#include "common/queue/queue_bulk.h"

struct batch_page_item {
    struct batch_view view;
    struct queue_bulk_view live; /* of an open one; its batch is not used */
    bool open;
    bool stored; /* from the store: its end, which wins */
    bool hidden; /* does not match; hides the same one of the other list */
};

struct batch_page {
    struct batch_page_item *items;
    size_t count;
    size_t cap;
    char (*gone)[BATCH_UUID_SIZE]; /* to be deleted */
    size_t gone_count;
    char edge[BATCH_UUID_SIZE]; /* beyond it some list is unknown; "": none */
    /* after batch_page_finish(); "": an empty page */
    bool has_more;
    char first[BATCH_UUID_SIZE];
    char last[BATCH_UUID_SIZE];
};

void batch_page_clear(struct batch_page *page);
/* A copy is kept. */
void batch_page_add(
    struct batch_page *page, const struct batch_page_item *item);
/* It is not shown, whichever list has it. */
void batch_page_hide(struct batch_page *page, struct slice uuid);
/* A list was read up to this one (which is included) and goes on. */
void batch_page_unknown_beyond(
    struct batch_page *page, bool ascending, const char *uuid);
/*
 * One item per batch; the `limit` ones nearest to the beginning of the lists,
 * newest first whichever way they were read. has_more: in that direction.
 */
void batch_page_finish(struct batch_page *page, bool ascending, unsigned limit);

#endif
