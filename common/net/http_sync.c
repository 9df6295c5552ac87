#include "common/net/http_sync.h"

#include <curl/curl.h>
#include <string.h>

#define CONNECT_TIMEOUT_MS 5000L

struct http_sync {
    CURL *easy;
    const volatile sig_atomic_t *stop;
    char error[CURL_ERROR_SIZE];
};

/* One call. */
struct answer {
    const struct http_sync *http;
    const struct http_sync_request *request;
    struct http_sync_reply *reply;
    bool too_large;
};

static void
keep_header(struct slice line, const char *name, char *out)
{
    struct slice value = line;
    struct slice key = slice_split(&value, ':');
    if (slice_equal_nocase(slice_trim(key), name))
        text_copy(out, HTTP_SYNC_VALUE_SIZE, slice_trim(value));
}

static size_t
on_header(char *data, size_t size, size_t count, void *arg)
{
    struct answer *answer = arg;
    struct slice line = slice_make(data, size * count);
    while (line.len > 0 && line.data[line.len - 1] < ' ')
        line.len--;
    keep_header(line, "request-id", answer->reply->request_id);
    keep_header(line, "retry-after", answer->reply->retry_after);
    return size * count;
}

static size_t
on_data(char *data, size_t size, size_t count, void *arg)
{
    struct answer *answer = arg;
    const struct http_sync_request *request = answer->request;
    size_t len = size * count;
    long status = 0;
    curl_easy_getinfo(answer->http->easy, CURLINFO_RESPONSE_CODE, &status);
    if (request->on_body != NULL && status >= 200 && status < 300)
        return request->on_body(request->arg, slice_make(data, len)) == 0 ? len
                                                                          : 0;
    if (len > request->max_answer_bytes - answer->reply->body.len) {
        answer->too_large = true;
        return 0;
    }
    buffer_append(&answer->reply->body, data, len);
    return len;
}

static size_t
on_read(char *out, size_t size, size_t count, void *arg)
{
    const struct answer *answer = arg;
    size_t got =
        answer->request->read_body(answer->request->arg, out, size * count);
    return got == HTTP_SYNC_READ_FAILED ? CURL_READFUNC_ABORT : got;
}

static int
on_progress(void *arg, curl_off_t down_total, curl_off_t down,
    curl_off_t up_total, curl_off_t up)
{
    const struct answer *answer = arg;
    const struct http_sync *http = answer->http;
    (void)down_total;
    (void)down;
    (void)up_total;
    (void)up;
    if (answer->request->on_tick != NULL)
        answer->request->on_tick(answer->request->arg);
    return http->stop != NULL && *http->stop != 0 ? 1 : 0;
}

struct http_sync *
http_sync_new(const char *user_agent, const volatile sig_atomic_t *stop)
{
    struct http_sync *http = memory_zalloc(1, sizeof(*http));
    http->stop = stop;
    http->easy = curl_easy_init();
    if (http->easy == NULL) {
        memory_free(http);
        return NULL;
    }
    curl_easy_setopt(http->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(http->easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(http->easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(http->easy, CURLOPT_PROXY, "");
    curl_easy_setopt(http->easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(http->easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
    curl_easy_setopt(http->easy, CURLOPT_USERAGENT, user_agent);
    curl_easy_setopt(http->easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(http->easy, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(http->easy, CURLOPT_READFUNCTION, on_read);
    curl_easy_setopt(http->easy, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(http->easy, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(http->easy, CURLOPT_ERRORBUFFER, http->error);
    return http;
}

void
http_sync_free(struct http_sync *http)
{
    if (http == NULL)
        return;
    curl_easy_cleanup(http->easy);
    memory_free(http);
}

static struct curl_slist *
header_list(const char *const *headers)
{
    /* Expect: would cost a round trip (or a second) for every large body. */
    struct curl_slist *list = curl_slist_append(NULL, "Expect:");
    for (; headers != NULL && *headers != NULL; headers++)
        list = curl_slist_append(list, *headers);
    return list;
}

static enum http_sync_end
end_of(CURLcode code, const struct answer *answer)
{
    if (answer->too_large)
        return HTTP_SYNC_TOO_LARGE;
    switch ((int)code) {
    case CURLE_OK: return HTTP_SYNC_OK;
    case CURLE_ABORTED_BY_CALLBACK: return HTTP_SYNC_STOPPED;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL: return HTTP_SYNC_BAD_URL;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION: return HTTP_SYNC_UNREACHABLE;
    default: return HTTP_SYNC_CUT;
    }
}

static void
set_request(struct http_sync *http, const struct http_sync_request *request)
{
    bool head = strcmp(request->method, "HEAD") == 0;
    bool stream = request->read_body != NULL;
    bool post =
        stream || request->body.len > 0 || strcmp(request->method, "POST") == 0;
    curl_easy_setopt(http->easy, CURLOPT_URL, request->url);
    curl_easy_setopt(http->easy, CURLOPT_UNIX_SOCKET_PATH, request->unix_path);
    curl_easy_setopt(http->easy, CURLOPT_HTTPGET, 1L);
    curl_easy_setopt(http->easy, CURLOPT_NOBODY, head ? 1L : 0L);
    if (post) {
        curl_easy_setopt(http->easy, CURLOPT_POST, 1L);
        curl_easy_setopt(http->easy, CURLOPT_POSTFIELDSIZE_LARGE,
            stream ? (curl_off_t)-1 : (curl_off_t)request->body.len);
        curl_easy_setopt(http->easy, CURLOPT_POSTFIELDS,
            stream                      ? NULL
                : request->body.len > 0 ? request->body.data
                                        : "");
    }
    curl_easy_setopt(http->easy, CURLOPT_CUSTOMREQUEST, request->method);
    curl_easy_setopt(http->easy, CURLOPT_TIMEOUT_MS, (long)request->timeout_ms);
    curl_easy_setopt(http->easy, CURLOPT_LOW_SPEED_LIMIT,
        request->idle_timeout_ms > 0 ? 1L : 0L);
    curl_easy_setopt(http->easy, CURLOPT_LOW_SPEED_TIME,
        (long)(request->idle_timeout_ms / 1000));
}

enum http_sync_end
http_sync_call(struct http_sync *http, const struct http_sync_request *request,
    struct http_sync_reply *reply)
{
    struct answer answer = {http, request, reply, false};
    struct curl_slist *headers = header_list(request->headers);
    long status = 0;
    buffer_reset(&reply->body);
    reply->request_id[0] = reply->retry_after[0] = reply->detail[0] = '\0';
    http->error[0] = '\0';
    set_request(http, request);
    curl_easy_setopt(http->easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(http->easy, CURLOPT_HEADERDATA, &answer);
    curl_easy_setopt(http->easy, CURLOPT_WRITEDATA, &answer);
    curl_easy_setopt(http->easy, CURLOPT_READDATA, &answer);
    curl_easy_setopt(http->easy, CURLOPT_XFERINFODATA, &answer);
    CURLcode code = curl_easy_perform(http->easy);
    curl_easy_getinfo(http->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_slist_free_all(headers);
    reply->end = end_of(code, &answer);
    reply->status = reply->end == HTTP_SYNC_OK ? (unsigned)status : 0;
    if (reply->end != HTTP_SYNC_OK)
        text_copy(reply->detail, sizeof(reply->detail),
            slice_of(http->error[0] != '\0' ? http->error
                                            : curl_easy_strerror(code)));
    return reply->end;
}
