/* The connection to Redis: checks, deadlines, reconnects, subscriptions. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "queue_suite.h"

#include "common/base/clock.h"
#include "common/net/redis_private.h"

/* --- addresses --------------------------------------------------------- */

static void
urls_are_read_strictly(void **state)
{
    static const struct {
        const char *url;
        const char *want; /* host:port/db user:password path, NULL: refused */
    } cases[] = {
        {"redis://127.0.0.1:6379", "127.0.0.1:6379/0 -:- -"},
        {"redis://redis", "redis:6379/0 -:- -"},
        {"redis://redis/", "redis:6379/0 -:- -"},
        {"redis://:p%40ss@h:1/2", "h:1/2 -:p@ss -"},
        {"redis://user:pa:ss@h", "h:6379/0 user:pa:ss -"},
        {"redis://a@b@h", "h:6379/0 a@b:- -"},
        {"redis://[::1]:7000/3", "::1:7000/3 -:- -"},
        {"redis://[::1]", "::1:6379/0 -:- -"},
        {"unix:///run/redis.sock", "-:0/0 -:- /run/redis.sock"},
        {"unix://./s", "-:0/0 -:- ./s"},
        {"rediss://h", NULL},
        {"http://h", NULL},
        {"redis://", NULL},
        {"redis://:80", NULL},
        {"redis://h:0", NULL},
        {"redis://h:65536", NULL},
        {"redis://h:12x", NULL},
        {"redis://h/x", NULL},
        {"redis://h/-1", NULL},
        {"redis://[::1", NULL},
        {"redis://[::1]x", NULL},
        {"redis://u:%4@h", NULL},
        {"redis://u:%00@h", NULL},
        {"unix://", NULL},
        {"", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct redis_address a;
        const char *why = NULL;
        char text[200];
        int result = redis_address_parse(slice_of(cases[i].url), &a, &why);
        if (cases[i].want == NULL) {
            assert_int_equal(result, -1);
            assert_non_null(why);
            continue;
        }
        assert_int_equal(result, 0);
        snprintf(text, sizeof(text), "%s:%d/%d %s:%s %s", a.host ? a.host : "-",
            a.port, (int)a.db, a.user ? a.user : "-",
            a.password ? a.password : "-", a.path ? a.path : "-");
        assert_string_equal(text, cases[i].want);
        redis_address_clear(&a);
    }
}

/* --- checks ------------------------------------------------------------ */

static struct redis *
other(const struct redis_options *options)
{
    return redis_new(f->base, options);
}

static void
wait_state(struct redis *redis, enum redis_state state, const char *reason)
{
    int64_t until = clock_mono_ms() + 10000;
    struct timeval tick = {0, 10000};

    while (redis_get_state(redis) != state ||
        strstr(redis_state_reason(redis), reason) == NULL) {
        if (clock_mono_ms() > until)
            fail_msg("state %d, %s", (int)redis_get_state(redis),
                redis_state_reason(redis));
        event_base_loopexit(f->base, &tick);
        event_base_loop(f->base, EVLOOP_ONCE);
    }
}

static void
expect(const char *setting, const char *reason)
{
    struct redis_options options = {.url = f->url, .reconnect_max_ms = 60};
    struct redis *redis = NULL;

    if (setting[0] != '\0')
        assert_string_equal(fixture_do(f, "CONFIG SET %s", setting), "OK");
    redis = other(&options);
    if (reason == NULL)
        wait_state(redis, REDIS_READY, "");
    else
        wait_state(redis, REDIS_REFUSED, reason);
    redis_free(redis);
}

static void
server_that_may_lose_jobs_is_refused_and_accepted_once_mended(void **state)
{
    struct redis_options options = {.url = f->url, .reconnect_max_ms = 60};
    struct redis *redis = NULL;

    (void)state;
    expect("appendfsync everysec", "appendfsync always");
    expect("appendfsync always", NULL);
    expect("maxmemory-policy allkeys-lru", "noeviction");
    options.skip_durability_checks = true;
    redis = other(&options);
    wait_state(redis, REDIS_READY, "");
    redis_free(redis);
    expect("maxmemory-policy noeviction", NULL);
    expect("appendonly no", "appendonly yes");
    options.skip_durability_checks = false;
    redis = other(&options);
    wait_state(redis, REDIS_REFUSED, "appendonly yes");
    fixture_do(f, "CONFIG SET appendonly yes");
    wait_state(redis, REDIS_READY, "");
    redis_free(redis);
}

static void
password_is_used_and_a_wrong_one_is_told(void **state)
{
    char path[200];
    struct redis_options options = {.url = f->url, .reconnect_max_ms = 60};
    struct redis *redis = NULL;
    int fd = -1;

    (void)state;
    fixture_do(f, "CONFIG SET requirepass hidden");
    redis = other(&options);
    wait_state(redis, REDIS_REFUSED, "wants a password");
    redis_free(redis);
    snprintf(path, sizeof(path), "%s/password", f->dir);
    fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0600);
    assert_int_equal(write(fd, "wrong\n", 6), 6);
    options.password_file = path;
    redis = other(&options);
    wait_state(redis, REDIS_REFUSED, "refuses the password");
    assert_null(strstr(redis_state_reason(redis), "wrong"));
    /* Re-read at every connect. */
    assert_int_equal(pwrite(fd, "hidden\r\n", 8, 0), 8);
    close(fd);
    wait_state(redis, REDIS_READY, "");
    redis_free(redis);
    unlink(path);
    redis = other(&options);
    wait_state(redis, REDIS_REFUSED, "cannot be read");
    redis_free(redis);
    fixture_do(f, "CONFIG SET requirepass ''");
}

