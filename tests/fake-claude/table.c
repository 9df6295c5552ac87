#include "tests/fake-claude/table.h"

#include "common/base/memory.h"

static struct table_cell *
probe(const struct table *table, uint64_t key)
{
    size_t at = (size_t)key & (table->size - 1);
    while (table->cells[at].key != 0 && table->cells[at].key != key)
        at = (at + 1) & (table->size - 1);
    return &table->cells[at];
}

/* Hash 0 marks a free cell; it shares the place of hash 1. */
static uint64_t
stored(uint64_t key)
{
    return key != 0 ? key : 1;
}

uint64_t *
table_find(const struct table *table, uint64_t key)
{
    if (table->size == 0)
        return NULL;
    struct table_cell *cell = probe(table, stored(key));
    return cell->key != 0 ? &cell->value : NULL;
}

static void
rebuild(struct table *table, size_t size,
    bool (*keep)(void *arg, uint64_t value), void *arg)
{
    struct table old = *table;
    table->cells = memory_zalloc(size, sizeof(*table->cells));
    table->size = size;
    table->used = 0;
    for (size_t i = 0; i < old.size; i++) {
        if (old.cells[i].key == 0)
            continue;
        if (keep != NULL && !keep(arg, old.cells[i].value))
            continue;
        *probe(table, old.cells[i].key) = old.cells[i];
        table->used++;
    }
    memory_free(old.cells);
}

uint64_t *
table_at(struct table *table, uint64_t key)
{
    if (table->used * 2 >= table->size)
        rebuild(table, table->size == 0 ? 64 : table->size * 2, NULL, NULL);
    struct table_cell *cell = probe(table, stored(key));
    if (cell->key == 0) {
        cell->key = stored(key);
        table->used++;
    }
    return &cell->value;
}

void
table_sweep(
    struct table *table, bool (*keep)(void *arg, uint64_t value), void *arg)
{
    if (table->size != 0)
        rebuild(table, table->size, keep, arg);
}

void
table_clear(struct table *table)
{
    memory_free(table->cells);
    *table = (struct table){NULL, 0, 0};
}
