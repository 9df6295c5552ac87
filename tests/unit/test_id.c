#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/id.h"

static void
ids_carry_their_prefix_and_are_valid(void **state)
{
    (void)state;
    char id[ID_SIZE];
    id_make("job_", id);
    assert_int_equal(strlen(id), 4 + ID_UUID_LEN);
    assert_true(id_is_valid(slice_of(id), "job_"));
    assert_false(id_is_valid(slice_of(id), "req_"));
    id_make("", id);
    assert_true(id_is_valid(slice_of(id), ""));
    id_make("12345678", id);
    assert_true(id_is_valid(slice_of(id), "12345678"));
}

static void
ids_of_one_process_ascend_strictly(void **state)
{
    (void)state;
    char last[ID_SIZE], next[ID_SIZE];
    id_make("job_", last);
    for (int i = 0; i < 200000; i++) {
        id_make("job_", next);
        assert_true(strcmp(last, next) < 0);
        memcpy(last, next, sizeof(last));
    }
}

static void
an_id_tells_when_it_was_made(void **state)
{
    (void)state;
    char id[ID_SIZE];
    int64_t before = clock_wall_ms();
    id_make("job_", id);
    /* The counter may be ahead of the clock only by a carry out of 74 bits. */
    assert_in_range(id_wall_ms(slice_of(id)), before, clock_wall_ms());
    assert_int_equal(
        id_wall_ms(slice_of("job_0199f6a2-5c1e-7abc-9def-0123456789ab")),
        INT64_C(0x0199f6a25c1e));
}

static void
a_member_has_the_same_id_every_time(void **state)
{
    (void)state;
    static const char group[] = "0199f6a2-5c1e-7abc-9def-0123456789ab";
    char id[ID_SIZE], again[ID_SIZE];
    id_make_member("job_", group, slice_of("row-1"), id);
    id_make_member("job_", group, slice_of("row-1"), again);
    assert_string_equal(id, again);
    assert_true(id_is_valid(slice_of(id), "job_"));
    assert_int_equal(id_wall_ms(slice_of(id)), INT64_C(0x0199f6a25c1e));
    /* As SHA-256 of the bytes says; a change would buy rows twice. */
    assert_string_equal(id, "job_0199f6a2-5c1e-7e73-b15c-d429f53cff06");
    id_make_member("job_", group, slice_of("row-2"), again);
    assert_string_not_equal(id, again);
    id_make_member("job_", "0199f6a2-5c1e-7abc-9def-0123456789ac",
        slice_of("row-1"), again);
    assert_string_not_equal(id, again);
}

static void
other_forms_are_not_ids(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool valid;
    } cases[] = {
        {"job_0199f6a2-5c1e-7abc-9def-0123456789ab", true},
        {"job_0199f6a2-5c1e-7abc-8def-0123456789ab", true},
        {"job_0199f6a2-5c1e-7abc-bdef-0123456789ab", true},
        {"job_0199F6A2-5c1e-7abc-9def-0123456789ab", false},
        {"job_0199f6a2-5c1e-4abc-9def-0123456789ab", false},
        {"job_0199f6a2-5c1e-7abc-7def-0123456789ab", false},
        {"job_0199f6a2-5c1e-7abc-cdef-0123456789ab", false},
        {"job_0199f6a2-5c1e-7abc-9def-0123456789a", false},
        {"job_0199f6a2-5c1e-7abc-9def-0123456789abc", false},
        {"job_0199f6a25c1e-7abc-9def-0123456789abcd", false},
        {"job_0199f6a2-5c1e-7abc-9def-0123456789ag", false},
        {"job_ 199f6a2-5c1e-7abc-9def-0123456789ab", false},
        {"0199f6a2-5c1e-7abc-9def-0123456789ab", false},
        {"JOB_0199f6a2-5c1e-7abc-9def-0123456789ab", false},
        {"job_", false},
        {"job", false},
        {"", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(
            id_is_valid(slice_of(cases[i].text), "job_"), cases[i].valid);
    assert_false(id_is_valid(
        slice_make("job_0199f6a2-5c1e-7abc-9def-012345678\0ab", 40), "job_"));
}

static void
random_bytes_come_in_every_length(void **state)
{
    (void)state;
    unsigned char bytes[10000], again[10000];
    for (size_t len = 32; len < sizeof(bytes); len = len * 3 + 1) {
        memset(bytes, 0, sizeof(bytes));
        id_random_bytes(bytes, len);
        id_random_bytes(again, len);
        assert_memory_not_equal(bytes, again, len);
        for (size_t i = len; i < sizeof(bytes); i++)
            assert_int_equal(bytes[i], 0);
    }
    id_random_bytes(bytes, 0);
}

static void
a_forked_child_makes_other_random_bytes(void **state)
{
    (void)state;
    unsigned char mine[32], theirs[32];
    int ends[2];
    id_random_bytes(mine, 1);
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        id_random_bytes(theirs, sizeof(theirs));
        ssize_t sent = write(ends[1], theirs, sizeof(theirs));
        _exit(sent == (ssize_t)sizeof(theirs) ? 0 : 1);
    }
    int status;
    id_random_bytes(mine, sizeof(mine));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(read(ends[0], theirs, sizeof(theirs)), sizeof(theirs));
    assert_memory_not_equal(mine, theirs, sizeof(mine));
    close(ends[0]);
    close(ends[1]);
}

#define PER_THREAD 20000

static void *
make_many(void *arg)
{
    char(*ids)[ID_SIZE] = arg;
    for (int i = 0; i < PER_THREAD; i++)
        id_make("job_", ids[i]);
    return NULL;
}

static void
threads_never_share_an_id(void **state)
{
    (void)state;
    char(*a)[ID_SIZE] = memory_alloc(PER_THREAD * sizeof(*a));
    char(*b)[ID_SIZE] = memory_alloc(PER_THREAD * sizeof(*b));
    pthread_t threads[2];
    assert_int_equal(pthread_create(&threads[0], NULL, make_many, a), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, make_many, b), 0);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    /* Both lists ascend, so one walk over both finds a common id. */
    for (int i = 0, j = 0; i < PER_THREAD && j < PER_THREAD;) {
        int order = strcmp(a[i], b[j]);
        assert_int_not_equal(order, 0);
        i += order < 0;
        j += order > 0;
    }
    memory_free(a);
    memory_free(b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_id_tells_when_it_was_made),
        cmocka_unit_test(ids_carry_their_prefix_and_are_valid),
        cmocka_unit_test(ids_of_one_process_ascend_strictly),
        cmocka_unit_test(a_member_has_the_same_id_every_time),
        cmocka_unit_test(other_forms_are_not_ids),
        cmocka_unit_test(random_bytes_come_in_every_length),
        cmocka_unit_test(a_forked_child_makes_other_random_bytes),
        cmocka_unit_test(threads_never_share_an_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
