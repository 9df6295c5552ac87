#ifndef LH_QUEUE_QUEUE_BULK_PRIVATE_H
#define LH_QUEUE_QUEUE_BULK_PRIVATE_H

#include "common/queue/queue_bulk.h"
#include "common/queue/queue_private.h"

/* The fields of a batch's hash ({name, value, ...}) into *bulk, which the
 * caller clears. What is absent or unreadable stays zero. */
void queue_bulk_read(
    struct slice uuid, const struct redisReply *fields, struct bulk *bulk);

#endif
