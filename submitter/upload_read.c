#include <stdio.h>
#include <string.h>

#include "common/service/config.h"
#include "common/service/models.h"
#include "submitter/upload.h"

/* What a row may put into its prompt: with every byte escaped it is six times
 * as long, and a short template with many places makes much of a row. */
#define ROW_PLACES_BYTES ((size_t)8 << 20)

static size_t
item_max(const struct upload *upload)
{
    return (size_t)upload->owner->service->config->max_body_bytes;
}

void
upload_open_source(struct upload *upload)
{
    envelope_init(&upload->envelope, item_max(upload), UPLOAD_CLAUDE_ITEMS);
    lines_init(&upload->lines, item_max(upload));
    csv_init(&upload->csv, ',');
}

void
upload_close_source(struct upload *upload)
{
    envelope_clear(&upload->envelope);
    lines_clear(&upload->lines);
    csv_clear(&upload->csv);
    buffer_clear(&upload->rendered);
}

static void
refuse_envelope(struct upload *upload)
{
    const struct envelope *envelope = &upload->envelope;
    upload_reply_error(upload, envelope->status,
        envelope->status == 413 ? "too_large" : "bad_request",
        envelope->message, 0);
}

/* --- Claude's envelope --- */

static bool
next_element(struct upload *upload, struct slice *in)
{
    struct slice element;
    switch (envelope_next(&upload->envelope, in, &element)) {
    case ENVELOPE_MORE: return false;
    case ENVELOPE_ELEMENT:
        upload_item_begin(upload, element, upload->envelope.count - 1);
        return true;
    case ENVELOPE_FAULT: break;
    }
    refuse_envelope(upload);
    return false;
}

static void
finish_envelope(struct upload *upload)
{
    if (envelope_finish(&upload->envelope) != 0)
        refuse_envelope(upload);
}

/* --- lines --- */

static bool
take_line(struct upload *upload, enum lines_status status, struct slice line)
{
    char message[80];
    switch (status) {
    case LINES_MORE: return false;
    case LINES_LINE:
        upload_item_begin(upload, line, upload->lines.number);
        return true;
    case LINES_TOO_LONG: break;
    }
    snprintf(message, sizeof(message), "the line is longer than %zu bytes",
        item_max(upload));
    upload_reject(upload, upload->lines.number, SLICE_NULL, message);
    return true;
}

/* --- CSV --- */

/* Column of the id, or csv->row.count. */
static size_t
find_column(const struct csv *csv, const char *name)
{
    size_t column = 0;
    while (column < csv->row.count &&
        !slice_equal_text(csv->row.fields[column], name))
        column++;
    return column;
}

static bool
bind_columns(struct upload *upload, struct template *template, const char *name)
{
    const struct csv_row *row = &upload->csv.row;
    struct buffer error = {0};
    struct buffer message = {0};
    bool bound = template == NULL ||
        template_bind(template, row->fields, row->count, &error) == 0;
    if (!bound) {
        buffer_printf(&message, "%s: %s", name, error.data);
        upload_reply_error(upload, 400, "bad_request", message.data, 0);
    }
    buffer_clear(&error);
    buffer_clear(&message);
    return bound;
}

static void
take_header(struct upload *upload)
{
    const struct upload_query *query = &upload->query;
    char message[CSV_FAULT_TEXT_SIZE + 32] = "The header of the CSV ";
    size_t len = strlen(message);
    if (upload->csv.row.fault != CSV_FAULT_NONE) {
        csv_fault_text(&upload->csv, message + len);
        upload_reply_error(upload, 400, "bad_request", message, 0);
        return;
    }
    if (!bind_columns(upload, query->prompt, "template") ||
        !bind_columns(upload, query->system, "system"))
        return;
    if (query->id_column[0] == '\0')
        return;
    upload->id_column = find_column(&upload->csv, query->id_column);
    if (upload->id_column == upload->csv.row.count)
        upload_reply_error(upload, 400, "bad_request",
            "id_column: the CSV has no such column.", 0);
}

/* Whether the row, put into every place, stays within reason. */
static bool
row_is_small_enough(const struct upload *upload)
{
    const struct csv_row *row = &upload->csv.row;
    size_t longest = 0;
    for (size_t i = 0; i < row->count; i++)
        longest = row->fields[i].len > longest ? row->fields[i].len : longest;
    return longest * upload->query.places <= ROW_PLACES_BYTES;
}

