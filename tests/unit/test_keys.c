#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/service/keys.h"

static char directory[] = "/tmp/longhaul-keys-XXXXXX";
static char path[64];
static char lock_path[80];

static int
in_a_directory(void **state)
{
    (void)state;
    if (mkdtemp(directory) == NULL)
        return -1;
    snprintf(path, sizeof(path), "%s/keys", directory);
    snprintf(lock_path, sizeof(lock_path), "%s.lock", path);
    return 0;
}

static int
remove_files(void **state)
{
    (void)state;
    unlink(path);
    unlink(lock_path);
    return 0;
}

static int
remove_directory(void **state)
{
    remove_files(state);
    return rmdir(directory);
}

/* A head with up to two credentials. */
static void
make_head(struct http_head *head, const char *name, const char *value,
    const char *name2, const char *value2)
{
    memset(head, 0, sizeof(*head));
    if (name != NULL)
        head->headers[head->header_count++] =
            (struct http_header){slice_of(name), slice_of(value)};
    if (name2 != NULL)
        head->headers[head->header_count++] =
            (struct http_header){slice_of(name2), slice_of(value2)};
}

static int
authorise(struct keys *keys, const char *name, const char *value,
    unsigned scope, const struct keys_identity **identity)
{
    struct http_head head;
    const void *found = NULL;
    const char *message = NULL;
    make_head(&head, name, value, NULL, NULL);
    int status = keys_authorise(keys, &head, scope, &found, &message);
    assert_true(status == 0 ? found != NULL : message != NULL);
    if (identity != NULL)
        *identity = found;
    return status;
}

static void
add(const char *name, unsigned scopes, struct buffer *key)
{
    struct buffer errors = {0};
    buffer_reset(key);
    assert_int_equal(keys_file_add(path, name, scopes, key, &errors), 0);
    buffer_clear(&errors);
}

static struct keys *
open_keys(void)
{
    struct buffer errors = {0};
    struct keys *keys = keys_open(path, &errors);
    if (keys == NULL)
        fail_msg("%s", errors.data);
    return keys;
}

static void
lets_everybody_in_without_a_file(void **state)
{
    struct buffer errors = {0};
    const struct keys_identity *identity;
    (void)state;
    struct keys *keys = keys_open(NULL, &errors);
    assert_false(keys_required(keys));
    assert_int_equal(
        authorise(keys, NULL, NULL, KEYS_SCOPE_OPERATE, &identity), 0);
    assert_string_equal(identity->tenant, "default");
    keys_free(keys);
}

static void
makes_keys_that_work_and_stores_only_their_hash(void **state)
{
    struct buffer key = {0};
    struct buffer text = {0};
    const struct keys_identity *identity;
    char bearer[128];
    struct stat info;
    (void)state;
    add("alice", KEYS_SCOPE_SUBMIT | KEYS_SCOPE_READ, &key);
    assert_int_equal(key.len, 3 + 43);
    assert_memory_equal(key.data, "lh_", 3);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    FILE *file = fopen(path, "r");
    buffer_reserve(&text, 1024);
    text.len = fread(text.data, 1, 1023, file);
    text.data[text.len] = '\0';
    fclose(file);
    assert_null(strstr(text.data, key.data + 3));
    assert_non_null(strstr(text.data, " submit,read\n"));

    struct keys *keys = open_keys();
    assert_true(keys_required(keys));
    assert_int_equal(
        authorise(keys, "x-api-key", key.data, KEYS_SCOPE_SUBMIT, &identity),
        0);
    assert_string_equal(identity->tenant, "alice");
    snprintf(bearer, sizeof(bearer), "bearer %s", key.data);
    assert_int_equal(
        authorise(keys, "Authorization", bearer, KEYS_SCOPE_READ, NULL), 0);
    keys_free(keys);
    buffer_clear(&key);
    buffer_clear(&text);
}

