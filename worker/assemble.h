#ifndef LH_WORKER_ASSEMBLE_H
#define LH_WORKER_ASSEMBLE_H

/*
 * assemble: makes the Message that a non-streamed call would have returned
 * out of Claude's event stream. Long answers are streamed because a call
 * that says nothing for minutes dies on the way.
 *
 * Text is kept as it is written (the raw insides of JSON strings are
 * concatenated), and so are unknown fields, numbers and tool inputs:
 * nothing is parsed into a tree, every byte is looked at a fixed number of
 * times. Unknown events are ignored, unknown deltas are noted.
 */

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buffer.h"
#include "worker/answer.h"

#define ASSEMBLE_LIMIT_DEFAULT ((size_t)64 * 1024 * 1024)

enum assemble_status {
    ASSEMBLE_MORE, /* not at its end yet */
    ASSEMBLE_DONE, /* message_stop was seen */
    ASSEMBLE_ERROR, /* an error event: see assembler_error() */
    ASSEMBLE_GARBAGE, /* not Claude's protocol */
    ASSEMBLE_TOO_LARGE /* over the limit */
};

struct assembler;

/* limit: of the memory it may hold, in bytes. */
struct assembler *assembler_new(size_t limit) MUST_CHECK;
void assembler_free(struct assembler *assembler); /* NULL is allowed */

/* The next bytes of the stream. Once the result is not ASSEMBLE_MORE, what
 * follows is ignored and the result stays. */
enum assemble_status assembler_feed(
    struct assembler *assembler, const void *data, size_t len);
/* As the last feed; ASSEMBLE_MORE at the end of the transfer means that the
 * stream was cut. */
enum assemble_status assembler_status(const struct assembler *assembler);
/* Whether message_start was seen: Claude is at work, tokens are spent. */
bool assembler_has_started(const struct assembler *assembler);
/* Whether it is at work on the answer and has not failed so far. */
bool assembler_has_content(const struct assembler *assembler);
/* A delta of an unknown type was seen: the Message may lack something. */
bool assembler_has_unknown(const struct assembler *assembler);

/* ASSEMBLE_DONE: appends the Message. */
void assembler_message(const struct assembler *assembler, struct buffer *out);
/* ASSEMBLE_ERROR: what the event said; lives as long as the assembler. */
const struct answer_error *assembler_error(const struct assembler *assembler);
/* ASSEMBLE_GARBAGE: constant text; never NULL. */
const char *assembler_reason(const struct assembler *assembler);

#endif
