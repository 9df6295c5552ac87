#include "worker/governor.h"

#include <assert.h>
#include <string.h>

#include "common/base/memory.h"
#include "common/base/text.h"
#include "worker/governor_private.h"

/* What is reserved for an answer before any of its kind was seen. */
#define OUTPUT_GUESS_TOKENS 1024
/* What refills within this is asked for together. */
#define ASK_MS 100
/* One that waits longer asks anyway before the others forget it (WANT_MS in
 * _quota.lua), and learns early that there is more room. */
#define ASK_AGAIN_MS 500
#define SAMPLES_PLAIN 20 /* that count alike; then the newest counts a bit */
#define MEAN_WEIGHT 0.05
/* Calls that go ahead while nothing is known of the limits. */
#define SCOUTS 4

/* --- scopes and habits ------------------------------------------------ */

struct governor *
governor_new(void)
{
    return memory_zalloc(1, sizeof(struct governor));
}

void
governor_free(struct governor *governor)
{
    if (governor == NULL)
        return;
    for (size_t i = 0; i < governor->count; i++)
        memory_free(governor->scopes[i]);
    for (size_t i = 0; i < governor->habit_count; i++)
        memory_free(governor->habits[i]);
    memory_free(governor);
}

struct scope *
governor_find(const struct governor *governor, const char *name)
{
    for (size_t i = 0; i < governor->count; i++) {
        if (strcmp(governor->scopes[i]->name, name) == 0)
            return governor->scopes[i];
    }
    return NULL;
}

bool
governor_has(const struct governor *governor, const char *scope)
{
    return governor_find(governor, scope) != NULL;
}

void
governor_add(struct governor *governor, const char *name,
    const struct governor_limits *limits, double factor)
{
    struct scope *scope;

    if (governor->count == GOVERNOR_SCOPES_MAX || governor_has(governor, name))
        return;
    scope = memory_zalloc(1, sizeof(*scope));
    governor->scopes[governor->count++] = scope;
    text_copy(scope->name, sizeof(scope->name), slice_of(name));
    scope->limits = *limits;
    scope->rates = prompt_rates_guess(factor);
    scope->cached_share = 1;
    scope->brake = 1;
    scope->heard = governor_no_headers();
    scope->burst_ms = GOVERNOR_BURST_MS;
    scope->burst_told_ms = -1;
    scope->ramp_ms = -1;
    scope->report_ms = INT64_MIN / 2;
    for (unsigned kind = 0; kind < QUOTA_KINDS; kind++) {
        scope->told[kind] = (struct told){
            .limit = -1, .remaining = -1, .asked = -1, .slack = 1};
        scope->per_min[kind] = -1;
        scope->wanted[kind] = -1;
    }
}

static struct habit *
habit_of(struct governor *governor, const char *scope, const char *queue_name)
{
    struct habit *habit;
    const struct scope *owner = governor_find(governor, scope);

    for (size_t i = 0; i < governor->habit_count; i++) {
        habit = governor->habits[i];
        if (strcmp(habit->queue, queue_name) == 0 &&
            strcmp(habit->scope, scope) == 0)
            return habit;
    }
    if (governor->habit_count == GOVERNOR_QUEUES_MAX)
        return governor->habits[GOVERNOR_QUEUES_MAX - 1];
    habit = memory_zalloc(1, sizeof(*habit));
    governor->habits[governor->habit_count++] = habit;
    habit->scope = owner != NULL ? owner->name : "";
    text_copy(habit->queue, sizeof(habit->queue), slice_of(queue_name));
    habit->output = OUTPUT_GUESS_TOKENS;
    return habit;
}

/* --- before a claim ----------------------------------------------------- */

bool
governor_is_scouting(const struct scope *scope)
{
    for (unsigned kind = 0; kind < QUOTA_KINDS; kind++) {
        if (scope->per_min[kind] >= 0 || scope->limits.per_min[kind] > 0)
            return false;
    }
    return true;
}

bool
governor_is_news(const struct governor *governor, const char *name)
{
    const struct scope *scope = governor_find(governor, name);

    return scope != NULL && scope->answered && governor_is_scouting(scope);
}

unsigned
governor_room(struct governor *governor, const char *name,
    const char *queue_name, int64_t now_ms, unsigned want, int64_t *wait_ms)
{
    struct scope *scope = governor_find(governor, name);
    const struct habit *habit = habit_of(governor, name, queue_name);

    *wait_ms = GOVERNOR_REPORT_MS;
    if (scope == NULL)
        return want;
    if (!scope->synced)
        return 0;
    if (habit->ask_ms > now_ms) {
        *wait_ms = habit->ask_ms - now_ms;
        return 0;
    }
    if (governor_is_scouting(scope))
        return scope->running >= SCOUTS      ? 0
            : want < SCOUTS - scope->running ? want
                                             : SCOUTS - scope->running;
    return want;
}

