#include "tests/unit/status_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/store/store.h"

#define WAIT_MS 20000

static struct rig_answer answer;

/* --- life ---------------------------------------------------------------- */

void
rig_turn(struct rig *rig)
{
    struct timeval tick = {0, 2000};
    event_base_loopexit(rig->service->base, &tick);
    event_base_loop(rig->service->base, EVLOOP_ONCE);
}

void
rig_turn_for(struct rig *rig, int64_t ms)
{
    int64_t until = clock_mono_ms() + ms;
    while (clock_mono_ms() < until)
        rig_turn(rig);
}

static void
wait_for(struct rig *rig, const bool *done)
{
    int64_t until = clock_mono_ms() + WAIT_MS;
    while (!*done) {
        rig_turn(rig);
        if (clock_mono_ms() > until)
            fail_msg("nothing came in time");
    }
}

void
rig_wait_ready(struct rig *rig)
{
    int64_t until = clock_mono_ms() + WAIT_MS;
    while (service_not_ready(rig->service) != NULL) {
        rig_turn(rig);
        if (clock_mono_ms() > until)
            fail_msg("not ready: %s", service_not_ready(rig->service));
    }
}

struct rig *
rig_new(const char *keys)
{
    static const struct service_program program = {.name = "longhaul-status",
        .summary = "under test",
        .needs = SERVICE_QUEUE | SERVICE_STORE_READ | SERVICE_STORE_WRITE |
            SERVICE_MARKER,
        .listener = SERVICE_LISTEN_STATUS};
    struct rig *rig = calloc(1, sizeof(*rig));
    char store[200], keys_file[200];
    int code = -1, argc;
    setenv("LONGHAUL_LOG", "error", 1);
    rig->redis = fixture_new();
    snprintf(store, sizeof(store), "sqlite:%s/results.db", rig->redis->dir);
    snprintf(keys_file, sizeof(keys_file), "%s/keys", rig->redis->dir);
    char words[5][32] = {"status", "--status-listen", "127.0.0.1:0",
        "--redis-url", "--store-url"};
    char keys_flag[] = "--keys-file";
    char *argv[] = {words[0], words[1], words[2], words[3], rig->redis->url,
        words[4], store, keys_flag, keys_file, NULL};
    argc = keys != NULL ? 9 : 7;
    argv[argc] = NULL;
    if (keys != NULL) {
        FILE *file = fopen(keys_file, "w");
        assert_non_null(file);
        fputs(keys, file);
        fclose(file);
    }
    rig->service = service_start(&argc, argv, &program, &code);
    assert_non_null(rig->service);
    log_set_level(LOG_LEVEL_ERROR);
    rig->status = status_new(rig->service);
    http_server_mount(rig->service->http, status_routes, rig->status);
    rig_wait_ready(rig);
    rig_clear(rig);
    return rig;
}

static void
clear_answer(void)
{
    json_decref(answer.json);
    buffer_clear(&answer.body);
    memset(&answer, 0, sizeof(answer));
}

void
rig_free(struct rig *rig)
{
    service_abort(rig->service, 0);
    assert_int_equal(service_run(rig->service), 0);
    status_free(rig->status);
    service_free(rig->service);
    for (size_t i = 0; i < rig->claim_count; i++)
        job_meta_clear(&rig->claims[i].meta);
    fixture_free(rig->redis);
    clear_answer();
    free(rig);
}

void
rig_clear(struct rig *rig)
{
    fixture_clear(rig->redis);
    snprintf(rig->consumer, sizeof(rig->consumer), "rig-%u", ++rig->consumers);
}

/* --- the worker ---------------------------------------------------------- */

struct outcome {
    bool came;
    enum queue_status status;
    enum store_status stored;
};

static void
on_status(void *arg, enum queue_status status)
{
    struct outcome *outcome = arg;
    outcome->status = status;
    outcome->came = true;
}

