#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/bulk_lines.h"
#include "cli/bulk_output.h"
#include "cli/bulk_progress.h"
#include "cli/bulk_recipe.h"

#define RUN "0123456789abcdef0123456789abcdef"
#define LINE(id, tail) \
    "{\"custom_id\":\"" id "\",\"run\":\"" RUN "\"" tail "}\n"
#define DONE(id, seq) \
    LINE(id, ",\"batch\":\"batch_a\",\"seq\":" seq ",\"status\":\"succeeded\"")
#define FAILED(id) LINE(id, ",\"status\":\"failed\"")

static char folder[256];

static char *
path_of(const char *name)
{
    static char path[4][320];
    static unsigned next;
    char *out = path[next++ % 4];
    snprintf(out, sizeof(path[0]), "%s/%s", folder, name);
    return out;
}

static int
enter(void **state)
{
    const char *temporary = getenv("TMPDIR");
    (void)state;
    snprintf(folder, sizeof(folder), "%s/bulk.XXXXXX",
        temporary != NULL ? temporary : "/tmp");
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int
leave(void **state)
{
    static const char *const names[] = {
        "in.csv", "in.jsonl", "t.md", "s.md", "out.jsonl", "out.errors.jsonl"};
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        unlink(path_of(names[i]));
    return rmdir(folder);
}

static char *
put_bytes(const char *name, const char *text, size_t len)
{
    char *path = path_of(name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(bulk_write_all(fd, slice_make(text, len)), 0);
    close(fd);
    return path;
}

static char *
put(const char *name, const char *text)
{
    return put_bytes(name, text, strlen(text));
}

static void
check_file(const char *name, const char *wanted)
{
    char text[4096] = "";
    int fd = open(path_of(name), O_RDONLY);
    if (wanted == NULL) {
        assert_int_equal(fd, -1);
        return;
    }
    assert_true(fd >= 0);
    assert_true(read(fd, text, sizeof(text) - 1) >= 0);
    close(fd);
    assert_string_equal(text, wanted);
}

/* --- rows --- */

static void
finds_ten_thousand_rows_again(void **state)
{
    struct bulk_rows rows = {0};
    char id[32];
    size_t at;
    (void)state;
    for (size_t i = 0; i < 10000; i++) {
        snprintf(id, sizeof(id), "row-%zu", i);
        assert_true(bulk_rows_add(&rows, id, &at));
        assert_int_equal(at, i);
    }
    assert_false(bulk_rows_add(&rows, "row-77", &at));
    assert_int_equal(at, 77);
    assert_int_equal(bulk_rows_find(&rows, slice_of("row-9999")), 9999);
    assert_int_equal(bulk_rows_find(&rows, slice_of("row-x")), BULK_ABSENT);
    bulk_rows_set(&rows, 77, BULK_DONE);
    assert_int_equal(rows.in_state[BULK_DONE], 1);
    assert_int_equal(rows.in_state[BULK_OPEN], 9999);
    bulk_rows_clear(&rows);
}

/* --- the input --- */

static void
reads_rows_again_by_their_offset(void **state)
{
    static const char *const inputs[] = {"in.csv", "in.jsonl"};
    struct bulk_row row;
    (void)state;
    put("in.csv",
        "\xef\xbb\xbf"
        "a,b\r\n1,\"x\ny\"\r\n\r\n2,z\r\n");
    put("in.jsonl",
        "\xef\xbb\xbf{\"a\":1,\"b\":\"x\\ny\"}\n\n {\"a\":2,\"b\":\"z\"} \r\n");
    for (int i = 0; i < 2; i++) {
        struct bulk_source *source = bulk_source_open(path_of(inputs[i]), NULL);
        uint64_t offsets[2];
        size_t count;
        assert_non_null(source);
        assert_true(bulk_source_has_bom(source));
        assert_true(
            slice_equal_text(bulk_source_names(source, &count)[1], "b"));
        assert_int_equal(count, 2);
        bulk_source_rewind(source);
        for (int at = 0; at < 2; at++) {
            assert_int_equal(bulk_source_next(source, &row), 1);
            assert_string_equal(row.fault, "");
            offsets[at] = row.offset;
        }
        assert_int_equal(bulk_source_next(source, &row), 0);
        assert_int_equal(bulk_source_read_at(source, offsets[1], &row), 1);
        assert_true(slice_equal_text(row.values[1], "z"));
        assert_int_equal(bulk_source_read_at(source, offsets[0], &row), 1);
        assert_true(slice_equal_text(row.values[1], "x\ny"));
        bulk_source_free(source);
    }
}

static void
names_what_is_wrong_with_json_lines(void **state)
{
    static const struct {
        const char *fault;
        uint64_t line;
    } wanted[] = {{"", 1}, {"is not JSON: ", 2}, {"is not a JSON object", 3},
        {"names a member twice", 4}, {"is not JSON: ", 5}, {"", 7}};
    struct bulk_row row;
    (void)state;
    struct bulk_source *source = bulk_source_open(
        put("in.jsonl",
            "{\"a\":null,\"b\":{\"c\":1}}\n{\"a\":\n[1]\n"
            "{\"a\":1,\"a\":2}\n{\"a\":\"\xff\"}\n\n{\"b\":true}"),
        NULL);
    assert_non_null(source);
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(bulk_source_next(source, &row), 1);
        assert_int_equal(row.line, wanted[i].line);
        assert_memory_equal(
            row.fault, wanted[i].fault, strlen(wanted[i].fault));
        assert_int_equal(row.fault[0] == '\0', wanted[i].fault[0] == '\0');
        if (i == 0)
            assert_true(slice_equal_text(row.values[1], "{\"c\":1}"));
    }
    assert_null(row.values[0].data);
    assert_true(slice_equal_text(row.values[1], "true"));
    assert_int_equal(bulk_source_next(source, &row), 0);
    bulk_source_free(source);
}

static void
refuses_an_input_without_a_header(void **state)
{
    (void)state;
    assert_null(bulk_source_open(put("in.csv", ""), NULL));
    assert_null(bulk_source_open(put("in.csv", "a,\xff\n1,2\n"), NULL));
    assert_null(bulk_source_open(put("in.jsonl", "\n\n"), NULL));
    assert_null(bulk_source_open(put("in.jsonl", "[]\n"), NULL));
    assert_null(bulk_source_open(path_of("absent.csv"), NULL));
    assert_null(bulk_source_open(put("in.csv", "a\n"), "xml"));
}

/* --- identity --- */

static struct models *models;

static void
identity_of(const char *model, const char *id_column, const char *system,
    char run[BULK_RUN_SIZE], char id[BULK_ID_SIZE])
{
    struct bulk_source *source = bulk_source_open(path_of("in.csv"), NULL);
    struct bulk_recipe_options options = {.template_path = path_of("t.md"),
        .system_path = system,
        .model = model,
        .max_tokens = 10,
        .id_column = id_column};
    struct bulk_recipe recipe;
    struct bulk_row row;
    assert_non_null(source);
    assert_int_equal(bulk_recipe_open(&recipe, &options, source, models), 0);
    bulk_source_rewind(source);
    assert_int_equal(bulk_source_next(source, &row), 1);
    assert_true(bulk_recipe_check(&recipe, &row));
    bulk_recipe_id(&recipe, source, &row, id);
    memcpy(run, recipe.run, BULK_RUN_SIZE);
    bulk_recipe_clear(&recipe);
    bulk_source_free(source);
}

static void
the_same_row_has_the_same_identity(void **state)
{
    char run[6][BULK_RUN_SIZE];
    char id[6][BULK_ID_SIZE];
    (void)state;
    put("t.md", "Say {{b}}");
    put("in.csv", "a,b\nT-1,hello\n");
    models = models_load();
    identity_of("m", NULL, NULL, run[0], id[0]);
    identity_of("m", NULL, NULL, run[1], id[1]);
    assert_string_equal(run[0], run[1]);
    assert_string_equal(id[0], id[1]);
    assert_int_equal(strlen(id[0]), 34);
    identity_of("n", NULL, NULL, run[1], id[1]);
    assert_string_not_equal(run[0], run[1]);
    assert_string_not_equal(id[0], id[1]);
    identity_of("m", NULL, put("s.md", "Be kind."), run[2], id[2]);
    assert_string_not_equal(run[0], run[2]);
    identity_of("m", "a", NULL, run[3], id[3]);
    assert_string_equal(id[3], "T-1");
    assert_string_not_equal(run[0], run[3]);
    /* What is no custom_id is replaced by a hash. */
    identity_of("m", "b", NULL, run[4], id[4]);
    assert_string_equal(id[4], "hello");
    put("in.csv", "a,b\nT-1,hello!\n");
    identity_of("m", "b", NULL, run[5], id[5]);
    assert_memory_equal(id[5], "r-", 2);
    assert_string_equal(run[4], run[5]);
    /* A changed row is another one, unless an id names it. */
    identity_of("m", NULL, NULL, run[1], id[1]);
    assert_string_equal(run[0], run[1]);
    assert_string_not_equal(id[0], id[1]);
    models_free(models);
}

static void
whole_requests_keep_their_options(void **state)
{
    static const struct {
        const char *line;
        const char *wanted;
        const char *id;
    } cases[] = {
        {"{\"custom_id\":\"x\",\"params\":{\"a\":1}}",
            "{\"custom_id\":\"i\",\"params\":{\"a\":1}}\n",
            "r-8dbfcb11d09ff52fcd7095111e48d24b"},
        {"{\"longhaul\":{\"lane\":\"bulk\"},\"params\":{\"a\":1}}",
            "{\"custom_id\":\"i\",\"params\":{\"a\":1},"
            "\"longhaul\":{\"lane\":\"bulk\"}}\n",
            NULL},
        {"{\"longhaul\":null,\"params\":{\"a\":1}}",
            "{\"custom_id\":\"i\",\"params\":{\"a\":1}}\n", NULL},
        {"{\"message\":\"a\",\"longhaul\":{}}",
            "{\"custom_id\":\"i\",\"params\":{\"message\":\"a\","
            "\"longhaul\":{}}}\n",
            NULL},
    };
    struct bulk_recipe_options options = {.model = "m", .max_tokens = 10};
    (void)state;
    models = models_load();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buffer out = {0};
        struct bulk_recipe recipe;
        struct bulk_row row;
        char id[BULK_ID_SIZE];
        struct bulk_source *source =
            bulk_source_open(put("in.jsonl", cases[i].line), NULL);
        assert_non_null(source);
        assert_int_equal(
            bulk_recipe_open(&recipe, &options, source, models), 0);
        bulk_source_rewind(source);
        assert_int_equal(bulk_source_next(source, &row), 1);
        bulk_recipe_line(&recipe, &row, "i", &out);
        assert_string_equal(out.data, cases[i].wanted);
        bulk_recipe_id(&recipe, source, &row, id);
        if (cases[i].id != NULL)
            assert_string_equal(id, cases[i].id);
        buffer_clear(&out);
        bulk_recipe_clear(&recipe);
        bulk_source_free(source);
    }
    models_free(models);
}

