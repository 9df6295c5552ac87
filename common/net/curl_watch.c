#include "common/net/curl_watch.h"

#include <assert.h>
#include <event2/event_struct.h>
#include <sys/socket.h>
#include <unistd.h>

#define FIRST_COUNT 64

struct watch {
    struct curl_watches *watches;
    struct event event;
    short events; /* what is registered; 0: nothing */
    bool ours; /* we are told when it is closed */
    bool wanted; /* by libcurl, now */
    void *arg;
};

struct curl_watches {
    struct event_base *base;
    curl_watch_ready *on_ready;
    size_t count;
    struct watch **by_fd; /* NULL where there is none */
};

static struct watch *
watch_find(const struct curl_watches *watches, curl_socket_t fd)
{
    return (size_t)fd < watches->count ? watches->by_fd[fd] : NULL;
}

static struct watch *
watch_new(struct curl_watches *watches, curl_socket_t fd)
{
    struct watch *watch = memory_zalloc(1, sizeof(*watch));
    size_t count = watches->count > 0 ? watches->count : FIRST_COUNT;

    while (count <= (size_t)fd)
        count *= 2;
    watches->by_fd =
        memory_resize(watches->by_fd, count * sizeof(*watches->by_fd));
    for (size_t i = watches->count; i < count; i++)
        watches->by_fd[i] = NULL;
    watches->count = count;
    watches->by_fd[fd] = watch;
    watch->watches = watches;
    return watch;
}

static void
unregister(struct watch *watch)
{
    if (watch->events != 0)
        event_del(&watch->event);
    watch->events = 0;
}

static void
watch_free(struct watch *watch, curl_socket_t fd)
{
    unregister(watch);
    watch->watches->by_fd[fd] = NULL;
    memory_free(watch);
}

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
    struct watch *watch = arg;
    int action = ((what & EV_READ) ? CURL_CSELECT_IN : 0) |
        ((what & EV_WRITE) ? CURL_CSELECT_OUT : 0);

    if (watch->wanted)
        watch->watches->on_ready(watch->arg, fd, action);
    else
        unregister(watch); /* the peer closed it: libcurl will see */
}

void
curl_watches_set(
    struct curl_watches *watches, curl_socket_t fd, int what, void *arg)
{
    struct watch *watch = watch_find(watches, fd);
    short events = EV_PERSIST;

    if (what == CURL_POLL_REMOVE) {
        if (watch != NULL && !watch->ours)
            watch_free(watch, fd);
        else if (watch != NULL)
            watch->wanted = false;
        return;
    }
    if (watch == NULL)
        watch = watch_new(watches, fd);
    watch->wanted = true;
    watch->arg = arg;
    events |= (what & CURL_POLL_IN) ? EV_READ : 0;
    events |= (what & CURL_POLL_OUT) ? EV_WRITE : 0;
    if (watch->events == events)
        return;
    unregister(watch);
    event_assign(&watch->event, watches->base, fd, events, on_event, watch);
    event_add(&watch->event, NULL);
    watch->events = events;
}

/* --- connections ----------------------------------------------------- */

static curl_socket_t
on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    curl_socket_t fd = socket(
        address->family, address->socktype | SOCK_CLOEXEC, address->protocol);

    (void)purpose;
    if (fd < 0)
        return CURL_SOCKET_BAD;
    watch_new(arg, fd)->ours = true;
    return fd;
}

static int
on_close(void *arg, curl_socket_t fd)
{
    struct watch *watch = watch_find(arg, fd);

    if (watch != NULL)
        watch_free(watch, fd);
    return close(fd);
}

void
curl_watches_adopt(struct curl_watches *watches, CURL *easy)
{
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, watches);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, watches);
}

struct curl_watches *
curl_watches_new(struct event_base *base, curl_watch_ready *on_ready)
{
    struct curl_watches *watches = memory_zalloc(1, sizeof(*watches));

    watches->base = base;
    watches->on_ready = on_ready;
    return watches;
}

void
curl_watches_free(struct curl_watches *watches)
{
    for (size_t i = 0; i < watches->count; i++) {
        if (watches->by_fd[i] != NULL)
            watch_free(watches->by_fd[i], (curl_socket_t)i);
    }
    memory_free(watches->by_fd);
    memory_free(watches);
}
