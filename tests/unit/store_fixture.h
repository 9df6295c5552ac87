#ifndef LH_TESTS_UNIT_STORE_FIXTURE_H
#define LH_TESTS_UNIT_STORE_FIXTURE_H

/*
 * store_fixture: a result store in a temporary folder, and its calls as
 * functions that run the loop until the callback came. For test_store*.c.
 */

#include <event2/event.h>

#include "common/store/store.h"

struct store_fixture {
    char folder[256];
    char path[300];
    char url[320];
    struct event_base *base;
    struct store *store; /* reads and writes */
};

/* What the last callback said. Cleared by the next call. */
struct store_reply {
    bool came;
    enum store_status status;
    size_t count;
    struct job_result rows[1000];
    struct buffer bytes;
    unsigned swept;
    bool more;
};
extern struct store_reply store_reply;

void store_fixture_open(struct store_fixture *fixture);
void store_fixture_reopen(struct store_fixture *fixture);
void store_fixture_close(struct store_fixture *fixture);
void store_fixture_clear_reply(void);
/* One more store on the same loop and file. */
struct store *store_fixture_open_other(
    struct store_fixture *fixture, unsigned flags);

/* A row with everything filled in; `number` makes its id and times. */
void store_fixture_result(
    struct job_result *result, unsigned number, enum job_state state);
/* job_00000000-0001-7000-8000-00000000002a for 42. */
void store_fixture_id(char out[ID_SIZE], unsigned number);

enum store_status store_fixture_commit(struct store_fixture *fixture,
    struct store *store, const struct job_result *result, const char *answer,
    const char *request);
enum store_status store_fixture_get(struct store_fixture *fixture,
    struct store *store, const char *id, int generation, enum store_part part);
enum store_status store_fixture_list(struct store_fixture *fixture,
    struct store *store, const struct store_filter *filter, const char *before,
    unsigned limit);
/* Runs the loop until the reply came. */
void store_fixture_wait(struct store_fixture *fixture);
void store_fixture_on_status(void *arg, enum store_status status);
void store_fixture_on_committed(
    void *arg, enum store_status status, const struct job_result *existing);
void store_fixture_on_row(void *arg, enum store_status status,
    const struct job_result *row, struct slice bytes);
void store_fixture_on_swept(
    void *arg, enum store_status status, unsigned count, bool more);
void store_fixture_on_marker(
    void *arg, enum store_status status, struct slice marker);

/* What SQLite itself finds in the file: one number or text. */
int64_t store_fixture_sql_int(
    const struct store_fixture *fixture, const char *sql);
bool store_fixture_is_sound(const struct store_fixture *fixture);

#endif
