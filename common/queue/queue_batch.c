/*
 * Several calls of one script in one. Whole groups of requests arrive, and
 * whole groups of rows are committed, in one turn of the loop; a script that
 * takes them together costs Redis a quarter less than one by one.
 */

#include <assert.h>

#include "common/queue/queue_private.h"

/* Together they keep Redis for about a millisecond. */
#define CALLS_AT_ONCE 32
#define BYTES_AT_ONCE (256 * 1024)

/* A call that waits for the end of the turn, then for the answer. */
struct queue_batched {
    struct queue_batched *next;
    struct queue_call *call;
    struct buffer text; /* of all its words */
    size_t lens[QUEUE_BATCH_WORDS];
};

/* Calls on their way together. */
struct group_call {
    struct queue_call call;
    struct queue_batched *first;
};

static void
end(struct queue_batched *batched, const struct redisReply *reply)
{
    batched->call->on_reply(batched->call, reply);
    buffer_clear(&batched->text);
    memory_free(batched);
}

static void
end_all(struct queue_batched *first, const struct redisReply *reply)
{
    while (first != NULL) {
        struct queue_batched *batched = first;
        first = batched->next;
        end(batched, reply);
    }
}

/* An answer for each, in order; an error or none is everybody's. */
static void
on_group_reply(struct queue_call *call, const struct redisReply *reply)
{
    struct group_call *mine = (struct group_call *)call;
    bool shared = reply == NULL || reply->type != REDIS_REPLY_ARRAY;
    struct queue_batched *next = mine->first;

    memory_free(mine);
    for (size_t i = 0; next != NULL; i++) {
        struct queue_batched *batched = next;
        next = batched->next;
        end(batched, shared ? reply : redis_reply_at(reply, i));
    }
}

static size_t
put_words(const struct queue_batched *batched, size_t words, struct slice *to)
{
    const char *at = batched->text.data;

    for (size_t i = 0; i < words; i++) {
        to[i] = slice_make(at, batched->lens[i]);
        at += batched->lens[i];
    }
    return words;
}

static void
send_group(struct queue_batch *batch, struct queue_batched *first)
{
    struct group_call *mine =
        queue_call_new(sizeof(*mine), on_group_reply, NULL);
    struct slice argv[1 + CALLS_AT_ONCE * QUEUE_BATCH_WORDS];
    size_t count = 1;

    argv[0] = slice_of(QUEUE_PREFIX);
    for (struct queue_batched *at = first; at != NULL; at = at->next)
        count += put_words(at, batch->words, argv + count);
    mine->first = first;
    if (queue_call_argv(
            &mine->call, batch->redis, batch->script, count, argv) != 0)
        end_all(first, NULL);
}

/* Cuts a group off the front; returns what is left. */
static struct queue_batched *
cut_group(struct queue_batched *first)
{
    struct queue_batched *last = first;
    struct queue_batched *rest = NULL;
    size_t bytes = first->text.len;

    for (unsigned i = 1; i < CALLS_AT_ONCE && last->next != NULL; i++) {
        bytes += last->next->text.len;
        if (bytes > BYTES_AT_ONCE)
            break;
        last = last->next;
    }
    rest = last->next;
    last->next = NULL;
    return rest;
}

/* Callbacks may ask for more, which then waits for the next turn. */
static void
on_turn_end(evutil_socket_t fd, short what, void *arg)
{
    struct queue_batch *batch = arg;
    struct queue_batched *first = batch->first;

    (void)fd;
    (void)what;
    batch->first = NULL;
    batch->last = &batch->first;
    while (first != NULL) {
        struct queue_batched *rest = cut_group(first);
        send_group(batch, first);
        first = rest;
    }
}

void
queue_batch_init(struct queue_batch *batch, struct queue *queue,
    enum queue_script script, size_t words)
{
    assert(words <= QUEUE_BATCH_WORDS);
    batch->redis = queue->redis;
    batch->script = script;
    batch->words = words;
    batch->last = &batch->first;
    batch->turn_end = event_new(queue->base, -1, 0, on_turn_end, batch);
    assert(batch->turn_end != NULL);
}

void
queue_batch_clear(struct queue_batch *batch)
{
    struct queue_batched *first = batch->first;

    event_free(batch->turn_end);
    batch->first = NULL;
    end_all(first, NULL);
}

int
queue_call_batched(struct queue_batch *batch, struct queue_call *call,
    const struct queue_args *args)
{
    struct queue_batched *batched = NULL;
    size_t len = 0;

    assert(args->count == batch->words);
    if (redis_get_state(batch->redis) != REDIS_READY) {
        memory_free(call);
        return -1;
    }
    batched = memory_zalloc(1, sizeof(*batched));
    batched->call = call;
    for (size_t i = 0; i < args->count; i++)
        len += args->slices[i].len;
    buffer_reserve(&batched->text, len);
    for (size_t i = 0; i < args->count; i++) {
        buffer_append_slice(&batched->text, args->slices[i]);
        batched->lens[i] = args->slices[i].len;
    }
    if (batch->first == NULL)
        event_active(batch->turn_end, EV_TIMEOUT, 0);
    *batch->last = batched;
    batch->last = &batched->next;
    return 0;
}
