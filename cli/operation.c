#include "cli/operation.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "cli/client.h"
#include "cli/out.h"
#include "common/base/clock.h"

#define FOLLOW_MS 500
#define TELL_MS 30000
#define RATE_MAX 1000

static void
put(struct buffer *out, const char *name, const char *value)
{
    if (value == NULL)
        return;
    buffer_printf(out, "%s\"%s\":", out->len > 0 ? "," : "", name);
    buffer_append_json(out, slice_of(value));
}

static void
make_body(
    const struct args *args, const char *action, bool dry, struct buffer *out)
{
    struct buffer filter = {0};
    put(&filter, "fingerprint", args->fingerprint);
    put(&filter, "error_type", args->error_type);
    put(&filter, "model", args->model);
    put(&filter, "lane", args->lane);
    buffer_printf(out, "{\"action\":\"%s\",\"filter\":{%s}", action,
        filter.len > 0 ? filter.data : "");
    if (args->rate > 0)
        buffer_printf(out, ",\"rate\":%" PRIu64, args->rate);
    buffer_append_text(out, dry ? ",\"dry_run\":true}" : "}");
    buffer_clear(&filter);
}

static int
post(struct cli *cli, struct client *client, const char *action, bool dry,
    struct http_sync_reply *reply, json_t **json)
{
    struct buffer body = {0};
    make_body(&cli->args, action, dry, &body);
    struct client_request request = {.method = "POST",
        .path = "/v1/operations",
        .body = buffer_slice(&body)};
    int code = client_json(client, &request, reply, json);
    buffer_clear(&body);
    return code;
}

/* Whether the people in front of the terminal want it. CLI_OK: yes. */
static int
confirm(struct cli *cli, const char *action, uint64_t count)
{
    char answer[16] = "";
    if (cli->args.yes)
        return CLI_OK;
    if (isatty(STDIN_FILENO) != 1) {
        out_say("not without --yes: this would %s %" PRIu64 " dead letters",
            action, count);
        return CLI_USAGE;
    }
    fprintf(stderr, "%s %" PRIu64 " dead letters? [y/N] ", action, count);
    fflush(stderr);
    if (fgets(answer, sizeof(answer), stdin) != NULL &&
        (answer[0] == 'y' || answer[0] == 'Y'))
        return CLI_OK;
    out_tell("nothing was done");
    return CLI_ERROR;
}

/* --- following --- */

struct follow {
    bool on_terminal;
    int64_t told_ms;
};

static void
progress(struct follow *follow, const json_t *op, bool last)
{
    char text[160];
    uint64_t done = client_count(op, "done") + client_count(op, "skipped") +
        client_count(op, "failed");
    int64_t now_ms = clock_mono_ms();
    snprintf(text, sizeof(text),
        "%" PRIu64 " of %" PRIu64 ", %" PRIu64 " gone before, %" PRIu64
        " impossible",
        done, client_count(op, "eligible"), client_count(op, "skipped"),
        client_count(op, "failed"));
    if (follow->on_terminal)
        fprintf(stderr, "\r%s  %s", text, last ? "\n" : "");
    else if (last || now_ms - follow->told_ms >= TELL_MS)
        out_tell("%s", text);
    else
        return;
    follow->told_ms = now_ms;
}

static int
detach(const struct follow *follow, const char *id)
{
    if (follow->on_terminal)
        fputc('\n', stderr);
    out_tell("detached; the server goes on. longhaul op show %s looks, "
             "longhaul op cancel %s stops it",
        id, id);
    return CLI_INTERRUPTED;
}

int
operation_follow(struct client *client, const char *id,
    struct http_sync_reply *reply, json_t **op)
{
    struct follow follow = {
        .on_terminal = out_is_terminal(stderr), .told_ms = clock_mono_ms()};
    for (;;) {
        bool running = strcmp(client_text(*op, "status"), "running") == 0;
        progress(&follow, *op, !running);
        if (!running)
            break;
        if (!cli_sleep(FOLLOW_MS))
            return detach(&follow, id);
        json_decref(*op);
        int code = client_get(client, reply, op, "/v1/operations/%s", id);
        if (code == CLI_INTERRUPTED)
            return detach(&follow, id);
        if (code != CLI_OK)
            return code;
    }
    if (strcmp(client_text(*op, "status"), "succeeded") != 0) {
        out_say("the operation was canceled");
        return CLI_ERROR;
    }
    return client_count(*op, "failed") > 0 ? CLI_FAILED : CLI_OK;
}

