#include "cli/peers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/exposition.h"
#include "cli/probe.h"
#include "common/service/keys.h"
#include "common/service/service.h"

#define FILE_MAX 8192
#define ANSWER_MS 2000
#define CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* One scrape. */
struct scrape;
struct peer {
    struct scrape *scrape;
    struct probe *probe; /* NULL: has answered */
    char name[32];
    bool up;
};
struct scrape {
    struct http_request *req;
    struct exposition *exposition;
    size_t count;
    size_t due;
    struct peer peers[PEERS_MAX];
};

static void
scrape_free(struct scrape *scrape)
{
    for (size_t i = 0; i < scrape->count; i++) {
        if (scrape->peers[i].probe != NULL)
            probe_cancel(scrape->peers[i].probe);
    }
    exposition_free(scrape->exposition);
    memory_free(scrape);
}

static void
on_gone(struct http_request *req, void *arg)
{
    (void)req;
    scrape_free(arg);
}

static void
answer(struct scrape *scrape)
{
    struct buffer out = {0};
    exposition_render(scrape->exposition, &out);
    if (scrape->count > 0)
        buffer_append_text(&out,
            "# HELP longhaul_peer_up 1 when the process answered.\n"
            "# TYPE longhaul_peer_up gauge\n");
    for (size_t i = 0; i < scrape->count; i++)
        buffer_printf(&out, "longhaul_peer_up{process=\"%s\"} %d\n",
            scrape->peers[i].name, scrape->peers[i].up ? 1 : 0);
    http_reply_buffer(scrape->req, 200, CONTENT_TYPE, &out);
    buffer_clear(&out);
    scrape_free(scrape);
}

/* The body of an answer of status 200, else empty. */
static struct slice
body_of(struct slice answer_text)
{
    const char *end = answer_text.len > 0
        ? memmem(answer_text.data, answer_text.len, "\r\n\r\n", 4)
        : NULL;
    if (end == NULL || !slice_starts_with(answer_text, "HTTP/1.1 200"))
        return SLICE_NULL;
    size_t head = (size_t)(end - answer_text.data) + 4;
    return slice_make(answer_text.data + head, answer_text.len - head);
}

static void
on_answer(void *arg, struct slice text)
{
    struct peer *peer = arg;
    struct scrape *scrape = peer->scrape;
    struct slice body = body_of(text);
    peer->probe = NULL;
    peer->up = body.len > 0;
    exposition_add(scrape->exposition, peer->name, body);
    if (--scrape->due == 0)
        answer(scrape);
}

/* With the credentials of whoever asks: the workers know the same keys. */
static void
make_question(const struct http_head *head, struct buffer *out)
{
    static const char *const names[] = {"x-api-key", "authorization"};
    buffer_append_text(out, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct slice value = http_head_get(head, names[i]);
        if (value.len > 0)
            buffer_printf(
                out, "%s: %.*s\r\n", names[i], (int)value.len, value.data);
    }
    buffer_append_text(out, "Connection: close\r\n\r\n");
}

static void
ask(struct scrape *scrape, struct slice line, const char *question)
{
    char address[128];
    struct slice name = slice_split(&line, ' ');
    if (scrape->count == PEERS_MAX || name.len == 0 || line.len == 0)
        return;
    struct peer *peer = &scrape->peers[scrape->count++];
    peer->scrape = scrape;
    text_copy(peer->name, sizeof(peer->name), name);
    text_copy(address, sizeof(address), line);
    peer->probe = probe_start(http_request_base(scrape->req), address, question,
        PROBE_ALL, ANSWER_MS, on_answer, peer);
    scrape->due++;
}

static size_t
read_file(char *out, size_t size)
{
    const char *path = getenv(PEERS_VARIABLE);
    FILE *file = path != NULL ? fopen(path, "re") : NULL;
    size_t len = file != NULL ? fread(out, 1, size, file) : 0;
    if (file != NULL)
        fclose(file);
    return len;
}

static void
handle_metrics(struct http_request *req, void *program)
{
    struct service *service = program;
    struct buffer own = {0};
    struct buffer question = {0};
    char text[FILE_MAX];
    struct slice rest = slice_make(text, read_file(text, sizeof(text)));
    service_render_metrics(service, &own);
    if (rest.len == 0) {
        http_reply_buffer(req, 200, CONTENT_TYPE, &own);
        buffer_clear(&own);
        return;
    }
    struct scrape *scrape = memory_zalloc(1, sizeof(*scrape));
    scrape->req = req;
    scrape->exposition = exposition_new();
    exposition_add(scrape->exposition, "server", buffer_slice(&own));
    buffer_clear(&own);
    http_request_set_arg(req, scrape, on_gone);
    make_question(http_request_head(req), &question);
    while (rest.len > 0)
        ask(scrape, slice_split(&rest, '\n'), question.data);
    explicit_bzero(question.data, question.len);
    buffer_clear(&question);
    if (scrape->due == 0)
        answer(scrape);
}

const struct http_route peers_routes[] = {{.method = "GET",
                                              .path = "/metrics",
                                              .scope = KEYS_SCOPE_READ,
                                              .handle = handle_metrics},
    {.method = NULL}};
