#ifndef LH_JOB_JOB_H
#define LH_JOB_JOB_H

/*
 * job: the words of the project as types: states, lanes, what is known of a
 * job when it is accepted (job_meta, travels in Redis as one JSON text), and
 * what is known when it ended (job_result, a row of the result store).
 * Pure; the JSON forms are made and read here and nowhere else.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/id.h"
#include "common/job/prompt_mix.h"

#define JOB_ID_PREFIX "job_"
#define JOB_MODEL_MAX 128
#define JOB_TENANT_MAX 64
#define JOB_TAGS_MAX 16
#define JOB_TAG_MAX 64
#define JOB_FALLBACKS_MAX 4
#define JOB_BUCKET_MAX 64
/* "b>c>d", or "b>c>d+": see fallback_chain */
#define JOB_CHAIN_MAX (JOB_FALLBACKS_MAX * (JOB_BUCKET_MAX + 1))
/* "lane:bucket" or "lane:bucket>fallback chain" */
#define JOB_QUEUE_MAX (16 + JOB_BUCKET_MAX + 1 + JOB_CHAIN_MAX)
/* Ends a chain that is also for rate limits. */
#define JOB_CHAIN_LIMITS '+'

enum job_state {
    JOB_QUEUED,
    JOB_RUNNING,
    JOB_RETRYING,
    JOB_SUCCEEDED, /* this and the following are terminal */
    JOB_FAILED,
    JOB_CANCELED,
    JOB_EXPIRED
};

const char *job_state_name(enum job_state state);
int job_state_parse(struct slice in, enum job_state *state) MUST_CHECK;
bool job_state_is_terminal(enum job_state state);

enum job_lane { JOB_LANE_INTERACTIVE, JOB_LANE_STANDARD, JOB_LANE_BULK };
#define JOB_LANES 3
const char *job_lane_name(enum job_lane lane);
int job_lane_parse(struct slice in, enum job_lane *lane) MUST_CHECK;

enum job_codec { JOB_CODEC_RAW, JOB_CODEC_ZSTD };

/* Fixed at submit; never changes during the life of a generation. */
struct job_meta {
    char model[JOB_MODEL_MAX + 1];
    char model_requested[JOB_MODEL_MAX + 1]; /* before it was routed, or "" */
    char bucket[JOB_BUCKET_MAX + 1];
    char tenant[JOB_TENANT_MAX + 1]; /* "default" without keys */
    enum job_lane lane;
    int64_t created_ms; /* of the submitter: the time in the job's id */
    int64_t expires_ms; /* wall clock */
    int64_t timeout_ms; /* of one call */
    unsigned max_attempts;
    uint64_t max_tokens;
    bool shorthand;
    bool sampling; /* temperature, top_p or top_k is present */
    char api_version[16]; /* as the client sent it, "" if none */
    char *beta; /* anthropic-beta as sent, or NULL; owned */
    char *idempotency_key; /* or NULL; owned */
    char *recipe; /* see request.h; owned */
    unsigned tag_count;
    char (*tags)[JOB_TAG_MAX + 1]; /* so many; owned */
    unsigned fallback_count;
    char fallbacks[JOB_FALLBACKS_MAX][JOB_MODEL_MAX + 1];
    /* The bucket of each, "" if there are none; none twice, and not the
     * model's own: they would share its limits and its breaker. */
    char fallback_chain[JOB_CHAIN_MAX + 1];
    enum job_codec codec;
    uint64_t body_bytes; /* the client's bytes */
    uint64_t stored_bytes; /* after the codec */
    unsigned parts; /* 0: inline in the job's hash */
    char sha256[65]; /* of the client's bytes; also the fingerprint */
    char batch[ID_UUID_LEN + 1]; /* the uuid of its batch, or "" */
    char *custom_id; /* within the batch, or NULL; owned */
    char mix[PROMPT_MIX_SIZE]; /* see prompt_mix.h; "" before it was known */
};

void job_meta_clear(struct job_meta *meta);
/* With texts of its own; `to` is overwritten. */
void job_meta_copy(struct job_meta *to, const struct job_meta *from);
void job_meta_encode(const struct job_meta *meta, struct buffer *out);
/* Defensive: what Redis holds is not trusted. meta is cleared on -1. */
int job_meta_decode(struct slice json, struct job_meta *meta) MUST_CHECK;
/* At most JOB_TAGS_MAX are kept, each of at most JOB_TAG_MAX bytes. */
void job_meta_add_tag(struct job_meta *meta, struct slice tag);
/* fallbacks and fallback_chain: `model` is asked after those before it. No
 * effect when there is no room, or a model of the bucket is there already. */
