#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "common/job/body.h"

/* What a writer handed out. */
struct stored {
    struct buffer bytes;
    unsigned runs;
    size_t part_bytes;
    bool saw_short; /* a short run must be the last */
};

static void
on_stored(void *arg, struct slice run)
{
    struct stored *stored = arg;
    assert_false(stored->saw_short);
    assert_true(run.len > 0 && run.len <= stored->part_bytes);
    stored->saw_short = run.len < stored->part_bytes;
    stored->runs++;
    buffer_append_slice(&stored->bytes, run);
}

static void
write_all(struct slice raw, size_t cut, size_t part_bytes,
    struct stored *stored, struct job_meta *meta)
{
    *stored = (struct stored){.part_bytes = part_bytes};
    memset(meta, 0, sizeof(*meta));
    struct body_writer *writer = body_writer_new(part_bytes, on_stored, stored);
    while (raw.len > 0) {
        size_t len = raw.len < cut ? raw.len : cut;
        body_writer_feed(writer, slice_make(raw.data, len));
        raw = slice_make(raw.data + len, raw.len - len);
    }
    body_writer_finish(writer, meta);
    body_writer_free(writer);
    assert_int_equal(meta->stored_bytes, stored->bytes.len);
}

static int
on_raw(void *out, struct slice run)
{
    buffer_append_slice(out, run);
    return 0;
}

static enum body_fault
read_all(const struct job_meta *meta, struct slice stored, size_t cut,
    struct buffer *out)
{
    struct body_reader *reader = body_reader_new(meta, on_raw, out);
    enum body_fault fault = BODY_OK;
    while (stored.len > 0 && fault == BODY_OK) {
        size_t len = stored.len < cut ? stored.len : cut;
        fault = body_reader_feed(reader, slice_make(stored.data, len));
        stored = slice_make(stored.data + len, stored.len - len);
    }
    if (fault == BODY_OK)
        fault = body_reader_finish(reader);
    body_reader_free(reader);
    return fault;
}

/* Text that shrinks, or bytes that do not. */
static void
make_raw(struct buffer *raw, size_t len, bool noise)
{
    uint32_t state = 12345;
    buffer_reset(raw);
    for (size_t i = 0; i < len; i++) {
        state = state * 1664525u + 1013904223u;
        buffer_append_char(
            raw, noise ? (char)(state >> 24) : "a long prompt, "[i % 15]);
    }
}

static void
comes_back_however_it_is_cut(void **state)
{
    static const size_t lengths[] = {
        0, 1, 4096, 4097, 65535, 65536, 65537, 200000};
    static const size_t cuts[] = {1, 7, 4096, 65536, 1000000};
    struct buffer raw = {0};
    (void)state;
    for (size_t i = 0; i < 8 * 5 * 2; i++) {
        struct stored stored;
        struct job_meta meta;
        struct buffer back = {0};
        size_t len = lengths[i % 8];
        size_t cut = cuts[i / 8 % 5];
        make_raw(&raw, len, i >= 40);
        write_all(buffer_slice(&raw), cut, 10000, &stored, &meta);
        assert_int_equal(meta.body_bytes, len);
        assert_int_equal(
            read_all(&meta, buffer_slice(&stored.bytes), cut, &back), BODY_OK);
        assert_true(slice_equal(buffer_slice(&back), buffer_slice(&raw)));
        buffer_clear(&back);
        buffer_clear(&stored.bytes);
    }
    buffer_clear(&raw);
}

static void
compresses_only_when_that_helps(void **state)
{
    struct buffer raw = {0};
    struct stored stored;
    struct job_meta meta;
    (void)state;
    make_raw(&raw, 4096, false);
    write_all(buffer_slice(&raw), 100, 1000, &stored, &meta);
    assert_int_equal(meta.codec, JOB_CODEC_RAW);
    assert_true(slice_equal(buffer_slice(&stored.bytes), buffer_slice(&raw)));
    buffer_clear(&stored.bytes);

    make_raw(&raw, 4097, false);
    write_all(buffer_slice(&raw), 100, 1000, &stored, &meta);
    assert_int_equal(meta.codec, JOB_CODEC_ZSTD);
    assert_true(meta.stored_bytes < 200);
    buffer_clear(&stored.bytes);

    make_raw(&raw, 100000, true);
    write_all(buffer_slice(&raw), 100, 1000, &stored, &meta);
    assert_int_equal(meta.codec, JOB_CODEC_RAW);
    assert_int_equal(stored.runs, 100);
    buffer_clear(&stored.bytes);
    buffer_clear(&raw);
}

