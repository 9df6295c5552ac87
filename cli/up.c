#include "cli/up.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "cli/cli.h"
#include "cli/out.h"
#include "cli/probe.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/service/config.h"

#define POLL_MS 30
#define POLL_ANSWER_MS 2000
/* Beyond the grace that children keep themselves. */
#define DRAIN_EXTRA_MS 5000
#define REDIS_END_MS 30000
#define FAILURES_AT_START 5
#define CHILDREN_LEFT_MS 45000

static void
after(struct event *timer, int64_t ms)
{
    struct timeval delay = {ms / 1000, (ms % 1000) * 1000};
    evtimer_add(timer, &delay);
}

/* --- the end --- */

static int64_t
limit_of(const struct up *up)
{
    return up->group == UP_GROUP_WORK ? up->config->grace_ms + DRAIN_EXTRA_MS
                                      : REDIS_END_MS;
}

/* On to the first group of which something still runs. */
static void
end_next(struct up *up)
{
    while (children_running(up->children, (int)up->group) == 0) {
        if (up->group == UP_GROUP_REDIS) {
            event_base_loopbreak(up->base);
            return;
        }
        up->group--;
        children_end(up->children, (int)up->group, SIGTERM);
        after(up->limit, limit_of(up));
    }
}

static void
kill_group(struct up *up)
{
    children_end(up->children, (int)up->group, SIGKILL);
    after(up->limit, REDIS_END_MS);
}

static void
drain(struct up *up, int exit_code)
{
    if (up->stage == UP_DRAINING)
        return;
    up->stage = UP_DRAINING;
    up->group = UP_GROUP_WORK;
    up->exit_code = exit_code;
    evtimer_del(up->poll);
    if (up->probe != NULL)
        probe_cancel(up->probe);
    up->probe = NULL;
    children_end(up->children, (int)up->group, SIGTERM);
    after(up->limit, limit_of(up));
    end_next(up);
}

static void
on_limit(evutil_socket_t fd, short what, void *arg)
{
    struct up *up = arg;
    (void)fd;
    (void)what;
    log_warn("drain_cut_short", LOG_INT("group", up->group));
    kill_group(up);
}

/* Once: orderly. Twice: calls in flight are given up. */
static void
on_signal(evutil_socket_t number, short what, void *arg)
{
    struct up *up = arg;
    (void)what;
    up->signals++;
    if (up->signals == 1) {
        out_tell("draining: calls in flight may take up to %d s; again to end "
                 "at once",
            (int)(up->config->grace_ms / 1000));
        drain(up, CLI_OK);
        return;
    }
    if (number == SIGINT)
        up->exit_code = CLI_INTERRUPTED;
    if (up->group == UP_GROUP_WORK)
        kill_group(up);
}

/* --- the stages --- */

static void
enter(struct up *up, enum up_stage stage)
{
    up->stage = stage;
    switch (stage) {
    case UP_REDIS: up_start_redis(up); break;
    case UP_SIMULATOR: up_start_simulator(up); break;
    case UP_SERVERS: up_start_servers(up); break;
    case UP_SERVING:
        up_say_ready(up);
        if (up->simulated && up->dir.is_new && !up->args.no_demo &&
            (up->config->keys_file == NULL || up->config->client_key != NULL))
            up_start_demo(up);
        return;
    case UP_DRAINING: return;
    }
    after(up->poll, POLL_MS);
}

static void
on_poll_answer(void *arg, struct slice answer)
{
    struct up *up = arg;
    up->probe = NULL;
    bool redis_ready = slice_starts_with(answer, "+PONG") ||
        slice_starts_with(answer, "-NOAUTH");
    if (up->stage == UP_REDIS && redis_ready)
        enter(up, up->simulated ? UP_SIMULATOR : UP_SERVERS);
    else if (up->stage == UP_SERVERS &&
        slice_starts_with(answer, "HTTP/1.1 200"))
        enter(up, UP_SERVING);
    else
        after(up->poll, POLL_MS);
}

/* Asks whether the stage is done. */
static void
on_poll(evutil_socket_t fd, short what, void *arg)
{
    struct up *up = arg;
    (void)fd;
    (void)what;
    const struct child *child =
        up->stage == UP_REDIS ? up->redis_child : up->server;
    if (up->stage == UP_SIMULATOR && up->simulator_url != NULL) {
        enter(up, UP_SERVERS);
        return;
    }
    if (up->stage == UP_SIMULATOR || child_address(child)[0] == '\0') {
        after(up->poll, POLL_MS);
        return;
    }
    up->probe = probe_start(up->base, child_address(child),
        up->stage == UP_REDIS ? UP_REDIS_QUESTION : PROBE_GET("/readyz"),
        PROBE_LINE, POLL_ANSWER_MS, on_poll_answer, up);
}

/* --- what children say and how they end --- */

/* "... http://127.0.0.1:PORT": where it is asked from now on. Returns the
 * URL, or NULL. */
