/*
 * The second socket. It connects when the first one is ready and somebody
 * subscribes; a silent connection is told from a dead one by subscribing
 * anew every few seconds, which is answered and changes nothing.
 */

#include "common/net/redis_private.h"

#include <string.h>

#include "common/base/clock.h"

#define WATCH_MS 1000
#define ASK_EVERY_MS 5000

static struct redis_channel **
find(struct redis_subscriber *subscriber, struct slice name)
{
    struct redis_channel **at = &subscriber->channels;

    while (*at != NULL && !slice_equal_text(name, (*at)->name))
        at = &(*at)->next;
    return at;
}

static void
forget_connection(struct redis *redis)
{
    struct redis_subscriber *subscriber = &redis->subscriber;

    subscriber->ac = NULL;
    subscriber->answer_by_ms = 0;
    for (struct redis_channel *c = subscriber->channels; c; c = c->next)
        c->live = false;
    subscriber->failures++;
    redis_timer_set(
        subscriber->timer, redis_backoff_ms(redis, subscriber->failures));
}

static void
drop(struct redis *redis)
{
    redisAsyncContext *ac = redis->subscriber.ac;

    ac->data = NULL;
    forget_connection(redis);
    redisAsyncFree(ac);
}

static void
on_connected(const redisAsyncContext *ac, int status)
{
    if (status != REDIS_OK && ac->data != NULL)
        forget_connection(ac->data);
}

static void
on_disconnected(const redisAsyncContext *ac, int status)
{
    (void)status;
    if (ac->data != NULL)
        forget_connection(ac->data);
}

static void
on_auth(redisAsyncContext *ac, void *reply, void *privdata)
{
    (void)privdata;
    if (reply != NULL && !redis_reply_is_ok(reply) && ac->data != NULL)
        drop(ac->data);
}

/* ["subscribe", channel, count] or ["message", channel, text]. A handler may
 * free everything, so it is called last. */
static void
on_push(redisAsyncContext *ac, void *reply, void *privdata)
{
    struct redis *redis = ac->data;
    struct slice kind = redis_reply_slice(redis_reply_at(reply, 0));
    struct redis_channel *channel = NULL;

    (void)privdata;
    if (redis == NULL || reply == NULL)
        return;
    channel =
        *find(&redis->subscriber, redis_reply_slice(redis_reply_at(reply, 1)));
    if (slice_equal_text(kind, "subscribe")) {
        redis->subscriber.answer_by_ms = 0;
        redis->subscriber.failures = 0;
        if (channel != NULL && !channel->live) {
            channel->live = true;
            if (channel->on_gap != NULL)
                channel->on_gap(channel->arg);
        }
    } else if (slice_equal_text(kind, "message") && channel != NULL) {
        channel->on_message(
            channel->arg, redis_reply_slice(redis_reply_at(reply, 2)));
    }
}

static void
ask(struct redis *redis, const struct redis_channel *channel)
{
    struct redis_subscriber *subscriber = &redis->subscriber;
    const char *argv[2] = {"SUBSCRIBE", channel->name};
    const size_t lens[2] = {9, strlen(channel->name)};

    subscriber->asked_ms = clock_mono_ms();
    if (subscriber->answer_by_ms == 0)
        subscriber->answer_by_ms =
            subscriber->asked_ms + redis->options.command_timeout_ms;
    (void)redisAsyncCommandArgv(subscriber->ac, on_push, NULL, 2, argv, lens);
}

static void
log_in(struct redis *redis)
{
    struct slice argv[3];
    const char *data[3];
    size_t lens[3];
    struct buffer password = {0};
    size_t argc = redis_auth_command(redis, &password, argv);

    for (size_t i = 0; i < argc; i++) {
        data[i] = argv[i].data;
        lens[i] = argv[i].len;
    }
    if (argc > 0)
        (void)redisAsyncCommandArgv(
            redis->subscriber.ac, on_auth, NULL, (int)argc, data, lens);
    buffer_clear(&password);
}

