#include "cli/bulk_progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define BAR_CELLS 20
#define BAR_EVERY_MS 100
#define PLAIN_EVERY_MS 30000
#define JSON_EVERY_MS 1000
#define SAMPLE_EVERY_MS 1000
#define WINDOW_MS 60000
/* From when on a rate is told. */
#define CREDIBLE_MS 3000
#define CREDIBLE_ROWS 5

int
bulk_progress_mode(
    const char *name, bool on_terminal, enum bulk_progress_mode *mode)
{
    static const char *const names[] = {"bar", "plain", "json", "none"};
    if (name == NULL || strcmp(name, "auto") == 0) {
        *mode = on_terminal ? BULK_PROGRESS_BAR : BULK_PROGRESS_PLAIN;
        return 0;
    }
    for (int i = 0; i < 4; i++) {
        if (strcmp(name, names[i]) != 0)
            continue;
        *mode = (enum bulk_progress_mode)i;
        return 0;
    }
    return -1;
}

static uint64_t
ended(const struct bulk_counts *counts)
{
    return counts->done + counts->failed;
}

static void
sample(struct bulk_progress *progress, int64_t now_ms)
{
    size_t newest = (progress->sample_next + BULK_SAMPLES - 1) % BULK_SAMPLES;
    if (progress->sample_count > 0 &&
        now_ms - progress->samples[newest].at_ms < SAMPLE_EVERY_MS)
        return;
    progress->samples[progress->sample_next].at_ms = now_ms;
    progress->samples[progress->sample_next].ended = ended(&progress->counts);
    progress->sample_next = (progress->sample_next + 1) % BULK_SAMPLES;
    if (progress->sample_count < BULK_SAMPLES)
        progress->sample_count++;
}

double
bulk_progress_rate(const struct bulk_progress *progress, int64_t now_ms)
{
    size_t at =
        (progress->sample_next + BULK_SAMPLES - progress->sample_count) %
        BULK_SAMPLES;
    for (size_t i = 0; i < progress->sample_count; i++) {
        int64_t age_ms = now_ms - progress->samples[at].at_ms;
        uint64_t rows = ended(&progress->counts) - progress->samples[at].ended;
        if (age_ms <= WINDOW_MS)
            return age_ms >= CREDIBLE_MS && rows >= CREDIBLE_ROWS
                ? (double)rows * 60000 / (double)age_ms
                : -1;
        at = (at + 1) % BULK_SAMPLES;
    }
    return -1;
}

int64_t
bulk_progress_left_ms(const struct bulk_progress *progress, int64_t now_ms)
{
    double rate = bulk_progress_rate(progress, now_ms);
    const struct bulk_counts *counts = &progress->counts;
    uint64_t left =
        counts->total > ended(counts) ? counts->total - ended(counts) : 0;
    if (left == 0)
        return 0;
    return rate > 0 ? (int64_t)((double)left * 60000 / rate) : -1;
}

static void
put_bar(const struct bulk_counts *counts, struct buffer *out)
{
    uint64_t total = counts->total > 0 ? counts->total : 1;
    uint64_t cells = ended(counts) * BAR_CELLS / total;
    buffer_append_text(out, "  [");
    for (uint64_t i = 0; i < BAR_CELLS; i++)
        buffer_append_char(out, i < cells ? '#' : '.');
    buffer_append_char(out, ']');
}

void
bulk_progress_line(
    const struct bulk_progress *progress, int64_t now_ms, struct buffer *out)
{
    const struct bulk_counts *counts = &progress->counts;
    double rate = bulk_progress_rate(progress, now_ms);
    int64_t left_ms = bulk_progress_left_ms(progress, now_ms);
    char left[40];
    buffer_append_text(out, progress->name);
    if (progress->mode == BULK_PROGRESS_BAR)
        put_bar(counts, out);
    buffer_printf(out, "  %" PRIu64 "/%" PRIu64, ended(counts), counts->total);
    if (counts->retrying > 0)
        buffer_printf(out, "  retrying %" PRIu64, counts->retrying);
    if (counts->failed > 0)
        buffer_printf(out, "  failed %" PRIu64, counts->failed);
    if (rate >= 0)
        buffer_printf(out, "  %.0f/min", rate);
    if (counts->cost_usd >= 0)
        buffer_printf(out, "  $%.2f", counts->cost_usd);
    if (left_ms == 0)
        return;
    text_format_duration(left_ms, left, sizeof(left));
    buffer_printf(out, "  %s left", left_ms < 0 ? "--" : left);
}

