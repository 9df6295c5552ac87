#include "common/net/curl_urls.h"

#include <assert.h>
#include <string.h>

#include "common/base/memory.h"

/* More than any configuration has. */
#define URLS_MAX 64

struct curl_urls {
    unsigned count;
    struct {
        char *text;
        CURLU *parsed;
    } known[URLS_MAX];
};

/* NULL: not one that libcurl can parse, or there are too many. */
static CURLU *
parsed(struct curl_urls *urls, const char *text)
{
    CURLU *url;

    for (unsigned i = 0; i < urls->count; i++) {
        if (strcmp(urls->known[i].text, text) == 0)
            return urls->known[i].parsed;
    }
    if (urls->count == URLS_MAX)
        return NULL;
    url = curl_url();
    assert(url != NULL);
    if (curl_url_set(url, CURLUPART_URL, text, 0) != CURLUE_OK) {
        curl_url_cleanup(url);
        return NULL;
    }
    urls->known[urls->count].text = memory_dup(text);
    urls->known[urls->count].parsed = url;
    urls->count++;
    return url;
}

void
curl_urls_set(struct curl_urls *urls, CURL *easy, const char *text)
{
    CURLU *url = parsed(urls, text);

    curl_easy_setopt(easy, CURLOPT_CURLU, url);
    if (url == NULL)
        curl_easy_setopt(easy, CURLOPT_URL, text);
}

struct curl_urls *
curl_urls_new(void)
{
    return memory_zalloc(1, sizeof(struct curl_urls));
}

void
curl_urls_free(struct curl_urls *urls)
{
    for (unsigned i = 0; i < urls->count; i++) {
        curl_url_cleanup(urls->known[i].parsed);
        memory_free(urls->known[i].text);
    }
    memory_free(urls);
}
