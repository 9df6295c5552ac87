#ifndef LH_QUEUE_QUEUE_PRIVATE_H
#define LH_QUEUE_QUEUE_PRIVATE_H

/*
 * What the parts of the queue module share: the table of keys and scripts
 * (queue_keys.c), calls and their arguments (queue_call.c), and what is
 * known of the consumers of this process (queue_claim.c).
 */

#include "common/net/redis.h"
#include "common/queue/queue.h"

/* All keys; the braces keep them together in one slot. */
#define QUEUE_PREFIX "lh:{0}:"

/* Keys that C names itself; the scripts build theirs from the same words. */
enum queue_key {
    QUEUE_KEY_INSTALL,
    QUEUE_KEY_JOB,
    QUEUE_KEY_BODY,
    QUEUE_KEY_PARKED,
    QUEUE_KEY_IDS,
    QUEUE_KEY_IDEM,
    QUEUE_KEY_DEAD,
    QUEUE_KEY_DEADGROUP,
    QUEUE_KEY_DELETED,
    QUEUE_KEY_DISCARDED,
    QUEUE_KEY_FORGET,
    QUEUE_KEY_OPERATION,
    QUEUE_KEY_NOTICE,
    QUEUE_KEY_EVENTS
};

enum queue_script {
    QUEUE_SCRIPT_BATCH_ADVANCE,
    QUEUE_SCRIPT_BATCH_CANCEL,
    QUEUE_SCRIPT_BATCH_DELETE,
    QUEUE_SCRIPT_BATCH_DROP,
    QUEUE_SCRIPT_BATCH_END,
    QUEUE_SCRIPT_BATCH_LEAVE,
    QUEUE_SCRIPT_BATCH_LIST,
    QUEUE_SCRIPT_BATCH_OPEN,
    QUEUE_SCRIPT_BATCH_READ,
    QUEUE_SCRIPT_BATCH_REJECT,
    QUEUE_SCRIPT_BATCH_REVEAL,
    QUEUE_SCRIPT_BATCH_STAGE,
    QUEUE_SCRIPT_BEAT,
    QUEUE_SCRIPT_BURY,
    QUEUE_SCRIPT_CANCEL,
    QUEUE_SCRIPT_CHORES,
    QUEUE_SCRIPT_CLAIM,
    QUEUE_SCRIPT_DEAD_GET,
    QUEUE_SCRIPT_DELETE,
    QUEUE_SCRIPT_DISCARD,
    QUEUE_SCRIPT_ENQUEUE,
    QUEUE_SCRIPT_FINISH,
    QUEUE_SCRIPT_GET,
    QUEUE_SCRIPT_HOLD,
    QUEUE_SCRIPT_LEAVE,
    QUEUE_SCRIPT_LOCK,
    QUEUE_SCRIPT_PARK,
    QUEUE_SCRIPT_POOLS,
    QUEUE_SCRIPT_QUOTA,
    QUEUE_SCRIPT_REAP,
    QUEUE_SCRIPT_RECOVER,
    QUEUE_SCRIPT_RELEASE,
    QUEUE_SCRIPT_REPLAY,
    QUEUE_SCRIPT_RETRY,
    QUEUE_SCRIPT_STAGE,
    QUEUE_SCRIPT_STATS,
    QUEUE_SCRIPT_TICK,
    QUEUE_SCRIPT_UNSTAGE,
    QUEUE_SCRIPTS
};

/* The key's full name, for keys without and with a variable end. */
const char *queue_key(enum queue_key key);
void queue_key_append(enum queue_key key, struct slice end, struct buffer *out);
/* Built on first use from the embedded files; never freed. */
const struct redis_script *queue_script(enum queue_script script);

/* Arguments under construction. Texts are borrowed, numbers are kept. */
#define QUEUE_ARGS_MAX 32
struct queue_args {
    struct slice slices[QUEUE_ARGS_MAX];
    size_t count;
    char numbers[20][24];
    size_t number_count;
};
void queue_args_text(struct queue_args *args, const char *text);
void queue_args_slice(struct queue_args *args, struct slice in);
void queue_args_int(struct queue_args *args, int64_t value);
void queue_args_owner(struct queue_args *args, const struct queue_owner *owner);

/*
 * One command under way. Every function of queue.h embeds it as the first
 * member of its own struct (or uses it alone) and frees it in on_reply. It
 * does not point to the struct queue, which may be gone by then.
 */
struct queue_call {
    void (*on_reply)(struct queue_call *call, const struct redisReply *reply);
    queue_on_status *on_status;
    void *arg;
    const char *script; /* its name; NULL: a plain command */
};

