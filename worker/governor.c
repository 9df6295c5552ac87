#include "worker/governor.h"

#include <assert.h>
#include <string.h>

#include "common/base/memory.h"
#include "common/base/text.h"

#define SCOPE_MAX (JOB_BUCKET_MAX + 80)
#define QUEUES_MAX 1024
/* What is reserved for an answer before any of its kind was seen. */
#define OUTPUT_GUESS_TOKENS 1024
/* What refills within this is asked for together. */
#define ASK_MS 100
#define SAMPLES_PLAIN 20 /* that count alike; then the newest counts a bit */
#define MEAN_WEIGHT 0.05
/* Calls that go ahead while nothing is known of the limits. */
#define SCOUTS 4
/* The refill that fits into our buckets; less after a refusal. */
#define BURST_MS 600
#define BURST_MIN_MS 200
#define BURST_GROWS_MS 60000
#define RAMP_MS 60000
/* Headers older than this say nothing about now. */
#define HEARD_MS 3000
/* Token counts in headers are rounded to thousands. */
#define CAPACITY_TOLD_MIN 4000
#define CAPACITY_TOLD_MIN_REQUESTS 4
#define BRAKE_MIN 0.05
/* Without headers: from the pace at which we were refused. */
#define GUESS_SHARE 0.8
#define GUESS_GROWS_MS 10000
#define GUESS_GROWTH 1.1
#define PACE_WINDOW_MS 10000
/* Answers without limits in a row, until none are believed in. */
#define BARE_MIN 50

/* What answers to a queue's jobs were like. */
struct habit {
    const char *scope;
    char queue[JOB_QUEUE_MAX + 1];
    double output;
    unsigned samples;
    int64_t ask_ms; /* not before: its next job has to wait */
};

/* What the headers told of one kind. */
struct told {
    int64_t limit; /* -1: never */
    int64_t remaining;
    int64_t capacity; /* the most that ever remained under this limit */
    int64_t at_ms; /* of `remaining` */
};

struct scope {
    char name[SCOPE_MAX];
    struct governor_limits limits;
    struct prompt_rates rates;
    double cached_share;
    struct told told[QUOTA_KINDS];
    bool answered; /* by Claude, in whatever way */
    unsigned bare; /* answers in a row that told no limit */
    bool synced; /* the shared state is known */
    bool reporting;
    bool empty; /* to be reported */
    int64_t report_ms; /* the last one */
    int64_t used[QUOTA_KINDS]; /* to be reported */
    int64_t per_min[QUOTA_KINDS]; /* as shared; -1 nobody knows */
    int64_t wanted[QUOTA_KINDS]; /* as it should be; -1 not known */
    int64_t level[QUOTA_KINDS]; /* as shared, at report_ms */
    int64_t burst_ms; /* as it should be */
    int64_t burst_told_ms; /* as shared by us; -1 never */
    int64_t burst_at_ms; /* when it changed */
    int64_t ramp_ms; /* to be reported; -1 no */
    unsigned running;
    double brake;
    double guess; /* requests per minute without headers; 0 none */
    int64_t guess_at_ms;
    int64_t window_ms; /* when `started` began */
    unsigned started;
};

struct governor {
    size_t count;
    struct scope *scopes[GOVERNOR_SCOPES_MAX];
    size_t habit_count;
    struct habit *habits[QUEUES_MAX];
};

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

static struct scope *
find(const struct governor *governor, const char *name)
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
    return find(governor, scope) != NULL;
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
    scope->burst_ms = BURST_MS;
    scope->burst_told_ms = -1;
    scope->ramp_ms = -1;
    scope->report_ms = INT64_MIN / 2;
    for (unsigned kind = 0; kind < QUOTA_KINDS; kind++) {
        scope->told[kind] = (struct told){-1, -1, 0, 0};
        scope->per_min[kind] = -1;
        scope->wanted[kind] = -1;
    }
}

static struct habit *
habit_of(struct governor *governor, const char *scope, const char *queue_name)
{
    struct habit *habit;
    const struct scope *owner = find(governor, scope);

    for (size_t i = 0; i < governor->habit_count; i++) {
        habit = governor->habits[i];
        if (strcmp(habit->queue, queue_name) == 0 &&
            strcmp(habit->scope, scope) == 0)
            return habit;
    }
    if (governor->habit_count == QUEUES_MAX)
        return governor->habits[QUEUES_MAX - 1];
    habit = memory_zalloc(1, sizeof(*habit));
    governor->habits[governor->habit_count++] = habit;
    habit->scope = owner != NULL ? owner->name : "";
    text_copy(habit->queue, sizeof(habit->queue), slice_of(queue_name));
    habit->output = OUTPUT_GUESS_TOKENS;
    return habit;
}

