#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/bulk_run.h"
#include "cli/out.h"
#include "common/job/options.h"

#define MAX_TOKENS_DEFAULT 1024
#define PATIENCE_MS 30000

/* What makes a request of a row. */
static int
check_request(const struct cli *cli)
{
    const struct args *args = &cli->args;
    enum bulk_format format;
    if (bulk_source_format_of(cli->argv[0], args->format, &format) != 0)
        return cli_usage(cli, "--format is csv, tsv or jsonl");
    if (args->template_file == NULL && format != BULK_FORMAT_JSONL)
        return cli_usage(cli,
            "which prompt? -t FILE names a template; it fills {{column}} from "
            "each row");
    if (args->template_file == NULL &&
        (args->system != NULL || args->model != NULL ||
            args->max_tokens != ARGS_UNSAID))
        return cli_usage(cli,
            "without -t each line of JSON is a whole request: --model, "
            "--max-tokens and --system must be in it");
    if (args->template_file == NULL && args->max_cost != NULL)
        return cli_usage(cli,
            "--max-cost wants -t: whole requests cannot be priced before they "
            "are sent");
    if (args->max_tokens == 0)
        return cli_usage(cli, "--max-tokens is at least 1");
    return cli_check_options(cli);
}

static int
check_usage(const struct cli *cli, double *max_cost)
{
    const struct args *args = &cli->args;
    enum bulk_progress_mode mode;
    *max_cost = -1;
    if (args->output == NULL && !args->dry_run)
        return cli_usage(cli,
            "-o FILE says where the answers go; the same command again then "
            "goes on where it stopped");
    if (args->max_cost != NULL &&
        (text_parse_double(slice_of(args->max_cost), max_cost) != 0 ||
            *max_cost < 0))
        return cli_usage(cli, "--max-cost wants dollars, such as 20 or 0.5");
    if (args->limit == 0)
        return cli_usage(cli, "--limit is at least 1");
    if (bulk_progress_mode(args->progress, false, &mode) != 0)
        return cli_usage(cli, "--progress is auto, bar, plain, json or none");
    return check_request(cli);
}

static int
open_run(struct cli *cli, struct bulk_run *run)
{
    const struct args *args = &cli->args;
    int code;
    run->client = client_new(cli, &code);
    if (run->client == NULL)
        return code;
    run->models = models_load();
    struct bulk_recipe_options options = {.template_path = args->template_file,
        .system_path = args->system,
        .model = args->model != NULL ? args->model : client_model(run->client),
        .max_tokens = args->max_tokens != ARGS_UNSAID ? args->max_tokens
                                                      : MAX_TOKENS_DEFAULT,
        .id_column = args->id_column};
    if (!job_model_is_valid(slice_of(options.model)))
        return cli_usage(cli, "--model is not the name of a model");
    run->source = bulk_source_open(cli->argv[0], args->format);
    if (run->source == NULL)
        return CLI_ERROR;
    code = bulk_recipe_open(&run->recipe, &options, run->source, run->models);
    if (code != 0)
        return code > 0 ? CLI_USAGE : CLI_ERROR;
    text_copy(run->label, sizeof(run->label), slice_of(run->recipe.run));
    run->join = args->join;
    return CLI_OK;
}

/* --- before anything is spent --- */

static void
tell_input(const struct cli *cli, const struct bulk_run *run)
{
    static const char *const formats[] = {"CSV", "TSV", "JSONL"};
    const struct args *args = &cli->args;
    struct buffer line = {0};
    size_t columns;
    const struct slice *names = bulk_source_names(run->source, &columns);
    (void)names;
    buffer_printf(&line, "%" PRIu64 " rows, %zu columns, %s, UTF-8%s",
        (uint64_t)run->rows.count + run->bad + run->duplicates, columns,
        formats[bulk_source_format(run->source)],
        bulk_source_has_bom(run->source) ? " with a byte order mark" : "");
    if (args->id_column != NULL)
        buffer_printf(&line, ", named by %s", args->id_column);
    out_tell("%-14s %s", cli->argv[0], line.data);
    if (args->template_file != NULL)
        out_tell("%-14s %s for %s, at most %" PRIu64 " tokens an answer",
            "template", args->template_file, run->recipe.model,
            run->recipe.request.max_tokens);
    fwrite(run->notes.data != NULL ? run->notes.data : "", 1, run->notes.len,
        stderr);
    buffer_clear(&line);
}

static void
tell_past(const struct cli *cli, const struct bulk_run *run)
{
    const size_t *count = run->rows.in_state;
    if (count[BULK_DONE] > run->fetched)
        out_tell("%-14s %zu rows are in %s", "done already",
            count[BULK_DONE] - (size_t)run->fetched, cli->args.output);
    if (run->fetched > 0)
        out_tell("%-14s %" PRIu64
                 " answers were there already: paid for by an earlier start",
            count[BULK_DONE] > run->fetched ? "" : "done already",
            run->fetched);
    if (run->past_cost_usd + run->cost_usd > 0 && count[BULK_DONE] > 0)
        out_tell("%-14s $%.2f saved", "", run->past_cost_usd + run->cost_usd);
    if (count[BULK_SENT] > 0)
        out_tell("%-14s %zu rows", "under way", count[BULK_SENT]);
    if (count[BULK_FAILED] > 0)
        out_tell("%-14s %zu rows failed before and are not sent again",
            "failed", count[BULK_FAILED]);
    if (count[BULK_HELD_BACK] > 0)
        out_tell("%-14s %zu rows, by --limit or --max-cost", "held back",
            count[BULK_HELD_BACK]);
}

