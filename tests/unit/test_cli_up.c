#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/doctor.h"
#include "cli/job.h"
#include "cli/up_dir.h"
#include "cli/up_redis.h"
#include "cli/watch.h"
#include "common/service/api_key.h"

/* --- watch --- */

static void
waits_longer_after_each_early_end(void **state)
{
    static const int64_t expected[] = {
        200, 400, 800, 1600, 3200, 5000, 5000, 5000};
    struct watch watch = {0};
    int64_t now = 1000;
    (void)state;
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        watch_started(&watch, now);
        now += 100;
        assert_int_equal(watch_ended(&watch, now), expected[i]);
        assert_int_equal(watch.failures, i + 1);
    }
}

static void
a_healthy_life_is_forgiven(void **state)
{
    struct watch watch = {0};
    (void)state;
    watch_started(&watch, 0);
    assert_int_equal(watch_ended(&watch, 10), 200);
    watch_started(&watch, 1000);
    assert_int_equal(watch_ended(&watch, 1000 + WATCH_HEALTHY_MS - 1), 400);
    watch_started(&watch, 100000);
    assert_int_equal(watch_ended(&watch, 100000 + WATCH_HEALTHY_MS), 200);
    assert_int_equal(watch.failures, 1);
}

static void
silence_makes_it_stuck(void **state)
{
    struct watch watch = {0};
    (void)state;
    watch_started(&watch, 0);
    for (int64_t now = 1000; now < 20000; now += 1000)
        assert_false(watch_is_stuck(&watch, now, 20000));
    assert_true(watch_is_stuck(&watch, 20000, 20000));
}

static void
an_answer_is_a_sign_of_life(void **state)
{
    struct watch watch = {0};
    (void)state;
    watch_started(&watch, 0);
    for (int64_t now = 1000; now <= 60000; now += 1000) {
        assert_false(watch_is_stuck(&watch, now, 20000));
        if (now % 10000 == 0)
            watch_heard(&watch, now);
    }
}

/* The watcher was stopped for an hour: that proves nothing. */
static void
own_absence_does_not_count(void **state)
{
    struct watch watch = {0};
    (void)state;
    watch_started(&watch, 0);
    assert_false(watch_is_stuck(&watch, 1000, 20000));
    assert_false(watch_is_stuck(&watch, 3601000, 20000));
    for (int64_t now = 3602000; now < 3620000; now += 1000)
        assert_false(watch_is_stuck(&watch, now, 20000));
    assert_true(watch_is_stuck(&watch, 3621000, 20000));
}

/* --- the data directory --- */

static char place[] = "/tmp/longhaul-up-XXXXXX";
static char data[64];
static struct buffer error;

static int
make_place(void **state)
{
    (void)state;
    text_copy(place, sizeof(place), slice_of("/tmp/longhaul-up-XXXXXX"));
    if (mkdtemp(place) == NULL)
        return -1;
    snprintf(data, sizeof(data), "%s/var", place);
    return 0;
}

static int
remove_place(void **state)
{
    static const char *const names[] = {"lock", "children.lock", "mode",
        "foreign", "redis/redis.conf", "redis/url"};
    char path[128];
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", data, names[i]);
        unlink(path);
    }
    snprintf(path, sizeof(path), "%s/redis", data);
    rmdir(path);
    rmdir(data);
    buffer_clear(&error);
    return rmdir(place);
}

static void
a_new_directory_is_private_and_locked(void **state)
{
    struct up_dir dir;
    struct up_dir second;
    struct stat found;
    char pid[32];
    (void)state;
    assert_int_equal(up_dir_open(&dir, data, 0, &error), 0);
    assert_true(dir.is_new);
    assert_int_equal(stat(data, &found), 0);
    assert_int_equal(found.st_mode & 0777, 0700);
    assert_int_equal(up_dir_open(&second, data, 0, &error), -1);
    snprintf(pid, sizeof(pid), "(pid %ld)", (long)getpid());
    assert_non_null(strstr(error.data, "is in use"));
    assert_non_null(strstr(error.data, pid));
    up_dir_close(&dir);
    assert_int_equal(up_dir_open(&dir, data, 0, &error), 0);
    up_dir_close(&dir);
}

static void
modes_are_never_mixed(void **state)
{
    struct up_dir dir;
    (void)state;
    assert_int_equal(up_dir_open(&dir, data, 0, &error), 0);
    assert_int_equal(up_dir_set_mode(&dir, true, &error), 0);
    assert_int_equal(up_dir_set_mode(&dir, true, &error), 0);
    assert_int_equal(up_dir_set_mode(&dir, false, &error), -1);
    assert_non_null(strstr(error.data, "holds simulated results"));
    assert_non_null(strstr(error.data, "--simulate"));
    up_dir_close(&dir);
}

static void
a_directory_of_somebody_else_is_refused(void **state)
{
    struct up_dir dir;
    char path[128];
    (void)state;
    assert_int_equal(mkdir(data, 0700), 0);
    snprintf(path, sizeof(path), "%s/foreign", data);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fclose(file);
    assert_int_equal(up_dir_open(&dir, data, 0, &error), -1);
    assert_non_null(strstr(error.data, "no data directory of longhaul"));
}

