#ifndef LH_FAKE_MESSAGE_H
#define LH_FAKE_MESSAGE_H

/*
 * message: an answer in the API's own form: one Message object, or the same
 * as the events of a stream (Claude's documentation, "Messages" and
 * "Streaming messages"). Every member the official SDK types is there.
 */

#include "tests/fake-claude/answer.h"
#include "tests/fake-claude/cache.h"

/* Everything an answer's text is made of. */
struct message {
    const char *model;
    const struct answer *answer;
    const struct cache_use *cache;
    uint64_t input_tokens; /* without cache reads and writes */
};

void message_append(struct buffer *out, const struct message *message);

/* Where a stream stands. Zeroed: nothing was sent yet. */
struct message_cursor {
    enum {
        CURSOR_START,
        CURSOR_BLOCK,
        CURSOR_DELTA,
        CURSOR_SIGNATURE,
        CURSOR_BLOCK_END,
        CURSOR_DELTAS_DONE,
        CURSOR_END
    } stage;
    size_t block;
    size_t offset; /* in the block's text */
};

/*
 * Appends the next event; a delta carries about `delta_bytes` (> 0), whole
 * characters. Returns true while there is more to come; false with the last
 * event, message_stop.
 */
bool message_next_event(struct buffer *out, const struct message *message,
    struct message_cursor *cursor, size_t delta_bytes);
/* Whether the next event is a delta or comes after the first of them: what
 * the latency model paces. */
bool message_is_in_text(const struct message_cursor *cursor);
void message_append_ping(struct buffer *out);
/* The error envelope; as an event of a stream when `event`. */
void message_append_error(struct buffer *out, const struct api_error *error,
    const char *request_id, bool event);

#endif
