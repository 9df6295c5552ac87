#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/job.h"
#include "cli/out.h"
#include "common/base/clock.h"
#include "common/base/id.h"

/* Larger ones are refused by every server; this only keeps memory bounded. */
#define PROMPT_MAX_BYTES ((size_t)256 * 1024 * 1024)
#define CHUNK_BYTES 65536
#define TRIES 4

/* All of a file, "-" is standard input. 0 or -1, said. */
static int
read_file(const char *path, struct buffer *out)
{
    bool standard = strcmp(path, "-") == 0;
    FILE *file = standard ? stdin : fopen(path, "re");
    if (standard && isatty(STDIN_FILENO) == 1)
        out_tell("reading the prompt from the terminal; Ctrl-D ends it");
    if (file == NULL) {
        out_say("cannot read %s: %s", path, strerrordesc_np(errno));
        return -1;
    }
    size_t got;
    do {
        char *at = buffer_reserve(out, CHUNK_BYTES);
        got = fread(at, 1, CHUNK_BYTES, file);
        out->len += got;
    } while (got > 0 && out->len <= PROMPT_MAX_BYTES);
    bool failed = ferror(file) != 0;
    int reason = errno;
    if (!standard)
        fclose(file);
    if (failed)
        out_say("cannot read %s: %s", path, strerrordesc_np(reason));
    else if (out->len > PROMPT_MAX_BYTES)
        out_say("%s is larger than 256 MiB; Claude takes 32 MiB", path);
    return failed || out->len > PROMPT_MAX_BYTES ? -1 : 0;
}

static int
read_prompt(struct cli *cli, struct buffer *prompt)
{
    const struct args *args = &cli->args;
    const char *path = args->file != NULL ? args->file : "-";
    if (args->file != NULL && args->message != NULL)
        return cli_usage(cli, "give either --file or --message");
    if (args->message != NULL)
        buffer_append_text(prompt, args->message);
    else if (read_file(path, prompt) != 0)
        return CLI_ERROR;
    if (prompt->len == 0) {
        out_say("the prompt is empty");
        return CLI_USAGE;
    }
    if (text_is_utf8(buffer_slice(prompt)))
        return CLI_OK;
    struct slice rest = buffer_slice(prompt);
    size_t step;
    while ((step = text_utf8_step(rest)) > 0) {
        rest.data += step;
        rest.len -= step;
    }
    out_say("%s is not UTF-8 text: byte %zu. Convert it first, say with "
            "iconv -f LATIN1 -t UTF-8",
        path, (size_t)(rest.data - prompt->data) + 1);
    return CLI_ERROR;
}

static void
put_text(struct buffer *out, const char *key, const char *text)
{
    if (text == NULL)
        return;
    buffer_printf(out, ",\"%s\":", key);
    buffer_append_json(out, slice_of(text));
}

static void
put_options(const struct args *args, struct buffer *out)
{
    struct buffer options = {0};
    put_text(&options, "lane", args->lane);
    put_text(&options, "expires_in", args->expires_in);
    for (size_t i = 0; i < args->tags.count; i++) {
        buffer_append_text(&options, i == 0 ? ",\"tags\":[" : ",");
        buffer_append_json(&options, slice_of(args->tags.items[i]));
    }
    if (args->tags.count > 0)
        buffer_append_char(&options, ']');
    if (options.len > 0)
        buffer_printf(out, ",\"longhaul\":{%s}", options.data + 1);
    buffer_clear(&options);
}

/* The shorthand {"message": ..., "longhaul": {...}}. */
static int
make_body(struct cli *cli, struct buffer *body)
{
    const struct args *args = &cli->args;
    struct buffer prompt = {0};
    int code = cli_check_options(cli);
    if (code == CLI_OK)
        code = read_prompt(cli, &prompt);
    if (code == CLI_OK) {
        buffer_append_text(body, "{\"message\":");
        buffer_append_json(body, buffer_slice(&prompt));
        put_text(body, "model", args->model);
        put_text(body, "system", args->system);
        if (args->max_tokens != ARGS_UNSAID)
            buffer_printf(body, ",\"max_tokens\":%" PRIu64, args->max_tokens);
        put_options(args, body);
        buffer_append_char(body, '}');
    }
    buffer_clear(&prompt);
    return code;
}

