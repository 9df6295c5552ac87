#include "worker/claude.h"

#include <string.h>

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/net/http_client.h"
#include "worker/assemble.h"

/* A stream that says nothing for so long is dead: Claude sends pings. */
#define STREAM_IDLE_MS 120000
#define HEADERS_MAX 8
/* Names, and the values that are short. */
#define HEADERS_SHORT_BYTES 1024
/* An error body is read for its type and message only. */
#define ERROR_BODY_MAX (256 * 1024)

struct claude_call {
    struct http_call *http;
    bool stream;
    bool is_event_stream;
    size_t max_bytes;
    struct assembler *assembler;
    struct buffer body;
    char retry_after_ms[64];
    char retry_after[64];
    char should_retry[16];
    struct claude_reply reply;
    void (*on_begun)(void *arg); /* NULL once it was told */
    void (*on_reply)(void *arg, struct claude_reply *reply);
    void *arg;
};

static void
call_free(struct claude_call *call)
{
    assembler_free(call->assembler);
    buffer_clear(&call->body);
    buffer_clear(&call->reply.message);
    memory_free(call);
}

/* The answer's headers that mean something to us, by name. */
static void
on_header(void *arg, struct slice name, struct slice value)
{
    struct claude_call *call = arg;
    struct {
        const char *name;
        char *out;
        size_t size;
    } wanted[] = {
        {"retry-after-ms", call->retry_after_ms, sizeof(call->retry_after_ms)},
        {"retry-after", call->retry_after, sizeof(call->retry_after)},
        {"x-should-retry", call->should_retry, sizeof(call->should_retry)},
        {"request-id", call->reply.request_id, sizeof(call->reply.request_id)},
    };

    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        if (slice_equal_nocase(name, wanted[i].name))
            text_copy(wanted[i].out, wanted[i].size, value);
    }
    if (slice_equal_nocase(name, "content-type"))
        call->is_event_stream = slice_starts_with(value, "text/event-stream");
    if (slice_equal_nocase(name, "x-fake-claude"))
        call->reply.simulated = true;
    governor_read_header(&call->reply.limits, name, value);
}

static void
feed(struct claude_call *call, struct slice data)
{
    void (*on_begun)(void *arg) = call->on_begun;

    if (call->assembler == NULL)
        call->assembler = assembler_new(call->max_bytes);
    assembler_feed(call->assembler, data.data, data.len);
    if (on_begun != NULL && assembler_has_content(call->assembler)) {
        call->on_begun = NULL;
        on_begun(call->arg);
    }
}

static void
on_data(void *arg, unsigned status, struct slice data)
{
    struct claude_call *call = arg;

    if (status == 200 && call->stream && call->is_event_stream) {
        feed(call, data);
        return;
    }
    if (status != 200 && call->body.len + data.len > ERROR_BODY_MAX)
        return;
    buffer_append_slice(&call->body, data);
}

/* --- what it came to ------------------------------------------------- */

static enum outcome_call
outcome_of_end(const struct http_call_result *result)
{
    switch (result->end) {
    case HTTP_CALL_OK: return OUTCOME_CALL_OK;
    case HTTP_CALL_DNS: return OUTCOME_CALL_DNS;
    case HTTP_CALL_CONNECT: return OUTCOME_CALL_CONNECT;
    case HTTP_CALL_TLS: return OUTCOME_CALL_TLS;
    case HTTP_CALL_TIMEOUT:
        return result->sent ? OUTCOME_CALL_TIMEOUT
                            : OUTCOME_CALL_TIMEOUT_CONNECT;
    case HTTP_CALL_CUT:
        return result->sent ? OUTCOME_CALL_CUT : OUTCOME_CALL_CONNECT;
    case HTTP_CALL_TOO_LARGE: return OUTCOME_CALL_TOO_LARGE;
    case HTTP_CALL_BAD_PROTOCOL: break;
    }
    return OUTCOME_CALL_GARBAGE;
}

/* A 200 with an event stream. */
static enum outcome_call
read_stream(struct claude_call *call)
{
    struct claude_reply *reply = &call->reply;

    switch (assembler_status(call->assembler)) {
    case ASSEMBLE_DONE:
        assembler_message(call->assembler, &reply->message);
        if (answer_parse(buffer_slice(&reply->message), &reply->answer,
                &reply->reason) == 0)
            return OUTCOME_CALL_OK;
        return OUTCOME_CALL_GARBAGE;
    case ASSEMBLE_ERROR:
        reply->error = *assembler_error(call->assembler);
        return OUTCOME_CALL_OK;
    case ASSEMBLE_TOO_LARGE: return OUTCOME_CALL_TOO_LARGE;
    case ASSEMBLE_GARBAGE:
        reply->reason = assembler_reason(call->assembler);
        return OUTCOME_CALL_GARBAGE;
    case ASSEMBLE_MORE: break;
    }
    reply->reason = "the stream ended without message_stop";
    return OUTCOME_CALL_CUT;
}

