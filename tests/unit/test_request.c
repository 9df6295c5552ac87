#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <string.h>

#include "common/job/request.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define MODEL "claude-sonnet-5-5"
#define ASK "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"

/* Reads `body` cut at `cut`; 0 or -1. */
static int
read_cut(struct request_reader *reader, struct slice body, size_t cut)
{
    request_reader_init(reader, MODEL);
    if (request_reader_feed(reader, body.data, cut) != 0 ||
        request_reader_feed(reader, body.data + cut, body.len - cut) != 0)
        return -1;
    return request_reader_finish(reader);
}

static int
collect(void *arg, struct slice run)
{
    assert_true(run.len > 0);
    buffer_append_slice(arg, run);
    return 0;
}

/* What goes upstream, with the body fed in parts of `part` bytes. */
static void
apply_parts(const struct request_recipe *recipe, struct slice body,
    const char *model, bool stream, size_t part, struct buffer *out)
{
    struct request_apply apply;
    size_t at;

    buffer_reset(out);
    request_apply_init(&apply, recipe, model, stream, collect, out);
    for (at = 0; at < body.len; at += part) {
        size_t len = body.len - at < part ? body.len - at : part;

        assert_int_equal(
            request_apply_feed(&apply, slice_make(body.data + at, len)), 0);
    }
    assert_int_equal(request_apply_finish(&apply), 0);
    assert_int_equal(out->len, request_apply_length(recipe, model, stream));
    assert_int_equal(
        json_scan_all(out->data, out->len, JSON_DEPTH_DEFAULT, NULL), 0);
}

/* The recipe as it comes out of Redis. */
static void
through_text(const struct request_recipe *in, struct request_recipe *out)
{
    struct buffer text = {0};
    size_t i;

    request_recipe_encode(in, &text);
    assert_true(text.len < 1024);
    assert_int_equal(request_recipe_decode(buffer_slice(&text), out), 0);
    assert_int_equal(in->count, out->count);
    assert_string_equal(in->model, out->model);
    for (i = 0; i < in->count; i++) {
        assert_int_equal(in->edits[i].kind, out->edits[i].kind);
        assert_int_equal(in->edits[i].offset, out->edits[i].offset);
        assert_int_equal(in->edits[i].cut, out->edits[i].cut);
    }
    buffer_clear(&text);
}

struct edit_case {
    const char *body;
    const char *plain; /* upstream */
    const char *streamed; /* with stream and the model "m2" */
};

