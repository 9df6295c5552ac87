#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "common/net/json_scan.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

struct example {
    const char *text;
    size_t len;
    enum json_fault_kind kind;
    uint64_t offset;
};

#define GOOD(text) \
    { \
        text, sizeof(text) - 1, JSON_FAULT_NONE, 0 \
    }
#define BAD(text, kind, at) \
    { \
        text, sizeof(text) - 1, JSON_FAULT_##kind, at \
    }

/* The classes of the JSONTestSuite: what every parser must take (y), must
 * refuse (n), and what this one decides (i). */
static const struct example examples[] = {
    /* y: structure */
    GOOD("[]"),
    GOOD("{}"),
    GOOD(" [] "),
    GOOD("\t\r\n {}\n"),
    GOOD("[[]]"),
    GOOD("[[],[]]"),
    GOOD("[1,2]"),
    GOOD("[ 1 , 2 ]"),
    GOOD("[null]"),
    GOOD("[null, 1, \"1\", {}]"),
    GOOD("[1\n]"),
    GOOD(" [1]"),
    GOOD("[2] "),
    GOOD("[1,null,null,null,2]"),
    GOOD("{\"a\":1}"),
    GOOD("{\"a\":1,\"b\":2}"),
    GOOD("{\"a\":\"b\",\"a\":\"c\"}"),
    GOOD("{\"a\":\"b\",\"a\":\"b\"}"),
    GOOD("{\"\":0}"),
    GOOD("{\"a\":[]}"),
    GOOD("{\n\"a\": \"b\"\n}"),
    GOOD("{\"x\":[{\"id\":\"y\"}],\"id\":\"z\"}"),
    GOOD("{\"a\\u0000b\":42}"),
    GOOD("{\"min\":-1.0e+28,\"max\":1.0e+28}"),
    GOOD("[\"\"]"),
    GOOD("\"\""),
    GOOD("\"asd\""),
    GOOD("true"),
    GOOD("false"),
    GOOD("null"),
    GOOD("42"),
    GOOD("-0.1"),
    GOOD(" 7 "),
    GOOD("[true]"),
    GOOD("[false]"),
    GOOD("[1]\n"),
    /* y: numbers */
    GOOD("[123]"),
    GOOD("[0]"),
    GOOD("[-0]"),
    GOOD("[-1]"),
    GOOD("[-123]"),
    GOOD("[0e+1]"),
    GOOD("[0e1]"),
    GOOD("[ 4]"),
    GOOD("[1E22]"),
    GOOD("[1E-2]"),
    GOOD("[1E+2]"),
    GOOD("[123e45]"),
    GOOD("[123.456e78]"),
    GOOD("[1e-2]"),
    GOOD("[1e+2]"),
    GOOD("[123.456789]"),
    GOOD("[0.5]"),
    GOOD("[-0.000000000000000000000000000000000000000000000000000000001]"),
    GOOD("[20e1]"),
    GOOD("[123e65]"),
    GOOD("[100]"),
    GOOD("[10.00]"),
    /* y: strings */
    GOOD("[\"\\u0060\\u012a\\u12AB\"]"),
    GOOD("[\"\\uD801\\udc37\"]"),
    GOOD("[\"\\ud83d\\ude39\\ud83d\\udc8d\"]"),
    GOOD("[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"]"),
    GOOD("[\"\\\\u0000\"]"),
    GOOD("[\"\\\"\"]"),
    GOOD("[\"a/*b*/c/*d//e\"]"),
    GOOD("[\"\\\\a\"]"),
    GOOD("[\"\\\\n\"]"),
    GOOD("[\"\\u0012\"]"),
    GOOD("[\"\\uFFFF\"]"),
    GOOD("[ \"asd\"]"),
    GOOD("[\"\\uDBFF\\uDFFF\"]"),
    GOOD("[\"new\\u00A0\"]"),
    GOOD("[\"\xF4\x8F\xBF\xBF\"]"),
    GOOD("[\"\xEF\xBF\xBF\"]"),
    GOOD("[\"\\u0000\"]"),
    GOOD("[\"\\u002c\"]"),
    GOOD("[\"\xCF\x80\"]"),
    GOOD("[\"\xF0\x9B\xBF\xBF\"]"),
    GOOD("[\" \"]"),
    GOOD("[\"\\uDBFF\\uDFFE\"]"),
    GOOD("[\"\\u2029\"]"),
    GOOD("[\"\xE2\x80\xA8\"]"),
    GOOD("[\"\x7F\"]"),
    GOOD("[\"\\u005C\"]"),
    GOOD("[\"\\u0022\"]"),
    GOOD("[\"\xE2\x8D\x82\"]"),
    GOOD("[\"\xC2\x80\"]"),
    GOOD("[\"\xDF\xBF\"]"),
    GOOD("[\"\xE0\xA0\x80\"]"),
    GOOD("[\"\xED\x9F\xBF\"]"),
    GOOD("[\"\xEE\x80\x80\"]"),
    GOOD("[\"\xF0\x90\x80\x80\"]"),
    GOOD("[\"\\uA66D\"]"),
    GOOD("[\"Xin ch\xC3\xA0o, th\xE1\xBA\xBF gi\xE1\xBB\x9Bi!\"]"),
    GOOD("[\"sixteen bytes of plain ASCII, then more of them\"]"),
    GOOD("[\"0123456789abcde\xC3\xA9"
         "f0123456789abcdef\"]"),
    /* i: decided here */
    GOOD("[123123123123123123123123123123]"),
    GOOD("[0.4e006]"),
    GOOD("[-1e+9999]"),
    GOOD("[1e-10000]"),
    GOOD("[1.5e+9999]"),
    GOOD("[-237462374673276894279832749832423479823246327846]"),
    BAD("[\"\\uDADA\"]", SURROGATE, 8),
    BAD("[\"\\uD888\\u1234\"]", SURROGATE, 13),
    BAD("[\"\\uD800\\n\"]", SURROGATE, 9),
    BAD("[\"\\uDd1ea\"]", SURROGATE, 7),
    BAD("[\"\\uD800\\uD800\\n\"]", SURROGATE, 13),
    BAD("[\"\\ud800\"]", SURROGATE, 8),
    BAD("[\"\\ud800abc\"]", SURROGATE, 8),
    BAD("[\"\\uDd1e\\uD834\"]", SURROGATE, 7),
    BAD("[\"\\uDFAA\"]", SURROGATE, 7),
    BAD("\xEF\xBB\xBF{}", BOM, 0),
    BAD("\xEF\xBB\xBF", BOM, 0),
    BAD("[\"\xE6\x97\xA5\xD1\x88\xFA\"]", UTF8, 7),
    BAD("[\"\xFF\"]", UTF8, 2),
    BAD("[\"\xC0\xAF\"]", UTF8, 2),
    BAD("[\"\xED\xA0\x80\"]", UTF8, 3),
    BAD("[\"\xF4\xBF\xBF\xBF\"]", UTF8, 3),
    BAD("[\"\x81\"]", UTF8, 2),
    BAD("[\"\xFC\x83\xBF\xBF\xBF\xBF\"]", UTF8, 2),
    BAD("[\"\xE9\"]", UTF8, 3),
    BAD("[\"\xE0\xFF\"]", UTF8, 3),
    BAD("[\"\xE0\x9F\xBF\"]", UTF8, 3),
    BAD("[\"\xF0\x8F\xBF\xBF\"]", UTF8, 3),
    BAD("[\"\xF5\x80\x80\x80\"]", UTF8, 2),
    BAD("[\"\xC1\x80\"]", UTF8, 2),
    BAD("[\"\xE1\x80\"]", UTF8, 4),
    BAD("[\"\xF1\x80\x80\"]", UTF8, 5),
    BAD("[\"\xC2\xC2\"]", UTF8, 3),
    BAD("\xFF\xFE[\0\"\0", VALUE, 0),
    BAD("\0[\0", VALUE, 0),
    /* n: structure */
    BAD("", EMPTY, 0),
    BAD(" ", EMPTY, 1),
    BAD("\n\t ", EMPTY, 3),
    BAD("[", TRUNCATED, 1),
    BAD("{", TRUNCATED, 1),
    BAD("[[]", TRUNCATED, 3),
    BAD("]", VALUE, 0),
    BAD("}", VALUE, 0),
    BAD("[1 true]", COMMA, 3),
    BAD("[a\xE5]", VALUE, 1),
    BAD("[\"\": 1]", COMMA, 3),
    BAD("[\"\"],", TRAILING, 4),
    BAD("[,1]", VALUE, 1),
    BAD("[1,,2]", VALUE, 3),
    BAD("[\"x\",,]", VALUE, 5),
    BAD("[\"x\"]]", TRAILING, 5),
    BAD("[\"\",]", VALUE, 4),
    BAD("[\"x\"", TRUNCATED, 4),
    BAD("[x", VALUE, 1),
    BAD("[3[4]]", COMMA, 2),
    BAD("[\xFF]", VALUE, 1),
    BAD("[1:2]", COMMA, 2),
    BAD("[,]", VALUE, 1),
    BAD("[-]", NUMBER, 2),
    BAD("[   , \"\"]", VALUE, 4),
    BAD("[\"a\",\n4\n,1,", TRUNCATED, 11),
    BAD("[1,]", VALUE, 3),
    BAD("[\"\x0B"
        "a\"\\f]",
        CONTROL, 2),
    BAD("[*]", VALUE, 1),
    BAD("[\"\"", TRUNCATED, 3),
    BAD("[1,\n1\n,1", TRUNCATED, 8),
    BAD("[{}", TRUNCATED, 3),
    BAD("[1}", COMMA, 2),
    BAD("{]", KEY, 1),
    BAD("[fals]", LITERAL, 5),
    BAD("[nul]", LITERAL, 4),
    BAD("[tru]", LITERAL, 4),
    BAD("[True]", VALUE, 1),
    BAD("nulll", TRAILING, 4),
    BAD("tru", TRUNCATED, 3),
    BAD("1]", TRAILING, 1),
    BAD("{}}", TRAILING, 2),
    BAD("{}#", TRAILING, 2),
    BAD("[1]x", TRAILING, 3),
    BAD("{\"\":", TRUNCATED, 4),
    BAD("<.>", VALUE, 0),
    BAD("[<null>]", VALUE, 1),
    BAD("aa", VALUE, 0),
    BAD("[\\n]", VALUE, 1),
    BAD("[\x0C]", VALUE, 1),
    BAD("[\xC2\xA0]", VALUE, 1),
    BAD("*", VALUE, 0),
    BAD("{\"a\":/*x*/\"b\"}", VALUE, 5),
    BAD("{\"a\":\"b\"}//", TRAILING, 9),
    BAD("{\"a\":\"b\"}#{}", TRAILING, 9),
    BAD("[\xE2\x81\xA0]", VALUE, 1),
    BAD("['a']", VALUE, 1),
    BAD("[1]\0", TRAILING, 3),
    BAD("\0", VALUE, 0),
    /* n: objects */
    BAD("[\"x\", truth]", LITERAL, 9),
    BAD("{[: \"x\"}", KEY, 1),
    BAD("{\"x\", null}", COLON, 4),
    BAD("{\"x\"::\"b\"}", VALUE, 5),
    BAD("{\"a\":\"a\" 123}", COMMA, 9),
    BAD("{key: 'value'}", KEY, 1),
    BAD("{\"a\" b}", COLON, 5),
    BAD("{:\"b\"}", KEY, 1),
    BAD("{\"a\"}", COLON, 4),
    BAD("{1:1}", KEY, 1),
    BAD("{9999E9999:1}", KEY, 1),
    BAD("{null:1}", KEY, 1),
    BAD("{\"id\":0,,,,,}", KEY, 8),
    BAD("{'a':0}", KEY, 1),
    BAD("{\"id\":0,}", KEY, 8),
    BAD("{\"a\":\"b\",,\"c\":\"d\"}", KEY, 9),
    BAD("{a: \"b\"}", KEY, 1),
    BAD("{\"a\":\"a", TRUNCATED, 7),
    BAD("{ \"foo\":\"bar\", \"a\" }", COLON, 19),
    BAD("{\"a\":1]", COMMA, 6),
    BAD("{\"a\"", TRUNCATED, 4),
    BAD("{\"a", TRUNCATED, 3),
    BAD("{,", KEY, 1),
    /* n: numbers */
    BAD("[-01]", NUMBER, 3),
    BAD("[-1.0.]", COMMA, 5),
    BAD("[-2.]", NUMBER, 4),
    BAD("[-NaN]", NUMBER, 2),
    BAD("[.-1]", VALUE, 1),
    BAD("[.2e-3]", VALUE, 1),
    BAD("[0.1.2]", COMMA, 4),
    BAD("[0.3e+]", NUMBER, 6),
    BAD("[0.3e]", NUMBER, 5),
    BAD("[0.e1]", NUMBER, 3),
    BAD("[0E+]", NUMBER, 4),
    BAD("[0E]", NUMBER, 3),
    BAD("[0e+-1]", NUMBER, 4),
    BAD("[1.0e+]", NUMBER, 6),
    BAD("[1 000.0]", COMMA, 3),
    BAD("[1eE2]", NUMBER, 3),
    BAD("[2.e3]", NUMBER, 3),
    BAD("[+1]", VALUE, 1),
    BAD("[+Inf]", VALUE, 1),
    BAD("[Inf]", VALUE, 1),
    BAD("[NaN]", VALUE, 1),
    BAD("[\xEF\xBC\x91]", VALUE, 1),
    BAD("[1+2]", COMMA, 2),
    BAD("[0x1]", COMMA, 2),
    BAD("[0x42]", COMMA, 2),
    BAD("[Infinity]", VALUE, 1),
    BAD("[012]", NUMBER, 2),
    BAD("[-foo]", NUMBER, 2),
    BAD("[- 1]", NUMBER, 2),
    BAD("[-.123]", NUMBER, 2),
    BAD("[1ea]", NUMBER, 3),
    BAD("[1.8011670033376514H-308]", COMMA, 19),
    BAD("[1.2a-3]", COMMA, 4),
    BAD("[2.]", NUMBER, 3),
    BAD("[9.e+]", NUMBER, 3),
    BAD("-", TRUNCATED, 1),
    BAD("1.", TRUNCATED, 2),
    BAD("1e", TRUNCATED, 2),
    BAD("1e+", TRUNCATED, 3),
    BAD("[--2.]", NUMBER, 2),
    BAD("[++1]", VALUE, 1),
    /* n: strings */
    BAD("[\"\\x00\"]", ESCAPE, 3),
    BAD("[\"\\\\\\\"]", TRUNCATED, 7),
    BAD("[\"\\\t\"]", ESCAPE, 3),
    BAD("[\"\\\xF0\"]", ESCAPE, 3),
    BAD("[\"\\\"]", TRUNCATED, 5),
    BAD("[\"\\u00A\"]", ESCAPE, 7),
    BAD("[\"\\uD834\\uDd\"]", ESCAPE, 12),
    BAD("[\"\\uD800\\uD800\\x\"]", SURROGATE, 13),
    BAD("[\"\\uD800\\\"]", SURROGATE, 9),
    BAD("[\"\\a\"]", ESCAPE, 3),
    BAD("[\"\\uqqqq\"]", ESCAPE, 4),
    BAD("[\"\\\0\"]", ESCAPE, 3),
    BAD("[\\u0020\"asd\"]", VALUE, 1),
    BAD("[\"new\nline\"]", CONTROL, 5),
    BAD("[\"a\0b\"]", CONTROL, 3),
    BAD("[\"\t\"]", CONTROL, 2),
    BAD("[\"\x1F\"]", CONTROL, 2),
    BAD("\"\\UA66D\"", ESCAPE, 2),
    BAD("\"\"x", TRAILING, 2),
    BAD("[\"\\u12", TRUNCATED, 6),
    BAD("\"", TRUNCATED, 1),
    BAD("[\"asd]", TRUNCATED, 6),
    BAD("[\"\xC3", TRUNCATED, 3),
    BAD("[\"0123456789abcdef0123456789abcdef\x01\"]", CONTROL, 34),
    BAD("[\"0123456789abcdef0123456789abcde\xC3\"]", UTF8, 34),
};

