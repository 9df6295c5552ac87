#include "cli/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/queue.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/probe.h"
#include "cli/watch.h"
#include "common/base/clock.h"
#include "common/base/log.h"

#define TICK_MS 1000
#define PROBE_TIMEOUT_MS 5000
#define LINE_MAX_BYTES 4096

struct child {
    TAILQ_ENTRY(child) link;
    struct children *children;
    char name[CHILD_NAME_MAX];
    char address[CHILD_ADDRESS_MAX];
    char *path;
    char *directory;
    struct child_words argv;
    struct child_words env;
    const char *question;
    bool once;
    bool ending; /* its end is wanted */
    int group;
    pid_t pid; /* 0: does not run */
    int out; /* its stdout, -1: none */
    struct event *on_out;
    struct event *restart;
    struct probe *probe; /* NULL: no question is open */
    struct watch watch;
    struct buffer line;
};

TAILQ_HEAD(child_list, child);

struct children {
    struct event_base *base;
    int64_t stall_ms;
    children_on_line *on_line;
    children_on_end *on_end;
    void *arg;
    struct event *sigchld;
    struct event *tick;
    struct child_list list;
};

/* --- words --- */

static void
words_put(struct child_words *words, char *word)
{
    words->items =
        memory_resize(words->items, (words->count + 2) * sizeof(char *));
    words->items[words->count++] = word;
    words->items[words->count] = NULL;
}

void
child_words_add(struct child_words *words, const char *format, ...)
{
    char *word;
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    word = memory_alloc((size_t)len + 1);
    va_start(args, format);
    vsnprintf(word, (size_t)len + 1, format, args);
    va_end(args);
    words_put(words, word);
}

void
child_words_clear(struct child_words *words)
{
    for (size_t i = 0; i < words->count; i++) {
        explicit_bzero(words->items[i], strlen(words->items[i]));
        memory_free(words->items[i]);
    }
    memory_free(words->items);
    memset(words, 0, sizeof(*words));
}

/* --- starting --- */

static void spawn(struct child *child);

/* Between fork and exec: only what POSIX calls async-signal-safe. */
static void
become(const struct child *child, int out, pid_t parent)
{
    struct sigaction plain = {.sa_handler = SIG_DFL};
    sigset_t none;
    sigemptyset(&none);
    setpgid(0, 0);
    sigaction(SIGPIPE, &plain, NULL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(1);
    int null = open("/dev/null", O_RDONLY);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 ||
        dup2(out, STDOUT_FILENO) < 0)
        _exit(126);
    if (null > STDERR_FILENO)
        close(null);
    if (child->directory != NULL && chdir(child->directory) != 0)
        _exit(126);
    execve(child->path, child->argv.items, child->env.items);
    _exit(127);
}

static void
close_out(struct child *child)
{
    if (child->on_out != NULL)
        event_free(child->on_out);
    child->on_out = NULL;
    if (child->out >= 0)
        close(child->out);
    child->out = -1;
    buffer_reset(&child->line);
}

/* Hands over every complete line. */
static void
take_lines(struct child *child)
{
    struct children *children = child->children;
    for (;;) {
        const char *end = child->line.len > 0
            ? memchr(child->line.data, '\n', child->line.len)
            : NULL;
        if (end == NULL)
            break;
        size_t len = (size_t)(end - child->line.data);
        children->on_line(
            children->arg, child, slice_make(child->line.data, len));
        buffer_consume(&child->line, len + 1);
    }
    if (child->line.len > LINE_MAX_BYTES)
        buffer_reset(&child->line);
}

static void
on_out(evutil_socket_t fd, short what, void *arg)
{
    struct child *child = arg;
    (void)what;
    char *at = buffer_reserve(&child->line, LINE_MAX_BYTES);
    ssize_t got = read(fd, at, LINE_MAX_BYTES);
    if (got > 0) {
        child->line.len += (size_t)got;
        take_lines(child);
    } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
        close_out(child);
    }
}