/* What a dead `up` has left keeps the next one out. */
static void
left_children_are_waited_for(void **state)
{
    struct up_dir dir;
    char path[128];
    (void)state;
    assert_int_equal(up_dir_open(&dir, data, 0, &error), 0);
    up_dir_close(&dir);
    snprintf(path, sizeof(path), "%s/children.lock", data);
    FILE *held = fopen(path, "r+e");
    assert_non_null(held);
    assert_int_equal(flock(fileno(held), LOCK_EX), 0);
    assert_int_equal(up_dir_open(&dir, data, 0, &error), -1);
    assert_non_null(strstr(error.data, "earlier `longhaul up` still use"));
    fclose(held);
    assert_int_equal(up_dir_open(&dir, data, 0, &error), 0);
    up_dir_close(&dir);
}

static void
redis_is_durable_and_nowhere_else(void **state)
{
    static const char *const wanted[] = {"\nport 0\n", "appendonly yes\n",
        "appendfsync always\n", "maxmemory-policy noeviction\n", "save \"\"\n",
        "no-appendfsync-on-rewrite no\n", "unixsocketperm 600\n",
        "unixsocket \"/a \\\"b\\\" c/redis.sock\"\n",
        "dir \"/a \\\"b\\\" c\"\n"};
    char directory[] = "/a \"b\" c";
    char path[] = "/a \"b\" c/redis.sock";
    struct up_redis redis = {.socket = path, .directory = directory};
    struct buffer out = {0};
    (void)state;
    up_redis_conf(&redis, NULL, &out);
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        if (strstr(out.data, wanted[i]) == NULL)
            fail_msg("no %s", wanted[i]);
    }
    assert_null(strstr(out.data, "requirepass"));
    buffer_reset(&out);
    redis.socket = NULL;
    redis.port = 4711;
    up_redis_conf(&redis, "secret", &out);
    assert_non_null(strstr(out.data, "\nport 4711\nbind 127.0.0.1\n"));
    assert_non_null(strstr(out.data, "requirepass \"secret\"\n"));
    assert_null(strstr(out.data, "unixsocket"));
    buffer_clear(&out);
}

/* --- small things --- */

static void
odd_keys_are_noticed(void **state)
{
    (void)state;
    assert_null(api_key_oddity(
        slice_of("sk-ant-api03-0123456789012345678901234567890123456789")));
    assert_non_null(api_key_oddity(slice_of("")));
    assert_non_null(api_key_oddity(slice_of("sk-ant-short")));
    assert_non_null(
        api_key_oddity(slice_of("sk-ant-oat01-"
                                "0123456789012345678901234567890123456789")));
    assert_non_null(api_key_oddity(
        slice_of("sk-ant-api03-012345678901234567890\n12345678901234567890")));
    assert_non_null(api_key_oddity(
        slice_of("sk-proj-0123456789012345678901234567890123456789")));
}

static void
ends_of_jobs_become_exit_codes(void **state)
{
    static const struct {
        const char *status;
        int code;
    } cases[] = {{"queued", CLI_RUNNING}, {"running", CLI_RUNNING},
        {"retrying", CLI_RUNNING}, {"new_word", CLI_RUNNING},
        {"succeeded", CLI_OK}, {"failed", CLI_FAILED}, {"canceled", CLI_FAILED},
        {"expired", CLI_FAILED}};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        json_t *job = json_pack("{s:s}", "status", cases[i].status);
        assert_int_equal(job_exit(job), cases[i].code);
        json_decref(job);
    }
}

static void
text_blocks_are_joined(void **state)
{
    struct buffer out = {0};
    (void)state;
    json_t *message = json_loads(
        "{\"content\":[{\"type\":\"thinking\",\"thinking\":\"hm\"},"
        "{\"type\":\"text\",\"text\":\"one \"},{\"type\":\"tool_use\"},"
        "{\"type\":\"text\",\"text\":\"two\"},7]}",
        0, NULL);
    job_text(message, &out);
    assert_string_equal(out.data, "one two");
    buffer_clear(&out);
    json_decref(message);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_longer_after_each_early_end),
        cmocka_unit_test(a_healthy_life_is_forgiven),
        cmocka_unit_test(silence_makes_it_stuck),
        cmocka_unit_test(an_answer_is_a_sign_of_life),
        cmocka_unit_test(own_absence_does_not_count),
        cmocka_unit_test_setup_teardown(
            a_new_directory_is_private_and_locked, make_place, remove_place),
        cmocka_unit_test_setup_teardown(
            modes_are_never_mixed, make_place, remove_place),
        cmocka_unit_test_setup_teardown(
            a_directory_of_somebody_else_is_refused, make_place, remove_place),
        cmocka_unit_test_setup_teardown(
            left_children_are_waited_for, make_place, remove_place),
        cmocka_unit_test(redis_is_durable_and_nowhere_else),
        cmocka_unit_test(odd_keys_are_noticed),
        cmocka_unit_test(ends_of_jobs_become_exit_codes),
        cmocka_unit_test(text_blocks_are_joined),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
