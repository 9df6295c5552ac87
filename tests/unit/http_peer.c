#include "tests/unit/http_peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"

void
peer_open(struct peer *peer, struct event_base *base, int port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

    memset(peer, 0, sizeof(*peer));
    peer->base = base;
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    peer->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(peer->fd >= 0);
    assert_int_equal(
        connect(peer->fd, (struct sockaddr *)&address, sizeof(address)), 0);
    fcntl(peer->fd, F_SETFL, O_NONBLOCK);
}

void
peer_close(struct peer *peer)
{
    if (peer->fd >= 0)
        close(peer->fd);
    peer->fd = -1;
    buffer_clear(&peer->in);
}

bool
peer_read(struct peer *peer)
{
    static char block[64 * 1024];
    ssize_t n = recv(peer->fd, block, sizeof(block), MSG_DONTWAIT);

    if (n > 0) {
        buffer_append(&peer->in, block, (size_t)n);
        return true;
    }
    if (n == 0)
        peer->eof = true;
    else if (errno != EAGAIN)
        peer->eof = peer->reset = true;
    return false;
}

void
peer_turn(struct peer *peer)
{
    struct pollfd fd = {.fd = peer->fd, .events = POLLIN};

    event_base_loop(peer->base, EVLOOP_NONBLOCK);
    if (peer->muted || peer->eof || !peer_read(peer))
        poll(&fd, peer->muted || peer->eof ? 0 : 1, 1);
}

static void
check_patience(int64_t since_ms, const char *what)
{
    if (clock_mono_ms() - since_ms > PEER_PATIENCE_MS)
        fail_msg("waited too long for %s", what);
}

size_t
peer_try_send(struct peer *peer, const void *data, size_t len)
{
    ssize_t n = send(peer->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (n < 0 && errno != EAGAIN)
        peer->reset = true;
    return n > 0 ? (size_t)n : 0;
}

void
peer_send(struct peer *peer, const void *data, size_t len)
{
    int64_t began = clock_mono_ms();
    size_t at = 0;

    while (at < len && !peer->reset) {
        at += peer_try_send(peer, (const char *)data + at, len - at);
        if (at < len)
            peer_turn(peer);
        check_patience(began, "a send");
    }
}

void
peer_send_text(struct peer *peer, const char *text)
{
    peer_send(peer, text, strlen(text));
}

void
peer_wait_eof(struct peer *peer)
{
    int64_t began = clock_mono_ms();

    while (!peer->eof) {
        peer_turn(peer);
        check_patience(began, "the end");
    }
}

/* Where the body begins, or 0 while the head is not complete. */
static size_t
head_end(const struct peer *peer)
{
    const char *end = peer->in.len > 0
        ? memmem(peer->in.data, peer->in.len, "\r\n\r\n", 4)
        : NULL;

    return end != NULL ? (size_t)(end - peer->in.data) + 4 : 0;
}

const char *
peer_header(const struct peer_reply *reply, const char *name)
{
    static char value[1024];
    struct slice rest = buffer_slice(&reply->head);

    value[0] = '\0';
    while (rest.len > 0) {
        struct slice line = slice_split(&rest, '\n');
        struct slice key = slice_split(&line, ':');

        if (line.len > 0 && slice_equal_nocase(key, name)) {
            line.len--;
            text_copy(value, sizeof(value), slice_trim(line));
            break;
        }
    }
    return value;
}

/* Walks the chunks from `at`; the end of the last one, or 0 while it is not
 * there. `body` (may be NULL) takes the data. */
static size_t
walk_chunks(const struct peer *peer, size_t at, struct buffer *body)
{
    for (;;) {
        const char *from = peer->in.data + at;
        const char *lf = memchr(from, '\n', peer->in.len - at);
        size_t size, skip;

        if (lf == NULL)
            return 0;
        size = strtoul(from, NULL, 16);
        skip = (size_t)(lf - from) + 1;
        if (peer->in.len - at < skip + size + 2)
            return 0;
        if (body != NULL)
            buffer_append(body, from + skip, size);
        at += skip + size + 2;
        if (size == 0)
            return at;
    }
}

/* Moves a complete chunked body over; false while it is not. */
static bool
take_chunked(struct peer *peer, size_t at, struct buffer *body)
{
    size_t end = walk_chunks(peer, at, NULL);

    if (end == 0)
        return false;
    (void)walk_chunks(peer, at, body);
    buffer_consume(&peer->in, end);
    return true;
}

/* Whether a whole answer was there and is now in *reply. */
static bool
take_reply(struct peer *peer, bool to_head, struct peer_reply *reply)
{
    size_t at = head_end(peer), len;
    unsigned status;

    if (at == 0)
        return false;
    buffer_reset(&reply->head);
    buffer_append(&reply->head, peer->in.data, at);
    status = (unsigned)strtoul(peer->in.data + strlen("HTTP/1.1 "), NULL, 10);
    len = strtoul(peer_header(reply, "Content-Length"), NULL, 10);
    if (to_head || status < 200 || status == 204 || status == 304)
        len = 0;
    else if (strcmp(peer_header(reply, "Transfer-Encoding"), "chunked") == 0) {
        reply->status = take_chunked(peer, at, &reply->body) ? status : 0;
        return reply->status != 0;
    } else if (*peer_header(reply, "Content-Length") == '\0') {
        if (!peer->eof)
            return false;
        len = peer->in.len - at;
    }
    if (peer->in.len - at < len)
        return false;
    buffer_append(&reply->body, peer->in.data + at, len);
    buffer_consume(&peer->in, at + len);
    reply->status = status;
    return true;
}

void
peer_reply(struct peer *peer, bool to_head, struct peer_reply *reply)
{
    int64_t began = clock_mono_ms();

    memset(reply, 0, sizeof(*reply));
    while (!take_reply(peer, to_head, reply)) {
        if (peer->eof)
            return;
        peer_turn(peer);
        check_patience(began, "an answer");
    }
}

void
peer_reply_clear(struct peer_reply *reply)
{
    buffer_clear(&reply->head);
    buffer_clear(&reply->body);
}

unsigned
peer_ask(struct peer *peer, const char *request)
{
    struct peer_reply reply;

    peer_send_text(peer, request);
    peer_reply(peer, false, &reply);
    peer_reply_clear(&reply);
    return reply.status;
}
