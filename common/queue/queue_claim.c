/*
 * Claims, and the recovery of those whose answer was lost. A claim is the one
 * script that gives something away, so it cannot simply be sent again:
 * whatever a lost one took is handed back first (recover.lua), and claims
 * wait meanwhile.
 */

#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "common/queue/queue_private.h"

#define CLAIM_MAX 256
#define CLAIM_INLINE_BYTES (1024 * 1024)

typedef void on_claims_fn(void *arg, enum queue_status status,
    struct queue_claim *claims, size_t count);

struct claim_call {
    struct queue_call call;
    struct queue_consumer *consumer;
    on_claims_fn *on_claims;
    struct queue_quota *quota;
};

struct queue_waiting_claim {
    struct queue_waiting_claim *next;
    on_claims_fn *on_claims;
    void *arg;
    unsigned count;
    bool suspect_ok;
    struct queue_quota *quota;
    char queue_name[JOB_QUEUE_MAX + 1];
};

/* --- consumers --------------------------------------------------------- */

struct queue_consumer *
queue_consumer_find(struct queue *queue, const char *name)
{
    struct queue_consumer *consumer = queue->consumers;

    while (consumer != NULL && strcmp(consumer->name, name) != 0)
        consumer = consumer->next;
    if (consumer == NULL) {
        consumer = memory_zalloc(1, sizeof(*consumer));
        consumer->refs = 1;
        consumer->redis = queue->redis;
        consumer->name = memory_dup(name);
        consumer->next = queue->consumers;
        queue->consumers = consumer;
    }
    return consumer;
}

void
queue_consumer_release(struct queue_consumer *consumer)
{
    if (--consumer->refs > 0)
        return;
    memory_free(consumer->name);
    memory_free(consumer->recovered);
    memory_free(consumer);
}

void
queue_consumer_fail_waiting(
    struct queue_consumer *consumer, enum queue_status status)
{
    struct queue_waiting_claim *list = consumer->waiting;

    consumer->waiting = NULL;
    while (list != NULL) {
        struct queue_waiting_claim *claim = list;
        list = claim->next;
        claim->on_claims(claim->arg, status, NULL, 0);
        memory_free(claim);
    }
}

/* --- reading claims ---------------------------------------------------- */

static enum queue_claim_kind
kind_of(struct slice name)
{
    static const struct {
        const char *name;
        enum queue_claim_kind kind;
    } kinds[] = {
        {"RUN", QUEUE_CLAIM_RUN},
        {"CANCEL", QUEUE_CLAIM_CANCEL},
        {"EXPIRE", QUEUE_CLAIM_EXPIRE},
        {"CRASH", QUEUE_CLAIM_CRASH},
        {"PARKED", QUEUE_CLAIM_PARKED},
        {"REFUSED", QUEUE_CLAIM_REFUSED},
    };

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (slice_equal_text(name, kinds[i].name))
            return kinds[i].kind;
    return QUEUE_CLAIM_RUN;
}

/* Of a job that was claimed before; else there is nothing to read. */
static void
read_history(const struct redisReply *in, struct queue_claim *out)
{
    struct slice error = redis_reply_slice(redis_reply_at(in, 13));

    out->first = in->elements == 9;
    out->attempts = queue_reply_unsigned(redis_reply_at(in, 9));
    out->takeovers = queue_reply_unsigned(redis_reply_at(in, 10));
    out->strikes = queue_reply_unsigned(redis_reply_at(in, 11));
    out->suspect = queue_reply_unsigned(redis_reply_at(in, 12)) == 1;
    if (error.len > 0 && job_error_decode(error, &out->error) != 0)
        memset(&out->error, 0, sizeof(out->error));
}

/* False when the stored form is unreadable; the ownership part is filled. */
static bool
read_claim(const struct redisReply *in, struct queue_claim *out)
{
    (void)text_copy(
        out->id, sizeof(out->id), redis_reply_slice(redis_reply_at(in, 0)));
    out->kind = kind_of(redis_reply_slice(redis_reply_at(in, 1)));
    out->generation = queue_reply_unsigned(redis_reply_at(in, 2));
    out->version = queue_reply_u64(redis_reply_at(in, 3));
    out->fence = queue_reply_u64(redis_reply_at(in, 4));
    out->started_ms = redis_reply_int(redis_reply_at(in, 5), 0);
    out->body = redis_reply_slice(redis_reply_at(in, 7));
    out->left_ms = redis_reply_int(redis_reply_at(in, 8), 0);
    read_history(in, out);
    return job_meta_decode(
               redis_reply_slice(redis_reply_at(in, 6)), &out->meta) == 0;
}

