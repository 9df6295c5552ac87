#ifndef LH_TESTS_UNIT_HTTP_PEER_H
#define LH_TESTS_UNIT_HTTP_PEER_H

/*
 * http_peer: plain clients for tests of what listens, driven from the same
 * thread: every call that waits turns the event loop until it has what it
 * wants. Fails the test after PEER_PATIENCE_MS.
 */

#include <event2/event.h>

#include "common/base/buffer.h"

#define PEER_PATIENCE_MS 20000

struct peer {
    struct event_base *base;
    int fd;
    struct buffer in; /* read and not yet taken */
    bool eof;
    bool reset;
    bool muted; /* peer_turn does not read for it */
};

struct peer_reply {
    unsigned status; /* 0: the connection ended before a whole answer */
    struct buffer head;
    struct buffer body;
};

/* Connects to a port of 127.0.0.1. */
void peer_open(struct peer *peer, struct event_base *base, int port);
void peer_close(struct peer *peer);
/* Sends all of it, turning the loop while the server does not read. */
void peer_send(struct peer *peer, const void *data, size_t len);
void peer_send_text(struct peer *peer, const char *text);
/* As much as goes now, without turning the loop; how much that was. */
size_t peer_try_send(struct peer *peer, const void *data, size_t len);
/* Reads what is there and turns the loop once. */
void peer_turn(struct peer *peer);
/* Reads what is there, without waiting; false if there was nothing. */
bool peer_read(struct peer *peer);
/* Waits for the next answer. `to_head`: it has no body. */
void peer_reply(struct peer *peer, bool to_head, struct peer_reply *reply);
/* Waits until the server has closed its side. */
void peer_wait_eof(struct peer *peer);
/* The value of a header line in an answer, or "" ; until the next call. */
const char *peer_header(const struct peer_reply *reply, const char *name);
void peer_reply_clear(struct peer_reply *reply);
/* Sends, waits for the status alone. */
unsigned peer_ask(struct peer *peer, const char *request);

#endif
