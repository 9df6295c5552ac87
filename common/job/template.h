#ifndef LH_JOB_TEMPLATE_H
#define LH_JOB_TEMPLATE_H

/*
 * template: a prompt with {{fields}} that are filled from the columns of a
 * row, and the Messages request that is made of it. Pure.
 *
 * {{name}} stands for a field; blanks inside the braces do not count.
 * {{{{ stands for {{ itself; braces that are alone stand for themselves.
 * One line end at the very end of the text is left out, and a byte order
 * mark at its start.
 *
 * Claude caches a prompt from its beginning up to a marked block. So what
 * all rows share goes first: the text before the first field becomes a block
 * of its own with cache_control, if it is long enough for the model
 * (template_request_plan).
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buffer.h"

#define TEMPLATE_NAME_MAX 256

struct template;

/* A copy of the text, compiled. NULL with a sentence in *error ("line 3:
 * ...") when it is empty, not UTF-8 or has an open {{. */
struct template *template_new(
    struct slice text, struct buffer *error) MUST_CHECK;
void template_free(struct template *template);

/* The names it uses, in order of first use, each once. */
size_t template_field_count(const struct template *template);
struct slice template_field_name(const struct template *template, size_t field);

/*
 * names[0..count-1]: what the columns are called; values come in their
 * order later. 0, or -1 with a sentence that names the unknown field, with
 * a suggestion, or the column that occurs twice.
 */
int template_bind(struct template *template, const struct slice *names,
    size_t count, struct buffer *error) MUST_CHECK;
/* The column of a field, after binding. */
size_t template_field_column(const struct template *template, size_t field);

/* The text before the first field; all of it when there is none. */
struct slice template_prefix(const struct template *template);
/* Whether every field is empty or blank; false when it has no fields. */
bool template_is_blank(
    const struct template *template, const struct slice *values);
/* values: by column, as bound. Appends the text. */
void template_render(const struct template *template,
    const struct slice *values, struct buffer *out);

/* About how many tokens well-formed UTF-8 text is for the older tokenizers:
 * four ASCII characters a token, fewer of other scripts. An estimate. */
uint64_t template_tokens(struct slice text);

struct template_request {
    const struct template *prompt;
    const struct template *system; /* or NULL */
    const char *model; /* job_model_is_valid, or NULL: not named */
    uint64_t max_tokens; /* at least 1 */
    /* Set by template_request_plan. */
    bool cache_prompt; /* behind the shared part of the prompt */
    bool cache_system; /* behind the shared part of the system prompt */
};

/*
 * Decides where a cached part ends, once for all rows.
 * min_tokens: the shortest part that the model caches; 0: never mark one.
 * factor: tokens of the model's tokenizer for one of template_tokens();
 * 0 counts as 1.
 */
void template_request_plan(
    struct template_request *request, uint64_t min_tokens, double factor);
/* Appends a Messages request, one line of JSON. values must be UTF-8. */
void template_request_render(const struct template_request *request,
    const struct slice *values, struct buffer *out);

#endif