/* {wait, input, output, input, output, ...} */
static void
read_quota(struct queue_quota *quota, const struct redisReply *in,
    struct queue_claim *claims, size_t count)
{
    if (quota == NULL || in == NULL || in->type != REDIS_REPLY_ARRAY)
        return;
    quota->wait_ms = redis_reply_int(redis_reply_at(in, 0), 0);
    for (size_t i = 0; i < count && 2 * i + 2 < in->elements; i++) {
        claims[i].input_reserved =
            redis_reply_int(redis_reply_at(in, 2 * i + 1), 0);
        claims[i].output_reserved =
            redis_reply_int(redis_reply_at(in, 2 * i + 2), 0);
        claims[i].reserved = claims[i].output_reserved > 0;
    }
}

static void
hand_out(struct claim_call *mine, const struct redisReply *reply)
{
    size_t count = reply->elements > 2 ? reply->elements - 2 : 0;
    struct queue_claim *claims = memory_zalloc(count + 1, sizeof(*claims));
    enum queue_status status = QUEUE_OK;

    for (size_t i = 0; i < count; i++) {
        if (!read_claim(redis_reply_at(reply, i + 2), &claims[i])) {
            status = QUEUE_BROKEN;
            log_error("job_unreadable", LOG_TEXT("job", claims[i].id));
        }
        if (claims[i].fence > mine->consumer->fence)
            mine->consumer->fence = claims[i].fence;
    }
    read_quota(mine->quota, redis_reply_at(reply, 1), claims, count);
    mine->on_claims(mine->call.arg, status, claims, count);
    for (size_t i = 0; i < count; i++)
        job_meta_clear(&claims[i].meta);
    memory_free(claims);
}

static void
on_claim_reply(struct queue_call *call, const struct redisReply *reply)
{
    struct claim_call *mine = (struct claim_call *)call;
    enum queue_status status = queue_reply_status(reply);

    if (status == QUEUE_OK) {
        mine->consumer->known = true;
        hand_out(mine, reply);
    } else {
        /* Also after an error: how far the script went is not known. */
        if (reply == NULL || reply->type == REDIS_REPLY_ERROR)
            mine->consumer->lost = true;
        mine->on_claims(call->arg, status, NULL, 0);
    }
    queue_consumer_release(mine->consumer);
    memory_free(mine);
}

/* --- claiming ---------------------------------------------------------- */

/* Texts that live as long as the arguments. */
struct quota_words {
    char numbers[PROMPT_KINDS + 1][32];
};

static void
say_quota(struct queue_args *args, const struct queue_quota *quota,
    struct quota_words *words)
{
    double values[PROMPT_KINDS + 1];

    queue_args_text(args, quota == NULL ? "" : quota->scope);
    if (quota == NULL)
        return;
    memcpy(values, quota->rates.per, sizeof(quota->rates.per));
    values[PROMPT_KINDS] = quota->cached_share;
    for (size_t i = 0; i <= PROMPT_KINDS; i++) {
        snprintf(
            words->numbers[i], sizeof(words->numbers[i]), "%.5f", values[i]);
        queue_args_text(args, words->numbers[i]);
    }
    queue_args_int(args, quota->output_each);
    queue_args_int(args, quota->new_first ? 1 : 0);
}

static int
send_claim(struct queue_consumer *consumer, const char *queue_name,
    unsigned count, bool suspect_ok, struct queue_quota *quota,
    on_claims_fn *on_claims, void *arg)
{
    struct quota_words words;
    struct claim_call *mine =
        queue_call_new(sizeof(*mine), on_claim_reply, arg);
    struct queue_args args = {0};

    mine->consumer = consumer;
    mine->on_claims = on_claims;
    mine->quota = quota;
    if (quota != NULL)
        quota->wait_ms = 0;
    queue_args_text(&args, consumer->name);
    queue_args_text(&args, queue_name);
    queue_args_int(&args, count > CLAIM_MAX ? CLAIM_MAX : count);
    queue_args_text(&args, suspect_ok ? "1" : "0");
    queue_args_text(&args, consumer->known ? "1" : "0");
    queue_args_int(&args, CLAIM_INLINE_BYTES);
    queue_args_int(&args, (int64_t)consumer->turn);
    say_quota(&args, quota, &words);
    if (queue_call_script(
            &mine->call, consumer->redis, QUEUE_SCRIPT_CLAIM, &args) != 0)
        return -1;
    consumer->refs++;
    return 0;
}