static void
check(const struct example *example, struct json_scan *scan, int result)
{
    if (result == 0)
        result = json_scan_finish(scan);
    if (scan->fault.kind != example->kind ||
        scan->fault.offset != example->offset ||
        result != (example->kind == JSON_FAULT_NONE ? 0 : -1))
        print_error("%s: kind %d at %llu\n", example->text,
            (int)scan->fault.kind, (unsigned long long)scan->fault.offset);
    assert_int_equal(scan->fault.kind, example->kind);
    assert_int_equal(scan->fault.offset, example->offset);
    assert_int_equal(result, example->kind == JSON_FAULT_NONE ? 0 : -1);
    json_scan_clear(scan);
}

static void
takes_what_rfc_8259_allows_and_names_what_it_does_not(void **state)
{
    size_t i;

    (void)state;
    assert_true(COUNT(examples) >= 150);
    for (i = 0; i < COUNT(examples); i++) {
        const struct example *example = &examples[i];
        /* A copy without a NUL behind it, so that a read past the end is
         * seen. */
        char *copy = memory_alloc(example->len + 1);
        struct json_scan scan;

        memcpy(copy + 1, example->text, example->len);
        json_scan_init(&scan, JSON_SCAN_ANY, JSON_DEPTH_DEFAULT, NULL);
        check(example, &scan, json_scan_feed(&scan, copy + 1, example->len));
        memory_free(copy);
    }
}

