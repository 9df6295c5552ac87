#ifndef LH_WORKER_CLAUDE_H
#define LH_WORKER_CLAUDE_H

/*
 * claude: one call to the Messages API: the headers it needs, the answer
 * read whole or as a stream, and what it all came to, classified. Knows
 * nothing of jobs, Redis or the store.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/job/outcome.h"
#include "worker/answer.h"
#include "worker/governor.h"

struct http_client;
struct claude_call;

struct claude_request {
    const char *url; /* ".../v1/messages" */
    const char *api_key; /* NULL: none */
    bool bearer; /* it is sent as authorization, else as x-api-key */
    const char *version; /* anthropic-version */
    const char *beta; /* anthropic-beta, or NULL */
    const char *job_header; /* a header that carries job_id, or NULL */
    const char *job_id;
    struct buffer *body; /* taken over */
    bool stream; /* the body asks for a streamed answer */
    int64_t timeout_ms;
    uint64_t max_answer_bytes;
    /* The content of a streamed answer has begun; at most once, before
     * on_reply. Must not cancel the call. NULL: nobody wants to know. */
    void (*on_begun)(void *arg);
};

struct claude_reply {
    struct outcome outcome;
    unsigned status; /* HTTP, 0: none */
    bool sent; /* Claude may have seen the request */
    const char *reason; /* constant words for a broken answer, or NULL */
    char request_id[80];
    bool simulated; /* the answer says that it is made up */
    struct governor_headers limits;
    struct answer answer; /* when SUCCEEDED */
    struct answer_error error; /* of an error answer; else empty */
    struct buffer message; /* Claude's Message when SUCCEEDED; the callback
                               may take it */
    int64_t duration_us;
    int64_t first_byte_us;
};

/* on_reply runs exactly once, from the loop, never before this returns. */
struct claude_call *claude_call_start(struct http_client *client,
    const struct claude_request *request,
    void (*on_reply)(void *arg, struct claude_reply *reply), void *arg);
/* Breaks the connection; on_reply will not run. */
void claude_call_cancel(struct claude_call *call);

#endif
