#ifndef LH_SERVICE_KEYS_FILE_H
#define LH_SERVICE_KEYS_FILE_H

/*
 * keys_file: reading and rewriting the file of keys, for keys.c and the
 * functions of keys.h that the command line uses.
 */

#include "common/service/keys.h"

#define KEYS_NAME_MAX 64
#define KEYS_HASH_BYTES 32
#define KEYS_FILE_MAX (1024 * 1024)

struct keys_entry {
    char name[KEYS_NAME_MAX + 1];
    unsigned char hash[KEYS_HASH_BYTES]; /* SHA-256 of the key */
    unsigned scopes;
};

void keys_hash(struct slice key, unsigned char out[KEYS_HASH_BYTES]);
/* 0 and *entries (the caller frees), or -1 and every error, a line each. */
int keys_file_read(const char *path, struct keys_entry **entries, size_t *count,
    struct buffer *errors) MUST_CHECK;

#endif
