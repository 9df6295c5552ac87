#include <inttypes.h>
#include <string.h>

#include "cli/job.h"
#include "cli/operation.h"
#include "cli/out.h"

#define LIMIT_MAX 1000

static void
put(struct buffer *query, const char *name, const char *value)
{
    if (value == NULL)
        return;
    buffer_printf(query, "&%s=", name);
    client_encode(query, slice_of(value));
}

/* "error_type: message" */
static void
put_cause(const json_t *letter, struct buffer *out)
{
    const json_t *error = json_object_get(letter, "error");
    const char *type = client_text(error, "type");
    buffer_printf(out, "%s: %s",
        type[0] != '\0' ? type : client_text(error, "class"),
        client_text(error, "message"));
}

static void
cell_time(struct out_table *table, const json_t *object, const char *key)
{
    struct buffer text = {0};
    out_time(client_slice(object, key), &text);
    out_table_cell(table, buffer_slice(&text));
    buffer_clear(&text);
}

static void
show_letters(const json_t *list)
{
    static const char *const headings[] = {
        "ID", "DEAD SINCE", "TRIES", "LANE", "MODEL", "FINGERPRINT", "CAUSE"};
    const json_t *data = json_object_get(list, "data");
    struct out_table *table = out_table_new(headings, 7);
    for (size_t i = 0; i < json_array_size(data); i++) {
        const json_t *letter = json_array_get(data, i);
        struct buffer cause = {0};
        out_table_cell(table, client_slice(letter, "id"));
        cell_time(table, letter, "dead_at");
        out_table_u64(table, client_count(letter, "attempts"));
        out_table_cell(table, client_slice(letter, "lane"));
        out_table_cell(table, client_slice(letter, "model"));
        out_table_cell(table, client_slice(letter, "fingerprint"));
        put_cause(letter, &cause);
        out_table_cell(table, buffer_slice(&cause));
        buffer_clear(&cause);
    }
    if (json_array_size(data) == 0)
        out_tell("no dead letters");
    out_table_print(table, -1);
}

static void
show_groups(const json_t *list)
{
    static const char *const headings[] = {
        "FINGERPRINT", "COUNT", "FIRST", "LAST", "MODEL", "CAUSE"};
    const json_t *data = json_object_get(list, "data");
    struct out_table *table = out_table_new(headings, 6);
    for (size_t i = 0; i < json_array_size(data); i++) {
        const json_t *group = json_array_get(data, i);
        struct buffer cause = {0};
        out_table_cell(table, client_slice(group, "fingerprint"));
        out_table_u64(table, client_count(group, "count"));
        cell_time(table, group, "first_at");
        cell_time(table, group, "last_at");
        out_table_cell(table, client_slice(group, "model"));
        put_cause(group, &cause);
        out_table_cell(table, buffer_slice(&cause));
        buffer_clear(&cause);
    }
    if (json_array_size(data) == 0)
        out_tell("no dead letters");
    else
        out_tell("longhaul dlq replay --fingerprint F runs a group again");
    out_table_print(table, -1);
}

static int
list(struct cli *cli, const char *path, void (*show)(const json_t *list))
{
    struct http_sync_reply reply = {0};
    json_t *json;
    int code;
    struct client *client = client_new(cli, &code);
    if (client == NULL)
        return code;
    struct client_request request = {.path = path};
    code = client_json(client, &request, &reply, &json);
    if (code == CLI_OK && cli->args.json)
        out_write_line(buffer_slice(&reply.body));
    else if (code == CLI_OK)
        show(json);
    if (json_is_true(json_object_get(json, "has_more")) && !cli->args.json &&
        client_text(json, "last_entry")[0] != '\0')
        out_tell("more with --cursor %s", client_text(json, "last_entry"));
    json_decref(json);
    buffer_clear(&reply.body);
    client_free(client);
    return code;
}

int
cmd_dlq_ls(struct cli *cli)
{
    const struct args *args = &cli->args;
    struct buffer path = {0};
    uint64_t limit = args_list_limit(args);
    if (limit == 0 || limit > LIMIT_MAX)
        return cli_usage(cli, "--limit is 1 to %d", LIMIT_MAX);
    buffer_printf(&path, "/v1/dead-letters?limit=%" PRIu64, limit);
    put(&path, "after", args->cursor);
    put(&path, "fingerprint", args->fingerprint);
    put(&path, "error_type", args->error_type);
    put(&path, "model", args->model);
    put(&path, "lane", args->lane);
    int code = list(cli, path.data, show_letters);
    buffer_clear(&path);
    return code;
}

