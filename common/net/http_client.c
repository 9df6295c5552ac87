#include "common/net/http_client.h"

#include <assert.h>
#include <curl/curl.h>
#include <string.h>
#include <sys/queue.h>

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/net/curl_urls.h"
#include "common/net/curl_watch.h"

#define CALLS_PER_MULTI 512
#define IDLE_HANDLES_MAX 1024
#define CONNECT_TIMEOUT_MS 10000
/* A quarter of libcurl's default: it is held for every call in flight. */
#define RECEIVE_BUFFER_BYTES 4096L
/* A server allows about 100 streams on a connection; without a cap libcurl
 * opens one connection per call once all are full. */
#define H2_STREAMS_PER_CONNECTION 100
#define CONNECTION_LIFETIME_S 600L

/* One multi handle and its place on the loop. */
struct shard {
    TAILQ_ENTRY(shard) link;
    struct http_client *client;
    CURLM *multi;
    struct event *timer;
    unsigned in_flight;
};

/* What TLS negotiated with the peer; plain HTTP is always 1.1. */
enum wire { WIRE_UNKNOWN, WIRE_HTTP1, WIRE_HTTP2 };

struct http_call {
    LIST_ENTRY(http_call) link;
    struct shard *shard;
    CURL *easy;
    struct curl_slist *headers; /* one piece, see header_list() */
    size_t headers_size;
    struct buffer body;
    struct http_call_spec spec; /* headers and body are not used from here */
    uint64_t answer_bytes;
    bool in_callback;
    bool asked; /* the request was begun on a connection */
    bool cancelled;
    bool too_large;
};

struct http_client {
    struct event_base *base;
    struct http_client_options options;
    struct buffer user_agent; /* the whole header line */
    char *ca_file;
    enum wire wire;
    struct curl_watches *watches;
    unsigned in_flight;
    struct curl_urls *urls;
    unsigned idle_count;
    CURL *idle[IDLE_HANDLES_MAX];
    TAILQ_HEAD(, shard) shards;
    LIST_HEAD(, http_call) calls;
};

static void
call_free(struct http_call *call)
{
    struct http_client *client = call->shard->client;

    LIST_REMOVE(call, link);
    curl_multi_remove_handle(call->shard->multi, call->easy);
    call->shard->in_flight--;
    client->in_flight--;
    if (client->idle_count < IDLE_HANDLES_MAX)
        client->idle[client->idle_count++] = call->easy;
    else
        curl_easy_cleanup(call->easy);
    explicit_bzero(call->headers, call->headers_size); /* a key is in it */
    memory_free(call->headers);
    buffer_clear(&call->body);
    memory_free(call);
}

/* --- what libcurl hands us ------------------------------------------- */

static size_t
on_curl_header(char *data, size_t size, size_t count, void *arg)
{
    struct http_call *call = arg;
    struct slice rest = slice_make(data, size * count);
    struct slice name;

    if (call->cancelled)
        return 0;
    call->answer_bytes += rest.len;
    if (call->spec.on_header == NULL || memchr(data, ':', rest.len) == NULL)
        return size * count;
    while (rest.len > 0 &&
        (rest.data[rest.len - 1] == '\n' || rest.data[rest.len - 1] == '\r'))
        rest.len--;
    name = slice_split(&rest, ':');
    call->in_callback = true;
    call->spec.on_header(call->spec.arg, name, slice_trim(rest));
    call->in_callback = false;
    return call->cancelled ? 0 : size * count;
}

static size_t
on_curl_data(char *data, size_t size, size_t count, void *arg)
{
    struct http_call *call = arg;
    size_t len = size * count;
    long status = 0;

    if (call->cancelled)
        return 0;
    call->answer_bytes += len;
    if (call->answer_bytes > call->spec.max_answer_bytes) {
        call->too_large = true;
        return 0;
    }
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    call->in_callback = true;
    call->spec.on_data(call->spec.arg, (unsigned)status, slice_make(data, len));
    call->in_callback = false;
    return call->cancelled ? 0 : len;
}

/*
 * What a connection that was used before takes without an answer libcurl
 * sends again on another one, on its own. Claude may have begun with it, so
 * whether to call again is not libcurl's to decide: one request per call.
 */
