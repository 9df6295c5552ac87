#include <string.h>

#include "cli/bulk_run.h"
#include "cli/out.h"
#include "common/base/clock.h"

/* How long a call for results is held open: the counts are asked for in
 * between. */
#define WAIT_S 3

void
bulk_show_progress(struct bulk_run *run, bool last)
{
    const struct bulk_rows *rows = &run->rows;
    struct bulk_counts counts = {
        .total = rows->count - rows->in_state[BULK_HELD_BACK],
        .done = rows->in_state[BULK_DONE],
        .failed = rows->in_state[BULK_FAILED],
        .cost_usd = run->cost_unknown ? -1 : run->cost_usd};
    for (size_t i = 0; i < run->batch_count; i++) {
        counts.running += run->batches[i].running;
        counts.retrying += run->batches[i].retrying;
    }
    bulk_progress_update(&run->progress, &counts, clock_mono_ms(), last);
}

/* When nothing moves: what a row waits for. */
static void
look_why(struct bulk_run *run)
{
    struct buffer text = {0};
    size_t i = 0;
    while (i < run->batch_count &&
        run->batches[i].queued + run->batches[i].retrying == 0)
        i++;
    if (i < run->batch_count &&
        !bulk_progress_asks(&run->progress, clock_mono_ms()))
        return;
    if (i < run->batch_count)
        bulk_why(run->client, run->batches[i].id, &text);
    bulk_progress_reason(&run->progress, buffer_slice(&text));
    buffer_clear(&text);
}

static size_t
open_batches(const struct bulk_run *run)
{
    size_t open = 0;
    for (size_t i = 0; i < run->batch_count; i++)
        open += run->batches[i].known && !run->batches[i].drained;
    return open;
}

static int
follow_batch(struct bulk_run *run, struct bulk_batch *batch, size_t open)
{
    /* Only what is read after the end is all of it. */
    bool was_ended = batch->ended;
    unsigned wait_s = was_ended ? 0 : open == 1 ? WAIT_S : 1;
    int code = bulk_read_results(run, batch, wait_s);
    if (code == CLI_OK && was_ended)
        batch->drained = true;
    else if (code == CLI_OK)
        code = bulk_read_batch(run, batch);
    if (code == CLI_OK)
        look_why(run);
    bulk_show_progress(run, false);
    return code;
}

/* Each of the `open` batches once. */
static int
follow_round(struct bulk_run *run, size_t open)
{
    for (size_t i = 0; i < run->batch_count; i++) {
        if (!run->batches[i].known || run->batches[i].drained)
            continue;
        int code = follow_batch(run, &run->batches[i], open);
        if (code != CLI_OK)
            return code;
    }
    return CLI_OK;
}

static int
follow_all(struct bulk_run *run)
{
    size_t open;
    int code = CLI_OK;
    while (code == CLI_OK && (open = open_batches(run)) > 0)
        code = follow_round(run, open);
    return code;
}

int
bulk_follow_until(struct bulk_run *run, size_t ended, int64_t most_ms)
{
    const size_t *count = run->rows.in_state;
    int64_t end_ms = clock_mono_ms() + most_ms;
    size_t open;
    int code = CLI_OK;
    run->following = true;
    while (code == CLI_OK && count[BULK_DONE] + count[BULK_FAILED] <= ended &&
        clock_mono_ms() < end_ms && (open = open_batches(run)) > 0)
        code = follow_round(run, open);
    return code;
}

/*
 * Rows that were sent and have no result although every batch has ended. A
 * crash of this machine may have lost a line before the last one that is in
 * the file; then the server has it still.
 */
static int
look_for_lost(struct bulk_run *run)
{
    for (size_t i = 0; i < run->batch_count; i++) {
        if (run->rows.in_state[BULK_SENT] == 0)
            return CLI_OK;
        if (!run->batches[i].known)
            continue;
        run->batches[i].seq = 0;
        int code = bulk_read_results(run, &run->batches[i], 0);
        if (code != CLI_OK)
            return code;
    }
    if (run->rows.in_state[BULK_SENT] == 0)
        return CLI_OK;
    bulk_progress_break(&run->progress);
    out_say("the server has no result of %zu rows; were they deleted there?",
        run->rows.in_state[BULK_SENT]);
    return CLI_FAILED;
}

int
bulk_follow(struct bulk_run *run)
{
    run->following = true;
    bulk_show_progress(run, false);
    int code = follow_all(run);
    if (code == CLI_OK)
        code = bulk_look_again(run, true);
    if (code == CLI_OK)
        code = look_for_lost(run);
    if (run->output != NULL && bulk_output_flush(run->output, true) != 0)
        return CLI_ERROR;
    return code;
}
