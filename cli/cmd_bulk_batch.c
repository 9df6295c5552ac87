#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/bulk_cost.h"
#include "cli/bulk_run.h"
#include "cli/operation.h"
#include "cli/out.h"

/* The commands on one batch: attach, status, results, cancel, retry-failed. */

static void
batch_path(const struct cli *cli, const char *tail, struct buffer *out)
{
    buffer_append_text(out, "/v1/batches/");
    client_encode(out, slice_of(cli->argv[0]));
    buffer_append_text(out, tail);
}

static const char *const states[] = {"queued", "running", "retrying",
    "succeeded", "failed", "canceled", "expired"};
#define STATES (sizeof(states) / sizeof(states[0]))

static void
put_counts(const json_t *batch, struct buffer *out)
{
    const json_t *counts = json_object_get(batch, "counts");
    for (size_t i = 0; i < STATES; i++) {
        uint64_t count = client_count(counts, states[i]);
        if (count > 0)
            buffer_printf(out, "%s%" PRIu64 " %s", out->len > 0 ? ", " : "",
                count, states[i]);
    }
    if (out->len == 0)
        buffer_append_text(out, "nothing");
}

static void
show_batch(const json_t *batch)
{
    struct buffer text = {0};
    const json_t *usage = json_object_get(batch, "usage");
    double cost_usd = bulk_cost_usd(client_slice(batch, "cost_usd"));
    const json_t *left = json_object_get(batch, "seconds_left");
    char time[40];
    out_field("batch", client_slice(batch, "id"));
    out_field_state("status", client_slice(batch, "status"));
    put_counts(batch, &text);
    out_field("items", buffer_slice(&text));
    buffer_reset(&text);
    buffer_printf(&text, "%" PRIu64 " accepted, %" PRIu64 " refused",
        client_count(batch, "accepted"), client_count(batch, "rejected"));
    out_field("lines", buffer_slice(&text));
    buffer_reset(&text);
    buffer_printf(&text, "%" PRIu64 " in, %" PRIu64 " out",
        client_count(usage, "input_tokens"),
        client_count(usage, "output_tokens"));
    out_field("tokens", buffer_slice(&text));
    buffer_reset(&text);
    if (cost_usd >= 0) {
        buffer_printf(&text, "$%.4f", cost_usd);
        out_field("cost", buffer_slice(&text));
    }
    if (json_is_number(left) && json_number_value(left) > 0) {
        text_format_duration(
            (int64_t)(json_number_value(left) * 1000), time, sizeof(time));
        out_field("time left", slice_of(time));
    }
    out_field("created", client_slice(batch, "created_at"));
    if (client_slice(batch, "ended_at").len > 0)
        out_field("ended", client_slice(batch, "ended_at"));
    buffer_clear(&text);
}

static void
show_list(const json_t *list)
{
    static const char *const headings[] = {"ID", "STATUS", "CREATED", "ITEMS"};
    const json_t *data = json_object_get(list, "data");
    struct out_table *table = out_table_new(headings, 4);
    for (size_t i = 0; i < json_array_size(data); i++) {
        const json_t *batch = json_array_get(data, i);
        struct buffer text = {0};
        out_table_cell(table, client_slice(batch, "id"));
        out_table_cell(table, client_slice(batch, "status"));
        out_time(client_slice(batch, "created_at"), &text);
        out_table_cell(table, buffer_slice(&text));
        buffer_reset(&text);
        put_counts(batch, &text);
        out_table_cell(table, buffer_slice(&text));
        buffer_clear(&text);
    }
    if (json_array_size(data) == 0)
        out_tell("no batches");
    out_table_print(table, 1);
}

/* What an open batch waits for, below what is known of it. */
static int
show_status(struct cli *cli, const char *path)
{
    struct http_sync_reply reply = {0};
    struct buffer why = {0};
    json_t *batch = NULL;
    int code;
    struct client *client = client_new(cli, &code);
    if (client == NULL)
        return code;
    struct client_request request = {.path = path};
    code = client_json(client, &request, &reply, &batch);
    if (code == CLI_OK && cli->args.json)
        out_write_line(buffer_slice(&reply.body));
    else if (code == CLI_OK)
        show_batch(batch);
    if (code == CLI_OK && !cli->args.json &&
        strcmp(client_text(batch, "status"), "ended") != 0)
        bulk_why(client, client_text(batch, "id"), &why);
    if (why.len > 0)
        out_field("waits for", buffer_slice(&why));
    json_decref(batch);
    buffer_clear(&why);
    buffer_clear(&reply.body);
    client_free(client);
    return code;
}

int
cmd_bulk_status(struct cli *cli)
{
    struct buffer path = {0};
    int code;
    uint64_t most = args_list_limit(&cli->args);
    if (most == 0 || most > 1000)
        return cli_usage(cli, "--limit is 1 to 1000");
    if (cli->argc > 0) {
        batch_path(cli, "", &path);
        code = show_status(cli, path.data);
    } else {
        buffer_printf(&path, "/v1/batches?limit=%" PRIu64, most);
        code = client_show(cli, "GET", path.data, show_list);
    }
    buffer_clear(&path);
    return code;
}