void
governor_quota(struct governor *governor, const char *name,
    const char *queue_name, struct queue_quota *quota)
{
    const struct scope *scope = governor_find(governor, name);

    memset(quota, 0, sizeof(*quota));
    quota->scope = name;
    quota->output_each =
        (int64_t)habit_of(governor, name, queue_name)->output + 1;
    quota->cached_share = 1;
    if (scope == NULL)
        return;
    quota->rates = scope->rates;
    quota->cached_share = scope->cached_share;
}

void
governor_lacking(struct governor *governor, const char *name,
    const char *queue_name, int64_t now_ms, int64_t wait_ms)
{
    if (wait_ms > ASK_AGAIN_MS)
        wait_ms = ASK_AGAIN_MS;
    habit_of(governor, name, queue_name)->ask_ms =
        now_ms + (wait_ms > ASK_MS ? wait_ms : ASK_MS);
}

static bool
has_limit(const struct scope *scope)
{
    for (unsigned kind = 0; kind < QUOTA_KINDS; kind++) {
        if (scope->per_min[kind] > 0)
            return true;
    }
    return false;
}

/* --- calls -------------------------------------------------------------- */

void
governor_start(struct governor *governor, const char *name,
    struct governor_call *call, const struct queue_claim *claim)
{
    struct scope *scope = governor_find(governor, name);

    *call = (struct governor_call){
        .counted = true,
        .reserved = claim->reserved,
        .input = claim->input_reserved,
        .output = claim->output_reserved,
    };
    if (scope == NULL)
        return;
    /* Redis has lost the limits, or only just learnt them: ask. */
    if (!claim->reserved && claim->kind == QUEUE_CLAIM_RUN && has_limit(scope))
        scope->synced = false;
    scope->running++;
    scope->started++;
    scope->reserved[QUOTA_REQUESTS]++;
    scope->reserved[QUOTA_INPUT] += call->input;
    scope->reserved[QUOTA_OUTPUT] += call->output;
}

/* An answer that its max_tokens cut short tells only that such answers are
 * at least so long. */
static void
learn_output(struct habit *habit, const struct governor_call *call,
    const struct governor_usage *usage)
{
    double weight = habit->samples < SAMPLES_PLAIN
        ? 1.0 / (habit->samples + 1.0)
        : MEAN_WEIGHT;

    if (call->reserved && usage->output_tokens == call->output &&
        (double)call->output < habit->output)
        return;
    /* The first guess stays a part of the mean until there are a few. */
    habit->samples++;
    habit->output += (habit->samples < 3 ? weight / 2 : weight) *
        ((double)usage->output_tokens - habit->output);
}

/* What lies behind the last mark of caching is always paid for. */
static void
learn_cached(struct scope *scope, const struct prompt_mix *mix,
    const struct governor_usage *usage, double all)
{
    double before = all * mix->cached_ppm / 1e6;
    double paid = before - (double)usage->cached_tokens;

    if (before >= 1)
        scope->cached_share += MEAN_WEIGHT *
            ((paid > 0 ? paid / before : 0) - scope->cached_share);
}

static void
learn(struct scope *scope, const char *mix_text,
    const struct governor_usage *usage)
{
    struct prompt_mix mix;
    double all = (double)(usage->input_tokens + usage->cached_tokens);

    if (all <= 0 || prompt_mix_decode(slice_of(mix_text), &mix) != 0)
        return;
    prompt_rates_learn(&scope->rates, &mix, all);
    learn_cached(scope, &mix, usage, all);
}

void
governor_end(struct governor *governor, const char *name,
    const char *queue_name, struct governor_call *call, const char *mix,
    const struct governor_usage *usage)
{
    struct scope *scope = governor_find(governor, name);

    if (!call->counted)
        return;
    call->counted = false;
    if (scope == NULL)
        return;
    scope->running--;
    if (usage->use == GOVERNOR_USED) {
        learn_output(habit_of(governor, name, queue_name), call, usage);
        learn(scope, mix, usage);
    }
    if (!call->reserved || usage->use == GOVERNOR_UNKNOWN)
        return;
    if (usage->use == GOVERNOR_UNUSED)
        scope->used[QUOTA_REQUESTS]--;
    scope->used[QUOTA_INPUT] +=
        (usage->use == GOVERNOR_USED ? usage->input_tokens : 0) - call->input;
    scope->used[QUOTA_OUTPUT] +=
        (usage->use == GOVERNOR_USED ? usage->output_tokens : 0) - call->output;
}