static void
start_again_later(struct child *child, int64_t delay_ms)
{
    struct timeval delay = {delay_ms / 1000, (delay_ms % 1000) * 1000};
    evtimer_add(child->restart, &delay);
}

static void
spawn(struct child *child)
{
    int ends[2];
    pid_t parent = getpid();
    watch_started(&child->watch, clock_mono_ms());
    if (pipe2(ends, O_CLOEXEC) != 0) {
        log_error("child_start_failed", LOG_TEXT("child", child->name),
            LOG_TEXT("reason", strerrorname_np(errno)));
        start_again_later(child, watch_ended(&child->watch, clock_mono_ms()));
        return;
    }
    pid_t pid = fork();
    if (pid == 0)
        become(child, ends[1], parent);
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        log_error("child_start_failed", LOG_TEXT("child", child->name),
            LOG_TEXT("reason", strerrorname_np(errno)));
        start_again_later(child, watch_ended(&child->watch, clock_mono_ms()));
        return;
    }
    setpgid(pid, pid);
    child->pid = pid;
    child->out = ends[0];
    evutil_make_socket_nonblocking(ends[0]);
    child->on_out = event_new(
        child->children->base, ends[0], EV_READ | EV_PERSIST, on_out, child);
    event_add(child->on_out, NULL);
    log_info(
        "child_started", LOG_TEXT("child", child->name), LOG_INT("pid", pid));
}

static void
on_restart(evutil_socket_t fd, short what, void *arg)
{
    struct child *child = arg;
    (void)fd;
    (void)what;
    if (child->pid == 0 && !child->ending)
        spawn(child);
}

struct child *
child_start(struct children *children, struct child_spec *spec)
{
    struct child *child = memory_zalloc(1, sizeof(*child));
    child->children = children;
    text_copy(child->name, sizeof(child->name), slice_of(spec->name));
    child->path = memory_dup(spec->path);
    if (spec->directory != NULL)
        child->directory = memory_dup(spec->directory);
    child->argv = spec->argv;
    child->env = spec->env;
    child->question = spec->question;
    child->once = spec->once;
    child->group = spec->group;
    child->out = -1;
    child->restart = evtimer_new(children->base, on_restart, child);
    TAILQ_INSERT_TAIL(&children->list, child, link);
    spawn(child);
    return child;
}

/* --- ending --- */

void
child_describe_end(int status, char *out, size_t size)
{
    if (WIFSIGNALED(status))
        snprintf(out, size, "killed by SIG%s",
            sigabbrev_np(WTERMSIG(status)) != NULL
                ? sigabbrev_np(WTERMSIG(status))
                : "?");
    else if (WEXITSTATUS(status) == 127)
        snprintf(out, size, "could not be executed");
    else
        snprintf(out, size, "exit code %d", WEXITSTATUS(status));
}

static void
handle_end(struct child *child, int status)
{
    struct children *children = child->children;
    char how[64];
    int64_t delay_ms = 0;
    pid_t pid = child->pid;
    child->pid = 0;
    if (child->out >= 0)
        on_out(child->out, EV_READ, child);
    close_out(child);
    if (child->probe != NULL)
        probe_cancel(child->probe);
    child->probe = NULL;
    child_describe_end(status, how, sizeof(how));
    if (!child->ending && !child->once) {
        delay_ms = watch_ended(&child->watch, clock_mono_ms());
        log_warn("child_ended", LOG_TEXT("child", child->name),
            LOG_INT("pid", pid), LOG_TEXT("how", how),
            LOG_INT("restart_in_ms", delay_ms));
        start_again_later(child, delay_ms);
    } else {
        log_info("child_ended", LOG_TEXT("child", child->name),
            LOG_INT("pid", pid), LOG_TEXT("how", how));
    }
    children->on_end(children->arg, child, status);
}

