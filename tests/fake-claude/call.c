#include "tests/fake-claude/call.h"

#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "tests/fake-claude/caller.h"
#include "tests/fake-claude/fast.h"
#include "tests/fake-claude/mix.h"
#include "tests/fake-claude/quota.h"
#include "tests/fake-claude/record.h"

#define STREAM_CARD_TTFT_MS 200
#define STREAM_CARD_TOKENS_PER_S 50.0
#define MOST_DELTAS 60

static void
release(struct call *call)
{
    if (call->timer != NULL)
        event_free(call->timer);
    answer_clear(&call->answer);
    request_clear(&call->request);
    buffer_clear(&call->out);
    memory_free(call);
}

void
call_free(struct call *call)
{
    release(call);
}

/* What the answer says, and its bytes when they are one document. */
static void
hash_answer(const struct call *call, struct ledger_end *end)
{
    struct buffer text = {0};
    for (size_t i = 0; i < call->answer.count; i++)
        if (call->answer.blocks[i].kind == ANSWER_TEXT)
            buffer_append_slice(
                &text, buffer_slice(&call->answer.blocks[i].text));
    ledger_hash(buffer_slice(&text), end->text_sha256);
    buffer_clear(&text);
    if (!call->request.stream)
        ledger_hash(buffer_slice(&call->out), end->answer_sha256);
}

void
call_end(
    struct call *call, unsigned status, const char *outcome, bool delivered)
{
    struct simulator *sim = call->sim;
    struct ledger_end end = {.status = status, .outcome = outcome};
    if (status < 400) {
        end.input_tokens = call->input_tokens;
        end.output_tokens =
            delivered ? call->answer.output_tokens : call->output_charged;
        end.cache_read = call->cache.read_tokens;
        end.cache_write =
            call->cache.write_5m_tokens + call->cache.write_1h_tokens;
        end.cache_write_1h = call->cache.write_1h_tokens;
        if (sim->ledger != NULL && delivered)
            hash_answer(call, &end);
    }
    if (call->limits != NULL && end.output_tokens > call->output_charged)
        limits_charge_output(call->limits,
            end.output_tokens - call->output_charged, clock_mono_ms());
    sim->in_flight--;
    simulator_count(sim, &end);
    ledger_end(sim->ledger, &call->entry, &end);
}

void
call_fail(
    struct call *call, const struct api_error *error, unsigned retry_after_s)
{
    struct buffer body = {0};
    char text[16];
    caller_answer_headers(call->req, !call->sim->settings.unmarked);
    if (call->limits != NULL)
        quota_answer_headers(call->req, call->limits);
    if (retry_after_s > 0) {
        (void)snprintf(text, sizeof(text), "%u", retry_after_s);
        http_reply_header(call->req, "retry-after", text);
    }
    message_append_error(&body, error, http_request_id(call->req), false);
    (void)snprintf(text, sizeof(text), "%u", error->status);
    call_end(call, error->status, text, false);
    http_reply_buffer(call->req, error->status, "application/json", &body);
    release(call);
}

static void
on_gone(struct http_request *req, void *arg)
{
    struct call *call = arg;
    (void)req;
    call->req = NULL;
    call_end(call, 0, call->sim->stopping ? "stopped" : "client_gone", false);
    release(call);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct call *call = arg;
    (void)fd;
    (void)what;
    call->on_timer(call);
}

/* The client may leave from now on before it has its answer. */
static void
begin_waiting(struct call *call)
{
    if (call->begun)
        return;
    call->begun = true;
    http_request_set_arg(call->req, call, on_gone);
    ledger_begin(call->sim->ledger, &call->entry);
}

void
call_later(struct call *call, int64_t ms, void (*step)(struct call *call))
{
    begin_waiting(call);
    if (step == NULL)
        return;
    struct timeval after = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    call->on_timer = step;
    if (call->timer == NULL)
        call->timer = evtimer_new(call->sim->base, on_timer, call);
    if (call->timer == NULL || evtimer_add(call->timer, &after) != 0)
        abort();
}

void
call_message(const struct call *call, struct message *message)
{
    *message = (struct message){.model = call->request.model,
        .answer = &call->answer,
        .cache = &call->cache,
        .input_tokens = call->input_tokens};
}

void
call_begin_answer(struct call *call)
{
    cache_commit(&call->sim->cache, &call->cache);
    caller_answer_headers(call->req, !call->sim->settings.unmarked);
    quota_answer_headers(call->req, call->limits);
}