static const struct edit_case edit_cases[] = {
    {"{\"model\":\"m\",\"max_tokens\":5," ASK "}",
        "{\"model\":\"m\",\"max_tokens\":5," ASK "}",
        "{\"stream\":true,\"model\":\"m2\",\"max_tokens\":5," ASK "}"},
    /* What is cut comes first, in the middle, last; blanks stay. */
    {"{ \"stream\" : true , \"model\":\"m\",\"max_tokens\":5," ASK " } \n",
        "{  \"model\":\"m\",\"max_tokens\":5," ASK " } \n",
        "{\"stream\":true,  \"model\":\"m2\",\"max_tokens\":5," ASK " } \n"},
    {"{\"model\": \"m\" , \"stream\":false , \"max_tokens\":5," ASK "}",
        "{\"model\": \"m\"  , \"max_tokens\":5," ASK "}",
        "{\"stream\":true,\"model\": \"m2\"  , \"max_tokens\":5," ASK "}"},
    {"{\"model\":\"m\",\"max_tokens\":5," ASK
     ",\n\"longhaul\":{\"tags\":[]}\n}",
        "{\"model\":\"m\",\"max_tokens\":5," ASK "\n}",
        "{\"stream\":true,\"model\":\"m2\",\"max_tokens\":5," ASK "\n}"},
    {"{\"longhaul\":{},\"stream\":true," ASK ",\"max_tokens\":5}",
        "{\"model\":\"" MODEL "\"," ASK ",\"max_tokens\":5}",
        "{\"stream\":true,\"model\":\"m2\"," ASK ",\"max_tokens\":5}"},
    {"{" ASK ",\"max_tokens\":5,\"longhaul\":{},\"stream\":true}",
        "{\"model\":\"" MODEL "\"," ASK ",\"max_tokens\":5}",
        "{\"stream\":true,\"model\":\"m2\"," ASK ",\"max_tokens\":5}"},
    {"{\"stream\":true," ASK ",\"longhaul\":{},\"max_tokens\":5}",
        "{\"model\":\"" MODEL "\"," ASK ",\"max_tokens\":5}",
        "{\"stream\":true,\"model\":\"m2\"," ASK ",\"max_tokens\":5}"},
    /* Nothing else is touched: numbers, escapes, order, duplicates that are
     * not ours, unknown members, an escaped name of ours. */
    {"{\"temperature\":0.7,\"x\":123456789012345678901234567890,\"y\":1e400,"
     "\"m\\u006fdel\":\"m\",\"max_tokens\":0,\"z\":\"\\u00e9\\/"
     "\",\"z\":{\"model\":1,"
     "\"stream\":2}," ASK ",\"strea\\u006d\":true}",
        "{\"temperature\":0.7,\"x\":123456789012345678901234567890,\"y\":1e400,"
        "\"m\\u006fdel\":\"m\",\"max_tokens\":0,\"z\":\"\\u00e9\\/\",\"z\":{"
        "\"model\":1,\"stream\":2}," ASK "}",
        "{\"stream\":true,\"temperature\":0.7,\"x\":"
        "123456789012345678901234567890,\"y\":1e400,"
        "\"m\\u006fdel\":\"m2\",\"max_tokens\":0,\"z\":\"\\u00e9\\/\",\"z\":{"
        "\"model\":1,\"stream\":2}," ASK "}"},
    /* The shorthand. */
    {"{\"message\":\"hi\"}",
        "{\"model\":\"" MODEL "\",\"max_tokens\":1024,\"messages\":"
        "[{\"role\":\"user\",\"content\":\"hi\"}]}",
        "{\"stream\":true,\"model\":\"m2\",\"max_tokens\":1024,\"messages\":"
        "[{\"role\":\"user\",\"content\":\"hi\"}]}"},
    {" {\"system\":\"s\", \"message\" : \"a \\\"b\\\"\" ,\"model\":\"m\","
     "\"longhaul\":{\"lane\":\"bulk\"},\"max_tokens\":7}",
        " {\"system\":\"s\", \"messages\" : [{\"role\":\"user\",\"content\":"
        "\"a \\\"b\\\"\"}] ,\"model\":\"m\",\"max_tokens\":7}",
        " {\"stream\":true,\"system\":\"s\", \"messages\" : "
        "[{\"role\":\"user\","
        "\"content\":\"a \\\"b\\\"\"}] ,\"model\":\"m2\",\"max_tokens\":7}"},
    {"{\"stream\":true,\"message\":\"x\",\"longhaul\":{}}",
        "{\"model\":\"" MODEL "\",\"max_tokens\":1024,\"messages\":"
        "[{\"role\":\"user\",\"content\":\"x\"}]}",
        "{\"stream\":true,\"model\":\"m2\",\"max_tokens\":1024,\"messages\":"
        "[{\"role\":\"user\",\"content\":\"x\"}]}"},
};

static void
claude_gets_the_clients_bytes_with_the_named_edits(void **state)
{
    size_t i;
    size_t cut;

    (void)state;
    for (i = 0; i < COUNT(edit_cases); i++) {
        const struct edit_case *c = &edit_cases[i];
        struct slice body = slice_of(c->body);
        struct buffer out = {0};

        for (cut = 0; cut <= body.len; cut++) {
            struct request_recipe recipe;
            struct request_reader reader;

            if (read_cut(&reader, body, cut) != 0)
                fail_msg("%s: %s", c->body, reader.fault.message);
            assert_int_equal(reader.info.body_bytes, body.len);
            through_text(&reader.info.recipe, &recipe);
            apply_parts(&recipe, body, NULL, false, cut + 1, &out);
            assert_string_equal(out.data, c->plain);
            apply_parts(&recipe, body, "m2", true, cut + 1, &out);
            assert_string_equal(out.data, c->streamed);
            request_reader_clear(&reader);
        }
        buffer_clear(&out);
    }
}