static int
confirm(const struct cli *cli, size_t rows)
{
    char answer[16] = "";
    if (cli->args.yes || rows == 0)
        return CLI_OK;
    if (isatty(STDIN_FILENO) != 1) {
        out_say("not without --yes: this would send %zu rows", rows);
        return CLI_USAGE;
    }
    fprintf(stderr, "Send %zu rows? [y/N] ", rows);
    fflush(stderr);
    if (fgets(answer, sizeof(answer), stdin) != NULL &&
        (answer[0] == 'y' || answer[0] == 'Y'))
        return CLI_OK;
    out_tell("nothing was sent");
    return CLI_ERROR;
}

/* What it would cost; CLI_OK when it should be sent. */
static int
preflight(struct cli *cli, struct bulk_run *run, double max_cost)
{
    struct bulk_estimate estimate;
    bulk_estimate(run, &estimate);
    if (max_cost >= 0 && !estimate.has_price) {
        out_say("--max-cost cannot be kept: no price is known for %s",
            run->recipe.model);
        return CLI_ERROR;
    }
    if (max_cost >= 0) {
        bulk_hold_back(run, max_cost);
        bulk_estimate(run, &estimate);
    }
    tell_past(cli, run);
    out_tell("%-14s %" PRIu64 " rows", "to be sent", estimate.rows);
    if (estimate.rows > 0)
        bulk_estimate_print(run, &estimate);
    if (cli->args.dry_run) {
        out_tell("nothing was sent (--dry-run)");
        return CLI_OK;
    }
    return confirm(cli, estimate.rows);
}

/* --- the run --- */

static void
begin_progress(const struct cli *cli, struct bulk_run *run)
{
    const char *output = cli->args.output != NULL ? cli->args.output : "bulk";
    const char *slash = strrchr(output, '/');
    run->progress.name = slash != NULL ? slash + 1 : output;
    if (bulk_progress_mode(cli->args.progress, out_is_terminal(stderr),
            &run->progress.mode) != 0)
        run->progress.mode = BULK_PROGRESS_PLAIN;
}

static int
note_bad_rows(struct bulk_run *run)
{
    struct slice rest = buffer_slice(&run->bad_lines);
    while (rest.len > 0)
        bulk_output_error(run->output, slice_split(&rest, '\n'));
    return bulk_output_flush(run->output, true) == 0 ? CLI_OK : CLI_ERROR;
}

/* What is in the rows is for the people in front of it, not for a log. */
static uint64_t
prompts_to_show(const struct args *args)
{
    if (args->show != ARGS_UNSAID)
        return args->show;
    return !args->yes && out_is_terminal(stderr) ? 1 : 0;
}

static int
look_first(struct cli *cli, struct bulk_run *run)
{
    struct bulk_plan_options options = {
        .limit = cli->args.limit != ARGS_UNSAID ? cli->args.limit : 0,
        .show = prompts_to_show(&cli->args),
        .shorten = cli->args.show == ARGS_UNSAID};
    int code = bulk_plan(run, &options);
    if (code != CLI_OK)
        return code;
    tell_input(cli, run);
    if (cli->args.output != NULL)
        code = bulk_open_output(run, cli->args.output, cli->args.dry_run);
    if (code != CLI_OK || run->rows.count == 0)
        return code;
    run->patience_ms = cli->args.dry_run ? 0 : PATIENCE_MS;
    code = bulk_catch_up(run);
    if (code == CLI_UNREACHABLE && cli->args.dry_run) {
        out_tell("  what is done there already is not known");
        code = CLI_OK;
    }
    return code;
}

static int
send_and_follow(struct cli *cli, struct bulk_run *run)
{
    struct bulk_upload_options options = {
        .lane = cli->args.lane, .expires_in = cli->args.expires_in};
    int code = note_bad_rows(run);
    run->patience_ms = -1;
    begin_progress(cli, run);
    if (code == CLI_OK)
        code = bulk_send_first(run, &options);
    if (code == CLI_OK)
        code = bulk_upload(run, &options);
    return code == CLI_OK ? bulk_follow(run) : code;
}

int
cmd_bulk_run(struct cli *cli)
{
    const struct args *args = &cli->args;
    struct bulk_run run = {.progress = {.mode = BULK_PROGRESS_NONE}};
    struct bulk_finish_options options = {.output = args->output,
        .summary_json = args->summary_json,
        .in_order = args->in_order,
        .cancel_on_interrupt = args->cancel_on_interrupt};
    double max_cost;
    int code = check_usage(cli, &max_cost);
    if (code == CLI_OK)
        code = open_run(cli, &run);
    cli_catch_interrupt();
    if (code == CLI_OK)
        code = look_first(cli, &run);
    if (code == CLI_OK)
        code = preflight(cli, &run, max_cost);
    if (code == CLI_OK && !args->dry_run) {
        code = send_and_follow(cli, &run);
        code = bulk_finish(&run, &options, code);
    } else if (!args->dry_run) {
        code = bulk_write_summary(&run, &options, code);
    }
    bulk_run_clear(&run);
    return code;
}
