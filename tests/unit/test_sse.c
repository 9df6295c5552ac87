#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "worker/sse.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Writes every event as "name|data;" with LF shown as '~'. */
static int
show(void *arg, struct slice name, struct slice data)
{
    struct buffer *out = arg;
    size_t i;

    buffer_append_slice(out, name);
    buffer_append_char(out, '|');
    for (i = 0; i < data.len; i++)
        buffer_append_char(out, data.data[i] == '\n' ? '~' : data.data[i]);
    buffer_append_char(out, ';');
    return 0;
}

struct stream {
    const char *text;
    const char *events;
};

static const struct stream streams[] = {
    {"event: a\ndata: 1\n\n", "a|1;"},
    {"event: a\r\ndata: 1\r\n\r\n", "a|1;"},
    {"event: a\rdata: 1\r\r", "a|1;"},
    {"event: a\r\ndata: 1\n\r\ndata: 2\r\n\n", "a|1;|2;"},
    {"\xEF\xBB\xBF"
     "event: a\ndata: 1\n\n",
        "a|1;"},
    {"\xEF\xBB\xBF\n\xEF\xBB\xBF"
     "data: 1\n\ndata: 2\n\n",
        "|2;"},
    {"data: 1\ndata: 2\n\n", "|1~2;"},
    {"data\n\n", "|;"},
    {"data:\n\n", "|;"},
    {"data\ndata\n\n", "|~;"},
    {"data:1\n\n", "|1;"},
    {"data:  1\n\n", "| 1;"},
    {"data: a:b: c\n\n", "|a:b: c;"},
    {": a comment\ndata: 1\n\n", "|1;"},
    {":\n:\n\ndata: 1\n\n", "|1;"},
    {"id: 7\nretry: 10\ndata: 1\n\n", "|1;"},
    {"unknown: 7\ndata: 1\n\n", "|1;"},
    {"Data: 7\nevent : b\ndata: 1\n\n", "|1;"},
    {" data: 7\ndata: 1\n\n", "|1;"},
    /* An event without data is none, and its name does not stay. */
    {"event: a\n\ndata: 1\n\n", "|1;"},
    {"event: a\ndata: 1\n\ndata: 2\n\n", "a|1;|2;"},
    {"event: a\nevent: b\ndata: 1\n\n", "b|1;"},
    {"event: a\nevent\ndata: 1\n\n", "|1;"},
    /* What no blank line closes is not an event. */
    {"data: 1\n\ndata: 2\n", "|1;"},
    {"data: 1\n\ndata: 2", "|1;"},
    {"data: 1\r", ""},
    {"", ""},
    {"\n\n\n", ""},
    {"data: Xin ch\xC3\xA0o\n\n", "|Xin ch\xC3\xA0o;"},
    {"event: 0123456789012345678901234567890123456789012345678901234567890123"
     "cut\ndata: 1\n\n",
        "0123456789012345678901234567890123456789012345678901234567890123|1;"},
};

static void
reads_the_same_events_however_the_stream_is_cut(void **state)
{
    size_t i;
    size_t cut;

    (void)state;
    for (i = 0; i < COUNT(streams); i++) {
        const char *text = streams[i].text;
        size_t len = strlen(text);
        struct buffer out = {0};

        for (cut = 0; cut <= len + 1; cut++) {
            struct sse_parser sse;
            size_t at;

            buffer_reset(&out);
            buffer_append_text(&out, "");
            sse_init(&sse, show, &out);
            if (cut <= len) {
                assert_int_equal(sse_feed(&sse, text, cut), 0);
                assert_int_equal(sse_feed(&sse, text + cut, len - cut), 0);
            } else {
                for (at = 0; at < len; at++)
                    assert_int_equal(sse_feed(&sse, text + at, 1), 0);
            }
            assert_string_equal(out.data, streams[i].events);
            sse_clear(&sse);
        }
        buffer_clear(&out);
    }
}

/* 0 when the stream is taken with these limits, in one piece and in two. */
static int
feed_limited(const char *text, size_t line_max, size_t event_max)
{
    struct buffer out = {0};
    size_t len = strlen(text);
    int first = 0;
    size_t cut;

    for (cut = 0; cut <= len; cut++) {
        struct sse_parser sse;
        int result;

        sse_init(&sse, show, &out);
        sse.line_max = line_max;
        sse.event_max = event_max;
        result = sse_feed(&sse, text, cut);
        if (result == 0)
            result = sse_feed(&sse, text + cut, len - cut);
        if (cut == 0)
            first = result;
        assert_int_equal(result, first);
        if (result != 0)
            assert_int_equal(sse_feed(&sse, "\n", 1), -1);
        sse_clear(&sse);
    }
    buffer_clear(&out);
    return first;
}

static void
lines_and_events_are_bounded(void **state)
{
    (void)state;
    assert_int_equal(feed_limited("data: 1234\n\n", 10, 100), 0);
    assert_int_equal(feed_limited("data: 1234\n\n", 9, 100), -1);
    assert_int_equal(feed_limited(": 12345678\n\n", 9, 100), -1);
    assert_int_equal(feed_limited("data: 1234\n\n", 100, 5), 0);
    assert_int_equal(feed_limited("data: 1234\n\n", 100, 4), -1);
    assert_int_equal(feed_limited("data:1\ndata:2\n\n", 100, 3), 0);
    assert_int_equal(feed_limited("data:1\ndata:2\n\n", 100, 2), -1);
    assert_int_equal(feed_limited("data:1\n\ndata:2\n\n", 100, 2), 0);
}

static int
stop_at_second(void *arg, struct slice name, struct slice data)
{
    int *count = arg;

    (void)name;
    (void)data;
    return ++*count == 2 ? -1 : 0;
}

static void
the_reader_can_end_it(void **state)
{
    struct sse_parser sse;
    int count = 0;

    (void)state;
    sse_init(&sse, stop_at_second, &count);
    assert_int_equal(sse_feed(&sse, "data:1\n\ndata:2\n\ndata:3\n\n", 24), -1);
    assert_int_equal(count, 2);
    assert_int_equal(sse_feed(&sse, "data:4\n\n", 8), -1);
    assert_int_equal(count, 2);
    sse_clear(&sse);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_same_events_however_the_stream_is_cut),
        cmocka_unit_test(lines_and_events_are_bounded),
        cmocka_unit_test(the_reader_can_end_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
