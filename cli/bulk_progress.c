#include "cli/bulk_progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/out.h"

#define BAR_CELLS 20
#define BAR_EVERY_MS 100
#define PLAIN_EVERY_MS 30000
#define JSON_EVERY_MS 1000
#define SAMPLE_EVERY_MS 1000
#define WINDOW_MS 60000
/* Without an end of a row so long, a reason is asked for, so often. */
#define STALL_MS 5000
#define PLAIN_STALL_MS (PLAIN_EVERY_MS - STALL_MS)
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
    if (progress->mode == BULK_PROGRESS_BAR && progress->reason[0] == '\0')
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
    if (progress->reason[0] != '\0') {
        buffer_printf(out, "  %s", progress->reason);
        return;
    }
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
        buffer_printf(out, ",\"seconds_left\":%" PRId64, left_ms / 1000);
    else
        buffer_append_text(out, ",\"seconds_left\":null");
    buffer_append_text(out, ",\"reason\":");
    if (progress->reason[0] != '\0')
        buffer_append_json(out, slice_of(progress->reason));
    else
        buffer_append_text(out, "null");
    buffer_append_char(out, '}');
}

static bool
is_due(const struct bulk_progress *progress, int64_t now_ms)
{
    int64_t since_ms = now_ms - progress->said_ms;
    switch (progress->mode) {
    case BULK_PROGRESS_BAR: return since_ms >= BAR_EVERY_MS;
    case BULK_PROGRESS_PLAIN: return since_ms >= PLAIN_EVERY_MS;
    case BULK_PROGRESS_JSON: return since_ms >= JSON_EVERY_MS;
    case BULK_PROGRESS_NONE: break;
    }
    return false;
}

bool
bulk_progress_asks(struct bulk_progress *progress, int64_t now_ms)
{
    bool plain = progress->mode == BULK_PROGRESS_PLAIN;
    int64_t every_ms = plain ? PLAIN_STALL_MS : STALL_MS;
    if (progress->mode == BULK_PROGRESS_NONE || progress->moved_ms == 0 ||
        now_ms - progress->moved_ms < every_ms ||
        (plain && now_ms - progress->said_ms < every_ms) ||
        (progress->asked_ms != 0 && now_ms - progress->asked_ms < every_ms))
        return false;
    progress->asked_ms = now_ms;
    return true;
}

void
bulk_progress_reason(struct bulk_progress *progress, struct slice text)
{
    struct buffer safe = {0};
    out_safe(&safe, text, false);
    struct slice cut = buffer_slice(&safe);
    if (cut.len >= sizeof(progress->reason))
        cut.len = sizeof(progress->reason) - 1;
    while (cut.len > 0 && cut.len < safe.len &&
        ((unsigned char)safe.data[cut.len] & 0xc0) == 0x80)
        cut.len--;
    text_copy(progress->reason, sizeof(progress->reason), cut);
    buffer_clear(&safe);
}

/* A line that does not fit could not be written over. */
static void
show_bar(struct slice line, bool last)
{
    if (!last && out_is_terminal(stderr))
        line = out_cut(line, out_columns(stderr));
    fprintf(
        stderr, "\r%.*s\x1b[K%s", (int)line.len, line.data, last ? "\n" : "");
}

void
bulk_progress_update(struct bulk_progress *progress,
    const struct bulk_counts *counts, int64_t now_ms, bool last)
{
    struct buffer line = {0};
    if (progress->moved_ms == 0 || ended(counts) != ended(&progress->counts)) {
        progress->moved_ms = now_ms;
        progress->reason[0] = '\0';
    }
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
        show_bar(buffer_slice(&line), last);
    else
        fprintf(stderr, "%s\n", line.data);
    fflush(stderr);
    progress->on_line = progress->mode == BULK_PROGRESS_BAR && !last;
    progress->said_ms = now_ms;
    buffer_clear(&line);
}

void
bulk_progress_break(struct bulk_progress *progress)
{
    if (progress->on_line)
        fputc('\n', stderr);
    progress->on_line = false;
}
