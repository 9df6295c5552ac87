#ifndef LH_SUBMITTER_UPLOAD_PACE_H
#define LH_SUBMITTER_UPLOAD_PACE_H

/*
 * upload_pace: when what uploads have ready goes to Redis, so that those who
 * submit and poll beside them notice little of it.
 *
 * Redis answers nobody, not even who only reads, while it runs what has come
 * in and writes it to the disk. So uploads send in groups, one at a time for
 * all of them together, and a rest lies between two:
 *
 *   quiet   nobody has submitted for a while: large groups, short rests
 *   shared  somebody does: a group is small, and it leaves with a submit,
 *           which has Redis write to the disk anyway. Only when none comes
 *           for some milliseconds does it leave alone
 *
 * Of those who only poll nothing is known here; for them there is the rest.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event;
struct queue;
struct submitter;
struct upload;

/* After a submit it is shared for so long. */
#define UPLOAD_SHARED_US (INT64_C(200) * 1000)
/* Quiet: from the last answer to a group until the next leaves. */
#define UPLOAD_GROUP_REST_US 800
/* Shared: what is ready waits so long for a submit to go with. */
#define UPLOAD_GROUP_WAIT_US 10000
/* And from the last answer until one may: many submits, few groups. */
#define UPLOAD_GROUP_RIDE_US 2500
/* Of one group: 30 us of Redis a small request; of a long one a part. */
#define UPLOAD_GROUP_QUIET 32
#define UPLOAD_GROUP_QUIET_BYTES ((size_t)64 << 10)
#define UPLOAD_GROUP_SHARED 6
#define UPLOAD_GROUP_SHARED_BYTES ((size_t)20 << 10)

/* Of all uploads of a submitter. */
struct upload_pace {
    struct event *timer; /* the next group leaves */
    struct upload *next; /* whose turn it is; NULL: the first of all */
    unsigned due; /* of the group that is on its way: not answered */
    int64_t answered_us; /* monotonic; the last answer to a group */
    int64_t submit_us; /* the last submit, 0: never */
};

void upload_pace_init(struct submitter *owner);
/* Callbacks that are due have run. */
void upload_pace_clear(struct submitter *owner);
/* Whether somebody submits at this time. */
bool upload_pace_is_shared(const struct submitter *owner);
/* A submit is on its way to Redis; a group may go with it. */
void upload_pace_ride(struct submitter *owner, struct queue *queue);
/* An upload has something ready. */
void upload_pace_offer(struct submitter *owner);
/* Redis has answered to one thing of the group, or never will. */
void upload_pace_answered(struct submitter *owner);
/* The upload is about to be freed. */
void upload_pace_forget(struct submitter *owner, const struct upload *upload);

#endif
