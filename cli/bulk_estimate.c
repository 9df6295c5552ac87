#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "cli/bulk_run.h"
#include "cli/out.h"

#define NANOS_PER_USD 1e9

/* Tokens of the part that all rows share and that is marked for caching. */
static uint64_t
shared_tokens(const struct bulk_run *run)
{
    const struct template_request *request = &run->recipe.request;
    const struct model_info *info = models_find(run->models, run->recipe.model);
    uint64_t tokens = 0;
    if (!request->cache_prompt && !request->cache_system)
        return 0;
    if (request->system != NULL)
        tokens += template_tokens(template_prefix(request->system));
    if (request->cache_prompt)
        tokens += template_tokens(template_prefix(request->prompt));
    return (uint64_t)((double)tokens *
        (info != NULL && info->token_factor > 0 ? info->token_factor : 1));
}

static double
usd_of(const struct bulk_run *run, const struct job_usage *usage)
{
    int64_t nanos =
        models_cost_usd_nanos(run->models, run->recipe.model, usage);
    return nanos < 0 ? -1 : (double)nanos / NANOS_PER_USD;
}

/* Rows that start together find nothing in the cache: each of them may pay
 * for writing the shared part, which costs more than plain input. */
static double
most_usd_of(const struct bulk_run *run, uint64_t tokens, uint64_t shared)
{
    uint64_t written = tokens < shared ? tokens : shared;
    struct job_usage usage = {.input_tokens = tokens - written,
        .cache_write_5m_tokens = written,
        .output_tokens = run->recipe.request.max_tokens};
    return usd_of(run, &usage);
}

/* The first row writes the shared part, the others read it. */
static double
about_usd_of(const struct bulk_run *run, uint64_t tokens, uint64_t shared,
    bool first, uint64_t output)
{
    uint64_t cached = tokens < shared ? tokens : shared;
    struct job_usage usage = {.input_tokens = tokens - cached,
        .cache_write_5m_tokens = first ? cached : 0,
        .cache_read_tokens = first ? 0 : cached,
        .output_tokens = output};
    return usd_of(run, &usage);
}

void
bulk_estimate(const struct bulk_run *run, struct bulk_estimate *estimate)
{
    uint64_t shared = shared_tokens(run);
    uint64_t most = run->recipe.request.max_tokens;
    uint64_t average =
        run->past_answers > 0 ? run->past_output_tokens / run->past_answers : 0;
    struct job_usage nothing = {0};
    *estimate = (struct bulk_estimate){
        .has_price = run->recipe.prompt != NULL && usd_of(run, &nothing) >= 0};
    for (size_t i = 0; i < run->rows.count; i++) {
        const struct bulk_item *item = &run->rows.items[i];
        uint64_t cached =
            item->tokens > shared && estimate->rows > 0 ? shared : 0;
        if (item->state != BULK_OPEN)
            continue;
        estimate->rows++;
        estimate->input_tokens += item->tokens;
        estimate->cached_tokens += cached;
        estimate->most_output_tokens += most;
        estimate->output_tokens += average;
        if (!estimate->has_price)
            continue;
        estimate->most_usd += most_usd_of(run, item->tokens, shared);
        estimate->about_usd += about_usd_of(run, item->tokens, shared,
            estimate->rows == 1, average > 0 ? average : most);
    }
}

void
bulk_hold_back(struct bulk_run *run, double max_usd)
{
    uint64_t shared = shared_tokens(run);
    double usd = 0;
    for (size_t i = 0; i < run->rows.count; i++) {
        const struct bulk_item *item = &run->rows.items[i];
        if (item->state != BULK_OPEN)
            continue;
        usd += most_usd_of(run, item->tokens, shared);
        if (usd > max_usd)
            bulk_rows_set(&run->rows, i, BULK_HELD_BACK);
    }
}

static void
put_tokens(uint64_t tokens, struct buffer *out)
{
    if (tokens >= 10000000)
        buffer_printf(out, "%" PRIu64 " M", (tokens + 500000) / 1000000);
    else if (tokens >= 1000000)
        buffer_printf(out, "%.1f M", (double)tokens / 1e6);
    else if (tokens >= 10000)
        buffer_printf(out, "%" PRIu64 " k", (tokens + 500) / 1000);
    else
        buffer_printf(out, "%" PRIu64, tokens);
}

void
bulk_estimate_print(
    const struct bulk_run *run, const struct bulk_estimate *estimate)
{
    struct buffer line = {0};
    buffer_append_text(&line, "about ");
    put_tokens(estimate->input_tokens, &line);
    buffer_append_text(&line, " tokens in");
    if (estimate->cached_tokens > 0) {
        buffer_append_text(&line, " (");
        put_tokens(estimate->cached_tokens, &line);
        buffer_append_text(&line, " of them from the cache, at best)");
    }
    if (run->recipe.prompt != NULL) {
        buffer_append_text(&line, ", at most ");
        put_tokens(estimate->most_output_tokens, &line);
        buffer_append_text(&line, " out");
    }
    out_tell("%-14s %s", "estimate", line.data);
    buffer_reset(&line);
    if (estimate->output_tokens > 0) {
        buffer_append_text(&line, "about ");
        put_tokens(estimate->output_tokens, &line);
        buffer_printf(&line, " out if they are like the %" PRIu64 " before",
            run->past_answers);
        out_tell("%-14s %s", "", line.data);
    }
    if (estimate->has_price && estimate->output_tokens > 0)
        out_tell("%-14s about $%.2f, at most $%.2f, by the prices of %s",
            "cost", estimate->about_usd, estimate->most_usd,
            models_as_of(run->models));
    else if (estimate->has_price)
        out_tell("%-14s at most $%.2f by the prices of %s", "cost",
            estimate->most_usd, models_as_of(run->models));
    else if (run->recipe.prompt != NULL)
        out_tell("%-14s no price is known for %s", "cost", run->recipe.model);
    buffer_clear(&line);
}
