#include "tests/fake-claude/quota.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/base/clock.h"

static void
add_number(struct http_request *req, const char *what, const char *member,
    uint64_t value)
{
    char name[64];
    char text[24];
    (void)snprintf(
        name, sizeof(name), "anthropic-ratelimit-%s-%s", what, member);
    (void)snprintf(text, sizeof(text), "%" PRIu64, value);
    http_reply_header(req, name, text);
}

static void
add_view(struct http_request *req, const char *what,
    const struct limit_view *view, int64_t wall_ms)
{
    char name[64];
    char when[CLOCK_TEXT_SIZE];
    add_number(req, what, "limit", view->limit);
    add_number(req, what, "remaining", view->remaining);
    (void)snprintf(name, sizeof(name), "anthropic-ratelimit-%s-reset", what);
    clock_format_ms(wall_ms + view->full_in_ms, when);
    http_reply_header(req, name, when);
}

static uint64_t
thousands(uint64_t tokens)
{
    return (tokens + 500) / 1000 * 1000;
}

/* "tokens" shows input and output together, unless only one is limited. */
static struct limit_view
both(const struct limit_view *input, const struct limit_view *output)
{
    if (input->limit == 0 || output->limit == 0)
        return input->limit != 0 ? *input : *output;
    return (struct limit_view){
        .limit = input->limit + output->limit,
        .remaining = input->remaining + output->remaining,
        .full_in_ms = input->full_in_ms > output->full_in_ms
            ? input->full_in_ms
            : output->full_in_ms,
    };
}

void
quota_answer_headers(struct http_request *req, struct limits *limits)
{
    static const char *const names[LIMIT_KINDS] = {
        "requests", "input-tokens", "output-tokens"};
    struct limit_view views[LIMIT_KINDS];
    int64_t mono_ms = clock_mono_ms();
    int64_t wall_ms = clock_wall_ms();
    for (int i = 0; i < LIMIT_KINDS; i++) {
        limits_view(limits, (enum limit_kind)i, mono_ms, &views[i]);
        if (i != LIMIT_REQUESTS)
            views[i].remaining = thousands(views[i].remaining);
        if (views[i].limit != 0)
            add_view(req, names[i], &views[i], wall_ms);
    }
    struct limit_view tokens = both(&views[LIMIT_INPUT], &views[LIMIT_OUTPUT]);
    if (tokens.limit != 0)
        add_view(req, "tokens", &tokens, wall_ms);
}