static void
user_that_may_not_look_is_told(void **state)
{
    char path[200];
    struct redis_options options = {
        .url = f->url, .reconnect_max_ms = 60, .password_file = path};
    struct redis *redis = NULL;
    int fd = -1;

    (void)state;
    snprintf(path, sizeof(path), "%s/password", f->dir);
    fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0600);
    assert_int_equal(write(fd, "hidden", 6), 6);
    close(fd);
    fixture_do(f, "ACL SETUSER default >hidden -config|get");
    redis = other(&options);
    wait_state(redis, REDIS_REFUSED, "CONFIG GET");
    fixture_do(f, "ACL SETUSER default +config|get -info");
    wait_state(redis, REDIS_REFUSED, "INFO");
    fixture_do(f, "ACL SETUSER default +@all");
    wait_state(redis, REDIS_READY, "");
    redis_free(redis);
    fixture_do(f, "ACL SETUSER default nopass");
    unlink(path);
}

static void
on_state_count(void *arg, enum redis_state state)
{
    (*(int *)arg)++;
    (void)state;
}

static void
unusable_url_and_absent_server_are_told(void **state)
{
    int changes = 0;
    struct redis_options options = {
        .url = "http://x", .on_state = on_state_count, .arg = &changes};
    struct redis *redis = other(&options);

    (void)state;
    assert_int_equal(redis_get_state(redis), REDIS_CONNECTING);
    assert_int_equal(changes, 0); /* never before redis_new returned */
    wait_state(redis, REDIS_REFUSED, "redis://");
    assert_int_equal(changes, 1);
    redis_free(redis);
    options.url = "unix:///nonexistent/socket";
    redis = other(&options);
    wait_state(redis, REDIS_CONNECTING, "no connection");
    assert_int_equal(redis_command(redis, NULL, NULL, 0, NULL), -1);
    redis_free(redis);
}

/* --- commands ---------------------------------------------------------- */

struct answer {
    int count;
    int nulls;
    bool done;
    char text[64];
};

static void
on_answer(void *arg, const struct redisReply *reply)
{
    struct answer *a = arg;

    a->count++;
    if (reply == NULL)
        a->nulls++;
    else
        (void)text_copy(a->text, sizeof(a->text), redis_reply_slice(reply));
    a->done = true;
}

