#include "worker/answer.h"

#include <string.h>

#include "common/net/json_scan.h"

/* More than any count of tokens; keeps sums far from overflow. */
#define TOKENS_MAX (UINT64_C(1) << 50)

/* ---- text out of a peer's JSON -------------------------------------- */

static size_t
whole_characters(const char *text, size_t len)
{
    size_t back = 0;

    /* The bytes behind `len` were cut off: is the last character complete? */
    while (back < len && back < 4 && (text[len - 1 - back] & 0xC0) == 0x80)
        back++;
    if (back == len || back == 4)
        return len - back;
    if (!text_is_utf8(slice_make(text + len - 1 - back, back + 1)))
        return len - 1 - back;
    return len;
}

static void
blank_controls(char *text, size_t len)
{
    size_t i;

    for (i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c < ' ' || c == 0x7F)
            text[i] = ' ';
        /* U+0080 to U+009F, which terminals obey as well. */
        if (c == 0xC2 && i + 1 < len && (unsigned char)text[i + 1] < 0xA0)
            text[i] = text[i + 1] = ' ';
    }
}

/* The string `item` into out[size], cut and cleaned; "" for anything else. */
static void
copy_text(const struct json_item *item, char *out, size_t size)
{
    size_t len;

    out[0] = '\0';
    if (item->kind != JSON_KIND_STRING)
        return;
    len = json_unescape(item->raw, out, size - 1);
    if (len > size - 1)
        len = whole_characters(out, size - 1);
    blank_controls(out, len);
    out[len] = '\0';
}

static bool
is_text(const struct json_item *item, const char *text)
{
    char got[32];

    return item->kind == JSON_KIND_STRING &&
        json_unescape_text(item->raw, got, sizeof(got)) >= 0 &&
        strcmp(got, text) == 0;
}

static int64_t
count_of(const struct json_item *item)
{
    uint64_t value;

    if (item->kind != JSON_KIND_NUMBER ||
        text_parse_u64(item->raw, TOKENS_MAX, &value) != 0)
        return 0;
    return (int64_t)value;
}

/* ---- a Message ------------------------------------------------------ */

static void
read_cache_creation(const struct json_item *item, struct answer_usage *usage)
{
    static const char *const names[] = {
        "ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"};
    struct json_item items[2];

    if (item->kind != JSON_KIND_OBJECT ||
        json_object_pick(item->raw, names, items, 2) != 0)
        return;
    usage->cache_creation_5m_input_tokens = count_of(&items[0]);
    usage->cache_creation_1h_input_tokens = count_of(&items[1]);
}

static bool
read_usage(const struct json_item *item, struct answer_usage *usage)
{
    static const char *const names[] = {"input_tokens", "output_tokens",
        "cache_creation_input_tokens", "cache_read_input_tokens",
        "cache_creation"};
    struct json_item items[5];

    if (item->kind != JSON_KIND_OBJECT ||
        json_object_pick(item->raw, names, items, 5) != 0)
        return false;
    usage->input_tokens = count_of(&items[0]);
    usage->output_tokens = count_of(&items[1]);
    usage->cache_creation_input_tokens = count_of(&items[2]);
    usage->cache_read_input_tokens = count_of(&items[3]);
    read_cache_creation(&items[4], usage);
    return true;
}

int
answer_parse(struct slice body, struct answer *answer, const char **reason)
{
    enum { TYPE, CONTENT, STOP_REASON, ID, MODEL, USAGE, NAMES };
    static const char *const names[NAMES] = {
        "type", "content", "stop_reason", "id", "model", "usage"};
    struct json_item items[NAMES];

    memset(answer, 0, sizeof(*answer));
    *reason = NULL;
    if (json_object_pick(body, names, items, NAMES) != 0)
        *reason = "the answer is not a JSON object";
    else if (!is_text(&items[TYPE], "message"))
        *reason = "the answer is not a Message";
    else if (items[CONTENT].kind != JSON_KIND_ARRAY)
        *reason = "the Message has no content";
    if (*reason != NULL)
        return -1;
    copy_text(
        &items[STOP_REASON], answer->stop_reason, sizeof(answer->stop_reason));
    if (answer->stop_reason[0] == '\0') {
        *reason = "the Message has no stop_reason";
        return -1;
    }
    copy_text(&items[ID], answer->id, sizeof(answer->id));
    copy_text(&items[MODEL], answer->model, sizeof(answer->model));
    answer->has_usage = read_usage(&items[USAGE], &answer->usage);
    return 0;
}

/* ---- the error envelope --------------------------------------------- */

static void
read_code(const struct json_item *details, struct answer_error *error)
{
    static const char *const names[] = {"error_code"};
    struct json_item item;

    if (details->kind == JSON_KIND_OBJECT &&
        json_object_pick(details->raw, names, &item, 1) == 0)
        copy_text(&item, error->code, sizeof(error->code));
}

int
answer_error_parse(struct slice body, struct answer_error *error)
{
    enum { TYPE, ERROR, REQUEST_ID, NAMES };
    static const char *const names[NAMES] = {"type", "error", "request_id"};
    static const char *const inner_names[] = {"type", "message", "details"};
    struct json_item items[NAMES];
    struct json_item inner[3];

    memset(error, 0, sizeof(*error));
    if (json_object_pick(body, names, items, NAMES) != 0 ||
        !is_text(&items[TYPE], "error") ||
        items[ERROR].kind != JSON_KIND_OBJECT ||
        json_object_pick(items[ERROR].raw, inner_names, inner, 3) != 0 ||
        inner[0].kind != JSON_KIND_STRING)
        return -1;
    copy_text(&inner[0], error->type, sizeof(error->type));
    copy_text(&inner[1], error->message, sizeof(error->message));
    copy_text(&items[REQUEST_ID], error->request_id, sizeof(error->request_id));
    read_code(&inner[2], error);
    if (error->type[0] != '\0')
        return 0;
    memset(error, 0, sizeof(*error));
    return -1;
}
