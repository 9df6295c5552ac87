#include "cli/probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/buffer.h"
#include "common/base/clock.h"

#define CHUNK_BYTES 16384
#define ANSWER_MAX_BYTES ((size_t)4 * 1024 * 1024)
/* "HTTP/1.1 200", "+PONG\r\n": enough to know. */
#define ENOUGH_BYTES 12

struct probe {
    int fd;
    struct event *event;
    char *request;
    enum probe_size size;
    bool sent;
    int64_t deadline_ms;
    struct buffer answer;
    void (*on_answer)(void *arg, struct slice answer);
    void *arg;
};

void
probe_cancel(struct probe *probe)
{
    if (probe->event != NULL)
        event_free(probe->event);
    if (probe->fd >= 0)
        close(probe->fd);
    /* It may hold a credential. */
    explicit_bzero(probe->request, strlen(probe->request));
    memory_free(probe->request);
    buffer_clear(&probe->answer);
    memory_free(probe);
}

static void
finish(struct probe *probe)
{
    void (*on_answer)(void *arg, struct slice answer) = probe->on_answer;
    void *arg = probe->arg;
    struct buffer answer = probe->answer;
    memset(&probe->answer, 0, sizeof(probe->answer));
    probe_cancel(probe);
    on_answer(arg, buffer_slice(&answer));
    buffer_clear(&answer);
}

static bool
is_complete(const struct probe *probe)
{
    const struct buffer *answer = &probe->answer;
    if (probe->size == PROBE_ALL)
        return answer->len > ANSWER_MAX_BYTES;
    return answer->len >= ENOUGH_BYTES ||
        (answer->len > 0 && memchr(answer->data, '\n', answer->len) != NULL);
}

/* Until the deadline; false when it has passed. */
static bool
wait_again(struct probe *probe)
{
    int64_t left_ms = probe->deadline_ms - clock_mono_ms();
    if (left_ms <= 0)
        return false;
    struct timeval limit = {left_ms / 1000, (left_ms % 1000) * 1000};
    return event_add(probe->event, &limit) == 0;
}

static void on_event(evutil_socket_t fd, short what, void *arg);

/* True when the answer is still to come. */
static bool
step(struct probe *probe)
{
    if (!probe->sent) {
        size_t len = strlen(probe->request);
        ssize_t done = send(probe->fd, probe->request, len, MSG_NOSIGNAL);
        if (done != (ssize_t)len)
            return done < 0 && errno == EAGAIN;
        probe->sent = true;
        struct event_base *base = event_get_base(probe->event);
        event_assign(probe->event, base, probe->fd, EV_READ, on_event, probe);
        return true;
    }
    char *at = buffer_reserve(&probe->answer, CHUNK_BYTES);
    ssize_t got = recv(probe->fd, at, CHUNK_BYTES, 0);
    if (got > 0)
        probe->answer.len += (size_t)got;
    return (got > 0 || (got < 0 && errno == EAGAIN)) && !is_complete(probe);
}

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
    struct probe *probe = arg;
    (void)fd;
    if ((what & (EV_READ | EV_WRITE)) == 0 || probe->fd < 0 || !step(probe) ||
        !wait_again(probe))
        finish(probe);
}

static int
connect_to(const char *address)
{
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    struct sockaddr_in loopback = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct sockaddr *to = (const struct sockaddr *)&loopback;
    socklen_t size = sizeof(loopback);
    bool is_local = strncmp(address, "unix:", 5) == 0;
    uint64_t port = 0;
    if (is_local) {
        if (!text_copy(
                local.sun_path, sizeof(local.sun_path), slice_of(address + 5)))
            return -1;
        to = (const struct sockaddr *)&local;
        size = sizeof(local);
    } else {
        const char *colon = strrchr(address, ':');
        if (colon == NULL ||
            text_parse_u64(slice_of(colon + 1), 65535, &port) != 0)
            return -1;
        loopback.sin_port = htons((uint16_t)port);
    }
    int fd = socket(is_local ? AF_UNIX : AF_INET,
        SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, to, size) != 0 && errno != EINPROGRESS) {
        close(fd);
        fd = -1;
    }
    return fd;
}

struct probe *
probe_start(struct event_base *base, const char *address, const char *request,
    enum probe_size size, int64_t timeout_ms,
    void (*on_answer)(void *arg, struct slice answer), void *arg)
{
    struct probe *probe = memory_zalloc(1, sizeof(*probe));
    probe->fd = connect_to(address);
    probe->request = memory_dup(request);
    probe->size = size;
    probe->deadline_ms = clock_mono_ms() + timeout_ms;
    probe->on_answer = on_answer;
    probe->arg = arg;
    probe->event = event_new(
        base, probe->fd, probe->fd >= 0 ? EV_WRITE : 0, on_event, probe);
    if (probe->fd < 0 || !wait_again(probe))
        event_active(probe->event, EV_TIMEOUT, 0);
    return probe;
}
