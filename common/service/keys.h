#ifndef LH_SERVICE_KEYS_H
#define LH_SERVICE_KEYS_H

/*
 * keys: who may do what. The file has a line per key:
 *
 *     NAME SHA256-HEX SCOPES        # scopes: submit,read,operate
 *
 * NAME is the tenant, [a-z0-9_-]{1,64}; blank lines and # comments are
 * allowed. The file is re-read when it changes (checked at most once a
 * second); a broken one keeps the old set and is reported. Keys look like
 * lh_ + 43 characters (256 random bits); only their hash is stored.
 */

#include <stdbool.h>

#include "common/base/buffer.h"
#include "common/net/http_parse.h"

#define KEYS_SCOPE_SUBMIT 1u
#define KEYS_SCOPE_READ 2u
#define KEYS_SCOPE_OPERATE 4u

struct keys;
struct keys_identity {
    const char *tenant;
    unsigned scopes;
};

/* path NULL: no file; then everybody is the tenant "default" with every
 * scope, and servers must listen on loopback only. */
struct keys *keys_open(const char *path, struct buffer *errors) MUST_CHECK;
void keys_free(struct keys *keys);
bool keys_required(const struct keys *keys);
/* For http_hooks.authorise: 0, 401 (none, unknown or malformed) or 403 (the
 * scope is missing). Constant-time comparison. `arg` is the struct keys. */
int keys_authorise(void *arg, const struct http_head *head, unsigned scope,
    const void **identity, const char **message);
/* For the command line. new: prints the key once into out. */
int keys_file_add(const char *path, const char *name, unsigned scopes,
    struct buffer *out, struct buffer *errors) MUST_CHECK;
int keys_file_remove(
    const char *path, const char *name, struct buffer *errors) MUST_CHECK;
int keys_file_list(
    const char *path, struct buffer *out, struct buffer *errors) MUST_CHECK;
const char *keys_scope_names(unsigned scopes, char *out, size_t size);
int keys_scope_parse(struct slice in, unsigned *scopes) MUST_CHECK;

#endif
