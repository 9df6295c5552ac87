#include <stdio.h>
#include <string.h>

#include "common/base/id.h"
#include "common/base/log.h"
#include "common/queue/queue.h"
#include "common/service/config.h"
#include "common/service/service_private.h"
#include "common/store/store.h"

/*
 * Redis and the store carry the same marker "<uuid> real" or "<uuid>
 * simulated". Redis is asked after every connect, then the store; a program
 * with SERVICE_MARKER makes what is missing, in Redis first: when it dies in
 * between, the next one completes the store. The other order would look
 * like a Redis that lost its data.
 */

#define AGAIN_MS 1000
/* A Redis can lose its data without losing a connection (FLUSHALL), and not
 * every program asks it for something that would show this. */
#define LOOK_MS 2000
#define MARKER_MAX (ID_UUID_LEN + 16)

static void ask_redis(struct service *service);

const char *
service_marker_problem(const struct service *service)
{
    switch (service->state->marker_state) {
    case SERVICE_MARKER_OK: return NULL;
    case SERVICE_MARKER_UNKNOWN:
        return "the installation's marker has not been read yet";
    case SERVICE_MARKER_ABSENT:
        return "this Redis has no installation marker: no worker has "
               "started here yet";
    case SERVICE_MARKER_LOST:
        return "Redis came back without its data (the result store knows "
               "an installation, Redis does not): bring the data back, or "
               "set accept_empty_redis to go on without the jobs that were "
               "in flight";
    case SERVICE_MARKER_DIFFERENT:
        return "Redis and the result store belong to different "
               "installations";
    case SERVICE_MARKER_MODE: break;
    }
    return "simulated and real results must not be mixed: this "
           "installation is of the other kind";
}

static void
schedule(struct service *service, int ms)
{
    struct timeval delay = {ms / 1000, (ms % 1000) * 1000};
    evtimer_add(service->state->marker_timer, &delay);
}

/* The end of a round. */
static void
conclude(struct service *service, enum service_marker_state marker_state)
{
    struct service_state *state = service->state;
    bool changed = state->marker_state != marker_state;
    state->marker_state = marker_state;
    state->marker_asked = false;
    memory_free(service->marker);
    service->marker = NULL;
    if (marker_state == SERVICE_MARKER_OK)
        service->marker = memory_dup(state->redis_marker);
    if (changed && marker_state == SERVICE_MARKER_OK)
        log_info("installation", LOG_TEXT("marker", service->marker));
    else if (changed && marker_state == SERVICE_MARKER_ABSENT)
        log_warn("marker_missing",
            LOG_TEXT("reason", service_marker_problem(service)));
    else if (changed && marker_state != SERVICE_MARKER_UNKNOWN)
        log_error("marker_refused",
            LOG_TEXT("reason", service_marker_problem(service)));
    bool soon = state->marker_again || marker_state != SERVICE_MARKER_OK;
    state->marker_again = false;
    state->marker_twice = false;
    schedule(service, soon ? AGAIN_MS : LOOK_MS);
    /* Nothing mends this while the process runs with this setting. */
    if (marker_state == SERVICE_MARKER_MODE)
        service_abort(service, SERVICE_EXIT_ERROR);
}

static bool
mode_fits(const struct service *service, const char *marker)
{
    if ((service->program->needs & SERVICE_MARKER) == 0)
        return true;
    const char *mode = strchr(marker, ' ');
    return mode != NULL &&
        strcmp(mode + 1, service->config->simulated ? "simulated" : "real") ==
        0;
}

/* Something was set, or somebody else was faster: read both again. */
static void
read_again(struct service *service)
{
    service->state->marker_asked = false;
    ask_redis(service);
}

static void
on_store_set(void *arg, enum store_status status)
{
    struct service *service = arg;
    if (status == STORE_OK)
        conclude(service, SERVICE_MARKER_OK);
    else if (status == STORE_EXISTS)
        conclude(service, SERVICE_MARKER_DIFFERENT);
    else
        conclude(service, SERVICE_MARKER_UNKNOWN);
}

static void
on_redis_set(void *arg, enum queue_status status)
{
    struct service *service = arg;
    if (status == QUEUE_OK || status == QUEUE_CONFLICT)
        read_again(service);
    else
        conclude(service, SERVICE_MARKER_UNKNOWN);
}

static void
set_in_redis(struct service *service, const char *marker)
{
    if (queue_marker_set(service->queue, marker, on_redis_set, service) != 0)
        conclude(service, SERVICE_MARKER_UNKNOWN);
}

