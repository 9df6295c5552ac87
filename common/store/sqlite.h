#ifndef LH_STORE_SQLITE_H
#define LH_STORE_SQLITE_H

/*
 * sqlite: the result store in one SQLite file, for common/store only.
 *
 *   sqlite_open   connections: checks, settings, migrations
 *   sqlite_lock   the advisory lock around every write and checkpoint
 *   sqlite_row    job_result <-> a row; statements and their errors
 *   sqlite_write  the committer's transactions and checkpoints
 *   sqlite_chore  delete, discard, sweep, marker
 *   sqlite_read   get; sqlite_list: lists
 *   sqlite_batch  batches: what is read, put and erased of them
 *   sqlite_content  answers, compressed
 *
 * Facts behind it (DESIGN section 4): SQLite before 3.51.3 can lose a
 * committed transaction when one connection checkpoints while another writes,
 * hence the lock and the automatic checkpoints that are off. The database
 * file itself is never opened here but by SQLite: closing any descriptor of
 * it would drop the locks that SQLite holds on it.
 */

#include <sqlite3.h>

#include "common/base/crash.h"
#include "common/store/store_ops.h"

#define SQLITE_APPLICATION_ID 0x4c486175 /* "LHau" */
#define SQLITE_BUSY_MS 5000

/* ---- sqlite_lock ---- */

struct sqlite_lock {
    int fd;
};
/* Opens or makes PATH.lock. 0 or -1 with errno. */
int sqlite_lock_init(struct sqlite_lock *lock, const char *path) MUST_CHECK;
void sqlite_lock_clear(struct sqlite_lock *lock);
/* 0 when it is ours, -1 when somebody else had it for all of wait_ms. */
int sqlite_lock_take(struct sqlite_lock *lock, int64_t wait_ms) MUST_CHECK;
void sqlite_lock_drop(struct sqlite_lock *lock);

/* ---- sqlite_open ---- */

enum sqlite_presence {
    SQLITE_PRESENT,
    SQLITE_NOT_YET, /* no file, or nobody has made the schema so far */
    SQLITE_UNUSABLE /* damaged, foreign or too new: see error */
};

/* A connection for writing, with the schema of today. NULL with error. The
 * lock is taken for the while. */
sqlite3 *sqlite_open_writing(const char *path, struct sqlite_lock *lock,
    char *error, size_t size) MUST_CHECK;
/* *db is set when PRESENT. */
enum sqlite_presence sqlite_open_reading(
    const char *path, sqlite3 **db, char *error, size_t size);
/* The schema version this program makes. */
int sqlite_schema_version(void);

/* ---- sqlite_row: statements ---- */

/* Prepared once and kept; `sql` is a constant. Aborts on a wrong statement,
 * gives NULL when the database is to blame. */
sqlite3_stmt *sqlite_prepare(sqlite3 *db, const char *sql) MUST_CHECK;
void sqlite_bind_text(sqlite3_stmt *stmt, int at, const char *text);
/* Steps a statement that gives no rows, resets it. SQLITE_DONE or an error. */
int sqlite_run(sqlite3_stmt *stmt) MUST_CHECK;
/* An (extended) result code in the store's words. */
enum store_status sqlite_status(int rc);
/* Logs what the last call on db said, without data. */
void sqlite_log(sqlite3 *db, const char *event);

/* The columns that sqlite_row_read reads, in its order, of a job "j". */
#define SQLITE_ROW_COLUMNS \
    "j.id, j.generation, j.state, j.version, j.model, j.started_ms, " \
    "j.finished_ms, j.attempts, j.unknown_calls, j.simulated, j.dead, " \
    "j.deleted, j.stop_reason, j.input_tokens, j.output_tokens, " \
    "j.cache_read_tokens, j.cache_write_5m_tokens, j.cache_write_1h_tokens, " \
    "j.cost_usd_nanos, j.error, j.meta, j.takeovers"
#define SQLITE_ROW_COLUMN_COUNT 22

/* ---- sqlite_row: rows ---- */

/* 0, or -1 (logged) when the row makes no sense; *result is cleared then. */
int sqlite_row_read(sqlite3_stmt *stmt, struct job_result *result) MUST_CHECK;
/* Binds all of the INSERT in sqlite_write. The texts must outlive the step;
 * meta and error are made by the caller. */
void sqlite_row_bind(sqlite3_stmt *stmt, const struct job_result *result,
    struct slice meta, struct slice error);
#if LONGHAUL_BUG == 5 /* a late write overwrites the row */
#define SQLITE_ROW_VERB "INSERT OR REPLACE"
#define SQLITE_ROW_CONFLICT ""
#else
#define SQLITE_ROW_VERB "INSERT"
#define SQLITE_ROW_CONFLICT "ON CONFLICT (id, generation) DO NOTHING"
#endif
/* What is replayed after the end of a batch is not counted in it, but its
 * row is found among the batch's, unless that one was erased meanwhile. */
