#include "common/net/resolve.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* The thread's and the loop's; whoever comes last frees it. */
struct resolve {
    pthread_mutex_t lock;
    bool answered; /* by the thread */
    bool canceled; /* by the loop */
    int wake; /* eventfd */
    struct event *event; /* the loop's alone */
    char *host;
    resolve_lookup *lookup;
    resolve_on_done *on_done;
    void *arg;
    size_t count;
    char addresses[RESOLVE_MAX][RESOLVE_TEXT_SIZE];
};

/* ---- the system's answer ---- */

static size_t
add_family(const struct addrinfo *list, int family, size_t count,
    char addresses[RESOLVE_MAX][RESOLVE_TEXT_SIZE])
{
    for (; list != NULL && count < RESOLVE_MAX; list = list->ai_next) {
        if (list->ai_family == family &&
            getnameinfo(list->ai_addr, list->ai_addrlen, addresses[count],
                RESOLVE_TEXT_SIZE, NULL, 0, NI_NUMERICHOST) == 0)
            count++;
    }
    return count;
}

static size_t
ask_system(const char *host, char addresses[RESOLVE_MAX][RESOLVE_TEXT_SIZE])
{
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    size_t count;

    if (getaddrinfo(host, NULL, &hints, &list) != 0)
        return 0;
    count = add_family(list, AF_INET, 0, addresses);
    count = add_family(list, AF_INET6, count, addresses);
    freeaddrinfo(list);
    return count;
}

static resolve_lookup *chosen = ask_system;

void
resolve_set_lookup(resolve_lookup *lookup)
{
    chosen = lookup != NULL ? lookup : ask_system;
}

bool
resolve_is_address(const char *host)
{
    unsigned char bytes[sizeof(struct in6_addr)];

    return inet_pton(AF_INET, host, bytes) == 1 ||
        inet_pton(AF_INET6, host, bytes) == 1;
}

/* ---- both sides ---- */

static void
destroy(struct resolve *resolve)
{
    close(resolve->wake);
    pthread_mutex_destroy(&resolve->lock);
    memory_free(resolve->host);
    memory_free(resolve);
}

static void *
run(void *arg)
{
    static const uint64_t one = 1;
    struct resolve *resolve = arg;
    bool last;

    resolve->count = resolve->lookup(resolve->host, resolve->addresses);
    pthread_mutex_lock(&resolve->lock);
    resolve->answered = true;
    last = resolve->canceled;
    if (!last && write(resolve->wake, &one, sizeof(one)) != sizeof(one))
        resolve->count = 0; /* cannot be: nobody else writes */
    pthread_mutex_unlock(&resolve->lock);
    if (last)
        destroy(resolve);
    return NULL;
}

static void
on_wake(evutil_socket_t fd, short what, void *arg)
{
    struct resolve *resolve = arg;

    (void)fd;
    (void)what;
    /* The thread lets go of the lock as its last act. */
    pthread_mutex_lock(&resolve->lock);
    pthread_mutex_unlock(&resolve->lock);
    event_free(resolve->event);
    resolve->on_done(resolve->arg, resolve->addresses, resolve->count);
    destroy(resolve);
}

/* Signals are the loop's. */
static int
start_thread(struct resolve *resolve)
{
    pthread_t thread;
    pthread_attr_t attributes;
    sigset_t all, before;
    int result;

    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    result = pthread_create(&thread, &attributes, run, resolve);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return result == 0 ? 0 : -1;
}

struct resolve *
resolve_start(struct event_base *base, const char *host,
    resolve_on_done *on_done, void *arg)
{
    struct resolve *resolve;
    int wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    if (wake < 0)
        return NULL;
    resolve = memory_zalloc(1, sizeof(*resolve));
    pthread_mutex_init(&resolve->lock, NULL);
    resolve->wake = wake;
    resolve->host = memory_dup(host);
    resolve->lookup = chosen;
    resolve->on_done = on_done;
    resolve->arg = arg;
    resolve->event = event_new(base, wake, EV_READ, on_wake, resolve);
    event_add(resolve->event, NULL);
    if (start_thread(resolve) == 0)
        return resolve;
    event_free(resolve->event);
    destroy(resolve);
    return NULL;
}

void
resolve_cancel(struct resolve *resolve)
{
    bool last;

    event_free(resolve->event);
    pthread_mutex_lock(&resolve->lock);
    resolve->canceled = true;
    last = resolve->answered;
    pthread_mutex_unlock(&resolve->lock);
    if (last)
        destroy(resolve);
}
