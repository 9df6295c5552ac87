#ifndef LH_SUBMITTER_UPLOAD_NAMES_H
#define LH_SUBMITTER_UPLOAD_NAMES_H

/*
 * upload_names: which custom_ids an upload has had, and where. Pure. It
 * keeps 62 bits of the item's id, which are a hash of the custom_id, and the
 * number of the line: 12 bytes an entry, 100,000 of them in 3 MB. Two
 * custom_ids of a million that share those bits come once in ten million
 * uploads; the later one is then refused as a duplicate.
 */

#include <stdint.h>

#include "common/base/text.h"

struct upload_names {
    uint64_t *hashes; /* 0: free */
    uint32_t *lines;
    size_t room; /* a power of two, or 0 */
    size_t count;
};

void upload_names_clear(struct upload_names *names);
/* item_id: of bulk_item_id(); line: the number, cut to 32 bits. 0, or -1
 * when it was there: *earlier is its line. */
int upload_names_add(struct upload_names *names, struct slice item_id,
    uint64_t line, uint64_t *earlier) MUST_CHECK;

#endif
