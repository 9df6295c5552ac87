#include "common/store/store_lane.h"

#include <assert.h>
#include <signal.h>
#include <sys/resource.h>
#include <time.h>

#define IDLE_SECONDS 1

struct store_lane {
    struct store_lane_work how;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct store_work *first; /* under lock, as all that follows */
    struct store_work **last;
    size_t length;
    bool stop;
};

/* False when a second passed without work. */
static bool
wait_for_work(struct store_lane *lane, bool with_limit)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += IDLE_SECONDS;
    while (lane->first == NULL && !lane->stop) {
        if (!with_limit)
            pthread_cond_wait(&lane->wake, &lane->lock);
        else if (pthread_cond_timedwait(&lane->wake, &lane->lock, &until) != 0)
            return lane->first != NULL || lane->stop;
    }
    return true;
}

/*
 * Where work comes thick, a moment more of it shares the group's costs: with
 * ten rows a commit, a third of the work is the commit itself. Slept without
 * the lock, so that arrivals wake nobody.
 */
static void
linger(struct store_lane *lane, size_t last_count)
{
    struct timespec wait = {0, (long)lane->how.linger_us * 1000};
    if (last_count < 2 || lane->length >= lane->how.max_group || lane->stop)
        return;
    pthread_mutex_unlock(&lane->lock);
    (void)nanosleep(&wait, NULL);
    pthread_mutex_lock(&lane->lock);
}

static size_t
take_group(struct store_lane *lane, struct store_work **group)
{
    size_t count = 0, bytes = 0;
    while (lane->first != NULL && count < lane->how.max_group) {
        bytes += store_work_bytes(lane->first);
        if (count > 0 && bytes > STORE_GROUP_BYTES)
            break;
        group[count++] = lane->first;
        lane->first = lane->first->next;
    }
    if (lane->first == NULL)
        lane->last = &lane->first;
    lane->length -= count;
    return count;
}

static void *
lane_main(void *arg)
{
    struct store_lane *lane = arg;
    struct store_work *group[STORE_GROUP_ROWS];
    bool idle_due = false;
    size_t count = 0;
    /* On Linux this is the thread's own; where it fails nothing is lost. */
    if (lane->how.nice != 0)
        (void)setpriority(PRIO_PROCESS, 0, lane->how.nice);
    for (;;) {
        pthread_mutex_lock(&lane->lock);
        bool woken = wait_for_work(lane, idle_due);
        if (woken && lane->how.linger_us > 0)
            linger(lane, count);
        count = take_group(lane, group);
        bool end = lane->stop && count == 0;
        pthread_mutex_unlock(&lane->lock);
        if (end)
            return NULL;
        if (!woken) {
            lane->how.idle(lane->how.arg);
            idle_due = false;
            continue;
        }
        lane->how.run(lane->how.arg, group, count);
        lane->how.done(lane->how.done_arg, group, count);
        idle_due = lane->how.idle != NULL;
    }
}

struct store_lane *
store_lane_start(const struct store_lane_work *how)
{
    struct store_lane *lane = memory_zalloc(1, sizeof(*lane));
    pthread_condattr_t attr;
    sigset_t all, before;
    assert(how->max_group > 0 && how->max_group <= STORE_GROUP_ROWS);
    lane->how = *how;
    lane->last = &lane->first;
    pthread_mutex_init(&lane->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&lane->wake, &attr);
    pthread_condattr_destroy(&attr);
    /* Signals are for the loop's thread. */
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int status = pthread_create(&lane->thread, NULL, lane_main, lane);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    assert(status == 0);
    return lane;
}

void
store_lane_put(struct store_lane *lane, struct store_work *work)
{
    work->next = NULL;
    pthread_mutex_lock(&lane->lock);
    *lane->last = work;
    lane->last = &work->next;
    lane->length++;
    pthread_cond_signal(&lane->wake);
    pthread_mutex_unlock(&lane->lock);
}

size_t
store_lane_length(struct store_lane *lane)
{
    pthread_mutex_lock(&lane->lock);
    size_t length = lane->length;
    pthread_mutex_unlock(&lane->lock);
    return length;
}

void
store_lane_stop(struct store_lane *lane)
{
    if (lane == NULL)
        return;
    pthread_mutex_lock(&lane->lock);
    lane->stop = true;
    pthread_cond_signal(&lane->wake);
    pthread_mutex_unlock(&lane->lock);
    pthread_join(lane->thread, NULL);
    assert(lane->first == NULL);
    pthread_cond_destroy(&lane->wake);
    pthread_mutex_destroy(&lane->lock);
    memory_free(lane);
}
