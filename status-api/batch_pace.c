#include "status-api/batch_pace.h"

#include <string.h>
#include <sys/queue.h>

#include "common/base/clock.h"
#include "status-api/eta.h"

#define REMEMBERED 256

struct seen {
    TAILQ_ENTRY(seen) link;
    char uuid[BATCH_UUID_SIZE]; /* "": free */
    struct eta eta;
};
TAILQ_HEAD(seen_list, seen);

struct batch_pace {
    struct seen_list list; /* the one looked at last first */
    struct seen seen[REMEMBERED];
};

struct batch_pace *
batch_pace_new(void)
{
    struct batch_pace *pace = memory_zalloc(1, sizeof(*pace));
    TAILQ_INIT(&pace->list);
    for (size_t i = 0; i < REMEMBERED; i++)
        TAILQ_INSERT_TAIL(&pace->list, &pace->seen[i], link);
    return pace;
}

void
batch_pace_free(struct batch_pace *pace)
{
    memory_free(pace);
}

/* A new one takes the place of the one not looked at for longest. */
static struct seen *
find(struct batch_pace *pace, const char *uuid)
{
    struct seen *seen;
    TAILQ_FOREACH(seen, &pace->list, link)
    {
        if (seen->uuid[0] == '\0' || strcmp(seen->uuid, uuid) == 0)
            break;
    }
    if (seen == NULL)
        seen = TAILQ_LAST(&pace->list, seen_list);
    TAILQ_REMOVE(&pace->list, seen, link);
    TAILQ_INSERT_HEAD(&pace->list, seen, link);
    if (strcmp(seen->uuid, uuid) != 0) {
        memset(&seen->eta, 0, sizeof(seen->eta));
        text_copy(seen->uuid, sizeof(seen->uuid), slice_of(uuid));
    }
    return seen;
}

void
batch_pace_estimate(struct batch_pace *pace, struct batch_view *view)
{
    if (view->state == BATCH_ENDED) {
        view->seconds_left = 0;
        return;
    }
    uint64_t done = batch_view_done(view);
    int64_t now = clock_mono_ms();
    struct seen *seen = find(pace, view->uuid);
    view->seconds_left = eta_seconds(&seen->eta, now, done,
        view->accepted - done, clock_wall_ms() - view->created_ms);
    eta_note(&seen->eta, now, done);
}