static int
echo(struct redis *redis, struct answer *answer, const char *text)
{
    const struct slice argv[] = {slice_of("ECHO"), slice_of(text)};

    return redis_command(redis, on_answer, answer, 2, argv);
}

static void
answers_come_in_order_and_after_the_call(void **state)
{
    struct answer answers[100];

    (void)state;
    memset(answers, 0, sizeof(answers));
    fixture_wait_ready(f);
    for (int i = 0; i < 100; i++) {
        char text[16];
        snprintf(text, sizeof(text), "%d", i);
        assert_int_equal(echo(f->redis, &answers[i], text), 0);
        assert_int_equal(answers[i].count, 0);
    }
    assert_true(redis_in_flight(f->redis) >= 100);
    fixture_wait(f, &answers[99].done);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(answers[i].count, 1);
        assert_int_equal(strtol(answers[i].text, NULL, 10), i);
    }
    assert_int_equal(redis_in_flight(f->redis), 0);
}

static void
frozen_server_is_given_up_after_the_deadline(void **state)
{
    struct redis_options options = {
        .url = f->url, .command_timeout_ms = 100, .reconnect_max_ms = 100};
    struct redis *redis = other(&options);
    struct answer answer = {0};
    int64_t began = 0;

    (void)state;
    wait_state(redis, REDIS_READY, "");
    fixture_freeze_server(f, true);
    began = clock_mono_ms();
    assert_int_equal(echo(redis, &answer, "x"), 0);
    fixture_wait(f, &answer.done);
    assert_int_equal(answer.nulls, 1);
    assert_true(clock_mono_ms() - began >= 90);
    assert_int_not_equal(redis_get_state(redis), REDIS_READY);
    assert_int_equal(echo(redis, &answer, "x"), -1);
    fixture_freeze_server(f, false);
    wait_state(redis, REDIS_READY, "");
    memset(&answer, 0, sizeof(answer));
    assert_int_equal(echo(redis, &answer, "y"), 0);
    fixture_wait(f, &answer.done);
    assert_string_equal(answer.text, "y");
    redis_free(redis);
}

static void
free_answers_what_is_under_way(void **state)
{
    struct redis_options options = {.url = f->url};
    struct redis *redis = other(&options);
    struct answer answer = {0};

    (void)state;
    wait_state(redis, REDIS_READY, "");
    for (int i = 0; i < 5; i++)
        assert_int_equal(echo(redis, &answer, "x"), 0);
    redis_free(redis);
    assert_int_equal(answer.count, 5);
    assert_int_equal(answer.nulls, 5);
}

static struct redis *victim;

static void
on_answer_free(void *arg, const struct redisReply *reply)
{
    on_answer(arg, reply);
    if (victim != NULL) {
        struct redis *redis = victim;
        victim = NULL;
        redis_free(redis);
    }
}

static void
may_be_freed_from_its_own_callback(void **state)
{
    struct redis_options options = {.url = f->url, .command_timeout_ms = 100};
    const struct slice ping[] = {slice_of("PING")};

    (void)state;
    /* From an answer, and from the NULL of a lost connection. */
    for (int way = 0; way < 2; way++) {
        struct answer answer = {0};
        victim = other(&options);
        wait_state(victim, REDIS_READY, "");
        if (way == 1)
            fixture_freeze_server(f, true);
        for (int i = 0; i < 3; i++)
            assert_int_equal(
                redis_command(victim, on_answer_free, &answer, 1, ping), 0);
        fixture_wait(f, &answer.done);
        fixture_freeze_server(f, false);
        fixture_spin(f);
        assert_int_equal(answer.count, 3);
        assert_int_equal(answer.nulls, way == 0 ? 2 : 3);
    }
}

