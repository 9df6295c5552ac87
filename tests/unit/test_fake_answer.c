#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "embedded.h"
#include "tests/fake-claude/message.h"
#include "tests/fake-claude/tokens.h"

static struct catalog *catalog;

static int
open_catalog(void **state)
{
    (void)state;
    const struct embedded_file *file = embedded_find("schema/models.json");
    catalog = catalog_new(slice_make(file->data, file->len));
    return catalog != NULL ? 0 : -1;
}

static int
close_catalog(void **state)
{
    (void)state;
    catalog_free(catalog);
    return 0;
}

#define TICKET \
    "Summarise this ticket. The printer on floor three jams with every " \
    "second page. We changed the toner. The printer jams since the paper " \
    "was changed. Please send somebody."

struct talk {
    struct claude_request request;
    struct answer answer;
};

/* Asks with the members given and a ticket as the prompt. */
static void
ask(struct talk *talk, const char *model, const char *prompt,
    const char *members, uint64_t seed)
{
    struct request_setting setting = {
        .catalog = catalog, .version = API_2026_10_21};
    struct api_error error = {0};
    struct buffer body = {0};
    memset(talk, 0, sizeof(*talk));
    buffer_printf(&body,
        "{\"model\":\"%s\",\"messages\":[{\"role\":"
        "\"user\",\"content\":",
        model);
    buffer_append_json(&body, slice_of(prompt));
    buffer_printf(&body, "}],%s}", members);
    if (request_read(&setting, buffer_slice(&body), &talk->request, &error) !=
        0)
        fail_msg("%s", error.message);
    answer_compose(&talk->answer, &talk->request, seed);
    buffer_clear(&body);
}

static void
end(struct talk *talk)
{
    answer_clear(&talk->answer);
    request_clear(&talk->request);
}

static const char *
text_of(const struct talk *talk)
{
    return talk->answer.blocks[talk->answer.count - 1].text.data;
}

static struct message
message_of(const struct talk *talk, const struct cache_use *cache)
{
    return (struct message){.model = talk->request.model,
        .answer = &talk->answer,
        .cache = cache,
        .input_tokens = talk->request.prompt.tokens};
}

static void
an_answer_follows_from_prompt_and_seed(void **state)
{
    (void)state;
    struct talk a;
    struct talk b;
    ask(&a, "mock-ok", TICKET, "\"max_tokens\":500", 1);
    ask(&b, "mock-ok", TICKET, "\"max_tokens\":500", 1);
    assert_string_equal(text_of(&a), text_of(&b));
    assert_non_null(strstr(text_of(&a), "In short: "));
    assert_non_null(strstr(text_of(&a), "jams"));
    assert_null(strstr(text_of(&a), "Summarise"));
    assert_string_equal(a.answer.stop_reason, "end_turn");
    assert_int_equal(
        a.answer.output_tokens, tokens_count(slice_of(text_of(&a))));
    end(&a);
    end(&b);
}

static void
it_answers_in_the_language_of_the_prompt(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"Der Drucker ist kaputt und wir wissen nicht, warum.",
            "Kurz gesagt: "},
        {"Les imprimantes sont en panne. Elle est une vieille machine.",
            "En bref : "},
        {"打印机坏了。请派人来修理。", "摘要："},
        {"プリンターが壊れています。助けてください。", "要約: "},
        {"Принтер сломан. Пришлите кого-нибудь.", "Кратко: "},
    };
    for (size_t i = 0; i < 5; i++) {
        struct talk talk;
        ask(&talk, "mock-ok", pairs[i][0], "\"max_tokens\":500", 1);
        assert_non_null(strstr(text_of(&talk), pairs[i][1]));
        assert_true(text_is_utf8(slice_of(text_of(&talk))));
        end(&talk);
    }
}