/* `size` bytes that begin with a queue_call. */
void *queue_call_new(size_t size,
    void (*on_reply)(struct queue_call *call, const struct redisReply *reply),
    void *arg) MUST_CHECK;
/* Take `call` over. 0, or -1 (call is freed) when Redis is not ready. The
 * scripts' KEYS[1] is added here. */
int queue_call_script(struct queue_call *call, struct redis *redis,
    enum queue_script script, const struct queue_args *args) MUST_CHECK;
/* The same with all words given, KEYS[1] included. */
int queue_call_argv(struct queue_call *call, struct redis *redis,
    enum queue_script script, size_t argc, const struct slice *argv) MUST_CHECK;
int queue_call_command(struct queue_call *call, struct redis *redis,
    const struct queue_args *args) MUST_CHECK;
/* For scripts that answer with a status alone. */
struct queue_call *queue_call_for_status(
    queue_on_status *on_status, void *arg) MUST_CHECK;
int queue_call_status(struct queue *queue, enum queue_script script,
    const struct queue_args *args, queue_on_status *on_status,
    void *arg) MUST_CHECK;

/*
 * Calls of one script that are given within one turn of the loop go to Redis
 * together, in order: ARGV is the words of the first, then of the second, ...
 * and the answer an array of what each alone would be answered. An error or a
 * lost connection is the answer of each.
 */
#define QUEUE_BATCH_WORDS 14
struct queue_batched;
struct queue_batch {
    struct redis *redis;
    enum queue_script script;
    size_t words; /* of one call */
    struct queue_batched *first;
    struct queue_batched **last;
    struct event *turn_end;
};
void queue_batch_init(struct queue_batch *batch, struct queue *queue,
    enum queue_script script, size_t words);
/* What was not sent yet ends as if the connection were lost. */
void queue_batch_clear(struct queue_batch *batch);
/* As queue_call_script; the words are copied. */
int queue_call_batched(struct queue_batch *batch, struct queue_call *call,
    const struct queue_args *args) MUST_CHECK;

/* The status of a script's answer: element 0 of an array; errors of Redis
 * and lost connections are mapped. */
enum queue_status queue_reply_status(const struct redisReply *reply);
/* UNKNOWN, FULL_BYTES or BROKEN for an answer that is not a normal one (NULL
 * or an error), else OK. */
enum queue_status queue_reply_error(const struct redisReply *reply);
unsigned queue_reply_unsigned(const struct redisReply *reply);
uint64_t queue_reply_u64(const struct redisReply *reply);
bool queue_reply_state(const struct redisReply *reply, enum job_state *state);

/* Holds as {scope, value, ...}; returns how many were read into a new array
 * (NULL for none), which the caller frees. */
/* Pools in the answer of stats; *pools is the caller's to free. */
size_t queue_pools_read(
    const struct redisReply *reply, struct queue_pool **pools);
size_t queue_holds_read(
    const struct redisReply *reply, int64_t now_ms, struct queue_hold **holds);

/* What this process knows of a consumer that it speaks for. */
struct queue_consumer;
struct queue {
    struct event_base *base;
    struct redis *redis;
    struct queue_batch enqueues;
    struct queue_batch finishes;
    struct queue_batch bulk_items;
    struct queue_batch bulk_rejects;
    struct queue_consumer *consumers;
    void (*on_notice)(void *arg, enum queue_notice notice);
    void *notice_arg;
    void (*on_change)(
        void *arg, struct slice id, uint64_t version, enum job_state state);
    void (*on_change_gap)(void *arg);
    void *change_arg;
};

struct queue_waiting_claim; /* waits for a recovery */
struct queue_consumer {
    struct queue_consumer *next;
    unsigned refs; /* the queue's and one per call under way */
    struct redis *redis;
    char *name;
    bool known; /* Redis has answered it before */
    bool lost; /* the answer of a claim was lost */
    bool recovering; /* the recovery is under way */
    char *recovered; /* where its last slice ended, or NULL */
    int64_t recovered_jobs;
    uint64_t fence; /* the highest one received */
    uint64_t turn;
    struct queue_waiting_claim *waiting;
};
struct queue_consumer *queue_consumer_find(
    struct queue *queue, const char *name);
void queue_consumer_release(struct queue_consumer *consumer);
/* Begins a recovery if one is needed and none runs. 0, or -1 when Redis is
 * not ready. */
int queue_consumer_recover(struct queue_consumer *consumer) MUST_CHECK;
/* Ends every claim that waits for a recovery. */
void queue_consumer_fail_waiting(
    struct queue_consumer *consumer, enum queue_status status);

#endif
