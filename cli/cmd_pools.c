#include <stdio.h>
#include <string.h>

#include "cli/client.h"
#include "cli/out.h"
#include "common/base/buffer.h"

/* As the server has it. */
#define FOR_MAX_MS (INT64_C(365) * 86400000)

/* "pools" or "lanes", which have the same paths. */
struct thing {
    const char *path;
    const char *one;
    void (*show)(const json_t *list);
};

/* --- lists --- */

/* The words of all holds, and of none "running". */
static void
cell_holds(struct out_table *table, const json_t *one)
{
    const json_t *holds = json_object_get(one, "holds");
    struct buffer text = {0};
    for (size_t i = 0; i < json_array_size(holds); i++)
        buffer_printf(&text, "%s%s", i > 0 ? "; " : "",
            client_text(json_array_get(holds, i), "text"));
    out_table_cell(
        table, text.len > 0 ? buffer_slice(&text) : slice_of("nothing"));
    buffer_clear(&text);
}

static void
cell_models(struct out_table *table, const json_t *pool)
{
    const json_t *models = json_object_get(pool, "models");
    struct buffer text = {0};
    for (size_t i = 0; i < json_array_size(models); i++)
        buffer_printf(&text, "%s%s", i > 0 ? " " : "",
            json_string_value(json_array_get(models, i)));
    out_table_cell(table, text.len > 0 ? buffer_slice(&text) : slice_of("all"));
    buffer_clear(&text);
}

static const char *
state_of(const json_t *one)
{
    return json_is_true(json_object_get(one, "paused")) ? "paused" : "running";
}

static void
show_pools(const json_t *list)
{
    static const char *const headings[] = {
        "POOL", "STATE", "WEIGHT", "MODELS", "UPSTREAM", "HELD BACK BY"};
    const json_t *data = json_object_get(list, "data");
    struct out_table *table = out_table_new(headings, 6);
    for (size_t i = 0; i < json_array_size(data); i++) {
        const json_t *pool = json_array_get(data, i);
        out_table_cell(table, client_slice(pool, "name"));
        out_table_cell(table, slice_of(state_of(pool)));
        out_table_u64(table, client_count(pool, "weight"));
        cell_models(table, pool);
        out_table_cell(table, client_slice(pool, "base_url"));
        cell_holds(table, pool);
    }
    out_table_print(table, 1);
}

static void
show_lanes(const json_t *list)
{
    static const char *const headings[] = {
        "LANE", "STATE", "WAITING", "RUNNING", "HELD BACK BY"};
    const json_t *data = json_object_get(list, "data");
    struct out_table *table = out_table_new(headings, 5);
    for (size_t i = 0; i < json_array_size(data); i++) {
        const json_t *lane = json_array_get(data, i);
        out_table_cell(table, client_slice(lane, "name"));
        out_table_cell(table, slice_of(state_of(lane)));
        out_table_u64(table, client_count(lane, "waiting"));
        out_table_u64(table, client_count(lane, "running"));
        cell_holds(table, lane);
    }
    out_table_print(table, 1);
}

static const struct thing pools = {"pools", "pool", show_pools};
static const struct thing lanes = {"lanes", "lane", show_lanes};

static int
list(struct cli *cli, const struct thing *thing)
{
    struct http_sync_reply reply = {0};
    json_t *json = NULL;
    int code;
    struct client *client = client_new(cli, &code);
    if (client == NULL)
        return code;
    code = client_get(client, &reply, &json, "/v1/%s", thing->path);
    if (code == CLI_OK && cli->args.json)
        out_write_line(buffer_slice(&reply.body));
    else if (code == CLI_OK)
        thing->show(json);
    json_decref(json);
    buffer_clear(&reply.body);
    client_free(client);
    return code;
}

/* --- pause, resume --- */

static bool
is_time(const char *text)
{
    int64_t ms;
    return text_parse_duration_ms(slice_of(text), &ms) == 0 && ms > 0 &&
        ms <= FOR_MAX_MS;
}

static void
put_member(struct buffer *body, const char *key, const char *value)
{
    if (value == NULL)
        return;
    buffer_printf(body, "%s\"%s\":", body->len > 1 ? "," : "", key);
    buffer_append_json(body, slice_of(value));
}

static void
say(const struct thing *thing, const json_t *one)
{
    struct buffer text = {0};
    const json_t *holds = json_object_get(one, "holds");
    if (json_array_size(holds) > 0)
        buffer_printf(
            &text, "%s", client_text(json_array_get(holds, 0), "text"));
    else
        buffer_printf(
            &text, "%s %s runs", thing->one, client_text(one, "name"));
    out_tell("%s", text.data);
    buffer_clear(&text);
}

static int
steer(struct cli *cli, const struct thing *thing, const char *verb)
{
    struct http_sync_reply reply = {0};
    struct buffer path = {0}, body = {0};
    json_t *json = NULL;
    int code;
    if (cli->args.hold_for != NULL && !is_time(cli->args.hold_for))
        return cli_usage(cli, "--for wants a time such as 90s, 15m, 2h, 7d");
    struct client *client = client_new(cli, &code);
    if (client == NULL)
        return code;
    buffer_printf(&path, "/v1/%s/", thing->path);
    client_encode(&path, slice_of(cli->argv[0]));
    buffer_printf(&path, "/%s", verb);
    buffer_append_char(&body, '{');
    put_member(&body, "for", cli->args.hold_for);
    put_member(&body, "reason", cli->args.reason);
    buffer_append_char(&body, '}');
    struct client_request request = {
        .method = "POST", .path = path.data, .body = buffer_slice(&body)};
    code = client_json(client, &request, &reply, &json);
    if (code == CLI_OK && cli->args.json)
        out_write_line(buffer_slice(&reply.body));
    else if (code == CLI_OK)
        say(thing, json);
    json_decref(json);
    buffer_clear(&reply.body);
    buffer_clear(&path);
    buffer_clear(&body);
    client_free(client);
    return code;
}

/* --- the commands --- */

int
cmd_pools_ls(struct cli *cli)
{
    return list(cli, &pools);
}

int
cmd_pools_pause(struct cli *cli)
{
    return steer(cli, &pools, "pause");
}

int
cmd_pools_resume(struct cli *cli)
{
    return steer(cli, &pools, "resume");
}

int
cmd_lanes_ls(struct cli *cli)
{
    return list(cli, &lanes);
}

int
cmd_lanes_pause(struct cli *cli)
{
    return steer(cli, &lanes, "pause");
}

int
cmd_lanes_resume(struct cli *cli)
{
    return steer(cli, &lanes, "resume");
}
