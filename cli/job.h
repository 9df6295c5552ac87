#ifndef LH_CLI_JOB_H
#define LH_CLI_JOB_H

/*
 * job: what several commands do with a job: check its id, wait for its end,
 * print the text of its answer.
 */

#include "cli/client.h"

/* Whether the word is a job's id; says so if not. */
bool job_id_ok(const char *word);
/* The client for a command with ids as words; NULL with *code. */
struct client *job_client(struct cli *cli, int *code);

bool job_has_ended(const json_t *job);
/* CLI_OK for succeeded, CLI_FAILED for another end, else CLI_RUNNING. */
int job_exit(const json_t *job);

/*
 * Waits until the job has ended: CLI_OK with *job (the caller decrefs; the
 * text is in reply->body), CLI_RUNNING when deadline_ms (monotonic, -1: none)
 * passed (*job is set then as well), or another exit code. A server that is
 * away for less than half a minute is waited for.
 */
int job_wait(struct client *client, const char *id, int64_t deadline_ms,
    struct http_sync_reply *reply, json_t **job) MUST_CHECK;

/* Fetches the result and prints its text blocks, with a line end, made safe
 * if `file` is a terminal. */
int job_print_text(struct client *client, const char *id, FILE *file);
/* The text blocks of a Message. */
void job_text(const json_t *message, struct buffer *out);

/* "failed: rate_limit_error: ... (request req_...)" of a job that did not
 * succeed; "" otherwise. */
void job_failure(const json_t *job, struct buffer *out);

#endif
