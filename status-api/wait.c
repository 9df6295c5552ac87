#include "status-api/wait.h"

/* Preferences nobody understands are ignored (RFC 7240 2). */
static int64_t
from_list(struct slice list, int64_t max)
{
    while (list.len > 0) {
        struct slice one = slice_split(&list, ',');
        struct slice value = slice_split(&one, ';');
        struct slice name = slice_trim(slice_split(&value, '='));
        uint64_t seconds;
        value = slice_trim(value);
        if (value.len >= 2 && value.data[0] == '"' &&
            value.data[value.len - 1] == '"')
            value = slice_make(value.data + 1, value.len - 2);
        if (slice_equal_nocase(name, "wait") &&
            text_parse_u64(value, INT32_MAX, &seconds) == 0)
            return (int64_t)seconds < max ? (int64_t)seconds : max;
    }
    return -1;
}

int64_t
wait_preferred_s(const struct http_head *head, int64_t max)
{
    for (size_t i = 0; i < head->header_count; i++) {
        const struct http_header *header = &head->headers[i];
        if (!slice_equal_nocase(header->name, "prefer"))
            continue;
        int64_t seconds = from_list(header->value, max);
        if (seconds >= 0)
            return seconds;
    }
    return -1;
}
