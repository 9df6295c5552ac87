#ifndef LH_WORKER_POOL_H
#define LH_WORKER_POOL_H

/*
 * pool: one upstream (address, key) with the models it serves, and what this
 * worker knows of it. Pools come from the configuration and live as long as
 * the worker; so do their buckets.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/job/job.h"
#include "worker/breaker.h"

#define POOL_BUCKETS_MAX 64
#define POOL_SCOPE_SIZE (JOB_BUCKET_MAX + 80)

struct config_pool;
struct governor;
struct models;
struct pace;
struct pool;
struct queue_pool;
struct upstream;

/* The models of a pool that share one rate limit. */
struct worker_bucket {
    struct pool *pool;
    char name[JOB_BUCKET_MAX + 1];
    char scope[POOL_SCOPE_SIZE]; /* "POOL/BUCKET", for the governor */
    char hold_scope[POOL_SCOPE_SIZE]; /* "bucket:POOL/BUCKET" */
    struct breaker breaker;
    unsigned probes; /* asked for */
    unsigned asked; /* jobs, in claims on their way */
};

struct pool {
    const struct config_pool *config;
    struct upstream *upstream;
    struct governor *governor;
    struct pace *pace;
    char hold_scope[POOL_SCOPE_SIZE]; /* "pool:NAME" */
    size_t served_count; /* 0: every bucket is served */
    char served[POOL_BUCKETS_MAX][JOB_BUCKET_MAX + 1];
    size_t bucket_count;
    struct worker_bucket *buckets[POOL_BUCKETS_MAX];
    unsigned probe_asks; /* claims on their way to probe it */
    int64_t probe_ms; /* monotonic: no probe before; another worker's turn */
    int64_t key_ms; /* wall: when its key changed; 0: never */
    int64_t good_ms; /* wall: when the newest call that succeeded was sent */
    int64_t refused_ms; /* wall: the last refusal that may be a job's own */
    char refused_id[ID_SIZE]; /* of which job */
};

struct pool_options {
    const struct config_pool *config; /* lives longer than the pool */
    const struct models *models;
    struct governor *governor;
    struct pace *pace; /* NULL in tests */
    bool simulated;
};
/* NULL with a line for people in error when its key cannot be read. */
struct pool *pool_new(const struct pool_options *options, char *error,
    size_t error_size) MUST_CHECK;
/* NULL is allowed. */
void pool_free(struct pool *pool);
/* What others may know of it. */
void pool_describe(const struct pool *pool, struct queue_pool *out);
const char *pool_name(const struct pool *pool);
bool pool_serves(const struct pool *pool, struct slice bucket);
/* The record of a bucket; made, with its scope of the governor, when it is
 * asked for first. */
struct worker_bucket *pool_bucket(struct pool *pool, struct slice name);

#endif
