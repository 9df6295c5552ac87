#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/bulk_run.h"
#include "cli/out.h"

void
bulk_run_clear(struct bulk_run *run)
{
    bulk_progress_break(&run->progress);
    bulk_output_close(run->output);
    bulk_rows_clear(&run->rows);
    bulk_recipe_clear(&run->recipe);
    bulk_source_free(run->source);
    models_free(run->models);
    client_free(run->client);
    memory_free(run->batches);
    memory_free(run->failed);
    buffer_clear(&run->bad_lines);
    buffer_clear(&run->notes);
    buffer_clear(&run->part);
}

static void
on_past(void *arg, const struct bulk_past *past)
{
    struct bulk_run *run = arg;
    size_t at = bulk_rows_find(&run->rows, past->custom_id);
    if (!past->is_error && past->batch.len > 0 &&
        past->batch.len < BULK_BATCH_SIZE) {
        struct bulk_batch *batch = bulk_run_batch(run, past->batch);
        batch->seq = past->seq > batch->seq ? past->seq : batch->seq;
    }
    if (!past->is_final)
        return;
    if (!past->is_error) {
        run->past_answers++;
        run->past_input_tokens += past->input_tokens;
        run->past_output_tokens += past->output_tokens;
        run->past_cost_usd += past->cost_usd > 0 ? past->cost_usd : 0;
    }
    if (past->is_error)
        bulk_note_failed(run, past);
    if (at != BULK_ABSENT && run->rows.items[at].state != BULK_DONE)
        bulk_rows_set(&run->rows, at, past->is_error ? BULK_FAILED : BULK_DONE);
}

int
bulk_open_output(struct bulk_run *run, const char *path, bool dry)
{
    struct bulk_output_options options = {.path = path,
        .run = run->label,
        .dry = dry,
        .on_past = on_past,
        .arg = run};
    run->output = bulk_output_open(&options);
    return run->output != NULL ? CLI_OK : CLI_ERROR;
}

/* --- how it ended --- */

static const char *
text_of(double usd, char *out, size_t size)
{
    if (usd < 0)
        snprintf(out, size, "null");
    else
        snprintf(out, size, "%.6f", usd);
    return out;
}

int
bulk_write_summary(const struct bulk_run *run,
    const struct bulk_finish_options *options, int code)
{
    const char *path = options->summary_json;
    const size_t *count = run->rows.in_state;
    double usd = run->cost_unknown ? -1 : run->cost_usd;
    struct buffer out = {0};
    char cost[40];
    if (path == NULL)
        return code;
    buffer_printf(&out,
        "{\"exit_code\":%d,\"run\":\"%s\",\"rows\":%zu,\"done\":%zu,"
        "\"failed\":%zu,\"sent\":%zu,\"not_sent\":%zu,\"bad\":%" PRIu64
        ",\"duplicates\":%" PRIu64 ",\"cost_usd\":%s,\"output\":",
        code, run->label, run->rows.count, count[BULK_DONE], count[BULK_FAILED],
        count[BULK_SENT], count[BULK_OPEN] + count[BULK_HELD_BACK], run->bad,
        run->duplicates, text_of(usd, cost, sizeof(cost)));
    if (options->output != NULL)
        buffer_append_json(&out, slice_of(options->output));
    else
        buffer_append_text(&out, "null");
    buffer_append_text(&out, ",\"batches\":[");
    bool first = true;
    for (size_t i = 0; i < run->batch_count; i++) {
        if (!run->batches[i].known)
            continue;
        buffer_printf(&out, "%s\"%s\"", first ? "" : ",", run->batches[i].id);
        first = false;
    }
    buffer_append_text(&out, "]}\n");
    FILE *file = fopen(path, "we");
    bool written =
        file != NULL && fwrite(out.data, 1, out.len, file) == out.len;
    if ((file != NULL && fclose(file) != 0) || !written) {
        out_say("cannot write %s", path);
        code = CLI_ERROR;
    }
    buffer_clear(&out);
    return code;
}

