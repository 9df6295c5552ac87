#include "status-api/merge.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"

void
merge_clear(struct merge *merge)
{
    memory_free(merge->items);
    memset(merge, 0, sizeof(*merge));
}

void
merge_add(struct merge *merge, const struct merge_item *item)
{
    if (merge->count == merge->cap) {
        merge->cap = merge->cap == 0 ? 64 : merge->cap * 2;
        merge->items =
            memory_resize(merge->items, merge->cap * sizeof(*merge->items));
    }
    merge->items[merge->count++] = *item;
}

void
merge_unknown_below(struct merge *merge, const char *id)
{
    if (strcmp(id, merge->floor) > 0)
        text_copy(merge->floor, ID_SIZE, slice_of(id));
}

/* Newest id first; of one id the one to keep first. */
static int
compare(const void *left, const void *right)
{
    const struct merge_item *a = left, *b = right;
    int by_id = strcmp(b->id, a->id);
    if (by_id != 0)
        return by_id;
    if (a->generation != b->generation)
        return a->generation > b->generation ? -1 : 1;
    return (int)a->in_flight - (int)b->in_flight;
}

static void
keep_one_per_id(struct merge *merge)
{
    size_t kept = 0;
    const char *last = "";
    char id[ID_SIZE];
    for (size_t i = 0; i < merge->count; i++) {
        struct merge_item item = merge->items[i];
        if (strcmp(item.id, last) == 0 || strcmp(item.id, merge->floor) < 0)
            continue;
        memcpy(id, item.id, sizeof(id));
        last = id;
        if (!item.hidden)
            merge->items[kept++] = item;
    }
    merge->count = kept;
}

void
merge_finish(struct merge *merge, unsigned limit, struct merge_page *page)
{
    memset(page, 0, sizeof(*page));
    if (merge->count > 1)
        qsort(merge->items, merge->count, sizeof(*merge->items), compare);
    keep_one_per_id(merge);
    bool cut = merge->count > limit;
    page->count = cut ? limit : merge->count;
    page->has_more = cut || merge->floor[0] != '\0';
    const char *last = page->count > 0 ? merge->items[page->count - 1].id : "";
    if (!cut && merge->floor[0] != '\0')
        last = merge->floor;
    text_copy(page->last_id, ID_SIZE, slice_of(last));
}
