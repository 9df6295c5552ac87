#include <string.h>

#include "tests/fake-claude/call.h"
#include "tests/fake-claude/caller.h"
#include "tests/fake-claude/mix.h"

/* What the test cards break. */

#define CUT_AFTER_MS 20
#define DRIP_MS 1000
#define ENDLESS_BYTES 16384
#define ENDLESS_MS 5

static const char html[] =
    "<html><head><title>502 Bad Gateway</title></head><body>"
    "<h1>502 Bad Gateway</h1></body></html>\n";

static const char half_json[] = "{\"id\":\"msg_01\",\"type\":\"mess";

static const char *
message_of(const struct card *card)
{
    if (card->code != NULL)
        return "You have reached the monthly spend limit of your tier.";
    switch (card->status) {
    case 400:
        return strcmp(card->pattern, "mock-spend-limit-own") == 0
            ? "You have reached your specified API usage limits. You will "
              "regain access on the first of next month."
            : "A simulated invalid request";
    case 401: return "invalid x-api-key";
    case 402: return "Your credit balance is too low";
    case 403: return "Your API key does not have permission for this";
    case 413: return "Request exceeds the maximum size";
    case 429: return "A simulated rate limit";
    case 529: return "Overloaded";
    default: break;
    }
    return "A simulated failure";
}

static bool
fail_by_card(struct call *call)
{
    const struct card_choice *choice = &call->request.card;
    struct api_error error;
    (void)api_error_set(
        &error, choice->card->status, "%s", message_of(choice->card));
    error.code = choice->card->code;
    call_fail(call, &error, (unsigned)choice->n);
    return true;
}

static bool
fail_with(struct call *call, unsigned status)
{
    struct api_error error;
    (void)api_error_set(&error, status, "%s",
        status == 529 ? "Overloaded" : "Internal server error");
    call_fail(call, &error, 0);
    return true;
}

/* The whole answer as it would be sent, in call->out. */
static void
compose(struct call *call)
{
    struct message message;
    call->delta_bytes = 16;
    answer_compose(&call->answer, &call->request, call->body_hash);
    call_message(call, &message);
    if (!call->request.stream)
        message_append(&call->out, &message);
    while (call->request.stream &&
        message_next_event(
            &call->out, &message, &call->cursor, call->delta_bytes))
        ;
}

static void
start_answer(
    struct call *call, void (*on_drain)(struct http_request *req, void *arg))
{
    call_begin_answer(call);
    call_later(call, 0, NULL);
    http_reply_start(call->req, 200,
        call->request.stream ? "text/event-stream" : "application/json",
        on_drain);
}

static void
cut_now(struct call *call)
{
    struct http_request *req = call->req;
    call_end(call, 200, "cut", true);
    http_reply_abort(req);
    call_free(call);
}

/* The bytes get a moment to arrive before the connection breaks. */
static bool
cut(struct call *call)
{
    compose(call);
    start_answer(call, NULL);
    (void)http_reply_chunk(call->req, call->out.data, call->out.len * 2 / 3);
    call_later(call, CUT_AFTER_MS, cut_now);
    return true;
}

/* A whole document that is not what the API sends. */
static bool
reply_with(
    struct call *call, const char *type, const char *text, const char *outcome)
{
    struct http_request *req = call->req;
    answer_compose(&call->answer, &call->request, call->body_hash);
    call_begin_answer(call);
    call_end(call, 200, outcome, true);
    http_reply(req, 200, type, text, strlen(text));
    call_free(call);
    return true;
}

static bool
garbage(struct call *call)
{
    if (call->job_call % 2 == 1)
        return reply_with(call, "text/html", html, "garbage");
    return reply_with(call, "application/json", half_json, "garbage");
}

static void
drip_byte(struct call *call)
{
    struct http_request *req = call->req;
    if (call->out_at + 1 < call->out.len) {
        (void)http_reply_chunk(req, call->out.data + call->out_at++, 1);
        call_later(call, DRIP_MS, drip_byte);
        return;
    }
    call_end(call, 200, "ok", true);
    (void)http_reply_chunk(req, call->out.data + call->out_at, 1);
    http_reply_end(req);
    call_free(call);
}

