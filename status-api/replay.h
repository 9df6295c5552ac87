#ifndef LH_STATUS_API_REPLAY_H
#define LH_STATUS_API_REPLAY_H

/*
 * replay: gives one dead letter another life. Its request is read from the
 * store, staged in parts when it is large, and one script does the rest:
 * generation + 1 under the same id. May be done twice: the second finds no
 * dead letter.
 */

#include <stdint.h>

struct status;

enum replay_outcome {
    REPLAY_DONE,
    REPLAY_ABSENT, /* no such dead letter (any more) */
    REPLAY_UNREADABLE, /* its request is not in the store as it should be */
    REPLAY_LATER /* Redis or the store does not answer or is full */
};

/* generation -1: the newest. on_done runs exactly once, from the loop and
 * never before the call returned. */
void replay_start(struct status *status, const char *id, int generation,
    void (*on_done)(void *arg, enum replay_outcome outcome), void *arg);

#endif
