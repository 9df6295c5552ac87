#include "common/net/redis.h"

#include <string.h>

struct slice
redis_reply_slice(const struct redisReply *reply)
{
    if (reply == NULL ||
        (reply->type != REDIS_REPLY_STRING &&
            reply->type != REDIS_REPLY_STATUS &&
            reply->type != REDIS_REPLY_ERROR))
        return SLICE_NULL;
    return slice_make(reply->str, reply->len);
}

int64_t
redis_reply_int(const struct redisReply *reply, int64_t otherwise)
{
    int64_t value = 0;

    if (reply == NULL)
        return otherwise;
    if (reply->type == REDIS_REPLY_INTEGER)
        return reply->integer;
    if (text_parse_i64(
            redis_reply_slice(reply), INT64_MIN, INT64_MAX, &value) == 0)
        return value;
    return otherwise;
}

bool
redis_reply_is_ok(const struct redisReply *reply)
{
    return reply != NULL && reply->type == REDIS_REPLY_STATUS &&
        reply->len == 2 && memcmp(reply->str, "OK", 2) == 0;
}

const struct redisReply *
redis_reply_at(const struct redisReply *reply, size_t i)
{
    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY ||
        i >= reply->elements)
        return NULL;
    return reply->element[i];
}
