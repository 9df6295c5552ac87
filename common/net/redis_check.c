/*
 * What a server is asked before it is used: password, database, INFO and the
 * fsync policy. All questions go out at once; the last answer decides.
 */

#include "common/net/redis_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PASSWORD_MAX 4096

static void
refuse(struct redis *redis, const char *reason)
{
    if (redis->refusal[0] == '\0')
        text_copy(redis->refusal, sizeof(redis->refusal), slice_of(reason));
}

/* The password file, without the line's end. -1 if it cannot be read. */
static int
read_password(const char *path, struct buffer *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = -1;

    if (fd < 0)
        return -1;
    got = read(fd, buffer_reserve(out, PASSWORD_MAX), PASSWORD_MAX);
    close(fd);
    if (got < 0)
        return -1;
    out->len += (size_t)got;
    while (out->len > 0 &&
        (out->data[out->len - 1] == '\n' || out->data[out->len - 1] == '\r'))
        out->len--;
    return 0;
}

size_t
redis_auth_command(
    const struct redis *redis, struct buffer *password, struct slice argv[3])
{
    size_t argc = 0;

    if (redis->password_file != NULL) {
        if (read_password(redis->password_file, password) != 0)
            buffer_reset(password);
    } else if (redis->address.password != NULL) {
        buffer_append_text(password, redis->address.password);
    }
    if (password->len == 0)
        return 0;
    argv[argc++] = slice_of("AUTH");
    if (redis->address.user != NULL)
        argv[argc++] = slice_of(redis->address.user);
    argv[argc++] = buffer_slice(password);
    return argc;
}

/* The value of "name:value\r\n" in INFO's text. */
static struct slice
info_field(const struct redis *redis, const char *name)
{
    struct slice rest = buffer_slice(&redis->info);
    size_t len = strlen(name);

    while (rest.len > 0) {
        struct slice line = slice_split(&rest, '\n');
        if (line.len > 0 && line.data[line.len - 1] == '\r')
            line.len--;
        if (line.len > len && line.data[len] == ':' &&
            memcmp(line.data, name, len) == 0)
            return slice_make(line.data + len + 1, line.len - len - 1);
    }
    return SLICE_NULL;
}

static void
judge_version(struct redis *redis)
{
    struct slice version = info_field(redis, "redis_version");
    struct slice major = slice_split(&version, '.');
    uint64_t value = 0;

    if (text_parse_u64(major, 1000, &value) != 0)
        refuse(redis, "Redis does not tell its version: INFO must be allowed");
    else if (value < 7)
        refuse(redis, "Redis is too old: 7.0 or newer, or Valkey, is needed");
}

static void
judge_role(struct redis *redis)
{
    if (slice_equal_text(info_field(redis, "loading"), "1"))
        refuse(redis, "Redis is still loading its data");
    if (!slice_equal_text(info_field(redis, "role"), "master"))
        refuse(redis, "this Redis is a replica; writes need the primary");
    if (slice_equal_text(info_field(redis, "cluster_enabled"), "1"))
        refuse(redis, "this Redis runs in cluster mode, which is not served");
}

static void
judge_durability(struct redis *redis)
{
    if (redis->options.skip_durability_checks)
        return;
    if (!slice_equal_text(info_field(redis, "maxmemory_policy"), "noeviction"))
        refuse(redis, "Redis may evict jobs: set maxmemory-policy noeviction");
    if (!slice_equal_text(info_field(redis, "aof_enabled"), "1"))
        refuse(redis, "Redis has no append-only file: set appendonly yes");
}

static void
on_info(void *arg, const struct redisReply *reply)
{
    struct redis *redis = arg;
    struct slice text = redis_reply_slice(reply);

    if (reply == NULL)
        return;
    buffer_reset(&redis->info);
    if (reply->type != REDIS_REPLY_STRING) {
        /* Its error is the answer to a missing or wrong password. */
        if (slice_starts_with(text, "NOAUTH"))
            refuse(redis, "Redis wants a password");
        else
            refuse(redis, "Redis does not allow INFO");
        return;
    }
    buffer_append_slice(&redis->info, text);
    judge_version(redis);
    judge_role(redis);
    judge_durability(redis);
    buffer_clear(&redis->info);
}

static void
on_auth(void *arg, const struct redisReply *reply)
{
    if (reply != NULL && !redis_reply_is_ok(reply))
        refuse(arg, "Redis refuses the password");
}

static void
on_select(void *arg, const struct redisReply *reply)
{
    if (reply != NULL && !redis_reply_is_ok(reply))
        refuse(arg, "Redis does not have the database of the URL");
}

static void
on_fsync_policy(void *arg, const struct redisReply *reply)
{
    struct redis *redis = arg;
    struct slice value = redis_reply_slice(redis_reply_at(reply, 1));

    if (reply == NULL)
        return;
    if (!redis->options.skip_durability_checks) {
        if (value.len == 0)
            refuse(redis,
                "Redis does not tell appendfsync: allow CONFIG GET to this "
                "user, so that durability can be checked");
        else if (!slice_equal_text(value, "always"))
            refuse(
                redis, "Redis may lose accepted jobs: set appendfsync always");
    }
    if (redis->refusal[0] != '\0')
        redis_check_refused(redis, redis->refusal);
    else
        redis_check_passed(redis);
}

static int
ask_login(struct redis *redis)
{
    struct slice argv[3];
    struct buffer password = {0};
    char number[24];
    size_t argc = redis_auth_command(redis, &password, argv);
    int result = 0;

    if (redis->password_file != NULL && argc == 0)
        refuse(redis, "the file with the Redis password cannot be read");
    if (argc > 0)
        result = redis_send(redis, on_auth, redis, argc, argv);
    buffer_clear(&password);
    if (result == 0 && redis->address.db != 0) {
        snprintf(number, sizeof(number), "%llu",
            (unsigned long long)redis->address.db);
        argv[0] = slice_of("SELECT");
        argv[1] = slice_of(number);
        result = redis_send(redis, on_select, redis, 2, argv);
    }
    return result;
}

void
redis_check_begin(struct redis *redis)
{
    const struct slice info[] = {slice_of("INFO")};
    const struct slice config[] = {
        slice_of("CONFIG"), slice_of("GET"), slice_of("appendfsync")};

    redis->refusal[0] = '\0';
    if (ask_login(redis) != 0 ||
        redis_send(redis, on_info, redis, 1, info) != 0 ||
        redis_send(redis, on_fsync_policy, redis, 3, config) != 0)
        redis_check_refused(redis, "Redis does not take commands");
}
