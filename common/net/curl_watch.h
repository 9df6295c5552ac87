#ifndef LH_NET_CURL_WATCH_H
#define LH_NET_CURL_WATCH_H

/*
 * curl_watch: libcurl's sockets on a libevent loop. libcurl lets go of a
 * socket at the end of a transfer and takes it again at the beginning of the
 * next; a connection stays registered meanwhile, which saves two system calls
 * a transfer. For http_client.c alone.
 */

#include <curl/curl.h>
#include <event2/event.h>

#include <stdbool.h>

#include "common/base/memory.h"

struct curl_watches;

/* A socket of libcurl's is ready; action is for curl_multi_socket_action. */
typedef void curl_watch_ready(void *arg, curl_socket_t fd, int action);

struct curl_watches *curl_watches_new(
    struct event_base *base, curl_watch_ready *on_ready) MUST_CHECK;
/* After every multi handle whose connections it watches. */
void curl_watches_free(struct curl_watches *watches);
/* For each easy handle: its connections are opened and closed here. */
void curl_watches_adopt(struct curl_watches *watches, CURL *easy);
/* What CURLMOPT_SOCKETFUNCTION is told; arg goes to on_ready. */
void curl_watches_set(
    struct curl_watches *watches, curl_socket_t fd, int what, void *arg);

#endif
