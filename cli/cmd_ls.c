#include <inttypes.h>
#include <string.h>

#include "cli/client.h"
#include "cli/out.h"
#include "common/base/clock.h"
#include "common/job/job.h"

#define LIMIT_MAX 1000
#define PATIENCE_MS 3000 /* then it says that it is still looking */

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

/* --- pages --- */

/* One request looks at a bounded number of jobs, so pages may be short, even
 * empty, while there are more. */
struct look {
    struct client *client;
    const char *filters; /* "/v1/jobs?...", without limit and place */
    uint64_t most; /* rows wanted */
    int64_t tell_ms; /* monotonic: when to say that it takes long */
    json_t *list; /* the pages so far as one */
    struct buffer body; /* of the only page; empty when there were more */
};

/* Where the next page begins; "" at the end, or when a server says that it
 * has more and does not move. */
static const char *
next_place(const struct look *look, const char *place)
{
    const char *last = client_text(look->list, "last_id");
    if (look->list == NULL)
        return place;
    if (json_array_size(json_object_get(look->list, "data")) >= look->most ||
        !json_is_true(json_object_get(look->list, "has_more")) ||
        strcmp(last, place) == 0)
        return "";
    return last;
}

static void
add_page(struct look *look, json_t *page, struct slice body)
{
    static const char *const places[] = {"has_more", "last_id"};
    if (look->list == NULL) {
        look->list = page;
        buffer_append_slice(&look->body, body);
        return;
    }
    buffer_reset(&look->body);
    json_array_extend(
        json_object_get(look->list, "data"), json_object_get(page, "data"));
    if (json_is_null(json_object_get(look->list, "first_id")))
        json_object_set(
            look->list, "first_id", json_object_get(page, "first_id"));
    for (size_t i = 0; i < 2; i++) {
        /* An empty last page has no place of its own. */
        if (!json_is_null(json_object_get(page, places[i])))
            json_object_set(
                look->list, places[i], json_object_get(page, places[i]));
    }
    json_decref(page);
}

static int
get_page(struct look *look, const char *place)
{
    struct buffer path = {0};
    struct http_sync_reply reply = {0};
    json_t *page = NULL;
    size_t have = json_array_size(json_object_get(look->list, "data"));
    char limit[24];
    buffer_append_text(&path, look->filters);
    snprintf(limit, sizeof(limit), "%" PRIu64, look->most - have);
    put(&path, "limit", slice_of(limit));
    if (place[0] != '\0')
        put(&path, "after_id", slice_of(place));
    struct client_request request = {.path = path.data};
    int code = client_json(look->client, &request, &reply, &page);
    if (code == CLI_OK)
        add_page(look, page, buffer_slice(&reply.body));
    buffer_clear(&reply.body);
    buffer_clear(&path);
    return code;
}

static void
tell_if_long(struct look *look)
{
    if (look->tell_ms == 0 || clock_mono_ms() < look->tell_ms)
        return;
    look->tell_ms = 0;
    out_tell("still looking through the jobs; Ctrl-C ends it, newer:2h and "
             "the like make it shorter");
}

/* What was found before a failure is shown too. */
static int
look_through(struct look *look, const char *cursor)
{
    struct buffer place = {0};
    const char *next = cursor != NULL ? cursor : "";
    int code = CLI_OK;
    look->tell_ms = clock_mono_ms() + PATIENCE_MS;
    do {
        buffer_reset(&place);
        buffer_append_text(&place, next);
        buffer_append_char(&place, '\0');
        code = get_page(look, place.data);
        next = code == CLI_OK ? next_place(look, place.data) : "";
        if (next[0] != '\0')
            tell_if_long(look);
    } while (next[0] != '\0');
    buffer_clear(&place);
    return code;
}

static void
show_json(const struct look *look)
{
    /* As the server writes numbers: 15 digits bring each back as it was. */
    char *text = look->body.len > 0
        ? NULL
        : json_dumps(look->list, JSON_COMPACT | JSON_REAL_PRECISION(15));
    out_write_line(text != NULL ? slice_of(text) : buffer_slice(&look->body));
    memory_free(text);
}

int
cmd_ls(struct cli *cli)
{
    struct buffer query = {0};
    struct look look = {.most = args_list_limit(&cli->args)};
    int code = CLI_OK;
    if (look.most == 0 || look.most > LIMIT_MAX)
        return cli_usage(cli, "--limit is 1 to %d", LIMIT_MAX);
    for (int i = 0; i < cli->argc && code == CLI_OK; i++)
        code = put_filter(cli, &query, cli->argv[i]);
    if (code == CLI_OK)
        look.client = client_new(cli, &code);
    look.filters = query.data != NULL ? query.data : "";
    if (look.client != NULL)
        code = look_through(&look, cli->args.cursor);
    if (look.list != NULL && cli->args.json)
        show_json(&look);
    else if (look.list != NULL)
        show(look.list);
    if (json_is_true(json_object_get(look.list, "has_more")) && !cli->args.json)
        out_tell("more with --cursor %s", client_text(look.list, "last_id"));
    json_decref(look.list);
    buffer_clear(&look.body);
    buffer_clear(&query);
    client_free(look.client);
    return code;
}