static void
gives_the_same_answer_however_the_input_is_cut(void **state)
{
    size_t i;
    size_t cut;

    (void)state;
    for (i = 0; i < COUNT(examples); i++) {
        const struct example *example = &examples[i];
        struct json_scan scan;
        int result = 0;

        for (cut = 0; cut <= example->len; cut++) {
            json_scan_init(&scan, JSON_SCAN_ANY, JSON_DEPTH_DEFAULT, NULL);
            result = json_scan_feed(&scan, example->text, cut);
            if (result == 0)
                result = json_scan_feed(
                    &scan, example->text + cut, example->len - cut);
            check(example, &scan, result);
        }
        json_scan_init(&scan, JSON_SCAN_ANY, JSON_DEPTH_DEFAULT, NULL);
        for (cut = 0, result = 0; result == 0 && cut < example->len; cut++)
            result = json_scan_feed(&scan, example->text + cut, 1);
        check(example, &scan, result);
    }
}

static void
every_byte_inside_a_string_is_judged_as_utf8(void **state)
{
    unsigned a;
    unsigned b;

    (void)state;
    for (a = 0; a < 256; a++) {
        for (b = 0; b < 256; b++) {
            char text[] = {'"', (char)a, (char)b, '"'};
            bool plain = a >= ' ' && b >= ' ' && a != '"' && a != '\\' &&
                b != '"' && b != '\\';

            if (a == '\\' || (a == '"' && b <= ' ') || b == '\\')
                continue;
            assert_int_equal(json_scan_all(text, sizeof(text), 1, NULL) == 0,
                plain && text_is_utf8(slice_make(text + 1, 2)));
        }
    }
}