static void
on_enqueued(void *arg, const struct queue_enqueued *result)
{
    on_status(arg, result->status);
}

static const char *
text_or(const char *text, const char *otherwise)
{
    return text != NULL ? text : otherwise;
}

static void
stage(struct rig *rig, const char *id, struct job_meta *meta,
    const struct buffer *body)
{
    for (size_t at = 0; at < body->len; at += QUEUE_PART_BYTES) {
        struct outcome outcome = {0};
        size_t len = body->len - at;
        if (len > QUEUE_PART_BYTES)
            len = QUEUE_PART_BYTES;
        assert_int_equal(
            queue_stage(rig->service->queue, id, meta->parts++,
                slice_make(body->data + at, len), on_status, &outcome),
            0);
        wait_for(rig, &outcome.came);
        assert_int_equal(outcome.status, QUEUE_OK);
    }
}

void
rig_submit(struct rig *rig, const struct rig_job *job, char id[ID_SIZE])
{
    static const struct queue_limits limits = {2000000, UINT64_C(1) << 40};
    struct job_meta meta = {.lane = job->lane,
        .timeout_ms = 600000,
        .max_attempts = 8,
        .max_tokens = 100};
    struct outcome outcome = {0};
    struct buffer body = {0};
    text_copy(meta.model, sizeof(meta.model),
        slice_of(text_or(job->model, "claude-opus-5-5")));
    text_copy(meta.tenant, sizeof(meta.tenant),
        slice_of(text_or(job->tenant, "default")));
    strcpy(meta.bucket, "other");
    if (job->tag != NULL)
        job_meta_add_tag(&meta, slice_of(job->tag));
    if (job->idempotency_key != NULL)
        meta.idempotency_key = memory_dup(job->idempotency_key);
    meta.created_ms = job->created_ms != 0 ? job->created_ms : clock_wall_ms();
    meta.expires_ms = meta.created_ms + INT64_C(7) * 86400 * 1000;
    memset(meta.sha256, 'a', 64);
    buffer_append_text(&body, "{\"canary\":\"prompt\"}");
    while (body.len < job->body_bytes)
        buffer_append_u64(&body, body.len);
    meta.body_bytes = meta.stored_bytes = body.len;
    id_make(JOB_ID_PREFIX, id);
    if (body.len > QUEUE_INLINE_MAX)
        stage(rig, id, &meta, &body);
    assert_int_equal(
        queue_enqueue(rig->service->queue, id, &meta,
            meta.parts > 0 ? SLICE_NULL : buffer_slice(&body),
            meta.expires_ms - meta.created_ms, &limits, on_enqueued, &outcome),
        0);
    wait_for(rig, &outcome.came);
    assert_int_equal(outcome.status, QUEUE_OK);
    job_meta_clear(&meta);
    buffer_clear(&body);
}

struct taking {
    struct rig *rig;
    bool came;
    size_t count;
};

static void
on_claims(void *arg, enum queue_status status, struct queue_claim *claims,
    size_t count)
{
    struct taking *taking = arg;
    struct rig *rig = taking->rig;
    assert_int_equal(status, QUEUE_OK);
    for (size_t i = 0; i < count; i++) {
        assert_true(rig->claim_count < RIG_CLAIMS_MAX);
        struct rig_claim *claim = &rig->claims[rig->claim_count++];
        memcpy(claim->id, claims[i].id, sizeof(claim->id));
        claim->fence = claims[i].fence;
        claim->version = claims[i].version;
        claim->generation = claims[i].generation;
        claim->meta = claims[i].meta;
        memset(&claims[i].meta, 0, sizeof(claims[i].meta));
    }
    taking->count = count;
    taking->came = true;
}

void
rig_claim_all(struct rig *rig, const char *queue_name)
{
    struct taking taking = {.rig = rig};
    do {
        taking.came = false;
        assert_int_equal(queue_claim(rig->service->queue, rig->consumer,
                             queue_name, 256, true, NULL, on_claims, &taking),
            0);
        wait_for(rig, &taking.came);
    } while (taking.count > 0);
}