/* What zstd gathers it compresses at once, and others wait for that. */
static void
compresses_as_it_is_fed(void **state)
{
    struct buffer raw = {0};
    struct stored stored = {.part_bytes = 1};
    struct job_meta meta = {0};
    (void)state;
    make_raw(&raw, 1 << 20, false);
    struct body_writer *writer = body_writer_new(1, on_stored, &stored);
    for (size_t at = 0; at < raw.len; at += 16384) {
        size_t before = stored.bytes.len;
        body_writer_feed(writer, slice_make(raw.data + at, 16384));
        assert_true(at + 16384 < 65536 || stored.bytes.len > before);
    }
    body_writer_finish(writer, &meta);
    body_writer_free(writer);
    assert_true(stored.bytes.len < raw.len / 100);
    buffer_clear(&stored.bytes);
    buffer_clear(&raw);
}

static void
a_writer_that_was_given_up_leaves_nothing_in_the_next(void **state)
{
    struct buffer raw = {0};
    struct buffer back = {0};
    struct stored stored = {.part_bytes = 1000};
    struct job_meta meta;
    (void)state;
    make_raw(&raw, 300000, false);
    struct body_writer *writer = body_writer_new(1000, on_stored, &stored);
    body_writer_feed(writer, slice_make(raw.data, 200001));
    body_writer_feed(writer, slice_make(raw.data, 100));
    body_writer_free(writer);
    buffer_clear(&stored.bytes);

    write_all(buffer_slice(&raw), 70000, 1000, &stored, &meta);
    assert_int_equal(
        read_all(&meta, buffer_slice(&stored.bytes), 500, &back), BODY_OK);
    assert_true(slice_equal(buffer_slice(&back), buffer_slice(&raw)));
    buffer_clear(&back);
    buffer_clear(&stored.bytes);
    buffer_clear(&raw);
}

