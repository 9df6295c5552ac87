#include "submitter/upload_pace.h"

#include <assert.h>

#include "common/base/clock.h"
#include "submitter/upload.h"

static bool
has_ready(const struct submitter *owner)
{
    const struct upload *upload = owner->uploads;
    while (upload != NULL && !upload_is_ready(upload))
        upload = upload->next;
    return upload != NULL;
}

/* The first of them fills it when it can; the next begins the next one. */
static void
send_group(struct submitter *owner, struct queue *queue)
{
    struct upload_pace *pace = &owner->upload_pace;
    bool shared = upload_pace_is_shared(owner);
    unsigned count = shared ? UPLOAD_GROUP_SHARED : UPLOAD_GROUP_QUIET;
    size_t bytes =
        shared ? UPLOAD_GROUP_SHARED_BYTES : UPLOAD_GROUP_QUIET_BYTES;
    struct upload *first = pace->next != NULL ? pace->next : owner->uploads;
    struct upload *upload = first;
    size_t sent = 0;
    evtimer_del(pace->timer);
    do {
        while (pace->due < count && sent < bytes && upload_is_ready(upload)) {
            size_t cost = upload_send_next(upload, queue);
            pace->due += cost > 0;
            sent += cost;
        }
        upload = upload->next != NULL ? upload->next : owner->uploads;
    } while (upload != first && pace->due < count && sent < bytes);
    pace->next = upload;
}

/* Until a group that is ready now leaves alone. */
static int64_t
wait_us(const struct submitter *owner)
{
    if (upload_pace_is_shared(owner))
        return UPLOAD_GROUP_WAIT_US;
    return owner->upload_pace.answered_us + UPLOAD_GROUP_REST_US -
        clock_mono_us();
}

static void
on_timer(evutil_socket_t fd, short events, void *arg)
{
    struct submitter *owner = arg;
    (void)fd;
    (void)events;
    if (owner->upload_pace.due == 0 && has_ready(owner))
        send_group(owner, owner->bulk.queue);
}

bool
upload_pace_is_shared(const struct submitter *owner)
{
    int64_t submit_us = owner->upload_pace.submit_us;
    return submit_us != 0 && clock_mono_us() - submit_us < UPLOAD_SHARED_US;
}

void
upload_pace_offer(struct submitter *owner)
{
    struct upload_pace *pace = &owner->upload_pace;
    if (pace->due > 0 || evtimer_pending(pace->timer, NULL) ||
        !has_ready(owner))
        return;
    struct timeval wait = {0, wait_us(owner)};
    if (wait.tv_usec > 0)
        evtimer_add(pace->timer, &wait);
    else
        send_group(owner, owner->bulk.queue);
}

void
upload_pace_ride(struct submitter *owner, struct queue *queue)
{
    struct upload_pace *pace = &owner->upload_pace;
    int64_t now_us = clock_mono_us();
    pace->submit_us = now_us;
    if (pace->due == 0 && now_us - pace->answered_us >= UPLOAD_GROUP_RIDE_US &&
        has_ready(owner))
        send_group(owner, queue);
}

void
upload_pace_answered(struct submitter *owner)
{
    struct upload_pace *pace = &owner->upload_pace;
    assert(pace->due > 0);
    if (--pace->due > 0)
        return;
    pace->answered_us = clock_mono_us();
    upload_pace_offer(owner);
}

void
upload_pace_forget(struct submitter *owner, const struct upload *upload)
{
    if (owner->upload_pace.next == upload)
        owner->upload_pace.next = NULL;
}

void
upload_pace_init(struct submitter *owner)
{
    owner->upload_pace.timer =
        evtimer_new(owner->service->base, on_timer, owner);
}

void
upload_pace_clear(struct submitter *owner)
{
    event_free(owner->upload_pace.timer);
}