/* --- headers ----------------------------------------------------------- */

struct governor_headers
governor_no_headers(void)
{
    return (struct governor_headers){{-1, -1, -1}, {-1, -1, -1}};
}

void
governor_read_header(struct governor_headers *headers, struct slice name,
    struct slice value)
{
    static const char *const kinds[QUOTA_KINDS] = {
        [QUOTA_REQUESTS] = "anthropic-ratelimit-requests-",
        [QUOTA_INPUT] = "anthropic-ratelimit-input-tokens-",
        [QUOTA_OUTPUT] = "anthropic-ratelimit-output-tokens-",
    };
    int64_t number;

    for (unsigned kind = 0; kind < QUOTA_KINDS; kind++) {
        size_t len = strlen(kinds[kind]);
        struct slice rest;

        if (name.len <= len ||
            !slice_equal_nocase(slice_make(name.data, len), kinds[kind]))
            continue;
        rest = slice_make(name.data + len, name.len - len);
        if (text_parse_i64(value, 0, INT64_C(1) << 50, &number) != 0)
            return;
        /* A limit of nothing would say that no request is ever allowed,
         * beside an answer to one: it means nothing. */
        if (slice_equal_nocase(rest, "limit") && number > 0)
            headers->limit[kind] = number;
        else if (slice_equal_nocase(rest, "remaining"))
            headers->remaining[kind] = number;
        return;
    }
}

static void
hear_kind(struct told *told, int64_t limit, int64_t remaining, int64_t now_ms)
{
    if (limit > 0 && limit != told->limit) {
        told->limit = limit;
        told->capacity = 0;
    }
    /* More than the limit remains? They contradict each other. */
    if (remaining < 0 || told->limit < 0 || remaining > told->limit)
        return;
    told->remaining = remaining;
    told->at_ms = now_ms;
    if (remaining > told->capacity)
        told->capacity = remaining;
}

void
governor_hear(struct governor *governor, const char *name,
    const struct governor_headers *headers, int64_t now_ms)
{
    struct scope *scope = find(governor, name);

    if (scope == NULL)
        return;
    scope->answered = true;
    scope->bare++;
    for (unsigned kind = 0; kind < QUOTA_KINDS; kind++)
        hear_kind(&scope->told[kind], headers->limit[kind],
            headers->remaining[kind], now_ms);
    for (unsigned kind = 0; kind < QUOTA_KINDS; kind++) {
        if (headers->limit[kind] > 0)
            scope->bare = 0;
    }
}

static bool
has_headers(const struct scope *scope)
{
    for (unsigned kind = 0; kind < QUOTA_KINDS; kind++) {
        if (scope->told[kind].limit > 0)
            return true;
    }
    return false;
}

void
governor_refused(
    struct governor *governor, const char *name, bool ramp, int64_t now_ms)
{
    struct scope *scope = find(governor, name);
    double pace;

    if (scope == NULL)
        return;
    scope->empty = true;
    if (ramp)
        scope->ramp_ms = RAMP_MS;
    if (scope->burst_ms > BURST_MIN_MS &&
        now_ms - scope->burst_at_ms >= GOVERNOR_REPORT_MS) {
        scope->burst_ms /= 2;
        scope->burst_at_ms = now_ms;
    }
    if (has_headers(scope) || scope->limits.per_min[QUOTA_REQUESTS] > 0 ||
        now_ms - scope->guess_at_ms < GUESS_GROWS_MS)
        return;
    pace = scope->started * 60000.0 /
        (double)(now_ms > scope->window_ms + 1000 ? now_ms - scope->window_ms
                                                  : 1000);
    if (scope->guess == 0 || pace < scope->guess)
        scope->guess = pace;
    scope->guess *= GUESS_SHARE;
    if (scope->guess < 1)
        scope->guess = 1;
    scope->guess_at_ms = now_ms;
}

/* --- limits ------------------------------------------------------------ */

/*
 * Claude's bucket holds more than ours, by at least the difference of what
 * fits, as long as only we take from it. What is missing there, others have
 * taken: the pace falls with it, so that it settles where both fit.
 */
