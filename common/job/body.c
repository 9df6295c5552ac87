#include "common/job/body.h"

#include <assert.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

/* Level 1 does 300 MB/s and halves text. */
#define LEVEL 1
/* Decided on this much of the body, so that a large one that does not shrink
 * (images in base64 do, by a quarter) costs no more than a look. */
#define SAMPLE_BYTES ((size_t)64 * 1024)
/* Worth it when at least an eighth is saved. */
#define WORTH(raw, packed) ((packed) < (raw) - (raw) / 8)
/* What is fed is compressed when there is so much of it: left to itself zstd
 * gathers 128 KiB and then takes half a millisecond at once. Costs 1.5 % of
 * the size. */
#define FLUSH_BYTES ((size_t)16 * 1024)
#define CHUNK ((size_t)64 * 1024)
#define HASH_BYTES 32
/* Level 1 uses 2^19; a damaged header must not ask for 128 MiB. */
#define WINDOW_LOG_MAX 21

/* Fetched once and kept: EVP_sha256() searches the providers each time. */
static const EVP_MD *
sha256_method(void)
{
    static EVP_MD *method;
    if (method == NULL)
        method = EVP_MD_fetch(NULL, "SHA256", NULL);
    return method;
}

static EVP_MD_CTX *
hash_new(void)
{
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    if (hash == NULL || EVP_DigestInit_ex(hash, sha256_method(), NULL) != 1)
        abort(); /* only without memory */
    return hash;
}

static void
hash_feed(EVP_MD_CTX *hash, struct slice data)
{
    if (EVP_DigestUpdate(hash, data.data, data.len) != 1)
        abort();
}

static void
hash_finish(EVP_MD_CTX *hash, char hex[2 * HASH_BYTES + 1])
{
    unsigned char digest[HASH_BYTES];
    if (EVP_DigestFinal_ex(hash, digest, NULL) != 1)
        abort();
    text_hex(digest, sizeof(digest), hex);
}

/* --- writing --- */

struct body_writer {
    size_t part_bytes;
    void (*on_stored)(void *arg, struct slice run);
    void *arg;
    EVP_MD_CTX *hash;
    ZSTD_CCtx *zstd; /* while compressing a long one */
    size_t unflushed; /* of what it was fed */
    bool decided;
    enum job_codec codec;
    struct buffer sample; /* raw bytes until it is decided */
    struct buffer part; /* stored bytes not handed out yet */
    uint64_t raw_bytes;
    uint64_t stored_bytes;
    struct prompt_mix mix;
};

/* A context takes about 1 MB, whose pages cost more than what it does for a
 * body of 100 KB: one is kept. Only the loop's thread writes bodies. */
static ZSTD_CCtx *spare_zstd;

static ZSTD_CCtx *
take_zstd(void)
{
    ZSTD_CCtx *zstd = spare_zstd;
    spare_zstd = NULL;
    if (zstd != NULL)
        return zstd;
    zstd = ZSTD_createCCtx();
    if (zstd == NULL ||
        ZSTD_isError(
            ZSTD_CCtx_setParameter(zstd, ZSTD_c_compressionLevel, LEVEL)))
        abort(); /* only without memory */
    return zstd;
}

static void
give_zstd(ZSTD_CCtx *zstd)
{
    if (zstd == NULL)
        return;
    if (spare_zstd != NULL ||
        ZSTD_isError(ZSTD_CCtx_reset(zstd, ZSTD_reset_session_only))) {
        ZSTD_freeCCtx(zstd);
        return;
    }
    spare_zstd = zstd;
}

struct body_writer *
body_writer_new(size_t part_bytes,
    void (*on_stored)(void *arg, struct slice run), void *arg)
{
    assert(part_bytes > 0);
    struct body_writer *writer = memory_zalloc(1, sizeof(*writer));
    writer->part_bytes = part_bytes;
    writer->on_stored = on_stored;
    writer->arg = arg;
    writer->hash = hash_new();
    return writer;
}

void
body_writer_free(struct body_writer *writer)
{
    if (writer == NULL)
        return;
    EVP_MD_CTX_free(writer->hash);
    give_zstd(writer->zstd);
    buffer_clear(&writer->sample);
    buffer_clear(&writer->part);
    memory_free(writer);
}

