#include <inttypes.h>
#include <string.h>

#include "cli/bulk_cost.h"
#include "cli/bulk_run.h"
#include "cli/job.h"
#include "cli/out.h"
#include "common/net/json_scan.h"

enum member {
    SEQ,
    CUSTOM_ID,
    JOB_ID,
    STATUS,
    RESULT,
    MODEL,
    USAGE,
    COST,
    MEMBERS
};
static const char *const member_names[] = {"seq", "custom_id", "job_id",
    "status", "result", "model", "usage", "cost_usd"};

struct result {
    struct json_item items[MEMBERS];
    struct slice custom_id;
    struct slice status;
    uint64_t seq;
    size_t at; /* in the rows */
};

static struct slice
unquoted(const struct json_item *item)
{
    if (item->kind != JSON_KIND_STRING)
        return SLICE_NULL;
    return slice_make(item->raw.data + 1, item->raw.len - 2);
}

static void
put_raw(struct buffer *out, const char *name, const struct json_item *item)
{
    if (item->kind == JSON_KIND_NONE || item->kind == JSON_KIND_NULL)
        return;
    buffer_printf(out, ",\"%s\":", name);
    buffer_append_slice(out, item->raw);
}

/* {"custom_id":...,"run":...: what every line begins with. */
static void
put_start(const struct bulk_run *run, struct slice id, struct buffer *out)
{
    buffer_append_text(out, "{\"custom_id\":");
    if (id.data != NULL)
        buffer_append_json(out, id);
    else
        buffer_append_text(out, "null");
    buffer_printf(out, ",\"run\":\"%s\"", run->label);
}

void
bulk_bad_line(struct bulk_run *run, const char *id, uint64_t line,
    const char *what, struct buffer *out)
{
    put_start(run, id != NULL ? slice_of(id) : SLICE_NULL, out);
    if (line > 0)
        buffer_printf(out, ",\"line\":%" PRIu64, line);
    buffer_append_text(out,
        ",\"status\":\"not_sent\",\"error\":{\"type\":\"bad_row\","
        "\"message\":");
    buffer_append_json(out, slice_of(what));
    buffer_append_text(out, "}}");
}

/* The columns of the row as they stand in the input. */
static void
put_row(struct bulk_run *run, size_t at, struct buffer *out)
{
    struct bulk_row row;
    size_t count;
    const struct slice *names = bulk_source_names(run->source, &count);
    if (bulk_source_read_at(run->source, run->rows.items[at].offset, &row) !=
            1 ||
        row.fault[0] != '\0')
        return; /* the input was changed meanwhile */
    buffer_append_text(out, ",\"row\":");
    if (row.raw.len > 0) {
        buffer_append_slice(out, row.raw);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        buffer_append_char(out, i == 0 ? '{' : ',');
        buffer_append_json(out, names[i]);
        buffer_append_char(out, ':');
        buffer_append_json(out, row.values[i]);
    }
    buffer_append_char(out, '}');
}

static void
put_text(const struct result *result, struct buffer *out)
{
    struct buffer text = {0};
    const struct json_item *item = &result->items[RESULT];
    json_t *json =
        json_loadb(item->raw.data, item->raw.len, JSON_REJECT_DUPLICATES, NULL);
    const json_t *message = json_object_get(json, "message");
    job_text(message, &text);
    buffer_append_text(out, ",\"text\":");
    buffer_append_json(out, buffer_slice(&text));
    buffer_append_text(out, ",\"stop_reason\":");
    buffer_append_json(out, client_slice(message, "stop_reason"));
    json_decref(json);
    buffer_clear(&text);
}

/* Of an end that comes without words of Claude. */
static struct slice
words_of(struct slice status)
{
    if (slice_equal_text(status, "canceled"))
        return slice_of("canceled before there was an answer; the same bulk "
                        "run sends it again");
    if (slice_equal_text(status, "expired"))
        return slice_of("its time was over before there was an answer; the "
                        "same bulk run sends it again");
    return slice_of("");
}

