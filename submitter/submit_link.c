#include "common/net/redis.h"
#include "common/service/config.h"
#include "submitter/submit.h"

void
submit_open_links(struct submitter *submitter)
{
    const struct config *config = submitter->service->config;
    struct redis_options options = {.url = config->redis_url,
        .password_file = config->redis_password_file,
        .quiet = true};
    for (size_t i = 0; i < SUBMIT_LINKS; i++) {
        struct submit_link *link = &submitter->links[i];
        link->redis = redis_new(submitter->service->base, &options);
        link->queue = queue_new(submitter->service->base, link->redis);
    }
}

void
submit_close_links(struct submitter *submitter)
{
    for (size_t i = 0; i < SUBMIT_LINKS; i++) {
        queue_free(submitter->links[i].queue);
        redis_free(submitter->links[i].redis);
    }
}

struct queue *
submit_pick_queue(const struct submitter *submitter)
{
    const struct service *service = submitter->service;
    struct queue *best = service->queue;
    unsigned least = redis_in_flight(service->redis);
    for (size_t i = 0; i < SUBMIT_LINKS && least > 0; i++) {
        const struct submit_link *link = &submitter->links[i];
        unsigned in_flight = redis_in_flight(link->redis);
        if (in_flight < least && redis_get_state(link->redis) == REDIS_READY) {
            best = link->queue;
            least = in_flight;
        }
    }
    return best;
}
