#include "status-api/operation.h"
#include "status-api/put.h"

#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"

#define DOCUMENT_MAX (16 * 1024)
#define COUNT_MAX (INT64_C(1) << 52)

static const char *const action_names[OPERATION_ACTIONS] = {
    "replay", "discard"};
static const char *const state_names[] = {"running", "succeeded", "canceled"};

const char *
operation_action_name(unsigned action)
{
    return action_names[action];
}

/* --- the document -------------------------------------------------------- */

static void
put_count(struct buffer *out, const char *key, uint64_t value)
{
    buffer_printf(out, ",\"%s\":", key);
    buffer_append_u64(out, value);
}

void
operation_encode(const struct operation *op, struct buffer *out)
{
    buffer_append_text(out, "{\"object\":\"operation\"");
    put_text(out, "id", op->id);
    put_text(out, "action", action_names[op->action]);
    put_text(out, "status", state_names[op->state]);
    buffer_append_text(out, ",\"filter\":");
    dead_filter_encode(&op->filter, out);
    buffer_printf(out, ",\"cancel_requested\":%s",
        op->cancel_requested ? "true" : "false");
    put_text(out, "snapshot_until", op->snapshot_until);
    put_text(out, "cursor", op->cursor);
    put_count(out, "eligible", op->eligible);
    put_count(out, "done", op->done);
    put_count(out, "skipped", op->skipped);
    put_count(out, "failed", op->failed);
    if (op->limit > 0)
        put_count(out, "limit", op->limit);
    else
        buffer_append_text(out, ",\"limit\":null");
    put_count(out, "rate", op->rate);
    put_time(out, "created_at", op->created_ms);
    put_time(out, "finished_at", op->finished_ms);
    put_text(out, "created_by", op->created_by);
    buffer_append_char(out, '}');
}

static const char *
text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text == NULL ? "" : text;
}

static uint64_t
count_of(const json_t *object, const char *key)
{
    json_int_t value = json_integer_value(json_object_get(object, key));
    return value < 0 || value > COUNT_MAX ? 0 : (uint64_t)value;
}

static int64_t
time_of(const json_t *object, const char *key)
{
    int64_t value = 0;
    if (clock_parse_rfc3339(slice_of(text_of(object, key)), &value) != 0)
        return 0;
    return value;
}

/* The index of the text among `names`, or -1. */
static int
index_of(const char *text, const char *const *names, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (strcmp(text, names[i]) == 0)
            return (int)i;
    }
    return -1;
}

static json_t *
open_document(struct slice json, const char *object)
{
    json_t *root = json.len > DOCUMENT_MAX
        ? NULL
        : json_loadb(json.data, json.len, JSON_REJECT_DUPLICATES, NULL);
    if (root != NULL && strcmp(text_of(root, "object"), object) == 0)
        return root;
    json_decref(root);
    return NULL;
}

static bool
entry_fits(const char *entry)
{
    return entry[0] == '\0' || dead_entry_is_valid(slice_of(entry));
}

static int
decode_words(const json_t *root, struct operation *op)
{
    char error[128];
    int action =
        index_of(text_of(root, "action"), action_names, OPERATION_ACTIONS);
    int state = index_of(text_of(root, "status"), state_names, 3);
    if (action < 0 || state < 0 ||
        !id_is_valid(slice_of(text_of(root, "id")), OPERATION_ID_PREFIX) ||
        dead_filter_from_json(json_object_get(root, "filter"), &op->filter,
            error, sizeof(error)) != 0)
        return -1;
    op->action = (enum operation_action)action;
    op->state = (enum operation_state)state;
    text_copy(op->id, sizeof(op->id), slice_of(text_of(root, "id")));
    return text_copy(op->snapshot_until, sizeof(op->snapshot_until),
               slice_of(text_of(root, "snapshot_until"))) &&
            text_copy(op->cursor, sizeof(op->cursor),
                slice_of(text_of(root, "cursor"))) &&
            text_copy(op->created_by, sizeof(op->created_by),
                slice_of(text_of(root, "created_by"))) &&
            entry_fits(op->snapshot_until) && entry_fits(op->cursor)
        ? 0
        : -1;
}

int
operation_decode(struct slice json, struct operation *op)
{
    json_t *root = open_document(json, "operation");
    memset(op, 0, sizeof(*op));
    if (root == NULL || decode_words(root, op) != 0) {
        json_decref(root);
        return -1;
    }
    uint64_t rate = count_of(root, "rate");
    op->cancel_requested =
        json_is_true(json_object_get(root, "cancel_requested"));
    op->eligible = count_of(root, "eligible");
    op->done = count_of(root, "done");
    op->skipped = count_of(root, "skipped");
    op->failed = count_of(root, "failed");
    op->limit = count_of(root, "limit");
    op->rate = rate >= 1 && rate <= OPERATION_RATE_MAX ? (unsigned)rate
                                                       : OPERATION_RATE_DEFAULT;
    op->created_ms = time_of(root, "created_at");
    op->finished_ms = time_of(root, "finished_at");
    json_decref(root);
    return 0;
}

