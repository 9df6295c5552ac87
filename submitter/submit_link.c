#include "common/net/redis.h"
#include "common/service/config.h"
#include "submitter/submit.h"

static void
open_link(struct submitter *submitter, const struct redis_options *options,
    struct submit_link *link)
{
    link->redis = redis_new(submitter->service->base, options);
    link->queue = queue_new(submitter->service->base, link->redis);
}

static void
close_link(struct submit_link *link)
{
    queue_free(link->queue);
    redis_free(link->redis);
}

void
submit_open_links(struct submitter *submitter)
{
    const struct config *config = submitter->service->config;
    struct redis_options options = {.url = config->redis_url,
        .password_file = config->redis_password_file,
        .quiet = true};
    for (size_t i = 0; i < SUBMIT_LINKS; i++)
        open_link(submitter, &options, &submitter->links[i]);
    open_link(submitter, &options, &submitter->bulk);
}

void
submit_close_links(struct submitter *submitter)
{
    for (size_t i = 0; i < SUBMIT_LINKS; i++)
        close_link(&submitter->links[i]);
    close_link(&submitter->bulk);
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