int
cmd_bulk_cancel(struct cli *cli)
{
    struct buffer path = {0};
    batch_path(cli, "/cancel", &path);
    int code = client_show(cli, "POST", path.data, show_batch);
    buffer_clear(&path);
    return code;
}

/* --- results --- */

struct download {
    FILE *file;
    bool failed;
};

static int
on_results(void *arg, struct slice part)
{
    struct download *download = arg;
    download->failed |=
        fwrite(part.data, 1, part.len, download->file) != part.len;
    return download->failed ? -1 : 0;
}

int
cmd_bulk_results(struct cli *cli)
{
    struct http_sync_reply reply = {0};
    struct buffer path = {0};
    const char *output = cli->args.output;
    struct download download = {.file = stdout};
    int code;
    struct client *client = client_new(cli, &code);
    if (client == NULL)
        return code;
    if (output != NULL)
        download.file = fopen(output, "wxe");
    if (download.file == NULL) {
        out_say("cannot make %s; it must not be there yet", output);
        client_free(client);
        return CLI_ERROR;
    }
    batch_path(cli, "/results", &path);
    struct client_request request = {.path = path.data,
        .quiet = true,
        .on_body = on_results,
        .arg = &download};
    code = client_call(client, &request, &reply);
    if (code != CLI_OK && !download.failed)
        code = client_explain(client, &reply);
    if (output != NULL && fclose(download.file) != 0)
        download.failed = true;
    if (download.failed) {
        if (output != NULL || errno != EPIPE)
            out_say("cannot write the results: %s", strerrordesc_np(errno));
        code = CLI_ERROR;
    }
    buffer_clear(&path);
    buffer_clear(&reply.body);
    client_free(client);
    return code;
}

/* --- retry-failed --- */

static int
follow_operation(struct cli *cli, struct client *client,
    struct http_sync_reply *reply, json_t **op)
{
    char id[64];
    text_copy(id, sizeof(id), client_slice(*op, "id"));
    int code = operation_follow(client, id, reply, op);
    if (cli->args.json && *op != NULL)
        out_write_line(buffer_slice(&reply->body));
    else if (*op != NULL)
        out_tell("%" PRIu64 " requests run again; the same bulk run command "
                 "fetches their answers",
            client_count(*op, "done"));
    return code;
}

int
cmd_bulk_retry_failed(struct cli *cli)
{
    struct http_sync_reply reply = {0};
    struct buffer path = {0};
    json_t *op = NULL;
    int code;
    struct client *client = client_new(cli, &code);
    if (client == NULL)
        return code;
    cli_catch_interrupt();
    batch_path(cli, "/retry-failed", &path);
    struct client_request request = {.method = "POST", .path = path.data};
    code = client_json(client, &request, &reply, &op);
    if (code == CLI_OK && cli->args.detach)
        printf("%s\n", client_text(op, "id"));
    else if (code == CLI_OK)
        code = follow_operation(cli, client, &reply, &op);
    json_decref(op);
    buffer_clear(&path);
    buffer_clear(&reply.body);
    client_free(client);
    return code;
}

/* --- attach --- */

/* The label that lines of this batch carry. */
static int
read_label(struct cli *cli, struct bulk_run *run, struct bulk_batch **batch)
{
    struct http_sync_reply reply = {0};
    struct buffer path = {0};
    json_t *json = NULL;
    batch_path(cli, "", &path);
    struct client_request request = {.path = path.data};
    int code = bulk_call(run, &request, &reply, &json);
    struct slice label = client_slice(json, "run");
    struct slice id = client_slice(json, "id");
    if (code == CLI_OK &&
        !text_copy(run->label, sizeof(run->label), label.len > 0 ? label : id))
        code = CLI_ERROR;
    if (code == CLI_OK) {
        *batch = bulk_run_batch(run, id);
        (*batch)->known = true;
    }
    json_decref(json);
    buffer_clear(&path);
    buffer_clear(&reply.body);
    return code;
}

int
cmd_bulk_attach(struct cli *cli)
{
    const struct args *args = &cli->args;
    struct bulk_run run = {.progress = {.name = cli->argv[0]},
        .attached = true,
        .patience_ms = 30000};
    struct bulk_finish_options options = {
        .output = args->output != NULL ? args->output : cli->argv[0],
        .summary_json = args->summary_json};
    struct bulk_batch *batch = NULL;
    int code;
    if (bulk_progress_mode(
            args->progress, out_is_terminal(stderr), &run.progress.mode) != 0)
        return cli_usage(cli, "--progress is auto, bar, plain, json or none");
    run.client = client_new(cli, &code);
    if (run.client == NULL)
        return code;
    cli_catch_interrupt();
    code = read_label(cli, &run, &batch);
    if (code == CLI_OK)
        code = bulk_read_items(&run, batch);
    if (code == CLI_OK && args->output != NULL)
        code = bulk_open_output(&run, args->output, false);
    if (code == CLI_OK) {
        run.patience_ms = -1;
        code = bulk_finish(&run, &options, bulk_follow(&run));
    } else {
        code = bulk_write_summary(&run, &options, code);
    }
    bulk_run_clear(&run);
    return code;
}