/* Every order of the members, with and without blanks around them. */
static void
any_order_of_members_leaves_valid_json(void **state)
{
    static const char *const members[] = {"\"stream\":true",
        "\"longhaul\":{\"lane\":\"bulk\"}", ASK, "\"max_tokens\":5",
        "\"model\":\"m\"", "\"a\":1"};
    static const char *const blanks[] = {"", " ", "\n\t"};
    size_t order[6];
    unsigned n;
    size_t tried = 0;

    (void)state;
    for (n = 0; n < 6 * 6 * 6 * 6 * 6 * 6; n++) {
        const char *blank = blanks[n % COUNT(blanks)];
        struct buffer body = {0};
        struct buffer out = {0};
        struct request_reader reader;
        unsigned used = 0;
        unsigned rest = n;
        json_t *root;
        size_t i;

        for (i = 0; i < 6; i++, rest /= 6) {
            order[i] = rest % 6;
            used |= 1u << order[i];
        }
        if (used != 63)
            continue;
        tried++;
        buffer_append_text(&body, "{");
        for (i = 0; i < 6; i++)
            buffer_printf(&body, "%s%s%s%s", i > 0 ? "," : "", blank,
                members[order[i]], blank);
        buffer_append_text(&body, "}");
        assert_int_equal(
            read_cut(&reader, buffer_slice(&body), body.len / 2), 0);
        assert_int_equal(reader.info.options.lane, JOB_LANE_BULK);
        apply_parts(&reader.info.recipe, buffer_slice(&body), NULL, false,
            body.len, &out);
        root = json_loadb(out.data, out.len, JSON_REJECT_DUPLICATES, NULL);
        assert_int_equal(json_object_size(root), 4);
        assert_null(json_object_get(root, "stream"));
        assert_null(json_object_get(root, "longhaul"));
        json_decref(root);
        request_reader_clear(&reader);
        buffer_clear(&body);
        buffer_clear(&out);
    }
    assert_int_equal(tried, 720);
}

static void
says_what_it_read(void **state)
{
    struct request_reader reader;

    (void)state;
    assert_int_equal(
        read_cut(&reader,
            slice_of(
                "{\"model\":\"claude-x\",\"max_tokens\":10000000,"
                "\"stream\":true,\"top_k\":1,\"longhaul\":{\"timeout\":5}," ASK
                "}"),
            9),
        0);
    assert_string_equal(reader.info.model, "claude-x");
    assert_true(reader.info.has_model);
    assert_true(reader.info.has_max_tokens);
    assert_int_equal(reader.info.max_tokens, 10000000);
    assert_true(reader.info.wants_stream);
    assert_true(reader.info.has_sampling);
    assert_false(reader.info.shorthand);
    assert_true(reader.info.has_options);
    assert_int_equal(reader.info.options.timeout_ms, 5000);
    request_reader_clear(&reader);

    assert_int_equal(read_cut(&reader, slice_of("{\"message\":\"x\"}"), 9), 0);
    assert_string_equal(reader.info.model, MODEL);
    assert_false(reader.info.has_model);
    assert_int_equal(reader.info.max_tokens, REQUEST_SHORTHAND_MAX_TOKENS);
    assert_false(reader.info.wants_stream);
    assert_false(reader.info.has_sampling);
    assert_true(reader.info.shorthand);
    assert_false(reader.info.has_options);
    assert_int_equal(reader.info.options.lane, JOB_LANE_STANDARD);
    request_reader_clear(&reader);
}

