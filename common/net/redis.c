#include "common/net/redis_private.h"

#include <hiredis/adapters/libevent.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/id.h"
#include "common/base/log.h"

#define COMMAND_TIMEOUT_MS 2000
#define RECONNECT_MIN_MS 50
#define RECONNECT_MAX_MS 2000
#define WATCH_MS 1000
/* A connection that lasted this long begins its next backoff anew. */
#define STEADY_MS 5000
/* Our own process stood still: replies may wait unread, look again first. */
#define STALL_MS 500
#define STALL_GRACE_MS 200
#define ERROR_LOG_EVERY_MS 10000

static void on_answer(redisAsyncContext *ac, void *reply, void *privdata);

/* --- timers and state --------------------------------------------------- */

void
redis_timer_set(struct event *timer, int64_t delay_ms)
{
    struct timeval tv = {.tv_sec = (time_t)(delay_ms / 1000),
        .tv_usec = (suseconds_t)(delay_ms % 1000 * 1000)};

    event_add(timer, &tv);
}

int64_t
redis_backoff_ms(const struct redis *redis, unsigned failures)
{
    unsigned shift = failures > 6 ? 6 : failures;
    int64_t top = (int64_t)RECONNECT_MIN_MS << shift;
    uint16_t jitter = 0;

    if (failures == 0)
        return 0;
    if (top > redis->options.reconnect_max_ms)
        top = redis->options.reconnect_max_ms;
    if (top <= RECONNECT_MIN_MS)
        return top;
    id_random_bytes(&jitter, sizeof(jitter));
    return RECONNECT_MIN_MS + jitter % (top - RECONNECT_MIN_MS + 1);
}

/* Tells the owner last: it may free everything. */
static void
set_state(struct redis *redis, enum redis_state state, const char *reason)
{
    bool changed = redis->state != state;
    bool news = !redis->options.quiet &&
        (changed || strcmp(redis->reason, reason) != 0);

    redis->state = state;
    text_copy(redis->reason, sizeof(redis->reason), slice_of(reason));
    if (news && state == REDIS_READY)
        log_write(LOG_LEVEL_INFO, "redis_ready", NULL);
    else if (news)
        log_warn("redis_not_ready", LOG_TEXT("reason", reason),
            LOG_BOOL("refused", state == REDIS_REFUSED));
    if (changed && redis->options.on_state != NULL)
        redis->options.on_state(redis->options.arg, state);
}

static void
schedule_connect(struct redis *redis)
{
    redis->failures++;
    redis_timer_set(
        redis->connect_timer, redis_backoff_ms(redis, redis->failures));
}

/* --- the list of commands under way -------------------------------------- */

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

/* --- connecting ---------------------------------------------------------- */

/* Replies of a size that no script of ours gives end the connection. */
static void *
bounded_array(const redisReadTask *task, int elements)
{
    const redisReplyObjectFunctions *real = task->privdata;

    return elements > REDIS_REPLY_MAX_ELEMENTS
        ? NULL
        : real->createArray(task, elements);
}

static void *
bounded_string(const redisReadTask *task, char *text, size_t len)
{
    const redisReplyObjectFunctions *real = task->privdata;

    return len > REDIS_REPLY_MAX_BYTES ? NULL
                                       : real->createString(task, text, len);
}

static void
bound_replies(redisReader *reader)
{
    static redisReplyObjectFunctions bounded;

    if (reader->fn == &bounded)
        return;
    reader->privdata = reader->fn;
    bounded = *reader->fn;
    bounded.createArray = bounded_array;
    bounded.createString = bounded_string;
    reader->fn = &bounded;
}

redisAsyncContext *
redis_dial(struct redis *redis)
{
    const struct redis_address *to = &redis->address;
    redisAsyncContext *ac = to->path != NULL
        ? redisAsyncConnectUnix(to->path)
        : redisAsyncConnect(to->host, to->port);

    if (ac == NULL)
        return NULL;
    if (ac->err != 0 || redisLibeventAttach(ac, redis->base) != REDIS_OK) {
        redisAsyncFree(ac);
        return NULL;
    }
    bound_replies(ac->c.reader);
    ac->data = redis;
    if (to->path == NULL)
        (void)redisEnableKeepAlive(&ac->c);
    return ac;
}

/* --- losing the connection ------------------------------------------------ */

/* Callbacks may free the object; whoever uses it behind one holds it. */
static void
hold(struct redis *redis)
{
    redis->holders++;
}

static void
let_go(struct redis *redis)
{
    if (--redis->holders == 0 && redis->dead) {
        redis_address_clear(&redis->address);
        memory_free(redis->url);
        memory_free(redis->password_file);
        buffer_clear(&redis->info);
        memory_free(redis);
    }
}

static void
fail_pending(struct redis *redis)
{
    while (redis->first != NULL) {
        struct redis_pending *pending = redis->first;
        pending_pop(redis);
        pending->redis = NULL; /* hiredis hands it back once more */
        if (pending->on_reply != NULL)
            pending->on_reply(pending->arg, NULL);
    }
}

/* Forgets the connection, which is being freed or will be by the caller. */
static void
detach(struct redis *redis, enum redis_state state, const char *reason)
{
    bool was_ready = redis->state == REDIS_READY;

    if (redis->ac == NULL)
        return;
    hold(redis);
    redis->ac->data = NULL;
    redis->ac = NULL;
    if (was_ready && clock_mono_ms() - redis->ready_since_ms > STEADY_MS)
        redis->failures = 0;
    schedule_connect(redis);
    /* Commands given by the callbacks are refused already. */
    if (was_ready)
        redis->state = REDIS_CONNECTING;
    fail_pending(redis);
    if (!redis->dead) {
        if (was_ready)
            redis->state = REDIS_READY; /* so that the change is told */
        set_state(redis, state, reason);
    }
    let_go(redis);
}

