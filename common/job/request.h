#ifndef LH_JOB_REQUEST_H
#define LH_JOB_REQUEST_H

/*
 * request: reads the body of POST /v1/jobs (or one item of a batch) while
 * it arrives, and says how to make the upstream request out of it.
 *
 * The body is a Messages request as any Claude SDK sends it, plus an
 * optional `longhaul` object; or the shorthand, where a string `message`
 * stands for `messages`. Its bytes are stored as they came: what Claude
 * gets is those bytes with a few edits, the recipe. So prompt caching
 * works and 0.7 stays 0.7.
 *
 * Checked here: well-formed JSON, and type and bounds of model, max_tokens,
 * messages or message, system, stream and longhaul, each at most once, and
 * the shape of messages and system (request_shape.h). Everything else is
 * Claude's business and passes.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/job/options.h"
#include "common/job/request_shape.h"
#include "common/net/json_scan.h"

#define REQUEST_MODEL_MAX JOB_MODEL_MAX
#define REQUEST_MAX_TOKENS_MAX 10000000
#define REQUEST_SHORTHAND_MAX_TOKENS 1024
#define REQUEST_EDITS_MAX 16
#define REQUEST_CUTS_MAX 2
#define REQUEST_MESSAGE_SIZE 320

/* ---- the recipe ---- */

enum request_edit_kind {
    REQUEST_EDIT_STREAM, /* here "stream":true, can be inserted */
    REQUEST_EDIT_MODEL_INSERT, /* "model":"...", is inserted */
    REQUEST_EDIT_TOKENS, /* "max_tokens":1024, is inserted */
    REQUEST_EDIT_CUT, /* longhaul or stream, with one comma */
    REQUEST_EDIT_MODEL_VALUE, /* the model's value: kept or replaced */
    REQUEST_EDIT_KEY, /* "message" becomes "messages" */
    REQUEST_EDIT_OPEN, /* [{"role":"user","content": */
    REQUEST_EDIT_CLOSE, /* }] */
    REQUEST_EDIT_KINDS
};

struct request_edit {
    enum request_edit_kind kind;
    uint64_t offset;
    uint64_t cut; /* bytes of the body that it replaces */
};

/* Edits ascend and do not overlap. */
struct request_recipe {
    uint64_t body_bytes; /* of the body that it belongs to */
    size_t count;
    struct request_edit edits[REQUEST_EDITS_MAX];
    char model[REQUEST_MODEL_MAX + 1]; /* of MODEL_INSERT, else "" */
};

/* Appends the recipe as printable ASCII without quotes (under 1 KiB). */
void request_recipe_encode(
    const struct request_recipe *recipe, struct buffer *out);
/* 0, or -1 when the text is not a recipe as the encoder writes it; every
 * offset of an accepted one lies within body_bytes. */
int request_recipe_decode(
    struct slice text, struct request_recipe *recipe) MUST_CHECK;

/*
 * Applying. The sink gets runs of bytes in order; each points into a fed
 * part, into constant text or into the apply struct, so runs may be
 * collected for later as long as those live. An empty run is never given.
 * A sink that returns -1 ends it.
 */
struct request_apply {
    const struct request_recipe *recipe;
    const char *model;
    bool stream;
    int (*sink)(void *arg, struct slice run);
    void *arg;
    uint64_t at; /* body bytes seen */
    size_t next; /* edit */
    uint64_t cut; /* bytes still to be left out */
    char model_text[REQUEST_MODEL_MAX + sizeof("\"model\":\"\",")];
};

/*
 * recipe must outlive the struct. model: the fallback model to ask for
 * instead (job_model_is_valid), or NULL. stream: ask for a streamed answer.
 */
void request_apply_init(struct request_apply *apply,
    const struct request_recipe *recipe, const char *model, bool stream,
    int (*sink)(void *arg, struct slice run), void *arg);
/* The body's next part; 0, or -1 (sink failed, or more bytes than the
 * recipe's body has). */
int request_apply_feed(
    struct request_apply *apply, struct slice part) MUST_CHECK;
/* -1 when bytes are missing. */
int request_apply_finish(struct request_apply *apply) MUST_CHECK;
/* The number of bytes that the sink will get. */
uint64_t request_apply_length(
    const struct request_recipe *recipe, const char *model, bool stream);

/* ---- the reader ---- */

/* What is wrong, for the client: status 400, invalid_request_error. */
struct request_fault {
    int status;
    const char *type;
    /* Names members and byte offsets, never content. */
    char message[REQUEST_MESSAGE_SIZE];
};

/* Valid after request_reader_finish() returned 0. */
struct request_info {
    char model[REQUEST_MODEL_MAX + 1]; /* given, or the default */
    bool has_model; /* the body names one */
    bool has_max_tokens;
    bool wants_stream; /* "stream":true was asked for */
    /* The last member given, other than as null, that Claude takes in no
     * batch ("speed", "thread"), or NULL. */
    const char *not_in_batch;
    bool has_sampling; /* temperature, top_p or top_k is present */
    bool shorthand;
    bool has_options;
    int64_t max_tokens; /* given, or the shorthand's default */
    uint64_t body_bytes;
    struct job_options options;
    struct request_recipe recipe;
};

struct request_reader {
    struct request_info info;
    struct request_fault fault;
    struct json_scan scan;
    struct request_shape shape; /* of messages or system */
    bool failed;
    unsigned seen; /* known members, a bit each */
    int member; /* the known member being read, or -1 */
    bool kept_any; /* a member that stays was seen */
    bool cut_open; /* the last cut waits for the comma behind it */
    uint64_t message_key; /* spans of the shorthand's member */
    uint64_t message_key_end;
    uint64_t message_value;
    uint64_t message_value_end;
    uint64_t model_value;
    uint64_t model_value_end;
    uint64_t cuts[REQUEST_CUTS_MAX][2]; /* start, end of what is cut */
    size_t cut_count;
    char default_model[REQUEST_MODEL_MAX + 1];
};

/*
 * default_model: for requests that name none (job_model_is_valid).
 * The struct must not be moved afterwards. It has about 5 KB; the only heap
 * is what is captured of small members (bounded by OPTIONS_JSON_MAX).
 */
void request_reader_init(
    struct request_reader *reader, const char *default_model);
void request_reader_clear(struct request_reader *reader);
/* The body's next bytes. 0, or -1 with reader->fault set; every further
 * call then fails too. */
int request_reader_feed(
    struct request_reader *reader, const void *data, size_t len) MUST_CHECK;
/* The body is complete. 0 and reader->info is valid, or -1 as above. */
int request_reader_finish(struct request_reader *reader) MUST_CHECK;

#endif
