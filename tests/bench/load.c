/*
 * load: an HTTP/1.1 load generator that costs little itself, so that most of
 * the two cores is left for what is measured: one epoll loop, keep-alive
 * connections, a request that is built once, answers of which only status,
 * Content-Length and (where asked) the job's id and end are read.
 *
 *   submit    every connection posts the same body again and again
 *   get       every connection gets the jobs of --ids (or --path) in turn
 *   longpoll  connection n waits for job n of --ids; prints `ready` when all
 *             wait; the latency is from the job's finished_at to the answer
 *   idle      every connection asks once and stays open until SIGTERM
 *   probe     one request every --interval-ms until SIGTERM; each SIGUSR1
 *             begins the next of three phases: beside, between, alone
 *   ping      the same with Redis's PING
 *
 * Prints one JSON object on stdout.
 */

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/buffer.h"
#include "common/base/clock.h"
#include "tests/bench/options.h"
#include "tests/bench/samples.h"

#define ANSWER_MAX 8192
#define EVENTS_MAX 512
#define ID_CHARS 40 /* job_ and a UUID */

enum mode { SUBMIT, GET, LONGPOLL, IDLE, PROBE, PING };

/* Of a probe: beside the load that is measured, until it has ceased, without
 * it. All other modes stay in the first. */
enum phase { BESIDE, BETWEEN, ALONE, PHASES };

struct connection {
    int fd;
    bool busy; /* a request is under way */
    size_t sent;
    struct buffer request;
    int64_t began_us;
    size_t have; /* bytes of the answer, of which ANSWER_MAX are kept */
    size_t want; /* the whole answer's length, 0: not known yet */
    char answer[ANSWER_MAX + 1];
};

struct load {
    enum mode mode;
    const char *to;
    const char *path;
    uint64_t connections;
    uint64_t requests;
    int64_t interval_ms;
    int epoll;
    struct buffer fixed; /* the request of submit, probe and ping */
    struct buffer ids; /* for get and longpoll: of ID_CHARS + 1 bytes each */
    FILE *ids_out;
    struct connection *all;
    uint64_t started;
    uint64_t ended;
    uint64_t failed;
    int first_failure; /* its status, 0: the connection broke */
    struct samples samples[PHASES];
    int64_t first_us;
    int64_t last_us;
};

static volatile sig_atomic_t stop;
static volatile sig_atomic_t phase = BESIDE;

static void
on_signal(int number)
{
    (void)number;
    stop = 1;
}

static void
on_next_phase(int number)
{
    (void)number;
    phase = (phase + 1) % PHASES;
}

