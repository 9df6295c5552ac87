#include <ctype.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/job/options.h"
#include "common/service/keys.h"
#include "common/service/service_private.h"
#include "embedded.h"
#include "status-api/routes.h"
#include "submitter/routes.h"

static json_t *document;

static int
start(void **state)
{
    const struct embedded_file *file = embedded_find("schema/openapi.yaml");
    (void)state;
    assert_non_null(file);
    document = json_loadb(file->data, file->len, JSON_REJECT_DUPLICATES, NULL);
    return document == NULL ? -1 : 0;
}

static int
stop(void **state)
{
    (void)state;
    json_decref(document);
    return 0;
}

static void
lower(const char *in, char *out)
{
    size_t i = 0;
    for (; in[i] != '\0'; i++)
        out[i] = (char)tolower((unsigned char)in[i]);
    out[i] = '\0';
}

static const struct http_route *const tables[] = {
    submitter_routes, status_routes, service_routes};

static bool
is_served(const char *path, const char *method)
{
    for (size_t i = 0; i < 3; i++) {
        const struct http_route *route = tables[i];
        for (; route->method != NULL; route++) {
            char name[16];
            lower(route->method, name);
            if (strcmp(route->path, path) == 0 && strcmp(name, method) == 0)
                return true;
        }
    }
    return false;
}

static void
every_route_is_in_the_document(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        const struct http_route *route = tables[i];
        for (; route->method != NULL; route++) {
            char method[16];
            lower(route->method, method);
            const json_t *paths = json_object_get(document, "paths");
            const json_t *path = json_object_get(paths, route->path);
            if (json_object_get(path, method) == NULL)
                fail_msg("%s %s is missing", route->method, route->path);
        }
    }
}

static void
every_route_of_the_document_is_served(void **state)
{
    const char *path, *method;
    json_t *item, *operation;
    unsigned count = 0;
    (void)state;
    json_object_foreach(json_object_get(document, "paths"), path, item)
    {
        json_object_foreach(item, method, operation)
        {
            if (!is_served(path, method))
                fail_msg("%s %s is not served", method, path);
            count++;
        }
    }
    assert_true(count >= 21);
}

static void
scopes_are_those_of_the_routes(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        const struct http_route *route = tables[i];
        for (; route->method != NULL; route++) {
            char method[16], names[64];
            lower(route->method, method);
            const json_t *path = json_object_get(
                json_object_get(document, "paths"), route->path);
            const json_t *operation = json_object_get(path, method);
            const char *scope =
                json_string_value(json_object_get(operation, "x-scope"));
            if ((route->flags & HTTP_ROUTE_OPEN) != 0) {
                assert_null(scope);
                assert_int_equal(
                    json_array_size(json_object_get(operation, "security")), 0);
                continue;
            }
            assert_non_null(scope);
            assert_string_equal(
                scope, keys_scope_names(route->scope, names, sizeof(names)));
        }
    }
}

static bool
has_answer(const json_t *operation, const char *status)
{
    const json_t *answers = json_object_get(operation, "responses");
    return json_object_get(answers, status) != NULL;
}

/* What the server itself says, before any handler of a route. */
static void
every_route_has_the_answers_of_the_server(void **state)
{
    static const char *const always[] = {"405", "421"};
    static const char *const keyed[] = {"401", "403"};
    const char *path, *method;
    json_t *item, *operation;
    (void)state;
    json_object_foreach(json_object_get(document, "paths"), path, item)
    {
        json_object_foreach(item, method, operation)
        {
            bool open = json_object_get(operation, "x-scope") == NULL;
            for (size_t i = 0; i < 2; i++) {
                if (!has_answer(operation, always[i]))
                    fail_msg("%s %s: no %s", method, path, always[i]);
                if (!open && !has_answer(operation, keyed[i]))
                    fail_msg("%s %s: no %s", method, path, keyed[i]);
            }
        }
    }
}

/* Every "$ref" of the document leads somewhere. */
static unsigned
follow(const json_t *at)
{
    unsigned count = 0;
    const char *key;
    union {
        const json_t *given;
        json_t *same;
    } any = {at};
    json_t *value;
    size_t i;
    json_array_foreach(any.same, i, value) count += follow(value);
    json_object_foreach(any.same, key, value)
    {
        if (strcmp(key, "$ref") != 0) {
            count += follow(value);
            continue;
        }
        struct slice rest = slice_of(json_string_value(value));
        const json_t *to = document;
        slice_split(&rest, '/');
        while (rest.len > 0) {
            char name[64];
            text_copy(name, sizeof(name), slice_split(&rest, '/'));
            to = json_object_get(to, name);
        }
        if (to == NULL)
            fail_msg("%s leads nowhere", json_string_value(value));
        count++;
    }
    return count;
}

static void
every_reference_leads_somewhere(void **state)
{
    (void)state;
    assert_true(follow(document) > 100);
}

static void
the_options_are_those_of_the_table(void **state)
{
    const json_t *schemas =
        json_object_get(json_object_get(document, "components"), "schemas");
    const json_t *members =
        json_object_get(json_object_get(schemas, "Options"), "properties");
    const struct options_row *row = options_table();
    size_t count = 0;
    (void)state;
    for (; row->name != NULL; row++, count++) {
        if (json_object_get(members, row->name) == NULL)
            fail_msg("longhaul.%s is missing", row->name);
    }
    assert_int_equal(json_object_size(members), count);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_route_is_in_the_document),
        cmocka_unit_test(every_route_of_the_document_is_served),
        cmocka_unit_test(scopes_are_those_of_the_routes),
        cmocka_unit_test(every_route_has_the_answers_of_the_server),
        cmocka_unit_test(every_reference_leads_somewhere),
        cmocka_unit_test(the_options_are_those_of_the_table),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