struct refusal {
    const char *body;
    const char *message;
};

#define TOKENS "\"max_tokens\":1,"
#define MODEL_EXPECTED \
    "model: expected a text of 1 to 128 printable characters without blanks "
#define TOKENS_EXPECTED \
    "max_tokens: expected a whole number from 0 to 10000000 "
#define USER "{\"role\":\"user\",\"content\":\"x\"}"
#define ROLE_EXPECTED "messages[0].role: expected user, assistant or system"
#define JSON_EXPECTED "the body is not a valid JSON object: "

static const struct refusal refusals[] = {
    {"", JSON_EXPECTED "byte 0: the document is empty"},
    {"[1]", JSON_EXPECTED "byte 0: an object was expected"},
    {"{\"a\":1,}",
        JSON_EXPECTED "byte 7: a member name in double quotes was expected"},
    {"{\"a\":\"secret words",
        JSON_EXPECTED "byte 18: the document ends too early"},
    {"{\"a\":\"\\ud800\"}",
        JSON_EXPECTED "byte 12: a surrogate escape lacks its other half"},
    {"{}", "messages: is required (or message, the shorthand: a text)"},
    {"{\"stream\":true}",
        "messages: is required (or message, the shorthand: a text)"},
    {"{" ASK "}", "max_tokens: is required"},
    {"{" TOKENS "\"messages\":[]}",
        "messages: expected a list of at least one message (byte 27)"},
    {"{" TOKENS "\"messages\":\"hi\"}",
        "messages: expected a list of at least one message (byte 27)"},
    {"{" TOKENS "\"messages\":null}",
        "messages: expected a list of at least one message (byte 27)"},
    {"{\"message\":\"\"}",
        "message: expected a text that is not empty (byte 11)"},
    {"{\"message\":[1]}",
        "message: expected a text that is not empty (byte 11)"},
    {"{" TOKENS ASK ",\"message\":\"a\"}",
        "message: cannot be given together with messages"},
    {"{\"message\":\"a\",\"message\":\"b\"}",
        "message: is given twice (byte 15)"},
    {"{" TOKENS ASK "," ASK "}", "messages: is given twice (byte 60)"},
    {"{\"model\":\"a\",\"model\":\"b\"," TOKENS ASK "}",
        "model: is given twice (byte 13)"},
    {"{\"model\":\"a\",\"mode\\u006c\":\"b\"," TOKENS ASK "}",
        "model: is given twice (byte 13)"},
    {"{\"stream\":true,\"stream\":true}", "stream: is given twice (byte 15)"},
    {"{\"longhaul\":{},\"longhaul\":{}}", "longhaul: is given twice (byte 15)"},
    {"{\"max_tokens\":1,\"max_tokens\":1}",
        "max_tokens: is given twice (byte 16)"},
    {"{\"model\":\"\"}", MODEL_EXPECTED "(byte 9)"},
    {"{\"model\":null}", MODEL_EXPECTED "(byte 9)"},
    {"{\"model\":[\"a\"]}", MODEL_EXPECTED "(byte 9)"},
    {"{\"model\":\"a b\"}", MODEL_EXPECTED "(byte 9)"},
    {"{\"model\":\"a\\u0000\"}", MODEL_EXPECTED "(byte 9)"},
    {"{\"model\":\"a\\\"b\"}", MODEL_EXPECTED "(byte 9)"},
    {"{\"model\":\"\xC3\xA9\"}", MODEL_EXPECTED "(byte 9)"},
    {"{\"max_tokens\":1e3}", TOKENS_EXPECTED "(byte 14)"},
    {"{\"max_tokens\":1.0}", TOKENS_EXPECTED "(byte 14)"},
    {"{\"max_tokens\":-1}", TOKENS_EXPECTED "(byte 14)"},
    {"{\"max_tokens\":-0}", TOKENS_EXPECTED "(byte 14)"},
    {"{\"max_tokens\":10000001}", TOKENS_EXPECTED "(byte 14)"},
    {"{\"max_tokens\":100000000000000000000000000000}",
        TOKENS_EXPECTED "(byte 14)"},
    {"{\"max_tokens\":\"1\"}", TOKENS_EXPECTED "(byte 14)"},
    {"{\"max_tokens\":null}", TOKENS_EXPECTED "(byte 14)"},
    {"{\"stream\":1}", "stream: expected true or false (byte 10)"},
    {"{\"stream\":null}", "stream: expected true or false (byte 10)"},
    {"{\"longhaul\":[]}", "longhaul: expected an object of options (byte 12)"},
    {"{\"longhaul\":{\"lane\":1}}",
        "longhaul.lane: expected \"interactive\", "
        "\"standard\" or \"bulk\" (byte 12)"},
    {"{\"messages\":{\"role\":1}}",
        "messages: expected a list of at least one message (byte 12)"},
    {"{\"messages\":[1]}",
        "messages[0]: expected an object with role and content"},
    {"{\"messages\":[" USER ",\"hi\"]}",
        "messages[1]: expected an object with role and content"},
    {"{\"messages\":[[]]}",
        "messages[0]: expected an object with role and content"},
    {"{\"messages\":[{}]}", "messages[0].role: is required"},
    {"{\"messages\":[{\"content\":\"x\"}]}", "messages[0].role: is required"},
    {"{\"messages\":[{\"role\":\"user\"}]}",
        "messages[0].content: is required"},
    {"{\"messages\":[{\"role\":1}]}", "messages[0].role: expected a text"},
    {"{\"messages\":[{\"role\":\"\"}]}", ROLE_EXPECTED},
    {"{\"messages\":[{\"role\":\"users\"}]}", ROLE_EXPECTED},
    {"{\"messages\":[{\"role\":\"uuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu"
     "uuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu\"}]}",
        ROLE_EXPECTED},
    {"{\"messages\":[{\"role\":\"user\",\"content\":null}]}",
        "messages[0].content: expected a text or a list of blocks"},
    {"{\"messages\":[{\"role\":\"user\",\"content\":{\"type\":\"text\"}}]}",
        "messages[0].content: expected a text or a list of blocks"},
    {"{\"messages\":[" USER ",{\"content\":[{\"type\":\"text\"},\"a\"]}]}",
        "messages[1].content[1]: expected an object with a type"},
    {"{\"messages\":[{\"content\":[{\"text\":\"type\"}]}]}",
        "messages[0].content[0].type: is required"},
    {"{\"messages\":[{\"content\":[{\"a\":{\"type\":\"text\"}}]}]}",
        "messages[0].content[0].type: is required"},
    {"{\"messages\":[{\"content\":[{\"type\":1}]}]}",
        "messages[0].content[0].type: expected a text"},
    {"{\"system\":1}", "system: expected a text or a list of blocks (byte 10)"},
    {"{\"system\":{\"type\":\"text\"}}",
        "system: expected a text or a list of blocks (byte 10)"},
    {"{\"system\":[\"a\"]}", "system[0]: expected an object with a type"},
    {"{\"system\":[{\"type\":\"text\"},{\"text\":\"a\"}]}",
        "system[1].type: is required"},
    {"{\"system\":\"a\",\"system\":\"b\"}", "system: is given twice (byte 14)"},
    /* The first fault wins. */
    {"{\"messages\":[1],\"model\":2}",
        "messages[0]: expected an object with role and content"},
    {"{\"stream\":1,\"model\":2}", "stream: expected true or false (byte 10)"},
    {"{\"stream\":1,]", "stream: expected true or false (byte 10)"},
};

