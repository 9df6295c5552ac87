#include "common/base/memory.h"

#include <curl/curl.h>
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* No stdio and no log here: both may want memory themselves. */
static _Noreturn void
die(const char *why)
{
    if (write(STDERR_FILENO, why, strlen(why)) < 0) {
        /* Nothing is left to tell it to. */
    }
    abort();
}

static void *
checked(void *ptr)
{
    if (ptr == NULL)
        die("out of memory\n");
    return ptr;
}

void *
memory_alloc(size_t size)
{
    return checked(malloc(size > 0 ? size : 1));
}

void *
memory_zalloc(size_t count, size_t size)
{
    if (count == 0 || size == 0)
        return checked(calloc(1, 1));
    return checked(calloc(count, size));
}

void *
memory_resize(void *ptr, size_t size)
{
    return checked(realloc(ptr, size > 0 ? size : 1));
}

char *
memory_dup(const char *text)
{
    return memory_dup_bytes(text, strlen(text));
}

char *
memory_dup_bytes(const void *data, size_t len)
{
    if (len == SIZE_MAX)
        die("memory_dup_bytes: length\n");
    char *copy = memory_alloc(len + 1);
    if (len > 0)
        memcpy(copy, data, len);
    copy[len] = '\0';
    return copy;
}

void
memory_free(void *ptr)
{
    free(ptr);
}

void
memory_install_hooks(void)
{
    json_set_alloc_funcs(memory_alloc, memory_free);
    if (curl_global_init_mem(CURL_GLOBAL_ALL, memory_alloc, memory_free,
            memory_resize, memory_dup, memory_zalloc) != CURLE_OK)
        die("libcurl does not start\n");
}
