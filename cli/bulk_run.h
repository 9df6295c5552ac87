#ifndef LH_CLI_BULK_RUN_H
#define LH_CLI_BULK_RUN_H

/*
 * bulk_run: one run of `longhaul bulk`: its rows, its files and its batches
 * on the server. The parts work on this struct in the order of a run:
 *
 *   plan       the input is read once; bad rows are noted
 *   output     what the files say is done
 *   catch up   batches of the same run label on the server, also of other
 *              machines: their rows are sent, their results are fetched
 *   first      one row alone, when rows share a part for Claude's cache
 *   upload     the rows that nobody has sent
 *   follow     results, as they come, until every batch has ended
 */

#include "cli/bulk_output.h"
#include "cli/bulk_progress.h"
#include "cli/bulk_recipe.h"
#include "cli/client.h"

struct bulk_batch {
    char id[BULK_BATCH_SIZE];
    uint64_t seq; /* the last result that was taken */
    uint64_t queued;
    uint64_t running;
    uint64_t retrying;
    uint64_t lines; /* that were sent with it, when the server listed it */
    uint64_t failed; /* its rows of which this process saw the failure */
    bool known; /* the server has it */
    bool ended;
    bool drained; /* ended, and every result was taken */
};

/* A row that failed in an earlier start. */
struct bulk_failed {
    char id[BULK_ID_SIZE];
    char job_id[BULK_BATCH_SIZE];
    char batch[BULK_BATCH_SIZE];
};

#define BULK_LABEL_SIZE 129

struct bulk_run {
    struct client *client;
    struct models *models;
    struct bulk_source *source; /* NULL: attached without the input */
    struct bulk_recipe recipe;
    char label[BULK_LABEL_SIZE];
    struct bulk_rows rows;
    struct bulk_output *output; /* NULL: nothing is written */
    struct bulk_progress progress;
    struct bulk_batch *batches; /* oldest first */
    size_t batch_count;
    bool join; /* the row's columns go into its line */
    bool attached; /* a row is whatever the batch has */
    bool following; /* this run's rows: their end is final */
    /* plan */
    struct buffer bad_lines; /* for the file of errors */
    struct buffer notes; /* for the people in front of it */
    uint64_t bad;
    uint64_t duplicates;
    /* what earlier runs did, by the output */
    uint64_t past_answers;
    uint64_t past_input_tokens;
    uint64_t past_output_tokens;
    struct bulk_failed *failed;
    size_t failed_count;
    uint64_t fetched; /* answers that were only fetched */
    double cost_usd; /* of answers taken by this process */
    double past_cost_usd; /* of those in the output before */
    bool cost_unknown; /* some had no price */
    int64_t patience_ms; /* with a server that is away; -1: for ever */
    /* the call that runs */
    struct bulk_batch *batch;
    struct buffer part; /* of a line */
    int64_t synced_ms;
    bool write_failed;
    bool waiting; /* said that the server is away */
};

/* ---- bulk_open.c ---- */

void bulk_run_clear(struct bulk_run *run);
/* Opens the files and notes what they say is done. */
int bulk_open_output(
    struct bulk_run *run, const char *path, bool dry) MUST_CHECK;

struct bulk_finish_options {
    const char *output; /* as it is called */
    const char *summary_json; /* or NULL */
    bool in_order;
    bool cancel_on_interrupt;
};
/* Writes options->summary_json, if it is not NULL, also of a run that did not
 * come far. `code` is what the program ends with; returns it, or another one
 * when the file cannot be written (said). */
int bulk_write_summary(const struct bulk_run *run,
    const struct bulk_finish_options *options, int code) MUST_CHECK;
/* Says how it ended and writes the summary: `code` is what following gave;
 * returns what the program should end with. */
int bulk_finish(struct bulk_run *run, const struct bulk_finish_options *options,
    int code) MUST_CHECK;

/* ---- bulk_plan.c ---- */

struct bulk_plan_options {
    uint64_t limit; /* rows; 0: all */
    uint64_t show; /* prompts to print */
    bool shorten; /* them, when they are long */
};
/* Reads the input, fills rows, bad_lines and notes. CLI_OK, or the exit code
 * when nothing can be sent (said). */
int bulk_plan(
    struct bulk_run *run, const struct bulk_plan_options *options) MUST_CHECK;

/* ---- bulk_estimate.c ---- */