static void
make_marker(struct service *service)
{
    char uuid[ID_SIZE];
    char marker[ID_SIZE + 16];
    id_make("", uuid);
    snprintf(marker, sizeof(marker), "%s %s", uuid,
        service->config->simulated ? "simulated" : "real");
    set_in_redis(service, marker);
}

/*
 * Redis has none. `kept` is the store's, or "". Between the two questions
 * another worker may have set both, so a loss is believed only when Redis,
 * asked after the store, has none either.
 */
static void
handle_absent(struct service *service, const char *kept)
{
    bool maker = (service->program->needs & SERVICE_MARKER) != 0;
    if (kept[0] == '\0' && maker) {
        make_marker(service);
    } else if (kept[0] == '\0') {
        conclude(service, SERVICE_MARKER_ABSENT);
    } else if (!service->state->marker_twice) {
        service->state->marker_twice = true;
        read_again(service);
    } else if (maker && service->config->accept_empty_redis) {
        set_in_redis(service, kept);
    } else {
        conclude(service, SERVICE_MARKER_LOST);
    }
}

static void
decide(struct service *service, const char *kept)
{
    const char *marker = service->state->redis_marker;
    bool maker = (service->program->needs & SERVICE_MARKER) != 0;
    if (marker[0] == '\0')
        handle_absent(service, kept);
    else if (kept[0] != '\0' && strcmp(kept, marker) != 0)
        conclude(service, SERVICE_MARKER_DIFFERENT);
    else if (!mode_fits(service, marker))
        conclude(service, SERVICE_MARKER_MODE);
    else if (kept[0] == '\0' && maker && service->store != NULL)
        store_marker_set(service->store, marker, on_store_set, service);
    else
        conclude(service, SERVICE_MARKER_OK);
}

static void
on_store_marker(void *arg, enum store_status status, struct slice marker)
{
    struct service *service = arg;
    char kept[MARKER_MAX];
    if (status == STORE_ABSENT)
        marker = SLICE_NULL;
    if (status != STORE_OK && status != STORE_ABSENT) {
        conclude(service, SERVICE_MARKER_UNKNOWN);
        return;
    }
    text_copy(kept, sizeof(kept), marker);
    decide(service, kept);
}

/* A look that found what was there at the last one. */
static bool
is_known(const struct service *service)
{
    const struct service_state *state = service->state;
    return state->marker_state == SERVICE_MARKER_OK &&
        strcmp(state->redis_marker, service->marker) == 0;
}

static void
on_redis_marker(void *arg, enum queue_status status, struct slice marker)
{
    struct service *service = arg;
    struct service_state *state = service->state;
    if (status == QUEUE_ABSENT)
        marker = SLICE_NULL;
    if ((status != QUEUE_OK && status != QUEUE_ABSENT) ||
        marker.len >= MARKER_MAX) {
        conclude(service, SERVICE_MARKER_UNKNOWN);
        return;
    }
    memory_free(state->redis_marker);
    state->redis_marker =
        memory_dup_bytes(marker.len > 0 ? marker.data : "", marker.len);
    if (is_known(service))
        conclude(service, SERVICE_MARKER_OK);
    else if (service->store != NULL)
        store_marker_get(service->store, on_store_marker, service);
    else
        decide(service, "");
}

static void
ask_redis(struct service *service)
{
    if (service->state->marker_asked) {
        service->state->marker_again = true;
        return;
    }
    if (service->queue == NULL)
        return;
    if (queue_marker_get(service->queue, on_redis_marker, service) == 0)
        service->state->marker_asked = true;
}

static void
on_timer(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    ask_redis(arg);
}

/* Another connection may be another Redis: nothing is known until asked. */
void
service_on_redis_state(void *arg, enum redis_state redis_state)
{
    struct service *service = arg;
    if (redis_state == REDIS_READY && service->state->marker_timer != NULL)
        schedule(service, 0);
    else if (redis_state != REDIS_READY)
        service->state->marker_state = SERVICE_MARKER_UNKNOWN;
}

void
service_marker_refresh(struct service *service)
{
    ask_redis(service);
}

void
service_marker_start(struct service *service)
{
    service->state->marker_timer =
        evtimer_new(service->base, on_timer, service);
    if (redis_get_state(service->redis) == REDIS_READY)
        schedule(service, 0);
}

void
service_marker_stop(struct service *service)
{
    struct service_state *state = service->state;
    if (state->marker_timer != NULL)
        event_free(state->marker_timer);
    state->marker_timer = NULL;
    memory_free(state->redis_marker);
    state->redis_marker = NULL;
}
