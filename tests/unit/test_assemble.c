#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "common/net/json_scan.h"
#include "worker/assemble.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

#define EVENT(name, rest) \
    "event: " name "\ndata: {\"type\":\"" name "\"" rest "}\n\n"
#define START \
    EVENT("message_start", \
        ",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":" \
        "\"assistant\",\"model\":\"m\",\"content\":[],\"stop_reason\":null," \
        "\"stop_sequence\":null,\"x_new\":1.50,\"usage\":{\"input_tokens\":" \
        "12,\"output_tokens\":1,\"cache_read_input_tokens\":5," \
        "\"service_tier\":\"standard\"}}")
#define BLOCK(index, block) \
    EVENT("content_block_start", \
        ",\"index\":" #index ",\"content_block\":" block)
#define DELTA(index, delta) \
    EVENT("content_block_delta", ",\"index\":" #index ",\"delta\":" delta)
#define TEXT(index, text) \
    DELTA(index, "{\"type\":\"text_delta\",\"text\":\"" text "\"}")
#define INPUT(index, text) \
    DELTA(index, \
        "{\"type\":\"input_json_delta\",\"partial_json\":\"" text "\"}")
#define BLOCK_STOP(index) EVENT("content_block_stop", ",\"index\":" #index)
#define END \
    EVENT("message_delta", \
        ",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null}," \
        "\"usage\":{\"output_tokens\":3}") \
    STOP
#define STOP EVENT("message_stop", "")
#define PING "event: ping\ndata: {\"type\":\"ping\"}\n\n"
#define TEXT_BLOCK "{\"type\":\"text\",\"text\":\"\",\"citations\":null}"
#define TOOL_BLOCK \
    "{\"type\":\"tool_use\",\"id\":\"toolu_1\",\"name\":\"f\",\"input\":{}}"

/* The Message around `content` after START and END. */
#define MESSAGE(content) \
    "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\"," \
    "\"model\":\"m\",\"content\":[" content "],\"stop_reason\":" \
    "\"end_turn\",\"stop_sequence\":null,\"x_new\":1.50,\"usage\":{" \
    "\"input_tokens\":12,\"output_tokens\":3,\"cache_read_input_tokens\":5," \
    "\"service_tier\":\"standard\"}}"

struct stream {
    const char *text;
    enum assemble_status status;
    const char *result; /* the Message, or the reason, or the error's type */
};

static const struct stream streams[] = {
    {START PING BLOCK(0, TEXT_BLOCK) TEXT(0, "4") PING TEXT(0, "2 \\\"\\u00e9")
            BLOCK_STOP(0) END,
        ASSEMBLE_DONE,
        MESSAGE("{\"type\":\"text\",\"text\":\"42 \\\"\\u00e9\",\"citations\":"
                "null}")},
    /* No content at all, as with max_tokens 0. */
    {START END, ASSEMBLE_DONE, MESSAGE("")},
    /* A start with text, and a block without the field. */
    {START BLOCK(0, "{\"type\":\"text\",\"text\":\"a\"}") TEXT(0, "b")
            BLOCK_STOP(0) BLOCK(1, "{\"type\":\"text\"}") TEXT(1, "c")
                BLOCK_STOP(1) END,
        ASSEMBLE_DONE,
        MESSAGE("{\"type\":\"text\",\"text\":\"ab\"},"
                "{\"type\":\"text\",\"text\":\"c\"}")},
    /* Tools: pieces, nothing, empty pieces. */
    {START BLOCK(0, TOOL_BLOCK) INPUT(0, "") INPUT(0, "{\\\"a\\\"")
            INPUT(0, ": 12345678901234567890.10, \\\"b\\\": \\\"\\\\n\\\"}")
                BLOCK_STOP(0) END,
        ASSEMBLE_DONE,
        MESSAGE("{\"type\":\"tool_use\",\"id\":\"toolu_1\",\"name\":\"f\","
                "\"input\":{\"a\": 12345678901234567890.10, \"b\": "
                "\"\\n\"}}")},
    {START BLOCK(0, TOOL_BLOCK) INPUT(0, "") BLOCK_STOP(0) BLOCK(1, TOOL_BLOCK)
            BLOCK_STOP(1) END,
        ASSEMBLE_DONE, MESSAGE(TOOL_BLOCK "," TOOL_BLOCK)},
    /* Cut off by max_tokens inside the input: kept, in a valid form. */
    {START BLOCK(0, TOOL_BLOCK) INPUT(0, "{\\\"a\\\":[1") BLOCK_STOP(0) END,
        ASSEMBLE_DONE,
        MESSAGE("{\"type\":\"tool_use\",\"id\":\"toolu_1\",\"name\":\"f\","
                "\"input\":{\"INVALID_JSON\":\"{\\\"a\\\":[1\"}}")},
    /* Thinking: text appends, the signature replaces. */
    {START BLOCK(
         0, "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}")
            DELTA(0, "{\"type\":\"thinking_delta\",\"thinking\":\"a\"}") DELTA(
                0, "{\"type\":\"thinking_delta\",\"thinking\":\"b\"}") DELTA(0,
                "{\"type\":\"signature_delta\",\"signature\":"
                "\"old\"}") DELTA(0,
                "{\"type\":\"signature_delta\","
                "\"signature\":\"s\\/1==\"}") BLOCK_STOP(0) END,
        ASSEMBLE_DONE,
        MESSAGE("{\"type\":\"thinking\",\"thinking\":\"ab\",\"signature\":"
                "\"s\\/1==\"}")},
    /* Citations onto null, onto a list, onto an empty list, onto nothing. */
    {START BLOCK(0, TEXT_BLOCK)
            DELTA(0, "{\"type\":\"citations_delta\",\"citation\":{\"a\":1}}")
                DELTA(0, "{\"type\":\"citations_delta\",\"citation\":{}}")
                    BLOCK_STOP(0) BLOCK(1,
                        "{\"type\":\"text\",\"citations\":[{\"z\":0}],"
                        "\"text\":\"t\"}") DELTA(1,
                        "{\"type\":\"citations_delta\","
                        "\"citation\":{\"a\":2}}") BLOCK_STOP(1)
                        BLOCK(2, "{\"citations\":[ ]}") DELTA(2,
                            "{\"type\":\"citations_delta\","
                            "\"citation\":{\"a\":3}}") BLOCK(3, "{}") DELTA(3,
                            "{\"type\":\"citations_delta\","
                            "\"citation\":{\"a\":4}}") END,
        ASSEMBLE_DONE,
        MESSAGE(
            "{\"type\":\"text\",\"text\":\"\",\"citations\":[{\"a\":1},{}]},"
            "{\"type\":\"text\",\"citations\":[{\"z\":0},{\"a\":2}],"
            "\"text\":\"t\"},{\"citations\":[{\"a\":3}]},"
            "{\"citations\":[{\"a\":4}]}")},
    /* A block that arrives complete stays as it is written. */
    {START BLOCK(0,
         "{ \"type\":\"web_search_tool_result\",\"content\":[{\"n\":"
         "0.70}] }") BLOCK_STOP(0) END,
        ASSEMBLE_DONE,
        MESSAGE("{\"type\":\"web_search_tool_result\",\"content\":[{\"n\":"
                "0.70}]}")},
    /* Unknown events and members pass. */
    {START EVENT("brand_new", ",\"a\":[1]") "event: odd\ndata: not json\n\n"
                                            "data: 7\n\n"
                                            ": comment\n\n" END,
        ASSEMBLE_DONE, MESSAGE("")},
    /* What comes behind message_stop does not matter. */
    {START END "event: message_start\ndata: garbage\n\n", ASSEMBLE_DONE,
        MESSAGE("")},
    /* The type inside counts when the event has no name. */
    {"data: {\"type\":\"message_start\",\"message\":{}}\n\n" STOP,
        ASSEMBLE_DONE, "{\"content\":[],\"usage\":{}}"},
    /* message_delta: later values win, null does not, new ones are added. */
    {START EVENT("message_delta",
         ",\"delta\":{\"stop_reason\":\"max_tokens\",\"container\":{\"id\":"
         "\"c\"}},\"usage\":{\"output_tokens\":2,\"input_tokens\":null}")
            EVENT("message_delta",
                ",\"delta\":{\"stop_reason\":\"refusal\",\"stop_details\":{"
                "\"category\":null}},\"usage\":{\"output_tokens\":9,"
                "\"cache_read_input_tokens\":6,\"server_tool_use\":{\"n\":1},"
                "\"nothing\":null}") STOP,
        ASSEMBLE_DONE,
        "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\","
        "\"model\":\"m\",\"content\":[],\"stop_reason\":\"refusal\","
        "\"stop_sequence\":null,\"x_new\":1.50,\"usage\":{\"input_tokens\":12,"
        "\"output_tokens\":9,\"cache_read_input_tokens\":6,\"service_tier\":"
        "\"standard\",\"server_tool_use\":{\"n\":1}},\"stop_details\":{"
        "\"category\":null},\"container\":{\"id\":\"c\"}}"},
    /* Not at the end. */
    {START BLOCK(0, TEXT_BLOCK) TEXT(0, "4"), ASSEMBLE_MORE, ""},
    {START "event: message_stop\ndata: {\"type\":\"message_stop\"}\n",
        ASSEMBLE_MORE, ""},
    {"", ASSEMBLE_MORE, ""},
    /* Errors inside the stream. */
    {START "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":"
           "\"overloaded_error\",\"message\":\"Overloaded\"},\"request_id\":"
           "\"req_1\"}\n\n",
        ASSEMBLE_ERROR, "overloaded_error"},
    {"event: error\ndata: oops\n\n", ASSEMBLE_ERROR, "api_error"},
    /* Not the protocol. */
    {STOP, ASSEMBLE_GARBAGE, "an event before message_start"},
    {START START, ASSEMBLE_GARBAGE, "a second message_start"},
    {"event: message_start\ndata: {\n\n", ASSEMBLE_GARBAGE,
        "an event is not JSON"},
    {"event: message_start\ndata: {}\n\n", ASSEMBLE_GARBAGE,
        "an event has no type"},
    {EVENT("message_start", ""), ASSEMBLE_GARBAGE,
        "message_start without a message"},
    {EVENT("message_start", ",\"message\":{\"content\":[{}]}"),
        ASSEMBLE_GARBAGE, "message_start with content"},
    {START BLOCK(1, TEXT_BLOCK), ASSEMBLE_GARBAGE,
        "content blocks are not in order"},
    {START BLOCK(-1, TEXT_BLOCK), ASSEMBLE_GARBAGE,
        "content blocks are not in order"},
    {START BLOCK(0, "[]"), ASSEMBLE_GARBAGE,
        "content_block_start without a block"},
    {START TEXT(0, "x"), ASSEMBLE_GARBAGE,
        "a delta of a block that was not begun"},
    {START BLOCK(0, TEXT_BLOCK) DELTA(0, "1"), ASSEMBLE_GARBAGE,
        "content_block_delta without a delta"},
};

static void
check(const struct assembler *a, const struct stream *stream)
{
    struct buffer out = {0};

    assert_int_equal(assembler_status(a), stream->status);
    switch (stream->status) {
    case ASSEMBLE_DONE:
        assembler_message(a, &out);
        assert_string_equal(out.data, stream->result);
        assert_int_equal(
            json_scan_all(out.data, out.len, JSON_DEPTH_MAX, NULL), 0);
        buffer_clear(&out);
        break;
    case ASSEMBLE_ERROR:
        assert_string_equal(assembler_error(a)->type, stream->result);
        break;
    case ASSEMBLE_GARBAGE:
        assert_string_equal(assembler_reason(a), stream->result);
        break;
    case ASSEMBLE_MORE:
    case ASSEMBLE_TOO_LARGE: break;
    }
}

static void
makes_the_message_however_the_stream_is_cut(void **state)
{
    size_t i;
    size_t cut;

    (void)state;
    for (i = 0; i < COUNT(streams); i++) {
        size_t len = strlen(streams[i].text);

        for (cut = 0; cut <= len; cut++) {
            struct assembler *a = assembler_new(ASSEMBLE_LIMIT_DEFAULT);

            (void)assembler_feed(a, streams[i].text, cut);
            (void)assembler_feed(a, streams[i].text + cut, len - cut);
            check(a, &streams[i]);
            assembler_free(a);
        }
    }
}

static void
the_message_reads_like_any_other(void **state)
{
    struct assembler *a = assembler_new(ASSEMBLE_LIMIT_DEFAULT);
    struct buffer out = {0};
    struct answer answer;
    const char *reason;

    (void)state;
    assert_false(assembler_has_started(a));
    assert_false(assembler_has_content(a));
    assert_int_equal(
        assembler_feed(a, streams[0].text, strlen(streams[0].text)),
        ASSEMBLE_DONE);
    assert_true(assembler_has_started(a));
    assert_true(assembler_has_content(a));
    assert_false(assembler_has_unknown(a));
    assembler_message(a, &out);
    assert_int_equal(answer_parse(buffer_slice(&out), &answer, &reason), 0);
    assert_string_equal(answer.stop_reason, "end_turn");
    assert_int_equal(answer.usage.output_tokens, 3);
    buffer_clear(&out);
    assembler_free(a);
}

static bool
notes_unknown(const char *text)
{
    struct assembler *a = assembler_new(ASSEMBLE_LIMIT_DEFAULT);
    bool result;

    assert_int_equal(assembler_feed(a, text, strlen(text)), ASSEMBLE_DONE);
    result = assembler_has_unknown(a);
    assembler_free(a);
    return result;
}

static void
what_it_does_not_understand_is_noted(void **state)
{
    (void)state;
    assert_true(notes_unknown(
        START BLOCK(0, TEXT_BLOCK) DELTA(0, "{\"type\":\"new_delta\"}") END));
    assert_true(notes_unknown(START BLOCK(0, TEXT_BLOCK)
            DELTA(0, "{\"type\":\"text_delta\",\"text\":1}") END));
    assert_true(
        notes_unknown(START BLOCK(0, TEXT_BLOCK) DELTA(0, "{\"a\":1}") END));
    assert_true(notes_unknown(
        START BLOCK(0, TOOL_BLOCK) INPUT(0, "{") BLOCK_STOP(0) END));
    assert_false(notes_unknown(
        START BLOCK(0, TOOL_BLOCK) INPUT(0, "{}") BLOCK_STOP(0) END));
    assert_false(notes_unknown(START EVENT("brand_new", "") END));
}

static void
memory_is_bounded(void **state)
{
    static const char delta[] = TEXT(0, "0123456789");
    struct assembler *a = assembler_new(8192);
    struct assembler *b = assembler_new(1000);
    char line[2000];
    size_t fed = 0;

    (void)state;
    (void)assembler_feed(
        a, START BLOCK(0, TEXT_BLOCK), strlen(START BLOCK(0, TEXT_BLOCK)));
    while (assembler_feed(a, delta, sizeof(delta) - 1) == ASSEMBLE_MORE)
        fed += sizeof(delta) - 1;
    assert_int_equal(assembler_status(a), ASSEMBLE_TOO_LARGE);
    assert_in_range(fed, 4096, 16384);
    memset(line, 'x', sizeof(line));
    assert_int_equal(assembler_feed(b, line, sizeof(line)), ASSEMBLE_TOO_LARGE);
    assert_int_equal(assembler_feed(b, "\n", 1), ASSEMBLE_TOO_LARGE);
    assembler_free(a);
    assembler_free(b);
    assembler_free(NULL);
}

static void
usage_cannot_grow_without_end(void **state)
{
    struct assembler *a = assembler_new(ASSEMBLE_LIMIT_DEFAULT);
    enum assemble_status status = assembler_feed(a, START, strlen(START));
    int i;

    (void)state;
    for (i = 0; i < 10000 && status == ASSEMBLE_MORE; i++) {
        struct buffer event = {0};

        buffer_printf(&event,
            "data: {\"type\":\"message_delta\",\"usage\":{\"n%d\":1}}\n\n", i);
        status = assembler_feed(a, event.data, event.len);
        buffer_clear(&event);
    }
    assert_int_equal(status, ASSEMBLE_GARBAGE);
    assert_string_equal(assembler_reason(a), "usage is too large");
    assert_in_range(i, 32, 200);
    assembler_free(a);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(makes_the_message_however_the_stream_is_cut),
        cmocka_unit_test(the_message_reads_like_any_other),
        cmocka_unit_test(what_it_does_not_understand_is_noted),
        cmocka_unit_test(memory_is_bounded),
        cmocka_unit_test(usage_cannot_grow_without_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
