#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/status_suite.h"

#define UNKNOWN "job_0199f6a2-5c1e-7abc-9def-0123456789ab"
#define AS_ALICE "x-api-key: " ALICE "\r\n"
#define AS_BOB "x-api-key: " BOB "\r\n"
#define AS_OPS "Authorization: Bearer " OPS "\r\n"
#define ALICE "lh_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define BOB "lh_bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define OPS "lh_ooooooooooooooooooooooooooooooooooooooooooo"
#define ALICE_SHA \
    "97d3d43f332f1c04a262b47fc87d3f407af3743856fe9f24a0da2b9ef5f9b8fa"
#define BOB_SHA \
    "e9c8edc4133eeb7b5be8e0b305792a7206806c3fcb1e20ba9a84ddf5ab852b62"
#define OPS_SHA \
    "d6664c1f94a2bc10416449c399b725ca8b3856a2d3ee624d2bb652cb04391183"
#define QUEUE "interactive:other"

static char alices[ID_SIZE], done[ID_SIZE];

static int
start(void **state)
{
    static const char keys[] = "alice " ALICE_SHA " submit,read\n"
                               "bob " BOB_SHA " submit,read\n"
                               "ops " OPS_SHA " read,operate\n";
    struct rig_job job = {.tenant = "alice"};
    (void)state;
    rig = rig_new(keys);
    rig_submit(rig, &job, done);
    rig_claim_all(rig, QUEUE);
    rig_succeed(rig, done, "{\"type\":\"message\"}");
    rig_submit(rig, &job, alices);
    return 0;
}

/* "%s" in the path is the id. */
static unsigned
ask(const char *method, const char *as, const char *path, const char *id)
{
    const char *at = strstr(path, "%s");
    return rig_ask(
        rig, method, as, NULL, "%.*s%s%s", (int)(at - path), path, id, at + 2)
        ->status;
}

static void
a_key_sees_its_own_jobs(void **state)
{
    (void)state;
    assert_int_equal(ask("GET", AS_ALICE, "/v1/jobs/%s", alices), 200);
    assert_int_equal(ask("GET", AS_ALICE, "/v1/jobs/%s/result", done), 200);
    assert_int_equal(ask("GET", AS_ALICE, "/v1/jobs?tenant=%s", "alice"), 200);
    assert_int_equal(json_array_size(rig_member("data")), 2);
}

static void
anothers_job_looks_like_none(void **state)
{
    static const struct {
        const char *method;
        const char *path;
    } rows[] = {{"GET", "/v1/jobs/%s"}, {"GET", "/v1/jobs/%s?wait=20"},
        {"GET", "/v1/jobs/%s/result"}, {"GET", "/v1/jobs/%s/result?wait=20"},
        {"POST", "/v1/jobs/%s/cancel"}, {"DELETE", "/v1/jobs/%s"}};
    const char *const ids[] = {alices, done, UNKNOWN};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (size_t j = 0; j < 3; j++) {
            assert_int_equal(
                ask(rows[i].method, AS_BOB, rows[i].path, ids[j]), 404);
            assert_string_equal(
                rig_text("error.message"), "there is no job with this id");
        }
    }
    ask("GET", AS_BOB, "/v1/jobs%s", "");
    assert_int_equal(json_array_size(rig_member("data")), 0);
    assert_int_equal(ask("GET", AS_BOB, "/v1/jobs?tenant=%s", "alice"), 400);
    assert_int_equal(ask("GET", AS_ALICE, "/v1/jobs/%s", alices), 200);
    assert_string_equal(rig_text("status"), "queued");
}

static void
an_operator_sees_all_of_them(void **state)
{
    (void)state;
    assert_int_equal(ask("GET", AS_OPS, "/v1/jobs/%s", alices), 200);
    ask("GET", AS_OPS, "/v1/jobs%s", "");
    assert_int_equal(json_array_size(rig_member("data")), 2);
    assert_int_equal(ask("GET", AS_OPS, "/v1/dead-letters%s", ""), 200);
}

static void
operators_routes_want_the_scope(void **state)
{
    static const char *const paths[] = {"/v1/dead-letters%s",
        "/v1/dead-letters/groups%s", "/v1/operations%s", "/v1/lanes%s",
        "/v1/pools%s"};
    (void)state;
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        assert_int_equal(ask("GET", AS_ALICE, paths[i], ""), 403);
        assert_int_equal(ask("GET", "", paths[i], ""), 401);
    }
    assert_int_equal(ask("POST", AS_ALICE, "/v1/lanes/bulk/pause%s", ""), 403);
    assert_int_equal(
        ask("POST", AS_ALICE, "/v1/pools/default/resume%s", ""), 403);
    assert_int_equal(ask("GET", "", "/v1/jobs/%s", alices), 401);
    assert_int_equal(ask("POST", AS_OPS, "/v1/jobs/%s/cancel", alices), 403);
    assert_int_equal(ask("GET", "", "/openapi.json%s", ""), 200);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_sees_its_own_jobs),
        cmocka_unit_test(anothers_job_looks_like_none),
        cmocka_unit_test(an_operator_sees_all_of_them),
        cmocka_unit_test(operators_routes_want_the_scope),
    };
    return cmocka_run_group_tests(tests, start, status_suite_stop);
}
