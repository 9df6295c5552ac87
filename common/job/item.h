#ifndef LH_JOB_ITEM_H
#define LH_JOB_ITEM_H

/*
 * item: the outer object of one request of a batch, which is either
 *
 *     {"custom_id":"row-1","params":{a Messages request},"longhaul":{...}}
 *
 * with `longhaul` left out by most, or a job as POST /v1/jobs takes it,
 * whose custom_id stands in its `longhaul` object. Which of both it is, and
 * whether what is missing matters, the caller says: this reader finds the
 * members and proves the JSON. The request itself is read by request.h.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/job/options.h"
#include "common/net/json_scan.h"

#define ITEM_MESSAGE_SIZE 256

enum item_custom_id {
    ITEM_CUSTOM_ID_ABSENT,
    ITEM_CUSTOM_ID_BAD, /* no text, or not of the right form */
    ITEM_CUSTOM_ID_GOOD
};

/* Valid after item_reader_finish() returned 0. */
struct item_info {
    enum item_custom_id custom_id_is;
    char custom_id[JOB_CUSTOM_ID_MAX + 1];
    enum json_kind params; /* JSON_KIND_NONE: there are none */
    uint64_t params_start; /* in the item */
    uint64_t params_end;
    enum json_kind options; /* of `longhaul` */
    /* A member that is none of the three, or "": printable or "?". */
    char unknown[JSON_KEY_MAX + 1];
};

struct item_reader {
    struct item_info info;
    char message[ITEM_MESSAGE_SIZE]; /* what is wrong */
    /* private */
    struct json_scan scan;
    bool failed;
    unsigned seen;
    int member;
    struct buffer options; /* `longhaul` as written */
};

/* The struct must not be moved afterwards. */
void item_reader_init(struct item_reader *reader);
void item_reader_clear(struct item_reader *reader);
/* The item's next bytes. 0, or -1 with reader->message set. */
int item_reader_feed(struct item_reader *reader, struct slice run) MUST_CHECK;
/* 0 and reader->info is valid, or -1 as above. A custom_id inside of
 * `longhaul` counts when the item has no params. */
int item_reader_finish(struct item_reader *reader) MUST_CHECK;
/* `longhaul` as it was written, empty without one or when it is no object;
 * lives as long as the reader. */
struct slice item_reader_options(const struct item_reader *reader);

#endif