/* --- the request --------------------------------------------------------- */

static const char *const request_members[] = {
    "action", "filter", "rate", "limit", "dry_run", NULL};

static int
bad(char *error, size_t size, const char *text)
{
    snprintf(error, size, "%s", text);
    return -1;
}

static int
read_number(const json_t *value, json_int_t max, uint64_t *out)
{
    if (!json_is_integer(value) || json_integer_value(value) < 1 ||
        json_integer_value(value) > max)
        return -1;
    *out = (uint64_t)json_integer_value(value);
    return 0;
}

static int
read_member(struct operation_request *request, const char *key,
    const json_t *value, char *error, size_t size)
{
    uint64_t number = request->rate;
    switch (index_of(key, request_members, 5)) {
    case 0: {
        const char *text = json_string_value(value);
        int action =
            text == NULL ? -1 : index_of(text, action_names, OPERATION_ACTIONS);
        if (action < 0)
            return bad(error, size, "action is \"replay\" or \"discard\"");
        request->action = (enum operation_action)action;
        return 0;
    }
    case 1: return dead_filter_from_json(value, &request->filter, error, size);
    case 2:
        if (read_number(value, OPERATION_RATE_MAX, &number) != 0)
            return bad(error, size, "rate is per second, from 1 to 1000");
        request->rate = (unsigned)number;
        return 0;
    case 3:
        if (read_number(value, COUNT_MAX, &request->limit) != 0)
            return bad(error, size, "limit is a whole number from 1");
        return 0;
    case 4:
        if (!json_is_boolean(value))
            return bad(error, size, "dry_run is true or false");
        request->dry_run = json_is_true(value);
        return 0;
    default: break;
    }
    const char *near = text_suggest(slice_of(key), request_members);
    snprintf(error, size, "unknown member %.64s%s%s", key,
        near != NULL ? "; did you mean " : "", near != NULL ? near : "");
    return -1;
}

int
operation_request_parse(struct slice json, struct operation_request *request,
    char *error, size_t size)
{
    json_error_t fault;
    const char *key;
    json_t *value;
    int result = 0;
    memset(request, 0, sizeof(*request));
    request->rate = OPERATION_RATE_DEFAULT;
    json_t *root =
        json_loadb(json.data, json.len, JSON_REJECT_DUPLICATES, &fault);
    if (!json_is_object(root)) {
        json_decref(root);
        return bad(error, size, "the body is not a JSON object");
    }
    if (json_object_get(root, "action") == NULL)
        result =
            bad(error, size, "action is missing: \"replay\" or \"discard\"");
    else if (json_object_get(root, "filter") == NULL)
        result =
            bad(error, size, "filter is missing; {} means every dead letter");
    json_object_foreach(root, key, value)
    {
        if (result == 0)
            result = read_member(request, key, value, error, size);
    }
    json_decref(root);
    return result;
}

/* --- the wish to cancel -------------------------------------------------- */

void
operation_cancel_id(const char *id, char out[ID_SIZE])
{
    snprintf(out, ID_SIZE, "cancel_%.36s", id + strlen(OPERATION_ID_PREFIX));
}

void
operation_cancel_encode(const char *id, struct buffer *out)
{
    buffer_append_text(out, "{\"object\":\"operation_cancel\"");
    put_text(out, "id", id);
    buffer_append_char(out, '}');
}

bool
operation_cancel_decode(struct slice json, char out[ID_SIZE])
{
    json_t *root = open_document(json, "operation_cancel");
    bool valid = root != NULL &&
        id_is_valid(slice_of(text_of(root, "id")), OPERATION_ID_PREFIX) &&
        text_copy(out, ID_SIZE, slice_of(text_of(root, "id")));
    json_decref(root);
    return valid;
}

/* --- the pace ------------------------------------------------------------ */

unsigned
operation_allow(struct operation_pace *pace, int64_t now_ms, unsigned rate,
    unsigned most, int64_t *wait_ms)
{
    /* A tenth of a second may be made up for, no more. */
    double burst = rate < 10 ? 1 : rate / 10.0;
    if (pace->then_ms == 0)
        pace->tokens = 1;
    else
        pace->tokens += (double)(now_ms - pace->then_ms) * rate / 1000.0;
    if (pace->tokens > burst)
        pace->tokens = burst;
    pace->then_ms = now_ms;
    if (pace->tokens < 1) {
        *wait_ms = (int64_t)((1 - pace->tokens) * 1000.0 / rate) + 1;
        return 0;
    }
    unsigned count = pace->tokens > most ? most : (unsigned)pace->tokens;
    pace->tokens -= count;
    *wait_ms = 0;
    return count;
}