static void
knows_the_hash_of_the_clients_bytes(void **state)
{
    struct stored stored;
    struct job_meta meta;
    (void)state;
    write_all(slice_of("abc"), 2, 1000, &stored, &meta);
    assert_string_equal(meta.sha256,
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    buffer_clear(&stored.bytes);
}

/* Every byte altered in turn, in both forms. */
static void
sees_every_altered_byte(void **state)
{
    struct buffer raw = {0};
    (void)state;
    for (int noise = 0; noise < 2; noise++) {
        struct stored stored;
        struct job_meta meta;
        make_raw(&raw, 5000, noise != 0);
        write_all(buffer_slice(&raw), 5000, 100000, &stored, &meta);
        for (size_t i = 0; i < stored.bytes.len; i++) {
            struct buffer back = {0};
            stored.bytes.data[i] ^= 0x10;
            enum body_fault fault =
                read_all(&meta, buffer_slice(&stored.bytes), 64, &back);
            /* A bit of a zstd header may mean nothing: then the bytes
             * must be the right ones. */
            assert_true(fault == BODY_CORRUPT ||
                slice_equal(buffer_slice(&back), buffer_slice(&raw)));
            stored.bytes.data[i] ^= 0x10;
            buffer_clear(&back);
        }
        buffer_clear(&stored.bytes);
    }
    buffer_clear(&raw);
}

static void
sees_missing_and_additional_bytes(void **state)
{
    struct buffer raw = {0};
    (void)state;
    for (int noise = 0; noise < 2; noise++) {
        struct stored stored;
        struct job_meta meta;
        struct buffer back = {0};
        make_raw(&raw, 9000, noise != 0);
        write_all(buffer_slice(&raw), 9000, 100000, &stored, &meta);
        struct slice less = slice_make(stored.bytes.data, stored.bytes.len - 1);
        assert_int_equal(read_all(&meta, less, 64, &back), BODY_CORRUPT);
        buffer_reset(&back);
        buffer_append_char(&stored.bytes, 'x');
        assert_int_equal(
            read_all(&meta, buffer_slice(&stored.bytes), 64, &back),
            BODY_CORRUPT);
        buffer_clear(&back);
        buffer_clear(&stored.bytes);
    }
    buffer_clear(&raw);
}

/* A few KB can be 31 MB: whoever has other things to do reads in steps. */
static void
reads_in_steps_of_bounded_size(void **state)
{
    const size_t most = 100000;
    const size_t chunk = 64 * 1024; /* what the decoder hands out at once */
    struct buffer raw = {0};
    (void)state;
    for (int noise = 0; noise < 2; noise++) {
        struct buffer out = {0};
        struct stored stored;
        struct job_meta meta;
        bool more = true;
        unsigned steps = 0;
        make_raw(&raw, 3000000, noise == 1);
        if (noise == 0)
            memset(raw.data, 'a', raw.len);
        write_all(buffer_slice(&raw), 4096, 524288, &stored, &meta);
        struct slice rest = buffer_slice(&stored.bytes);
        struct body_reader *reader = body_reader_new(&meta, on_raw, &out);
        while (more) {
            size_t before = out.len;
            assert_int_equal(
                body_reader_step(reader, &rest, most, &more), BODY_OK);
            assert_true(out.len - before < most + chunk);
            steps++;
        }
        assert_true(steps >= raw.len / (most + chunk));
        assert_int_equal(body_reader_finish(reader), BODY_OK);
        assert_true(slice_equal(buffer_slice(&out), buffer_slice(&raw)));
        body_reader_free(reader);
        buffer_clear(&out);
        buffer_clear(&stored.bytes);
    }
    buffer_clear(&raw);
}

static void
yields_no_more_than_was_promised(void **state)
{
    struct buffer raw = {0};
    struct stored stored;
    struct job_meta meta;
    struct buffer back = {0};
    (void)state;
    make_raw(&raw, 20 * 1024 * 1024, false);
    write_all(buffer_slice(&raw), 1000000, 1000000, &stored, &meta);
    assert_true(stored.bytes.len < 100000);
    meta.body_bytes = 100000;
    assert_int_equal(
        read_all(&meta, buffer_slice(&stored.bytes), 1000000, &back),
        BODY_CORRUPT);
    assert_true(back.len <= 100000);
    buffer_clear(&back);
    buffer_clear(&stored.bytes);
    buffer_clear(&raw);
}

static int
refuse(void *left, struct slice run)
{
    (void)run;
    return --*(int *)left < 0 ? -1 : 0;
}

static void
ends_when_its_bytes_are_refused(void **state)
{
    struct buffer raw = {0};
    struct stored stored;
    struct job_meta meta;
    (void)state;
    make_raw(&raw, 1000000, false);
    for (int left = 0; left < 2; left++) {
        int calls = left;
        write_all(buffer_slice(&raw), 1000000, 1000000, &stored, &meta);
        struct body_reader *reader = body_reader_new(&meta, refuse, &calls);
        assert_int_equal(body_reader_feed(reader, buffer_slice(&stored.bytes)),
            BODY_CORRUPT);
        assert_int_equal(calls, -1);
        assert_int_equal(body_reader_feed(reader, SLICE_NULL), BODY_CORRUPT);
        assert_int_equal(body_reader_finish(reader), BODY_CORRUPT);
        body_reader_free(reader);
        buffer_clear(&stored.bytes);
    }
    buffer_clear(&raw);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_back_however_it_is_cut),
        cmocka_unit_test(compresses_only_when_that_helps),
        cmocka_unit_test(compresses_as_it_is_fed),
        cmocka_unit_test(a_writer_that_was_given_up_leaves_nothing_in_the_next),
        cmocka_unit_test(knows_the_hash_of_the_clients_bytes),
        cmocka_unit_test(sees_every_altered_byte),
        cmocka_unit_test(sees_missing_and_additional_bytes),
        cmocka_unit_test(reads_in_steps_of_bounded_size),
        cmocka_unit_test(yields_no_more_than_was_promised),
        cmocka_unit_test(ends_when_its_bytes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
