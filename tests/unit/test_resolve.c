#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/net/redis.h"
#include "common/net/resolve.h"

#define WAIT_MS 10000

/* The name server: it answers when a byte comes. */
static int gate[2];
static struct event_base *base;

static size_t
lookup_at_the_gate(
    const char *host, char addresses[RESOLVE_MAX][RESOLVE_TEXT_SIZE])
{
    char byte;
    assert_string_equal(host, "redis.test");
    if (read(gate[0], &byte, 1) != 1 || byte == '0')
        return 0;
    text_copy(addresses[0], RESOLVE_TEXT_SIZE, slice_of("127.0.0.1"));
    return 1;
}

static void
let_pass(char byte)
{
    assert_int_equal(write(gate[1], &byte, 1), 1);
}

static int
start(void **state)
{
    (void)state;
    log_set_level(LOG_LEVEL_ERROR);
    base = event_base_new();
    resolve_set_lookup(lookup_at_the_gate);
    return pipe(gate);
}

static int
stop(void **state)
{
    (void)state;
    resolve_set_lookup(NULL);
    event_base_free(base);
    close(gate[0]);
    close(gate[1]);
    return 0;
}

static void
turn(void)
{
    struct timeval tick = {0, 2000};
    event_base_loopexit(base, &tick);
    event_base_loop(base, 0);
}

static void
turn_until(const bool *done)
{
    int64_t until = clock_mono_ms() + WAIT_MS;
    while (!*done) {
        turn();
        assert_true(clock_mono_ms() < until);
    }
}

struct seen {
    bool done;
    size_t count;
    char first[RESOLVE_TEXT_SIZE];
};

static void
on_done(void *arg, char addresses[RESOLVE_MAX][RESOLVE_TEXT_SIZE], size_t count)
{
    struct seen *seen = arg;
    assert_false(seen->done);
    seen->done = true;
    seen->count = count;
    text_copy(seen->first, sizeof(seen->first), slice_of(addresses[0]));
}

static void
the_loop_turns_while_a_name_server_is_silent(void **state)
{
    struct seen seen = {0};
    (void)state;
    struct resolve *resolve = resolve_start(base, "redis.test", on_done, &seen);
    assert_non_null(resolve);
    for (int i = 0; i < 5; i++)
        turn();
    assert_false(seen.done);
    let_pass('1');
    turn_until(&seen.done);
    assert_int_equal(seen.count, 1);
    assert_string_equal(seen.first, "127.0.0.1");
}

static void
a_name_that_nobody_knows_has_no_address(void **state)
{
    struct seen seen = {0};
    (void)state;
    assert_non_null(resolve_start(base, "redis.test", on_done, &seen));
    let_pass('0');
    turn_until(&seen.done);
    assert_int_equal(seen.count, 0);
}

static void
a_question_that_was_canceled_is_not_answered(void **state)
{
    struct seen before = {0}, after = {0}, next = {0};
    (void)state;
    struct resolve *one = resolve_start(base, "redis.test", on_done, &before);
    struct resolve *two = resolve_start(base, "redis.test", on_done, &after);
    resolve_cancel(one);
    let_pass('1');
    resolve_cancel(two);
    let_pass('1');
    assert_non_null(resolve_start(base, "redis.test", on_done, &next));
    let_pass('1');
    turn_until(&next.done);
    assert_false(before.done);
    assert_false(after.done);
}

static void
addresses_are_told_from_names(void **state)
{
    (void)state;
    assert_true(resolve_is_address("127.0.0.1"));
    assert_true(resolve_is_address("::1"));
    assert_false(resolve_is_address("127.0.0"));
    assert_false(resolve_is_address("localhost"));
}

/* --- Redis by its name --- */

static int
listen_anywhere(unsigned *port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

static void
wait_for_reason(const struct redis *redis, const char *reason)
{
    int64_t until = clock_mono_ms() + WAIT_MS;
    while (strcmp(redis_state_reason(redis), reason) != 0) {
        turn();
        assert_true(clock_mono_ms() < until);
    }
}

static void
redis_is_found_by_its_name(void **state)
{
    char url[64];
    unsigned port;
    int client = -1, listener = listen_anywhere(&port);
    (void)state;
    snprintf(url, sizeof(url), "redis://redis.test:%u", port);
    struct redis_options options = {.url = url, .quiet = true};
    struct redis *redis = redis_new(base, &options);
    for (int i = 0; i < 5; i++)
        turn();
    assert_int_equal(redis_get_state(redis), REDIS_CONNECTING);
    let_pass('0');
    wait_for_reason(redis, "the host name of Redis is not known");
    let_pass('1');
    int64_t until = clock_mono_ms() + WAIT_MS;
    while (client < 0) {
        turn();
        client = accept(listener, NULL, NULL);
        assert_true(clock_mono_ms() < until);
    }
    redis_free(redis);
    close(client);
    close(listener);
}

static void
redis_can_be_given_up_while_its_name_is_asked(void **state)
{
    struct redis_options options = {.url = "redis://redis.test", .quiet = true};
    struct redis *redis = redis_new(base, &options);
    (void)state;
    for (int i = 0; i < 3; i++)
        turn();
    redis_free(redis);
    let_pass('1');
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_loop_turns_while_a_name_server_is_silent),
        cmocka_unit_test(a_name_that_nobody_knows_has_no_address),
        cmocka_unit_test(a_question_that_was_canceled_is_not_answered),
        cmocka_unit_test(addresses_are_told_from_names),
        cmocka_unit_test(redis_is_found_by_its_name),
        cmocka_unit_test(redis_can_be_given_up_while_its_name_is_asked),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