struct bulk_estimate {
    uint64_t rows; /* that would be sent */
    uint64_t input_tokens;
    uint64_t cached_tokens; /* of them, at best */
    uint64_t most_output_tokens;
    uint64_t output_tokens; /* by earlier answers; 0: there are none */
    bool has_price;
    double most_usd; /* were every row to write the shared part anew */
    double about_usd; /* by earlier answers and the cache */
};
void bulk_estimate(const struct bulk_run *run, struct bulk_estimate *estimate);
/* Holds rows back from where they could cost more than max_usd. */
void bulk_hold_back(struct bulk_run *run, double max_usd);
void bulk_estimate_print(
    const struct bulk_run *run, const struct bulk_estimate *estimate);

/* ---- bulk_remote.c ---- */

/* Finds or adds. */
struct bulk_batch *bulk_run_batch(struct bulk_run *run, struct slice id);
/* client_json(), or client_call() without `json`, that waits out a server
 * which is away, as long as run->patience_ms says. Failures are said. */
int bulk_call(struct bulk_run *run, struct client_request *request,
    struct http_sync_reply *reply, json_t **json) MUST_CHECK;
/* Adds the batches of this run label that the server knows. */
int bulk_find_batches(struct bulk_run *run) MUST_CHECK;
/* Marks the batch's rows as sent; attached, adds them. */
int bulk_read_items(struct bulk_run *run, struct bulk_batch *batch) MUST_CHECK;
/* Reads counts and whether it has ended. */
int bulk_read_batch(struct bulk_run *run, struct bulk_batch *batch) MUST_CHECK;
/* Takes the results behind batch->seq; wait_s: holds on for more. */
int bulk_read_results(
    struct bulk_run *run, struct bulk_batch *batch, unsigned wait_s) MUST_CHECK;
/* The two above for every batch of the label; rows that were canceled or
 * expired are open again. */
int bulk_catch_up(struct bulk_run *run) MUST_CHECK;

/* ---- bulk_result.c ---- */

/* One line of results; false when the files cannot be written (said). */
bool bulk_take_result(struct bulk_run *run, struct slice line);
/* A line for the file of errors about a row that was not sent. */
void bulk_bad_line(struct bulk_run *run, const char *id, uint64_t line,
    const char *what, struct buffer *out);

/* ---- bulk_again.c ---- */

/* Keeps what an earlier line of errors says. */
void bulk_note_failed(struct bulk_run *run, const struct bulk_past *past);
/* Takes the answers of rows that failed and were run again since; `wait`:
 * also of those that are being run. */
int bulk_look_again(struct bulk_run *run, bool wait) MUST_CHECK;

/* ---- bulk_upload.c ---- */

#define BULK_CHUNK_ROWS 100000 /* of one batch; more rows are several */

struct bulk_upload_options {
    const char *lane;
    const char *expires_in;
    bool first_only; /* the first open row alone */
};
/* Sends every open row. */
int bulk_upload(
    struct bulk_run *run, const struct bulk_upload_options *options) MUST_CHECK;

/* ---- bulk_first.c ---- */

/* When the rows share a part for the cache and are more than a few: sends
 * the first open row alone and waits for its end, a minute at most. */
int bulk_send_first(
    struct bulk_run *run, const struct bulk_upload_options *options) MUST_CHECK;
/* Whether the rows to be sent are such. */
bool bulk_wants_first(const struct bulk_run *run);
/*
 * Whether an earlier start may have been stopped between two of its uploads,
 * by the server's newest batch. The rows that are open must then be sent as
 * it would have sent them: an upload that is still on its way has the same
 * key and is not done twice. now_ms: wall clock.
 */
bool bulk_is_between(const struct bulk_run *run, int64_t now_ms);

/* ---- bulk_why.c ---- */

/* Appends what a row of the batch waits for, in the server's words; nothing
 * when none waits or the server does not say. */
void bulk_why(struct client *client, const char *batch, struct buffer *out);

/* ---- bulk_follow.c ---- */

void bulk_show_progress(struct bulk_run *run, bool last);
/* Until every batch has ended and every result was taken. CLI_OK, or
 * CLI_INTERRUPTED, or what went wrong. */
int bulk_follow(struct bulk_run *run) MUST_CHECK;
/* Until more than `ended` rows are done or failed, no batch is under way, or
 * most_ms have passed. */
int bulk_follow_until(
    struct bulk_run *run, size_t ended, int64_t most_ms) MUST_CHECK;

#endif
