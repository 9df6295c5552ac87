#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <curl/curl.h>
#include <jansson.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/memory.h"

static void
zero_bytes_give_a_unique_pointer(void **state)
{
    (void)state;
    void *a = memory_alloc(0);
    void *b = memory_zalloc(0, 8);
    void *c = memory_resize(NULL, 0);
    assert_non_null(a);
    assert_non_null(b);
    assert_non_null(c);
    assert_ptr_not_equal(a, b);
    memory_free(a);
    memory_free(b);
    memory_free(c);
    memory_free(NULL);
}

static void
cleared_memory_is_cleared(void **state)
{
    (void)state;
    unsigned char *bytes = memory_zalloc(1000, 3);
    for (size_t i = 0; i < 3000; i++)
        assert_int_equal(bytes[i], 0);
    memory_free(bytes);
}

static void
copies_are_terminated(void **state)
{
    (void)state;
    char *text = memory_dup("hello");
    char *bytes = memory_dup_bytes("a\0bc", 3);
    char *empty = memory_dup_bytes(NULL, 0);
    assert_string_equal(text, "hello");
    assert_memory_equal(bytes, "a\0b", 4);
    assert_string_equal(empty, "");
    memory_free(text);
    memory_free(bytes);
    memory_free(empty);
}

static void
resizing_keeps_what_was_there(void **state)
{
    (void)state;
    char *text = memory_dup("kept");
    text = memory_resize(text, 100000);
    assert_string_equal(text, "kept");
    memory_free(text);
}

/* The process ends by SIGABRT and has said why on stderr. */
static void
assert_aborts(void (*run)(void), const char *says)
{
    int ends[2];
    char said[256] = "";
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        const struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        /* The sanitizer's own handler would print and exit instead. */
        sigaction(SIGABRT, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
        dup2(ends[1], STDERR_FILENO);
        run();
        _exit(0);
    }
    int status;
    close(ends[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(read(ends[0], said, sizeof(said) - 1) >= 0);
    close(ends[0]);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_non_null(strstr(said, says));
}

static void
ask_for_too_much(void)
{
    memory_free(memory_zalloc(SIZE_MAX / 2, 4));
}

static void
copy_too_much(void)
{
    memory_free(memory_dup_bytes("x", SIZE_MAX));
}

static void
an_impossible_size_ends_the_process(void **state)
{
    (void)state;
    assert_aborts(copy_too_much, "length");
}

static void
a_product_that_overflows_ends_the_process(void **state)
{
    (void)state;
    assert_aborts(ask_for_too_much, "out of memory");
}

static void
libraries_use_the_same_allocator(void **state)
{
    (void)state;
    json_malloc_t json_malloc_now;
    json_free_t json_free_now;
    memory_install_hooks();
    json_get_alloc_funcs(&json_malloc_now, &json_free_now);
    assert_true(json_malloc_now == memory_alloc);
    assert_true(json_free_now == memory_free);
    curl_global_cleanup();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zero_bytes_give_a_unique_pointer),
        cmocka_unit_test(cleared_memory_is_cleared),
        cmocka_unit_test(copies_are_terminated),
        cmocka_unit_test(resizing_keeps_what_was_there),
        cmocka_unit_test(an_impossible_size_ends_the_process),
        cmocka_unit_test(a_product_that_overflows_ends_the_process),
        cmocka_unit_test(libraries_use_the_same_allocator),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* calloc() under the sanitizer must answer NULL as libc does. */
const char *__asan_default_options(void);
const char *
__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}
