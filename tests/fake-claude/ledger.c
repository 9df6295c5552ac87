#include "tests/fake-claude/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"

struct ledger {
    int fd;
    bool fsync;
    struct buffer line;
};

struct ledger *
ledger_open(const char *path, bool fsync)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return NULL;
    struct ledger *ledger = memory_zalloc(1, sizeof(*ledger));
    ledger->fd = fd;
    ledger->fsync = fsync;
    return ledger;
}

void
ledger_close(struct ledger *ledger)
{
    if (ledger == NULL)
        return;
    (void)close(ledger->fd);
    buffer_clear(&ledger->line);
    memory_free(ledger);
}

static void
append_text(struct buffer *line, const char *key, const char *text)
{
    buffer_append_text(line, ",\"");
    buffer_append_text(line, key);
    buffer_append_text(line, "\":");
    if (text != NULL && text[0] != '\0')
        buffer_append_json(line, slice_of(text));
    else
        buffer_append_text(line, "null");
}

static void
append_count(struct buffer *line, const char *key, uint64_t count)
{
    buffer_append_text(line, ",\"");
    buffer_append_text(line, key);
    buffer_append_text(line, "\":");
    buffer_append_u64(line, count);
}

static void
append_call(
    struct buffer *line, const struct ledger_call *call, const char *event)
{
    buffer_reset(line);
    buffer_append_text(line, "{\"t_ms\":");
    buffer_append_i64(line, clock_wall_ms());
    append_count(line, "call", call->number);
    append_text(line, "event", event);
    append_text(line, "job", call->job);
    append_text(line, "path", call->path);
    append_text(line, "model", call->model);
    append_text(line, "version", call->version);
    append_text(line, "beta", call->beta);
    append_text(line, "auth", call->auth);
    buffer_append_text(
        line, call->stream ? ",\"stream\":true" : ",\"stream\":false");
    append_count(line, "bytes", call->bytes);
    append_text(line, "sha256", call->sha256);
}

static void
write_line(struct ledger *ledger)
{
    struct buffer *line = &ledger->line;
    buffer_append_text(line, "}\n");
    ssize_t written = write(ledger->fd, line->data, line->len);
    if (written == (ssize_t)line->len &&
        (!ledger->fsync || fdatasync(ledger->fd) == 0))
        return;
    log_say("the ledger cannot be written: %s",
        written < 0 ? strerrorname_np(errno) : "short write");
    abort();
}

void
ledger_begin(struct ledger *ledger, const struct ledger_call *call)
{
    if (ledger == NULL)
        return;
    append_call(&ledger->line, call, "begin");
    write_line(ledger);
}

void
ledger_end(struct ledger *ledger, const struct ledger_call *call,
    const struct ledger_end *end)
{
    if (ledger == NULL)
        return;
    struct buffer *line = &ledger->line;
    append_call(line, call, "end");
    append_count(line, "status", end->status);
    append_text(line, "outcome", end->outcome);
    append_count(line, "input_tokens", end->input_tokens);
    append_count(line, "output_tokens", end->output_tokens);
    append_count(line, "cache_read", end->cache_read);
    append_count(line, "cache_write", end->cache_write);
    append_count(line, "cache_write_1h", end->cache_write_1h);
    append_text(line, "answer_sha256", end->answer_sha256);
    append_text(line, "text_sha256", end->text_sha256);
    write_line(ledger);
}

void
ledger_hash(struct slice bytes, char out[65])
{
    static EVP_MD *method; /* kept: EVP_sha256() is looked up each time */
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (method == NULL)
        method = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (EVP_Digest(bytes.data != NULL ? bytes.data : "", bytes.len, digest,
            &len, method, NULL) != 1 ||
        len != 32)
        abort();
    text_hex(digest, len, out);
}