/* What Claude may take, now or later. */
static void
passes_shapes_that_are_not_certain_to_fail(void **state)
{
    static const char *const bodies[] = {
        "\"messages\":[{\"r\\u006fle\":\"\\u0061ssistant\",\"content\":[]}]",
        "\"messages\":[{\"role\":\"system\",\"content\":\"\"}]",
        "\"messages\":[{\"content\":[{\"type\":\"new_block\",\"x\":[1,[2]]},"
        "{\"a\":{\"type\":1},\"type\":\"text\"}],\"role\":\"user\","
        "\"more\":[1,\"role\",{\"type\":2}],\"type\":5}]",
        ASK ",\"system\":[{\"type\":\"text\",\"text\":\"a\"}]",
        ASK ",\"system\":[]", ASK ",\"system\":null",
        ASK ",\"tools\":[1],\"x\":{\"messages\":[1],\"system\":2}"};
    struct request_reader reader;
    size_t i;
    size_t cut;

    (void)state;
    for (i = 0; i < COUNT(bodies); i++) {
        struct buffer body = {0};

        buffer_printf(&body, "{" TOKENS "%s}", bodies[i]);
        for (cut = 0; cut <= body.len; cut++) {
            if (read_cut(&reader, buffer_slice(&body), cut) != 0)
                fail_msg("%s: %s", body.data, reader.fault.message);
            request_reader_clear(&reader);
        }
        buffer_clear(&body);
    }
}

