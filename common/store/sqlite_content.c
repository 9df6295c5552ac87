#include <zstd.h>

#include "common/store/sqlite.h"

#define PACK_ABOVE_BYTES 4096
#define PACK_LEVEL 3
#define ANSWER_MAX ((uint64_t)1 << 30)

/* Worth it when a tenth or more is saved. */
void
sqlite_content_pack(struct store_work *work)
{
    struct buffer *answer = &work->answer;
    work->answer_bytes = answer->len;
    work->answer_zstd = false;
    if (answer->len <= PACK_ABOVE_BYTES)
        return;
    struct buffer packed = {0};
    size_t limit = answer->len - answer->len / 10;
    char *to = buffer_reserve(&packed, limit);
    size_t len =
        ZSTD_compress(to, limit, answer->data, answer->len, PACK_LEVEL);
    if (ZSTD_isError(len)) { /* it would be larger than limit */
        buffer_clear(&packed);
        return;
    }
    packed.len = len;
    buffer_clear(answer);
    *answer = packed;
    work->answer_zstd = true;
}

int
sqlite_content_unpack(
    struct slice packed, bool zstd, uint64_t bytes, struct buffer *out)
{
    if (!zstd) {
        buffer_append_slice(out, packed);
        return packed.len == bytes ? 0 : -1;
    }
    if (bytes > ANSWER_MAX)
        return -1;
    char *to = buffer_reserve(out, (size_t)bytes);
    size_t len = ZSTD_decompress(to, (size_t)bytes, packed.data, packed.len);
    if (ZSTD_isError(len) || len != bytes)
        return -1;
    out->len += len;
    out->data[out->len] = '\0';
    return 0;
}