static void
drop(struct redis *redis, enum redis_state state, const char *reason)
{
    redisAsyncContext *ac = redis->ac;

    if (ac == NULL)
        return;
    detach(redis, state, reason);
    redisAsyncFree(ac);
}

static void
on_connected(const redisAsyncContext *ac, int status)
{
    /* On an error hiredis frees the context behind this call. */
    if (status != REDIS_OK && ac->data != NULL)
        detach(ac->data, REDIS_CONNECTING, "no connection to Redis");
}

static void
on_disconnected(const redisAsyncContext *ac, int status)
{
    (void)status;
    if (ac->data != NULL)
        detach(ac->data, REDIS_CONNECTING, "the connection to Redis was lost");
}

static void
on_connect_timer(evutil_socket_t fd, short what, void *arg)
{
    struct redis *redis = arg;

    (void)fd;
    (void)what;
    if (redis->address_error != NULL) {
        set_state(redis, REDIS_REFUSED, redis->address_error);
        return;
    }
    redis->ac = redis_dial(redis);
    if (redis->ac == NULL) {
        schedule_connect(redis);
        set_state(redis, REDIS_CONNECTING, "no connection to Redis");
        return;
    }
    (void)redisAsyncSetConnectCallback(redis->ac, on_connected);
    (void)redisAsyncSetDisconnectCallback(redis->ac, on_disconnected);
    redis_check_begin(redis);
}

void
redis_check_passed(struct redis *redis)
{
    redis->ready_since_ms = clock_mono_ms();
    redis_subscriber_wake(redis);
    set_state(redis, REDIS_READY, "");
}

void
redis_check_refused(struct redis *redis, const char *reason)
{
    drop(redis, REDIS_REFUSED, reason);
}

/* The deadline of the oldest command. */
static void
on_deadline_timer(evutil_socket_t fd, short what, void *arg)
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
    drop(redis, REDIS_CONNECTING, "Redis did not answer in time");
}

static void
on_watch_timer(evutil_socket_t fd, short what, void *arg)
{
    struct redis *redis = arg;
    const struct slice ping[] = {slice_of("PING")};

    (void)fd;
    (void)what;
    if (redis->state == REDIS_READY && redis->in_flight == 0)
        (void)!redis_send(redis, NULL, NULL, 1, ping);
}

/* --- commands --------------------------------------------------------------- */

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

/* --- answers ------------------------------------------------------------------ */

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
    hold(redis);
    if (pending->on_reply != NULL)
        pending->on_reply(pending->arg, reply);
    if (fatal != NULL && !redis->dead)
        drop(redis, REDIS_REFUSED, fatal);
    let_go(redis);
}

static void
on_answer(redisAsyncContext *ac, void *reply, void *privdata)
{
    struct redis_pending *pending = privdata;

    (void)ac;
    if (pending->redis != NULL && reply != NULL)
        answer(pending->redis, pending, reply);
    else if (pending->redis != NULL)
        detach(pending->redis, REDIS_CONNECTING,
            "the connection to Redis was lost");
    pending_free(pending);
}

/* --- life ----------------------------------------------------------------------- */

struct redis *
redis_new(struct event_base *base, const struct redis_options *options)
{
    struct redis *redis = memory_zalloc(1, sizeof(*redis));

    redis->base = base;
    redis->options = *options;
    redis->url = memory_dup(options->url);
    if (options->password_file != NULL)
        redis->password_file = memory_dup(options->password_file);
    if (redis->options.command_timeout_ms <= 0)
        redis->options.command_timeout_ms = COMMAND_TIMEOUT_MS;
    if (redis->options.reconnect_max_ms <= 0)
        redis->options.reconnect_max_ms = RECONNECT_MAX_MS;
    if (redis_address_parse(
            slice_of(redis->url), &redis->address, &redis->address_error) == 0)
        redis->address_error = NULL;
    redis->last = &redis->first;
    redis->holders = 1;
    text_copy(redis->reason, sizeof(redis->reason),
        slice_of("not connected to Redis yet"));
    redis->connect_timer = evtimer_new(base, on_connect_timer, redis);
    redis->deadline_timer = evtimer_new(base, on_deadline_timer, redis);
    redis->watch_timer = event_new(base, -1, EV_PERSIST, on_watch_timer, redis);
    redis_timer_set(redis->connect_timer, 0);
    redis_timer_set(redis->watch_timer, WATCH_MS);
    redis_subscriber_init(redis);
    return redis;
}

void
redis_free(struct redis *redis)
{
    redisAsyncContext *ac = NULL;

    if (redis == NULL)
        return;
    redis->dead = true;
    redis->state = REDIS_CONNECTING;
    ac = redis->ac;
    redis->ac = NULL;
    if (ac != NULL)
        ac->data = NULL;
    fail_pending(redis);
    if (ac != NULL)
        redisAsyncFree(ac);
    redis_subscriber_clear(redis);
    event_free(redis->connect_timer);
    event_free(redis->deadline_timer);
    event_free(redis->watch_timer);
    let_go(redis);
}

enum redis_state
redis_get_state(const struct redis *redis)
{
    return redis->state;
}

const char *
redis_state_reason(const struct redis *redis)
{
    return redis->reason;
}

unsigned
redis_in_flight(const struct redis *redis)
{
    return redis->in_flight;
}