static void
refuses_the_message_that_is_one_too_many(void **state)
{
    struct request_reader reader;
    struct buffer body = {0};
    size_t i;

    (void)state;
    buffer_append_text(&body, "{" TOKENS "\"messages\":[" USER);
    for (i = 1; i < REQUEST_MESSAGES_MAX; i++)
        buffer_append_text(&body, "," USER);
    buffer_append_text(&body, "]}");
    assert_int_equal(read_cut(&reader, buffer_slice(&body), 77), 0);
    request_reader_clear(&reader);
    body.len -= 2;
    buffer_append_text(&body, "," USER "]}");
    assert_int_equal(read_cut(&reader, buffer_slice(&body), 77), -1);
    assert_string_equal(reader.fault.message, "messages: more than 100000");
    request_reader_clear(&reader);
    buffer_clear(&body);
}

static void
refuses_with_the_members_name_and_its_place(void **state)
{
    size_t i;
    size_t cut;

    (void)state;
    for (i = 0; i < COUNT(refusals); i++) {
        struct slice body = slice_of(refusals[i].body);

        for (cut = 0; cut <= body.len; cut++) {
            struct request_reader reader;

            if (read_cut(&reader, body, cut) == 0)
                fail_msg("accepted: %s", refusals[i].body);
            assert_string_equal(reader.fault.message, refusals[i].message);
            assert_int_equal(reader.fault.status, 400);
            assert_string_equal(reader.fault.type, "invalid_request_error");
            assert_int_equal(request_reader_feed(&reader, " ", 1), -1);
            assert_int_equal(request_reader_finish(&reader), -1);
            request_reader_clear(&reader);
        }
    }
}

/* A model of `model_len` bytes and options of `options_len`; 0 or -1. */
static int
read_sized(size_t model_len, size_t options_len)
{
    struct request_reader reader;
    struct buffer body = {0};
    size_t i;
    int result;

    buffer_append_text(&body, "{\"message\":\"x\",\"model\":\"");
    for (i = 0; i < model_len; i++)
        buffer_append_text(&body, "\\u0061");
    buffer_append_text(&body, "\",\"longhaul\":{");
    for (i = 2; i < options_len; i++)
        buffer_append_char(&body, ' ');
    buffer_append_text(&body, "}}");
    result = read_cut(&reader, buffer_slice(&body), body.len / 2);
    if (result != 0)
        assert_non_null(strstr(reader.fault.message,
            options_len > OPTIONS_JSON_MAX ? "longhaul" : "model"));
    request_reader_clear(&reader);
    buffer_clear(&body);
    return result;
}