static double
brake_of(const struct scope *scope, enum quota_kind kind, int64_t now_ms)
{
    const struct told *told = &scope->told[kind];
    int64_t least = kind == QUOTA_REQUESTS ? CAPACITY_TOLD_MIN_REQUESTS
                                           : CAPACITY_TOLD_MIN;
    double fits = (double)scope->per_min[kind] / 60000.0 *
        (double)scope->burst_ms;
    double between = (double)told->capacity - fits;
    double slack;

    if (scope->per_min[kind] <= 0 || told->capacity < least ||
        now_ms - told->at_ms > HEARD_MS || between <= 0)
        return 1;
    slack = ((double)told->remaining - (double)scope->level[kind]) /
        (between / 2);
    return slack >= 1 ? 1 : slack < BRAKE_MIN ? BRAKE_MIN : slack;
}

/* Requests, or tokens, per minute that we may use; -1: not known. */
static int64_t
limit_of(const struct scope *scope, enum quota_kind kind)
{
    int64_t configured = (int64_t)scope->limits.per_min[kind];
    int64_t told = scope->told[kind].limit;
    int64_t limit = configured;

    if (told > 0 && (configured == 0 || told < configured))
        limit = told;
    if (limit == 0 && kind == QUOTA_REQUESTS && scope->guess > 0)
        return (int64_t)scope->guess;
    if (limit == 0)
        return scope->answered ? 0 : -1;
    return limit;
}

static void
settle_limits(struct scope *scope, int64_t now_ms)
{
    double brake = 1;

    if (scope->burst_ms < BURST_MS &&
        now_ms - scope->burst_at_ms > BURST_GROWS_MS) {
        scope->burst_ms *= 2;
        scope->burst_at_ms = now_ms;
    }
    if (scope->guess > 0 && now_ms - scope->guess_at_ms > GUESS_GROWS_MS) {
        scope->guess *= GUESS_GROWTH;
        scope->guess_at_ms = now_ms;
    }
    for (unsigned kind = 0; kind < QUOTA_KINDS; kind++) {
        double mine = brake_of(scope, (enum quota_kind)kind, now_ms);

        brake = mine < brake ? mine : brake;
    }
    scope->brake = brake;
    for (unsigned kind = 0; kind < QUOTA_KINDS; kind++) {
        int64_t limit = limit_of(scope, (enum quota_kind)kind);
        double share = scope->limits.percent / 100.0 * brake;

        scope->wanted[kind] =
            limit <= 0 ? limit : (int64_t)((double)limit * share) + 1;
    }
}

/* --- before a claim ----------------------------------------------------- */

static bool
is_scouting(const struct scope *scope)
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
    const struct scope *scope = find(governor, name);

    return scope != NULL && scope->answered && is_scouting(scope);
}

unsigned
governor_room(struct governor *governor, const char *name,
    const char *queue_name, int64_t now_ms, unsigned want, int64_t *wait_ms)
{
    struct scope *scope = find(governor, name);
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
    if (is_scouting(scope))
        return scope->running >= SCOUTS ? 0
            : want < SCOUTS - scope->running ? want
                                             : SCOUTS - scope->running;
    return want;
}

void
governor_quota(struct governor *governor, const char *name,
    const char *queue_name, struct queue_quota *quota)
{
    const struct scope *scope = find(governor, name);

    memset(quota, 0, sizeof(*quota));
    quota->scope = name;
    quota->output_each = (int64_t)habit_of(governor, name, queue_name)->output + 1;
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
    habit_of(governor, name, queue_name)->ask_ms =
        now_ms + (wait_ms > ASK_MS ? wait_ms : ASK_MS);
}

/* --- calls -------------------------------------------------------------- */

void
governor_start(struct governor *governor, const char *name,
    struct governor_call *call, const struct queue_claim *claim)
{
    struct scope *scope = find(governor, name);

    *call = (struct governor_call){
        .counted = true,
        .reserved = claim->reserved,
        .input = claim->input_reserved,
        .output = claim->output_reserved,
    };
    if (scope != NULL) {
        scope->running++;
        scope->started++;
    }
}

static void
learn(struct scope *scope, struct habit *habit, const char *mix_text,
    const struct governor_usage *usage)
{
    struct prompt_mix mix;
    double weight =
        habit->samples < SAMPLES_PLAIN ? 1.0 / (habit->samples + 1.0)
                                       : MEAN_WEIGHT;
    double all = (double)(usage->input_tokens + usage->cached_tokens);

    /* The first guess stays a part of the mean until there are a few. */
    habit->samples++;
    habit->output += (habit->samples < 3 ? weight / 2 : weight) *
        ((double)usage->output_tokens - habit->output);
    if (all <= 0 || prompt_mix_decode(slice_of(mix_text), &mix) != 0)
        return;
    prompt_rates_learn(&scope->rates, &mix, all);
    if (mix.cached)
        scope->cached_share += MEAN_WEIGHT *
            ((double)usage->input_tokens / all - scope->cached_share);
}

