#ifndef LH_CLI_BULK_RECIPE_H
#define LH_CLI_BULK_RECIPE_H

/*
 * bulk_recipe: what a bulk run does with each row: its identity, and the
 * line of the upload that it becomes. The same template, system prompt,
 * model, parameters and way of naming rows give the same run label, on every
 * machine; the same row in it gives the same custom_id. So a run that is
 * started again finds what it has paid for.
 */

#include "cli/bulk_source.h"
#include "common/job/template.h"
#include "common/service/models.h"

#define BULK_RUN_SIZE 33
#define BULK_ID_SIZE 65

struct bulk_recipe_options {
    const char *template_path; /* NULL: of JSONL, whose lines are requests */
    const char *system_path; /* or NULL */
    const char *model;
    uint64_t max_tokens;
    const char *id_column; /* or NULL */
};

struct bulk_recipe {
    struct template *prompt; /* NULL: lines are requests */
    struct template *system;
    struct template_request request;
    char *model;
    bool has_id_column;
    size_t id_column;
    char run[BULK_RUN_SIZE];
};

/* Reads the templates and checks them against the source's columns. 0, or
 * -1 (said), or 1 (said) when the source has no such id column. The source
 * and models must outlive it. */
int bulk_recipe_open(struct bulk_recipe *recipe,
    const struct bulk_recipe_options *options, const struct bulk_source *source,
    const struct models *models) MUST_CHECK;
void bulk_recipe_clear(struct bulk_recipe *recipe);

/* The row's custom_id: its id column if that is fit for one
 * ([A-Za-z0-9_-]{1,64}), else "r-" and a hash of the row. */
void bulk_recipe_id(const struct bulk_recipe *recipe,
    const struct bulk_source *source, const struct bulk_row *row,
    char id[BULK_ID_SIZE]);
/* Whether the row can be sent; writes why not to row->fault. */
bool bulk_recipe_check(
    const struct bulk_recipe *recipe, struct bulk_row *row) MUST_CHECK;
/* Appends the prompt as Claude gets it, system prompt first. */
void bulk_recipe_prompt(const struct bulk_recipe *recipe,
    const struct bulk_row *row, struct buffer *out);
/* Appends the line {"custom_id":...,"params":{...}} with its end; of a whole
 * request also the options that stand in "longhaul" beside its params. */
void bulk_recipe_line(const struct bulk_recipe *recipe,
    const struct bulk_row *row, const char *id, struct buffer *out);

#endif