static void
sizes_hold_at_the_limit_and_not_one_past_it(void **state)
{
    (void)state;
    assert_int_equal(read_sized(REQUEST_MODEL_MAX, 2), 0);
    assert_int_equal(read_sized(REQUEST_MODEL_MAX + 1, 2), -1);
    assert_int_equal(read_sized(1, OPTIONS_JSON_MAX), 0);
    assert_int_equal(read_sized(1, OPTIONS_JSON_MAX + 1), -1);
}

static void
a_damaged_recipe_is_refused(void **state)
{
    static const char *const bad[] = {"", "1", "1 ", "1 5", "1 5 ", "2 5 -",
        "1 x -", "1 -5 -", "1 5 a\"b", "1 5 - ", "1 5 -  c1+1", "1 5 - c1+1 ",
        "1 5 - x1+1", "1 5 - c1", "1 5 - c+1", "1 5 - c1+", "1 5 - c6+0",
        "1 5 - c5+1", "1 5 - c4+2", "1 5 - c0+6", "1 5 - c2+2 c3+1",
        "1 5 - c3+1 c2+1", "1 5 - d1+0", "1 5 - c1+99999999999999999999",
        "1 99999999999999999999 -", "1 5 -\tc1+1",
        "1 5 - s1+0 s1+0 s1+0 s1+0 s1+0 s1+0 s1+0 s1+0 s1+0 s1+0 s1+0 s1+0 "
        "s1+0 s1+0 s1+0 s1+0 s1+0"};
    struct request_recipe recipe;
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(bad); i++)
        if (request_recipe_decode(slice_of(bad[i]), &recipe) == 0)
            fail_msg("accepted: '%s'", bad[i]);
    assert_int_equal(request_recipe_decode(slice_of("1 5 -"), &recipe), 0);
    assert_int_equal(recipe.count, 0);
    assert_int_equal(
        request_recipe_decode(slice_of("1 5 m s1+0 d1+0 c1+2 c3+2"), &recipe),
        0);
    assert_int_equal(recipe.count, 4);
}

static int
apply_all(
    const struct request_recipe *recipe, const char *body, struct buffer *out)
{
    struct request_apply apply;

    request_apply_init(&apply, recipe, NULL, false, collect, out);
    return request_apply_feed(&apply, slice_of(body)) == 0
        ? request_apply_finish(&apply)
        : -1;
}

static void
a_body_of_another_length_is_noticed(void **state)
{
    struct request_recipe recipe;
    struct buffer out = {0};

    (void)state;
    assert_int_equal(request_recipe_decode(slice_of("1 5 - c3+2"), &recipe), 0);
    assert_int_equal(apply_all(&recipe, "abcde", &out), 0);
    assert_string_equal(out.data, "abc");
    assert_int_equal(apply_all(&recipe, "abcd", &out), -1);
    assert_int_equal(apply_all(&recipe, "abcdef", &out), -1);
    buffer_clear(&out);
}

static int
refuse_run(void *arg, struct slice run)
{
    (void)arg;
    (void)run;
    return -1;
}

static void
a_sink_that_fails_ends_it(void **state)
{
    struct request_recipe recipe;
    struct request_apply apply;

    (void)state;
    assert_int_equal(request_recipe_decode(slice_of("1 5 -"), &recipe), 0);
    request_apply_init(&apply, &recipe, NULL, false, refuse_run, NULL);
    assert_int_equal(request_apply_feed(&apply, slice_of("abcde")), -1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(claude_gets_the_clients_bytes_with_the_named_edits),
        cmocka_unit_test(any_order_of_members_leaves_valid_json),
        cmocka_unit_test(says_what_it_read),
        cmocka_unit_test(refuses_with_the_members_name_and_its_place),
        cmocka_unit_test(passes_shapes_that_are_not_certain_to_fail),
        cmocka_unit_test(refuses_the_message_that_is_one_too_many),
        cmocka_unit_test(sizes_hold_at_the_limit_and_not_one_past_it),
        cmocka_unit_test(a_damaged_recipe_is_refused),
        cmocka_unit_test(a_body_of_another_length_is_noticed),
        cmocka_unit_test(a_sink_that_fails_ends_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
