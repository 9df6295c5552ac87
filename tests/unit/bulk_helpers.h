#ifndef LH_TESTS_BULK_HELPERS_H
#define LH_TESTS_BULK_HELPERS_H

/* The calls of queue_bulk.h made to look synchronous. Their answers go to
 * `got` and to got_bulk. */

#include "common/queue/queue_bulk.h"
#include "queue_helpers.h"

struct got_bulk {
    bool continued;
    uint64_t ordinal;
    char uuid[BATCH_UUID_SIZE];
    struct bulk bulk; /* without what it owns */
    char key[64]; /* its idempotency key */
    struct queue_bulk_view view; /* its batch is `bulk` */
    char uuids[16][BATCH_UUID_SIZE]; /* of lists; got.count of them */
    size_t deleted;
    struct queue_bulk_entry items[16]; /* without custom_id */
    char texts[16][64]; /* custom ids, or rejected lines */
};
extern struct got_bulk got_bulk;

/* A native batch of the tenant "default" that ends in an hour. */
void make_bulk(struct bulk *bulk);
enum queue_status do_open(struct fixture *f, const struct bulk *bulk);
/* custom_id `name` with a body of four bytes in QUEUE_X. */
enum queue_status do_stage(struct fixture *f, const char *uuid,
    const char *name, uint64_t ordinal, const struct job_error *refused);
enum queue_status do_reveal(
    struct fixture *f, const char *uuid, uint64_t accepted, char sha);
enum queue_status do_bulk_get(struct fixture *f, const char *uuid);
enum queue_status do_bulk_list(
    struct fixture *f, const char *cursor, bool ascending);
enum queue_status do_items(struct fixture *f, const char *uuid, uint64_t from);
enum queue_status do_rejects(
    struct fixture *f, const char *uuid, uint64_t after);
/* got.moved, got.more */
enum queue_status do_advance(struct fixture *f, unsigned most);
enum queue_status do_bulk_end(
    struct fixture *f, const char *uuid, uint64_t replays, uint64_t succeeded);
#define DO_BULK(f, call, uuid) \
    ASK((f), queue_bulk_##call((f)->queue, (uuid), on_status, NULL))

#endif