static void
reply_document(struct call *call)
{
    struct message message;
    struct http_request *req = call->req;
    call_message(call, &message);
    message_append(&call->out, &message);
    call_begin_answer(call);
    call_end(call, 200, "ok", true);
    http_reply_buffer(req, 200, "application/json", &call->out);
    release(call);
}

static void
finish_stream(struct call *call)
{
    struct http_request *req = call->req;
    call_end(call, 200, "ok", true);
    (void)http_reply_chunk(req, call->out.data, call->out.len);
    http_reply_end(req);
    release(call);
}

/* Output tokens are charged as they are produced, by the share of text. */
static void
charge_delta(struct call *call)
{
    uint64_t share = call->answer.output_tokens / MOST_DELTAS;
    if (share == 0 || call->output_charged + share > call->answer.output_tokens)
        return;
    call->output_charged += share;
    limits_charge_output(call->limits, share, clock_mono_ms());
}

/* All events up to the next piece of text, then a pause. */
static void
step_stream(struct call *call)
{
    struct message message;
    bool more = true;
    bool paused = false;
    call_message(call, &message);
    buffer_reset(&call->out);
    while (more && !paused) {
        bool text = message_is_in_text(&call->cursor);
        more = message_next_event(
            &call->out, &message, &call->cursor, call->delta_bytes);
        paused = text && call->gap_ms > 0;
    }
    if (!more) {
        finish_stream(call);
        return;
    }
    charge_delta(call);
    (void)http_reply_chunk(call->req, call->out.data, call->out.len);
    call_later(call, call->gap_ms, step_stream);
}

static void
reply_stream(struct call *call)
{
    call_begin_answer(call);
    http_reply_start(call->req, 200, "text/event-stream", NULL);
    step_stream(call);
}

static size_t
answer_bytes(const struct answer *answer)
{
    size_t bytes = 0;
    for (size_t i = 0; i < answer->count; i++)
        bytes += answer->blocks[i].text.len;
    return bytes;
}

/* The latency model: how long to the first byte, returned, and how a stream
 * is paced. */
static int64_t
plan_latency(struct call *call)
{
    const struct settings *settings = &call->sim->settings;
    const struct card_choice *card = &call->request.card;
    enum card_kind kind = card->card != NULL ? card->card->kind : CARD_OK;
    double speed = settings->tokens_per_s;
    double ttft_ms = (double)(settings->ttft_ms + call->sim->mode.latency_ms);
    if (kind == CARD_SLOW)
        ttft_ms += (double)card->n;
    if (kind == CARD_STREAM && speed <= 0) {
        ttft_ms += STREAM_CARD_TTFT_MS;
        speed = STREAM_CARD_TOKENS_PER_S;
    }
    uint64_t tokens = call->answer.output_tokens;
    double chance = mix_unit(mix_u64(call->body_hash + call->entry.number));
    double factor = 1 + settings->jitter * (2 * chance - 1);
    double text_ms = speed > 0 ? (double)tokens / speed * 1000 * factor : 0;
    uint64_t deltas = tokens / 4 + 1;
    if (deltas > MOST_DELTAS)
        deltas = MOST_DELTAS;
    call->delta_bytes = answer_bytes(&call->answer) / deltas + 1;
    call->gap_ms = (int64_t)(text_ms / (double)deltas);
    double first_ms = ttft_ms * factor;
    return (int64_t)(call->request.stream ? first_ms : first_ms + text_ms);
}

static void
start(struct call *call)
{
    if (call->request.card.card != NULL && trouble_strikes(call))
        return;
    if (call->sim->settings.fast)
        answer_canned(&call->answer, call->body_hash);
    else
        answer_compose(&call->answer, &call->request, call->body_hash);
    int64_t wait_ms = plan_latency(call);
    void (*reply)(struct call *) =
        call->request.stream ? reply_stream : reply_document;
    if (wait_ms > 0) {
        prompt_clear(&call->request.prompt);
        call_later(call, wait_ms, reply);
        return;
    }
    if (call->request.stream && call->gap_ms > 0)
        begin_waiting(call);
    reply(call);
}

/* The rate limits and the cache: what Claude looks at once the request is
 * known to be good. */
