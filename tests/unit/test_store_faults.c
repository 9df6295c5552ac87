#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/store/sqlite.h"
#include "tests/unit/store_suite.h"

static enum store_status
commit(const struct job_result *row, const char *answer)
{
    return store_fixture_commit(&fixture, fixture.store, row, answer, "");
}

/* ---- other processes ---- */

/*
 * Children are this program again, with a role and its words: what a fork of
 * a process with threads may do before exec is next to nothing.
 */
static pid_t
spawn(int out_fd, int err_fd, const char *role, const char *where,
    const char *first, const char *count, const char *answer)
{
    const char *args[] = {
        "test_store_faults", role, where, first, count, answer, NULL};
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    if (dup2(out_fd, STDOUT_FILENO) < 0 || dup2(err_fd, STDERR_FILENO) < 0)
        _exit(90);
    execv("/proc/self/exe", (char *const *)args);
    _exit(91);
}

static struct store *
open_in_child(struct event_base *base, const char *where)
{
    char error[512], url[400];
    snprintf(url, sizeof(url), "sqlite:%s", where);
    struct store *store =
        store_open(base, url, STORE_READ | STORE_WRITE, error, sizeof(error));
    if (store == NULL)
        _exit(9);
    return store;
}

struct numbered {
    unsigned *left;
    unsigned number;
};

/* One line of fixed length for each answer: acknowledged means written. */
static void
on_child_committed(
    void *arg, enum store_status status, const struct job_result *existing)
{
    struct numbered *one = arg;
    uint32_t line[2] = {one->number, (uint32_t)status};
    (void)existing;
    if (write(STDOUT_FILENO, line, sizeof(line)) != sizeof(line))
        _exit(8);
    (*one->left)--;
}

static int
commit_in_child(
    const char *where, unsigned first, unsigned count, const char *answer)
{
    struct event_base *base = event_base_new();
    struct store *store = open_in_child(base, where);
    unsigned left = count;
    struct numbered *all = memory_zalloc(count, sizeof(*all));
    for (unsigned i = 0; i < count; i++) {
        struct job_result row;
        all[i] = (struct numbered){&left, first + i};
        store_fixture_result(&row, first + i, JOB_SUCCEEDED);
        store_commit(store, &row, slice_of(answer), SLICE_NULL,
            on_child_committed, &all[i]);
        if (i % 16 == 15) /* many groups rather than one */
            event_base_loop(base, EVLOOP_ONCE);
    }
    while (left > 0)
        event_base_loop(base, EVLOOP_ONCE);
    store_close(store);
    event_base_free(base);
    memory_free(all);
    return 0;
}

static pid_t
start_child(int *fd, unsigned first, unsigned count, const char *answer)
{
    int ends[2];
    char from[16], number[16];
    snprintf(from, sizeof(from), "%u", first);
    snprintf(number, sizeof(number), "%u", count);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t pid = spawn(
        ends[1], STDERR_FILENO, "commit", fixture.path, from, number, answer);
    close(ends[1]);
    *fd = ends[0];
    return pid;
}

