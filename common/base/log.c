#include "common/base/log.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/base/buffer.h"
#include "common/base/clock.h"

#define TEXT_MAX 512
/* PIPE_BUF: up to here a line arrives in one piece, and a pipe that poll()
 * calls writable takes it without blocking. */
#define LINE_MAX_BYTES 4096
/* How long one line may wait for a full pipe; the lines behind it do not. */
#define STALL_MS 20

static const char *const level_names[] = {"debug", "info", "warn", "error"};

static struct {
    pthread_mutex_t lock;
    const char *program;
    enum log_level level;
    struct buffer line;
    struct buffer waiting; /* whole lines, LINE_MAX_BYTES at most */
    unsigned waiting_count;
    bool batching;
    pthread_t batcher; /* the thread whose lines may wait */
    uint64_t dropped;
    bool stalled;
} state = {.lock = PTHREAD_MUTEX_INITIALIZER,
    .program = "longhaul",
    .level = LOG_LEVEL_INFO};

void
log_init(const char *program)
{
    state.program = program;
    const char *wanted = getenv("LONGHAUL_LOG");
    if (wanted == NULL)
        return;
    for (int i = LOG_LEVEL_DEBUG; i <= LOG_LEVEL_ERROR; i++) {
        if (strcmp(wanted, level_names[i]) == 0)
            state.level = (enum log_level)i;
    }
}

void
log_set_level(enum log_level level)
{
    state.level = level;
}

bool
log_takes(enum log_level level)
{
    return level >= state.level;
}

static bool
is_token_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
        (c >= 'A' && c <= 'Z') || (c != '\0' && strchr("-_.+/=~", c) != NULL);
}

/* The length of the credential's mark at the front of `in`, or 0. */
static size_t
secret_mark(struct slice in)
{
    static const char *const marks[] = {"sk-ant-", "lh_", "Bearer "};
    /* Asked at every character of every line. */
    char first = in.len > 0 ? (char)(in.data[0] | 0x20) : '\0';
    if (first != 's' && first != 'l' && first != 'b')
        return 0;
    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
        size_t len = strlen(marks[i]);
        if (in.len > len && strncasecmp(in.data, marks[i], len) == 0 &&
            is_token_char(in.data[len]))
            return len;
    }
    return 0;
}

/* Copies `in` to `out` with "***" in place of what follows a mark. */
static size_t
mask(struct slice in, char *out)
{
    size_t len = 0;
    for (size_t i = 0; i < in.len;) {
        size_t mark = secret_mark(slice_make(in.data + i, in.len - i));
        if (mark == 0) {
            out[len++] = in.data[i++];
            continue;
        }
        memcpy(out + len, in.data + i, mark);
        memcpy(out + len + mark, "***", 3);
        len += mark + 3;
        i += mark;
        while (i < in.len && is_token_char(in.data[i]))
            i++;
    }
    return len;
}

static void
append_text(struct buffer *line, struct slice text)
{
    /* A mark of 3 and a token of 1 become 6 bytes: room for twice. */
    char masked[2 * TEXT_MAX];
    if (text.len > TEXT_MAX) {
        text.len = TEXT_MAX;
        while (text.len > 0 && (text.data[text.len] & 0xc0) == 0x80)
            text.len--;
    }
    buffer_append_json(line, slice_make(masked, mask(text, masked)));
}

static void
append_key(struct buffer *line, const char *key)
{
    buffer_append_char(line, line->len > 1 ? ',' : '{');
    buffer_append_key(line, key);
}

static void
append_field(struct buffer *line, const struct log_field *field)
{
    if (field->kind == LOG_FIELD_TEXT && field->text.data == NULL)
        return;
    append_key(line, field->key);
    switch (field->kind) {
    case LOG_FIELD_TEXT: append_text(line, field->text); break;
    case LOG_FIELD_INT: buffer_append_i64(line, field->integer); break;
    case LOG_FIELD_BOOL:
        buffer_append_text(line, field->integer != 0 ? "true" : "false");
        break;
    case LOG_FIELD_REAL:
        if (isfinite(field->real)) {
            buffer_printf(line, "%.6g", field->real);
            break;
        } /* fall through */
    case LOG_FIELD_END:
    default: buffer_append_text(line, "null"); break;
    }
}

static void
append_head(struct buffer *line, enum log_level level, const char *event)
{
    char time_text[CLOCK_TEXT_SIZE];
    clock_format_ms(clock_wall_ms(), time_text);
    append_key(line, "time");
    buffer_append_json(line, slice_of(time_text));
    append_key(line, "level");
    buffer_append_json(line, slice_of(level_names[level]));
    append_key(line, "program");
    buffer_append_json(line, slice_of(state.program));
    append_key(line, "event");
    append_text(line, slice_of(event));
    if (state.dropped > 0 && state.waiting_count == 0) {
        append_key(line, "lines_dropped");
        buffer_append_u64(line, state.dropped);
    }
}

static bool
stderr_takes(int timeout_ms)
{
    struct pollfd fd = {.fd = STDERR_FILENO, .events = POLLOUT};
    return poll(&fd, 1, timeout_ms) == 1 && (fd.revents & POLLOUT) != 0;
}

static void
send_waiting(void)
{
    struct buffer *lines = &state.waiting;
    ssize_t sent = -1;
    bool takes;
    if (state.waiting_count == 0)
        return;
    takes = stderr_takes(state.stalled ? 0 : STALL_MS);
    state.stalled = !takes;
    if (takes) {
        do {
            sent = write(STDERR_FILENO, lines->data, lines->len);
        } while (sent < 0 && errno == EINTR);
    }
    state.dropped = sent < 0 ? state.dropped + state.waiting_count : 0;
    state.waiting_count = 0;
    buffer_reset(lines);
}

static bool
may_wait(enum log_level level)
{
    return state.batching && level < LOG_LEVEL_WARN &&
        pthread_equal(state.batcher, pthread_self()) != 0;
}

void
log_batch(bool on)
{
    pthread_mutex_lock(&state.lock);
    send_waiting();
    state.batching = on;
    state.batcher = pthread_self();
    pthread_mutex_unlock(&state.lock);
}

void
log_flush(void)
{
    pthread_mutex_lock(&state.lock);
    send_waiting();
    pthread_mutex_unlock(&state.lock);
}

void
log_write(
    enum log_level level, const char *event, const struct log_field *fields)
{
    static const char cut[] = ",\"cut\":true";
    if (!log_takes(level))
        return;
    int saved_errno = errno;
    pthread_mutex_lock(&state.lock);
    struct buffer *line = &state.line;
    buffer_reset(line);
    append_head(line, level, event);
    for (; fields != NULL && fields->key != NULL; fields++) {
        size_t before = line->len;
        append_field(line, fields);
        if (line->len + sizeof(cut) + 2 > LINE_MAX_BYTES) {
            line->len = before;
            buffer_append_text(line, cut);
            break;
        }
    }
    buffer_append_text(line, "}\n");
    if (state.waiting.len + line->len > LINE_MAX_BYTES)
        send_waiting();
    buffer_append_slice(&state.waiting, buffer_slice(line));
    state.waiting_count++;
    if (!may_wait(level))
        send_waiting();
    pthread_mutex_unlock(&state.lock);
    errno = saved_errno;
}

void
log_say(const char *format, ...)
{
    struct buffer line = {NULL, 0, 0};
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    buffer_printf(&line, "%s: %s\n", program_invocation_short_name, text);
    if (write(STDERR_FILENO, line.data, line.len) < 0) {
        /* Nowhere else to say it. */
    }
    buffer_clear(&line);
}
