/*
 * curl_loop: the reference for the worker. A bare libcurl multi handle on
 * libevent posts the same Messages request with reused easy handles and
 * throws the answers away: what the HTTP client alone costs, without a
 * queue, a result, a retry. Prints one JSON object.
 */

#include <curl/curl.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/time.h>

#include "common/base/clock.h"
#include "tests/bench/options.h"

struct loop {
    struct event_base *base;
    CURLM *multi;
    struct event *timer;
    uint64_t requests;
    uint64_t started;
    uint64_t ended;
    uint64_t failed;
};

static size_t
on_body(char *data, size_t size, size_t count, void *arg)
{
    (void)data;
    (void)arg;
    return size * count;
}

static void
start(struct loop *loop, CURL *easy)
{
    loop->started++;
    if (curl_multi_add_handle(loop->multi, easy) != CURLM_OK)
        exit(1);
}

static void
collect(struct loop *loop)
{
    CURLMsg *message = NULL;
    int left = 0;

    while ((message = curl_multi_info_read(loop->multi, &left)) != NULL) {
        CURL *easy = message->easy_handle;
        long status = 0;
        if (message->msg != CURLMSG_DONE)
            continue;
        (void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
        loop->failed += message->data.result != CURLE_OK || status != 200;
        loop->ended++;
        (void)curl_multi_remove_handle(loop->multi, easy);
        if (loop->started < loop->requests)
            start(loop, easy);
    }
    if (loop->ended == loop->requests)
        (void)event_base_loopbreak(loop->base);
}

static void
on_socket_ready(evutil_socket_t fd, short what, void *arg)
{
    struct loop *loop = arg;
    int flags = ((what & EV_READ) != 0 ? CURL_CSELECT_IN : 0) |
        ((what & EV_WRITE) != 0 ? CURL_CSELECT_OUT : 0);
    int running = 0;

    (void)curl_multi_socket_action(loop->multi, fd, flags, &running);
    collect(loop);
}

static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *mine)
{
    struct loop *loop = arg;
    struct event *event = mine;
    short kind = (short)(EV_PERSIST | ((what & CURL_POLL_IN) ? EV_READ : 0) |
        ((what & CURL_POLL_OUT) ? EV_WRITE : 0));

    (void)easy;
    if (event != NULL)
        event_free(event);
    event = NULL;
    if (what != CURL_POLL_REMOVE) {
        event = event_new(loop->base, fd, kind, on_socket_ready, loop);
        (void)event_add(event, NULL);
    }
    (void)curl_multi_assign(loop->multi, fd, event);
    return 0;
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct loop *loop = arg;
    int running = 0;

    (void)fd;
    (void)what;
    (void)curl_multi_socket_action(
        loop->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    collect(loop);
}

static int
on_timeout(CURLM *multi, long ms, void *arg)
{
    struct loop *loop = arg;
    struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

    (void)multi;
    if (ms < 0)
        (void)evtimer_del(loop->timer);
    else
        (void)evtimer_add(loop->timer, &tv);
    return 0;
}

static CURL *
make_call(const char *url, const char *body, struct curl_slist *headers)
{
    CURL *easy = curl_easy_init();

    if (easy == NULL)
        exit(1);
    (void)curl_easy_setopt(easy, CURLOPT_URL, url);
    (void)curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
    return easy;
}

static void
run(struct loop *loop, const char *url, const char *body, uint64_t parallel)
{
    struct curl_slist *headers = NULL;

    headers = curl_slist_append(headers, "content-type: application/json");
    headers = curl_slist_append(headers, "anthropic-version: 2026-10-21");
    headers = curl_slist_append(headers, "x-api-key: not-a-key");
    (void)curl_multi_setopt(loop->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    (void)curl_multi_setopt(loop->multi, CURLMOPT_SOCKETDATA, loop);
    (void)curl_multi_setopt(loop->multi, CURLMOPT_TIMERFUNCTION, on_timeout);
    (void)curl_multi_setopt(loop->multi, CURLMOPT_TIMERDATA, loop);
    (void)curl_multi_setopt(loop->multi, CURLMOPT_MAXCONNECTS, (long)parallel);
    for (uint64_t i = 0; i < parallel && i < loop->requests; i++)
        start(loop, make_call(url, body, headers));
    (void)event_base_dispatch(loop->base);
}

static char *
read_body(const char *path)
{
    FILE *file = fopen(path, "r");
    char *text = memory_zalloc(1, 1 << 20);

    if (file == NULL || fread(text, 1, (1 << 20) - 1, file) == 0) {
        fprintf(stderr, "curl_loop: %s cannot be read\n", path);
        exit(1);
    }
    (void)fclose(file);
    return text;
}

/* Of this process so far, in user and kernel mode. */
static double
cpu_us(void)
{
    struct rusage used;

    if (getrusage(RUSAGE_SELF, &used) != 0)
        exit(1);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e6 +
        (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
}

/* The operating system takes back what the handles hold. */
int
main(int argc, char **argv)
{
    struct loop loop = {
        .requests = options_number(argc, argv, "--requests", 20000)};
    char *body = read_body(options_text(argc, argv, "--body", ""));
    int64_t began = 0;
    double seconds = 0, cpu = 0;

    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
    loop.base = event_base_new();
    loop.multi = curl_multi_init();
    loop.timer = evtimer_new(loop.base, on_timer, &loop);
    cpu = cpu_us();
    began = clock_mono_us();
    run(&loop, options_text(argc, argv, "--url", ""), body,
        options_number(argc, argv, "--connections", 256));
    seconds = (double)(clock_mono_us() - began) / 1e6;
    cpu = cpu_us() - cpu;
    printf("{\"requests\":%llu,\"failed\":%llu,\"seconds\":%.6f,"
           "\"rate\":%.1f,\"cpu_us\":%.1f}\n",
        (unsigned long long)loop.ended, (unsigned long long)loop.failed,
        seconds, (double)loop.ended / seconds, cpu / (double)loop.ended);
    return 0;
}
