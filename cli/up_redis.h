#ifndef LH_CLI_UP_REDIS_H
#define LH_CLI_UP_REDIS_H

/*
 * up_redis: the private Redis of `longhaul up`: where it is and how it is
 * configured. It listens on a unix socket in the data directory and nowhere
 * else; when that path is too long for a socket, on a free loopback port
 * with a password of its own.
 */

#include "cli/child.h"
#include "cli/up_dir.h"

struct up_redis {
    char *program; /* path of redis-server or valkey-server */
    char *socket; /* or NULL */
    unsigned port; /* with socket NULL */
    char *url; /* for LONGHAUL_REDIS_URL */
    char *password_file; /* or NULL */
    char *conf;
    char *directory;
};

/* Finds the program, makes redis/ and its configuration. 0, or -1 with a
 * sentence in *error. */
int up_redis_prepare(struct up_redis *redis, const struct up_dir *dir,
    struct buffer *error) MUST_CHECK;
void up_redis_clear(struct up_redis *redis);
/* Where a probe asks. */
void up_redis_address(const struct up_redis *redis, char *out, size_t size);

/* The configuration, with what varies. Pure. */
void up_redis_conf(
    const struct up_redis *redis, const char *password, struct buffer *out);

#define UP_REDIS_QUESTION "PING\r\n"

#endif