static bool
drip(struct call *call)
{
    compose(call);
    start_answer(call, NULL);
    drip_byte(call);
    return true;
}

static void endless_more(struct call *call);

static void
endless_drained(struct http_request *req, void *arg)
{
    (void)req;
    call_later(arg, ENDLESS_MS, endless_more);
}

static void
append_endless(struct call *call)
{
    static const char words[] = "and so on and so on and so on and so on ";
    static const char head[] =
        "event: content_block_delta\ndata: {\"type\":"
        "\"content_block_delta\",\"index\":0,\"delta\":{\"type\":"
        "\"text_delta\",\"text\":\"";
    buffer_reset(&call->out);
    if (call->request.stream)
        buffer_append_text(&call->out, head);
    while (call->out.len < ENDLESS_BYTES)
        buffer_append_text(&call->out, words);
    if (call->request.stream)
        buffer_append_text(&call->out, "\"}}\n\n");
}

static void
endless_more(struct call *call)
{
    append_endless(call);
    if (http_reply_chunk(call->req, call->out.data, call->out.len))
        call_later(call, ENDLESS_MS, endless_more);
}

static bool
endless(struct call *call)
{
    struct message message;
    answer_compose(&call->answer, &call->request, call->body_hash);
    call_message(call, &message);
    start_answer(call, endless_drained);
    if (call->request.stream)
        for (int i = 0; i < 2; i++)
            (void)message_next_event(&call->out, &message, &call->cursor, 16);
    else
        buffer_append_text(&call->out,
            "{\"id\":\"msg_01endless\",\"type\":\"message\",\"role\":"
            "\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"");
    (void)http_reply_chunk(call->req, call->out.data, call->out.len);
    call_later(call, ENDLESS_MS, endless_more);
    return true;
}

static bool
hang(struct call *call)
{
    call_later(call, 0, NULL);
    return true;
}

/* Some events of a good stream, then the error event. */
static bool
sse_error(struct call *call)
{
    struct api_error error;
    struct http_request *req = call->req;
    struct message message;
    if (!call->request.stream)
        return fail_with(call, 529);
    (void)api_error_set(&error, 529, "Overloaded");
    answer_compose(&call->answer, &call->request, call->body_hash);
    call_message(call, &message);
    for (int i = 0; i < 3; i++)
        (void)message_next_event(&call->out, &message, &call->cursor, 16);
    message_append_error(&call->out, &error, http_request_id(req), true);
    start_answer(call, NULL);
    call_end(call, 200, "sse_error", false);
    (void)http_reply_chunk(req, call->out.data, call->out.len);
    http_reply_end(req);
    call_free(call);
    return true;
}

bool
trouble_strikes(struct call *call)
{
    const struct card_choice *choice = &call->request.card;
    uint64_t dice = mix_u64(call->job_key ^ mix_u64(call->job_call));
    if (!card_strikes(choice, call->job_call, mix_unit(dice)))
        return false;
    switch (choice->card->kind) {
    case CARD_ERROR: return fail_by_card(call);
    case CARD_FLAKY: return fail_with(call, (dice & 1) != 0 ? 529 : 500);
    case CARD_CUT: return cut(call);
    case CARD_GARBAGE: return garbage(call);
    case CARD_EMPTY: return reply_with(call, "application/json", "", "empty");
    case CARD_HANG: return hang(call);
    case CARD_DRIP: return drip(call);
    case CARD_ENDLESS: return endless(call);
    case CARD_SSE_ERROR: return sse_error(call);
    case CARD_OK:
    case CARD_SLOW:
    case CARD_STREAM:
    case CARD_REFUSAL:
    case CARD_MAX_TOKENS:
    case CARD_THINKING: break;
    }
    return false;
}
