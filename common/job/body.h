#ifndef LH_JOB_BODY_H
#define LH_JOB_BODY_H

/*
 * body: between the bytes a client sent and the form in which they are
 * stored: as they came, or as one zstd stream when that is smaller; whole,
 * or cut into parts. Both directions work piece by piece in bounded memory
 * and carry the length and the SHA-256 of the client's bytes, because
 * Redis's append-only file has no checksum of its own.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/job/job.h"

/* Bodies up to this many bytes are never compressed. */
#define BODY_COMPRESS_MIN 4096

struct body_writer;

/*
 * on_stored gets runs of the stored form, in order, from within feed and
 * finish; `part_bytes` is the size at which a run is handed out (only the
 * last one may be shorter).
 */
struct body_writer *body_writer_new(size_t part_bytes,
    void (*on_stored)(void *arg, struct slice run), void *arg) MUST_CHECK;
void body_writer_free(struct body_writer *writer);
void body_writer_feed(struct body_writer *writer, struct slice raw);
/* Flushes; then codec, counts and hash can be read into meta (codec,
 * body_bytes, stored_bytes, sha256, mix). */
void body_writer_finish(struct body_writer *writer, struct job_meta *meta);

/* Of what was fed so far; lives as long as the writer. */
const struct prompt_mix *body_writer_mix(const struct body_writer *writer);

struct body_reader;

enum body_fault {
    BODY_OK,
    BODY_CORRUPT /* length, checksum or compression do not fit the meta */
};

/*
 * Reads what meta (codec, body_bytes, sha256) describes; never yields more
 * than meta->body_bytes, which the caller has bounded. on_raw gets runs of the
 * client's bytes, in order, from within feed and step; -1 ends it: they are
 * not what they should be.
 */
struct body_reader *body_reader_new(const struct job_meta *meta,
    int (*on_raw)(void *arg, struct slice run), void *arg) MUST_CHECK;
void body_reader_free(struct body_reader *reader);
/* The next stored bytes. */
enum body_fault body_reader_feed(
    struct body_reader *reader, struct slice stored) MUST_CHECK;
/* The same in steps, for a loop that must not stand still: a few KB of stored
 * bytes can be 31 MB. Takes from the front of *stored until about max_bytes
 * came out; *more tells whether to call again with what is left. */
enum body_fault body_reader_step(struct body_reader *reader,
    struct slice *stored, size_t max_bytes, bool *more) MUST_CHECK;
/* After the last part: everything was there and the hash fits. */
enum body_fault body_reader_finish(struct body_reader *reader) MUST_CHECK;

#endif