static int
wait_for(pid_t pid)
{
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void
of_two_processes_exactly_one_wins_each_row(void **state)
{
    (void)state;
    enum { ROWS = 400 };
    int fds[2];
    pid_t pids[2];
    unsigned won[ROWS] = {0};
    uint32_t line[2];
    static const char *const answers[] = {"a", "b"};
    for (int i = 0; i < 2; i++)
        pids[i] = start_child(&fds[i], 0, ROWS, answers[i]);
    for (int i = 0; i < 2; i++) {
        while (read(fds[i], line, sizeof(line)) == sizeof(line)) {
            assert_true(line[0] < ROWS);
            assert_true(line[1] == STORE_OK || line[1] == STORE_EXISTS);
            won[line[0]] += line[1] == STORE_OK ? 1 + 10 * (unsigned)i : 0;
        }
        close(fds[i]);
    }
    for (int i = 0; i < 2; i++)
        assert_int_equal(wait_for(pids[i]), 0);
    for (unsigned i = 0; i < ROWS; i++) {
        char id[ID_SIZE];
        assert_true(won[i] == 1 || won[i] == 11);
        store_fixture_id(id, i);
        assert_int_equal(
            store_fixture_get(&fixture, fixture.store, id, 0, STORE_ANSWER),
            STORE_OK);
        assert_int_equal(store_reply.bytes.data[0], won[i] == 1 ? 'a' : 'b');
    }
    assert_true(store_fixture_is_sound(&fixture));
}

/* Killed at the n-th acknowledgement, with more on their way. */
static void
kill_after(unsigned first, unsigned acknowledged)
{
    int fd;
    uint32_t line[2];
    unsigned count = 0, last = 0;
    pid_t pid = start_child(&fd, first, 3000, "{\"answer\":1}");
    while (count < acknowledged && read(fd, line, sizeof(line)) > 0)
        count++;
    kill(pid, SIGKILL);
    assert_true(WIFSIGNALED(wait_for(pid)));
    last = line[0];
    while (read(fd, line, sizeof(line)) == sizeof(line))
        last = line[0];
    close(fd);
    assert_true(last - first + 1 >= acknowledged);
    for (unsigned i = first; i <= last; i++) {
        char id[ID_SIZE];
        store_fixture_id(id, i);
        assert_int_equal(
            store_fixture_get(&fixture, fixture.store, id, 0, STORE_ROW),
            STORE_OK);
    }
    assert_true(store_fixture_is_sound(&fixture));
}

static void
a_kill_loses_no_acknowledged_row(void **state)
{
    (void)state;
    struct job_result row;
    for (unsigned round = 0; round < 8; round++)
        kill_after(round * 10000, 1 + round * 170);
    /* What it left behind holds nobody up. */
    store_fixture_reopen(&fixture);
    store_fixture_result(&row, 999999, JOB_SUCCEEDED);
    assert_int_equal(commit(&row, "{}"), STORE_OK);
}

/* ---- the lock ---- */

static void
a_lock_that_stays_taken_is_busy(void **state)
{
    (void)state;
    char error[512], name[400];
    struct job_result row;
    struct sqlite_writer *writer =
        sqlite_writer_open(fixture.path, error, sizeof(error));
    assert_non_null(writer);
    writer->lock_wait_ms = 20;
    struct store_work *work = store_work_new(STORE_WORK_MARKER_SET, NULL);
    work->text = memory_dup("marker");
    snprintf(name, sizeof(name), "%s.lock", fixture.path);
    int other = open(name, O_RDWR | O_CLOEXEC);
    assert_int_equal(flock(other, LOCK_EX), 0);
    sqlite_writer_run(writer, &work, 1);
    assert_int_equal(work->status, STORE_BUSY);
    assert_int_equal(flock(other, LOCK_UN), 0);
    sqlite_writer_run(writer, &work, 1);
    assert_int_equal(work->status, STORE_OK);
    close(other);
    store_work_free(work);
    sqlite_writer_close(writer);
    store_fixture_result(&row, 1, JOB_SUCCEEDED);
    assert_int_equal(commit(&row, "{}"), STORE_OK);
}

static void
one_holder_at_a_time_has_the_lock(void **state)
{
    (void)state;
    struct sqlite_lock one, two;
    assert_int_equal(sqlite_lock_init(&one, fixture.path), 0);
    assert_int_equal(sqlite_lock_init(&two, fixture.path), 0);
    assert_int_equal(sqlite_lock_take(&one, 0), 0);
    assert_int_equal(sqlite_lock_take(&two, 0), -1);
    assert_int_equal(sqlite_lock_take(&two, 5), -1);
    sqlite_lock_drop(&one);
    assert_int_equal(sqlite_lock_take(&two, 0), 0);
    assert_int_equal(sqlite_lock_take(&one, 0), -1);
    sqlite_lock_clear(&two); /* closing gives it back */
    assert_int_equal(sqlite_lock_take(&one, 0), 0);
    sqlite_lock_clear(&one);
}

static void
the_lock_is_held_while_writing_and_not_between(void **state)
{
    (void)state;
    struct sqlite_lock lock;
    struct job_result row;
    assert_int_equal(sqlite_lock_init(&lock, fixture.path), 0);
    assert_int_equal(sqlite_lock_take(&lock, 0), 0);
    store_fixture_result(&row, 1, JOB_SUCCEEDED);
    store_fixture_clear_reply();
    store_commit(fixture.store, &row, SLICE_NULL, SLICE_NULL,
        store_fixture_on_committed, NULL);
    store_fixture_id(row.id, 1);
    for (int i = 0; i < 20; i++) { /* reads do not wait for it */
        assert_int_equal(
            store_fixture_get(&fixture, fixture.store, row.id, 0, STORE_ROW),
            STORE_ABSENT);
    }
    store_fixture_clear_reply();
    sqlite_lock_drop(&lock);
    store_fixture_wait(&fixture);
    assert_int_equal(store_reply.status, STORE_OK);
    assert_int_equal(sqlite_lock_take(&lock, 1000), 0);
    sqlite_lock_clear(&lock);
}

static void
a_symbolic_link_leads_to_the_same_lock(void **state)
{
    (void)state;
    char link[300], lock[310];
    struct job_result row;
    struct store_fixture linked = fixture;
    snprintf(link, sizeof(link), "%.200s/link.db", fixture.folder);
    snprintf(lock, sizeof(lock), "%s.lock", link);
    assert_int_equal(symlink(fixture.path, link), 0);
    snprintf(linked.url, sizeof(linked.url), "sqlite:%s", link);
    struct store *other = store_fixture_open_other(&linked, STORE_WRITE);
    store_fixture_result(&row, 1, JOB_SUCCEEDED);
    assert_int_equal(
        store_fixture_commit(&fixture, other, &row, "1", ""), STORE_OK);
    assert_int_equal(commit(&row, "2"), STORE_EXISTS);
    assert_int_equal(access(lock, F_OK), -1);
    store_close(other);
}

/* ---- a reader alone ---- */

static void
a_reader_waits_for_the_file_to_appear(void **state)
{
    (void)state;
    char error[512] = "";
    struct job_result row;
    struct store_filter any = {.has_state = false};
    struct store_fixture later = fixture;
    snprintf(later.path, sizeof(later.path), "%s/later.db", fixture.folder);
    snprintf(later.url, sizeof(later.url), "sqlite:%s", later.path);
    struct store *reader = store_fixture_open_other(&later, STORE_READ);
    store_fixture_result(&row, 1, JOB_SUCCEEDED);
    assert_int_equal(
        store_fixture_get(&later, reader, row.id, -1, STORE_ROW), STORE_ABSENT);
    assert_int_equal(
        store_fixture_list(&later, reader, &any, NULL, 5), STORE_OK);
    assert_int_equal(store_reply.count, 0);
    assert_int_equal(access(later.path, F_OK), -1); /* it makes nothing */
    later.store = store_open(
        later.base, later.url, STORE_READ | STORE_WRITE, error, sizeof(error));
    assert_non_null(later.store);
    assert_int_equal(
        store_fixture_commit(&later, later.store, &row, "answer", ""),
        STORE_OK);
    assert_int_equal(
        store_fixture_get(&later, reader, row.id, -1, STORE_ANSWER), STORE_OK);
    assert_int_equal(store_reply.bytes.len, 6);
    assert_int_equal(
        store_fixture_commit(&later, reader, &row, "x", ""), STORE_FAILED);
    store_close(later.store);
    assert_int_equal(
        store_fixture_get(&later, reader, row.id, -1, STORE_ANSWER), STORE_OK);
    store_close(reader);
}

/* ---- files that are not ours ---- */

static void
assert_refused(const char *path, unsigned flags, const char *words)
{
    char error[512] = "", url[400];
    snprintf(url, sizeof(url), "sqlite:%s", path);
    struct store *store =
        store_open(fixture.base, url, flags, error, sizeof(error));
    assert_null(store);
    if (strstr(error, words) == NULL)
        print_error("%s\n", error);
    assert_non_null(strstr(error, words));
    assert_non_null(strstr(error, path));
}

static void
write_bytes(const char *path, long at, const char *bytes, size_t len)
{
    FILE *file = fopen(path, at == 0 ? "wb" : "r+b");
    assert_non_null(file);
    fseek(file, at, SEEK_SET);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    fclose(file);
}

static void
make_database(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void
foreign_files_are_refused_in_words(void **state)
{
    (void)state;
    static const unsigned modes[] = {STORE_READ, STORE_READ | STORE_WRITE};
    char noise[400], other[400], newer[400];
    snprintf(noise, sizeof(noise), "%s/noise.db", fixture.folder);
    snprintf(other, sizeof(other), "%s/other.db", fixture.folder);
    snprintf(newer, sizeof(newer), "%s/newer.db", fixture.folder);
    for (int i = 0; i < 200; i++)
        write_bytes(noise, i * 20, "certainly no database", 21);
    make_database(other, "CREATE TABLE t (x); INSERT INTO t VALUES (1)");
    make_database(newer,
        "CREATE TABLE t (x); PRAGMA user_version = 9999;"
        "PRAGMA application_id = 0x4c486175");
    for (size_t i = 0; i < 2; i++) {
        assert_refused(noise, modes[i], "not a SQLite database");
        assert_refused(other, modes[i], "belongs to another program");
        assert_refused(newer, modes[i], "newer longhaul");
    }
    assert_refused("/nonexistent/x.db", STORE_WRITE, "does its folder exist");
    char error[512];
    assert_null(store_open(
        fixture.base, "postgresql://x", STORE_READ, error, sizeof(error)));
    assert_null(
        store_open(fixture.base, "sqlite:", STORE_READ, error, sizeof(error)));
}

static void
a_damaged_file_is_refused_in_words(void **state)
{
    (void)state;
    char junk[2000];
    struct job_result row;
    for (unsigned i = 0; i < 200; i++) {
        store_fixture_result(&row, i, JOB_SUCCEEDED);
        assert_int_equal(commit(&row, "{}"), STORE_OK);
    }
    store_close(fixture.store);
    memset(junk, 0x5a, sizeof(junk));
    for (int page = 2; page < 12; page++)
        write_bytes(fixture.path, page * 4096L, junk, sizeof(junk));
    assert_refused(fixture.path, STORE_WRITE, "the file is damaged");
    fixture.store = NULL;
}

static int
open_without_permission(const char *path)
{
    char error[512] = "", url[200];
    struct event_base *base = event_base_new();
    if (getuid() == 0 && setuid(65534) != 0) /* root may write everywhere */
        return 3;
    snprintf(url, sizeof(url), "sqlite:%s", path);
    struct store *store =
        store_open(base, url, STORE_WRITE, error, sizeof(error));
    event_base_free(base);
    if (store == NULL && strstr(error, "no permission") != NULL)
        return 0;
    fprintf(stderr, "%s\n", error);
    return 1;
}

static void
a_file_without_permission_is_refused_in_words(void **state)
{
    (void)state;
    char folder[] = "/tmp/longhaul-test.XXXXXX", path[100], lock[110];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/x.db", folder);
    snprintf(lock, sizeof(lock), "%s.lock", path);
    assert_int_equal(chmod(folder, 0755), 0);
    make_database(path, "PRAGMA user_version = 0");
    write_bytes(path, 0, "", 0);
    write_bytes(lock, 0, "", 0);
    assert_int_equal(chmod(path, 0444), 0);
    assert_int_equal(chmod(lock, 0666), 0);
    pid_t pid =
        spawn(STDOUT_FILENO, STDERR_FILENO, "readonly", path, NULL, NULL, NULL);
    assert_int_equal(wait_for(pid), 0);
    unlink(path);
    unlink(lock);
    rmdir(folder);
}

/* ---- the disk ---- */

/* In a child with a small file system of its own: 0, or where it failed. */
static int
fill_the_disk(const char *folder)
{
    struct buffer noise = {0};
    struct job_result row;
    char ballast[400];
    unsigned fit = 0;
    if (unshare(CLONE_NEWNS) != 0 ||
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", folder, "tmpfs", 0, "size=1200k") != 0)
        return 77;
    snprintf(ballast, sizeof(ballast), "%s/ballast", folder);
    id_random_bytes(buffer_reserve(&noise, 300000), 300000);
    write_bytes(ballast, 0, noise.data, 300000);
    snprintf(fixture.path, sizeof(fixture.path), "%s/x.db", folder);
    fixture.base = event_base_new();
    struct store *store = open_in_child(fixture.base, fixture.path);
    noise.len = 60000;
    do {
        store_fixture_result(&row, fit, JOB_SUCCEEDED);
        store_fixture_clear_reply();
        store_commit(store, &row, buffer_slice(&noise), SLICE_NULL,
            store_fixture_on_committed, NULL);
        store_fixture_wait(&fixture);
        fit += store_reply.status == STORE_OK;
    } while (store_reply.status == STORE_OK && fit < 100);
    if (store_reply.status != STORE_FULL || fit < 2 || fit == 100)
        return 2;
    if (store_fixture_get(&fixture, store, row.id, 0, STORE_ROW) !=
        STORE_ABSENT)
        return 3;
    unlink(ballast);
    if (store_fixture_commit(&fixture, store, &row, "fits now", "") != STORE_OK)
        return 4;
    for (unsigned i = 0; i <= fit; i++) {
        char id[ID_SIZE];
        store_fixture_id(id, i);
        if (store_fixture_get(&fixture, store, id, 0, STORE_ANSWER) !=
                STORE_OK ||
            store_reply.bytes.len == 0)
            return 5;
    }
    if (!store_fixture_is_sound(&fixture))
        return 6;
    store_close(store);
    event_base_free(fixture.base);
    buffer_clear(&noise);
    store_fixture_clear_reply();
    return 0;
}

static void
a_full_disk_refuses_and_loses_nothing(void **state)
{
    (void)state;
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC); /* expected noise */
    pid_t pid =
        spawn(STDOUT_FILENO, null, "full", fixture.folder, NULL, NULL, NULL);
    close(null);
    int status = wait_for(pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip(); /* no right to mount */
    assert_int_equal(status, 0);
}

/* SQLite's own file layer, with an fsync that can be made to fail. */
static struct {
    sqlite3_vfs vfs;
    sqlite3_vfs *real;
    sqlite3_io_methods methods[2]; /* of other files, of databases */
    int (*real_sync)(sqlite3_file *, int);
    bool sync_fails;
} liar;

static int
lie_about_sync(sqlite3_file *file, int flags)
{
    if (liar.sync_fails)
        return SQLITE_IOERR_FSYNC;
    return liar.real_sync(file, flags);
}

static int
open_with_lies(sqlite3_vfs *vfs, const char *name, sqlite3_file *file,
    int flags, int *out_flags)
{
    (void)vfs;
    int rc = liar.real->xOpen(liar.real, name, file, flags, out_flags);
    if (rc == SQLITE_OK && file->pMethods != NULL) {
        bool main_db = (flags & SQLITE_OPEN_MAIN_DB) != 0;
        liar.real_sync = file->pMethods->xSync;
        liar.methods[main_db] = *file->pMethods;
        liar.methods[main_db].xSync = lie_about_sync;
        file->pMethods = &liar.methods[main_db];
    }
    return rc;
}

static int
commit_with_failing_sync(const char *where)
{
    struct job_result row;
    liar.real = sqlite3_vfs_find(NULL);
    liar.vfs = *liar.real;
    liar.vfs.zName = "liar";
    liar.vfs.xOpen = open_with_lies;
    sqlite3_vfs_register(&liar.vfs, 1);
    fixture.base = event_base_new();
    struct store *store = open_in_child(fixture.base, where);
    store_fixture_result(&row, 1, JOB_SUCCEEDED);
    if (store_fixture_commit(&fixture, store, &row, "1", "") != STORE_OK)
        return 8;
    liar.sync_fails = true;
    store_fixture_result(&row, 2, JOB_SUCCEEDED);
    store_fixture_commit(&fixture, store, &row, "2", "");
    return 0; /* an answer came, which is the mistake */
}

static void
a_failed_fsync_ends_the_process(void **state)
{
    (void)state;
    char line[2000] = "", id[ID_SIZE];
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t pid =
        spawn(STDOUT_FILENO, ends[1], "sync", fixture.path, NULL, NULL, NULL);
    close(ends[1]);
    int status = wait_for(pid);
    assert_true(read(ends[0], line, sizeof(line) - 1) > 0);
    close(ends[0]);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
    assert_non_null(strstr(line, "store_unsafe_end"));
    store_fixture_id(id, 1);
    assert_int_equal(
        store_fixture_get(&fixture, fixture.store, id, 0, STORE_ROW), STORE_OK);
    assert_true(store_fixture_is_sound(&fixture));
}

/* What a child is there for. */
static int
play(char **words)
{
    const char *role = words[1];
    if (strcmp(role, "commit") == 0)
        return commit_in_child(words[2], (unsigned)strtoul(words[3], NULL, 10),
            (unsigned)strtoul(words[4], NULL, 10), words[5]);
    if (strcmp(role, "readonly") == 0)
        return open_without_permission(words[2]);
    if (strcmp(role, "full") == 0)
        return fill_the_disk(words[2]);
    if (strcmp(role, "sync") == 0)
        return commit_with_failing_sync(words[2]);
    return 92;
}

int
main(int argc, char **argv)
{
    if (argc > 2)
        return play(argv);
    const struct CMUnitTest tests[] = {
        TEST(of_two_processes_exactly_one_wins_each_row),
        TEST(a_kill_loses_no_acknowledged_row),
        TEST(a_lock_that_stays_taken_is_busy),
        TEST(one_holder_at_a_time_has_the_lock),
        TEST(the_lock_is_held_while_writing_and_not_between),
        TEST(a_symbolic_link_leads_to_the_same_lock),
        TEST(a_reader_waits_for_the_file_to_appear),
        TEST(foreign_files_are_refused_in_words),
        TEST(a_damaged_file_is_refused_in_words),
        TEST(a_file_without_permission_is_refused_in_words),
        TEST(a_full_disk_refuses_and_loses_nothing),
        TEST(a_failed_fsync_ends_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
