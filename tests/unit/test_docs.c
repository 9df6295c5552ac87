#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/job/options.h"
#include "common/job/outcome.h"
#include "common/net/http_server.h"
#include "common/service/config.h"
#include "common/service/service_private.h"
#include "status-api/routes.h"
#include "submitter/routes.h"

/*
 * The parts of docs/ that are made from tables lie between "<!-- begin NAME
 * -->" and "<!-- end NAME -->". They must be what the tables give; with
 * LONGHAUL_DOCS=write (make docs) they are brought there. Runs in the
 * repository's root.
 */

static void
read_text(const char *path, struct buffer *out)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        fail_msg("%s cannot be read", path);
    size_t got;
    do {
        got = fread(buffer_reserve(out, 65536), 1, 65536, file);
        out->len += got;
    } while (got > 0);
    fclose(file);
    buffer_append_char(out, '\0');
    out->len--;
}

static void
write_text(const char *path, const struct buffer *text)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(text->data, 1, text->len, file), text->len);
    assert_int_equal(fclose(file), 0);
}

static void
check_block(const char *path, const char *name, const struct buffer *wanted)
{
    struct buffer text = {0}, begin = {0}, end = {0}, fresh = {0};
    read_text(path, &text);
    buffer_printf(&begin, "<!-- begin %s -->\n", name);
    buffer_printf(&end, "<!-- end %s -->", name);
    const char *from = strstr(text.data, begin.data);
    if (from == NULL)
        fail_msg("%s has no part %s", path, name);
    from += begin.len;
    const char *to = strstr(from, end.data);
    assert_non_null(to);
    bool same = (size_t)(to - from) == wanted->len &&
        memcmp(from, wanted->data, wanted->len) == 0;
    const char *mode = getenv("LONGHAUL_DOCS");
    if (!same && mode != NULL && strcmp(mode, "write") == 0) {
        buffer_append(&fresh, text.data, (size_t)(from - text.data));
        buffer_append_slice(&fresh, buffer_slice(wanted));
        buffer_append_text(&fresh, to);
        write_text(path, &fresh);
    } else if (!same) {
        fail_msg("%s: the part %s is not what the table gives: make docs", path,
            name);
    }
    buffer_clear(&text);
    buffer_clear(&begin);
    buffer_clear(&end);
    buffer_clear(&fresh);
}

static void
settings_are_documented_as_the_table_has_them(void **state)
{
    struct buffer wanted = {0};
    (void)state;
    config_document(&wanted);
    check_block("docs/configuration.md", "settings", &wanted);
    buffer_clear(&wanted);
    config_document_pools(&wanted);
    check_block("docs/configuration.md", "pool settings", &wanted);
    buffer_clear(&wanted);
    config_document_routes(&wanted);
    check_block("docs/configuration.md", "route settings", &wanted);
    buffer_clear(&wanted);
}

static void
options_are_documented_as_the_table_has_them(void **state)
{
    struct buffer wanted = {0};
    (void)state;
    buffer_append_text(&wanted, "| option | is | meaning |\n|---|---|---|\n");
    for (const struct options_row *row = options_table(); row->name != NULL;
         row++)
        buffer_printf(
            &wanted, "| `%s` | %s | %s |\n", row->name, row->type, row->help);
    check_block("docs/api.md", "options", &wanted);
    buffer_clear(&wanted);
}

static const char *
verdict_words(const struct outcome_class *info)
{
    switch (info->verdict) {
    case OUTCOME_SUCCEEDED: return "succeeds";
    case OUTCOME_RETRY: return info->holds_bucket ? "retry, holds" : "retry";
    case OUTCOME_FAIL: return "fails";
    case OUTCOME_PAUSE_POOL: break;
    }
    return "pauses the pool";
}

static const char *
yes(bool value)
{
    return value ? "yes" : "";
}

static void
classes_are_documented_as_the_table_has_them(void **state)
{
    struct buffer wanted = {0};
    (void)state;
    buffer_append_text(&wanted,
        "| class | what follows | attempt | may be billed | breaker | what is "
        "said |\n|---|---|---|---|---|---|\n");
    for (unsigned i = 0; i < OUTCOME_CLASS_COUNT; i++) {
        const struct outcome_class *info =
            outcome_class((enum outcome_class_id)i);
        buffer_printf(&wanted, "| `%s` | %s | %s | %s | %s | %s |\n",
            info->name, verdict_words(info), yes(info->counts_as_attempt),
            yes(info->may_be_billed), yes(info->breaker_counts), info->text);
    }
    check_block("docs/errors.md", "classes", &wanted);
    buffer_clear(&wanted);
}

static void
look_for_routes(const char *api, const struct http_route *routes)
{
    for (; routes->method != NULL; routes++) {
        char wanted[128];
        snprintf(
            wanted, sizeof(wanted), "`%s %s`", routes->method, routes->path);
        if (strstr(api, wanted) == NULL)
            fail_msg("docs/api.md does not mention %s", wanted);
    }
}

static void
every_route_is_documented(void **state)
{
    struct buffer api = {0};
    (void)state;
    read_text("docs/api.md", &api);
    look_for_routes(api.data, submitter_routes);
    look_for_routes(api.data, status_routes);
    look_for_routes(api.data, service_routes);
    buffer_clear(&api);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_are_documented_as_the_table_has_them),
        cmocka_unit_test(options_are_documented_as_the_table_has_them),
        cmocka_unit_test(classes_are_documented_as_the_table_has_them),
        cmocka_unit_test(every_route_is_documented),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
