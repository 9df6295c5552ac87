#include "common/net/redis_private.h"

#include <hiredis/adapters/libevent.h>
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

/* --- timers and state -------------------------------------------------- */

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

/* --- connecting -------------------------------------------------------- */

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
        : redisAsyncConnect(redis->target, to->port);

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

/* --- losing the connection --------------------------------------------- */

void
redis_hold(struct redis *redis)
{
    redis->holders++;
}

void
redis_let_go(struct redis *redis)
{
    if (--redis->holders == 0 && redis->dead) {
        redis_address_clear(&redis->address);
        memory_free(redis->url);
        memory_free(redis->password_file);
        buffer_clear(&redis->info);
        memory_free(redis);
    }
}

void
redis_detach(struct redis *redis, enum redis_state state, const char *reason)
{
    bool was_ready = redis->state == REDIS_READY;

    if (redis->ac == NULL)
        return;
    redis_hold(redis);
    redis->ac->data = NULL;
    redis->ac = NULL;
    if (was_ready && clock_mono_ms() - redis->ready_since_ms > STEADY_MS)
        redis->failures = 0;
    schedule_connect(redis);
    /* Commands given by the callbacks are refused already. */
    if (was_ready)
        redis->state = REDIS_CONNECTING;
    redis_fail_pending(redis);
    if (!redis->dead) {
        if (was_ready)
            redis->state = REDIS_READY; /* so that the change is told */
        set_state(redis, state, reason);
    }
    redis_let_go(redis);
}

void
redis_drop(struct redis *redis, enum redis_state state, const char *reason)
{
    redisAsyncContext *ac = redis->ac;

    if (ac == NULL)
        return;
    redis_detach(redis, state, reason);
    redisAsyncFree(ac);
}

static void
on_connected(const redisAsyncContext *ac, int status)
{
    /* On an error hiredis frees the context behind this call. */
    if (status != REDIS_OK && ac->data != NULL)
        redis_detach(ac->data, REDIS_CONNECTING, "no connection to Redis");
}

static void
on_disconnected(const redisAsyncContext *ac, int status)
{
    (void)status;
    if (ac->data != NULL)
        redis_detach(
            ac->data, REDIS_CONNECTING, "the connection to Redis was lost");
}

static void
cannot_connect(struct redis *redis, const char *reason)
{
    schedule_connect(redis);
    set_state(redis, REDIS_CONNECTING, reason);
}

static void
connect_now(struct redis *redis)
{
    redis->ac = redis_dial(redis);
    if (redis->ac == NULL) {
        cannot_connect(redis, "no connection to Redis");
        return;
    }
    (void)redisAsyncSetConnectCallback(redis->ac, on_connected);
    (void)redisAsyncSetDisconnectCallback(redis->ac, on_disconnected);
    redis_check_begin(redis);
}

/* Of several addresses the next after each failure. */
static void
on_resolved(
    void *arg, char addresses[RESOLVE_MAX][RESOLVE_TEXT_SIZE], size_t count)
{
    struct redis *redis = arg;

    redis->resolve = NULL;
    if (count == 0) {
        cannot_connect(redis, "the host name of Redis is not known");
        return;
    }
    text_copy(redis->target, sizeof(redis->target),
        slice_of(addresses[redis->failures % count]));
    connect_now(redis);
}

static void
on_connect_timer(evutil_socket_t fd, short what, void *arg)
{
    struct redis *redis = arg;
    const char *host = redis->address.host;

    (void)fd;
    (void)what;
    if (redis->address_error != NULL) {
        set_state(redis, REDIS_REFUSED, redis->address_error);
        return;
    }
    if (host == NULL || resolve_is_address(host)) {
        text_copy(redis->target, sizeof(redis->target), slice_of(host));
        connect_now(redis);
        return;
    }
    redis->resolve = resolve_start(redis->base, host, on_resolved, redis);
    if (redis->resolve == NULL)
        cannot_connect(redis, "the host name of Redis cannot be looked up");
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
    redis_drop(redis, REDIS_REFUSED, reason);
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

/* --- life -------------------------------------------------------------- */

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
    redis->deadline_timer = evtimer_new(base, redis_on_deadline, redis);
    redis->watch_timer = event_new(base, -1, EV_PERSIST, on_watch_timer, redis);
    redis_timer_set(redis->connect_timer, 0);
    redis_timer_set(redis->watch_timer, WATCH_MS);
    redis_subscriber_init(redis);
    return redis;
}

void
redis_close(struct redis *redis)
{
    redisAsyncContext *ac = redis->ac;

    redis->dead = true;
    redis->state = REDIS_CONNECTING;
    redis->ac = NULL;
    event_del(redis->connect_timer);
    event_del(redis->deadline_timer);
    event_del(redis->watch_timer);
    if (redis->resolve != NULL)
        resolve_cancel(redis->resolve);
    redis->resolve = NULL;
    if (ac != NULL)
        ac->data = NULL;
    redis_fail_pending(redis);
    if (ac != NULL)
        redisAsyncFree(ac);
}

void
redis_free(struct redis *redis)
{
    if (redis == NULL)
        return;
    redis_close(redis);
    redis_subscriber_clear(redis);
    event_free(redis->connect_timer);
    event_free(redis->deadline_timer);
    event_free(redis->watch_timer);
    redis_let_go(redis);
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