/* {"type","message"} of the failure. */
static void
put_error(const struct result *result, struct buffer *out)
{
    const struct json_item *item = &result->items[RESULT];
    json_t *json = item->kind == JSON_KIND_OBJECT
        ? json_loadb(
              item->raw.data, item->raw.len, JSON_REJECT_DUPLICATES, NULL)
        : NULL;
    const json_t *error = json_object_get(json, "error");
    if (json_is_object(json_object_get(error, "error")))
        error = json_object_get(error, "error");
    const char *type = client_text(error, "type");
    buffer_append_text(out, ",\"error\":{\"type\":");
    if (type[0] != '\0')
        buffer_append_json(out, slice_of(type));
    else
        buffer_append_json(out, result->status);
    buffer_append_text(out, ",\"message\":");
    buffer_append_json(out,
        client_text(error, "message")[0] != '\0'
            ? client_slice(error, "message")
            : words_of(result->status));
    buffer_append_char(out, '}');
    json_decref(json);
}

static void
put_line(struct bulk_run *run, const struct result *result, struct buffer *out)
{
    bool succeeded = slice_equal_text(result->status, "succeeded");
    uint64_t line = run->rows.items[result->at].line;
    put_start(run, result->custom_id, out);
    buffer_printf(
        out, ",\"batch\":\"%s\",\"seq\":%" PRIu64, run->batch->id, result->seq);
    if (line > 0)
        buffer_printf(out, ",\"line\":%" PRIu64, line);
    put_raw(out, "status", &result->items[STATUS]);
    put_raw(out, "job_id", &result->items[JOB_ID]);
    if (succeeded)
        put_text(result, out);
    else
        put_error(result, out);
    put_raw(out, "model", &result->items[MODEL]);
    put_raw(out, "usage", &result->items[USAGE]);
    put_raw(out, "cost_usd", &result->items[COST]);
    if (run->join)
        put_row(run, result->at, out);
    buffer_append_char(out, '}');
}

static void
count_cost(struct bulk_run *run, const struct result *result)
{
    double usd = bulk_cost_usd(result->items[COST].raw);
    if (usd >= 0)
        run->cost_usd += usd;
    else
        run->cost_unknown = true;
}

/* The row's new state, or BULK_STATES: nothing is to be written. */
static enum bulk_state
state_after(const struct bulk_run *run, const struct result *result)
{
    enum bulk_state state = run->rows.items[result->at].state;
    if (state == BULK_DONE)
        return BULK_STATES;
    if (slice_equal_text(result->status, "succeeded"))
        return BULK_DONE;
    if (slice_equal_text(result->status, "failed"))
        return state == BULK_FAILED ? BULK_STATES : BULK_FAILED;
    /* Canceled or expired: it may run again. A call that was cut in flight may
     * have been billed, but its answer is not to be had. */
    if (run->following)
        return state == BULK_FAILED ? BULK_STATES : BULK_FAILED;
    return state == BULK_SENT ? BULK_OPEN : BULK_STATES;
}

static bool
read_result(struct bulk_run *run, struct slice line, struct result *result)
{
    if (json_object_pick(line, member_names, result->items, MEMBERS) != 0)
        return false;
    result->custom_id = unquoted(&result->items[CUSTOM_ID]);
    result->status = unquoted(&result->items[STATUS]);
    if (result->items[SEQ].kind != JSON_KIND_NUMBER ||
        text_parse_u64(result->items[SEQ].raw, INT64_MAX, &result->seq) != 0)
        return false;
    result->at = bulk_rows_find(&run->rows, result->custom_id);
    return true;
}

bool
bulk_take_result(struct bulk_run *run, struct slice line)
{
    struct result result = {0};
    struct buffer out = {0};
    if (line.len == 0)
        return true;
    if (!read_result(run, line, &result)) {
        out_say("the server's results are not those of longhaul");
        return false;
    }
    if (result.seq > run->batch->seq)
        run->batch->seq = result.seq;
    if (result.at == BULK_ABSENT)
        return true;
    enum bulk_state state = state_after(run, &result);
    if (state == BULK_STATES)
        return true;
    bulk_rows_set(&run->rows, result.at, state);
    if (state == BULK_OPEN)
        return true;
    if (state == BULK_DONE)
        count_cost(run, &result);
    run->batch->failed += slice_equal_text(result.status, "failed");
    run->fetched += state == BULK_DONE && !run->following;
    if (run->output == NULL)
        return true;
    put_line(run, &result, &out);
    if (state == BULK_DONE)
        bulk_output_answer(run->output, buffer_slice(&out));
    else
        bulk_output_error(run->output, buffer_slice(&out));
    buffer_clear(&out);
    return true;
}