int
cmd_dlq_groups(struct cli *cli)
{
    return list(cli, "/v1/dead-letters/groups?limit=1000", show_groups);
}

static void
show_letter(const json_t *letter)
{
    const json_t *error = json_object_get(letter, "error");
    struct buffer text = {0};
    out_field("job", client_slice(letter, "id"));
    out_time(client_slice(letter, "dead_at"), &text);
    out_field("dead since", buffer_slice(&text));
    buffer_reset(&text);
    buffer_printf(&text, "%" PRIu64, client_count(letter, "attempts"));
    out_field("attempts", buffer_slice(&text));
    buffer_reset(&text);
    buffer_printf(&text, "%" PRIu64, client_count(letter, "generation"));
    out_field("generation", buffer_slice(&text));
    buffer_reset(&text);
    put_cause(letter, &text);
    out_field("cause", buffer_slice(&text));
    out_field("fingerprint", client_slice(letter, "fingerprint"));
    out_field("model", client_slice(letter, "model"));
    out_field("lane", client_slice(letter, "lane"));
    out_field("tenant", client_slice(letter, "tenant"));
    if (client_text(error, "request_id")[0] != '\0')
        out_field("Claude's id", client_slice(error, "request_id"));
    buffer_clear(&text);
    out_tell("longhaul why %s says what to do", client_text(letter, "id"));
}

int
cmd_dlq_show(struct cli *cli)
{
    struct buffer path = {0};
    if (!job_id_ok(cli->argv[0]))
        return CLI_USAGE;
    buffer_printf(&path, "/v1/dead-letters/%s", cli->argv[0]);
    int code = list(cli, path.data, show_letter);
    buffer_clear(&path);
    return code;
}

/* --- replay, discard --- */

/* The generation that is dead now: of two that come at once the second then
 * finds 404, even when the first one's new generation has failed already. */
static int
read_generation(struct client *client, const char *id, uint64_t *generation)
{
    struct http_sync_reply reply = {0};
    struct buffer path = {0};
    json_t *letter = NULL;
    buffer_printf(&path, "/v1/dead-letters/%s", id);
    struct client_request request = {.path = path.data};
    int code = client_json(client, &request, &reply, &letter);
    if (code == CLI_OK)
        *generation = client_count(letter, "generation");
    json_decref(letter);
    buffer_clear(&reply.body);
    buffer_clear(&path);
    return code;
}

static int
act(struct client *client, const char *id, const char *action,
    uint64_t generation, struct http_sync_reply *reply)
{
    struct buffer path = {0};
    int code = CLI_OK;
    if (generation == UINT64_MAX)
        code = read_generation(client, id, &generation);
    if (code != CLI_OK)
        return code;
    buffer_printf(&path, "/v1/dead-letters/%s/%s?generation=%" PRIu64, id,
        action, generation);
    struct client_request request = {.method = "POST", .path = path.data};
    code = client_call(client, &request, reply);
    buffer_clear(&path);
    return code;
}

static int
each(struct cli *cli, const char *action)
{
    struct http_sync_reply reply = {0};
    int code;
    struct client *client = job_client(cli, &code);
    if (client == NULL)
        return code;
    code = CLI_OK;
    for (int i = 0; i < cli->argc; i++) {
        int one =
            act(client, cli->argv[i], action, cli->args.generation, &reply);
        if (one == CLI_OK && cli->args.json && reply.body.len > 0)
            out_write_line(buffer_slice(&reply.body));
        else if (one == CLI_OK)
            out_tell("%s %s", cli->argv[i],
                strcmp(action, "replay") == 0 ? "runs again" : "is given up");
        if (one != CLI_OK)
            code = one;
    }
    buffer_clear(&reply.body);
    client_free(client);
    return code;
}

static int
each_or_filter(struct cli *cli, const char *action)
{
    const struct args *args = &cli->args;
    bool filter = args->fingerprint != NULL || args->error_type != NULL ||
        args->model != NULL || args->lane != NULL;
    if (cli->argc > 0 && (filter || args->all))
        return cli_usage(cli, "name jobs, or say which by options; not both");
    if (args->all && filter)
        return cli_usage(cli, "--all means every one; leave the others out");
    if (cli->argc > 0)
        return each(cli, action);
    if (!filter && !args->all)
        return cli_usage(cli,
            "which? Name jobs, or give --fingerprint, --error-type, --model, "
            "--lane or --all");
    return operation_run(cli, action);
}

int
cmd_dlq_replay(struct cli *cli)
{
    return each_or_filter(cli, "replay");
}

int
cmd_dlq_discard(struct cli *cli)
{
    return each_or_filter(cli, "discard");
}