/* Hands out whole parts. */
static void
store(struct body_writer *writer, struct slice bytes)
{
    writer->stored_bytes += bytes.len;
    while (bytes.len > 0) {
        size_t room = writer->part_bytes - writer->part.len;
        size_t len = bytes.len < room ? bytes.len : room;
        buffer_append(&writer->part, bytes.data, len);
        bytes = slice_make(bytes.data + len, bytes.len - len);
        if (writer->part.len == writer->part_bytes) {
            writer->on_stored(writer->arg, buffer_slice(&writer->part));
            buffer_reset(&writer->part);
        }
    }
}

/* Output goes into `to`. */
static void
compress(struct body_writer *writer, struct slice raw, ZSTD_EndDirective what,
    struct buffer *to)
{
    ZSTD_inBuffer in = {raw.data, raw.len, 0};
    size_t left;
    do {
        ZSTD_outBuffer out = {buffer_reserve(to, FLUSH_BYTES), FLUSH_BYTES, 0};
        left = ZSTD_compressStream2(writer->zstd, &out, &in, what);
        if (ZSTD_isError(left))
            abort(); /* only without memory */
        to->len += out.pos;
    } while (in.pos < in.size || (what != ZSTD_e_continue && left > 0));
}

static void
feed_stream(struct body_writer *writer, struct slice raw, bool last)
{
    struct buffer packed = {0};
    ZSTD_EndDirective what = ZSTD_e_continue;
    writer->unflushed += raw.len;
    if (last)
        what = ZSTD_e_end;
    else if (writer->unflushed >= FLUSH_BYTES)
        what = ZSTD_e_flush;
    if (what != ZSTD_e_continue)
        writer->unflushed = 0;
    compress(writer, raw, what, &packed);
    store(writer, buffer_slice(&packed));
    buffer_clear(&packed);
}

/* Short bodies: one frame, in less memory. */
static void
compress_whole(struct slice raw, struct buffer *packed)
{
    size_t room = ZSTD_compressBound(raw.len);
    size_t len = ZSTD_compress(
        buffer_reserve(packed, room), room, raw.data, raw.len, LEVEL);
    if (ZSTD_isError(len))
        abort(); /* only without memory */
    packed->len = len;
}

/* `whole`: the sample is all there is. */
static void
decide(struct body_writer *writer, bool whole)
{
    struct slice sample = buffer_slice(&writer->sample);
    struct buffer packed = {0};
    writer->decided = true;
    if (whole && sample.len > BODY_COMPRESS_MIN) {
        compress_whole(sample, &packed);
    } else if (!whole) {
        writer->zstd = take_zstd();
        compress(writer, sample, ZSTD_e_flush, &packed);
    }
    if (packed.len > 0 && WORTH(sample.len, packed.len)) {
        writer->codec = JOB_CODEC_ZSTD;
        store(writer, buffer_slice(&packed));
    } else {
        writer->codec = JOB_CODEC_RAW;
        give_zstd(writer->zstd);
        writer->zstd = NULL;
        store(writer, sample);
    }
    buffer_clear(&packed);
    buffer_clear(&writer->sample);
}

void
body_writer_feed(struct body_writer *writer, struct slice raw)
{
    if (raw.len == 0)
        return;
    hash_feed(writer->hash, raw);
    prompt_mix_feed(&writer->mix, raw);
    writer->raw_bytes += raw.len;
    if (!writer->decided) {
        size_t room = SAMPLE_BYTES - writer->sample.len;
        size_t len = raw.len < room ? raw.len : room;
        buffer_append(&writer->sample, raw.data, len);
        raw = slice_make(raw.data + len, raw.len - len);
        if (writer->sample.len < SAMPLE_BYTES)
            return;
        decide(writer, false);
    }
    if (writer->codec == JOB_CODEC_ZSTD && raw.len > 0)
        feed_stream(writer, raw, false);
    else
        store(writer, raw);
}

const struct prompt_mix *
body_writer_mix(const struct body_writer *writer)
{
    return &writer->mix;
}

void
body_writer_finish(struct body_writer *writer, struct job_meta *meta)
{
    if (!writer->decided)
        decide(writer, true);
    if (writer->zstd != NULL)
        feed_stream(writer, SLICE_NULL, true);
    if (writer->part.len > 0)
        writer->on_stored(writer->arg, buffer_slice(&writer->part));
    buffer_reset(&writer->part);
    meta->codec = writer->codec;
    meta->body_bytes = writer->raw_bytes;
    meta->stored_bytes = writer->stored_bytes;
    prompt_mix_encode(&writer->mix, meta->mix);
    hash_finish(writer->hash, meta->sha256);
}

/* --- reading --- */