static enum outcome_call
read_body(struct claude_call *call)
{
    struct claude_reply *reply = &call->reply;

    if (reply->status != 200) {
        if (answer_error_parse(buffer_slice(&call->body), &reply->error) != 0)
            reply->reason = "the error was not in Claude's form";
        return OUTCOME_CALL_OK;
    }
    if (call->body.len == 0)
        return OUTCOME_CALL_EMPTY;
    if (answer_parse(
            buffer_slice(&call->body), &reply->answer, &reply->reason) != 0)
        return OUTCOME_CALL_GARBAGE;
    reply->message = call->body;
    call->body = (struct buffer){NULL, 0, 0};
    return OUTCOME_CALL_OK;
}

/* An error event names its type; its HTTP status stays 200. */
static void
classify(struct claude_call *call, enum outcome_call end)
{
    struct claude_reply *reply = &call->reply;
    const struct outcome_input input = {
        .call = end,
        .status = (int)reply->status,
        .error_type = slice_of(reply->error.type),
        .error_code = slice_of(reply->error.code),
        .message = slice_of(reply->error.message),
        .retry_after_ms = slice_of(call->retry_after_ms),
        .retry_after = slice_of(call->retry_after),
        .should_retry = slice_of(call->should_retry),
        .stop_reason = slice_of(reply->answer.stop_reason),
        .now_ms = clock_wall_ms(),
    };

    outcome_classify(&input, &reply->outcome);
}

static void
on_done(void *arg, const struct http_call_result *result)
{
    struct claude_call *call = arg;
    struct claude_reply *reply = &call->reply;
    enum outcome_call end = outcome_of_end(result);

    call->http = NULL;
    reply->status = result->status;
    reply->sent = result->sent;
    reply->duration_us = result->duration_us;
    reply->first_byte_us = result->first_byte_us;
    /* A stream that is complete is paid for, however its connection ended. */
    if (call->assembler != NULL &&
        (end == OUTCOME_CALL_OK ||
            assembler_status(call->assembler) != ASSEMBLE_MORE))
        end = read_stream(call);
    else if (end != OUTCOME_CALL_OK)
        reply->reason = result->detail;
    else
        end = read_body(call);
    if (reply->request_id[0] == '\0')
        text_copy(reply->request_id, sizeof(reply->request_id),
            slice_of(reply->error.request_id));
    classify(call, end);
    call->on_reply(call->arg, reply);
    call_free(call);
}

/* --- the request ----------------------------------------------------- */

/* All lines in one piece of memory, which is wiped afterwards: one of them
 * is the key. */
struct header_lines {
    struct buffer text;
    size_t count;
    const char *lines[HEADERS_MAX + 1];
};

static void
header_add(struct header_lines *headers, const char *name, const char *prefix,
    const char *value)
{
    if (value == NULL || value[0] == '\0')
        return;
    headers->count++;
    buffer_append_text(&headers->text, name);
    buffer_append(&headers->text, ": ", 2);
    buffer_append_text(&headers->text, prefix);
    buffer_append(&headers->text, value, strlen(value) + 1);
}

static size_t
text_length(const char *text)
{
    return text != NULL ? strlen(text) : 0;
}

static void
headers_fill(struct header_lines *headers, const struct claude_request *request)
{
    const char *at;

    /* At once: it must not be copied with the key in it. */
    buffer_reserve(&headers->text,
        HEADERS_SHORT_BYTES + text_length(request->api_key) +
            text_length(request->beta));
    if (request->bearer)
        header_add(headers, "authorization", "Bearer ", request->api_key);
    else
        header_add(headers, "x-api-key", "", request->api_key);
    header_add(headers, "anthropic-version", "", request->version);
    header_add(headers, "anthropic-beta", "", request->beta);
    header_add(headers, "content-type", "", "application/json");
    header_add(headers, "accept", "", "application/json");
    if (request->job_header != NULL)
        header_add(headers, request->job_header, "", request->job_id);
    at = headers->text.data;
    for (size_t i = 0; i < headers->count; i++, at += strlen(at) + 1)
        headers->lines[i] = at;
}

static void
headers_clear(struct header_lines *headers)
{
    explicit_bzero(headers->text.data, headers->text.len);
    buffer_clear(&headers->text);
}

struct claude_call *
claude_call_start(struct http_client *client,
    const struct claude_request *request,
    void (*on_reply)(void *arg, struct claude_reply *reply), void *arg)
{
    struct claude_call *call = memory_zalloc(1, sizeof(*call));
    struct header_lines headers = {.count = 0};
    struct http_call_spec spec = {
        .url = request->url,
        .headers = headers.lines,
        .body = request->body,
        .timeout_ms = request->timeout_ms,
        .idle_timeout_ms = request->stream ? STREAM_IDLE_MS : 0,
        .max_answer_bytes = request->max_answer_bytes,
        .on_header = on_header,
        .on_data = on_data,
        .on_done = on_done,
        .arg = call,
    };

    call->stream = request->stream;
    call->max_bytes = (size_t)request->max_answer_bytes;
    call->on_begun = request->on_begun;
    call->on_reply = on_reply;
    call->reply.limits = governor_no_headers();
    call->arg = arg;
    headers_fill(&headers, request);
    call->http = http_call_start(client, &spec);
    headers_clear(&headers);
    return call;
}

void
claude_call_cancel(struct claude_call *call)
{
    http_call_cancel(call->http);
    call_free(call);
}
