#include <inttypes.h>
#include <string.h>

#include "cli/bulk_run.h"
#include "cli/out.h"

/* Bad rows that are named on the terminal; the file of errors has all. */
#define NAMED_MAX 20
/* Of the beginning and of the end of a prompt that is shortened. */
#define SHOWN_BYTES ((size_t)400)

struct plan {
    struct bulk_run *run;
    const struct bulk_plan_options *options;
    double factor;
    struct buffer line;
    uint64_t shown;
    struct buffer prompts;
};

static void
note_bad(struct plan *plan, const struct bulk_row *row)
{
    struct bulk_run *run = plan->run;
    run->bad++;
    bulk_bad_line(run, NULL, row->line, row->fault, &run->bad_lines);
    buffer_append_char(&run->bad_lines, '\n');
    if (run->bad <= NAMED_MAX)
        buffer_printf(&run->notes, "line %-9" PRIu64 " %s; it is left out\n",
            row->line, row->fault);
}

static void
note_duplicate(
    struct plan *plan, const struct bulk_row *row, const char *id, size_t first)
{
    struct bulk_run *run = plan->run;
    run->duplicates++;
    if (run->duplicates > NAMED_MAX)
        return;
    if (strncmp(id, "r-", 2) == 0)
        buffer_printf(&run->notes,
            "line %-9" PRIu64 " is the same row as line %" PRIu64
            "; it is sent once\n",
            row->line, run->rows.items[first].line);
    else
        buffer_printf(&run->notes,
            "line %-9" PRIu64 " has the id of line %" PRIu64
            ", %s; it is left out\n",
            row->line, run->rows.items[first].line, id);
}

/* Where `text` can be cut, at `at` or a little before: at the end of a line
 * if there is one, else between two characters. */
static size_t
cut_before(struct slice text, size_t at)
{
    size_t line = at;
    while (
        line > 0 && at - line < SHOWN_BYTES / 2 && text.data[line - 1] != '\n')
        line--;
    if (line > 0 && text.data[line - 1] == '\n')
        return line;
    while (at > 0 && ((unsigned char)text.data[at] & 0xc0) == 0x80)
        at--;
    return at;
}

static void
show_prompt(struct plan *plan)
{
    struct slice text = buffer_slice(&plan->line);
    struct buffer *out = &plan->prompts;
    plan->shown++;
    buffer_printf(out,
        "prompt %-7" PRIu64 " %zu bytes, about %" PRIu64 " tokens\n",
        plan->shown, text.len,
        (uint64_t)((double)template_tokens(text) * plan->factor));
    if (!plan->options->shorten || text.len <= 3 * SHOWN_BYTES) {
        out_safe(out, text, true);
    } else {
        size_t head = cut_before(text, SHOWN_BYTES);
        size_t tail = cut_before(text, text.len - SHOWN_BYTES);
        out_safe(out, slice_make(text.data, head), true);
        buffer_printf(out, "%s[... %zu bytes; --show 1 prints all ...]\n",
            text.data[head - 1] == '\n' ? "" : "\n", tail - head);
        out_safe(out, slice_make(text.data + tail, text.len - tail), true);
    }
    buffer_append_char(out, '\n');
}

static void
take_row(struct plan *plan, struct bulk_row *row)
{
    struct bulk_run *run = plan->run;
    char id[BULK_ID_SIZE];
    size_t at;
    if (!bulk_recipe_check(&run->recipe, row)) {
        note_bad(plan, row);
        return;
    }
    bulk_recipe_id(&run->recipe, run->source, row, id);
    buffer_reset(&plan->line);
    bulk_recipe_line(&run->recipe, row, id, &plan->line);
    if (plan->line.len > BULK_LINE_MAX_BYTES) {
        snprintf(row->fault, sizeof(row->fault),
            "makes a request of more than %zu MiB",
            BULK_LINE_MAX_BYTES / 1024 / 1024);
        note_bad(plan, row);
        return;
    }
    if (!bulk_rows_add(&run->rows, id, &at)) {
        note_duplicate(plan, row, id, at);
        return;
    }
    buffer_reset(&plan->line);
    bulk_recipe_prompt(&run->recipe, row, &plan->line);
    struct bulk_item *item = &run->rows.items[at];
    item->offset = row->offset;
    item->line = row->line;
    item->tokens =
        (uint32_t)((double)template_tokens(buffer_slice(&plan->line)) *
            plan->factor);
    if (plan->options->limit > 0 && at >= plan->options->limit)
        bulk_rows_set(&run->rows, at, BULK_HELD_BACK);
    else if (plan->shown < plan->options->show)
        show_prompt(plan);
}

static int
read_rows(struct plan *plan)
{
    struct bulk_run *run = plan->run;
    struct bulk_row row;
    int more;
    bulk_source_rewind(run->source);
    while ((more = bulk_source_next(run->source, &row)) == 1) {
        if (row.fatal) {
            out_say("line %" PRIu64 " %s", row.line, row.fault);
            out_tell("  what lies behind it cannot be told apart; nothing was "
                     "sent");
            return CLI_ERROR;
        }
        if (run->rows.count == BULK_ROWS_MAX) {
            out_say("more than %zu rows in one run", BULK_ROWS_MAX);
            return CLI_ERROR;
        }
        take_row(plan, &row);
    }
    return more < 0 ? CLI_ERROR : CLI_OK;
}

static void
note_rest(const struct plan *plan)
{
    struct bulk_run *run = plan->run;
    if (run->bad > NAMED_MAX)
        buffer_printf(&run->notes, "%-14s %" PRIu64 " more bad rows\n", "",
            run->bad - NAMED_MAX);
    if (run->duplicates > NAMED_MAX)
        buffer_printf(&run->notes, "%-14s %" PRIu64 " more duplicates\n", "",
            run->duplicates - NAMED_MAX);
    buffer_append_slice(&run->notes, buffer_slice(&plan->prompts));
}

int
bulk_plan(struct bulk_run *run, const struct bulk_plan_options *options)
{
    const struct model_info *info = models_find(run->models, run->recipe.model);
    struct plan plan = {.run = run, .options = options};
    plan.factor =
        info != NULL && info->token_factor > 0 ? info->token_factor : 1;
    int code = read_rows(&plan);
    if (code == CLI_OK) {
        note_rest(&plan);
        if (run->rows.count == 0 && run->bad == 0) {
            out_say("there are no rows: nothing to do");
            code = CLI_ERROR;
        }
    }
    buffer_clear(&plan.line);
    buffer_clear(&plan.prompts);
    return code;
}