/* --- the output --- */

static struct bulk_rows rows;
static unsigned past_answers;
static unsigned past_errors;
static uint64_t past_seq;

static void
on_past(void *arg, const struct bulk_past *past)
{
    (void)arg;
    past_answers += !past->is_error;
    past_errors += past->is_error;
    if (past->seq > past_seq)
        past_seq = past->seq;
}

static struct bulk_output *
open_output(bool dry)
{
    struct bulk_output_options options = {
        path_of("out.jsonl"), RUN, dry, on_past, NULL};
    past_answers = past_errors = 0;
    past_seq = 0;
    return bulk_output_open(&options);
}

static void
a_torn_line_is_cut_off_wherever_it_tore(void **state)
{
    static const char text[] = DONE("a", "7") DONE("b", "9");
    size_t first = strlen(DONE("a", "7"));
    (void)state;
    for (size_t len = first; len < sizeof(text) - 1; len++) {
        put_bytes("out.jsonl", text, len);
        struct bulk_output *output = open_output(false);
        assert_non_null(output);
        /* A whole line that lacks only its end is completed. */
        bool whole = len == sizeof(text) - 2;
        assert_int_equal(past_answers, whole ? 2 : 1);
        assert_int_equal(past_seq, whole ? 9 : 7);
        bulk_output_answer(output, slice_of("{\"new\":1}"));
        assert_int_equal(bulk_output_flush(output, true), 0);
        bulk_output_close(output);
        check_file("out.jsonl",
            whole ? DONE("a", "7") DONE("b", "9") "{\"new\":1}\n"
                  : DONE("a", "7") "{\"new\":1}\n");
    }
    for (size_t len = 1; len < first - 1; len++) {
        put_bytes("out.jsonl", text, len);
        struct bulk_output *output = open_output(false);
        assert_non_null(output);
        assert_int_equal(past_answers, 0);
        bulk_output_close(output);
    }
}