static void
script_text_is_sent_when_the_server_does_not_know_it(void **state)
{
    struct redis_script script;
    struct answer answers[3];
    const struct slice argv[] = {slice_of("k"), slice_of("arg")};

    (void)state;
    memset(answers, 0, sizeof(answers));
    fixture_wait_ready(f);
    redis_script_init(&script, "test", "return KEYS[1] .. '=' .. ARGV[1]");
    for (int i = 0; i < 3; i++) {
        fixture_do(f, i == 1 ? "PING" : "SCRIPT FLUSH");
        assert_int_equal(
            redis_eval(f->redis, &script, on_answer, &answers[i], 1, 2, argv),
            0);
        fixture_wait(f, &answers[i].done);
        assert_string_equal(answers[i].text, "k=arg");
        assert_int_equal(answers[i].count, 1);
    }
}

static void
replica_and_losing_the_right_to_write_are_refused(void **state)
{
    struct redis_options options = {.url = f->url, .reconnect_max_ms = 60};
    struct redis *redis = other(&options);
    struct answer answer = {0};
    const struct slice set[] = {slice_of("SET"), slice_of("k"), slice_of("v")};

    (void)state;
    wait_state(redis, REDIS_READY, "");
    fixture_do(f, "REPLICAOF 127.0.0.1 1");
    assert_int_equal(redis_command(redis, on_answer, &answer, 3, set), 0);
    fixture_wait(f, &answer.done);
    assert_true(strncmp(answer.text, "READONLY", 8) == 0);
    wait_state(redis, REDIS_REFUSED, "replica");
    fixture_do(f, "REPLICAOF NO ONE");
    wait_state(redis, REDIS_READY, "");
    redis_free(redis);
}

/* --- subscriptions ----------------------------------------------------- */

struct listener {
    int gaps;
    int messages;
    bool changed;
    char last[32];
};

static void
on_message(void *arg, struct slice message)
{
    struct listener *l = arg;

    l->messages++;
    l->changed = true;
    (void)text_copy(l->last, sizeof(l->last), message);
}

static void
on_gap(void *arg)
{
    struct listener *l = arg;

    l->gaps++;
    l->changed = true;
}

static void
wait_change(struct listener *l)
{
    fixture_wait(f, &l->changed);
    l->changed = false;
}

static void
subscriptions_survive_reconnects_and_tell_of_the_gap(void **state)
{
    struct listener one = {0};
    struct listener two = {0};

    (void)state;
    fixture_wait_ready(f);
    redis_subscribe(f->redis, "one", on_message, on_gap, &one);
    redis_subscribe(f->redis, "two", on_message, on_gap, &two);
    wait_change(&one);
    wait_change(&two);
    assert_int_equal(one.gaps, 1);
    fixture_do(f, "PUBLISH one hello");
    wait_change(&one);
    assert_string_equal(one.last, "hello");
    assert_int_equal(two.messages, 0);
    fixture_do(f, "CLIENT KILL TYPE pubsub");
    wait_change(&one);
    wait_change(&two);
    assert_int_equal(one.gaps, 2);
    fixture_do(f, "PUBLISH two again");
    wait_change(&two);
    assert_string_equal(two.last, "again");
    redis_unsubscribe(f->redis, "two");
    while (fixture_int(f, "PUBLISH two lost") > 0)
        fixture_spin(f);
    fixture_do(f, "PUBLISH one more");
    wait_change(&one);
    assert_int_equal(two.messages, 1);
    redis_subscribe(f->redis, "two", on_message, on_gap, &two);
    wait_change(&two);
    assert_int_equal(two.gaps, 3);
    /* The whole server goes away and comes back. */
    fixture_kill_server(f);
    fixture_start_server(f);
    wait_change(&one);
    assert_int_equal(one.gaps, 3);
    redis_unsubscribe(f->redis, "one");
    redis_unsubscribe(f->redis, "two");
    fixture_wait_ready(f);
}

/* --- a server that lies ------------------------------------------------ */

static int
listen_on(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    (void)text_copy(address.sun_path, sizeof(address.sun_path), slice_of(path));
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 8), 0);
    return fd;
}