static void
depth_has_a_limit_and_the_bracket_over_it_is_named(void **state)
{
    char text[100000];
    struct json_fault fault;

    (void)state;
    memset(text, '[', 64);
    memset(text + 64, ']', 64);
    assert_int_equal(json_scan_all(text, 128, 64, &fault), 0);
    assert_int_equal(json_scan_all(text, 128, 63, &fault), -1);
    assert_int_equal(fault.kind, JSON_FAULT_DEPTH);
    assert_int_equal(fault.offset, 63);
    memset(text, '[', sizeof(text));
    assert_int_equal(
        json_scan_all(text, sizeof(text), JSON_DEPTH_MAX, &fault), -1);
    assert_int_equal(fault.kind, JSON_FAULT_DEPTH);
    assert_int_equal(fault.offset, JSON_DEPTH_MAX);
    assert_int_equal(json_scan_all("[{\"a\":[1]}]", 11, 3, NULL), 0);
    assert_int_equal(json_scan_all("[{\"a\":[1]}]", 11, 2, NULL), -1);
}

static void
the_kind_of_each_bracket_is_remembered_at_every_depth(void **state)
{
    struct buffer text = {0};
    int i;

    (void)state;
    for (i = 0; i < 100; i++)
        buffer_append_text(&text, "[{\"k\":");
    buffer_append_text(&text, "1");
    for (i = 0; i < 100; i++)
        buffer_append_text(&text, "}]");
    assert_int_equal(json_scan_all(text.data, text.len, 200, NULL), 0);
    text.data[text.len - 3] = '}';
    assert_int_equal(json_scan_all(text.data, text.len, 200, NULL), -1);
    buffer_clear(&text);
}

