#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/net/http_server_impl.h"

#define BACKLOG 1024
#define ACCEPTS_PER_TURN 64
/* Connections over the cap that are told so; more are just closed. */
#define REFUSED_AT_ONCE 64
#define PAUSE_MS 100
#define WARN_EVERY_MS 10000

union any_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un local;
};

/* "ADDRESS:PORT" into *out; its length or 0. */
static socklen_t
parse_address(const char *text, union any_address *out)
{
    const char *colon = strrchr(text, ':');
    struct slice host;
    char name[64];
    uint64_t port;

    memset(out, 0, sizeof(*out));
    if (colon == NULL || text_parse_u64(slice_of(colon + 1), 65535, &port) != 0)
        return 0;
    host = slice_make(text, (size_t)(colon - text));
    if (host.len == 0 || slice_equal_text(host, "localhost"))
        host = slice_of("127.0.0.1");
    if (host.data[0] == '[' && host.data[host.len - 1] == ']') {
        host = slice_make(host.data + 1, host.len - 2);
        out->v6.sin6_family = AF_INET6;
        out->v6.sin6_port = htons((uint16_t)port);
        if (!text_copy(name, sizeof(name), host) ||
            inet_pton(AF_INET6, name, &out->v6.sin6_addr) != 1)
            return 0;
        return sizeof(out->v6);
    }
    out->v4.sin_family = AF_INET;
    out->v4.sin_port = htons((uint16_t)port);
    if (!text_copy(name, sizeof(name), host) ||
        inet_pton(AF_INET, name, &out->v4.sin_addr) != 1)
        return 0;
    return sizeof(out->v4);
}

static socklen_t
local_address(const char *path, union any_address *out)
{
    memset(out, 0, sizeof(*out));
    out->local.sun_family = AF_UNIX;
    if (*path == '\0' ||
        !text_copy(
            out->local.sun_path, sizeof(out->local.sun_path), slice_of(path)))
        return 0;
    return sizeof(out->local);
}

/* Removes a socket file that no process listens on any more. */
static bool
remove_stale(const union any_address *address, socklen_t len)
{
    struct stat info;
    bool stale;
    int fd;

    if (lstat(address->local.sun_path, &info) != 0 || !S_ISSOCK(info.st_mode))
        return false;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    stale = connect(fd, &address->any, len) != 0 && errno == ECONNREFUSED;
    close(fd);
    return stale && unlink(address->local.sun_path) == 0;
}

static int
bind_local(int fd, const union any_address *address, socklen_t len)
{
    mode_t old = umask(0177);
    int result = bind(fd, &address->any, len);

    if (result != 0 && errno == EADDRINUSE && remove_stale(address, len))
        result = bind(fd, &address->any, len);
    umask(old);
    return result;
}

static const char *
bind_error(int error)
{
    switch (error) {
    case EADDRINUSE: return "the address is in use";
    case EADDRNOTAVAIL: return "the address does not belong to this machine";
    case EACCES:
    case EPERM: return "no permission to listen on the address";
    case EMFILE:
    case ENFILE: return "too many open files";
    case ENOENT:
    case ENOTDIR: return "the folder of the socket does not exist";
    default: return "cannot listen on the address";
    }
}

