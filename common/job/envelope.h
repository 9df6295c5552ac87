#ifndef LH_JOB_ENVELOPE_H
#define LH_JOB_ENVELOPE_H

/*
 * envelope: reads the body of POST /v1/messages/batches, {"requests":[...]},
 * while it arrives, and hands out the elements of the list one by one, so
 * that a body of 256 MB costs the memory of one element. The envelope is
 * proven to be well formed; an element is only known to begin and end with a
 * brace: what is inside is for the item's reader.
 *
 * Elements that are no objects, other members and repeated ones are faults,
 * as they are for Claude. The input may be cut at any byte; an element that
 * lies in one run of input is not copied. Offsets in messages count from the
 * body's first byte.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/net/json_scan.h"

#define ENVELOPE_MESSAGE_SIZE 256

enum envelope_status {
    ENVELOPE_MORE, /* the input is used up */
    ENVELOPE_ELEMENT, /* *element is whole */
    ENVELOPE_FAULT /* see status and message; so is every further call */
};

struct envelope {
    uint64_t count; /* elements begun so far */
    unsigned status; /* of the fault: 400 or 413 */
    char message[ENVELOPE_MESSAGE_SIZE];
    /* private */
    struct json_scan scan; /* sees {} in place of each element */
    uint64_t taken; /* bytes of the body so far */
    size_t max_bytes; /* of one element */
    uint64_t max_count;
    bool requests_next; /* the value of `requests` comes */
    bool in_requests;
    bool seen_requests;
    bool inside; /* an element */
    bool given; /* `held` was handed out and can be emptied */
    bool in_string;
    bool escaped;
    uint64_t depth; /* of brackets in the element */
    struct buffer held; /* what earlier runs had of the element */
};

/* The struct must not be moved afterwards. */
void envelope_init(
    struct envelope *envelope, size_t max_bytes, uint64_t max_count);
void envelope_clear(struct envelope *envelope);
/* Takes from the front of *in up to the end of the next element. *element
 * lives until the next call, and as long as the bytes of *in do. */
enum envelope_status envelope_next(struct envelope *envelope, struct slice *in,
    struct slice *element) MUST_CHECK;
/* There is no more input: 0, or -1 when the body was not whole. */
int envelope_finish(struct envelope *envelope) MUST_CHECK;

#endif