static void
refuses_a_file_that_is_not_its_own(void **state)
{
    static const char *const files[] = {"hello", "hello\n", "{}\n", "[]\n",
        "\n", "{\"custom_id\":\"a\",\"run\":\"another\"}\n",
        DONE("a", "1") "{}\n", DONE("a", "1") "\n" DONE("b", "2")};
    (void)state;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        put("out.jsonl", files[i]);
        assert_null(open_output(false));
        check_file("out.jsonl", files[i]);
    }
    unlink(path_of("out.jsonl"));
    put("out.errors.jsonl", "mine\n");
    assert_null(open_output(false));
    check_file("out.errors.jsonl", "mine\n");
    check_file("out.jsonl", NULL);
    unlink(path_of("out.errors.jsonl"));
}

static void
one_process_writes_at_a_time(void **state)
{
    (void)state;
    put("out.jsonl", "");
    int fd = open(path_of("out.jsonl"), O_RDWR);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    assert_null(open_output(false));
    struct bulk_output *dry = open_output(true);
    assert_non_null(dry);
    bulk_output_close(dry);
    close(fd);
    struct bulk_output *output = open_output(false);
    assert_non_null(output);
    bulk_output_close(output);
}

static void
a_dry_run_changes_nothing(void **state)
{
    (void)state;
    put("out.jsonl", DONE("a", "7") "{\"custom_id\":\"torn");
    put("out.errors.jsonl", LINE("x", ",\"status\":\"not_sent\""));
    struct bulk_output *output = open_output(true);
    assert_non_null(output);
    assert_int_equal(past_answers, 1);
    bulk_output_answer(output, slice_of("{}"));
    bulk_output_error(output, slice_of("{}"));
    assert_int_equal(bulk_output_flush(output, true), 0);
    bulk_output_close(output);
    check_file("out.jsonl", DONE("a", "7") "{\"custom_id\":\"torn");
    check_file("out.errors.jsonl", LINE("x", ",\"status\":\"not_sent\""));
    unlink(path_of("out.errors.jsonl"));
    unlink(path_of("out.jsonl"));
    output = open_output(true);
    bulk_output_close(output);
    check_file("out.jsonl", NULL);
}