/* A listening descriptor, or -1 with errno. */
static int
open_socket(const union any_address *address, socklen_t len, bool shared)
{
    int family = address->any.sa_family, on = 1, result, error;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    if (family == AF_UNIX) {
        result = bind_local(fd, address, len);
    } else {
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        if (shared)
            (void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
        result = bind(fd, &address->any, len);
    }
    if (result == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    error = errno;
    close(fd);
    errno = error;
    return -1;
}

static int
bound_port(int fd)
{
    union any_address address;
    socklen_t len = sizeof(address);

    if (getsockname(fd, &address.any, &len) != 0)
        return 0;
    if (address.any.sa_family == AF_INET)
        return ntohs(address.v4.sin_port);
    return address.any.sa_family == AF_INET6 ? ntohs(address.v6.sin6_port) : 0;
}

static int
open_reserve(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

void
http_listeners_resume(struct http_server *server)
{
    if (!server->accept_paused)
        return;
    server->accept_paused = false;
    evtimer_del(&server->resume);
    for (struct http_listener *listener = server->listeners; listener != NULL;
         listener = listener->next)
        event_add(&listener->on_connection, NULL);
}

static void
on_resume(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    http_listeners_resume(arg);
}

static void
warn_paused(struct http_server *server)
{
    int64_t now = clock_mono_ms();

    if (server->warned_ms != 0 && now - server->warned_ms < WARN_EVERY_MS)
        return;
    server->warned_ms = now;
    log_warn(
        "accept_paused", LOG_INT("connections", server->stats.connections));
}

/* No descriptor is left and no connection is idle: one client is told by way
 * of the reserve, then accepting rests, because a listening socket that stays
 * readable would spin the loop. */
static void
pause_accepting(struct http_listener *listener)
{
    static const char busy[] = "HTTP/1.1 503 Service Unavailable\r\n"
                               "Retry-After: 1\r\nContent-Length: 0\r\n"
                               "Connection: close\r\n\r\n";
    const struct timeval rest = {0, PAUSE_MS * 1000};
    struct http_server *server = listener->server;
    int fd;

    if (server->reserve_fd >= 0)
        close(server->reserve_fd);
    fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        (void)send(fd, busy, sizeof(busy) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        close(fd);
    }
    server->reserve_fd = open_reserve();
    warn_paused(server);
    server->accept_paused = true;
    for (listener = server->listeners; listener != NULL;
         listener = listener->next)
        event_del(&listener->on_connection);
    evtimer_add(&server->resume, &rest);
}

static void
admit(struct http_listener *listener, int fd)
{
    struct http_server *server = listener->server;
    unsigned max = server->limits.max_connections;
    int on = 1;

    if (listener->tcp)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    server->stats.accepted++;
    if (server->stats.connections < max || http_server_evict(server))
        http_conn_open(server, fd, false);
    else if (server->stats.connections < max + REFUSED_AT_ONCE)
        http_conn_open(server, fd, true);
    else
        close(fd);
}

static bool
error_is_shortage(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS ||
        error == ENOMEM;
}

static void
on_connection(evutil_socket_t listen_fd, short what, void *arg)
{
    struct http_listener *listener = arg;
    struct http_server *server = listener->server;

    (void)what;
    server->depth++;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0) {
            admit(listener, fd);
            continue;
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            break;
        if (error_is_shortage(errno) && !http_server_evict(server)) {
            pause_accepting(listener);
            break;
        }
        /* Else: an idle one made room, or the client was already gone. */
    }
    server->depth--;
}

static void
listener_add(struct http_server *server, int fd, const char *path)
{
    struct http_listener *listener = memory_zalloc(1, sizeof(*listener));

    listener->server = server;
    listener->fd = fd;
    listener->tcp = path == NULL;
    listener->path = path != NULL ? memory_dup(path) : NULL;
    listener->next = server->listeners;
    if (server->listeners == NULL) {
        server->reserve_fd = open_reserve();
        evtimer_assign(&server->resume, server->base, on_resume, server);
    }
    server->listeners = listener;
    event_assign(&listener->on_connection, server->base, fd,
        EV_READ | EV_PERSIST, on_connection, listener);
    event_add(&listener->on_connection, NULL);
}

int
http_server_listen(struct http_server *server, const char *address, bool shared,
    const char **error)
{
    bool local = slice_starts_with(slice_of(address), "unix:");
    const char *path = local ? address + strlen("unix:") : NULL;
    union any_address where;
    socklen_t len =
        local ? local_address(path, &where) : parse_address(address, &where);
    int fd;

    if (len == 0) {
        *error = "not an address to listen on; write ADDRESS:PORT or unix:PATH";
        return -1;
    }
    fd = open_socket(&where, len, shared);
    if (fd < 0) {
        *error = bind_error(errno);
        return -1;
    }
    listener_add(server, fd, path);
    return bound_port(fd);
}

void
http_listeners_close(struct http_server *server)
{
    struct http_listener *listener;

    if (server->listeners == NULL)
        return;
    /* Who is in the backlog has connected; he gets his answer. */
    for (listener = server->listeners; listener != NULL;
         listener = listener->next)
        on_connection(listener->fd, 0, listener);
    evtimer_del(&server->resume);
    server->accept_paused = false;
    while ((listener = server->listeners) != NULL) {
        server->listeners = listener->next;
        event_del(&listener->on_connection);
        close(listener->fd);
        if (listener->path != NULL)
            (void)unlink(listener->path);
        memory_free(listener->path);
        memory_free(listener);
    }
    if (server->reserve_fd >= 0)
        close(server->reserve_fd);
    server->reserve_fd = -1;
}