static void
a_top_level_object_can_be_required(void **state)
{
    static const char *const others[] = {"[]", "1", "\"a\"", "null", " []"};
    struct json_scan scan;
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(others); i++) {
        json_scan_init(&scan, JSON_SCAN_OBJECT, 8, NULL);
        assert_int_equal(
            json_scan_feed(&scan, others[i], strlen(others[i])), -1);
        assert_int_equal(scan.fault.kind, JSON_FAULT_NOT_OBJECT);
        assert_int_equal(scan.fault.offset, others[i][0] == ' ' ? 1 : 0);
        /* The fault stays. */
        assert_int_equal(json_scan_feed(&scan, "{}", 2), -1);
        assert_int_equal(json_scan_finish(&scan), -1);
        assert_int_equal(scan.fault.kind, JSON_FAULT_NOT_OBJECT);
    }
    json_scan_init(&scan, JSON_SCAN_OBJECT, 8, NULL);
    assert_int_equal(json_scan_feed(&scan, " {} ", 4), 0);
    assert_int_equal(json_scan_finish(&scan), 0);
    assert_int_equal(scan.root_start, 1);
    assert_int_equal(scan.root_end, 3);
}

/* ---- members ---- */

struct report {
    struct buffer out;
    size_t capture;
};

static size_t
on_key(void *arg, const struct json_member *member)
{
    struct report *report = arg;

    (void)member;
    return report->capture;
}