static void
max_tokens_cuts_and_says_so(void **state)
{
    (void)state;
    struct talk talk;
    for (unsigned most = 1; most < 12; most++) {
        char members[64];
        snprintf(members, sizeof(members), "\"max_tokens\":%u", most);
        ask(&talk, "claude-haiku-5-5", TICKET, members, 1);
        assert_string_equal(talk.answer.stop_reason, "max_tokens");
        assert_int_equal(talk.answer.output_tokens, most);
        assert_true(tokens_count(slice_of(text_of(&talk))) * 13 <= most * 10);
        end(&talk);
    }
    ask(&talk, "mock-max-tokens", "Hi.", "\"max_tokens\":1000", 1);
    assert_string_equal(talk.answer.stop_reason, "max_tokens");
    assert_int_equal(talk.answer.output_tokens, 1000);
    end(&talk);
    ask(&talk, "mock-ok", "Hi.", "\"max_tokens\":0", 1);
    assert_int_equal(talk.answer.count, 0);
    assert_string_equal(talk.answer.stop_reason, "max_tokens");
    end(&talk);
}

static void
a_stop_sequence_ends_the_text(void **state)
{
    (void)state;
    struct talk talk;
    ask(&talk, "mock-ok", TICKET,
        "\"max_tokens\":500,\"stop_sequences\":[\"zzz\",\"jams\"]", 1);
    assert_string_equal(talk.answer.stop_reason, "stop_sequence");
    assert_string_equal(talk.answer.stop_sequence, "jams");
    assert_null(strstr(text_of(&talk), "jams"));
    end(&talk);
}

static void
a_forced_tool_gets_an_input_of_its_schema(void **state)
{
    (void)state;
    struct talk talk;
    ask(&talk, "mock-ok", TICKET,
        "\"max_tokens\":500,\"tool_choice\":{\"type\":\"tool\",\"name\":"
        "\"file\"},\"tools\":[{\"name\":\"x\",\"input_schema\":{\"type\":"
        "\"object\"}},{\"name\":\"file\",\"input_schema\":{\"type\":"
        "\"object\",\"properties\":{\"level\":{\"enum\":[3,4]},\"tags\":"
        "{\"type\":\"array\",\"items\":{\"type\":\"string\"}}}}}]",
        1);
    assert_string_equal(talk.answer.stop_reason, "tool_use");
    assert_string_equal(talk.answer.blocks[0].tool_name, "file");
    json_t *input = json_loads(text_of(&talk), 0, NULL);
    assert_true(json_is_array(json_object_get(input, "tags")));
    assert_non_null(json_object_get(input, "level"));
    json_decref(input);
    end(&talk);
}

static void
a_structured_answer_fits_its_schema(void **state)
{
    (void)state;
    struct talk talk;
    ask(&talk, "mock-ok", TICKET,
        "\"max_tokens\":500,\"output_config\":{\"format\":{\"type\":"
        "\"json_schema\",\"schema\":{\"type\":\"object\",\"properties\":"
        "{\"summary\":{\"type\":\"string\"},\"urgent\":{\"type\":"
        "\"boolean\"},\"who\":{\"$ref\":\"#/$defs/who\"}},"
        "\"$defs\":{\"who\":{\"anyOf\":[{\"type\":\"integer\"}]}}}}}",
        1);
    json_t *value = json_loads(text_of(&talk), 0, NULL);
    assert_true(json_string_length(json_object_get(value, "summary")) > 10);
    assert_true(json_is_boolean(json_object_get(value, "urgent")));
    assert_true(json_is_integer(json_object_get(value, "who")));
    json_decref(value);
    end(&talk);
}

