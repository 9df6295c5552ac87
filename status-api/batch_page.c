#include "status-api/batch_page.h"

#include <stdlib.h>
#include <string.h>

void
batch_page_clear(struct batch_page *page)
{
    memory_free(page->items);
    memory_free(page->gone);
    memset(page, 0, sizeof(*page));
}

void
batch_page_add(struct batch_page *page, const struct batch_page_item *item)
{
    if (page->count == page->cap) {
        page->cap = page->cap == 0 ? 64 : page->cap * 2;
        page->items =
            memory_resize(page->items, page->cap * sizeof(*page->items));
    }
    page->items[page->count++] = *item;
}

void
batch_page_hide(struct batch_page *page, struct slice uuid)
{
    if ((page->gone_count & (page->gone_count - 1)) == 0)
        page->gone = memory_resize(page->gone,
            (page->gone_count == 0 ? 1 : page->gone_count * 2) *
                sizeof(*page->gone));
    text_copy(page->gone[page->gone_count++], BATCH_UUID_SIZE, uuid);
}

/* Below 0 when `a` comes before `b` on the way through the lists. */
static int
order(bool ascending, const char *a, const char *b)
{
    return ascending ? strcmp(a, b) : strcmp(b, a);
}

void
batch_page_unknown_beyond(
    struct batch_page *page, bool ascending, const char *uuid)
{
    if (page->edge[0] == '\0' || order(ascending, uuid, page->edge) < 0)
        text_copy(page->edge, sizeof(page->edge), slice_of(uuid));
}

/* Newest first; of the same one what the store has first. */
static int
compare(const void *left, const void *right)
{
    const struct batch_page_item *a = left, *b = right;
    int by_uuid = strcmp(b->view.uuid, a->view.uuid);
    return by_uuid != 0 ? by_uuid : (int)b->stored - (int)a->stored;
}

static int
compare_texts(const void *left, const void *right)
{
    return strcmp(left, right);
}

static bool
is_gone(const struct batch_page *page, const char *uuid)
{
    return page->gone_count > 0 &&
        bsearch(uuid, page->gone, page->gone_count, sizeof(*page->gone),
            compare_texts) != NULL;
}

static void
keep_one_each(struct batch_page *page, bool ascending)
{
    size_t kept = 0;
    char last[BATCH_UUID_SIZE] = "";
    for (size_t i = 0; i < page->count; i++) {
        struct batch_page_item item = page->items[i];
        const char *uuid = item.view.uuid;
        if (strcmp(uuid, last) == 0)
            continue;
        memcpy(last, uuid, sizeof(last));
        if (item.hidden || is_gone(page, uuid) ||
            (page->edge[0] != '\0' && order(ascending, page->edge, uuid) < 0))
            continue;
        page->items[kept++] = item;
    }
    page->count = kept;
}

void
batch_page_finish(struct batch_page *page, bool ascending, unsigned limit)
{
    if (page->count > 1)
        qsort(page->items, page->count, sizeof(*page->items), compare);
    if (page->gone_count > 1)
        qsort(page->gone, page->gone_count, sizeof(*page->gone), compare_texts);
    keep_one_each(page, ascending);
    bool cut = page->count > limit;
    if (cut && ascending) /* the oldest of them are at the end */
        memmove(page->items, page->items + (page->count - limit),
            limit * sizeof(*page->items));
    if (cut)
        page->count = limit;
    page->has_more = cut || page->edge[0] != '\0';
    if (page->count == 0) {
        /* A long way without a match: the next page begins where this one
         * stopped. */
        memcpy(page->first, page->edge, sizeof(page->first));
        memcpy(page->last, page->edge, sizeof(page->last));
        return;
    }
    memcpy(page->first, page->items[0].view.uuid, sizeof(page->first));
    memcpy(
        page->last, page->items[page->count - 1].view.uuid, sizeof(page->last));
    if (!cut && page->edge[0] != '\0')
        memcpy(ascending ? page->first : page->last, page->edge,
            sizeof(page->last));
}
