#include "common/store/sqlite.h"

#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

static void
describe(const char *path, char *out, size_t size)
{
    snprintf(out, size, "SQLite %s, WAL, at %s", sqlite3_libversion(), path);
}

static uint64_t
size_of(const char *path, const char *suffix)
{
    struct stat info;
    struct buffer name = {0};
    buffer_printf(&name, "%s%s", path, suffix);
    int status = stat(name.data, &info);
    buffer_clear(&name);
    return status == 0 ? (uint64_t)info.st_size : 0;
}

static void
sizes(const char *path, uint64_t *file_bytes, uint64_t *free_bytes)
{
    struct statvfs info;
    *file_bytes = size_of(path, "") + size_of(path, "-wal");
    *free_bytes = 0;
    if (statvfs(path, &info) == 0)
        *free_bytes = (uint64_t)info.f_bavail * info.f_frsize;
}

const struct store_ops sqlite_store_ops = {
    .open_writer = sqlite_writer_open,
    .open_reader = sqlite_reader_open,
    .prepare = sqlite_writer_prepare,
    .write = sqlite_writer_run,
    .idle = sqlite_writer_idle,
    .read = sqlite_reader_run,
    .close_writer = sqlite_writer_close,
    .close_reader = sqlite_reader_close,
    .describe = describe,
    .sizes = sizes,
};
