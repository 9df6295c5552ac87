#include <inttypes.h>
#include <string.h>

#include "cli/client.h"
#include "cli/out.h"
#include "common/base/clock.h"
#include "common/job/job.h"

#define LIMIT_MAX 1000

/* A filter word's name => the parameter of GET /v1/jobs. */
static const struct {
    const char *word;
    const char *parameter;
    bool is_age; /* "newer:2h": a time ago */
} filters[] = {{"status", "status", false}, {"state", "status", false},
    {"model", "model", false}, {"tag", "tag", false}, {"lane", "lane", false},
    {"tenant", "tenant", false}, {"error", "error_type", false},
    {"newer", "created_after", true}, {"older", "created_before", true}};

#define FILTERS (sizeof(filters) / sizeof(filters[0]))

static void
put(struct buffer *query, const char *name, struct slice value)
{
    if (query->len == 0)
        buffer_append_text(query, "/v1/jobs?");
    else
        buffer_append_char(query, '&');
    buffer_printf(query, "%s=", name);
    client_encode(query, value);
}

static int
put_age(struct cli *cli, struct buffer *query, size_t i, struct slice value)
{
    int64_t age_ms;
    char when[CLOCK_TEXT_SIZE];
    if (text_parse_duration_ms(value, &age_ms) != 0)
        return cli_usage(
            cli, "%s: wants a time such as 30m, 2h, 7d", filters[i].word);
    clock_format_ms(clock_wall_ms() - age_ms, when);
    put(query, filters[i].parameter, slice_of(when));
    return CLI_OK;
}

/* What a server would refuse is a wrong word here. */
static int
check_value(const struct cli *cli, const char *parameter, struct slice value)
{
    enum job_state state;
    enum job_lane lane;
    if (strcmp(parameter, "lane") == 0 && job_lane_parse(value, &lane) != 0)
        return cli_usage(cli, "lane: is interactive, standard or bulk");
    while (strcmp(parameter, "status") == 0 && value.len > 0)
        if (job_state_parse(slice_trim(slice_split(&value, ',')), &state) != 0)
            return cli_usage(cli,
                "status: is a list of queued, running, retrying, succeeded, "
                "failed, canceled, expired");
    return CLI_OK;
}

static int
put_filter(struct cli *cli, struct buffer *query, const char *word)
{
    const char *names[FILTERS + 1];
    struct slice value = slice_of(word);
    struct slice name = slice_split(&value, ':');
    for (size_t i = 0; i < FILTERS; i++) {
        names[i] = filters[i].word;
        if (!slice_equal_text(name, filters[i].word) || value.len == 0)
            continue;
        if (filters[i].is_age)
            return put_age(cli, query, i, value);
        put(query, filters[i].parameter, value);
        return check_value(cli, filters[i].parameter, value);
    }
    names[FILTERS] = NULL;
    const char *near = text_suggest(name, names);
    return cli_usage(cli, "unknown filter %s%s%s%s", word,
        near != NULL ? "; did you mean " : "", near != NULL ? near : "",
        near != NULL ? ":...?" : "; filters look like status:failed");
}

static void
show(const json_t *list)
{
    static const char *const headings[] = {
        "ID", "STATUS", "LANE", "MODEL", "CREATED", "TRIES", "WHY"};
    struct out_table *table = out_table_new(headings, 7);
    const json_t *data = json_object_get(list, "data");
    for (size_t i = 0; i < json_array_size(data); i++) {
        const json_t *job = json_array_get(data, i);
        struct buffer created = {0};
        out_table_cell(table, client_slice(job, "id"));
        out_table_cell(table, client_slice(job, "status"));
        out_table_cell(table, client_slice(job, "lane"));
        out_table_cell(table, client_slice(job, "model"));
        out_time(client_slice(job, "created_at"), &created);
        out_table_cell(table, buffer_slice(&created));
        out_table_u64(table, client_count(job, "attempts"));
        out_table_cell(table, client_slice(job, "status_reason"));
        buffer_clear(&created);
    }
    if (json_array_size(data) == 0)
        out_tell("no jobs");
    out_table_print(table, 1);
}

int
cmd_ls(struct cli *cli)
{
    struct buffer query = {0};
    struct http_sync_reply reply = {0};
    json_t *list = NULL;
    char limit[24];
    int code = CLI_OK;
    struct client *client = NULL;
    uint64_t most = args_list_limit(&cli->args);
    if (most == 0 || most > LIMIT_MAX)
        return cli_usage(cli, "--limit is 1 to %d", LIMIT_MAX);
    snprintf(limit, sizeof(limit), "%" PRIu64, most);
    put(&query, "limit", slice_of(limit));
    if (cli->args.cursor != NULL)
        put(&query, "after_id", slice_of(cli->args.cursor));
    for (int i = 0; i < cli->argc && code == CLI_OK; i++)
        code = put_filter(cli, &query, cli->argv[i]);
    if (code == CLI_OK)
        client = client_new(cli, &code);
    struct client_request request = {.path = query.data};
    if (client != NULL)
        code = client_json(client, &request, &reply, &list);
    if (client != NULL && code == CLI_OK && cli->args.json)
        out_write_line(buffer_slice(&reply.body));
    else if (client != NULL && code == CLI_OK)
        show(list);
    if (json_is_true(json_object_get(list, "has_more")) && !cli->args.json)
        out_tell("more with --cursor %s", client_text(list, "last_id"));
    json_decref(list);
    buffer_clear(&reply.body);
    buffer_clear(&query);
    client_free(client);
    return code;
}