static int
read_json_body(struct cli *cli, struct buffer *body)
{
    const struct args *args = &cli->args;
    if (args->message != NULL || args->file != NULL || args->system != NULL ||
        args->model != NULL || args->lane != NULL ||
        args->max_tokens != ARGS_UNSAID || args->expires_in != NULL ||
        args->tags.count > 0)
        return cli_usage(cli,
            "--json-body is sent byte for byte, so what it should say must "
            "be in it (options in its \"longhaul\" object)");
    if (read_file(args->json_body, body) != 0)
        return CLI_ERROR;
    if (body->len > 0)
        return CLI_OK;
    out_say("the body is empty");
    return CLI_USAGE;
}

/*
 * Hands the body in. A connection that breaks leaves open whether the job
 * was taken, so every submit carries a key and is simply sent again.
 */
static int
submit(struct client *client, const char *key, struct slice body,
    struct http_sync_reply *reply, json_t **job)
{
    char made[ID_SIZE];
    id_make("cli_", made);
    struct client_request request = {.method = "POST",
        .path = "/v1/jobs",
        .body = body,
        .idempotency_key = key != NULL ? key : made,
        .timeout_ms = 120000};
    int code = CLI_OK;
    for (int i = 1; i <= TRIES; i++) {
        request.quiet = i < TRIES;
        code = client_json(client, &request, reply, job);
        bool again = reply->end == HTTP_SYNC_CUT ||
            (reply->end == HTTP_SYNC_OK && reply->status == 503);
        if (code == CLI_OK || !again)
            break;
        if (i < TRIES && !cli_sleep(500 << i))
            return CLI_INTERRUPTED;
    }
    return code != CLI_OK && request.quiet ? client_explain(client, reply)
                                           : code;
}

/* After the submit: the answer's text instead of the id. */
static int
wait_and_print(struct cli *cli, struct client *client, const char *id)
{
    struct http_sync_reply reply = {0};
    struct buffer failure = {0};
    json_t *job = NULL;
    int64_t timeout_ms = cli->args.timeout_ms;
    int64_t deadline = timeout_ms < 0 ? -1 : clock_mono_ms() + timeout_ms;
    int code = job_wait(client, id, deadline, &reply, &job);
    if (code == CLI_OK)
        code = job_exit(job);
    if (code == CLI_OK && cli->args.json)
        code = out_write(buffer_slice(&reply.body)) ? CLI_OK : CLI_ERROR;
    else if (code == CLI_OK)
        code = job_print_text(client, id, stdout);
    if (code == CLI_FAILED) {
        job_failure(job, &failure);
        out_say("%s", failure.data != NULL ? failure.data : "the job failed");
        out_tell("  longhaul why %s tells more", id);
    } else if (code == CLI_RUNNING || code == CLI_INTERRUPTED) {
        out_tell("the job goes on: longhaul wait %s", id);
    }
    buffer_clear(&failure);
    json_decref(job);
    buffer_clear(&reply.body);
    return code;
}

static int
tell(struct cli *cli, const char *id, const struct http_sync_reply *reply)
{
    if (cli->args.json) {
        bool written = out_write(buffer_slice(&reply->body));
        return written && out_write(slice_of("\n")) ? CLI_OK : CLI_ERROR;
    }
    printf("%s\n", id);
    out_tell("accepted; longhaul wait %s waits for it, longhaul get %s --text "
             "prints the answer",
        id, id);
    return CLI_OK;
}

int
cmd_submit(struct cli *cli)
{
    struct buffer body = {0};
    struct http_sync_reply reply = {0};
    json_t *job = NULL;
    struct client *client = NULL;
    char id[ID_SIZE];
    if (cli->args.timeout_ms >= 0 && !cli->args.wait)
        return cli_usage(cli, "--timeout belongs to --wait");
    int code = cli->args.json_body != NULL ? read_json_body(cli, &body)
                                           : make_body(cli, &body);
    if (code == CLI_OK)
        client = client_new(cli, &code);
    if (client == NULL)
        goto done;
    cli_catch_interrupt();
    code = submit(
        client, cli->args.idempotency_key, buffer_slice(&body), &reply, &job);
    if (code != CLI_OK)
        goto done;
    if (!id_is_valid(client_slice(job, "id"), "job_")) {
        out_say("the server's answer names no job");
        code = CLI_ERROR;
        goto done;
    }
    text_copy(id, sizeof(id), client_slice(job, "id"));
    buffer_clear(&body);
    if (cli->args.wait)
        code = wait_and_print(cli, client, id);
    else
        code = tell(cli, id, &reply);
done:
    json_decref(job);
    buffer_clear(&reply.body);
    buffer_clear(&body);
    client_free(client);
    return code;
}
