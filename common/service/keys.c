#include "common/service/keys.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/service/keys_file.h"

#define RECHECK_MS 1000

/* Requests keep pointers to identities while the file changes: these are
 * shared by equal (tenant, scopes) and live as long as `keys`. */
struct identity {
    struct keys_identity public;
    char tenant[KEYS_NAME_MAX + 1];
    struct identity *next;
};

struct keys {
    char *path; /* NULL: no file */
    struct keys_entry *entries;
    size_t count;
    struct identity *identities;
    int64_t checked_ms;
    struct timespec changed;
    off_t size;
    ino_t inode;
};

static const struct identity *
identity_of(struct keys *keys, const char *tenant, unsigned scopes)
{
    struct identity *identity = keys->identities;
    for (; identity != NULL; identity = identity->next) {
        if (identity->public.scopes == scopes &&
            strcmp(identity->tenant, tenant) == 0)
            return identity;
    }
    identity = memory_zalloc(1, sizeof(*identity));
    text_copy(identity->tenant, sizeof(identity->tenant), slice_of(tenant));
    identity->public =
        (struct keys_identity){.tenant = identity->tenant, .scopes = scopes};
    identity->next = keys->identities;
    keys->identities = identity;
    return identity;
}

static int
load(struct keys *keys, struct buffer *errors)
{
    struct stat info;
    struct keys_entry *entries;
    size_t count;
    /* The state is taken before the read: a change in between is seen at
     * the next look. */
    if (stat(keys->path, &info) != 0) {
        buffer_printf(errors, "%s: cannot be read\n", keys->path);
        return -1;
    }
    keys->changed = info.st_mtim;
    keys->size = info.st_size;
    keys->inode = info.st_ino;
    if (keys_file_read(keys->path, &entries, &count, errors) != 0)
        return -1;
    memory_free(keys->entries);
    keys->entries = entries;
    keys->count = count;
    return 0;
}

static void
reload_when_changed(struct keys *keys)
{
    struct stat info;
    int64_t now_ms = clock_mono_ms();
    if (now_ms - keys->checked_ms < RECHECK_MS)
        return;
    keys->checked_ms = now_ms;
    if (stat(keys->path, &info) == 0 &&
        info.st_mtim.tv_sec == keys->changed.tv_sec &&
        info.st_mtim.tv_nsec == keys->changed.tv_nsec &&
        info.st_size == keys->size && info.st_ino == keys->inode)
        return;
    struct buffer errors = {0};
    if (load(keys, &errors) == 0)
        log_info("keys_reloaded", LOG_INT("keys", keys->count));
    else
        log_error("keys_file_broken",
            LOG_SLICE("reason", slice_trim(buffer_slice(&errors))));
    buffer_clear(&errors);
}

struct keys *
keys_open(const char *path, struct buffer *errors)
{
    struct keys *keys = memory_zalloc(1, sizeof(*keys));
    if (path == NULL)
        return keys;
    keys->path = memory_dup(path);
    keys->checked_ms = clock_mono_ms();
    if (load(keys, errors) == 0)
        return keys;
    keys_free(keys);
    return NULL;
}

void
keys_free(struct keys *keys)
{
    if (keys == NULL)
        return;
    while (keys->identities != NULL) {
        struct identity *next = keys->identities->next;
        memory_free(keys->identities);
        keys->identities = next;
    }
    memory_free(keys->entries);
    memory_free(keys->path);
    memory_free(keys);
}

bool
keys_required(const struct keys *keys)
{
    return keys->path != NULL;
}

/* Every entry is compared, whatever the result: the time tells nothing. */
static const struct keys_entry *
find_key(const struct keys *keys, struct slice key)
{
    unsigned char digest[KEYS_HASH_BYTES];
    const struct keys_entry *found = NULL;
    keys_hash(key, digest);
    for (size_t i = 0; i < keys->count; i++) {
        if (CRYPTO_memcmp(keys->entries[i].hash, digest, sizeof(digest)) == 0)
            found = &keys->entries[i];
    }
    return found;
}

/* x-api-key, else Authorization: Bearer; 0, or -1 when there is none or
 * more than one. */
static int
credential(const struct http_head *head, struct slice *key)
{
    size_t given = http_head_count(head, "x-api-key") +
        http_head_count(head, "authorization");
    if (given != 1)
        return -1;
    *key = http_head_get(head, "x-api-key");
    if (key->len > 0)
        return 0;
    struct slice rest = http_head_get(head, "authorization");
    struct slice scheme = slice_split(&rest, ' ');
    *key = slice_trim(rest);
    return slice_equal_nocase(scheme, "bearer") && key->len > 0 ? 0 : -1;
}

int
keys_authorise(void *arg, const struct http_head *head, unsigned scope,
    const void **identity, const char **message)
{
    struct keys *keys = arg;
    struct slice key;
    if (!keys_required(keys)) {
        *identity = &identity_of(keys, "default",
            KEYS_SCOPE_SUBMIT | KEYS_SCOPE_READ | KEYS_SCOPE_OPERATE)
                         ->public;
        return 0;
    }
    reload_when_changed(keys);
    if (credential(head, &key) != 0) {
        *message = "a key is needed, once: x-api-key, or Authorization: "
                   "Bearer";
        return 401;
    }
    const struct keys_entry *entry = find_key(keys, key);
    if (entry == NULL) {
        *message = "this key is not known here";
        return 401;
    }
    if ((entry->scopes & scope) != scope) {
        *message = scope == KEYS_SCOPE_SUBMIT
            ? "this key lacks the scope submit"
            : scope == KEYS_SCOPE_READ ? "this key lacks the scope read"
                                       : "this key lacks the scope operate";
        return 403;
    }
    *identity = &identity_of(keys, entry->name, entry->scopes)->public;
    return 0;
}