static void
errors_that_were_mended_are_dropped(void **state)
{
    size_t at;
    (void)state;
    put("out.jsonl", "");
    put("out.errors.jsonl",
        FAILED("a") LINE("b", ",\"status\":\"not_sent\"")
            LINE("c", ",\"status\":\"canceled\"") FAILED("d"));
    struct bulk_output *output = open_output(false);
    assert_non_null(output);
    assert_int_equal(past_errors, 4);
    assert_true(bulk_output_has_errors(output));
    check_file("out.errors.jsonl", FAILED("a") FAILED("d"));
    assert_true(bulk_rows_add(&rows, "a", &at));
    bulk_rows_set(&rows, at, BULK_DONE);
    assert_int_equal(bulk_output_settle(output, &rows), 0);
    check_file("out.errors.jsonl", FAILED("d"));
    assert_true(bulk_rows_add(&rows, "d", &at));
    bulk_rows_set(&rows, at, BULK_DONE);
    assert_int_equal(bulk_output_settle(output, &rows), 0);
    check_file("out.errors.jsonl", NULL);
    assert_false(bulk_output_has_errors(output));
    bulk_output_close(output);
    bulk_rows_clear(&rows);
}

static void
answers_are_put_into_the_order_of_the_rows(void **state)
{
    size_t at;
    (void)state;
    put("out.jsonl", DONE("c", "1") DONE("x", "2") DONE("a", "3"));
    assert_true(bulk_rows_add(&rows, "a", &at));
    assert_true(bulk_rows_add(&rows, "b", &at));
    assert_true(bulk_rows_add(&rows, "c", &at));
    struct bulk_output *output = open_output(false);
    bulk_output_answer(
        output, slice_make(DONE("b", "4"), strlen(DONE("b", "4")) - 1));
    assert_int_equal(bulk_output_flush(output, false), 0);
    assert_int_equal(bulk_output_sort(output, &rows), 0);
    check_file("out.jsonl",
        DONE("a", "3") DONE("b", "4") DONE("c", "1") DONE("x", "2"));
    /* The new file is locked, too. */
    assert_null(open_output(false));
    bulk_output_close(output);
    bulk_rows_clear(&rows);
}