static const char *
learn_address(struct child *child, const char *line)
{
    const char *url = strstr(line, "http://");
    if (url == NULL)
        return NULL;
    child_set_address(child, url + strlen("http://"));
    return url;
}

static void
on_line(void *arg, struct child *child, struct slice line)
{
    struct up *up = arg;
    char text[512];
    char *word;
    text_copy(text, sizeof(text), line);
    if (child == up->redis_child) {
        log_debug("redis", LOG_SLICE("text", line));
        up_hear_redis(up, line);
        return;
    }
    if (strncmp(text, "ready ", 6) != 0 && strncmp(text, "listening ", 10) != 0)
        return;
    const char *url = learn_address(child, text);
    if (url == NULL)
        return;
    struct buffer listen = {0};
    buffer_printf(&listen, "--listen=%s", child_address(child));
    word = buffer_take(&listen);
    if (child == up->simulator && up->simulator_url == NULL) {
        up->simulator_url = memory_dup(url);
        child_add_word(child, word);
    } else if (child == up->server && up->url == NULL) {
        up->url = memory_dup(url);
        child_add_word(child, word);
    }
    memory_free(word);
    up_write_peers(up);
}

/* Before it serves, a program that cannot start ends all. */
static void
give_up(struct up *up, const struct child *child, int status)
{
    char how[64];
    child_describe_end(status, how, sizeof(how));
    if (child == up->redis_child) {
        up_say_redis_end(up, "cannot start", how);
        out_tell("  all it says: %s %s", up->redis.program, up->redis.conf);
        drain(up, CLI_ERROR);
        return;
    }
    out_say("%s cannot start (%s)", child_name(child), how);
    out_tell("  what it said is above; longhaul doctor --data %s looks "
             "for the cause",
        up->dir.path);
    drain(up, CLI_ERROR);
}

static void
on_end(void *arg, struct child *child, int status)
{
    struct up *up = arg;
    bool usage = WIFEXITED(status) && WEXITSTATUS(status) == CLI_USAGE;
    if (up->stage == UP_DRAINING) {
        end_next(up);
        return;
    }
    if (child == up->redis_child && up->stage == UP_SERVING) {
        char how[64];
        child_describe_end(status, how, sizeof(how));
        up_say_redis_end(up, "ended and is started again", how);
    }
    if (child == up->demo || up->stage == UP_SERVING)
        return;
    if (usage || child_failures(child) >= FAILURES_AT_START)
        give_up(up, child, status);
}

/* --- all of it --- */

static int
open_directory(struct up *up)
{
    struct buffer error = {0};
    int result = up_dir_open(&up->dir, up->args.data, CHILDREN_LEFT_MS, &error);
    if (result == 0)
        result = up_dir_set_mode(&up->dir, up->simulated, &error);
    if (result == 0)
        result = up_redis_prepare(&up->redis, &up->dir, &error);
    if (result != 0)
        out_say("%s", error.data != NULL ? error.data : "cannot start");
    buffer_clear(&error);
    return result;
}

static void
run(struct up *up)
{
    up->children =
        children_new(up->base, up->args.stall_ms, on_line, on_end, up);
    up->sigterm = evsignal_new(up->base, SIGTERM, on_signal, up);
    up->sigint = evsignal_new(up->base, SIGINT, on_signal, up);
    up->poll = evtimer_new(up->base, on_poll, up);
    up->limit = evtimer_new(up->base, on_limit, up);
    evsignal_add(up->sigterm, NULL);
    evsignal_add(up->sigint, NULL);
    up_say_hello(up);
    enter(up, UP_REDIS);
    event_base_dispatch(up->base);
    if (up->probe != NULL)
        probe_cancel(up->probe);
    children_free(up->children);
    event_free(up->sigterm);
    event_free(up->sigint);
    event_free(up->poll);
    event_free(up->limit);
}

/* The key is in memory here as well: no core file, no ptrace by others. */
static void
protect(void)
{
    static const struct rlimit none = {0, 0};
    umask(077);
    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_DUMPABLE, 0);
}

int
cmd_up(int argc, char **argv)
{
    struct up up = {.started_ms = clock_mono_ms()};
    up.dir.lock = up.dir.children_lock = -1;
    protect();
    if (out_is_terminal(stderr) && getenv("LONGHAUL_LOG") == NULL)
        log_set_level(LOG_LEVEL_WARN);
    int code = up_plan(&up, argc, argv);
    if (code == CLI_OK)
        code = open_directory(&up) == 0 ? CLI_OK : CLI_ERROR;
    if (code == CLI_OK)
        code = up_check_port(&up);
    if (code == CLI_OK) {
        up.base = event_base_new();
        run(&up);
        event_base_free(up.base);
        code = up.exit_code;
        if (code == CLI_OK)
            out_tell("stopped; the data stays in %s", up.dir.path);
    }
    up_redis_clear(&up.redis);
    up_dir_close(&up.dir);
    up_plan_clear(&up);
    return code;
}