static int
on_curl_request(
    void *arg, char *peer_ip, char *own_ip, int peer_port, int own_port)
{
    struct http_call *call = arg;

    (void)peer_ip;
    (void)own_ip;
    (void)peer_port;
    (void)own_port;
    if (call->asked)
        return CURL_PREREQFUNC_ABORT;
    call->asked = true;
    return CURL_PREREQFUNC_OK;
}

/* --- the end of a call ----------------------------------------------- */

static enum http_call_end
end_of(CURLcode code, bool too_large)
{
    if (too_large)
        return HTTP_CALL_TOO_LARGE;
    switch ((int)code) {
    case CURLE_OK: return HTTP_CALL_OK;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY: return HTTP_CALL_DNS;
    case CURLE_COULDNT_CONNECT: return HTTP_CALL_CONNECT;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR: return HTTP_CALL_TLS;
    case CURLE_OPERATION_TIMEDOUT: return HTTP_CALL_TIMEOUT;
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM: return HTTP_CALL_CUT;
    default: return HTTP_CALL_BAD_PROTOCOL;
    }
}

/* Errors of a connection that is being made, and on_curl_request's no. */
static bool
is_before_sending(CURLcode code)
{
    enum http_call_end end = end_of(code, false);

    return code == CURLE_ABORTED_BY_CALLBACK || end == HTTP_CALL_DNS ||
        end == HTTP_CALL_CONNECT || end == HTTP_CALL_TLS;
}

static void
result_fill(const struct http_call *call, CURLcode code,
    struct http_call_result *result)
{
    curl_off_t total = 0;
    curl_off_t first = 0;
    long sent = 0;
    long status = 0;
    /* Another connection was sought although the request had been sent. */
    bool again = call->asked && is_before_sending(code);

    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(call->easy, CURLINFO_REQUEST_SIZE, &sent);
    curl_easy_getinfo(call->easy, CURLINFO_TOTAL_TIME_T, &total);
    curl_easy_getinfo(call->easy, CURLINFO_STARTTRANSFER_TIME_T, &first);
    *result = (struct http_call_result){
        .end = again ? HTTP_CALL_CUT : end_of(code, call->too_large),
        .status = (unsigned)status,
        .sent = sent > 0 || again ||
            (call->asked && code == CURLE_OPERATION_TIMEDOUT),
        .detail = curl_easy_strerror(again ? CURLE_GOT_NOTHING : code),
        .duration_us = total,
        .first_byte_us = status != 0 ? first : -1,
    };
    /* A connect that takes too long is a time-out to libcurl; for us it is
     * a connection that was not had: nothing was sent. */
    if (result->end == HTTP_CALL_TIMEOUT && !result->sent)
        result->end = HTTP_CALL_CONNECT;
}

/*
 * A connection of HTTP/2 carries many calls, one of HTTP/1.1 one. Until the
 * first answer tells which it is, few are opened: libcurl would open one per
 * call that finds all others busy.
 */
static void
cap_connections(struct shard *shard)
{
    long most = 0; /* no cap */

    if (shard->client->wire != WIRE_HTTP1)
        most = (long)(shard->client->options.calls_per_multi /
                H2_STREAMS_PER_CONNECTION +
            2);
    curl_multi_setopt(shard->multi, CURLMOPT_MAX_HOST_CONNECTIONS, most);
}

static void
learn_wire(struct http_client *client, CURL *easy)
{
    struct shard *shard;
    long version = 0;

    curl_easy_getinfo(easy, CURLINFO_HTTP_VERSION, &version);
    if (version == 0 || client->wire == WIRE_HTTP2)
        return;
    if (version != CURL_HTTP_VERSION_2_0 && client->wire == WIRE_HTTP1)
        return;
    client->wire = version == CURL_HTTP_VERSION_2_0 ? WIRE_HTTP2 : WIRE_HTTP1;
    TAILQ_FOREACH(shard, &client->shards, link)
    cap_connections(shard);
}

static void
call_end(struct http_call *call, CURLcode code)
{
    struct http_call_result result;
    void (*on_done)(void *, const struct http_call_result *) =
        call->spec.on_done;
    void *arg = call->spec.arg;
    bool cancelled = call->cancelled;

    result_fill(call, code, &result);
    learn_wire(call->shard->client, call->easy);
    call_free(call);
    if (!cancelled)
        on_done(arg, &result);
}

