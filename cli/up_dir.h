#ifndef LH_CLI_UP_DIR_H
#define LH_CLI_UP_DIR_H

/*
 * up_dir: the data directory of `longhaul up`:
 *
 *   lock           held by the `up` that uses it; holds its pid
 *   children.lock  held by whatever `up` has started, also after its death
 *   mode           "simulated" or "real"; never both in one directory
 *   redis/         redis.conf, redis.sock, url (where it is, for `longhaul
 *                  doctor`), the append-only files
 *   longhaul.db    the result store
 *   peers          where the workers show their metrics
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/buffer.h"

struct up_dir {
    char *path; /* absolute */
    int lock;
    int children_lock; /* inherited by every child */
    bool is_new; /* no results are in it */
};

/*
 * Makes or opens the directory and takes its locks. Children of an earlier
 * `up` that died are given wait_ms to end. 0, or -1 with a sentence for
 * people in *error.
 */
int up_dir_open(struct up_dir *dir, const char *path, int64_t wait_ms,
    struct buffer *error) MUST_CHECK;
/* Keeps the mode, or refuses another one than was kept. 0, or -1. */
int up_dir_set_mode(
    struct up_dir *dir, bool simulated, struct buffer *error) MUST_CHECK;
void up_dir_close(struct up_dir *dir);

/* "DIR/name", the caller frees. */
char *up_dir_file(const struct up_dir *dir, const char *name) MUST_CHECK;
/* Writes a whole file with mode 0600. 0 or -1 with errno. */
int up_dir_write(
    const struct up_dir *dir, const char *name, struct slice text) MUST_CHECK;
/* The first line of a small file into out; -1 when it cannot be read. */
int up_dir_read(const struct up_dir *dir, const char *name, char *out,
    size_t size) MUST_CHECK;

#endif