/* The newest one. */
const struct rig_claim *
rig_claim_of(const struct rig *rig, const char *id)
{
    for (size_t i = rig->claim_count; i > 0; i--) {
        if (strcmp(rig->claims[i - 1].id, id) == 0)
            return &rig->claims[i - 1];
    }
    fail_msg("%s was not claimed", id);
    return NULL;
}

static void
on_committed(
    void *arg, enum store_status status, const struct job_result *existing)
{
    struct outcome *outcome = arg;
    (void)existing;
    outcome->stored = status;
    outcome->came = true;
}

static void
commit(struct rig *rig, const struct job_result *result, struct slice text,
    struct slice request)
{
    struct outcome outcome = {0};
    store_commit(
        rig->service->store, result, text, request, on_committed, &outcome);
    wait_for(rig, &outcome.came);
    assert_int_equal(outcome.stored, STORE_OK);
}

void
rig_commit(struct rig *rig, const struct job_result *result, const char *text,
    const char *request)
{
    commit(rig, result, slice_of(text), slice_of(request));
}

static struct job_result
result_of(const struct rig_claim *claim, enum job_state state)
{
    struct job_result result = {.generation = claim->generation,
        .state = state,
        .version = claim->version + 1,
        .started_ms = clock_wall_ms(),
        .finished_ms = clock_wall_ms(),
        .attempts = 1,
        .cost_usd_nanos = -1,
        .meta = claim->meta};
    memcpy(result.id, claim->id, sizeof(result.id));
    memcpy(result.model, claim->meta.model, sizeof(result.model));
    return result;
}

typedef int end_job(struct queue *queue, const struct queue_owner *owner,
    const struct job_result *result, queue_on_status *on_status, void *arg);

static void
end_claim(struct rig *rig, const struct job_result *result, end_job *end)
{
    const struct rig_claim *claim = rig_claim_of(rig, result->id);
    struct queue_owner owner = {claim->id, rig->consumer, claim->fence};
    struct outcome outcome = {0};
    assert_int_equal(
        end(rig->service->queue, &owner, result, on_status, &outcome), 0);
    wait_for(rig, &outcome.came);
    assert_int_equal(outcome.status, QUEUE_OK);
}

void
rig_succeed(struct rig *rig, const char *id, const char *text)
{
    struct job_result result = result_of(rig_claim_of(rig, id), JOB_SUCCEEDED);
    strcpy(result.stop_reason, "end_turn");
    commit(rig, &result, slice_of(text), SLICE_NULL);
    end_claim(rig, &result, queue_finish);
}

/* Parts or inline, as the worker puts them together. */
static void
read_body(struct rig *rig, const char *id, struct buffer *body)
{
    buffer_append_text(body, fixture_do(rig->redis, "HGET {}job:%s req", id));
    for (unsigned part = 0;
         fixture_int(rig->redis, "HEXISTS {}body:%s %u", id, part) == 1; part++)
        buffer_append_text(
            body, fixture_do(rig->redis, "HGET {}body:%s %u", id, part));
    assert_true(body->len > 0);
}

void
rig_fail(struct rig *rig, const char *id, const char *message)
{
    struct job_result result = result_of(rig_claim_of(rig, id), JOB_FAILED);
    struct buffer body = {0};
    result.dead = true;
    strcpy(result.error.class_name, "bad_request");
    strcpy(result.error.type, "invalid_request_error");
    strcpy(result.error.request_id, "req_upstream");
    result.error.status = 400;
    result.error.at_ms = clock_wall_ms();
    text_copy(
        result.error.message, sizeof(result.error.message), slice_of(message));
    read_body(rig, id, &body);
    commit(rig, &result, SLICE_NULL, buffer_slice(&body));
    end_claim(rig, &result, queue_bury);
    buffer_clear(&body);
}

