#include "cli/up_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/out.h"
#include "common/base/clock.h"

#define POLL_MS 50
#define PID_TEXT 24

char *
up_dir_file(const struct up_dir *dir, const char *name)
{
    struct buffer path = {0};
    buffer_printf(&path, "%s/%s", dir->path, name);
    return buffer_take(&path);
}

static int
open_file(const struct up_dir *dir, const char *name, int flags)
{
    char *path = up_dir_file(dir, name);
    int fd = open(path, flags | O_NOFOLLOW, 0600);
    int reason = errno;
    memory_free(path);
    errno = reason;
    return fd;
}

int
up_dir_write(const struct up_dir *dir, const char *name, struct slice text)
{
    int fd = open_file(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t done = write(fd, text.data, text.len);
    int failed = done != (ssize_t)text.len || fsync(fd) != 0;
    return close(fd) == 0 && !failed ? 0 : -1;
}

int
up_dir_read(const struct up_dir *dir, const char *name, char *out, size_t size)
{
    int fd = open_file(dir, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t got = read(fd, out, size - 1);
    close(fd);
    out[got > 0 ? got : 0] = '\0';
    out[strcspn(out, "\n")] = '\0';
    return got < 0 ? -1 : 0;
}

/* --- the directory itself --- */

/* Whether nothing but dots is in it; -1 when it cannot be read. */
static int
is_empty(const char *path)
{
    DIR *entries = opendir(path);
    int empty = 1;
    struct dirent *entry;
    if (entries == NULL)
        return -1;
    while ((entry = readdir(entries)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            empty = 0;
    }
    closedir(entries);
    return empty;
}

static int
make(const char *path, struct buffer *error)
{
    if (mkdir(path, 0700) == 0 || errno == EEXIST)
        return 0;
    buffer_printf(error, "cannot make the data directory %s: %s", path,
        strerrordesc_np(errno));
    if (errno == ENOENT)
        buffer_append_text(error, " (make its parent first)");
    return -1;
}

/* Something of ours is in it, or nothing at all. */
static int
check_contents(struct up_dir *dir, struct buffer *error)
{
    struct stat found;
    if (stat(dir->path, &found) != 0 || !S_ISDIR(found.st_mode)) {
        buffer_printf(error, "%s is not a directory", dir->path);
        return -1;
    }
    if (found.st_uid != geteuid()) {
        buffer_printf(
            error, "%s belongs to another user; use another --data", dir->path);
        return -1;
    }
    int empty = is_empty(dir->path);
    if (empty < 0) {
        buffer_printf(
            error, "cannot read %s: %s", dir->path, strerrordesc_np(errno));
        return -1;
    }
    char *lock = up_dir_file(dir, "lock");
    bool ours = access(lock, F_OK) == 0;
    memory_free(lock);
    char *database = up_dir_file(dir, "longhaul.db");
    dir->is_new = access(database, F_OK) != 0;
    memory_free(database);
    if (empty == 0 && !ours) {
        buffer_printf(error,
            "%s is not empty and no data directory of longhaul; use another "
            "--data",
            dir->path);
        return -1;
    }
    return chmod(dir->path, 0700);
}

/* --- locks --- */

static void
refuse_in_use(const struct up_dir *dir, struct buffer *error)
{
    char pid[PID_TEXT] = "";
    bool known = up_dir_read(dir, "lock", pid, sizeof(pid)) == 0 && pid[0];
    buffer_printf(error,
        "%s is in use by another `longhaul up`%s%s%s; stop that one, or use "
        "another --data and --port",
        dir->path, known ? " (pid " : "", pid, known ? ")" : "");
}

static int
take_lock(struct up_dir *dir, struct buffer *error)
{
    char pid[PID_TEXT];
    dir->lock = open_file(dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC);
    if (dir->lock < 0) {
        buffer_printf(
            error, "cannot write in %s: %s", dir->path, strerrordesc_np(errno));
        return -1;
    }
    if (flock(dir->lock, LOCK_EX | LOCK_NB) != 0) {
        refuse_in_use(dir, error);
        return -1;
    }
    int len = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
    if (ftruncate(dir->lock, 0) != 0 ||
        pwrite(dir->lock, pid, (size_t)len, 0) != len) {
        buffer_printf(
            error, "cannot write in %s: %s", dir->path, strerrordesc_np(errno));
        return -1;
    }
    return 0;
}

/* What a killed `up` has left drains first: two Redis must never write the
 * same files. */
static int
wait_for_children(struct up_dir *dir, int64_t wait_ms, struct buffer *error)
{
    static const struct timespec step = {0, POLL_MS * 1000000};
    int64_t deadline = clock_mono_ms() + wait_ms;
    bool told = false;
    dir->children_lock = open_file(dir, "children.lock", O_RDWR | O_CREAT);
    if (dir->children_lock < 0) {
        buffer_printf(
            error, "cannot write in %s: %s", dir->path, strerrordesc_np(errno));
        return -1;
    }
    while (flock(dir->children_lock, LOCK_EX | LOCK_NB) != 0) {
        if (!told)
            out_tell("waiting for the programs of an earlier run, which ended "
                     "without them (up to %d s)",
                (int)(wait_ms / 1000));
        told = true;
        if (clock_mono_ms() > deadline) {
            buffer_printf(error,
                "programs of an earlier `longhaul up` still use %s; end them "
                "(fuser %s/children.lock shows which)",
                dir->path, dir->path);
            return -1;
        }
        nanosleep(&step, NULL);
    }
    return 0;
}

int
up_dir_open(
    struct up_dir *dir, const char *path, int64_t wait_ms, struct buffer *error)
{
    memset(dir, 0, sizeof(*dir));
    dir->lock = dir->children_lock = -1;
    if (make(path, error) != 0)
        return -1;
    char absolute[PATH_MAX];
    if (realpath(path, absolute) == NULL) {
        buffer_printf(error, "%s: %s", path, strerrordesc_np(errno));
        return -1;
    }
    dir->path = memory_dup(absolute);
    if (check_contents(dir, error) == 0 && take_lock(dir, error) == 0 &&
        wait_for_children(dir, wait_ms, error) == 0)
        return 0;
    up_dir_close(dir);
    return -1;
}

void
up_dir_close(struct up_dir *dir)
{
    if (dir->children_lock >= 0)
        close(dir->children_lock);
    if (dir->lock >= 0)
        close(dir->lock);
    memory_free(dir->path);
    memset(dir, 0, sizeof(*dir));
    dir->lock = dir->children_lock = -1;
}

/* --- mode --- */

int
up_dir_set_mode(struct up_dir *dir, bool simulated, struct buffer *error)
{
    const char *mode = simulated ? "simulated" : "real";
    char kept[16];
    if (up_dir_read(dir, "mode", kept, sizeof(kept)) == 0 && kept[0] != '\0') {
        if (strcmp(kept, mode) == 0)
            return 0;
        buffer_printf(error,
            "%s holds %s results, and this run would be %s; the two are never "
            "mixed. Use another directory (--data DIR)%s",
            dir->path, kept, mode,
            simulated ? ", or set ANTHROPIC_API_KEY to go on with Claude"
                      : ", or --simulate to go on with the simulator");
        return -1;
    }
    char line[16];
    int len = snprintf(line, sizeof(line), "%s\n", mode);
    if (up_dir_write(dir, "mode", slice_make(line, (size_t)len)) == 0)
        return 0;
    buffer_printf(
        error, "cannot write in %s: %s", dir->path, strerrordesc_np(errno));
    return -1;
}
