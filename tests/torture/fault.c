/*
 * Preloaded into a program: one system call of a kind fails, once. Which one
 * is said, at any time, by five 64-bit numbers of this machine in the file
 * LONGHAUL_FAULT_FILE: what to fail (below; 0: nothing), how many of them to
 * let pass before, what it fails with; and here is told how many there were
 * and whether one has failed.
 *
 *   1 write    to a file or a pipe: write, writev, pwrite
 *   2 send     to a socket: write, writev, send, sendmsg, sendto
 *   3 sync     fsync, fdatasync
 *   4 connect
 *
 * What is neither a file, a pipe nor a socket (an eventfd) is left alone: it
 * has no disk that is full and no peer that is gone.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { KIND_NONE, KIND_WRITE, KIND_SEND, KIND_SYNC, KIND_CONNECT };

struct fault {
    int64_t kind;
    int64_t left;
    int64_t error;
    int64_t calls;
    int64_t failed;
};

static struct fault none;
static struct fault *fault = &none;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void
begin(void)
{
    const char *path = getenv("LONGHAUL_FAULT_FILE");
    int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *at;

    if (fd < 0)
        return;
    at = mmap(NULL, sizeof(none), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at != MAP_FAILED)
        fault = at;
}

/* Whether this call is the one. */
static int
fails(enum kind kind)
{
    if (__atomic_load_n(&fault->kind, __ATOMIC_SEQ_CST) != (int64_t)kind)
        return 0;
    __atomic_add_fetch(&fault->calls, 1, __ATOMIC_SEQ_CST);
    if (__atomic_fetch_sub(&fault->left, 1, __ATOMIC_SEQ_CST) != 0)
        return 0;
    fault->failed = 1;
    errno = (int)fault->error;
    return 1;
}

static enum kind
kind_of(int fd)
{
    struct stat st;

    if (fault->kind == KIND_NONE || fstat(fd, &st) != 0)
        return KIND_NONE;
    if (S_ISSOCK(st.st_mode))
        return KIND_SEND;
    return S_ISREG(st.st_mode) || S_ISFIFO(st.st_mode) ? KIND_WRITE : KIND_NONE;
}

ssize_t
write(int fd, const void *bytes, size_t size)
{
    enum kind kind = kind_of(fd);
    return kind != KIND_NONE && fails(kind) ? -1 : REAL(write)(fd, bytes, size);
}

ssize_t
writev(int fd, const struct iovec *parts, int count)
{
    enum kind kind = kind_of(fd);
    return kind != KIND_NONE && fails(kind) ? -1
                                            : REAL(writev)(fd, parts, count);
}

ssize_t
pwrite(int fd, const void *bytes, size_t size, off_t at)
{
    return fails(KIND_WRITE) ? -1 : REAL(pwrite)(fd, bytes, size, at);
}

ssize_t
pwrite64(int fd, const void *bytes, size_t size, off64_t at)
{
    return fails(KIND_WRITE) ? -1 : REAL(pwrite64)(fd, bytes, size, at);
}

ssize_t
send(int fd, const void *bytes, size_t size, int flags)
{
    return fails(KIND_SEND) ? -1 : REAL(send)(fd, bytes, size, flags);
}

ssize_t
sendto(int fd, const void *bytes, size_t size, int flags,
    const struct sockaddr *to, socklen_t len)
{
    return fails(KIND_SEND) ? -1
                            : REAL(sendto)(fd, bytes, size, flags, to, len);
}

ssize_t
sendmsg(int fd, const struct msghdr *message, int flags)
{
    return fails(KIND_SEND) ? -1 : REAL(sendmsg)(fd, message, flags);
}

int
connect(int fd, const struct sockaddr *to, socklen_t len)
{
    return fails(KIND_CONNECT) ? -1 : REAL(connect)(fd, to, len);
}

int
fsync(int fd)
{
    return fails(KIND_SYNC) ? -1 : REAL(fsync)(fd);
}

int
fdatasync(int fd)
{
    return fails(KIND_SYNC) ? -1 : REAL(fdatasync)(fd);
}