static int
begin(struct cli *cli, struct client *client, const char *action)
{
    struct http_sync_reply reply = {0};
    json_t *op;
    char id[64];
    cli_catch_interrupt();
    int code = post(cli, client, action, false, &reply, &op);
    text_copy(id, sizeof(id), client_slice(op, "id"));
    if (code == CLI_OK && cli->args.detach)
        out_tell("longhaul op show %s shows how far it is", id);
    else if (code == CLI_OK)
        code = operation_follow(client, id, &reply, &op);
    if (op != NULL && cli->args.json)
        out_write_line(buffer_slice(&reply.body));
    else if (op != NULL)
        printf("%s\n", id);
    json_decref(op);
    buffer_clear(&reply.body);
    return code;
}

int
operation_run(struct cli *cli, const char *action)
{
    struct http_sync_reply reply = {0};
    json_t *preview;
    int code;
    if (cli->args.rate > RATE_MAX)
        return cli_usage(cli, "--rate is 1 to %d", RATE_MAX);
    struct client *client = client_new(cli, &code);
    if (client == NULL)
        return code;
    code = post(cli, client, action, true, &reply, &preview);
    uint64_t count = client_count(preview, "eligible");
    if (code == CLI_OK && cli->args.dry_run && cli->args.json)
        out_write_line(buffer_slice(&reply.body));
    else if (code == CLI_OK)
        out_tell("%" PRIu64 " dead letter%s", count,
            count == 1 ? " matches" : "s match");
    json_decref(preview);
    buffer_clear(&reply.body);
    if (code == CLI_OK && count > 0 && !cli->args.dry_run) {
        code = confirm(cli, action, count);
        if (code == CLI_OK)
            code = begin(cli, client, action);
    }
    client_free(client);
    return code;
}

/* --- op ls, show, cancel --- */

static void
show_one(const json_t *op)
{
    struct buffer text = {0};
    char *filter = json_dumps(json_object_get(op, "filter"), JSON_COMPACT);
    out_field("operation", client_slice(op, "id"));
    out_field("action", client_slice(op, "action"));
    out_field_state("status", client_slice(op, "status"));
    out_field("filter", slice_of(filter));
    buffer_printf(&text,
        "%" PRIu64 " done, %" PRIu64 " gone before, %" PRIu64
        " impossible, of %" PRIu64,
        client_count(op, "done"), client_count(op, "skipped"),
        client_count(op, "failed"), client_count(op, "eligible"));
    out_field("progress", buffer_slice(&text));
    buffer_reset(&text);
    buffer_printf(&text, "%" PRIu64 " a second", client_count(op, "rate"));
    out_field("rate", buffer_slice(&text));
    out_field("by", client_slice(op, "created_by"));
    memory_free(filter);
    buffer_clear(&text);
}

static void
show_all(const json_t *list)
{
    static const char *const headings[] = {
        "ID", "ACTION", "STATUS", "DONE", "OF", "IMPOSSIBLE", "CREATED"};
    const json_t *data = json_object_get(list, "data");
    struct out_table *table = out_table_new(headings, 7);
    for (size_t i = 0; i < json_array_size(data); i++) {
        const json_t *op = json_array_get(data, i);
        struct buffer when = {0};
        out_table_cell(table, client_slice(op, "id"));
        out_table_cell(table, client_slice(op, "action"));
        out_table_cell(table, client_slice(op, "status"));
        out_table_u64(
            table, client_count(op, "done") + client_count(op, "skipped"));
        out_table_u64(table, client_count(op, "eligible"));
        out_table_u64(table, client_count(op, "failed"));
        out_time(client_slice(op, "created_at"), &when);
        out_table_cell(table, buffer_slice(&when));
        buffer_clear(&when);
    }
    if (json_array_size(data) == 0)
        out_tell("no operations");
    out_table_print(table, 2);
}

/* The list, or with a word on the command line that operation. */
static int
call_and_show(struct cli *cli, const char *method, const char *tail,
    void (*show)(const json_t *json))
{
    struct buffer path = {0};
    int code;
    buffer_append_text(&path, "/v1/operations");
    if (cli->argc > 0) {
        buffer_append_char(&path, '/');
        client_encode(&path, slice_of(cli->argv[0]));
    }
    buffer_append_text(&path, tail);
    code = client_show(cli, method, path.data, show);
    buffer_clear(&path);
    return code;
}

int
cmd_op_ls(struct cli *cli)
{
    return call_and_show(cli, "GET", "?limit=200", show_all);
}

int
cmd_op_show(struct cli *cli)
{
    return call_and_show(cli, "GET", "", show_one);
}

int
cmd_op_cancel(struct cli *cli)
{
    return call_and_show(cli, "POST", "/cancel", show_one);
}
