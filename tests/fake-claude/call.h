#ifndef LH_FAKE_CALL_H
#define LH_FAKE_CALL_H

/*
 * call: one request to POST /v1/messages from its arrival to the last byte
 * of its answer:
 *
 *   refused (key, version, mode, request, limits) -> an error at once
 *   WAITING for the latency model or a card        -> REPLYING
 *   REPLYING: one document, or a stream in paced pieces, or what the card
 *   breaks (trouble.c)                             -> ended
 *
 * A call ends exactly once, with call_end(): it writes the ledger's line
 * before the last bytes go out, so that who has the answer finds the line.
 */

#include "common/net/http_server.h"
#include "tests/fake-claude/answer.h"
#include "tests/fake-claude/cache.h"
#include "tests/fake-claude/ledger.h"
#include "tests/fake-claude/message.h"
#include "tests/fake-claude/simulator.h"

struct call {
    struct simulator *sim;
    struct http_request *req; /* NULL once it was answered or is gone */
    struct event *timer; /* NULL: none */
    void (*on_timer)(struct call *call);
    struct ledger_call entry;
    bool begun; /* a "begin" line was written */
    uint64_t body_hash;
    uint64_t job_key; /* hash of the job's name, else of the body */
    uint64_t job_call; /* this is the job's nth call, from 1 */
    struct claude_request request;
    struct limits *limits;
    struct cache_use cache;
    struct answer answer;
    uint64_t input_tokens; /* without cache reads and writes */
    struct message_cursor cursor;
    size_t delta_bytes;
    int64_t gap_ms; /* between the pieces of a stream */
    struct buffer out;
    size_t out_at;
    uint64_t output_charged;
};

/* The route's handler. */
void call_messages(struct http_request *req, void *simulator);

/* --- for call and trouble ---------------------------------------------- */

/* Runs `step` after `ms`; one timer per call. */
void call_later(struct call *call, int64_t ms, void (*step)(struct call *call));
/* The answer begins now: cache entries become readable, and the headers of
 * every answer are set. */
void call_begin_answer(struct call *call);
void call_message(const struct call *call, struct message *message);
/* Writes the ledger's line and counts; output tokens of the answer count
 * when `delivered`. The call is still there. */
void call_end(
    struct call *call, unsigned status, const char *outcome, bool delivered);
/* Frees a call that ended. */
void call_free(struct call *call);
/* Answers with the error and frees the call. */
void call_fail(
    struct call *call, const struct api_error *error, unsigned retry_after_s);

/* trouble.c: whether the call's card breaks this call, which is then taken
 * over (and may be freed). */
bool trouble_strikes(struct call *call);

#endif
