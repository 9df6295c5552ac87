#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/log.h"
#include "common/store/sqlite.h"
#include "embedded.h"

#define CHECK_BELOW_BYTES ((int64_t)64 << 20)
#define MIGRATION_PREFIX "schema/sqlite/"

/* ---- messages for people ---- */

struct complaint {
    const char *path;
    char *out;
    size_t size;
};

static void __attribute__((format(printf, 2, 3)))
complain(const struct complaint *to, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int used = snprintf(to->out, to->size, "result store %s: ", to->path);
    if (used >= 0 && (size_t)used < to->size)
        vsnprintf(to->out + used, to->size - (size_t)used, format, args);
    va_end(args);
}

static void
complain_sqlite(const struct complaint *to, sqlite3 *db, int rc)
{
    switch (rc & 0xff) {
    case SQLITE_CORRUPT:
        complain(to,
            "the file is damaged (%s); restore it from a backup, or move it "
            "and its -wal file away to start anew",
            sqlite3_errmsg(db));
        break;
    case SQLITE_NOTADB: complain(to, "this is not a SQLite database"); break;
    case SQLITE_READONLY:
    case SQLITE_PERM: complain(to, "no permission to write here"); break;
    case SQLITE_CANTOPEN:
        complain(to,
            "cannot be opened or made; does its folder exist, and "
            "may this user write there?");
        break;
    case SQLITE_FULL: complain(to, "the disk is full"); break;
    case SQLITE_BUSY:
    case SQLITE_LOCKED: complain(to, "another program keeps it locked"); break;
    default:
        complain(
            to, "%s (%d)", db != NULL ? sqlite3_errmsg(db) : "no memory", rc);
    }
}

/* ---- settings ---- */

static int
query_int(sqlite3 *db, const char *sql, int64_t *value)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);
    if (rc != SQLITE_OK)
        return rc;
    rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        *value = sqlite3_column_int64(stmt, 0);
        rc = SQLITE_OK;
    }
    int end = sqlite3_finalize(stmt);
    return rc == SQLITE_OK || rc == SQLITE_DONE ? end : rc;
}

/* SQLite counts its memory under a mutex, a hundred times for a row; nobody
 * asks for the numbers. */
static void
forgo_statistics(void)
{
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

static int
connect_to(const char *path, sqlite3 **db, int flags)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, forgo_statistics);
    return sqlite3_open_v2(path, db, flags | SQLITE_OPEN_NOMUTEX, NULL);
}

static void
configure(sqlite3 *db)
{
    sqlite3_extended_result_codes(db, 1);
    sqlite3_busy_timeout(db, SQLITE_BUSY_MS);
    sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
}

/* None of these touches the file. */
static int
set_pragmas(sqlite3 *db, const char *cache)
{
    int rc = sqlite3_exec(db,
        "PRAGMA mmap_size = 0;"
        "PRAGMA wal_autocheckpoint = 0;"
        "PRAGMA synchronous = FULL;"
        "PRAGMA secure_delete = ON;"
        "PRAGMA temp_store = MEMORY;"
        "PRAGMA cell_size_check = ON;",
        NULL, NULL, NULL);
    return rc != SQLITE_OK ? rc : sqlite3_exec(db, cache, NULL, NULL, NULL);
}

/* ---- what file is it ---- */

static int
read_identity(sqlite3 *db, int64_t *application, int64_t *version)
{
    int rc = query_int(db, "PRAGMA application_id", application);
    return rc != SQLITE_OK ? rc : query_int(db, "PRAGMA user_version", version);
}

/* Whether a schema of `version` is ours to use. An empty file is NOT_YET. */
static enum sqlite_presence
identify(sqlite3 *db, int64_t *version, const struct complaint *complaint)
{
    int64_t application = 0, tables = 0;
    int rc = read_identity(db, &application, version);
    if (rc == SQLITE_OK)
        rc = query_int(db, "SELECT count(*) FROM sqlite_schema", &tables);
    if (rc != SQLITE_OK) {
        complain_sqlite(complaint, db, rc);
        return SQLITE_UNUSABLE;
    }
    if (application == 0 && *version == 0 && tables == 0)
        return SQLITE_NOT_YET;
    if (application != SQLITE_APPLICATION_ID) {
        complain(complaint, "this database belongs to another program");
        return SQLITE_UNUSABLE;
    }
    if (*version > sqlite_schema_version()) {
        complain(complaint,
            "made by a newer longhaul (schema %d, this program knows %d)",
            (int)*version, sqlite_schema_version());
        return SQLITE_UNUSABLE;
    }
    return SQLITE_PRESENT;
}

/* ---- migrations ---- */

/* "schema/sqlite/0001_jobs.sql" -> 1; 0 for other files. */
static int
migration_number(const char *name)
{
    uint64_t number = 0;
    size_t prefix = strlen(MIGRATION_PREFIX);
    if (strncmp(name, MIGRATION_PREFIX, prefix) != 0 ||
        strlen(name) < prefix + 5 ||
        text_parse_u64(slice_make(name + prefix, 4), 9999, &number) != 0)
        return 0;
    return (int)number;
}

int
sqlite_schema_version(void)
{
    int newest = 0;
    for (const struct embedded_file *f = embedded_files; f->name != NULL; f++)
        if (migration_number(f->name) > newest)
            newest = migration_number(f->name);
    return newest;
}