void
governor_end(struct governor *governor, const char *name,
    const char *queue_name, struct governor_call *call, const char *mix,
    const struct governor_usage *usage)
{
    struct scope *scope = find(governor, name);

    if (!call->counted)
        return;
    call->counted = false;
    if (scope == NULL)
        return;
    scope->running--;
    if (usage->use == GOVERNOR_USED)
        learn(scope, habit_of(governor, name, queue_name), mix, usage);
    if (!call->reserved || usage->use == GOVERNOR_UNKNOWN)
        return;
    if (usage->use == GOVERNOR_UNUSED)
        scope->used[QUOTA_REQUESTS]--;
    scope->used[QUOTA_INPUT] +=
        (usage->use == GOVERNOR_USED ? usage->input_tokens : 0) - call->input;
    scope->used[QUOTA_OUTPUT] +=
        (usage->use == GOVERNOR_USED ? usage->output_tokens : 0) - call->output;
}

/* --- sharing ------------------------------------------------------------ */

/* One percent of a difference is not worth a word. */
static bool
differs(int64_t wanted, int64_t shared, unsigned bare)
{
    int64_t much = shared / 100;

    /* Answers of some errors tell no limits; that does not lift them. */
    if (wanted == 0 && shared > 0 && bare < BARE_MIN)
        return false;
    return wanted >= 0 &&
        (shared < 0 || (wanted == 0) != (shared == 0) ||
            wanted > shared + much || wanted < shared - much);
}

static bool
has_news(const struct scope *scope)
{
    bool news = !scope->synced || scope->empty || scope->ramp_ms >= 0 ||
        (scope->burst_ms != scope->burst_told_ms &&
            (scope->burst_told_ms >= 0 || scope->burst_ms != BURST_MS));

    for (unsigned kind = 0; kind < QUOTA_KINDS; kind++)
        news |= scope->used[kind] != 0 ||
            differs(scope->wanted[kind], scope->per_min[kind], scope->bare);
    return news;
}

static void
fill_report(struct scope *scope, struct queue_quota_report *report)
{
    memset(report, 0, sizeof(*report));
    report->scope = scope->name;
    for (unsigned kind = 0; kind < QUOTA_KINDS; kind++) {
        report->used[kind] = scope->used[kind];
        scope->used[kind] = 0;
        report->per_min[kind] =
            differs(scope->wanted[kind], scope->per_min[kind], scope->bare)
            ? scope->wanted[kind]
            : -1;
    }
    report->burst_ms =
        scope->burst_ms != scope->burst_told_ms ? scope->burst_ms : -1;
    report->ramp_ms = scope->ramp_ms;
    report->empty = scope->empty;
    scope->empty = false;
    scope->ramp_ms = -1;
}

bool
governor_report(struct governor *governor, int64_t now_ms,
    struct queue_quota_report *report)
{
    for (size_t i = 0; i < governor->count; i++) {
        struct scope *scope = governor->scopes[i];

        bool due = now_ms - scope->report_ms >= GOVERNOR_REPORT_MS ||
            (scope->answered && is_scouting(scope));

        if (scope->reporting || !due)
            continue;
        if (now_ms - scope->window_ms > PACE_WINDOW_MS) {
            scope->window_ms = now_ms;
            scope->started = 0;
        }
        settle_limits(scope, now_ms);
        if (!has_news(scope))
            continue;
        scope->reporting = true;
        scope->report_ms = now_ms;
        fill_report(scope, report);
        return true;
    }
    return false;
}

void
governor_reported(struct governor *governor, const char *name,
    const struct queue_quota_state *state, int64_t now_ms)
{
    struct scope *scope = find(governor, name);

    if (scope == NULL)
        return;
    scope->reporting = false;
    scope->report_ms = now_ms;
    if (state == NULL)
        return;
    scope->synced = true;
    scope->burst_told_ms = scope->burst_ms;
    for (unsigned kind = 0; kind < QUOTA_KINDS; kind++) {
        scope->per_min[kind] =
            state->known[kind] ? state->per_min[kind] : -1;
        scope->level[kind] = state->level[kind];
    }
}

bool
governor_get(const struct governor *governor, unsigned index,
    struct governor_view *view)
{
    const struct scope *scope;

    if (index >= governor->count)
        return false;
    scope = governor->scopes[index];
    view->scope = scope->name;
    view->brake = scope->brake;
    memcpy(view->per_min, scope->per_min, sizeof(view->per_min));
    memcpy(view->level, scope->level, sizeof(view->level));
    return true;
}