static void
put_json(
    const struct bulk_progress *progress, int64_t now_ms, struct buffer *out)
{
    const struct bulk_counts *counts = &progress->counts;
    double rate = bulk_progress_rate(progress, now_ms);
    int64_t left_ms = bulk_progress_left_ms(progress, now_ms);
    buffer_printf(out,
        "{\"event\":\"progress\",\"total\":%" PRIu64 ",\"done\":%" PRIu64
        ",\"failed\":%" PRIu64 ",\"running\":%" PRIu64 ",\"retrying\":%" PRIu64,
        counts->total, counts->done, counts->failed, counts->running,
        counts->retrying);
    if (rate >= 0)
        buffer_printf(out, ",\"per_minute\":%.1f", rate);
    else
        buffer_append_text(out, ",\"per_minute\":null");
    if (counts->cost_usd >= 0)
        buffer_printf(out, ",\"cost_usd\":%.6f", counts->cost_usd);
    else
        buffer_append_text(out, ",\"cost_usd\":null");
    if (left_ms >= 0)
        buffer_printf(out, ",\"seconds_left\":%" PRId64 "}", left_ms / 1000);
    else
        buffer_append_text(out, ",\"seconds_left\":null}");
}

/* Every half minute or twentieth of the work, whichever is rarer. */
static bool
plain_is_due(const struct bulk_progress *progress, int64_t now_ms)
{
    uint64_t moved = ended(&progress->counts) - progress->said_ended;
    return now_ms - progress->said_ms >= PLAIN_EVERY_MS &&
        (moved * 20 >= progress->counts.total ||
            now_ms - progress->said_ms >= 10 * PLAIN_EVERY_MS);
}

static bool
is_due(const struct bulk_progress *progress, int64_t now_ms)
{
    int64_t since_ms = now_ms - progress->said_ms;
    switch (progress->mode) {
    case BULK_PROGRESS_BAR: return since_ms >= BAR_EVERY_MS;
    case BULK_PROGRESS_PLAIN: return plain_is_due(progress, now_ms);
    case BULK_PROGRESS_JSON: return since_ms >= JSON_EVERY_MS;
    case BULK_PROGRESS_NONE: break;
    }
    return false;
}

void
bulk_progress_update(struct bulk_progress *progress,
    const struct bulk_counts *counts, int64_t now_ms, bool last)
{
    struct buffer line = {0};
    progress->counts = *counts;
    sample(progress, now_ms);
    if (progress->said_ms == 0 && progress->mode == BULK_PROGRESS_PLAIN)
        progress->said_ms = now_ms; /* the first line comes in a while */
    if (progress->mode == BULK_PROGRESS_NONE ||
        (!last && !is_due(progress, now_ms)))
        return;
    if (progress->mode == BULK_PROGRESS_JSON)
        put_json(progress, now_ms, &line);
    else
        bulk_progress_line(progress, now_ms, &line);
    if (progress->mode == BULK_PROGRESS_BAR)
        fprintf(stderr, "\r%s\x1b[K%s", line.data, last ? "\n" : "");
    else
        fprintf(stderr, "%s\n", line.data);
    fflush(stderr);
    progress->on_line = progress->mode == BULK_PROGRESS_BAR && !last;
    progress->said_ms = now_ms;
    progress->said_ended = ended(&progress->counts);
    buffer_clear(&line);
}

void
bulk_progress_break(struct bulk_progress *progress)
{
    if (progress->on_line)
        fputc('\n', stderr);
    progress->on_line = false;
}