static void
shard_collect(struct shard *shard)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(shard->multi, &left)) != NULL) {
        struct http_call *call = NULL;
        CURLcode code = message->data.result;

        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(
            message->easy_handle, CURLINFO_PRIVATE, (char **)&call);
        call_end(call, code);
    }
}

/* --- libcurl on the loop --------------------------------------------- */

static void
on_socket_ready(void *arg, curl_socket_t fd, int action)
{
    struct shard *shard = arg;
    int running;

    curl_multi_socket_action(shard->multi, fd, action, &running);
    shard_collect(shard);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct shard *shard = arg;
    int running;

    (void)fd;
    (void)what;
    curl_multi_socket_action(shard->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    shard_collect(shard);
}

static int
on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *place)
{
    struct shard *shard = arg;

    (void)easy;
    (void)place;
    curl_watches_set(shard->client->watches, fd, what, shard);
    return 0;
}

static int
on_curl_timer(CURLM *multi, long timeout_ms, void *arg)
{
    struct shard *shard = arg;
    struct timeval wait = {timeout_ms / 1000, (timeout_ms % 1000) * 1000};

    (void)multi;
    if (timeout_ms < 0)
        evtimer_del(shard->timer);
    else
        evtimer_add(shard->timer, &wait);
    return 0;
}

static struct shard *
shard_new(struct http_client *client)
{
    struct shard *shard = memory_zalloc(1, sizeof(*shard));

    shard->client = client;
    shard->timer = evtimer_new(client->base, on_timer, shard);
    shard->multi = curl_multi_init();
    assert(shard->multi != NULL && shard->timer != NULL);
    curl_multi_setopt(shard->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
    curl_multi_setopt(shard->multi, CURLMOPT_SOCKETDATA, shard);
    curl_multi_setopt(shard->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
    curl_multi_setopt(shard->multi, CURLMOPT_TIMERDATA, shard);
    curl_multi_setopt(shard->multi, CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX);
    curl_multi_setopt(shard->multi, CURLMOPT_MAXCONNECTS,
        (long)client->options.calls_per_multi);
    cap_connections(shard);
    TAILQ_INSERT_TAIL(&client->shards, shard, link);
    return shard;
}

static void
shard_free(struct shard *shard)
{
    TAILQ_REMOVE(&shard->client->shards, shard, link);
    curl_multi_cleanup(shard->multi);
    event_free(shard->timer);
    memory_free(shard);
}

/* The first with room, so that the early ones stay warm and late ones go
 * idle when the load falls. */
static struct shard *
shard_with_room(struct http_client *client)
{
    struct shard *shard;

    TAILQ_FOREACH(shard, &client->shards, link)
    {
        if (shard->in_flight < client->options.calls_per_multi)
            return shard;
    }
    return shard_new(client);
}

/* --- handles --------------------------------------------------------- */

/* The options that are the same for every call; set once per handle. */
static CURL *
easy_new(const struct http_client *client)
{
    CURL *easy = curl_easy_init();

    assert(easy != NULL);
    curl_watches_adopt(client->watches, easy);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_MAXLIFETIME_CONN, CONNECTION_LIFETIME_S);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, RECEIVE_BUFFER_BYTES);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
        (long)client->options.connect_timeout_ms);
    if (client->ca_file != NULL)
        curl_easy_setopt(easy, CURLOPT_CAINFO, client->ca_file);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_curl_request);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_curl_header);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_curl_data);
    return easy;
}

static bool
is_tls(const char *url)
{
    return strncmp(url, "https:", 6) == 0;
}

static void
easy_prepare(struct http_call *call)
{
    CURL *easy = call->easy;
    int64_t idle_s = (call->spec.idle_timeout_ms + 999) / 1000;

    curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, call);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
    curl_urls_set(call->shard->client->urls, easy, call->spec.url);
    /* Wait for ALPN to tell whether a new connection carries many streams;
     * without TLS libcurl would wait for the whole first answer. */
    curl_easy_setopt(easy, CURLOPT_PIPEWAIT, is_tls(call->spec.url) ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, call->headers);
    curl_easy_setopt(
        easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body.len);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS,
        call->body.data != NULL ? call->body.data : "");
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)call->spec.timeout_ms);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, idle_s > 0 ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)idle_s);
}