static void
broken_answers_end_the_connection_and_nothing_else(void **state)
{
    static const char *const answers[] = {"", "hello\r\n", "*1000000000\r\n",
        "*-2\r\n", "$-5\r\n", "$99999999999999999999\r\n",
        "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
        "$5\r\nab", "+OK\r\n+OK\r\n", ":1\r\n*0\r\n", "$-1\r\n*-1\r\n",
        "+OK\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n"};
    char path[170];
    char url[190];
    struct redis_options options = {
        .url = url, .command_timeout_ms = 100, .reconnect_max_ms = 60};
    int fd = -1;

    (void)state;
    snprintf(path, sizeof(path), "%s/liar", f->dir);
    snprintf(url, sizeof(url), "unix://%s", path);
    fd = listen_on(path);
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        struct redis *redis = other(&options);
        int peer = -1;
        while ((peer = accept(fd, NULL, NULL)) < 0)
            event_base_loop(f->base, EVLOOP_ONCE);
        assert_int_equal(
            send(peer, answers[i], strlen(answers[i]), MSG_NOSIGNAL),
            (ssize_t)strlen(answers[i]));
        if (i % 2 == 0)
            shutdown(peer, SHUT_WR);
        /* It connects again, so it gave this connection up. */
        {
            int again = -1;
            int64_t until = clock_mono_ms() + 5000;
            while ((again = accept(fd, NULL, NULL)) < 0) {
                assert_true(clock_mono_ms() < until);
                event_base_loop(f->base, EVLOOP_ONCE);
            }
            close(again);
        }
        assert_int_not_equal(redis_get_state(redis), REDIS_READY);
        close(peer);
        redis_free(redis);
    }
    close(fd);
    unlink(path);
}

static void
replies_of_another_shape_give_defaults(void **state)
{
    struct redisReply number = {.type = REDIS_REPLY_INTEGER, .integer = 7};
    struct redisReply text = {
        .type = REDIS_REPLY_STRING, .str = (char *)"12", .len = 2};
    struct redisReply *elements[] = {&number, &text};
    struct redisReply array = {
        .type = REDIS_REPLY_ARRAY, .elements = 2, .element = elements};

    (void)state;
    assert_int_equal(redis_reply_int(&number, 1), 7);
    assert_int_equal(redis_reply_int(&text, 1), 12);
    assert_int_equal(redis_reply_int(&array, 1), 1);
    assert_int_equal(redis_reply_int(NULL, 1), 1);
    assert_int_equal(redis_reply_slice(&number).len, 0);
    assert_ptr_equal(redis_reply_at(&array, 1), &text);
    assert_null(redis_reply_at(&array, 2));
    assert_null(redis_reply_at(&number, 0));
    assert_null(redis_reply_at(NULL, 0));
    assert_false(redis_reply_is_ok(&text));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_are_read_strictly),
        cmocka_unit_test(
            server_that_may_lose_jobs_is_refused_and_accepted_once_mended),
        cmocka_unit_test(password_is_used_and_a_wrong_one_is_told),
        cmocka_unit_test(user_that_may_not_look_is_told),
        cmocka_unit_test(unusable_url_and_absent_server_are_told),
        cmocka_unit_test(answers_come_in_order_and_after_the_call),
        cmocka_unit_test(frozen_server_is_given_up_after_the_deadline),
        cmocka_unit_test(free_answers_what_is_under_way),
        cmocka_unit_test(may_be_freed_from_its_own_callback),
        cmocka_unit_test(script_text_is_sent_when_the_server_does_not_know_it),
        cmocka_unit_test(replica_and_losing_the_right_to_write_are_refused),
        cmocka_unit_test(subscriptions_survive_reconnects_and_tell_of_the_gap),
        cmocka_unit_test(broken_answers_end_the_connection_and_nothing_else),
        cmocka_unit_test(replies_of_another_shape_give_defaults),
    };

    return cmocka_run_group_tests(tests, queue_suite_start, queue_suite_stop);
}
