#ifndef LH_STORE_STORE_OPS_H
#define LH_STORE_STORE_OPS_H

/*
 * store_ops: what a result store must be able to do, for common/store only.
 * A back end works synchronously, on threads that store.c owns: one calls
 * `write`, others `read`, each with a reader of its own. It is handed
 * store_work items, the whole of a request and its reply; who asked and which
 * callback is due is no business of the back end's.
 */

#include "common/store/store.h"

enum store_work_kind {
    STORE_WORK_COMMIT,
    STORE_WORK_DELETE,
    STORE_WORK_DISCARD,
    STORE_WORK_FORGET_REQUEST,
    STORE_WORK_SWEEP,
    STORE_WORK_MARKER_SET,
    STORE_WORK_BATCH_PUT,
    STORE_WORK_BATCH_ERASE,
    STORE_WORK_GET, /* this and the following read */
    STORE_WORK_GET_IDEMPOTENT,
    STORE_WORK_LIST,
    STORE_WORK_MARKER_GET,
    STORE_WORK_BATCH_TALLY,
    STORE_WORK_BATCH_ROWS,
    STORE_WORK_BATCH_GET,
    STORE_WORK_BATCH_LIST,
    STORE_WORK_BATCH_REJECTS
};

struct store_list_query {
    struct store_filter filter; /* texts are owned */
    char before[ID_SIZE]; /* "": from the newest */
    unsigned limit;
};

/* A request about batches and its reply; see store_batch.c. */
struct store_batch_work {
    struct store_batch_query query; /* ROWS; its uuid is the work's text */
    struct store_batch_filter filter; /* LIST; texts are owned */
    char *tenant; /* of filter; GET by key: of the batch */
    char *run; /* of filter; GET by key: the key */
    char *cursor;
    int64_t claude_before_ms; /* GET when there is neither uuid nor key */
    int64_t ended_before_ms;
    struct bulk bulk; /* PUT; its rejected lines are the work's request */
    unsigned limit; /* ERASE */
    bool forget;
    /* the reply */
    struct bulk *bulks; /* GET, LIST: the work's count of them */
    size_t bulk_count;
    struct store_batch_row *rows; /* their answers are in the work's bytes */
    size_t *answer_ends; /* where each ends there */
    size_t row_count;
    struct bulk_tally tally;
};
struct store_work;
struct store_batch_work *store_batch_work_new(void);
void store_batch_work_free(struct store_batch_work *batch);
void store_batch_work_reset_reply(struct store_batch_work *batch);
/* Runs the callback of a work about batches. */
void store_batch_call_back(struct store_work *work);
void store_hand_to_writer(struct store *store, struct store_work *work);
void store_hand_to_reader(struct store *store, struct store_work *work);
/* For what reads much. */
void store_hand_to_bulk_reader(struct store *store, struct store_work *work);

/* One request and its reply. Everything in it is its own. */
struct store_work {
    struct store_work *next;
    enum store_work_kind kind;
    /* what is asked; which members count depends on the kind */
    char id[ID_SIZE];
    int generation;
    enum store_part part;
    struct job_result *result; /* COMMIT */
    struct buffer answer; /* COMMIT; the stored form after preparing */
    uint64_t answer_bytes; /* before compression */
    bool answer_zstd;
    struct buffer request; /* COMMIT */
    char *tenant; /* GET_IDEMPOTENT */
    char *text; /* its key, or MARKER_SET */
    struct store_list_query *list; /* LIST */
    struct store_batch_work *batch; /* of all about batches */
    int64_t finished_before_ms; /* SWEEP */
    int64_t dead_before_ms;
    unsigned limit;
    /* the reply */
    enum store_status status;
    struct job_result *rows; /* count of them, cleared one by one */
    size_t count;
    struct buffer bytes;
    unsigned swept;
    bool more;
    /* whose it is */
    union {
        store_on_status *on_status;
        store_on_row *on_row;
        void (*on_committed)(void *arg, enum store_status status,
            const struct job_result *existing);
        void (*on_rows)(void *arg, enum store_status status,
            const struct job_result *rows, size_t count);
        void (*on_swept)(
            void *arg, enum store_status status, unsigned count, bool more);
        void (*on_marker)(
            void *arg, enum store_status status, struct slice marker);
        void (*on_tally)(void *arg, enum store_status status,
            const struct bulk_tally *tally);
        void (*on_batch_rows)(void *arg, enum store_status status,
            const struct store_batch_row *rows, size_t count, bool more);
        store_on_batch *on_batch;
        void (*on_batches)(void *arg, enum store_status status,
            const struct bulk *batches, size_t count);
    } call;
    void *arg;
};

struct store_work *store_work_new(enum store_work_kind kind, void *arg);
void store_work_free(struct store_work *work);
/* Bytes it holds; groups are bounded by their sum. */
size_t store_work_bytes(const struct store_work *work);
/* Room for `count` rows in the reply, zeroed; earlier ones are cleared. */
struct job_result *store_work_rows(struct store_work *work, size_t count);
/* Back to an unanswered request. */
void store_work_reset_reply(struct store_work *work);

#define STORE_GROUP_ROWS 256
#define STORE_GROUP_BYTES ((size_t)64 << 20)

struct store_ops {
    /*
     * `where` is the URL behind its scheme. open_writer creates or migrates
     * the schema. Both return NULL with a line in error[size]; open_reader
     * succeeds when there is nothing to read yet.
     */
    void *(*open_writer)(const char *where, char *error, size_t size);
    void *(*open_reader)(const char *where, char *error, size_t size);
    /* Before write, outside its transaction: what takes time. */
    void (*prepare)(void *writer, struct store_work *work);
    /* All of the group in one durable transaction if it can be; sets the
     * reply of each. */
    void (*write)(void *writer, struct store_work **group, size_t count);
    /* When there was nothing to write for a while. */
    void (*idle)(void *writer);
    void (*read)(void *reader, struct store_work *work);
    void (*close_writer)(void *writer);
    void (*close_reader)(void *reader);
    /* Into out[size]: "SQLite 3.40.1, WAL, at PATH". */
    void (*describe)(const char *where, char *out, size_t size);
    void (*sizes)(
        const char *where, uint64_t *file_bytes, uint64_t *free_bytes);
};

extern const struct store_ops sqlite_store_ops;

#endif