/* The list and the caller's lines in one piece of memory. libcurl's own list
 * asks for two pieces a line and walks to the end for each. */
static struct curl_slist *
header_list(
    const struct http_client *client, const char *const *headers, size_t *size)
{
    /* No 100-continue dance, whatever the size of the body. */
    static char no_expect[] = "Expect:";
    size_t count = 2, bytes = 0;
    struct curl_slist *list;
    char *text;

    for (const char *const *at = headers; *at != NULL; at++, count++) {
        assert(strpbrk(*at, "\r\n") == NULL);
        bytes += strlen(*at) + 1;
    }
    *size = count * sizeof(*list) + bytes;
    list = memory_alloc(*size);
    text = (char *)(list + count);
    list[0].data = no_expect;
    /* CURLOPT_USERAGENT would be printed twice for every call. */
    list[1].data = client->user_agent.data;
    for (size_t i = 2; i < count; i++) {
        size_t len = strlen(headers[i - 2]) + 1;
        list[i].data = memcpy(text, headers[i - 2], len);
        text += len;
    }
    for (size_t i = 0; i < count; i++)
        list[i].next = i + 1 < count ? &list[i + 1] : NULL;
    return list;
}

struct http_call *
http_call_start(struct http_client *client, const struct http_call_spec *spec)
{
    struct http_call *call = memory_zalloc(1, sizeof(*call));
    CURLMcode added;

    if (client->wire == WIRE_UNKNOWN && !is_tls(spec->url))
        client->wire = WIRE_HTTP1;
    call->shard = shard_with_room(client);
    call->spec = *spec;
    call->body = *spec->body;
    *spec->body = (struct buffer){NULL, 0, 0};
    call->headers = header_list(client, spec->headers, &call->headers_size);
    call->easy = client->idle_count > 0 ? client->idle[--client->idle_count]
                                        : easy_new(client);
    easy_prepare(call);
    call->shard->in_flight++;
    client->in_flight++;
    LIST_INSERT_HEAD(&client->calls, call, link);
    added = curl_multi_add_handle(call->shard->multi, call->easy);
    assert(added == CURLM_OK);
    (void)added;
    return call;
}

void
http_call_cancel(struct http_call *call)
{
    if (call->in_callback)
        call->cancelled = true; /* libcurl is above us: ends on return */
    else
        call_free(call);
}

unsigned
http_client_in_flight(const struct http_client *client)
{
    return client->in_flight;
}

struct http_client *
http_client_new(
    struct event_base *base, const struct http_client_options *options)
{
    struct http_client *client = memory_zalloc(1, sizeof(*client));

    client->base = base;
    client->options = *options;
    buffer_append_text(&client->user_agent, "User-Agent: ");
    buffer_append_text(&client->user_agent, options->user_agent);
    if (options->ca_file != NULL)
        client->ca_file = memory_dup(options->ca_file);
    if (client->options.calls_per_multi == 0)
        client->options.calls_per_multi = CALLS_PER_MULTI;
    if (client->options.connect_timeout_ms == 0)
        client->options.connect_timeout_ms = CONNECT_TIMEOUT_MS;
    client->watches = curl_watches_new(base, on_socket_ready);
    client->urls = curl_urls_new();
    TAILQ_INIT(&client->shards);
    LIST_INIT(&client->calls);
    return client;
}

void
http_client_free(struct http_client *client)
{
    if (client == NULL)
        return;
    while (!LIST_EMPTY(&client->calls))
        call_free(LIST_FIRST(&client->calls));
    while (!TAILQ_EMPTY(&client->shards))
        shard_free(TAILQ_FIRST(&client->shards));
    while (client->idle_count > 0)
        curl_easy_cleanup(client->idle[--client->idle_count]);
    curl_urls_free(client->urls);
    curl_watches_free(client->watches);
    buffer_clear(&client->user_agent);
    memory_free(client->ca_file);
    memory_free(client);
}