static void
refuses_what_is_not_a_key(void **state)
{
    struct buffer key = {0};
    struct http_head head;
    const void *identity;
    const char *message;
    (void)state;
    add("alice", KEYS_SCOPE_SUBMIT, &key);
    struct keys *keys = open_keys();
    static const struct {
        const char *name;
        const char *value;
    } cases[] = {{NULL, NULL}, {"x-api-key", ""},
        {"x-api-key", "lh_0000000000000000000000000000000000000000000"},
        {"authorization", "Basic YTpi"}, {"authorization", "Bearer"},
        {"authorization", "Bearer "}, {"cookie", "x"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(authorise(keys, cases[i].name, cases[i].value,
                             KEYS_SCOPE_SUBMIT, NULL),
            401);
    assert_int_equal(
        authorise(keys, "authorization", key.data, KEYS_SCOPE_SUBMIT, NULL),
        401);
    make_head(&head, "x-api-key", key.data, "X-Api-Key", key.data);
    assert_int_equal(
        keys_authorise(keys, &head, KEYS_SCOPE_SUBMIT, &identity, &message),
        401);
    assert_int_equal(
        authorise(keys, "x-api-key", key.data, KEYS_SCOPE_OPERATE, NULL), 403);
    keys_free(keys);
    buffer_clear(&key);
}

static void
tells_every_broken_line(void **state)
{
    struct buffer errors = {0};
    (void)state;
    FILE *file = fopen(path, "w");
    fputs("# a comment\n\n"
          "Upper 00 submit\n"
          "a 00 submit\n"
          "b aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
          " everything\n"
          "c aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
          " read,operate # fine\r\n",
        file);
    fclose(file);
    assert_null(keys_open(path, &errors));
    assert_non_null(strstr(errors.data, "keys:3: the name"));
    assert_non_null(strstr(errors.data, "keys:4: the second word"));
    assert_non_null(strstr(errors.data, "keys:5: the third word"));
    assert_null(strstr(errors.data, "keys:6"));
    buffer_reset(&errors);
    assert_null(keys_open("/nonexistent/keys", &errors));
    assert_non_null(strstr(errors.data, "cannot be read"));
    buffer_clear(&errors);
}

static void
lists_and_removes_by_name(void **state)
{
    struct buffer key = {0};
    struct buffer out = {0};
    struct buffer errors = {0};
    (void)state;
    add("alice", KEYS_SCOPE_SUBMIT, &key);
    add("bob", KEYS_SCOPE_READ | KEYS_SCOPE_OPERATE, &key);
    assert_int_equal(keys_file_list(path, &out, &errors), 0);
    assert_non_null(strstr(out.data, "alice "));
    assert_non_null(strstr(out.data, " read,operate\n"));
    assert_int_equal(keys_file_remove(path, "alice", &errors), 0);
    assert_int_equal(keys_file_remove(path, "alice", &errors), -1);
    assert_non_null(strstr(errors.data, "there is no key alice"));
    struct keys *keys = open_keys();
    assert_int_equal(
        authorise(keys, "x-api-key", key.data, KEYS_SCOPE_READ, NULL), 0);
    keys_free(keys);
    assert_int_equal(keys_file_add(path, "no good", 1, &out, &errors), -1);
    buffer_clear(&key);
    buffer_clear(&out);
    buffer_clear(&errors);
}

static void
parses_scopes(void **state)
{
    unsigned scopes = 0;
    char text[64];
    (void)state;
    assert_int_equal(keys_scope_parse(slice_of("read, submit"), &scopes), 0);
    assert_string_equal(
        keys_scope_names(scopes, text, sizeof(text)), "submit,read");
    assert_int_equal(keys_scope_parse(slice_of(""), &scopes), -1);
    assert_int_equal(keys_scope_parse(slice_of("read,all"), &scopes), -1);
}

#define TEST(name) cmocka_unit_test_teardown(name, remove_files)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(lets_everybody_in_without_a_file),
        TEST(makes_keys_that_work_and_stores_only_their_hash),
        TEST(refuses_what_is_not_a_key),
        TEST(tells_every_broken_line),
        TEST(lists_and_removes_by_name),
        TEST(parses_scopes),
    };
    return cmocka_run_group_tests(tests, in_a_directory, remove_directory);
}
