/* Limits: what is configured, what the headers tell, what the others are
 * told. */

#include <string.h>

#include "common/base/clock.h"
#include "common/base/text.h"
#include "worker/governor_private.h"

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
#define GUESS_REFUSED_MS 2000 /* refusals this near to each other are one */
/* It grows fast up to the pace that was refused, then slowly; far beyond it
 * nothing was there to be guessed. */
#define GUESS_GROWS_MS 1000
#define GUESS_FAST 1.5
#define GUESS_SLOW 1.02
#define GUESS_OVER 4
#define GUESS_MIN 60.0
#define PACE_WINDOW_MS 10000
/* Answers without limits in a row, until none are believed in. */
#define BARE_MIN 50

/* --- headers ----------------------------------------------------------- */

struct governor_headers
governor_no_headers(void)
{
    return (struct governor_headers){{-1, -1, -1}, {-1, -1, -1}, {-1, -1, -1}};
}

void
governor_read_header(
    struct governor_headers *headers, struct slice name, struct slice value)
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
        if (slice_equal_nocase(rest, "reset")) {
            if (clock_parse_rfc3339(value, &number) == 0)
                headers->reset_ms[kind] = number;
            return;
        }
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
keep_heard(
    struct governor_headers *heard, const struct governor_headers *headers)
{
    for (unsigned kind = 0; kind < QUOTA_KINDS; kind++) {
        if (headers->limit[kind] >= 0)
            heard->limit[kind] = headers->limit[kind];
        if (headers->remaining[kind] >= 0)
            heard->remaining[kind] = headers->remaining[kind];
        if (headers->reset_ms[kind] >= 0)
            heard->reset_ms[kind] = headers->reset_ms[kind];
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
    struct scope *scope = governor_find(governor, name);

    if (scope == NULL)
        return;
    scope->answered = true;
    scope->bare++;
    keep_heard(&scope->heard, headers);
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
    struct scope *scope = governor_find(governor, name);
    double pace;

    if (scope == NULL)
        return;
    scope->refusals++;
    scope->empty = true;
    if (ramp)
        scope->ramp_ms = RAMP_MS;
    if (scope->burst_ms > BURST_MIN_MS &&
        now_ms - scope->burst_at_ms >= GOVERNOR_REPORT_MS) {
        scope->burst_ms /= 2;
        scope->burst_at_ms = now_ms;
    }
    if (has_headers(scope) || scope->limits.per_min[QUOTA_REQUESTS] > 0 ||
        now_ms - scope->refused_ms < GUESS_REFUSED_MS)
        return;
    pace = scope->started * 60000.0 /
        (double)(now_ms > scope->window_ms + 1000 ? now_ms - scope->window_ms
                                                  : 1000);
    if (scope->guess > 0 && scope->guess < pace)
        pace = scope->guess;
    if (pace < GUESS_MIN)
        pace = GUESS_MIN;
    scope->guess_refused = pace;
    scope->guess = pace * GUESS_SHARE;
    scope->guess_at_ms = now_ms;
    scope->refused_ms = now_ms;
}

void
governor_recovered(struct governor *governor, const char *name, int64_t ramp_ms)
{
    struct scope *scope = governor_find(governor, name);

    if (scope == NULL)
        return;
    scope->empty = true;
    if (scope->ramp_ms < ramp_ms)
        scope->ramp_ms = ramp_ms;
}

/* --- limits ------------------------------------------------------------ */

/*
 * Claude's bucket holds more than ours, by at least the difference of what
 * fits, as long as only we take from it. What is missing there, others have
 * taken: the pace falls with it, so that it settles where both fit.
 *
 * What remained is compared with our bucket as it is a little later: only
 * then has every call that Claude had counted been taken off there too. What
 * has refilled since then does not count.
 */
static double
slack_of(
    const struct scope *scope, unsigned kind, int64_t remaining, int64_t level)
{
    const struct told *told = &scope->told[kind];
    int64_t least =
        kind == QUOTA_REQUESTS ? CAPACITY_TOLD_MIN_REQUESTS : CAPACITY_TOLD_MIN;
    double fits =
        (double)scope->per_min[kind] / 60000.0 * (double)scope->burst_ms;
    double between = (double)told->capacity - fits;
    double slack;

    if (scope->per_min[kind] <= 0 || told->capacity < least || between <= 0)
        return 1;
    slack = (double)(remaining - level) / (between / 2);
    return slack >= 1 ? 1 : slack < BRAKE_MIN ? BRAKE_MIN : slack;
}

static void
judge(struct scope *scope, unsigned kind, int64_t now_ms)
{
    struct told *told = &scope->told[kind];
    int64_t refilled = scope->per_min[kind] * (now_ms - told->asked_ms) / 60000;

    if (told->asked < 0)
        return;
    told->slack =
        slack_of(scope, kind, told->asked, scope->level[kind] - refilled);
    told->judged_ms = now_ms;
    told->asked = -1;
}

static double
brake_of(const struct told *told, int64_t now_ms)
{
    return now_ms - told->judged_ms > HEARD_MS ? 1 : told->slack;
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
grow_guess(struct scope *scope, int64_t now_ms)
{
    if (scope->guess <= 0 || now_ms - scope->guess_at_ms < GUESS_GROWS_MS)
        return;
    scope->guess *=
        scope->guess < scope->guess_refused ? GUESS_FAST : GUESS_SLOW;
    scope->guess_at_ms = now_ms;
    if (scope->guess > GUESS_OVER * scope->guess_refused)
        scope->guess = 0;
}

static void
settle_limits(struct scope *scope, int64_t now_ms)
{
    double brake = 1;

    if (scope->burst_ms < GOVERNOR_BURST_MS &&
        now_ms - scope->burst_at_ms > BURST_GROWS_MS) {
        scope->burst_ms *= 2;
        scope->burst_at_ms = now_ms;
    }
    grow_guess(scope, now_ms);
    for (unsigned kind = 0; kind < QUOTA_KINDS; kind++) {
        double mine = brake_of(&scope->told[kind], now_ms);

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

/* So little remains that others may have taken it. */
static bool
is_low(const struct scope *scope, unsigned kind)
{
    int64_t remaining = scope->told[kind].remaining;
    int64_t fits = scope->per_min[kind] * scope->burst_ms / 60000;

    return remaining >= 0 && slack_of(scope, kind, remaining, fits) < 1;
}

static bool
has_news(const struct scope *scope)
{
    bool news = !scope->synced || scope->empty || scope->ramp_ms >= 0 ||
        (scope->burst_ms != scope->burst_told_ms &&
            (scope->burst_told_ms >= 0 ||
                scope->burst_ms != GOVERNOR_BURST_MS));

    for (unsigned kind = 0; kind < QUOTA_KINDS; kind++)
        news |= scope->used[kind] != 0 || is_low(scope, kind) ||
            differs(scope->wanted[kind], scope->per_min[kind], scope->bare);
    return news;
}

static void
ask_judgement(struct told *told, int64_t now_ms)
{
    told->asked = now_ms - told->at_ms > HEARD_MS ? -1 : told->remaining;
    told->asked_ms = told->at_ms;
    told->remaining = -1;
}

static void
fill_report(struct scope *scope, struct queue_quota_report *report)
{
    memset(report, 0, sizeof(*report));
    report->scope = scope->name;
    for (unsigned kind = 0; kind < QUOTA_KINDS; kind++) {
        report->used[kind] = scope->used[kind];
        scope->used[kind] = 0;
        ask_judgement(&scope->told[kind], scope->report_ms);
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
            (scope->answered && !scope->untold && governor_is_scouting(scope));

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
    struct scope *scope = governor_find(governor, name);

    if (scope == NULL)
        return;
    scope->reporting = false;
    scope->report_ms = now_ms;
    scope->untold = state == NULL;
    if (state == NULL)
        return;
    scope->synced = true;
    scope->burst_told_ms = scope->burst_ms;
    for (unsigned kind = 0; kind < QUOTA_KINDS; kind++) {
        scope->per_min[kind] = state->known[kind] ? state->per_min[kind] : -1;
        scope->level[kind] = state->level[kind];
        judge(scope, kind, now_ms);
    }
}

static double
free_share(const struct scope *scope, enum quota_kind kind, int64_t now_ms)
{
    double per_ms = (double)scope->per_min[kind] / 60000.0;
    double fits = per_ms * (double)scope->burst_ms;
    double level = (double)scope->level[kind] +
        per_ms * (double)(now_ms - scope->report_ms);

    if (scope->per_min[kind] <= 0)
        return 1;
    fits = fits < 1 ? 1 : fits;
    return level <= 0 ? 0 : level >= fits ? 1 : level / fits;
}

struct governor_load
governor_load(const struct governor *governor, const char *name, int64_t now_ms)
{
    const struct scope *scope = governor_find(governor, name);
    struct governor_load load = {1, 0};

    if (scope == NULL)
        return load;
    load.running = scope->running;
    for (unsigned kind = 0; kind < QUOTA_KINDS && scope->synced; kind++) {
        double share = free_share(scope, (enum quota_kind)kind, now_ms);

        load.free = share < load.free ? share : load.free;
    }
    return load;
}

bool
governor_get(
    const struct governor *governor, unsigned index, struct governor_view *view)
{
    const struct scope *scope;

    if (index >= governor->count)
        return false;
    scope = governor->scopes[index];
    view->scope = scope->name;
    view->brake = scope->brake;
    memcpy(view->per_min, scope->per_min, sizeof(view->per_min));
    memcpy(view->level, scope->level, sizeof(view->level));
    memcpy(view->reserved, scope->reserved, sizeof(view->reserved));
    view->refusals = scope->refusals;
    view->heard = scope->heard;
    return true;
}
