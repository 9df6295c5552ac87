#include "redis_fixture.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/net/redis.h"

#define WAIT_MS 10000

static redisContext *
connect_raw(struct fixture *f)
{
    int64_t until = clock_mono_ms() + WAIT_MS;

    for (;;) {
        redisContext *raw = redisConnectUnix(f->socket);
        if (raw != NULL && raw->err == 0) {
            redisReply *reply = redisCommand(raw, "PING");
            bool up = reply != NULL && reply->type == REDIS_REPLY_STATUS;
            if (reply != NULL)
                freeReplyObject(reply);
            if (up)
                return raw;
        }
        if (raw != NULL)
            redisFree(raw);
        if (clock_mono_ms() > until)
            fail_msg("redis-server did not start");
        usleep(2000);
    }
}

void
fixture_start_server(struct fixture *f)
{
    pid_t parent = getpid();

    f->pid = fork();
    assert_true(f->pid >= 0);
    if (f->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent || chdir(f->dir) != 0)
            _exit(127);
        execlp("redis-server", "redis-server", "--port", "0", "--unixsocket",
            f->socket, "--appendonly", "yes", "--appendfsync", "always",
            "--save", "", "--maxmemory-policy", "noeviction", "--logfile",
            "redis.log", "--enable-debug-command", "yes", (char *)NULL);
        _exit(127);
    }
    f->raw = connect_raw(f);
}

void
fixture_kill_server(struct fixture *f)
{
    if (f->raw != NULL)
        redisFree(f->raw);
    f->raw = NULL;
    if (f->pid > 0) {
        kill(f->pid, SIGKILL);
        waitpid(f->pid, NULL, 0);
    }
    f->pid = 0;
}

void
fixture_freeze_server(struct fixture *f, bool freeze)
{
    kill(f->pid, freeze ? SIGSTOP : SIGCONT);
}

static void
remove_folder(const char *dir)
{
    pid_t pid = fork();

    if (pid == 0) {
        execlp("rm", "rm", "-rf", dir, (char *)NULL);
        _exit(127);
    }
    waitpid(pid, NULL, 0);
}

struct fixture *
fixture_new(void)
{
    struct fixture *f = calloc(1, sizeof(*f));
    const char *tmp = getenv("TMPDIR");
    struct redis_options options = {0};

    /* The path of a unix socket has at most 107 bytes. */
    if (tmp == NULL || strlen(tmp) > 80)
        tmp = "/tmp";
    snprintf(f->dir, sizeof(f->dir), "%s/lhq.XXXXXX", tmp);
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->socket, sizeof(f->socket), "%s/s", f->dir);
    snprintf(f->url, sizeof(f->url), "unix://%s", f->socket);
    fixture_start_server(f);
    f->base = event_base_new();
    options.url = f->url;
    f->redis = redis_new(f->base, &options);
    f->queue = queue_new(f->base, f->redis);
    fixture_wait_ready(f);
    fixture_clear(f);
    return f;
}

void
fixture_free(struct fixture *f)
{
    queue_free(f->queue);
    redis_free(f->redis);
    event_base_free(f->base);
    fixture_kill_server(f);
    remove_folder(f->dir);
    fixture_do(NULL, "%s", "");
    free(f);
}

void
fixture_clear(struct fixture *f)
{
    redisReply *reply = NULL;

    fixture_do(f, "FLUSHALL");
    fixture_do(f, "CONFIG SET maxmemory 0");
    reply = redisCommand(f->raw, "SET %s %s", "lh:{0}:install", FIXTURE_MARKER);
    assert_non_null(reply);
    freeReplyObject(reply);
    /* It remembers consumers that this Redis never knew. */
    queue_free(f->queue);
    f->queue = queue_new(f->base, f->redis);
}

void
fixture_wait(struct fixture *f, const bool *done)
{
    int64_t until = clock_mono_ms() + WAIT_MS;
    struct timeval tick = {0, 20000};

    while (!*done) {
        if (clock_mono_ms() > until)
            fail_msg("nothing came within ten seconds");
        event_base_loopexit(f->base, &tick);
        event_base_loop(f->base, EVLOOP_ONCE);
    }
}

void
fixture_wait_ready(struct fixture *f)
{
    int64_t until = clock_mono_ms() + WAIT_MS;
    struct timeval tick = {0, 20000};

    while (redis_get_state(f->redis) != REDIS_READY) {
        if (clock_mono_ms() > until)
            fail_msg("not ready: %s", redis_state_reason(f->redis));
        event_base_loopexit(f->base, &tick);
        event_base_loop(f->base, EVLOOP_ONCE);
    }
}

void
fixture_spin(struct fixture *f)
{
    event_base_loop(f->base, EVLOOP_NONBLOCK);
}

/* --- the blocking connection ------------------------------------------- */

static void
print_reply(const redisReply *reply, struct buffer *out)
{
    if (reply->type == REDIS_REPLY_NIL) {
        buffer_append_text(out, "(nil)");
    } else if (reply->type == REDIS_REPLY_INTEGER) {
        buffer_append_i64(out, reply->integer);
    } else if (reply->type == REDIS_REPLY_ARRAY) {
        for (size_t i = 0; i < reply->elements; i++) {
            if (i > 0)
                buffer_append_char(out, ' ');
            print_reply(reply->element[i], out);
        }
    } else {
        buffer_append(out, reply->str, reply->len);
    }
}

static void
run_words(struct fixture *f, char *line, struct buffer *out)
{
    const char *argv[64];
    size_t lens[64];
    struct buffer keys[64];
    int argc = 0;
    redisReply *reply = NULL;

    memset(keys, 0, sizeof(keys));
    for (char *save = NULL, *word = strtok_r(line, " ", &save);
         word != NULL && argc < 64; word = strtok_r(NULL, " ", &save)) {
        if (strncmp(word, "{}", 2) == 0) {
            buffer_append_text(&keys[argc], "lh:{0}:");
            buffer_append_text(&keys[argc], word + 2);
            word = keys[argc].data;
        } else if (strcmp(word, "''") == 0) {
            word[0] = '\0';
        }
        argv[argc] = word;
        lens[argc] = strlen(word);
        argc++;
    }
    reply = redisCommandArgv(f->raw, argc, argv, lens);
    assert_non_null(reply);
    print_reply(reply, out);
    buffer_append_text(out, "");
    freeReplyObject(reply);
    for (int i = 0; i < argc; i++)
        buffer_clear(&keys[i]);
}

const char *
fixture_do(struct fixture *f, const char *format, ...)
{
    static struct buffer out;
    char line[4096];
    va_list ap;

    if (f == NULL) { /* the end */
        buffer_clear(&out);
        return "";
    }
    va_start(ap, format);
    vsnprintf(line, sizeof(line), format, ap);
    va_end(ap);
    buffer_reset(&out);
    run_words(f, line, &out);
    return out.len > 0 ? out.data : "";
}

long long
fixture_int(struct fixture *f, const char *format, ...)
{
    char line[4096];
    va_list ap;

    va_start(ap, format);
    vsnprintf(line, sizeof(line), format, ap);
    va_end(ap);
    return strtoll(fixture_do(f, "%s", line), NULL, 10);
}