static void
on_sigchld(evutil_socket_t number, short what, void *arg)
{
    struct children *children = arg;
    struct child *child;
    (void)number;
    (void)what;
    TAILQ_FOREACH(child, &children->list, link)
    {
        int status;
        if (child->pid > 0 &&
            waitpid(child->pid, &status, WNOHANG) == child->pid)
            handle_end(child, status);
    }
}

/* --- asking whether they live --- */

static void
on_answer(void *arg, struct slice answer)
{
    struct child *child = arg;
    child->probe = NULL;
    if (answer.len > 0)
        watch_heard(&child->watch, clock_mono_ms());
}

static void
look_at(struct child *child)
{
    struct children *children = child->children;
    if (child->pid == 0 || child->question == NULL || child->address[0] == '\0')
        return;
    if (child->probe == NULL)
        child->probe = probe_start(children->base, child->address,
            child->question, PROBE_LINE, PROBE_TIMEOUT_MS, on_answer, child);
    if (!watch_is_stuck(&child->watch, clock_mono_ms(), children->stall_ms) ||
        child->ending)
        return;
    log_error("child_stuck", LOG_TEXT("child", child->name),
        LOG_INT("pid", child->pid), LOG_INT("limit_ms", children->stall_ms));
    kill(child->pid, SIGKILL);
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct children *children = arg;
    struct child *child;
    (void)fd;
    (void)what;
    TAILQ_FOREACH(child, &children->list, link)
    look_at(child);
}

/* --- all of them --- */

struct children *
children_new(struct event_base *base, int64_t stall_ms,
    children_on_line *on_line, children_on_end *on_end, void *arg)
{
    static const struct timeval tick = {TICK_MS / 1000, 0};
    struct children *children = memory_zalloc(1, sizeof(*children));
    TAILQ_INIT(&children->list);
    children->base = base;
    children->stall_ms = stall_ms;
    children->on_line = on_line;
    children->on_end = on_end;
    children->arg = arg;
    children->sigchld = evsignal_new(base, SIGCHLD, on_sigchld, children);
    children->tick = event_new(base, -1, EV_PERSIST, on_tick, children);
    event_add(children->sigchld, NULL);
    event_add(children->tick, &tick);
    return children;
}

static void
child_free(struct child *child)
{
    if (child->pid > 0) {
        kill(child->pid, SIGKILL);
        waitpid(child->pid, NULL, 0);
    }
    close_out(child);
    if (child->probe != NULL)
        probe_cancel(child->probe);
    event_free(child->restart);
    buffer_clear(&child->line);
    child_words_clear(&child->argv);
    child_words_clear(&child->env);
    memory_free(child->path);
    memory_free(child->directory);
    memory_free(child);
}

void
children_free(struct children *children)
{
    struct child *child;
    while ((child = TAILQ_FIRST(&children->list)) != NULL) {
        TAILQ_REMOVE(&children->list, child, link);
        child_free(child);
    }
    event_free(children->sigchld);
    event_free(children->tick);
    memory_free(children);
}

unsigned
children_end(struct children *children, int group, int signal)
{
    struct child *child;
    TAILQ_FOREACH(child, &children->list, link)
    {
        if (child->group != group)
            continue;
        child->ending = true;
        if (child->pid > 0)
            kill(child->pid, signal);
    }
    return children_running(children, group);
}

unsigned
children_running(const struct children *children, int group)
{
    const struct child *child;
    unsigned count = 0;
    TAILQ_FOREACH(child, &children->list, link)
    count += child->group == group && child->pid > 0 ? 1 : 0;
    return count;
}

const char *
child_name(const struct child *child)
{
    return child->name;
}

pid_t
child_pid(const struct child *child)
{
    return child->pid;
}

unsigned
child_failures(const struct child *child)
{
    return child->watch.failures;
}

void
child_set_address(struct child *child, const char *address)
{
    text_copy(child->address, sizeof(child->address), slice_of(address));
}

const char *
child_address(const struct child *child)
{
    return child->address;
}

void
child_add_word(struct child *child, const char *word)
{
    child_words_add(&child->argv, "%s", word);
}
