#ifndef LH_NET_CURL_URLS_H
#define LH_NET_CURL_URLS_H

/*
 * curl_urls: URLs in libcurl's parsed form, each parsed once. Given a text,
 * libcurl parses it anew for every transfer and prints it again: 11,000
 * instructions, a tenth of what a transfer costs. Only for http_client.
 */

#include <curl/curl.h>

struct curl_urls;

struct curl_urls *curl_urls_new(void);
/* After every handle that it was used with has ended. */
void curl_urls_free(struct curl_urls *urls);
/* The URL of the handle's next transfer. One that libcurl cannot parse, or
 * the 65th, is set as text: libcurl then says in the transfer what is wrong
 * with it. `text` need not outlive the call. */
void curl_urls_set(struct curl_urls *urls, CURL *easy, const char *text);

#endif
