#include "cli/bulk_rows.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define ROOM_FIRST 1024

static void
key_of(struct slice id, unsigned char key[16])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    if (EVP_Digest(id.data, id.len, digest, NULL, EVP_sha256(), NULL) != 1)
        abort();
    memcpy(key, digest, 16);
}

/* The slot with the key, or the free one where it belongs. */
static size_t
slot_of(const struct bulk_rows *rows, const unsigned char key[16])
{
    uint64_t hash;
    memcpy(&hash, key, sizeof(hash));
    size_t at = (size_t)hash & (rows->slot_count - 1);
    while (rows->slots[at] != 0 &&
        memcmp(rows->items[rows->slots[at] - 1].key, key, 16) != 0)
        at = (at + 1) & (rows->slot_count - 1);
    return at;
}

static void
grow(struct bulk_rows *rows)
{
    rows->room = rows->room == 0 ? ROOM_FIRST : rows->room * 2;
    rows->items = memory_resize(rows->items, rows->room * sizeof(*rows->items));
    memory_free(rows->slots);
    rows->slot_count = rows->room * 2;
    rows->slots = memory_zalloc(rows->slot_count, sizeof(*rows->slots));
    for (size_t i = 0; i < rows->count; i++)
        rows->slots[slot_of(rows, rows->items[i].key)] = (uint32_t)i + 1;
}

bool
bulk_rows_add(struct bulk_rows *rows, const char *id, size_t *at)
{
    struct bulk_item item = {.state = BULK_OPEN};
    if (rows->count == rows->room)
        grow(rows);
    key_of(slice_of(id), item.key);
    size_t slot = slot_of(rows, item.key);
    if (rows->slots[slot] != 0) {
        *at = rows->slots[slot] - 1;
        return false;
    }
    *at = rows->count;
    rows->items[rows->count++] = item;
    rows->slots[slot] = (uint32_t)rows->count;
    rows->in_state[BULK_OPEN]++;
    return true;
}

size_t
bulk_rows_find(const struct bulk_rows *rows, struct slice id)
{
    unsigned char key[16];
    if (rows->count == 0)
        return BULK_ABSENT;
    key_of(id, key);
    size_t slot = slot_of(rows, key);
    return rows->slots[slot] != 0 ? rows->slots[slot] - 1 : BULK_ABSENT;
}

void
bulk_rows_set(struct bulk_rows *rows, size_t at, enum bulk_state state)
{
    rows->in_state[rows->items[at].state]--;
    rows->in_state[state]++;
    rows->items[at].state = (unsigned char)state;
}

void
bulk_rows_clear(struct bulk_rows *rows)
{
    memory_free(rows->items);
    memory_free(rows->slots);
    memset(rows, 0, sizeof(*rows));
}