/* One line that a program can find: "bulk: done 98, failed 2, ...". */
static void
tell_summary(const struct bulk_run *run, const char *output)
{
    const size_t *count = run->rows.in_state;
    struct buffer line = {0};
    buffer_printf(&line, "bulk: done %zu, failed %zu", count[BULK_DONE],
        count[BULK_FAILED]);
    if (run->bad > 0)
        buffer_printf(&line, ", bad rows %" PRIu64, run->bad);
    if (count[BULK_SENT] > 0)
        buffer_printf(&line, ", under way %zu", count[BULK_SENT]);
    if (count[BULK_OPEN] + count[BULK_HELD_BACK] > 0)
        buffer_printf(
            &line, ", not sent %zu", count[BULK_OPEN] + count[BULK_HELD_BACK]);
    if (!run->cost_unknown)
        buffer_printf(&line, ", $%.2f", run->cost_usd);
    buffer_printf(&line, ": %s", output);
    if (run->output != NULL && bulk_output_has_errors(run->output))
        buffer_printf(&line, ", %s", bulk_output_errors_path(run->output));
    out_tell("%s", line.data);
    buffer_clear(&line);
}

/* Whether jobs of the batch failed that the server can run again: now, or in
 * an earlier start and not since. */
static bool
has_failed_jobs(const struct bulk_run *run, const struct bulk_batch *batch)
{
    if (!batch->known || batch->failed > 0)
        return batch->known;
    for (size_t i = 0; i < run->failed_count; i++) {
        const struct bulk_failed *failed = &run->failed[i];
        if (strcmp(failed->batch, batch->id) != 0)
            continue;
        size_t at = bulk_rows_find(&run->rows, slice_of(failed->id));
        if (at != BULK_ABSENT && run->rows.items[at].state == BULK_FAILED)
            return true;
    }
    return false;
}

static void
tell_failed(const struct bulk_run *run)
{
    for (size_t i = 0; i < run->batch_count; i++)
        if (has_failed_jobs(run, &run->batches[i]))
            out_tell("  longhaul bulk retry-failed %s runs what failed again",
                run->batches[i].id);
}

/* Ctrl-C: the batches go on without us. */
static void
tell_detached(const struct bulk_run *run)
{
    bool any = false;
    for (size_t i = 0; i < run->batch_count; i++) {
        const struct bulk_batch *batch = &run->batches[i];
        if (!batch->known || batch->ended)
            continue;
        if (!any)
            out_tell("detached; the server goes on. The same command again "
                     "goes on here and pays for no row twice.");
        any = true;
        out_tell("  longhaul bulk attach %s   follows it", batch->id);
        out_tell("  longhaul bulk cancel %s   stops it", batch->id);
    }
    if (!any)
        out_tell("interrupted; nothing is under way");
}

static void
cancel_all(struct bulk_run *run)
{
    struct http_sync_reply reply = {0};
    cli_interrupted = 0;
    for (size_t i = 0; i < run->batch_count; i++) {
        char path[128];
        if (!run->batches[i].known || run->batches[i].ended)
            continue;
        snprintf(
            path, sizeof(path), "/v1/batches/%s/cancel", run->batches[i].id);
        struct client_request request = {.method = "POST", .path = path};
        if (client_call(run->client, &request, &reply) == CLI_OK)
            out_tell("canceled %s; what is done stays", run->batches[i].id);
    }
    buffer_clear(&reply.body);
}

/* The files as they should be found: failures that were mended are gone. */
static int
tidy(struct bulk_run *run, const struct bulk_finish_options *options)
{
    bool failed = run->bad > 0 || run->rows.in_state[BULK_FAILED] > 0;
    if (run->output == NULL)
        return failed ? CLI_FAILED : CLI_OK;
    if (bulk_output_settle(run->output, &run->rows) != 0)
        return CLI_ERROR;
    if (options->in_order && bulk_output_sort(run->output, &run->rows) != 0)
        return CLI_ERROR;
    return failed ? CLI_FAILED : CLI_OK;
}

int
bulk_finish(
    struct bulk_run *run, const struct bulk_finish_options *options, int code)
{
    bulk_show_progress(run, run->following);
    if (code == CLI_INTERRUPTED && options->cancel_on_interrupt)
        cancel_all(run);
    else if (code == CLI_INTERRUPTED)
        tell_detached(run);
    if (run->output != NULL && bulk_output_flush(run->output, true) != 0)
        code = CLI_ERROR;
    if (code == CLI_OK)
        code = tidy(run, options);
    if (code == CLI_FAILED)
        tell_failed(run);
    tell_summary(run, options->output);
    return bulk_write_summary(run, options, code);
}