static void
an_empty_file_that_it_made_is_removed(void **state)
{
    (void)state;
    unlink(path_of("out.jsonl"));
    struct bulk_output *output = open_output(false);
    assert_non_null(output);
    check_file("out.jsonl", "");
    bulk_output_close(output);
    check_file("out.jsonl", NULL);
}

/* --- costs --- */

static double past_cost_usd;

static void
on_past_cost(void *arg, const struct bulk_past *past)
{
    (void)arg;
    if (past->cost_usd >= 0)
        past_cost_usd += past->cost_usd;
}

static void
adds_up_what_earlier_answers_cost(void **state)
{
    (void)state;
    struct bulk_output_options options = {
        path_of("out.jsonl"), RUN, true, on_past_cost, NULL};
    put("out.jsonl",
        LINE("a", ",\"status\":\"succeeded\",\"cost_usd\":\"0.012500\"")
            LINE("b", ",\"status\":\"succeeded\",\"cost_usd\":null")
                LINE("c", ",\"status\":\"succeeded\",\"cost_usd\":\"2.0\""));
    struct bulk_output *output = bulk_output_open(&options);
    assert_non_null(output);
    bulk_output_close(output);
    assert_float_equal(past_cost_usd, 2.0125, 1e-9);
    unlink(path_of("out.jsonl"));
}

/* --- progress --- */

static char *
line_at(
    struct bulk_progress *progress, struct bulk_counts counts, int64_t now_ms)
{
    struct buffer out = {0};
    bulk_progress_update(progress, &counts, now_ms, false);
    bulk_progress_line(progress, now_ms, &out);
    return buffer_take(&out);
}

static void
tells_time_left_when_there_is_enough_to_tell_it_from(void **state)
{
    struct bulk_progress progress = {
        .mode = BULK_PROGRESS_NONE, .name = "out.jsonl"};
    struct bulk_counts counts = {.total = 1000, .cost_usd = -1};
    (void)state;
    char *line = line_at(&progress, counts, 1000);
    assert_string_equal(line, "out.jsonl  0/1000  -- left");
    memory_free(line);
    counts.done = 4;
    line = line_at(&progress, counts, 3000);
    assert_string_equal(line, "out.jsonl  4/1000  -- left");
    memory_free(line);
    counts.done = 95;
    counts.failed = 5;
    counts.retrying = 2;
    counts.cost_usd = 1.5;
    line = line_at(&progress, counts, 11000);
    assert_string_equal(line,
        "out.jsonl  100/1000  retrying 2  failed 5  600/min  $1.50  "
        "1 min 30 s left");
    memory_free(line);
    /* Only the last minute counts. */
    for (int64_t s = 12; s <= 200; s++)
        memory_free(line_at(&progress, counts, s * 1000));
    assert_true(bulk_progress_rate(&progress, 200000) < 0);
    counts.done = 995;
    line = line_at(&progress, counts, 201000);
    assert_non_null(strstr(line, "1000/1000"));
    assert_null(strstr(line, "left"));
    memory_free(line);
}