/* Embedded files are in the order of their names. */
static int
apply_migrations(sqlite3 *db, int64_t version)
{
    char mark[96];
    int rc = SQLITE_OK;
    for (const struct embedded_file *f = embedded_files;
         f->name != NULL && rc == SQLITE_OK; f++)
        if (migration_number(f->name) > version)
            rc = sqlite3_exec(db, f->data, NULL, NULL, NULL);
    if (rc != SQLITE_OK)
        return rc;
    snprintf(mark, sizeof(mark),
        "PRAGMA application_id = %d; PRAGMA user_version = %d;",
        SQLITE_APPLICATION_ID, sqlite_schema_version());
    return sqlite3_exec(db, mark, NULL, NULL, NULL);
}

static int
migrate(sqlite3 *db, int64_t version)
{
    int rc = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = apply_migrations(db, version);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
    if (rc != SQLITE_OK && !sqlite3_get_autocommit(db))
        sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}

/* ---- writer ---- */

static int
check_quickly(sqlite3 *db, const struct complaint *complaint)
{
    struct stat info;
    sqlite3_stmt *stmt = NULL;
    if (stat(complaint->path, &info) != 0 || info.st_size > CHECK_BELOW_BYTES)
        return 0;
    int rc = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &stmt, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    bool sound = rc == SQLITE_ROW &&
        strcmp((const char *)sqlite3_column_text(stmt, 0), "ok") == 0;
    sqlite3_finalize(stmt);
    if (sound)
        return 0;
    complain_sqlite(complaint, db, rc == SQLITE_ROW ? SQLITE_CORRUPT : rc);
    return -1;
}

static int
set_wal(sqlite3 *db)
{
    sqlite3_stmt *stmt = NULL;
    int rc =
        sqlite3_prepare_v2(db, "PRAGMA journal_mode = WAL", -1, &stmt, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    bool wal = rc == SQLITE_ROW &&
        strcmp((const char *)sqlite3_column_text(stmt, 0), "wal") == 0;
    sqlite3_finalize(stmt);
    if (rc == SQLITE_ROW)
        return wal ? SQLITE_OK : SQLITE_READONLY;
    return rc;
}

/* Under the lock. */
static int
make_ready(sqlite3 *db, const struct complaint *complaint)
{
    int64_t version = 0;
    enum sqlite_presence presence = identify(db, &version, complaint);
    if (presence == SQLITE_UNUSABLE)
        return -1;
    if (presence == SQLITE_PRESENT && check_quickly(db, complaint) != 0)
        return -1;
    int rc = set_wal(db);
    if (rc == SQLITE_OK && version < sqlite_schema_version())
        rc = migrate(db, version);
    if (rc == SQLITE_OK && sqlite3_db_readonly(db, "main") == 1)
        rc = SQLITE_READONLY;
    if (rc == SQLITE_OK)
        return 0;
    complain_sqlite(complaint, db, rc);
    return -1;
}

static sqlite3 *
connect_writing(const struct complaint *complaint)
{
    sqlite3 *db = NULL;
    /* Prompts and answers are nobody else's business; the -wal and -shm
     * files take the mode of the database. */
    mode_t before = umask(077);
    int rc = connect_to(
        complaint->path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
    if (rc == SQLITE_OK) {
        configure(db);
        rc = set_pragmas(db, "PRAGMA cache_size = -16384");
    }
    umask(before);
    if (rc == SQLITE_OK)
        return db;
    complain_sqlite(complaint, db, rc);
    sqlite3_close(db);
    return NULL;
}

sqlite3 *
sqlite_open_writing(
    const char *path, struct sqlite_lock *lock, char *error, size_t size)
{
    struct complaint complaint = {path, error, size};
    lock->fd = -1;
    sqlite3 *db = connect_writing(&complaint);
    if (db == NULL)
        return NULL;
    /* SQLite's own idea of the path: it resolves symbolic links. */
    if (sqlite_lock_init(lock, sqlite3_db_filename(db, "main")) != 0) {
        complain(&complaint, "cannot open its .lock file (errno %d)", errno);
        goto fail;
    }
    if (sqlite_lock_take(lock, SQLITE_BUSY_MS) != 0) {
        complain(&complaint, "another process keeps the .lock file");
        goto fail;
    }
    int status = make_ready(db, &complaint);
    sqlite_lock_drop(lock);
    if (status == 0)
        return db;
fail:
    sqlite_lock_clear(lock);
    sqlite3_close(db);
    return NULL;
}

/* ---- reader ---- */

static enum sqlite_presence
look(sqlite3 *db, const struct complaint *complaint)
{
    int64_t version = 0;
    int rc = set_pragmas(db, "PRAGMA cache_size = -8192");
    if (rc != SQLITE_OK) {
        complain_sqlite(complaint, db, rc);
        return SQLITE_UNUSABLE;
    }
    enum sqlite_presence presence = identify(db, &version, complaint);
    if (presence == SQLITE_PRESENT && version < sqlite_schema_version())
        return SQLITE_NOT_YET; /* a worker of this version will migrate it */
    return presence;
}

enum sqlite_presence
sqlite_open_reading(const char *path, sqlite3 **db, char *error, size_t size)
{
    struct complaint complaint = {path, error, size};
    struct stat info;
    *db = NULL;
    if (stat(path, &info) != 0 && errno == ENOENT)
        return SQLITE_NOT_YET;
    int rc = connect_to(path, db, SQLITE_OPEN_READONLY);
    enum sqlite_presence presence = SQLITE_UNUSABLE;
    if (rc == SQLITE_OK) {
        configure(*db);
        presence = look(*db, &complaint);
    } else {
        complain_sqlite(&complaint, *db, rc);
    }
    if (presence != SQLITE_PRESENT) {
        sqlite3_close(*db);
        *db = NULL;
    }
    return presence;
}
