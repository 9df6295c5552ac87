/*
 * Commands: the list of those under way with the deadline of the oldest,
 * their format on the wire, scripts by their SHA1, and what answers mean for
 * the connection.
 */

#include "common/net/redis_private.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"

/* Our own process stood still: replies may wait unread, look again first. */
#define STALL_MS 500
#define STALL_GRACE_MS 200
#define ERROR_LOG_EVERY_MS 10000

static void on_answer(redisAsyncContext *ac, void *reply, void *privdata);

/* --- the list of commands under way ------------------------------------ */

static void
pending_push(struct redis *redis, struct redis_pending *pending)
{
    int64_t now = clock_mono_ms();

    pending->next = NULL;
    pending->deadline_ms = now + redis->options.command_timeout_ms;
    if (redis->first == NULL) {
        redis->deadline_armed_ms = pending->deadline_ms;
        redis_timer_set(
            redis->deadline_timer, redis->options.command_timeout_ms);
    }
    *redis->last = pending;
    redis->last = &pending->next;
    redis->in_flight++;
}

/* Redis answers in order, so it is always the first. */
static void
pending_pop(struct redis *redis)
{
    redis->first = redis->first->next;
    if (redis->first == NULL)
        redis->last = &redis->first;
    redis->in_flight--;
}

static void
pending_free(struct redis_pending *pending)
{
    buffer_clear(&pending->text);
    memory_free(pending);
}

void
redis_fail_pending(struct redis *redis)
{
    while (redis->first != NULL) {
        struct redis_pending *pending = redis->first;
        pending_pop(redis);
        pending->redis = NULL; /* hiredis hands it back once more */
        if (pending->on_reply != NULL)
            pending->on_reply(pending->arg, NULL);
    }
}

/* The deadline of the oldest command. */
void
redis_on_deadline(evutil_socket_t fd, short what, void *arg)
{
    struct redis *redis = arg;
    int64_t now = clock_mono_ms();
    int64_t wait = 0;

    (void)fd;
    (void)what;
    if (redis->first == NULL)
        return;
    wait = redis->first->deadline_ms - now;
    if (now - redis->deadline_armed_ms > STALL_MS && wait < STALL_GRACE_MS)
        wait = STALL_GRACE_MS;
    if (wait > 0) {
        redis->deadline_armed_ms = now + wait;
        redis_timer_set(redis->deadline_timer, wait);
        return;
    }
    redis_drop(redis, REDIS_CONNECTING, "Redis did not answer in time");
}

/* --- commands ---------------------------------------------------------- */

static void
append_bulk(struct buffer *out, struct slice arg)
{
    buffer_append_char(out, '$');
    buffer_append_u64(out, arg.len);
    buffer_append(out, "\r\n", 2);
    buffer_append_slice(out, arg);
    buffer_append(out, "\r\n", 2);
}

static void
append_head(struct buffer *out, size_t argc)
{
    buffer_append_char(out, '*');
    buffer_append_u64(out, argc);
    buffer_append(out, "\r\n", 2);
}

static size_t
arguments_size(size_t argc, const struct slice *argv)
{
    size_t size = 32;

    for (size_t i = 0; i < argc; i++)
        size += argv[i].len + 32;
    return size;
}

/* Takes `pending` over, also on failure. */
static int
submit(struct redis *redis, struct redis_pending *pending,
    const struct buffer *text)
{
    if (redis->ac == NULL ||
        redisAsyncFormattedCommand(
            redis->ac, on_answer, pending, text->data, text->len) != REDIS_OK) {
        pending_free(pending);
        return -1;
    }
    pending_push(redis, pending);
    return 0;
}

static struct redis_pending *
pending_new(struct redis *redis, redis_on_reply *on_reply, void *arg)
{
    struct redis_pending *pending = memory_zalloc(1, sizeof(*pending));

    pending->redis = redis;
    pending->on_reply = on_reply;
    pending->arg = arg;
    return pending;
}

int
redis_send(struct redis *redis, redis_on_reply *on_reply, void *arg,
    size_t argc, const struct slice *argv)
{
    struct buffer text = {0};
    int result = -1;

    buffer_reserve(&text, arguments_size(argc, argv));
    append_head(&text, argc);
    for (size_t i = 0; i < argc; i++)
        append_bulk(&text, argv[i]);
    result = submit(redis, pending_new(redis, on_reply, arg), &text);
    buffer_clear(&text);
    return result;
}

int
redis_command(struct redis *redis, redis_on_reply *on_reply, void *arg,
    size_t argc, const struct slice *argv)
{
    if (redis->state != REDIS_READY)
        return -1;
    return redis_send(redis, on_reply, arg, argc, argv);
}