static void
on_value(void *arg, const struct json_member *member)
{
    struct report *report = arg;
    struct buffer *out = &report->out;

    if (member->key_too_long)
        buffer_append_text(out, "?");
    buffer_append_slice(out, member->key);
    buffer_printf(out, "@%d:%d k%d v%d-%d n%u ",
        member->has_comma ? (int)member->comma_at : -1, (int)member->key_start,
        (int)member->key_end, (int)member->value_start, (int)member->value_end,
        member->elements);
    buffer_printf(out, "t%d ", (int)member->kind);
    if (member->captured)
        buffer_append_slice(out, member->raw);
    if (member->capture_cut)
        buffer_append_text(out, "CUT");
    buffer_append_char(out, '\n');
}

static void
report_members(
    const char *text, size_t cut, size_t capture, struct report *report)
{
    struct json_hooks hooks = {on_key, on_value, NULL, report};
    struct json_scan scan;

    buffer_reset(&report->out);
    report->capture = capture;
    json_scan_init(&scan, JSON_SCAN_OBJECT, 8, &hooks);
    assert_int_equal(json_scan_feed(&scan, text, cut), 0);
    assert_int_equal(json_scan_feed(&scan, text + cut, strlen(text) - cut), 0);
    assert_int_equal(json_scan_finish(&scan), 0);
    json_scan_clear(&scan);
}

static void
members_are_reported_with_their_spans(void **state)
{
    static const char text[] =
        "{ \"a\" : [1,[2,3],4] ,\"m\\u006fdel\":\"x\\\"y\",\"e\":{},"
        "\"o\":{\"model\":{}},\"n\":-1.5e3 , \"t\":true}";
    static const char expected[] = "a@-1:2 k5 v8-19 n2 t2 [1,[2,3],4]\n"
                                   "model@20:21 k33 v34-40 n0 t3 \"x\\\"y\"\n"
                                   "e@40:41 k44 v45-47 n0 t1 {}\n"
                                   "o@47:48 k51 v52-64 n1 t1 {\"model\":{}}\n"
                                   "n@64:65 k68 v69-75 n0 t4 -1.5e3\n"
                                   "t@76:78 k81 v82-86 n0 t5 true\n";
    struct report report = {{0}, 0};
    size_t cut;

    (void)state;
    for (cut = 0; cut < sizeof(text); cut++) {
        report_members(text, cut, 100, &report);
        assert_string_equal(report.out.data, expected);
    }
    buffer_clear(&report.out);
}

static void
a_capture_is_all_or_nothing(void **state)
{
    static const char text[] = "{\"a\":\"1234\",\"b\":[ 12 ]}";
    struct report report = {{0}, 0};
    size_t cut;

    (void)state;
    for (cut = 0; cut < sizeof(text); cut++) {
        report_members(text, cut, 6, &report);
        assert_string_equal(report.out.data,
            "a@-1:1 k4 v5-11 n0 t3 \"1234\"\n"
            "b@11:12 k15 v16-22 n1 t2 [ 12 ]\n");
        report_members(text, cut, 5, &report);
        assert_string_equal(report.out.data,
            "a@-1:1 k4 v5-11 n0 t3 CUT\n"
            "b@11:12 k15 v16-22 n1 t2 CUT\n");
        report_members(text, cut, 0, &report);
        assert_string_equal(report.out.data,
            "a@-1:1 k4 v5-11 n0 t3 \n"
            "b@11:12 k15 v16-22 n1 t2 \n");
    }
    buffer_clear(&report.out);
}

