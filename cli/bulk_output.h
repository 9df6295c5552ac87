#ifndef LH_CLI_BULK_OUTPUT_H
#define LH_CLI_BULK_OUTPUT_H

/*
 * bulk_output: the file of answers and, beside it, NAME.errors.jsonl. Lines
 * are appended whole and flushed as they come, and made durable in groups;
 * a last line that a crash tore is cut off at the next start. Every line
 * names its row (custom_id) and its run, so that a run finds what is done
 * and a file of another run is refused. One process writes at a time.
 *
 * An error goes to disk before an answer that came after it: what lies
 * before the last answer of a batch is complete in both files.
 */

#include <jansson.h>

#include "cli/bulk_rows.h"
#include "common/base/buffer.h"

#define BULK_BATCH_SIZE 48

/* What an earlier line says; texts are valid during the call. */
struct bulk_past {
    struct slice custom_id;
    struct slice batch;
    struct slice job_id;
    uint64_t seq;
    bool is_error;
    bool is_final; /* an answer, or a failure of the request itself */
    uint64_t input_tokens; /* all kinds */
    uint64_t output_tokens;
    double cost_usd; /* < 0: not known */
};

struct bulk_output_options {
    const char *path;
    const char *run;
    bool dry; /* read only, and no matter if there is none */
    void (*on_past)(void *arg, const struct bulk_past *past);
    void *arg;
};

struct bulk_output;

/*
 * Locks, repairs and reads both files. Errors that are not final are
 * dropped: the run says them anew. NULL (said) when another process writes
 * there, the file is not of this run, or cannot be written.
 */
struct bulk_output *bulk_output_open(
    const struct bulk_output_options *options) MUST_CHECK;
const char *bulk_output_errors_path(const struct bulk_output *output);
/* Whether the file of errors has lines. */
bool bulk_output_has_errors(const struct bulk_output *output);

/* A line of JSON without its end, kept until the next flush. */
void bulk_output_answer(struct bulk_output *output, struct slice line);
void bulk_output_error(struct bulk_output *output, struct slice line);
/* To the files; with `sync` to disk. 0, or -1 (said): the disk is full. */
int bulk_output_flush(struct bulk_output *output, bool sync) MUST_CHECK;

/* Leaves out of the file of errors what has an answer meanwhile. 0 or -1. */
int bulk_output_settle(
    struct bulk_output *output, const struct bulk_rows *rows) MUST_CHECK;
/* Puts the answers into the order of the rows (a new file takes the place
 * of the old one at once); lines of other rows go last. 0 or -1 (said). */
int bulk_output_sort(
    struct bulk_output *output, const struct bulk_rows *rows) MUST_CHECK;
/* Closes; a file that we made and that is empty is removed. */
void bulk_output_close(struct bulk_output *output);

#endif