void
redis_script_init(
    struct redis_script *script, const char *name, const char *text)
{
    unsigned char digest[SHA_DIGEST_LENGTH];

    script->name = name;
    script->text = text;
    SHA1((const unsigned char *)text, strlen(text), digest);
    text_hex(digest, sizeof(digest), script->sha1);
}

int
redis_eval(struct redis *redis, const struct redis_script *script,
    redis_on_reply *on_reply, void *arg, size_t nkeys, size_t argc,
    const struct slice *argv)
{
    struct redis_pending *pending = NULL;
    char number[24];

    if (redis->state != REDIS_READY)
        return -1;
    pending = pending_new(redis, on_reply, arg);
    pending->script = script;
    pending->argc = argc + 3;
    buffer_reserve(&pending->text, arguments_size(argc, argv) + 128);
    append_head(&pending->text, pending->argc);
    append_bulk(&pending->text, slice_of("EVALSHA"));
    append_bulk(&pending->text, slice_of(script->sha1));
    pending->tail = pending->text.len;
    snprintf(number, sizeof(number), "%zu", nkeys);
    append_bulk(&pending->text, slice_of(number));
    for (size_t i = 0; i < argc; i++)
        append_bulk(&pending->text, argv[i]);
    return submit(redis, pending, &pending->text);
}

/* The server does not know the script (any more): once more, with its text. */
static int
send_script_text(struct redis *redis, struct redis_pending *old)
{
    struct redis_pending *pending = pending_new(redis, old->on_reply, old->arg);
    struct buffer text = {0};
    int result = -1;

    buffer_reserve(&text, old->text.len + strlen(old->script->text) + 64);
    append_head(&text, old->argc);
    append_bulk(&text, slice_of("EVAL"));
    append_bulk(&text, slice_of(old->script->text));
    buffer_append(&text, old->text.data + old->tail, old->text.len - old->tail);
    result = submit(redis, pending, &text);
    buffer_clear(&text);
    return result;
}

/* --- answers ----------------------------------------------------------- */

/* The first word only: a message may quote arguments. */
static void
count_error(struct redis *redis, const struct redisReply *reply)
{
    struct slice rest = redis_reply_slice(reply);
    struct slice word = slice_split(&rest, ' ');
    int64_t now = clock_mono_ms();

    redis->error_replies++;
    if (redis->error_logged_ms != 0 &&
        now - redis->error_logged_ms < ERROR_LOG_EVERY_MS)
        return;
    redis->error_logged_ms = now;
    log_warn("redis_error_reply", LOG_SLICE("error", word),
        LOG_INT("count", redis->error_replies));
}

/* What this error says about the whole connection, or NULL. */
static const char *
fatal_error(const struct redisReply *reply)
{
    static const char *const table[][2] = {
        {"NOAUTH", "Redis wants a password"},
        {"NOPERM", "this Redis user may not run what longhaul needs"},
        {"READONLY", "this Redis is a replica; writes need the primary"},
        {"LOADING", "Redis is still loading its data"},
        {"MOVED", "this Redis runs in cluster mode, which is not served"},
    };
    struct slice text = redis_reply_slice(reply);

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (slice_starts_with(text, table[i][0]))
            return table[i][1];
    return NULL;
}

static void
answer(struct redis *redis, struct redis_pending *pending,
    const struct redisReply *reply)
{
    const char *fatal = NULL;

    pending_pop(redis);
    if (reply->type == REDIS_REPLY_ERROR) {
        if (pending->script != NULL &&
            slice_starts_with(redis_reply_slice(reply), "NOSCRIPT") &&
            send_script_text(redis, pending) == 0)
            return;
        count_error(redis, reply);
        if (redis->state == REDIS_READY)
            fatal = fatal_error(reply);
    }
    redis_hold(redis);
    if (pending->on_reply != NULL)
        pending->on_reply(pending->arg, reply);
    if (fatal != NULL && !redis->dead)
        redis_drop(redis, REDIS_REFUSED, fatal);
    redis_let_go(redis);
}

static void
on_answer(redisAsyncContext *ac, void *reply, void *privdata)
{
    struct redis_pending *pending = privdata;

    (void)ac;
    if (pending->redis != NULL && reply != NULL)
        answer(pending->redis, pending, reply);
    else if (pending->redis != NULL)
        redis_detach(pending->redis, REDIS_CONNECTING,
            "the connection to Redis was lost");
    pending_free(pending);
}