static void
dial(struct redis *redis)
{
    struct redis_subscriber *subscriber = &redis->subscriber;

    subscriber->ac = redis_dial(redis);
    if (subscriber->ac == NULL) {
        forget_connection(redis);
        return;
    }
    (void)redisAsyncSetConnectCallback(subscriber->ac, on_connected);
    (void)redisAsyncSetDisconnectCallback(subscriber->ac, on_disconnected);
    log_in(redis);
    for (struct redis_channel *c = subscriber->channels; c; c = c->next)
        ask(redis, c);
    redis_timer_set(subscriber->timer, WATCH_MS);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct redis *redis = arg;
    struct redis_subscriber *subscriber = &redis->subscriber;
    int64_t now = clock_mono_ms();

    (void)fd;
    (void)what;
    if (subscriber->channels == NULL && subscriber->ac == NULL)
        return;
    if (subscriber->ac == NULL) {
        if (redis->state == REDIS_READY)
            dial(redis); /* else redis_subscriber_wake comes */
        return;
    }
    if (subscriber->answer_by_ms != 0 && now > subscriber->answer_by_ms) {
        drop(redis);
        return;
    }
    if (subscriber->channels != NULL && subscriber->answer_by_ms == 0 &&
        now - subscriber->asked_ms > ASK_EVERY_MS)
        ask(redis, subscriber->channels);
    redis_timer_set(subscriber->timer, WATCH_MS);
}

void
redis_subscriber_init(struct redis *redis)
{
    redis->subscriber.timer = evtimer_new(redis->base, on_timer, redis);
}

void
redis_subscriber_clear(struct redis *redis)
{
    struct redis_subscriber *subscriber = &redis->subscriber;
    redisAsyncContext *ac = subscriber->ac;

    subscriber->ac = NULL;
    if (ac != NULL) {
        ac->data = NULL;
        redisAsyncFree(ac);
    }
    event_free(subscriber->timer);
    while (subscriber->channels != NULL) {
        struct redis_channel *channel = subscriber->channels;
        subscriber->channels = channel->next;
        memory_free(channel->name);
        memory_free(channel);
    }
}

void
redis_subscriber_wake(struct redis *redis)
{
    if (redis->subscriber.channels != NULL && redis->subscriber.ac == NULL)
        redis_timer_set(redis->subscriber.timer, 0);
}

void
redis_subscribe(struct redis *redis, const char *channel_name,
    void (*on_message)(void *arg, struct slice message),
    void (*on_gap)(void *arg), void *arg)
{
    struct redis_subscriber *subscriber = &redis->subscriber;
    struct redis_channel **at = find(subscriber, slice_of(channel_name));

    if (*at == NULL) {
        *at = memory_zalloc(1, sizeof(**at));
        (*at)->name = memory_dup(channel_name);
    }
    (*at)->on_message = on_message;
    (*at)->on_gap = on_gap;
    (*at)->arg = arg;
    (*at)->live = false;
    if (subscriber->ac != NULL)
        ask(redis, *at);
    else if (redis->state == REDIS_READY)
        redis_timer_set(subscriber->timer, 0);
}

void
redis_unsubscribe(struct redis *redis, const char *channel_name)
{
    struct redis_subscriber *subscriber = &redis->subscriber;
    struct redis_channel **at = find(subscriber, slice_of(channel_name));
    struct redis_channel *channel = *at;
    const char *argv[2] = {"UNSUBSCRIBE", channel_name};
    const size_t lens[2] = {11, strlen(channel_name)};

    if (channel == NULL)
        return;
    *at = channel->next;
    memory_free(channel->name);
    memory_free(channel);
    if (subscriber->ac != NULL)
        (void)redisAsyncCommandArgv(subscriber->ac, NULL, NULL, 2, argv, lens);
}