static void
knows_the_ways_to_show_progress(void **state)
{
    enum bulk_progress_mode mode;
    (void)state;
    assert_int_equal(bulk_progress_mode(NULL, true, &mode), 0);
    assert_int_equal(mode, BULK_PROGRESS_BAR);
    assert_int_equal(bulk_progress_mode("auto", false, &mode), 0);
    assert_int_equal(mode, BULK_PROGRESS_PLAIN);
    assert_int_equal(bulk_progress_mode("json", true, &mode), 0);
    assert_int_equal(mode, BULK_PROGRESS_JSON);
    assert_int_equal(bulk_progress_mode("loud", true, &mode), -1);
}

static void
a_run_that_stands_still_says_why_until_a_row_ends(void **state)
{
    static const char why[] = "pool default is paused:\x1b[2J a key";
    struct bulk_progress progress = {
        .mode = BULK_PROGRESS_BAR, .name = "out.jsonl"};
    struct bulk_counts counts = {.total = 100, .done = 5};
    (void)state;
    memory_free(line_at(&progress, counts, 1000));
    assert_false(bulk_progress_asks(&progress, 5999));
    assert_true(bulk_progress_asks(&progress, 6000));
    assert_false(bulk_progress_asks(&progress, 10999));
    bulk_progress_reason(&progress, slice_of(why));
    char *line = line_at(&progress, counts, 7000);
    assert_string_equal(
        line, "out.jsonl  5/100  $0.00  pool default is paused:\\x1b[2J a key");
    memory_free(line);
    assert_true(bulk_progress_asks(&progress, 11000));
    counts.done = 6;
    line = line_at(&progress, counts, 12000);
    assert_null(strstr(line, "paused"));
    assert_non_null(strstr(line, "[#"));
    memory_free(line);
    assert_false(bulk_progress_asks(&progress, 16500));
    progress.mode = BULK_PROGRESS_NONE;
    assert_false(bulk_progress_asks(&progress, 100000));
    bulk_progress_break(&progress);
}

static void
plain_lines_come_every_half_minute(void **state)
{
    struct bulk_progress progress = {
        .mode = BULK_PROGRESS_PLAIN, .name = "out.jsonl"};
    struct bulk_counts counts = {.total = 1000};
    unsigned asked = 0;
    (void)state;
    for (int64_t ms = 1000; ms < 200000; ms += 500) {
        int64_t said_ms = progress.said_ms;
        asked += bulk_progress_asks(&progress, ms);
        bulk_progress_update(&progress, &counts, ms, false);
        if (said_ms > 0 && progress.said_ms != said_ms)
            assert_int_equal(progress.said_ms - said_ms, 30000);
    }
    assert_int_equal(progress.said_ms, 181000);
    assert_int_equal(asked, 6);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_ten_thousand_rows_again),
        cmocka_unit_test(reads_rows_again_by_their_offset),
        cmocka_unit_test(names_what_is_wrong_with_json_lines),
        cmocka_unit_test(refuses_an_input_without_a_header),
        cmocka_unit_test(the_same_row_has_the_same_identity),
        cmocka_unit_test(whole_requests_keep_their_options),
        cmocka_unit_test(a_torn_line_is_cut_off_wherever_it_tore),
        cmocka_unit_test(refuses_a_file_that_is_not_its_own),
        cmocka_unit_test(one_process_writes_at_a_time),
        cmocka_unit_test(a_dry_run_changes_nothing),
        cmocka_unit_test(errors_that_were_mended_are_dropped),
        cmocka_unit_test(answers_are_put_into_the_order_of_the_rows),
        cmocka_unit_test(an_empty_file_that_it_made_is_removed),
        cmocka_unit_test(adds_up_what_earlier_answers_cost),
        cmocka_unit_test(tells_time_left_when_there_is_enough_to_tell_it_from),
        cmocka_unit_test(a_run_that_stands_still_says_why_until_a_row_ends),
        cmocka_unit_test(plain_lines_come_every_half_minute),
        cmocka_unit_test(knows_the_ways_to_show_progress),
    };
    return cmocka_run_group_tests(tests, enter, leave);
}