/* Entries that one script looks at. */
#define RECOVER_SLICE 200

struct recover_call {
    struct queue_call call;
    struct queue_consumer *consumer;
};

static void
send_waiting(struct queue_consumer *consumer)
{
    struct queue_waiting_claim *list = consumer->waiting;

    consumer->waiting = NULL;
    while (list != NULL) {
        struct queue_waiting_claim *claim = list;
        list = claim->next;
        if (send_claim(consumer, claim->queue_name, claim->count,
                claim->suspect_ok, claim->quota, claim->on_claims,
                claim->arg) != 0)
            claim->on_claims(claim->arg, QUEUE_UNKNOWN, NULL, 0);
        memory_free(claim);
    }
}

static void
on_recovered(struct queue_call *call, const struct redisReply *reply)
{
    struct recover_call *mine = (struct recover_call *)call;
    struct queue_consumer *consumer = mine->consumer;
    enum queue_status status = queue_reply_status(reply);
    struct slice end = redis_reply_slice(redis_reply_at(reply, 2));

    consumer->recovering = false;
    consumer->recovered_jobs += redis_reply_int(redis_reply_at(reply, 1), 0);
    memory_free(consumer->recovered);
    consumer->recovered =
        end.len > 0 ? memory_dup_bytes(end.data, end.len) : NULL;
    if (status == QUEUE_OK && consumer->recovered != NULL) {
        if (queue_consumer_recover(consumer) != 0)
            queue_consumer_fail_waiting(consumer, QUEUE_UNKNOWN);
    } else if (status == QUEUE_OK) {
        consumer->lost = false;
        log_info(
            "lost_claims_recovered", LOG_INT("jobs", consumer->recovered_jobs));
        consumer->recovered_jobs = 0;
        send_waiting(consumer);
    } else {
        queue_consumer_fail_waiting(consumer, status);
    }
    queue_consumer_release(consumer);
    memory_free(mine);
}

int
queue_consumer_recover(struct queue_consumer *consumer)
{
    struct recover_call *mine = NULL;
    struct queue_args args = {0};

    if (!consumer->lost || consumer->recovering)
        return 0;
    mine = queue_call_new(sizeof(*mine), on_recovered, NULL);
    mine->consumer = consumer;
    queue_args_text(&args, consumer->name);
    queue_args_int(&args, (int64_t)consumer->fence);
    queue_args_int(&args, (int64_t)consumer->turn + 1);
    queue_args_text(&args, consumer->known ? "1" : "0");
    queue_args_int(&args, RECOVER_SLICE);
    queue_args_text(
        &args, consumer->recovered != NULL ? consumer->recovered : "");
    if (queue_call_script(
            &mine->call, consumer->redis, QUEUE_SCRIPT_RECOVER, &args) != 0)
        return -1;
    consumer->turn++;
    consumer->recovering = true;
    consumer->refs++;
    return 0;
}

int
queue_claim(struct queue *queue, const char *consumer_name,
    const char *queue_name, unsigned count, bool suspect_ok,
    struct queue_quota *quota, on_claims_fn *on_claims, void *arg)
{
    struct queue_consumer *consumer = queue_consumer_find(queue, consumer_name);
    struct queue_waiting_claim *claim = NULL;

    if (!consumer->lost)
        return send_claim(
            consumer, queue_name, count, suspect_ok, quota, on_claims, arg);
    if (redis_get_state(queue->redis) != REDIS_READY ||
        queue_consumer_recover(consumer) != 0)
        return -1;
    claim = memory_zalloc(1, sizeof(*claim));
    claim->on_claims = on_claims;
    claim->arg = arg;
    claim->count = count;
    claim->suspect_ok = suspect_ok;
    claim->quota = quota;
    (void)text_copy(
        claim->queue_name, sizeof(claim->queue_name), slice_of(queue_name));
    claim->next = consumer->waiting;
    consumer->waiting = claim;
    return 0;
}
