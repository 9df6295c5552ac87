#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"

/* stderr is a pipe during each test; what was logged is read from it. */
static int real_stderr = -1;
static int ends[2];
static char said[1 << 17];

static int
capture(void **state)
{
    (void)state;
    real_stderr = dup(STDERR_FILENO);
    if (real_stderr < 0 || pipe2(ends, O_NONBLOCK) != 0)
        return -1;
    unsetenv("LONGHAUL_LOG");
    log_set_level(LOG_LEVEL_INFO);
    return dup2(ends[1], STDERR_FILENO) < 0 ? -1 : 0;
}

static int
release(void **state)
{
    (void)state;
    dup2(real_stderr, STDERR_FILENO);
    close(real_stderr);
    close(ends[0]);
    close(ends[1]);
    return 0;
}

static const char *
drain(void)
{
    size_t len = 0;
    ssize_t got;
    while ((got = read(ends[0], said + len, sizeof(said) - 1 - len)) > 0)
        len += (size_t)got;
    said[len] = '\0';
    return said;
}

/* The one line that was logged, as JSON. */
static json_t *
logged(void)
{
    const char *line = drain();
    size_t len = strlen(line);
    assert_true(len > 0 && line[len - 1] == '\n');
    assert_ptr_equal(strchr(line, '\n'), line + len - 1);
    json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(object);
    return object;
}

static const char *
text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    assert_non_null(text);
    return text;
}

static void
an_event_is_one_json_object_on_one_line(void **state)
{
    (void)state;
    int64_t wall_ms;
    log_init("worker");
    log_info("job_finished", LOG_TEXT("job", "job_1"), LOG_INT("attempt", 2),
        LOG_REAL("seconds", 1.5), LOG_BOOL("cached", true),
        LOG_SLICE("model", slice_make("claude-x", 6)), LOG_TEXT("absent", NULL),
        LOG_REAL("no_number", 0.0 / 0.0), LOG_INT("lowest", INT64_MIN));
    json_t *line = logged();
    assert_string_equal(text_of(line, "level"), "info");
    assert_string_equal(text_of(line, "program"), "worker");
    assert_string_equal(text_of(line, "event"), "job_finished");
    assert_string_equal(text_of(line, "job"), "job_1");
    assert_string_equal(text_of(line, "model"), "claude");
    assert_int_equal(json_integer_value(json_object_get(line, "attempt")), 2);
    assert_true(json_real_value(json_object_get(line, "seconds")) == 1.5);
    assert_true(json_is_true(json_object_get(line, "cached")));
    assert_null(json_object_get(line, "absent"));
    assert_true(json_is_null(json_object_get(line, "no_number")));
    assert_int_equal(
        json_integer_value(json_object_get(line, "lowest")), INT64_MIN);
    assert_int_equal(
        clock_parse_rfc3339(slice_of(text_of(line, "time")), &wall_ms), 0);
    json_decref(line);
}

static void
an_event_needs_no_fields(void **state)
{
    (void)state;
    log_write(LOG_LEVEL_ERROR, "alone", NULL);
    json_t *line = logged();
    assert_string_equal(text_of(line, "event"), "alone");
    assert_int_equal(json_object_size(line), 4);
    json_decref(line);
}

static void
the_environment_sets_the_level(void **state)
{
    (void)state;
    setenv("LONGHAUL_LOG", "warn", 1);
    log_init("worker");
    log_info("quiet", LOG_INT("n", 1));
    assert_string_equal(drain(), "");
    log_warn("loud", LOG_INT("n", 1));
    json_decref(logged());
    setenv("LONGHAUL_LOG", "debug", 1);
    log_init("worker");
    log_debug("chatty", LOG_INT("n", 1));
    json_decref(logged());
    unsetenv("LONGHAUL_LOG");
}

static void
quotes_newlines_and_bad_bytes_stay_inside_their_string(void **state)
{
    (void)state;
    log_info("event", LOG_TEXT("text", "a\"b\nc\\d\x01\xff"));
    json_t *line = logged();
    assert_string_equal(text_of(line, "text"), "a\"b\nc\\d\x01\xef\xbf\xbd");
    json_decref(line);
}

static void
credentials_are_masked(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        const char *out;
    } cases[] = {
        {"key sk-ant-api03-AbC_9 end", "key sk-ant-*** end"},
        {"lh_0123456789abcdef", "lh_***"},
        {"Authorization: Bearer abc.def-ghi==", "Authorization: Bearer ***"},
        {"bearer X bearer Y", "bearer *** bearer ***"},
        {"SK-ANT-xyz", "SK-ANT-***"},
        {"sk-ant-a,sk-ant-b", "sk-ant-***,sk-ant-***"},
        {"Bearer sk-ant-secret", "Bearer ***"},
        {"the bearer of news", "the bearer *** news"},
        {"lh_ and sk-ant- alone", "lh_ and sk-ant- alone"},
        {"nothing to hide", "nothing to hide"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        log_info("event", LOG_TEXT("text", cases[i].in));
        json_t *line = logged();
        assert_string_equal(text_of(line, "text"), cases[i].out);
        json_decref(line);
    }
}

static void
a_credential_across_the_cut_is_still_masked(void **state)
{
    (void)state;
    for (size_t at = 480; at < 520; at++) {
        char text[1024];
        memset(text, '.', sizeof(text));
        text[at - 1] = ' ';
        memcpy(text + at, "sk-ant-SECRET", 13);
        log_info("event", LOG_SLICE("text", slice_make(text, sizeof(text))));
        assert_null(strstr(drain(), "SEC"));
    }
}

