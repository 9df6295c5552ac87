#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/net/redis_private.h"
#include "common/service/config.h"

static char directory[] = "/tmp/longhaul-config-XXXXXX";
static char path[64];
static struct buffer errors;

static int
in_a_directory(void **state)
{
    (void)state;
    if (mkdtemp(directory) == NULL || chdir(directory) != 0)
        return -1;
    snprintf(path, sizeof(path), "%s/test.conf", directory);
    return 0;
}

static int
remove_directory(void **state)
{
    (void)state;
    unlink(path);
    return chdir("/") == 0 ? rmdir(directory) : -1;
}

static int
clean(void **state)
{
    (void)state;
    static const char *const names[] = {"ANTHROPIC_API_KEY",
        "ANTHROPIC_API_KEY_FILE", "ANTHROPIC_BASE_URL", "LONGHAUL_API_KEY",
        "LONGHAUL_API_KEY_FILE", "LONGHAUL_MODEL", "LONGHAUL_MODLE",
        "LONGHAUL_CONFIG", "LONGHAUL_RETENTION", "LONGHAUL_REDIS_URL",
        "LONGHAUL_MAX_BODY", "LONGHAUL_PORT_80_TCP"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        unsetenv(names[i]);
    buffer_clear(&errors);
    unlink(path);
    unlink("longhaul.conf");
    return 0;
}

static void
write_file(const char *name, const char *text)
{
    FILE *file = fopen(name, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

/* The words of `line` are separated by blanks; what stays goes to *kept. */
static struct config *
load(const char *file, const char *line, char *kept, size_t size)
{
    char words[512];
    char *argv[32];
    int argc = 0;
    text_copy(words, sizeof(words), slice_of(line));
    for (char *at = words; at != NULL && argc < 31;) {
        argv[argc++] = at;
        at = strchr(at, ' ');
        if (at != NULL)
            *at++ = '\0';
    }
    argv[argc] = NULL;
    buffer_clear(&errors);
    struct config *config = config_load(file, &argc, argv, &errors);
    if (kept != NULL)
        snprintf(kept, size, "%d %s", argc, argc > 1 ? argv[1] : "");
    assert_null(argv[argc]);
    return config;
}

static struct config *
loads(const char *file, const char *line)
{
    struct config *config = load(file, line, NULL, 0);
    if (config == NULL)
        fail_msg("%s", errors.data);
    return config;
}

static void
refuses(const char *file, const char *line, const char *message)
{
    struct config *config = load(file, line, NULL, 0);
    assert_null(config);
    if (strstr(errors.data, message) == NULL)
        fail_msg("%s lacks %s", errors.data, message);
}

static void
knows_the_defaults(void **state)
{
    struct config *config = loads(NULL, "program");
    (void)state;
    assert_string_equal(config->base_url, "https://api.anthropic.com");
    assert_string_equal(config->redis_url, "redis://127.0.0.1:6379");
    assert_string_equal(config->store_url, "sqlite:longhaul.db");
    assert_string_equal(config->submitter_listen, "127.0.0.1:8081");
    assert_string_equal(config->status_listen, "127.0.0.1:8082");
    assert_string_equal(config->serve_listen, "127.0.0.1:8080");
    assert_string_equal(config->model, "claude-sonnet-5-5");
    assert_null(config->public_url);
    assert_null(config->api_key);
    assert_int_equal(config->worker_concurrency, 256);
    assert_int_equal(config->max_body_bytes, 32 * 1024 * 1024);
    assert_int_equal(config->max_queued_jobs, 1000000);
    assert_int_equal(config->retention_ms, INT64_C(29) * 86400 * 1000);
    assert_int_equal(config->dead_letter_retention_ms, 0);
    assert_int_equal(config->retry_base_ms, 1000);
    assert_int_equal(config->retry_cap_ms, 60000);
    assert_int_equal(config->max_attempts, 8);
    assert_false(config->simulated);
    config_free(config);
}

static void
prefers_flag_to_environment_to_file_to_default(void **state)
{
    (void)state;
    write_file(path,
        "[longhaul]\nmodel = from-file ; a comment\n"
        "retention = 2d\nmax_body=1MiB\n");
    struct config *config = loads(path, "program");
    assert_string_equal(config->model, "from-file");
    assert_int_equal(config->retention_ms, 2 * 86400000);
    config_free(config);
    setenv("LONGHAUL_MODEL", "from-environment", 1);
    setenv("LONGHAUL_RETENTION", "3d", 1);
    config = loads(path, "program");
    assert_string_equal(config->model, "from-environment");
    config_free(config);
    config = loads(path, "program --model from-flag");
    assert_string_equal(config->model, "from-flag");
    assert_int_equal(config->retention_ms, 3 * 86400000);
    assert_int_equal(config->max_body_bytes, 1024 * 1024);
    config_free(config);
}

static void
finds_its_file(void **state)
{
    (void)state;
    write_file("longhaul.conf", "model = of-the-directory\n");
    struct config *config = loads(NULL, "program");
    assert_string_equal(config->model, "of-the-directory");
    config_free(config);
    write_file(path, "model = of-the-variable\n");
    setenv("LONGHAUL_CONFIG", path, 1);
    config = loads(NULL, "program");
    assert_string_equal(config->model, "of-the-variable");
    config_free(config);
    setenv("LONGHAUL_CONFIG", "/nonexistent/file", 1);
    refuses(NULL, "program", "/nonexistent/file: cannot be read");
}

static void
leaves_other_words_alone(void **state)
{
    char kept[64];
    (void)state;
    struct config *config = load(NULL,
        "program --model=m1 job --simulated --max-attempts 3 -- --model x",
        kept, sizeof(kept));
    assert_non_null(config);
    assert_string_equal(kept, "5 job");
    assert_string_equal(config->model, "m1");
    assert_true(config->simulated);
    assert_int_equal(config->max_attempts, 3);
    config_free(config);
    config = loads(NULL, "program --simulated=false");
    assert_false(config->simulated);
    config_free(config);
}

static void
names_what_is_unknown_and_suggests(void **state)
{
    (void)state;
    write_file(path, "modle = x\n[other]\nmodel = y\n");
    refuses(path, "program",
        "test.conf:1: unknown setting modle; did you "
        "mean model?");
    refuses(path, "program", "test.conf:3: unknown section [other]");
    unlink(path);
    write_file(path, "");
    setenv("LONGHAUL_MODLE", "x", 1);
    refuses(path, "program",
        "LONGHAUL_MODLE: unknown variable; did you mean LONGHAUL_MODEL?");
    unsetenv("LONGHAUL_MODLE");
    setenv("LONGHAUL_PORT_80_TCP", "tcp://10.0.0.1:80", 1);
    config_free(loads(path, "program"));
}

/* A parked answer comes back as one reply of Redis, with a line about the
 * call. */
static void
the_largest_answer_can_be_read_back_from_redis(void **state)
{
    (void)state;
    struct config *config = loads(NULL, "program --max-answer 60MiB");
    assert_non_null(config);
    assert_int_equal(config->max_answer_bytes, 60 << 20);
    assert_true(config->max_answer_bytes + 65536 <= REDIS_REPLY_MAX_BYTES);
    config_free(config);
    refuses(NULL, "program --max-answer 62914561", "--max-answer: wanted is");
}

static void
tells_all_errors_at_once(void **state)
{
    (void)state;
    write_file(path,
        "retention = soon\nmax_body = 1\nsimulated = maybe\n"
        "base_url = ftp://x\nmodel = two words\n"
        "redis_url = http://x\nstore_url = mysql:x\n"
        "listen = 8080\nmax_attempts = 101\nmax_answer = 61MiB\n"
        "public_url = https://x/\n");
    refuses(path, "program --limit-rpm -1", "retention: wanted is a dur");
    static const char *const messages[] = {
        "max_body: wanted is between 1024 and", "simulated: wanted is true",
        "base_url: wanted is an http", "model: wanted is a model's name",
        "redis_url: wanted is redis://", "store_url: wanted is sqlite:PATH",
        "listen: wanted is ADDRESS:PORT",
        "max_attempts: wanted is between 1 and 100",
        "max_answer: wanted is between 65536 and 62914560",
        "public_url: wanted is an address without a slash",
        "--limit-rpm: wanted is a whole number"};
    for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++)
        assert_non_null(strstr(errors.data, messages[i]));
    refuses(NULL, "program --model", "--model: a value is missing");
}

static void
refuses_what_is_set_twice(void **state)
{
    (void)state;
    write_file(path, "model = a\nmodel = b\n");
    refuses(path, "program", "test.conf:2: model is set twice");
    write_file(path, "");
    setenv("ANTHROPIC_API_KEY", "k", 1);
    setenv("ANTHROPIC_API_KEY_FILE", "/k", 1);
    refuses(path, "program", "api_key and api_key_file are both set");
    write_file("secret", "s");
    setenv("ANTHROPIC_API_KEY_FILE", "", 1);
    setenv("LONGHAUL_API_KEY", "k", 1);
    setenv("LONGHAUL_API_KEY_FILE", "secret", 1);
    refuses(path, "program",
        "LONGHAUL_API_KEY and LONGHAUL_API_KEY_FILE are both set");
    unlink("secret");
    write_file(path, "retry_base = 2m\n");
    unsetenv("LONGHAUL_API_KEY_FILE");
    refuses(path, "program", "retry_base is above retry_cap");
}

static void
refuses_lines_that_are_too_long(void **state)
{
    struct buffer text = {0};
    (void)state;
    buffer_append_text(&text, "model = x\nallowed_hosts = ");
    for (int i = 0; i < 300; i++)
        buffer_append_text(&text, "abcdef.example ");
    buffer_append_text(&text, "\nretention = 1d\nbad\n");
    write_file(path, text.data);
    refuses(path, "program", "test.conf:2: the line is too long");
    assert_non_null(strstr(errors.data, "test.conf:"));
    buffer_clear(&text);
}

static void
takes_secrets_out_of_the_environment(void **state)
{
    (void)state;
    setenv("ANTHROPIC_API_KEY", "sk-ant-canary", 1);
    write_file("secret", "  lh_canary\n");
    setenv("LONGHAUL_API_KEY_FILE", "secret", 1);
    struct config *config = loads(NULL, "program");
    assert_string_equal(config->api_key, "sk-ant-canary");
    assert_string_equal(config->client_key, "lh_canary");
    assert_null(getenv("ANTHROPIC_API_KEY"));
    struct buffer out = {0};
    config_show(config, true, false, &out);
    assert_null(strstr(out.data, "canary"));
    assert_non_null(strstr(out.data, "<set, 13 characters>"));
    buffer_reset(&out);
    config_show(config, true, true, &out);
    assert_null(strstr(out.data, "canary"));
    config_free(config);
    unlink("secret");
    setenv("LONGHAUL_API_KEY_FILE", "/nonexistent", 1);
    refuses(NULL, "program", "LONGHAUL_API_KEY_FILE: /nonexistent cannot");
    refuses(NULL, "program", "LONGHAUL_API_KEY_FILE");
    buffer_clear(&out);
}

static void
shows_values_and_where_they_come_from(void **state)
{
    struct buffer out = {0};
    (void)state;
    write_file(path, "\nretention = 48h\n");
    setenv("LONGHAUL_MAX_BODY", "1048576", 1);
    struct config *config = loads(path, "program --model m");
    config_show(config, true, false, &out);
    assert_non_null(strstr(out.data, "= 2d  ; "));
    assert_non_null(strstr(out.data, "test.conf:2\n"));
    assert_non_null(strstr(out.data, "= 1MiB  ; LONGHAUL_MAX_BODY\n"));
    assert_non_null(strstr(out.data, "= m  ; --model\n"));
    assert_non_null(strstr(out.data, "= 10s  ; default\n"));
    buffer_reset(&out);
    config_show(config, false, true, &out);
    assert_non_null(strstr(out.data, "\"model\":\"m\""));
    assert_non_null(strstr(out.data, "\"public_url\":null"));
    buffer_reset(&out);
    config_help("longhaul-worker", &out);
    assert_non_null(strstr(out.data, "--redis-url TEXT\n"));
    assert_null(strstr(out.data, "--api-key TEXT"));
    buffer_reset(&out);
    config_document(&out);
    assert_non_null(
        strstr(out.data, "| `api_key` | `ANTHROPIC_API_KEY` | none"));
    config_free(config);
    buffer_clear(&out);
}

/* --- pools --- */

static const struct config_pool *
pool_named(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->pool_count; i++) {
        if (strcmp(config->pools[i]->name, name) == 0)
            return config->pools[i];
    }
    return NULL;
}

static void
the_settings_make_the_pool_default(void **state)
{
    (void)state;
    write_file(path, "limit_rpm = 7\nbase_url = http://a\n");
    struct config *config = loads(path, "program");
    assert_int_equal(config->pool_count, 1);
    const struct config_pool *pool = pool_named(config, "default");
    assert_string_equal(pool->base_url, "http://a");
    assert_int_equal(pool->limit_rpm, 7);
    assert_int_equal(pool->limit_percent, 99);
    config_free(config);
}

static void
sections_are_pools_and_replace_an_unset_default(void **state)
{
    static const char sections[] = "[pool one]\n"
                                   "base_url = http://one\n"
                                   "auth = bearer\n"
                                   "models = claude-opus-5-5 x\n"
                                   "weight = 3\n"
                                   "[pool two]\n"
                                   "api_key_file = k\n"
                                   "limit_itpm = 5000\n";
    (void)state;
    write_file(path, sections);
    struct config *config = loads(path, "program");
    assert_int_equal(config->pool_count, 2);
    assert_null(pool_named(config, "default"));
    const struct config_pool *one = pool_named(config, "one");
    assert_string_equal(one->base_url, "http://one");
    assert_string_equal(one->auth, "bearer");
    assert_string_equal(one->models, "claude-opus-5-5 x");
    assert_int_equal(one->weight, 3);
    assert_int_equal(one->limit_percent, 99);
    assert_null(one->version);
    const struct config_pool *two = pool_named(config, "two");
    assert_string_equal(two->base_url, "https://api.anthropic.com");
    assert_string_equal(two->auth, "x-api-key");
    assert_string_equal(two->api_key_file, "k");
    assert_int_equal(two->limit_itpm, 5000);
    config_free(config);

    setenv("ANTHROPIC_API_KEY", "canary-of-a-key", 1);
    config = loads(path, "program");
    assert_int_equal(config->pool_count, 3);
    assert_string_equal(
        pool_named(config, "default")->api_key, "canary-of-a-key");
    config_forget_keys(config);
    assert_null(pool_named(config, "default")->api_key);
    assert_null(config->api_key);
    config_free(config);
}

static void
a_simulation_has_no_pool_of_a_section(void **state)
{
    (void)state;
    write_file(path, "[pool one]\nbase_url = http://one\n");
    struct config *config =
        loads(path, "program --simulated --base-url http://127.0.0.1:9");
    assert_int_equal(config->pool_count, 1);
    assert_non_null(pool_named(config, "default"));
    config_free(config);
    config = loads(path, "program --simulated");
    assert_int_equal(config->pool_count, 1);
    assert_non_null(pool_named(config, "one"));
    config_free(config);
}

static void
errors_in_sections_are_told_by_line(void **state)
{
    (void)state;
    write_file(path,
        "[pool a]\n"
        "base_ulr = http://a\n"
        "auth = basic\n"
        "weight = 0\n"
        "limit_rpm = 1\n"
        "limit_rpm = 2\n"
        "redis_url = x\n"
        "[pool default]\n"
        "weight = 1\n"
        "[pool a/b]\n"
        "weight = 1\n"
        "[pools c]\n"
        "weight = 1\n");
    refuses(path, "program",
        "test.conf:2: unknown setting base_ulr; did you mean base_url?");
    refuses(path, "program", "test.conf:3: auth: wanted is x-api-key or");
    refuses(path, "program", "test.conf:4: weight: wanted is between 1");
    refuses(path, "program", "test.conf:6: limit_rpm is set twice");
    refuses(path, "program", "test.conf:7: unknown setting redis_url");
    refuses(path, "program", "test.conf:9: [pool default]: wanted is another");
    refuses(path, "program", "test.conf:11: [pool a/b]: wanted is pool and");
    refuses(path, "program", "test.conf:13: unknown section [pools c]");
}

static void
sections_are_routes_in_their_order(void **state)
{
    static const char sections[] = "[route small]\n"
                                   "to = claude-haiku-5-5\n"
                                   "max_prompt_tokens = 2000\n"
                                   "[route rest]\n"
                                   "to = claude-sonnet-5-5\n"
                                   "lanes = bulk standard\n";
    (void)state;
    write_file(path, sections);
    struct config *config = loads(path, "program");
    assert_int_equal(config->route_count, 2);
    assert_string_equal(config->routes[0]->name, "small");
    assert_int_equal(config->routes[0]->max_prompt_tokens, 2000);
    assert_null(config->routes[0]->lanes);
    assert_string_equal(config->routes[1]->lanes, "bulk standard");
    struct buffer out = {0};
    config_show(config, true, false, &out);
    assert_non_null(strstr(out.data, "\n[route small]\n"));
    buffer_clear(&out);
    config_show(config, false, true, &out);
    assert_non_null(strstr(out.data, "\"routes\":{\"small\":{\"to\":"));
    buffer_clear(&out);
    config_free(config);
    write_file(path,
        "[route a]\nlanes = fast\n[route b]\n"
        "to = x\nmin_prompt_tokens = 9\nmax_prompt_tokens = 8\n"
        "[route c/d]\nto = x\n[route e]\ntoo = x\n");
    refuses(path, "program", "test.conf:2: lanes");
    refuses(path, "program", "[route a]: to is missing");
    refuses(path, "program", "[route b]: max_prompt_tokens is less");
    refuses(path, "program", "[route c/d]: wanted is a name of letters");
    refuses(path, "program", "test.conf:10: unknown setting too");
}

static void
pools_are_shown_with_where_they_come_from(void **state)
{
    struct buffer out = {0};
    (void)state;
    write_file(path, "[pool one]\nbase_url = http://one\n");
    struct config *config = loads(path, "program");
    config_show(config, true, false, &out);
    assert_non_null(strstr(out.data, "\n[pool one]\n"));
    assert_non_null(strstr(out.data, "= http://one  ; "));
    assert_non_null(strstr(out.data, "test.conf:2\n"));
    buffer_reset(&out);
    config_show(config, false, true, &out);
    assert_non_null(strstr(out.data, "\"pools\":{\"one\":{\"base_url\":"));
    assert_null(strstr(out.data, "\"default\":{"));
    config_free(config);
    buffer_clear(&out);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, clean, clean)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(knows_the_defaults),
        TEST(prefers_flag_to_environment_to_file_to_default),
        TEST(finds_its_file),
        TEST(leaves_other_words_alone),
        TEST(names_what_is_unknown_and_suggests),
        TEST(the_largest_answer_can_be_read_back_from_redis),
        TEST(tells_all_errors_at_once),
        TEST(refuses_what_is_set_twice),
        TEST(refuses_lines_that_are_too_long),
        TEST(takes_secrets_out_of_the_environment),
        TEST(shows_values_and_where_they_come_from),
        TEST(sections_are_routes_in_their_order),
        TEST(the_settings_make_the_pool_default),
        TEST(sections_are_pools_and_replace_an_unset_default),
        TEST(a_simulation_has_no_pool_of_a_section),
        TEST(errors_in_sections_are_told_by_line),
        TEST(pools_are_shown_with_where_they_come_from),
    };
    return cmocka_run_group_tests(tests, in_a_directory, remove_directory);
}