void job_meta_add_fallback(
    struct job_meta *meta, struct slice model, const char *bucket);
/* The name of its queue: "standard:opus-5-5" or "bulk:opus-5-5>haiku-5-5". */
void job_meta_queue(const struct job_meta *meta, char out[JOB_QUEUE_MAX + 1]);

/* What went wrong last, in words that may be shown to the submitter. */
struct job_error {
    char class_name[32]; /* a row of the outcome table; "" = no error */
    char type[64]; /* Claude's error type, or "" */
    char code[64]; /* error.details.error_code, or "" */
    unsigned status; /* HTTP status, 0 if there was none */
    char request_id[80]; /* Claude's, or "" */
    int64_t at_ms;
    unsigned calls; /* of this generation so far, every outcome */
    unsigned unknown_calls; /* of them, whose outcome nobody knows */
    char message[1025]; /* cleaned of control characters */
};
void job_error_encode(const struct job_error *error, struct buffer *out);
int job_error_decode(struct slice json, struct job_error *error) MUST_CHECK;
/*
 * Dead letters with the same fingerprint have the same cause: class, status,
 * type, model and the message without its numbers, ids and quoted parts.
 * 16 hex digits and NUL into out.
 */
void job_error_fingerprint(
    const struct job_error *error, const char *model, char out[17]);

struct job_usage {
    uint64_t input_tokens;
    uint64_t output_tokens;
    uint64_t cache_read_tokens;
    uint64_t cache_write_5m_tokens;
    uint64_t cache_write_1h_tokens;
};

/* As in Claude's Message: an object. */
void job_usage_encode(const struct job_usage *usage, struct buffer *out);
/* 1e-9 USD as an exact decimal in a string; below 0 is null. */
void job_cost_encode(int64_t cost_usd_nanos, struct buffer *out);

/* One terminal row: key (id, generation). */
struct job_result {
    char id[ID_SIZE];
    unsigned generation;
    enum job_state state;
    uint64_t version;
    char model[JOB_MODEL_MAX + 1]; /* that answered, else that was asked */
    int64_t started_ms; /* first claim of this generation, or 0 */
    int64_t finished_ms;
    unsigned attempts;
    unsigned unknown_calls; /* calls whose outcome nobody knows */
    unsigned takeovers; /* workers that died with it */
    bool simulated;
    bool dead; /* a dead letter: failed, neither replayed nor discarded */
    bool deleted; /* only the name is left: no answer, tags, error (410) */
    char stop_reason[40];
    struct job_usage usage;
    int64_t cost_usd_nanos; /* 1e-9 USD; -1: no price known */
    struct job_error error; /* none when it succeeded */
    struct job_meta meta; /* of the request */
};
void job_result_clear(struct job_result *result);

/*
 * A job as the API shows it, whichever half of its life it is in. Filled by
 * the queue (in flight) or from a job_result (terminal).
 */
struct job_view {
    char id[ID_SIZE];
    enum job_state state;
    unsigned generation;
    uint64_t version;
    unsigned attempts;
    unsigned takeovers;
    int64_t started_ms;
    int64_t next_attempt_ms; /* retrying: not before */
    bool cancel_requested;
    int64_t ahead; /* jobs before it in its queue, -1 unknown */
    struct job_error error;
    const struct job_meta *meta;
    const struct job_result *result; /* when terminal, else NULL */
    char reason[256]; /* status_reason in words; "": made from the rest */
    bool simulated; /* in flight; a result has its own */
};

/*
 * The job object of the API. `origin` is the public origin without a slash
 * at the end. Used for the 202 of the submitter and every read.
 */
void job_view_encode(
    const struct job_view *view, const char *origin, struct buffer *out);
void job_view_from_result(
    const struct job_result *result, struct job_view *view);
/* Seconds after which asking again makes sense, 1..60. The job object says
 * null instead once the job is terminal. */
unsigned job_view_poll_after_s(const struct job_view *view);

#endif