void
rig_close(struct rig *rig, const char *id, enum job_state state)
{
    struct job_result result = result_of(rig_claim_of(rig, id), state);
    commit(rig, &result, SLICE_NULL, SLICE_NULL);
    end_claim(rig, &result, queue_finish);
}

void
rig_retry(struct rig *rig, const char *id, int64_t delay_ms)
{
    const struct rig_claim *claim = rig_claim_of(rig, id);
    struct queue_owner owner = {claim->id, rig->consumer, claim->fence};
    struct job_error error = {.class_name = "overloaded",
        .type = "overloaded_error",
        .status = 529,
        .message = "Overloaded"};
    struct outcome outcome = {0};
    assert_int_equal(queue_retry(rig->service->queue, &owner, delay_ms, 1,
                         &error, on_status, &outcome),
        0);
    wait_for(rig, &outcome.came);
    assert_int_equal(outcome.status, QUEUE_OK);
}

/* --- the client ---------------------------------------------------------- */

static void
send_request(struct rig *rig, struct peer *peer, const char *method,
    const char *headers, const char *body, const char *path)
{
    struct buffer text = {0};
    buffer_printf(&text, "%s %s HTTP/1.1\r\nHost: localhost\r\n%s", method,
        path, headers);
    if (body != NULL)
        buffer_printf(&text,
            "Content-Type: application/json\r\nContent-Length: %zu\r\n",
            strlen(body));
    buffer_printf(&text, "\r\n%s", body != NULL ? body : "");
    peer_open(peer, rig->service->base, rig->service->port);
    peer_send(peer, text.data, text.len);
    buffer_clear(&text);
}

const struct rig_answer *
rig_take(struct rig *rig, struct peer *peer)
{
    struct peer_reply reply;
    (void)rig;
    clear_answer();
    peer_reply(peer, false, &reply);
    answer.status = reply.status;
    snprintf(
        answer.etag, sizeof(answer.etag), "%s", peer_header(&reply, "ETag"));
    snprintf(answer.retry_after, sizeof(answer.retry_after), "%s",
        peer_header(&reply, "Retry-After"));
    snprintf(answer.location, sizeof(answer.location), "%s",
        peer_header(&reply, "Location"));
    snprintf(answer.preference, sizeof(answer.preference), "%s",
        peer_header(&reply, "Preference-Applied"));
    buffer_append_slice(&answer.body, buffer_slice(&reply.body));
    if (answer.body.len > 0)
        answer.json = json_loadb(
            answer.body.data, answer.body.len, JSON_REJECT_DUPLICATES, NULL);
    peer_reply_clear(&reply);
    peer_close(peer);
    return &answer;
}

const struct rig_answer *
rig_ask(struct rig *rig, const char *method, const char *headers,
    const char *body, const char *format, ...)
{
    struct peer peer;
    char path[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(path, sizeof(path), format, args);
    va_end(args);
    send_request(rig, &peer, method, headers, body, path);
    return rig_take(rig, &peer);
}

void
rig_send(struct rig *rig, struct peer *peer, const char *headers,
    const char *format, ...)
{
    char path[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(path, sizeof(path), format, args);
    va_end(args);
    send_request(rig, peer, "GET", headers, NULL, path);
}

const json_t *
rig_member(const char *path)
{
    const json_t *at = answer.json;
    struct slice rest = slice_of(path);
    while (at != NULL && rest.len > 0) {
        char key[64];
        text_copy(key, sizeof(key), slice_split(&rest, '.'));
        at = json_is_array(at)
            ? json_array_get(at, (size_t)strtoul(key, NULL, 10))
            : json_object_get(at, key);
    }
    return at;
}

const char *
rig_text(const char *path)
{
    const char *text = json_string_value(rig_member(path));
    return text != NULL ? text : "";
}

int64_t
rig_number(const char *path)
{
    const json_t *number = rig_member(path);
    return json_is_integer(number) ? (int64_t)json_integer_value(number) : -1;
}