static bool
render_row(struct upload *upload)
{
    const struct upload_query *query = &upload->query;
    const struct config *config = upload->owner->service->config;
    struct template_request request = {.prompt = query->prompt,
        .system = query->system,
        .model = query->model[0] != '\0' ? query->model : config->model,
        .max_tokens = query->max_tokens};
    template_request_plan(&request,
        models_cache_min_tokens(upload->owner->service->models, request.model),
        1);
    buffer_reset(&upload->rendered);
    template_request_render(
        &request, upload->csv.row.fields, &upload->rendered);
    return upload->rendered.len <= item_max(upload);
}

/* A quote that never closes has swallowed what followed: rows that nobody
 * named would be missing. So nothing is accepted. */
static void
refuse_unclosed(struct upload *upload)
{
    char message[CSV_FAULT_TEXT_SIZE + 48];
    int len = snprintf(message, sizeof(message), "The row on line %llu ",
        (unsigned long long)upload->csv.row.line);
    csv_fault_text(&upload->csv, message + len);
    upload_reply_error(upload, 400, "bad_request", message, 0);
}

/* As `longhaul bulk` says it. */
static bool
is_blank(const struct upload *upload)
{
    return template_is_blank(upload->query.prompt, upload->csv.row.fields);
}

static void
take_row(struct upload *upload)
{
    static const char too_long[] =
        "the template makes too long a prompt of the row";
    const struct csv_row *row = &upload->csv.row;
    bool named = upload->query.id_column[0] != '\0';
    struct slice id =
        named && row->fields != NULL && upload->id_column < row->count
        ? row->fields[upload->id_column]
        : SLICE_NULL;
    char message[CSV_FAULT_TEXT_SIZE + 16] = "the row ";
    if (row->fault == CSV_FAULT_UNCLOSED) {
        refuse_unclosed(upload);
    } else if (row->fault != CSV_FAULT_NONE) {
        csv_fault_text(&upload->csv, message + strlen(message));
        upload_reject(upload, row->line, SLICE_NULL, message);
    } else if (named && !job_custom_id_is_valid(id)) {
        upload_reject(upload, row->line, SLICE_NULL,
            "the id column must hold 1 to 64 letters, digits, _ and -");
    } else if (is_blank(upload)) {
        upload_reject(upload, row->line, id,
            "the row is empty in every column that the template uses");
    } else if (!row_is_small_enough(upload)) {
        upload_reject(upload, row->line, id, too_long);
    } else if (!render_row(upload)) {
        upload_reject(upload, row->line, id, too_long);
    } else {
        upload_item_begin_row(
            upload, buffer_slice(&upload->rendered), row->line, id);
    }
}

static bool
take_csv(struct upload *upload, enum csv_result result)
{
    if (result == CSV_MORE)
        return false;
    if (upload->csv.row.number == 0)
        take_header(upload);
    else
        take_row(upload);
    return true;
}

/* --- all of them --- */

/* False when the piece is used up. */
static bool
next_item(struct upload *upload)
{
    struct slice in = slice_make(upload->input.data + upload->input_at,
        upload->input.len - upload->input_at);
    struct slice line = SLICE_NULL;
    bool more = false;
    if (in.len == 0)
        return false;
    switch (upload->query.form) {
    case UPLOAD_ENVELOPE: more = next_element(upload, &in); break;
    case UPLOAD_LINES: {
        enum lines_status status = lines_next(&upload->lines, &in, &line);
        more = take_line(upload, status, line);
        break;
    }
    case UPLOAD_CSV:
        more = take_csv(upload, csv_feed(&upload->csv, &in));
        break;
    }
    if (upload->state == UPLOAD_READING)
        upload->input_at = upload->input.len - in.len;
    return more;
}

/* The last line may have no end; true while there is one more item. */
static bool
last_item(struct upload *upload)
{
    struct slice line = SLICE_NULL;
    upload->finished = true;
    switch (upload->query.form) {
    case UPLOAD_ENVELOPE: finish_envelope(upload); return false;
    case UPLOAD_LINES: {
        enum lines_status status = lines_finish(&upload->lines, &line);
        return take_line(upload, status, line);
    }
    case UPLOAD_CSV: return take_csv(upload, csv_finish(&upload->csv));
    }
    return false;
}

bool
upload_step(struct upload *upload)
{
    if (upload->work.busy) {
        upload_item_step(upload);
        return true;
    }
    if (next_item(upload))
        return true;
    if (upload->state != UPLOAD_READING)
        return false;
    buffer_reset(&upload->input);
    upload->input_at = 0;
    if (!upload->complete || upload->finished)
        return false;
    return last_item(upload);
}
