#ifndef LH_WORKER_PACE_H
#define LH_WORKER_PACE_H

/*
 * pace: carries what the governor has to report to Redis, and what the other
 * workers reported back, a few times a second while there is anything.
 */

struct pace;
struct worker;

struct pace *pace_new(struct worker *worker);
/* NULL is allowed. */
void pace_free(struct pace *pace);
/* There is something that should not wait for the next turn. */
void pace_soon(struct pace *pace);

#endif
