#include "worker/upstream.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/buffer.h"
#include "common/base/log.h"
#include "common/service/api_key.h"
#include "common/service/config.h"

#define KEY_MAX 4096

struct upstream {
    char *url;
    char *key;
    const char *key_file; /* the configuration's */
    struct timespec file_time;
    const struct config_pool *config;
};

/* The file's text without blanks around it, or NULL. */
static char *
key_read(const char *path, struct timespec *time)
{
    char text[KEY_MAX];
    struct stat st;
    struct slice key;
    ssize_t n = -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) == 0)
        n = read(fd, text, sizeof(text));
    close(fd);
    if (n <= 0 || n == (ssize_t)sizeof(text))
        return NULL;
    *time = st.st_mtim;
    key = slice_make(text, (size_t)n);
    while (key.len > 0 &&
        (key.data[key.len - 1] == '\n' || key.data[key.len - 1] == '\r'))
        key.len--;
    key = slice_trim(key);
    for (size_t i = 0; i < key.len; i++) {
        if (key.data[i] <= ' ' || key.data[i] > '~')
            return NULL;
    }
    return key.len > 0 ? memory_dup_bytes(key.data, key.len) : NULL;
}

/* Said before the first refusal pauses the pool. */
static void
warn_if_odd(const struct upstream *upstream)
{
    const char *oddity;

    if (!api_key_is_claudes(upstream->config->base_url))
        return;
    oddity = upstream->key == NULL ? "there is none"
                                   : api_key_oddity(slice_of(upstream->key));
    if (oddity != NULL)
        log_warn("key_looks_odd", LOG_TEXT("pool", upstream->config->name),
            LOG_TEXT("reason", oddity));
}

struct upstream *
upstream_new(const struct config_pool *config, bool simulated, char *error,
    size_t error_size)
{
    struct upstream *upstream = memory_zalloc(1, sizeof(*upstream));
    struct slice base = slice_of(config->base_url);
    struct buffer url = {NULL, 0, 0};

    while (base.len > 0 && base.data[base.len - 1] == '/')
        base.len--;
    buffer_append_slice(&url, base);
    buffer_append_text(&url, "/v1/messages");
    upstream->url = buffer_take(&url);
    upstream->config = config;
    upstream->key_file = config->api_key_file;
    if (upstream->key_file != NULL) {
        upstream->key = key_read(upstream->key_file, &upstream->file_time);
        if (upstream->key == NULL) {
            (void)snprintf(error, error_size,
                "the api_key_file of pool %s cannot be read or holds no key",
                config->name);
            upstream_free(upstream);
            return NULL;
        }
    } else if (config->api_key != NULL) {
        upstream->key = memory_dup(config->api_key);
    } else if (simulated) {
        /* The simulator wants a key as Claude does; any will do. */
        upstream->key = memory_dup("simulated");
    }
    warn_if_odd(upstream);
    return upstream;
}

static void
key_free(char *key)
{
    if (key != NULL)
        explicit_bzero(key, strlen(key));
    memory_free(key);
}

void
upstream_free(struct upstream *upstream)
{
    if (upstream == NULL)
        return;
    key_free(upstream->key);
    memory_free(upstream->url);
    memory_free(upstream);
}

const char *
upstream_messages_url(const struct upstream *upstream)
{
    return upstream->url;
}

const char *
upstream_key(const struct upstream *upstream)
{
    return upstream->key;
}

bool
upstream_is_bearer(const struct upstream *upstream)
{
    const char *auth = upstream->config->auth;

    return auth != NULL && strcmp(auth, "bearer") == 0;
}

bool
upstream_refresh(struct upstream *upstream)
{
    struct timespec time;
    struct stat st;
    char *key;

    if (upstream->key_file == NULL || stat(upstream->key_file, &st) != 0)
        return false;
    if (st.st_mtim.tv_sec == upstream->file_time.tv_sec &&
        st.st_mtim.tv_nsec == upstream->file_time.tv_nsec)
        return false;
    key = key_read(upstream->key_file, &time);
    if (key == NULL)
        return false; /* being written: next time */
    upstream->file_time = time;
    if (strcmp(key, upstream->key) == 0) {
        key_free(key);
        return false;
    }
    key_free(upstream->key);
    upstream->key = key;
    warn_if_odd(upstream);
    log_info("key_file_changed", LOG_TEXT("pool", upstream->config->name));
    return true;
}