static void
fail(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* --- requests ------------------------------------------------------------- */

static void
make_get(
    struct buffer *out, const char *path, struct slice id, const char *query)
{
    buffer_reset(out);
    buffer_printf(out, "GET %s%.*s%s HTTP/1.1\r\nHost: localhost\r\n\r\n", path,
        (int)id.len, id.data != NULL ? id.data : "", query);
}

static void
make_post(struct buffer *out, const char *path, struct slice body)
{
    buffer_printf(out,
        "POST %s HTTP/1.1\r\nHost: localhost\r\n"
        "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
        path, body.len);
    buffer_append_slice(out, body);
}

static struct slice
id_at(const struct load *load, uint64_t number)
{
    uint64_t count = load->ids.len / (ID_CHARS + 1);

    if (count == 0)
        return SLICE_NULL;
    return slice_make(
        load->ids.data + number % count * (ID_CHARS + 1), ID_CHARS);
}

static void
make_request(struct load *load, struct connection *connection)
{
    struct slice id = id_at(load, load->started);

    if (load->mode == LONGPOLL)
        make_get(&connection->request, "/v1/jobs/", id, "?wait=55");
    else if (id.len > 0)
        make_get(&connection->request, "/v1/jobs/", id, "");
    else if (connection->request.len == 0)
        buffer_append_slice(&connection->request, buffer_slice(&load->fixed));
}

/* --- answers -------------------------------------------------------------- */

static struct slice
value_behind(const struct connection *connection, const char *key, char end)
{
    const char *at = strstr(connection->answer, key);
    struct slice rest = slice_of(at != NULL ? at + strlen(key) : "");

    return slice_split(&rest, end);
}

static int
status_of(const struct connection *connection)
{
    uint64_t status = 0;

    if (connection->have < 12 ||
        text_parse_u64(slice_make(connection->answer + 9, 3), 999, &status) !=
            0)
        return 0;
    return (int)status;
}

/* Sets connection->want once the head is there. */
static void
read_head(const struct load *load, struct connection *connection)
{
    const char *end = NULL;
    uint64_t len = 0;

    if (load->mode == PING) {
        connection->want = 7; /* +PONG\r\n */
        return;
    }
    end = strstr(connection->answer, "\r\n\r\n");
    if (end == NULL)
        return;
    if (text_parse_u64(value_behind(connection, "ontent-Length: ", '\r'),
            UINT32_MAX, &len) != 0 &&
        text_parse_u64(value_behind(connection, "ontent-length: ", '\r'),
            UINT32_MAX, &len) != 0)
        len = 0;
    connection->want = (size_t)(end + 4 - connection->answer) + len;
}

static bool
is_good(const struct load *load, const struct connection *connection)
{
    int status = load->mode == PING ? 200 : status_of(connection);

    return status == 200 || status == 202;
}

/* How late the answer of a long-poll is. */
static int64_t
late_us(const struct connection *connection)
{
    int64_t ended_ms = 0;

    if (clock_parse_rfc3339(value_behind(connection, "\"finished_at\":\"", '"'),
            &ended_ms) != 0)
        return -1;
    return (clock_wall_ms() - ended_ms) * 1000;
}

static void
note_failure(struct load *load, int status)
{
    if (load->failed++ == 0)
        load->first_failure = status;
}

static void
on_answer(struct load *load, struct connection *connection)
{
    int64_t took = 0;

    load->last_us = clock_mono_us();
    load->ended++;
    connection->busy = false;
    took = load->mode == LONGPOLL ? late_us(connection)
                                  : load->last_us - connection->began_us;
    if (!is_good(load, connection) || took < 0) {
        note_failure(load, status_of(connection));
        return;
    }
    samples_add(&load->samples[phase], took);
    if (load->ids_out != NULL) {
        struct slice id = value_behind(connection, "/v1/jobs/", '\r');
        fprintf(load->ids_out, "%.*s\n", (int)id.len, id.data);
    }
}

/* --- the connection ------------------------------------------------------- */

static void
address_of(const char *to, struct sockaddr_storage *address, socklen_t *len)
{
    struct sockaddr_un path = {.sun_family = AF_UNIX};
    struct sockaddr_in port = {.sin_family = AF_INET};
    const char *colon = strrchr(to, ':');
    uint64_t number = 0;

    memset(address, 0, sizeof(*address));
    if (strncmp(to, "unix:", 5) == 0) {
        (void)text_copy(path.sun_path, sizeof(path.sun_path), slice_of(to + 5));
        memcpy(address, &path, sizeof(path));
        *len = sizeof(path);
        return;
    }
    if (colon == NULL ||
        text_parse_u64(slice_of(colon + 1), 65535, &number) != 0)
        fail(to);
    port.sin_port = htons((uint16_t)number);
    port.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    memcpy(address, &port, sizeof(port));
    *len = sizeof(port);
}

static void
dial(struct load *load, struct connection *connection)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    struct sockaddr_storage address;
    socklen_t len = 0;
    int on = 1;

    address_of(load->to, &address, &len);
    connection->fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection->fd < 0 ||
        connect(connection->fd, (struct sockaddr *)&address, len) != 0)
        fail(load->to);
    if (address.ss_family == AF_INET)
        (void)setsockopt(
            connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, connection->fd, &event) != 0)
        fail("epoll_ctl");
}

/* Requests are small beside a socket's buffer; a large one waits here. */
static void
start(struct load *load, struct connection *connection)
{
    make_request(load, connection);
    connection->busy = true;
    connection->have = 0;
    connection->want = 0;
    connection->began_us = clock_mono_us();
    if (load->started++ == 0)
        load->first_us = connection->began_us;
    for (size_t at = 0; at < connection->request.len;) {
        ssize_t count = send(connection->fd, connection->request.data + at,
            connection->request.len - at, MSG_NOSIGNAL);
        if (count < 0 && errno != EINTR)
            return; /* the read tells */
        at += count > 0 ? (size_t)count : 0;
    }
}

/* False when the connection is over. */
static bool
receive(struct load *load, struct connection *connection)
{
    static char rest[65536];
    bool keep = connection->have < ANSWER_MAX;
    ssize_t count = keep
        ? recv(connection->fd, connection->answer + connection->have,
              ANSWER_MAX - connection->have, 0)
        : recv(connection->fd, rest, sizeof(rest), 0);

    if (count <= 0)
        return count < 0 && errno == EINTR;
    connection->have += (size_t)count;
    connection->answer[keep ? connection->have : ANSWER_MAX] = '\0';
    if (connection->want == 0)
        read_head(load, connection);
    if (connection->want == 0 || connection->have < connection->want)
        return true;
    on_answer(load, connection);
    return true;
}

static void
on_broken(struct load *load, struct connection *connection)
{
    (void)close(connection->fd);
    connection->fd = -1;
    if (connection->busy || load->mode == IDLE) {
        load->ended += connection->busy;
        note_failure(load, 0);
    }
    connection->busy = false;
}

static bool
wants_more(const struct load *load)
{
    return (load->mode == SUBMIT || load->mode == GET) &&
        load->started < load->requests;
}

static void
turn(struct load *load, int timeout_ms)
{
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(load->epoll, events, EVENTS_MAX, timeout_ms);

    for (int i = 0; i < count; i++) {
        struct connection *connection = events[i].data.ptr;
        if (!receive(load, connection))
            on_broken(load, connection);
        if (connection->fd < 0 && wants_more(load))
            dial(load, connection);
        if (!connection->busy && connection->fd >= 0 && wants_more(load))
            start(load, connection);
    }
}

/* --- modes ---------------------------------------------------------------- */

static void
say_ready(void)
{
    printf("ready\n");
    fflush(stdout);
}