static void
a_message_has_every_member(void **state)
{
    (void)state;
    static const char *const members[] = {"id", "type", "role", "model",
        "content", "stop_reason", "stop_sequence", "stop_details", "container",
        "diagnostics", "usage"};
    static const char *const counts[] = {"input_tokens", "output_tokens",
        "cache_creation_input_tokens", "cache_read_input_tokens",
        "cache_creation", "output_tokens_details", "server_tool_use",
        "service_tier", "inference_geo", "speed"};
    struct talk talk;
    struct cache_use cache = {
        .read_tokens = 5, .write_5m_tokens = 7, .write_1h_tokens = 11};
    struct buffer out = {0};
    ask(&talk, "mock-refusal", TICKET, "\"max_tokens\":500", 1);
    struct message message = message_of(&talk, &cache);
    message_append(&out, &message);
    json_t *root = json_loadb(out.data, out.len, 0, NULL);
    json_t *usage = json_object_get(root, "usage");
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
        assert_non_null(json_object_get(root, members[i]));
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
        assert_non_null(json_object_get(usage, counts[i]));
    assert_int_equal(json_integer_value(
                         json_object_get(usage, "cache_creation_input_tokens")),
        18);
    assert_string_equal(
        json_string_value(json_object_get(root, "stop_reason")), "refusal");
    assert_true(json_is_object(json_object_get(root, "stop_details")));
    json_decref(root);
    buffer_clear(&out);
    end(&talk);
}

/* Splits the stream into its data documents and checks the event names. */
static json_t *
events_of(char *stream)
{
    json_t *events = json_array();
    for (char *at = stream; *at != '\0';) {
        char *name_end = strchr(at, '\n');
        char *event_end = strstr(at, "\n\n");
        assert_memory_equal(at, "event: ", 7);
        assert_non_null(event_end);
        *name_end = '\0';
        *event_end = '\0';
        assert_memory_equal(name_end + 1, "data: ", 6);
        json_t *data = json_loads(name_end + 7, 0, NULL);
        assert_non_null(data);
        assert_string_equal(
            json_string_value(json_object_get(data, "type")), at + 7);
        json_array_append_new(events, data);
        at = event_end + 2;
    }
    return events;
}

static void
append_delta(struct buffer *text, const json_t *event, const char *member)
{
    const char *piece = json_string_value(
        json_object_get(json_object_get(event, "delta"), member));
    if (piece != NULL)
        buffer_append_text(text, piece);
}

static void
a_stream_carries_the_same_answer_in_the_right_order(void **state)
{
    (void)state;
    for (size_t bytes = 1; bytes < 40; bytes += 3) {
        struct talk talk;
        struct cache_use cache = {0};
        struct message_cursor cursor = {0};
        struct buffer out = {0};
        struct buffer text = {0};
        struct buffer thinking = {0};
        ask(&talk, "mock-thinking", TICKET " Grüße 世界 😀.",
            "\"max_tokens\":500", 2);
        struct message message = message_of(&talk, &cache);
        while (message_next_event(&out, &message, &cursor, bytes))
            ;
        json_t *events = events_of(out.data);
        size_t count = json_array_size(events);
        for (size_t i = 0; i < count; i++) {
            append_delta(&text, json_array_get(events, i), "text");
            append_delta(&thinking, json_array_get(events, i), "thinking");
        }
        assert_int_equal(talk.answer.count, 2);
        assert_string_equal(thinking.data, talk.answer.blocks[0].text.data);
        assert_string_equal(text.data, talk.answer.blocks[1].text.data);
        const json_t *last = json_array_get(events, count - 1);
        const json_t *delta = json_array_get(events, count - 2);
        assert_string_equal(
            json_string_value(json_object_get(last, "type")), "message_stop");
        assert_int_equal(json_integer_value(json_object_get(
                             json_object_get(delta, "usage"), "output_tokens")),
            talk.answer.output_tokens);
        json_decref(events);
        buffer_clear(&out);
        buffer_clear(&text);
        buffer_clear(&thinking);
        end(&talk);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_follows_from_prompt_and_seed),
        cmocka_unit_test(it_answers_in_the_language_of_the_prompt),
        cmocka_unit_test(max_tokens_cuts_and_says_so),
        cmocka_unit_test(a_stop_sequence_ends_the_text),
        cmocka_unit_test(a_forced_tool_gets_an_input_of_its_schema),
        cmocka_unit_test(a_structured_answer_fits_its_schema),
        cmocka_unit_test(a_message_has_every_member),
        cmocka_unit_test(a_stream_carries_the_same_answer_in_the_right_order),
    };
    return cmocka_run_group_tests(tests, open_catalog, close_catalog);
}