struct body_reader {
    enum job_codec codec;
    uint64_t want_bytes;
    char want_sha256[2 * HASH_BYTES + 1];
    int (*on_raw)(void *arg, struct slice run);
    void *arg;
    EVP_MD_CTX *hash;
    ZSTD_DCtx *zstd;
    uint64_t raw_bytes;
    bool frame_ended; /* nothing may follow */
    bool output_left; /* the decoder has more than it had room for */
    bool broken;
};

struct body_reader *
body_reader_new(const struct job_meta *meta,
    int (*on_raw)(void *arg, struct slice run), void *arg)
{
    struct body_reader *reader = memory_zalloc(1, sizeof(*reader));
    reader->on_raw = on_raw;
    reader->arg = arg;
    reader->codec = meta->codec;
    reader->want_bytes = meta->body_bytes;
    memcpy(reader->want_sha256, meta->sha256, sizeof(reader->want_sha256));
    reader->hash = hash_new();
    if (meta->codec == JOB_CODEC_ZSTD) {
        reader->zstd = ZSTD_createDCtx();
        if (reader->zstd == NULL ||
            ZSTD_isError(ZSTD_DCtx_setParameter(
                reader->zstd, ZSTD_d_windowLogMax, WINDOW_LOG_MAX)))
            abort(); /* only without memory */
    }
    return reader;
}

void
body_reader_free(struct body_reader *reader)
{
    if (reader == NULL)
        return;
    EVP_MD_CTX_free(reader->hash);
    ZSTD_freeDCtx(reader->zstd);
    memory_free(reader);
}

static enum body_fault
take_raw(struct body_reader *reader, struct slice raw)
{
    if (raw.len > reader->want_bytes - reader->raw_bytes)
        return BODY_CORRUPT;
    hash_feed(reader->hash, raw);
    reader->raw_bytes += raw.len;
    return reader->on_raw(reader->arg, raw) == 0 ? BODY_OK : BODY_CORRUPT;
}

static enum body_fault
step_raw(struct body_reader *reader, struct slice *stored, size_t max_bytes,
    bool *more)
{
    size_t len = stored->len < max_bytes ? stored->len : max_bytes;
    struct slice raw = slice_make(stored->data, len);

    *stored = slice_make(stored->data + len, stored->len - len);
    *more = stored->len > 0;
    return take_raw(reader, raw);
}

static enum body_fault
step_zstd(struct body_reader *reader, struct slice *stored, size_t max_bytes,
    bool *more)
{
    ZSTD_inBuffer in = {stored->data, stored->len, 0};
    uint64_t begin = reader->raw_bytes;

    *more = stored->len > 0 || reader->output_left;
    while (*more && reader->raw_bytes - begin < max_bytes) {
        char chunk[CHUNK];
        ZSTD_outBuffer room = {chunk, sizeof(chunk), 0};
        if (reader->frame_ended)
            return BODY_CORRUPT;
        size_t left = ZSTD_decompressStream(reader->zstd, &room, &in);
        if (ZSTD_isError(left) ||
            take_raw(reader, slice_make(chunk, room.pos)) != BODY_OK)
            return BODY_CORRUPT;
        reader->frame_ended = left == 0;
        /* A full chunk may have left output inside the decoder. */
        reader->output_left = room.pos == sizeof(chunk) && !reader->frame_ended;
        *more = in.pos < in.size || reader->output_left;
    }
    *stored = slice_make(stored->data + in.pos, stored->len - in.pos);
    return BODY_OK;
}

enum body_fault
body_reader_step(struct body_reader *reader, struct slice *stored,
    size_t max_bytes, bool *more)
{
    enum body_fault fault = BODY_CORRUPT;
    *more = false;
    if (!reader->broken)
        fault = reader->codec == JOB_CODEC_ZSTD
            ? step_zstd(reader, stored, max_bytes, more)
            : step_raw(reader, stored, max_bytes, more);
    reader->broken = fault != BODY_OK;
    return fault;
}

enum body_fault
body_reader_feed(struct body_reader *reader, struct slice stored)
{
    bool more;
    return body_reader_step(reader, &stored, SIZE_MAX, &more);
}

enum body_fault
body_reader_finish(struct body_reader *reader)
{
    char hex[2 * HASH_BYTES + 1];
    if (reader->broken || reader->raw_bytes != reader->want_bytes ||
        (reader->codec == JOB_CODEC_ZSTD && !reader->frame_ended))
        return BODY_CORRUPT;
    hash_finish(reader->hash, hex);
    reader->broken = true; /* the hash can be had once */
    return memcmp(hex, reader->want_sha256, sizeof(hex)) == 0 ? BODY_OK
                                                              : BODY_CORRUPT;
}