#define SQLITE_ROW_INSERT \
    SQLITE_ROW_VERB \
    " INTO job (id, generation, state, version, tenant, lane, model, " \
    "created_ms, started_ms, finished_ms, attempts, unknown_calls, " \
    "simulated, stop_reason, input_tokens, output_tokens, " \
    "cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens, " \
    "cost_usd_nanos, error, error_type, meta, idempotency_key, dead, " \
    "takeovers, listed, batch) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, " \
    "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NOT EXISTS (SELECT 1 FROM " \
    "job AS newer WHERE newer.id = ?1 AND newer.generation > ?2), " \
    "CASE WHEN ?27 IS NULL OR EXISTS (SELECT 1 FROM batch WHERE " \
    "uuid = ?27 AND deleted = 1) OR EXISTS (SELECT 1 FROM job WHERE " \
    "id = ?1 AND batch IS NULL) THEN NULL ELSE ?27 END) " SQLITE_ROW_CONFLICT

/* ---- sqlite_write ---- */

enum sqlite_write_statement {
    WRITE_BEGIN,
    WRITE_COMMIT,
    WRITE_ROLLBACK,
    WRITE_INSERT_JOB,
    WRITE_INSERT_CONTENT,
    WRITE_INSERT_TAG,
    WRITE_TALLY,
    WRITE_SUPERSEDE,
    WRITE_GET_ROW,
    WRITE_DELETE_CONTENT_OF_ID,
    WRITE_DELETE_TAGS_OF_ID,
    WRITE_DELETE_FIND,
    WRITE_DELETE_ROW,
    WRITE_DROP_REQUEST,
    WRITE_DROP_EMPTY,
    WRITE_DROP_DEAD,
    WRITE_SWEEP_FIND,
    WRITE_SWEEP_CONTENT,
    WRITE_SWEEP_TAGS,
    WRITE_SWEEP_JOB,
    WRITE_BATCH_PUT,
    WRITE_BATCH_PUT_REJECTS,
    WRITE_BATCH_HAS,
    WRITE_BATCH_FIND,
    WRITE_BATCH_RELEASE,
    WRITE_BATCH_DROP_TALLY,
    WRITE_BATCH_DROP_REJECTS,
    WRITE_BATCH_EMPTY,
    WRITE_BATCH_FORGET,
    WRITE_MARKER_ADD,
    WRITE_MARKER_GET,
    WRITE_STATEMENTS
};

struct sqlite_writer {
    sqlite3 *db;
    char *path;
    struct sqlite_lock lock;
    int64_t lock_wait_ms; /* SQLITE_BUSY_MS */
    bool lock_missed; /* it was not had the last time */
    bool full; /* the last transaction found no room on the disk */
    int wal_pages; /* in the write-ahead log after the last commit */
    int copied_pages; /* of them, by the last checkpoint */
    sqlite3_stmt *statements[WRITE_STATEMENTS];
};

void *sqlite_writer_open(const char *path, char *error, size_t size);
void sqlite_writer_close(void *writer);
void sqlite_writer_prepare(void *writer, struct store_work *work);
void sqlite_writer_run(void *writer, struct store_work **group, size_t count);
void sqlite_writer_idle(void *writer);
/* The statement, prepared at its first use; NULL when the database fails. */
sqlite3_stmt *sqlite_writer_get(
    struct sqlite_writer *writer, enum sqlite_write_statement which);

/* ---- sqlite_chore: inside a transaction; SQLITE_OK or an error ---- */

int sqlite_chore_run(
    struct sqlite_writer *writer, struct store_work *work) MUST_CHECK;

int sqlite_chore_sweep_row(struct sqlite_writer *writer, const char *id,
    const struct job_meta *meta, sqlite3_int64 row) MUST_CHECK;

/* ---- sqlite_batch; SQLITE_OK or an error ---- */

int sqlite_batch_write(
    struct sqlite_writer *writer, struct store_work *work) MUST_CHECK;
int sqlite_batch_read(sqlite3 *db, struct store_work *work) MUST_CHECK;

/* ---- sqlite_read ---- */

void *sqlite_reader_open(const char *path, char *error, size_t size);
void sqlite_reader_close(void *reader);
void sqlite_reader_run(void *reader, struct store_work *work);
/* sqlite_list: fills work->rows. SQLITE_OK or an error. */
int sqlite_list_run(sqlite3 *db, struct store_work *work) MUST_CHECK;

/* ---- sqlite_content ---- */

/* The answer, compressed when it is large and that helps. */
void sqlite_content_pack(struct store_work *work);
/* Appends what pack made of an answer of `bytes`; -1 when damaged. */
int sqlite_content_unpack(struct slice packed, bool zstd, uint64_t bytes,
    struct buffer *out) MUST_CHECK;

#endif