static int
admit(struct call *call, struct api_error *error, unsigned *retry_after_s)
{
    static const char *const names[LIMIT_KINDS] = {
        "request", "input token", "output token"};
    struct simulator *sim = call->sim;
    const struct prompt *prompt = &call->request.prompt;
    const struct catalog_model *info = call->request.info;
    int64_t now_ms = clock_mono_ms();
    enum limit_kind kind = LIMIT_REQUESTS;
    cache_lookup(&sim->cache, prompt->blocks, prompt->count,
        info != NULL ? info->cache_min_tokens : 0, now_ms, &call->cache);
    uint64_t paid = prompt->tokens - call->cache.read_tokens;
    call->limits = simulator_limits(sim, info);
    int64_t wait_ms = limits_admit(call->limits, paid, now_ms, &kind);
    if (wait_ms > 0) {
        *retry_after_s = (unsigned)((wait_ms + 999) / 1000);
        return api_error_set(error, 429,
            "This request would exceed the %s rate limit of this model.",
            names[kind]);
    }
    call->input_tokens =
        paid - call->cache.write_5m_tokens - call->cache.write_1h_tokens;
    return 0;
}

static int
check_mode(struct call *call, struct api_error *error, unsigned *retry_after_s)
{
    const struct simulator_mode *mode = &call->sim->mode;
    if (!mode->outage &&
        (mode->error_rate <= 0 ||
            simulator_chance(call->sim) >= mode->error_rate))
        return 0;
    *retry_after_s = mode->retry_after_s;
    return api_error_set(error, mode->status,
        mode->status == 529 ? "Overloaded" : "A simulated failure");
}

static void
count_job_call(struct call *call)
{
    call->job_key = call->entry.job[0] != '\0'
        ? mix_bytes(2, slice_of(call->entry.job))
        : call->body_hash;
    if (call->request.card.card != NULL)
        call->job_call = ++*table_at(&call->sim->calls_by_job, call->job_key);
}

/* 0, or -1: the call is to fail with *error. */
static int
accept_call(struct call *call, struct api_error *error, unsigned *retry_after_s)
{
    struct simulator *sim = call->sim;
    struct caller caller;
    int checked = caller_read(http_request_head(call->req), &caller, error);
    call->entry.auth = caller.auth;
    if (checked != 0 || check_mode(call, error, retry_after_s) != 0)
        return -1;
    struct request_setting setting = {.catalog = sim->catalog,
        .version = caller.version,
        .has_betas = caller.has_betas};
    struct slice body = http_request_body(call->req);
    int read = sim->settings.fast
        ? fast_read(&setting, body, &call->request, error)
        : request_read(&setting, body, &call->request, error);
    if (call->request.model != NULL)
        (void)text_copy(call->entry.model, sizeof(call->entry.model),
            slice_of(call->request.model));
    call->entry.stream = call->request.stream;
    if (read != 0)
        return -1;
    count_job_call(call);
    return admit(call, error, retry_after_s);
}

/* What the ledger says of the request itself. */
static void
note_request(struct call *call, const struct http_head *head, struct slice body)
{
    struct simulator *sim = call->sim;
    struct ledger_call *entry = &call->entry;
    entry->number = sim->calls;
    entry->bytes = body.len;
    (void)text_copy(
        entry->job, sizeof(entry->job), http_head_get(head, "x-longhaul-job"));
    call->body_hash = mix_bytes(sim->settings.seed, body);
    if (sim->ledger != NULL) {
        (void)text_copy(entry->path, sizeof(entry->path), head->path);
        (void)text_copy(entry->version, sizeof(entry->version),
            http_head_get(head, "anthropic-version"));
        (void)text_copy(entry->beta, sizeof(entry->beta),
            http_head_get(head, "anthropic-beta"));
        ledger_hash(body, entry->sha256);
    }
    if (sim->settings.record != NULL &&
        record_write(sim->settings.record, entry->number, head, body) != 0)
        log_error("record_failed", LOG_INT("call", entry->number));
}

void
call_messages(struct http_request *req, void *simulator)
{
    struct simulator *sim = simulator;
    struct call *call = memory_zalloc(1, sizeof(*call));
    struct api_error error;
    unsigned retry_after_s = 0;
    call->sim = sim;
    call->req = req;
    sim->calls++;
    if (++sim->in_flight > sim->peak_in_flight)
        sim->peak_in_flight = sim->in_flight;
    note_request(call, http_request_head(req), http_request_body(req));
    if (accept_call(call, &error, &retry_after_s) != 0)
        call_fail(call, &error, retry_after_s);
    else
        start(call);
}
