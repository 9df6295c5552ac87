#include "status-api/reason.h"

#include <string.h>

#include "common/base/clock.h"
#include "common/job/job_reason.h"

#define REASON_SIZE 256
/* What a hold may say of the whole. */
#define HOLD_MAX 160

/* "POOL/BUCKET" */
static bool
bucket_is(const char *name, const char *bucket)
{
    const char *slash = strchr(name, '/');
    return bucket[0] != '\0' && slash != NULL && strcmp(slash + 1, bucket) == 0;
}

bool
reason_hold_covers(const struct queue_hold *hold, const struct job_meta *meta)
{
    if (strncmp(hold->scope, "lane:", 5) == 0)
        return strcmp(hold->scope + 5, job_lane_name(meta->lane)) == 0;
    if (strncmp(hold->scope, "bucket:", 7) == 0)
        return bucket_is(hold->scope + 7, meta->bucket);
    return strncmp(hold->scope, "pool:", 5) == 0;
}

static void
put_until(int64_t until_ms, struct buffer *out)
{
    char then[CLOCK_TEXT_SIZE], now[CLOCK_TEXT_SIZE];
    if (until_ms <= 0) {
        buffer_append_text(out, " until it is lifted");
        return;
    }
    clock_format_ms(until_ms, then);
    clock_format_ms(clock_wall_ms(), now);
    buffer_append_text(out, " until ");
    if (memcmp(then, now, 10) != 0)
        buffer_printf(out, "%.10s ", then);
    buffer_printf(out, "%.8sZ", then + 11);
}

static const char *
kind_text(const char *kind)
{
    if (strcmp(kind, "open") == 0)
        return "is not called, its circuit breaker is open";
    if (strcmp(kind, "limited") == 0)
        return "is rate limited";
    return "is paused";
}

void
reason_hold_text(const struct queue_hold *hold, struct buffer *out)
{
    struct slice name = slice_of(hold->scope);
    struct slice what = slice_split(&name, ':');
    if (slice_equal_text(what, "bucket")) {
        struct slice pool = slice_split(&name, '/');
        buffer_append_text(out, "model ");
        buffer_append_slice(out, name.len > 0 ? name : pool);
    } else {
        buffer_append_slice(out, what);
        buffer_append_char(out, ' ');
        buffer_append_slice(out, name);
    }
    buffer_printf(out, " %s", kind_text(hold->kind));
    put_until(hold->until_ms, out);
    if (hold->reason[0] != '\0')
        buffer_printf(out, ": %s", hold->reason);
}

/* Cuts between characters. */
static void
cut(struct buffer *text, size_t max)
{
    if (text->len <= max)
        return;
    size_t len = max - 3;
    while (len > 0 && (text->data[len] & 0xc0) == 0x80)
        len--;
    text->len = len;
    buffer_append(text, "...", 3);
}

/* The widest one, as it stops the most: pool, lane, bucket. */
static const struct queue_hold *
choose(
    const struct job_meta *meta, const struct queue_hold *holds, size_t count)
{
    const struct queue_hold *best = NULL;
    for (size_t i = 0; i < count; i++) {
        const struct queue_hold *hold = &holds[i];
        if (!reason_hold_covers(hold, meta) || hold->left_ms == 0)
            continue;
        if (best == NULL || hold->scope[0] == 'p' ||
            (hold->scope[0] == 'l' && best->scope[0] == 'b'))
            best = hold;
    }
    return best;
}

void
reason_tell(const struct job_view *view, const struct queue_hold *holds,
    size_t count, char out[256])
{
    struct buffer base = {0}, held = {0};
    const struct queue_hold *hold = NULL;
    if (view->state == JOB_QUEUED || view->state == JOB_RETRYING)
        hold = choose(view->meta, holds, count);
    if (hold == NULL) {
        out[0] = '\0';
        return;
    }
    struct job_view plain = *view;
    plain.reason[0] = '\0';
    reason_hold_text(hold, &held);
    cut(&held, HOLD_MAX);
    job_reason_make(&plain, &base);
    cut(&base, REASON_SIZE - 3 - held.len);
    buffer_append_text(&base, "; ");
    buffer_append_slice(&base, buffer_slice(&held));
    text_copy(out, REASON_SIZE, buffer_slice(&base));
    buffer_clear(&base);
    buffer_clear(&held);
}
