#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/store/sqlite.h"

/* One thread serves all readers: no list may hold it for longer. */
#define LIST_MAX_MS 3000
#define LIST_LOOK_EVERY 10000 /* steps of SQLite's virtual machine */

#define FROM_JOB " FROM job AS j "
#define WITH_CONTENT FROM_JOB "LEFT JOIN content AS c ON c.row = j.row "
#define OF_ANSWER "c.answer, c.answer_zstd, c.answer_bytes" WITH_CONTENT
#define OF_REQUEST "c.request, 0, length(c.request)" WITH_CONTENT
#define OF_ROW "NULL, 0, 0" FROM_JOB
#define ONE "WHERE j.id = ?1 AND j.generation = ?2"
#define NEWEST "WHERE j.id = ?1 ORDER BY j.generation DESC LIMIT 1"
#define GET(part, which) "SELECT " SQLITE_ROW_COLUMNS ", " part which

enum {
    READ_ONE, /* + enum store_part */
    READ_NEWEST = 3,
    READ_IDEMPOTENT = 6,
    READ_MARKER,
    READ_STATEMENTS
};

static const char *const sql[READ_STATEMENTS] = {
    [READ_ONE + STORE_ROW] = GET(OF_ROW, ONE),
    [READ_ONE + STORE_ANSWER] = GET(OF_ANSWER, ONE),
    [READ_ONE + STORE_REQUEST] = GET(OF_REQUEST, ONE),
    [READ_NEWEST + STORE_ROW] = GET(OF_ROW, NEWEST),
    [READ_NEWEST + STORE_ANSWER] = GET(OF_ANSWER, NEWEST),
    [READ_NEWEST + STORE_REQUEST] = GET(OF_REQUEST, NEWEST),
    [READ_IDEMPOTENT] = GET(OF_ROW,
        "INDEXED BY job_idempotency WHERE j.tenant = ?1 AND "
        "j.idempotency_key = ?2 ORDER BY j.id DESC, j.generation DESC "
        "LIMIT 1"),
    [READ_MARKER] = "SELECT value FROM installation WHERE name = 'marker'",
};

struct sqlite_reader {
    char *path;
    sqlite3 *db; /* NULL: not there yet, or lost */
    bool complained;
    sqlite3_stmt *statements[READ_STATEMENTS];
    int64_t list_until_ms;
};

static void
disconnect(struct sqlite_reader *reader)
{
    for (size_t i = 0; i < READ_STATEMENTS; i++)
        sqlite3_finalize(reader->statements[i]);
    memset(reader->statements, 0, sizeof(reader->statements));
    sqlite3_close(reader->db);
    reader->db = NULL;
}

static int
list_is_late(void *arg)
{
    const struct sqlite_reader *reader = arg;
    return reader->list_until_ms != 0 &&
        clock_mono_ms() > reader->list_until_ms;
}

static enum sqlite_presence
connect_reading(struct sqlite_reader *reader, char *error, size_t size)
{
    enum sqlite_presence presence =
        sqlite_open_reading(reader->path, &reader->db, error, size);
    if (presence == SQLITE_PRESENT)
        sqlite3_progress_handler(
            reader->db, LIST_LOOK_EVERY, list_is_late, reader);
    return presence;
}

static sqlite3_stmt *
statement(struct sqlite_reader *reader, int which)
{
    if (reader->statements[which] == NULL)
        reader->statements[which] = sqlite_prepare(reader->db, sql[which]);
    return reader->statements[which];
}

/* ---- requests ---- */

static int
take_content(sqlite3_stmt *stmt, struct store_work *work)
{
    int at = SQLITE_ROW_COLUMN_COUNT;
    const char *data = sqlite3_column_blob(stmt, at);
    struct slice packed =
        slice_make(data, (size_t)sqlite3_column_bytes(stmt, at));
    if (packed.len == 0)
        return 0;
    if (sqlite_content_unpack(packed, sqlite3_column_int(stmt, at + 1) != 0,
            (uint64_t)sqlite3_column_int64(stmt, at + 2), &work->bytes) == 0)
        return 0;
    log_error("store_content_broken",
        LOG_TEXT("job", (const char *)sqlite3_column_text(stmt, 0)));
    return -1;
}

/* Of a bound statement that gives at most one row and its content. */
static int
take_row(sqlite3_stmt *stmt, struct store_work *work)
{
    struct job_result *row;
    int rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        row = store_work_rows(work, 1);
        if (sqlite_row_read(stmt, row) == 0 && take_content(stmt, work) == 0)
            work->status = STORE_OK;
        else
            store_work_reset_reply(work); /* it is FAILED then */
    } else if (rc == SQLITE_DONE) {
        work->status = STORE_ABSENT;
    }
    sqlite3_reset(stmt);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int
get(struct sqlite_reader *reader, struct store_work *work)
{
    bool newest = work->generation < 0;
    int which = (newest ? READ_NEWEST : READ_ONE) + (int)work->part;
    sqlite3_stmt *stmt = statement(reader, which);
    if (stmt == NULL)
        return sqlite3_errcode(reader->db);
    sqlite_bind_text(stmt, 1, work->id);
    if (!newest)
        sqlite3_bind_int64(stmt, 2, work->generation);
    return take_row(stmt, work);
}

