#include "cli/up_redis.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/id.h"

#define PASSWORD_BYTES 24

/* The first of the names in PATH. */
static char *
find_program(void)
{
    static const char *const names[] = {"redis-server", "valkey-server"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct slice rest = slice_of(getenv("PATH"));
        while (rest.len > 0) {
            struct slice folder = slice_split(&rest, ':');
            struct buffer path = {0};
            buffer_printf(
                &path, "%.*s/%s", (int)folder.len, folder.data, names[i]);
            if (folder.len > 0 && access(path.data, X_OK) == 0)
                return buffer_take(&path);
            buffer_clear(&path);
        }
    }
    return NULL;
}

/* As redis.conf wants it: "..." with \ and " escaped. */
static void
put_quoted(struct buffer *out, const char *name, const char *value)
{
    buffer_printf(out, "%s \"", name);
    for (; *value != '\0'; value++) {
        if (*value == '"' || *value == '\\')
            buffer_append_char(out, '\\');
        buffer_append_char(out, *value);
    }
    buffer_append_text(out, "\"\n");
}

void
up_redis_conf(
    const struct up_redis *redis, const char *password, struct buffer *out)
{
    buffer_append_text(out, "# made by longhaul up at every start\n");
    buffer_printf(out, "port %u\nbind 127.0.0.1\n", redis->port);
    if (redis->socket != NULL) {
        put_quoted(out, "unixsocket", redis->socket);
        buffer_append_text(out, "unixsocketperm 600\n");
    }
    if (password != NULL)
        put_quoted(out, "requirepass", password);
    put_quoted(out, "dir", redis->directory);
    buffer_append_text(out,
        "daemonize no\n"
        "pidfile redis.pid\n"
        "logfile \"\"\n"
        "loglevel notice\n"
        "always-show-logo no\n"
        "databases 1\n"
        "save \"\"\n"
        "appendonly yes\n"
        "appendfsync always\n"
        "no-appendfsync-on-rewrite no\n"
        "auto-aof-rewrite-percentage 100\n"
        "auto-aof-rewrite-min-size 64mb\n"
        "aof-use-rdb-preamble yes\n"
        "aof-load-truncated yes\n"
        "maxmemory-policy noeviction\n"
        /* XDEL walks a node from its beginning. */
        "stream-node-max-entries 10\n"
        /* A job's hash in one piece, also with a prompt of some KB. */
        "hash-max-listpack-value 4096\n"
        "latency-tracking no\n"
        "tcp-backlog 128\n");
}

static unsigned
free_port(void)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    unsigned port = 0;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&address, size) == 0 &&
        getsockname(fd, (struct sockaddr *)&address, &size) == 0)
        port = ntohs(address.sin_port);
    if (fd >= 0)
        close(fd);
    return port;
}

static void
choose_address(
    struct up_redis *redis, const struct up_dir *dir, struct buffer *password)
{
    struct sockaddr_un address;
    struct buffer url = {0};
    char *socket_path = up_dir_file(dir, "redis/redis.sock");
    if (strlen(socket_path) < sizeof(address.sun_path)) {
        redis->socket = socket_path;
        buffer_printf(&url, "unix://%s", socket_path);
    } else {
        unsigned char bytes[PASSWORD_BYTES];
        char hex[2 * PASSWORD_BYTES + 1];
        memory_free(socket_path);
        id_random_bytes(bytes, sizeof(bytes));
        text_hex(bytes, sizeof(bytes), hex);
        buffer_append_text(password, hex);
        redis->port = free_port();
        redis->password_file = up_dir_file(dir, "redis/password");
        buffer_printf(&url, "redis://127.0.0.1:%u", redis->port);
    }
    redis->url = buffer_take(&url);
}

int
up_redis_prepare(
    struct up_redis *redis, const struct up_dir *dir, struct buffer *error)
{
    struct buffer password = {0};
    struct buffer conf = {0};
    int result = -1;
    memset(redis, 0, sizeof(*redis));
    redis->program = find_program();
    if (redis->program == NULL) {
        buffer_append_text(error,
            "redis-server is not installed (apt-get install redis-server)");
        return -1;
    }
    redis->directory = up_dir_file(dir, "redis");
    redis->conf = up_dir_file(dir, "redis/redis.conf");
    if (mkdir(redis->directory, 0700) != 0 && errno != EEXIST)
        goto fail;
    choose_address(redis, dir, &password);
    up_redis_conf(redis, password.data, &conf);
    if (redis->socket != NULL && unlink(redis->socket) != 0 && errno != ENOENT)
        goto fail;
    if (redis->password_file != NULL &&
        up_dir_write(dir, "redis/password", buffer_slice(&password)) != 0)
        goto fail;
    if (up_dir_write(dir, "redis/redis.conf", buffer_slice(&conf)) != 0 ||
        up_dir_write(dir, "redis/url", slice_of(redis->url)) != 0)
        goto fail;
    result = 0;
    goto done;
fail:
    buffer_printf(
        error, "cannot write in %s: %s", dir->path, strerrordesc_np(errno));
done:
    if (password.len > 0)
        explicit_bzero(password.data, password.len);
    buffer_clear(&password);
    buffer_clear(&conf);
    return result;
}

void
up_redis_address(const struct up_redis *redis, char *out, size_t size)
{
    if (redis->socket != NULL)
        snprintf(out, size, "unix:%s", redis->socket);
    else
        snprintf(out, size, "127.0.0.1:%u", redis->port);
}

void
up_redis_clear(struct up_redis *redis)
{
    memory_free(redis->program);
    memory_free(redis->socket);
    memory_free(redis->url);
    memory_free(redis->password_file);
    memory_free(redis->conf);
    memory_free(redis->directory);
    memset(redis, 0, sizeof(*redis));
}
