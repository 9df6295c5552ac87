#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "common/base/buffer.h"
#include "common/base/clock.h"
#include "common/store/sqlite.h"

/* A commit of somebody else takes some milliseconds. */
#define FIRST_PAUSE_NS 100000
#define MAX_PAUSE_NS 2000000

int
sqlite_lock_init(struct sqlite_lock *lock, const char *path)
{
    struct buffer name = {0};
    buffer_printf(&name, "%s.lock", path);
    lock->fd = open(name.data, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    int error = errno;
    buffer_clear(&name);
    errno = error;
    return lock->fd >= 0 ? 0 : -1;
}

void
sqlite_lock_clear(struct sqlite_lock *lock)
{
    if (lock->fd >= 0)
        close(lock->fd);
    lock->fd = -1;
}

/* flock has no time limit of its own, and a signal to end its wait would be
 * the business of the whole process. */
int
sqlite_lock_take(struct sqlite_lock *lock, int64_t wait_ms)
{
    int64_t until_ms = clock_mono_ms() + wait_ms;
    long pause_ns = FIRST_PAUSE_NS;
    while (flock(lock->fd, LOCK_EX | LOCK_NB) != 0) {
        if ((errno != EWOULDBLOCK && errno != EINTR) ||
            clock_mono_ms() >= until_ms)
            return -1;
        nanosleep(&(struct timespec){.tv_nsec = pause_ns}, NULL);
        pause_ns = pause_ns * 2 > MAX_PAUSE_NS ? MAX_PAUSE_NS : pause_ns * 2;
    }
    return 0;
}

void
sqlite_lock_drop(struct sqlite_lock *lock)
{
    flock(lock->fd, LOCK_UN);
}
