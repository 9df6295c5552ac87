#include "submitter/upload_names.h"

#include <assert.h>
#include <string.h>

#define ROOM_FIRST 1024

void
upload_names_clear(struct upload_names *names)
{
    memory_free(names->hashes);
    memory_free(names->lines);
    memset(names, 0, sizeof(*names));
}

/* The last 16 hex digits, which the dash of the UUID divides. */
static uint64_t
hash_of(struct slice item_id)
{
    uint64_t hash = 0;
    size_t digits = 0;
    for (size_t i = item_id.len; i > 0 && digits < 16; i--) {
        char c = item_id.data[i - 1];
        if (c == '-')
            continue;
        uint64_t value = (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
        hash |= value << (4 * digits);
        digits++;
    }
    assert(digits == 16);
    return hash; /* the UUID's variant keeps it from being 0 */
}

/* Where the hash is, or where it would go. */
static size_t
place_of(const struct upload_names *names, uint64_t hash)
{
    /* The low bits are the last of a SHA-256: as good as any. */
    size_t at = (size_t)hash & (names->room - 1);
    while (names->hashes[at] != 0 && names->hashes[at] != hash)
        at = (at + 1) & (names->room - 1);
    return at;
}

static void
grow(struct upload_names *names)
{
    struct upload_names larger = {
        .room = names->room > 0 ? 2 * names->room : ROOM_FIRST,
        .count = names->count};
    larger.hashes = memory_zalloc(larger.room, sizeof(*larger.hashes));
    larger.lines = memory_zalloc(larger.room, sizeof(*larger.lines));
    for (size_t i = 0; i < names->room; i++) {
        if (names->hashes[i] == 0)
            continue;
        size_t at = place_of(&larger, names->hashes[i]);
        larger.hashes[at] = names->hashes[i];
        larger.lines[at] = names->lines[i];
    }
    upload_names_clear(names);
    *names = larger;
}

int
upload_names_add(struct upload_names *names, struct slice item_id,
    uint64_t line, uint64_t *earlier)
{
    uint64_t hash = hash_of(item_id);
    if (2 * (names->count + 1) > names->room)
        grow(names);
    size_t at = place_of(names, hash);
    if (names->hashes[at] != 0) {
        *earlier = names->lines[at];
        return -1;
    }
    names->hashes[at] = hash;
    names->lines[at] = (uint32_t)line;
    names->count++;
    return 0;
}