static int
get_idempotent(struct sqlite_reader *reader, struct store_work *work)
{
    sqlite3_stmt *stmt = statement(reader, READ_IDEMPOTENT);
    if (stmt == NULL)
        return sqlite3_errcode(reader->db);
    sqlite_bind_text(stmt, 1, work->tenant);
    sqlite_bind_text(stmt, 2, work->text);
    int rc = take_row(stmt, work);
    sqlite3_clear_bindings(stmt);
    return rc;
}

static int
get_marker(struct sqlite_reader *reader, struct store_work *work)
{
    sqlite3_stmt *stmt = statement(reader, READ_MARKER);
    if (stmt == NULL)
        return sqlite3_errcode(reader->db);
    int rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        buffer_append_text(
            &work->bytes, (const char *)sqlite3_column_text(stmt, 0));
    if (rc == SQLITE_ROW || rc == SQLITE_DONE)
        work->status = STORE_OK;
    sqlite3_reset(stmt);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int
list(struct sqlite_reader *reader, struct store_work *work)
{
    reader->list_until_ms = clock_mono_ms() + LIST_MAX_MS;
    int rc = sqlite_list_run(reader->db, work);
    reader->list_until_ms = 0;
    return rc;
}

/* Pages of results are bounded like lists. */
static int
batch(struct sqlite_reader *reader, struct store_work *work)
{
    reader->list_until_ms = clock_mono_ms() + LIST_MAX_MS;
    int rc = sqlite_batch_read(reader->db, work);
    reader->list_until_ms = 0;
    return rc;
}

static int
serve(struct sqlite_reader *reader, struct store_work *work)
{
    switch (work->kind) {
    case STORE_WORK_GET: return get(reader, work);
    case STORE_WORK_GET_IDEMPOTENT: return get_idempotent(reader, work);
    case STORE_WORK_LIST: return list(reader, work);
    case STORE_WORK_MARKER_GET: return get_marker(reader, work);
    case STORE_WORK_BATCH_TALLY:
    case STORE_WORK_BATCH_ROWS:
    case STORE_WORK_BATCH_GET:
    case STORE_WORK_BATCH_LIST:
    case STORE_WORK_BATCH_REJECTS: return batch(reader, work);
    case STORE_WORK_BATCH_PUT:
    case STORE_WORK_BATCH_ERASE:
    case STORE_WORK_COMMIT:
    case STORE_WORK_DELETE:
    case STORE_WORK_DISCARD:
    case STORE_WORK_FORGET_REQUEST:
    case STORE_WORK_SWEEP:
    case STORE_WORK_MARKER_SET: break;
    }
    return SQLITE_MISUSE;
}

/* ---- store_ops ---- */

void *
sqlite_reader_open(const char *path, char *error, size_t size)
{
    struct sqlite_reader *reader = memory_zalloc(1, sizeof(*reader));
    reader->path = memory_dup(path);
    if (connect_reading(reader, error, size) != SQLITE_UNUSABLE)
        return reader;
    sqlite_reader_close(reader);
    return NULL;
}

void
sqlite_reader_close(void *arg)
{
    struct sqlite_reader *reader = arg;
    disconnect(reader);
    memory_free(reader->path);
    memory_free(reader);
}

static bool
is_empty_when_absent(enum store_work_kind kind)
{
    return kind == STORE_WORK_LIST || kind == STORE_WORK_MARKER_GET ||
        kind == STORE_WORK_BATCH_TALLY || kind == STORE_WORK_BATCH_ROWS ||
        kind == STORE_WORK_BATCH_LIST;
}

/* False: nothing to read from; the reply says so. */
static bool
is_connected(struct sqlite_reader *reader, struct store_work *work)
{
    char error[512];
    if (reader->db != NULL)
        return true;
    switch (connect_reading(reader, error, sizeof(error))) {
    case SQLITE_PRESENT: reader->complained = false; return true;
    case SQLITE_NOT_YET:
        work->status =
            is_empty_when_absent(work->kind) ? STORE_OK : STORE_ABSENT;
        return false;
    case SQLITE_UNUSABLE: break;
    }
    if (!reader->complained)
        log_error("store_unreadable", LOG_TEXT("message", error));
    reader->complained = true;
    work->status = STORE_FAILED;
    return false;
}

void
sqlite_reader_run(void *arg, struct store_work *work)
{
    struct sqlite_reader *reader = arg;
    store_work_reset_reply(work);
    if (!is_connected(reader, work))
        return;
    int rc = serve(reader, work);
    if (rc == SQLITE_OK)
        return;
    sqlite_log(reader->db, "store_read_failed");
    store_work_reset_reply(work);
    work->status = sqlite_status(rc);
    /* What is damaged or was replaced is looked at afresh the next time. */
    if (work->status == STORE_FAILED)
        disconnect(reader);
}