static void
strings_are_cut_between_characters(void **state)
{
    (void)state;
    char text[600];
    memset(text, 'x', sizeof(text));
    memcpy(text + 510, "\xe2\x82\xac", 3);
    log_info("event", LOG_SLICE("text", slice_make(text, sizeof(text))));
    json_t *line = logged();
    assert_int_equal(strlen(text_of(line, "text")), 510);
    json_decref(line);
}

static void
a_line_has_an_upper_limit_and_says_that_it_was_cut(void **state)
{
    (void)state;
    char text[512];
    memset(text, 1, sizeof(text));
    struct slice worst = slice_make(text, sizeof(text));
    log_info("event", LOG_INT("first", 1), LOG_SLICE("a", worst),
        LOG_SLICE("b", worst), LOG_SLICE("c", worst));
    size_t len = strlen(drain());
    assert_in_range(len, 3000, 4096);
    json_t *line = json_loads(said, 0, NULL);
    assert_non_null(line);
    assert_true(json_is_true(json_object_get(line, "cut")));
    assert_int_equal(json_integer_value(json_object_get(line, "first")), 1);
    assert_non_null(json_object_get(line, "a"));
    assert_null(json_object_get(line, "b"));
    json_decref(line);
}

static void
a_full_pipe_costs_lines_not_time(void **state)
{
    (void)state;
    char filler[4096];
    memset(filler, ' ', sizeof(filler));
    while (write(ends[1], filler, sizeof(filler)) > 0)
        ;
    assert_int_equal(errno, EAGAIN);
    errno = 0;
    int64_t begin_ms = clock_mono_ms();
    for (int i = 0; i < 1000; i++)
        log_info("lost", LOG_INT("n", i));
    assert_true(clock_mono_ms() - begin_ms < 1000);
    assert_int_equal(errno, 0);
    drain();
    log_info("back", LOG_INT("n", 1));
    json_t *line = logged();
    assert_string_equal(text_of(line, "event"), "back");
    assert_int_equal(
        json_integer_value(json_object_get(line, "lines_dropped")), 1000);
    json_decref(line);
    log_info("after", LOG_INT("n", 1));
    line = logged();
    assert_null(json_object_get(line, "lines_dropped"));
    json_decref(line);
}

static unsigned
count_lines(const char *text)
{
    unsigned count = 0;
    for (; *text != '\0'; text++)
        count += *text == '\n';
    return count;
}

static void
in_a_batch_small_news_wait_for_the_flush_or_for_big_ones(void **state)
{
    (void)state;
    log_batch(true);
    log_info("small", LOG_INT("n", 1));
    log_info("small", LOG_INT("n", 2));
    assert_string_equal(drain(), "");
    log_flush();
    assert_int_equal(count_lines(drain()), 2);
    log_info("small", LOG_INT("n", 3));
    log_warn("big", LOG_INT("n", 4));
    const char *text = drain();
    assert_int_equal(count_lines(text), 2);
    assert_true(strstr(text, "small") < strstr(text, "big"));
    log_info("small", LOG_INT("n", 5));
    log_batch(false);
    assert_int_equal(count_lines(drain()), 1);
    log_info("small", LOG_INT("n", 6));
    json_decref(logged());
}

static void
a_batch_never_grows_above_what_a_pipe_takes_in_one_piece(void **state)
{
    (void)state;
    unsigned lines = 0;
    log_batch(true);
    for (int i = 0; i < 100; i++) {
        log_info("small", LOG_INT("n", i));
        const char *text = drain();
        assert_true(strlen(text) <= 4096);
        lines += count_lines(text);
    }
    assert_in_range(lines, 1, 99);
    log_batch(false);
    assert_int_equal(lines + count_lines(drain()), 100);
}

static void *
speak(void *arg)
{
    (void)arg;
    log_info("elsewhere", LOG_INT("n", 1));
    return NULL;
}

static void
a_batch_is_of_one_thread(void **state)
{
    (void)state;
    pthread_t other;
    log_batch(true);
    assert_int_equal(pthread_create(&other, NULL, speak, NULL), 0);
    pthread_join(other, NULL);
    json_decref(logged());
    log_batch(false);
}

static void
start_up_messages_name_the_program(void **state)
{
    (void)state;
    log_say("cannot open %s", "x.conf");
    assert_string_equal(drain(), "test_log: cannot open x.conf\n");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, capture, release)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_event_is_one_json_object_on_one_line),
        TEST(an_event_needs_no_fields),
        TEST(the_environment_sets_the_level),
        TEST(quotes_newlines_and_bad_bytes_stay_inside_their_string),
        TEST(credentials_are_masked),
        TEST(a_credential_across_the_cut_is_still_masked),
        TEST(strings_are_cut_between_characters),
        TEST(a_line_has_an_upper_limit_and_says_that_it_was_cut),
        TEST(a_full_pipe_costs_lines_not_time),
        TEST(in_a_batch_small_news_wait_for_the_flush_or_for_big_ones),
        TEST(a_batch_never_grows_above_what_a_pipe_takes_in_one_piece),
        TEST(a_batch_is_of_one_thread),
        TEST(start_up_messages_name_the_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