static void
a_name_is_known_up_to_its_limit(void **state)
{
    struct report report = {{0}, 0};
    struct buffer text = {0};
    size_t len;

    (void)state;
    for (len = JSON_KEY_MAX - 1; len <= JSON_KEY_MAX + 1; len++) {
        size_t i;
        size_t cut;

        buffer_reset(&text);
        buffer_append_text(&text, "{\"");
        for (i = 0; i < len; i++)
            buffer_append_text(&text, "\\u0061");
        buffer_append_text(&text, "\":1}");
        for (cut = 0; cut <= text.len; cut += 7) {
            report_members(text.data, cut, 0, &report);
            assert_int_equal(
                report.out.data[0], len <= JSON_KEY_MAX ? 'a' : '?');
        }
    }
    buffer_clear(&text);
    buffer_clear(&report.out);
}

static void
fields_of_an_object_in_memory_can_be_picked(void **state)
{
    static const char *const names[] = {"a", "b", "c"};
    struct json_item items[3];

    (void)state;
    assert_int_equal(
        json_object_pick(
            slice_of(" {\"b\":[1],\"a\":1,\"x\":{\"c\":1},\"a\":\"2\"} "),
            names, items, 3),
        0);
    assert_int_equal(items[0].kind, JSON_KIND_STRING);
    assert_true(slice_equal_text(items[0].raw, "\"2\""));
    assert_int_equal(items[1].kind, JSON_KIND_ARRAY);
    assert_int_equal(items[1].elements, 1);
    assert_int_equal(items[2].kind, JSON_KIND_NONE);
    assert_int_equal(
        json_object_pick(slice_of("{\"a\":1"), names, items, 3), -1);
    assert_int_equal(items[0].kind, JSON_KIND_NONE);
    assert_int_equal(json_object_pick(slice_of("[]"), names, items, 3), -1);
    assert_int_equal(json_object_pick(SLICE_NULL, names, items, 3), -1);
}

/* ---- strings and texts ---- */

static void
escapes_mean_what_rfc_8259_says(void **state)
{
    static const char raw[] =
        "\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\u20AC\\ud83d\\ude00z\"";
    static const char meant[] =
        "a\"\\/\b\f\n\r\t\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80z";
    struct buffer out = {0};
    char text[32];

    (void)state;
    buffer_append_text(&out, ">");
    json_unescape_append(&out, slice_of(raw));
    assert_string_equal(out.data + 1, meant);
    assert_int_equal(out.len, sizeof(meant));
    buffer_clear(&out);
    assert_int_equal(json_unescape_text(slice_of(raw), text, sizeof(text)),
        sizeof(meant) - 1);
    assert_string_equal(text, meant);
    assert_int_equal(json_unescape_text(slice_of(raw), text, sizeof(meant)),
        sizeof(meant) - 1);
    assert_int_equal(
        json_unescape_text(slice_of(raw), text, sizeof(meant) - 1), -1);
    assert_int_equal(
        json_unescape_text(slice_of("\"a\\u0000\""), text, 10), -1);
    assert_int_equal(json_unescape_text(slice_of("\"\""), text, 1), 0);
}

static void
a_fault_is_told_with_its_offset_and_without_content(void **state)
{
    char text[JSON_FAULT_TEXT_SIZE];
    struct json_fault fault;

    (void)state;
    assert_int_equal(json_scan_all("[1 2]", 5, 8, &fault), -1);
    json_fault_text(&fault, text);
    assert_string_equal(
        text, "byte 3: a comma or the closing bracket was expected");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_what_rfc_8259_allows_and_names_what_it_does_not),
        cmocka_unit_test(gives_the_same_answer_however_the_input_is_cut),
        cmocka_unit_test(every_byte_inside_a_string_is_judged_as_utf8),
        cmocka_unit_test(depth_has_a_limit_and_the_bracket_over_it_is_named),
        cmocka_unit_test(the_kind_of_each_bracket_is_remembered_at_every_depth),
        cmocka_unit_test(a_top_level_object_can_be_required),
        cmocka_unit_test(members_are_reported_with_their_spans),
        cmocka_unit_test(a_capture_is_all_or_nothing),
        cmocka_unit_test(a_name_is_known_up_to_its_limit),
        cmocka_unit_test(fields_of_an_object_in_memory_can_be_picked),
        cmocka_unit_test(escapes_mean_what_rfc_8259_says),
        cmocka_unit_test(a_fault_is_told_with_its_offset_and_without_content),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
