#ifndef LH_CLI_WATCH_H
#define LH_CLI_WATCH_H

/*
 * watch: when a program that ended is started again, and when one that does
 * not answer is taken for stuck. Pure: the caller's monotonic clock is an
 * argument.
 */

#include <stdbool.h>
#include <stdint.h>

#define WATCH_BACKOFF_FIRST_MS 200
#define WATCH_BACKOFF_MAX_MS 5000
/* Who lived so long is taken for healthy: the backoff begins anew. */
#define WATCH_HEALTHY_MS 60000

struct watch {
    unsigned failures; /* in a row */
    int64_t started_ms;
    int64_t heard_ms; /* the last answer, or what counts as one */
    int64_t tick_ms; /* the last look; 0: none yet */
};

/* The program was started. */
void watch_started(struct watch *watch, int64_t now_ms);
/* It answered. */
void watch_heard(struct watch *watch, int64_t now_ms);
/* It ended: returns after how many ms to start it again. */
int64_t watch_ended(struct watch *watch, int64_t now_ms);
/*
 * To be called about once a second while it runs. True when it did not
 * answer for limit_ms. Time in which nobody looked does not count, because
 * then it was the watcher that stood still.
 */
bool watch_is_stuck(struct watch *watch, int64_t now_ms, int64_t limit_ms);

#endif