static void
run_requests(struct load *load)
{
    for (uint64_t i = 0; i < load->connections && i < load->requests; i++)
        start(load, &load->all[i]);
    if (load->mode == LONGPOLL)
        say_ready();
    while (load->ended < load->started && stop == 0)
        turn(load, 1000);
}

static void
run_idle(struct load *load)
{
    for (uint64_t i = 0; i < load->connections; i++) {
        start(load, &load->all[i]);
        turn(load, 0);
    }
    while (load->ended < load->started && stop == 0)
        turn(load, 1000);
    say_ready();
    while (stop == 0)
        turn(load, 1000);
}

static void
run_probe(struct load *load)
{
    int64_t next_ms = clock_mono_ms();

    say_ready();
    while (stop == 0) {
        int64_t now_ms = clock_mono_ms();
        if (now_ms >= next_ms && !load->all[0].busy) {
            start(load, &load->all[0]);
            next_ms = now_ms + load->interval_ms;
        }
        turn(load, load->all[0].busy ? 1000 : (int)(next_ms - now_ms));
        if (load->all[0].fd < 0)
            dial(load, &load->all[0]);
    }
    if (load->all[0].busy) /* what waits at the end has waited so long */
        samples_add(
            &load->samples[phase], clock_mono_us() - load->all[0].began_us);
}

static void
report(struct load *load)
{
    double seconds = (double)(load->last_us - load->first_us) / 1e6;

    for (size_t i = 0; i < PHASES; i++)
        samples_sort(&load->samples[i]);
    printf("{\"requests\":%llu,\"failed\":%llu,\"first_failure\":%d,"
           "\"seconds\":%.6f,\"rate\":%.1f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,"
           "\"max_ms\":%.3f,\"alone_p99_ms\":%.3f}\n",
        (unsigned long long)load->ended, (unsigned long long)load->failed,
        load->first_failure, seconds,
        seconds > 0 ? (double)load->ended / seconds : 0,
        samples_ms(&load->samples[BESIDE], 0.50),
        samples_ms(&load->samples[BESIDE], 0.99),
        samples_ms(&load->samples[BESIDE], 1.00),
        samples_ms(&load->samples[ALONE], 0.99));
}

/* --- settings ------------------------------------------------------------- */

static void
read_file(const char *path, struct buffer *out)
{
    FILE *file = fopen(path, "r");
    size_t count = 0;

    if (file == NULL)
        fail(path);
    do {
        count = fread(buffer_reserve(out, 65536), 1, 65536, file);
        out->len += count;
    } while (count > 0);
    (void)fclose(file);
}

static enum mode
mode_of(const char *name)
{
    static const char *const names[] = {
        "submit", "get", "longpoll", "idle", "probe", "ping"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(name, names[i]) == 0)
            return (enum mode)i;
    fprintf(stderr, "load: no mode %s\n", name);
    exit(2);
}

static void
configure(struct load *load, int argc, char **argv)
{
    const char *ids = options_text(argc, argv, "--ids", NULL);
    const char *ids_out = options_text(argc, argv, "--ids-out", NULL);
    const char *body_file = options_text(argc, argv, "--body", NULL);
    struct buffer body = {0};

    load->mode = mode_of(argv[1]);
    load->to = options_text(argc, argv, "--to", "127.0.0.1:8081");
    load->path = options_text(argc, argv, "--path", "/v1/jobs");
    load->connections = options_number(argc, argv, "--connections", 1);
    load->requests = options_number(argc, argv, "--requests", 1);
    load->interval_ms = (int64_t)options_number(argc, argv, "--interval-ms", 5);
    if (body_file != NULL)
        read_file(body_file, &body);
    if (load->mode == PING)
        buffer_append_text(&load->fixed, "PING\r\n");
    else if (body_file != NULL)
        make_post(&load->fixed, load->path, buffer_slice(&body));
    else
        make_get(&load->fixed, load->path, SLICE_NULL, "");
    if (ids != NULL)
        read_file(ids, &load->ids);
    if (ids_out != NULL && (load->ids_out = fopen(ids_out, "w")) == NULL)
        fail(ids_out);
    if (load->mode == LONGPOLL)
        load->requests = load->connections;
    buffer_clear(&body);
}

int
main(int argc, char **argv)
{
    static struct load load;
    struct sigaction action = {.sa_handler = on_signal};
    struct sigaction next = {.sa_handler = on_next_phase};
    struct rlimit files = {0};

    if (argc < 2)
        return 2;
    configure(&load, argc, argv);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGUSR1, &next, NULL);
    (void)getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
    load.epoll = epoll_create1(EPOLL_CLOEXEC);
    load.all = memory_zalloc(load.connections, sizeof(load.all[0]));
    for (uint64_t i = 0; i < load.connections; i++)
        dial(&load, &load.all[i]);
    if (load.mode == IDLE)
        run_idle(&load);
    else if (load.mode == PROBE || load.mode == PING)
        run_probe(&load);
    else
        run_requests(&load);
    report(&load);
    if (load.ids_out != NULL)
        (void)fclose(load.ids_out);
    return 0;
}
