/*
 * Preloaded into a program: a wall clock that is wrong and a disk that fails,
 * as four numbers in the file LONGHAUL_TEST_SHIM say at that moment. Built
 * by lib/faults.mjs.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct shim {
    int64_t clock_ms; /* added to the wall clock */
    int64_t sync_errno; /* of fsync and fdatasync; 0: they work */
    int64_t write_errno; /* of pwrite */
    int64_t sync_calls; /* counted here */
};

static volatile struct shim none;
static volatile struct shim *shim = &none;

__attribute__((constructor)) static void
begin(void)
{
    const char *path = getenv("LONGHAUL_TEST_SHIM");
    int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *at;

    if (fd < 0)
        return;
    at = mmap(NULL, sizeof(none), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at != MAP_FAILED)
        shim = at;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int
clock_gettime(clockid_t clock, struct timespec *ts)
{
    static __typeof__(&clock_gettime) real;
    int result;

    if (real == NULL)
        real = REAL(clock_gettime);
    result = real(clock, ts);
    if (result == 0 && clock == CLOCK_REALTIME)
        ts->tv_sec += (time_t)(shim->clock_ms / 1000);
    return result;
}

int
gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
    struct timespec ts;

    (void)zone;
    clock_gettime(CLOCK_REALTIME, &ts);
    tv->tv_sec = ts.tv_sec;
    tv->tv_usec = ts.tv_nsec / 1000;
    return 0;
}

time_t
time(time_t *out)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    if (out != NULL)
        *out = ts.tv_sec;
    return ts.tv_sec;
}

static int
fails(int64_t number)
{
    if (number == 0)
        return 0;
    errno = (int)number;
    return 1;
}

int
fsync(int fd)
{
    shim->sync_calls++;
    return fails(shim->sync_errno) ? -1 : REAL(fsync)(fd);
}

int
fdatasync(int fd)
{
    shim->sync_calls++;
    return fails(shim->sync_errno) ? -1 : REAL(fdatasync)(fd);
}

ssize_t
pwrite(int fd, const void *bytes, size_t size, off_t at)
{
    return fails(shim->write_errno) ? -1 : REAL(pwrite)(fd, bytes, size, at);
}

ssize_t
pwrite64(int fd, const void *bytes, size_t size, off64_t at)
{
    return fails(shim->write_errno) ? -1 : REAL(pwrite64)(fd, bytes, size, at);
}
