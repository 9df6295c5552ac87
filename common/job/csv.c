#include "common/job/csv.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum state {
    FIELD_START,
    PLAIN, /* in an unquoted field, or in what follows a closing quote */
    QUOTED,
    QUOTE /* a quote inside quotes: the end, or the first of two */
};

static const char bom[] = {'\xef', '\xbb', '\xbf'};

#define FIELDS_FIRST 32

void
csv_init(struct csv *csv, char separator)
{
    memset(csv, 0, sizeof(*csv));
    csv->separator = separator;
    csv->line = 1;
    csv->state = FIELD_START;
}

void
csv_init_inside(struct csv *csv, char separator, size_t columns)
{
    csv_init(csv, separator);
    csv->bom = sizeof(bom);
    csv->rows = 1;
    csv->columns = columns;
}

void
csv_clear(struct csv *csv)
{
    buffer_clear(&csv->text);
    memory_free(csv->ends);
    memory_free(csv->fields);
    csv->ends = NULL;
    csv->fields = NULL;
    csv->room = 0;
}

static void
set_fault(struct csv *csv, enum csv_fault fault)
{
    if (fault > csv->fault)
        csv->fault = fault;
}

static bool
keeps(const struct csv *csv)
{
    return csv->fault != CSV_FAULT_LONG && csv->fault != CSV_FAULT_FIELDS;
}

static void
put(struct csv *csv, const char *data, size_t len)
{
    if (keeps(csv))
        buffer_append(&csv->text, data, len);
}

static void
end_field(struct csv *csv)
{
    csv->state = FIELD_START;
    if (!keeps(csv))
        return;
    if (csv->count == CSV_FIELDS_MAX) {
        set_fault(csv, CSV_FAULT_FIELDS);
        return;
    }
    if (csv->count == csv->room) {
        csv->room = csv->room == 0 ? FIELDS_FIRST : csv->room * 2;
        csv->ends = memory_resize(csv->ends, csv->room * sizeof(*csv->ends));
        csv->fields =
            memory_resize(csv->fields, csv->room * sizeof(*csv->fields));
    }
    csv->ends[csv->count++] = csv->text.len;
}

static void
check_row(struct csv *csv)
{
    struct slice text = buffer_slice(&csv->text);
    if (text.len > 0 && memchr(text.data, '\0', text.len) != NULL)
        set_fault(csv, CSV_FAULT_NUL);
    size_t start = 0;
    for (size_t i = 0; i < csv->count; i++) {
        csv->fields[i] = slice_make(
            text.data == NULL ? "" : text.data + start, csv->ends[i] - start);
        if (!text_is_utf8(csv->fields[i]))
            set_fault(csv, CSV_FAULT_UTF8);
        start = csv->ends[i];
    }
    if (csv->columns != 0 && csv->count != csv->columns)
        set_fault(csv, CSV_FAULT_RAGGED);
}

/* What was read becomes csv->row. */
static void
end_row(struct csv *csv)
{
    end_field(csv);
    if (!keeps(csv))
        csv->count = 0;
    else
        check_row(csv);
    csv->row.number = csv->rows++;
    csv->row.line = csv->row_line;
    csv->row.fault = csv->fault;
    csv->row.fault_line =
        csv->fault == CSV_FAULT_UNCLOSED ? csv->quote_line : csv->row_line;
    csv->row.fields = csv->fields;
    csv->row.count = csv->count;
    if (csv->row.number == 0)
        csv->columns = csv->count;
    csv->in_row = false;
}

static void
begin_row(struct csv *csv)
{
    csv->in_row = true;
    csv->row_line = csv->line;
    csv->row_bytes = 0;
    csv->fault = CSV_FAULT_NONE;
    csv->count = 0;
    buffer_reset(&csv->text);
}

static void
count_bytes(struct csv *csv, size_t bytes)
{
    csv->row_bytes += bytes;
    if (csv->row_bytes <= CSV_ROW_MAX_BYTES || !keeps(csv))
        return;
    set_fault(csv, CSV_FAULT_LONG);
    /* Nor are its fields: a quote that does not close is a fault above this
     * one, of a row that is given out. */
    buffer_clear(&csv->text);
    csv->count = 0;
}

static void
count_line(struct csv *csv, char c)
{
    if (c == '\r' || (c == '\n' && !csv->after_cr))
        csv->line++;
    csv->after_cr = c == '\r';
}

static bool
step_outside(struct csv *csv, char c)
{
    if (c == '\n' || c == '\r') {
        end_row(csv);
        return true;
    }
    if (c == csv->separator) {
        end_field(csv);
        return false;
    }
    if (csv->state == QUOTE) {
        set_fault(csv, CSV_FAULT_QUOTE);
    } else if (c == '"' && csv->state == FIELD_START) {
        csv->state = QUOTED;
        csv->quote_line = csv->line;
        return false;
    }
    csv->state = PLAIN;
    put(csv, &c, 1);
    return false;
}

/* One byte; true when it ended a row. */
static bool
step(struct csv *csv, char c)
{
    count_line(csv, c);
    if (!csv->in_row) {
        if (c == '\n' || c == '\r')
            return false;
        begin_row(csv);
    }
    count_bytes(csv, 1);
    if (csv->state == QUOTED) {
        if (c == '"')
            csv->state = QUOTE;
        else
            put(csv, &c, 1);
        return false;
    }
    if (csv->state == QUOTE && c == '"') {
        csv->state = QUOTED;
        put(csv, &c, 1);
        return false;
    }
    return step_outside(csv, c);
}

/* The bytes at the front of `in` that are plainly text of the field. */
static size_t
run_of(const struct csv *csv, struct slice in)
{
    size_t len = 0;
    if (!csv->in_row || (csv->state != QUOTED && csv->state != PLAIN))
        return 0;
    while (len < in.len && in.data[len] != '"' && in.data[len] != '\n' &&
        in.data[len] != '\r' && in.data[len] != csv->separator)
        len++;
    return len;
}

/* True while the bytes may be a byte order mark; those that turn out to be
 * none are read as text. */
static bool
step_bom(struct csv *csv, char c)
{
    if (c == bom[csv->bom]) {
        csv->bom++;
        return true;
    }
    unsigned held = csv->bom;
    csv->bom = sizeof(bom);
    for (unsigned i = 0; i < held; i++)
        step(csv, bom[i]);
    return false;
}

enum csv_result
csv_feed(struct csv *csv, struct slice *in)
{
    while (in->len > 0) {
        size_t run = run_of(csv, *in);
        if (run > 0) {
            count_bytes(csv, run);
            put(csv, in->data, run);
            csv->after_cr = false;
        } else {
            char c = in->data[0];
            run = 1;
            if ((csv->bom >= sizeof(bom) || !step_bom(csv, c)) &&
                step(csv, c)) {
                *in = slice_make(in->data + 1, in->len - 1);
                return CSV_ROW;
            }
        }
        *in = slice_make(in->data + run, in->len - run);
    }
    return CSV_MORE;
}

enum csv_result
csv_finish(struct csv *csv)
{
    if (csv->bom > 0 && csv->bom < sizeof(bom)) {
        unsigned held = csv->bom;
        csv->bom = sizeof(bom);
        for (unsigned i = 0; i < held; i++)
            step(csv, bom[i]);
    }
    if (!csv->in_row)
        return CSV_MORE;
    if (csv->state == QUOTED)
        set_fault(csv, CSV_FAULT_UNCLOSED);
    end_row(csv);
    return CSV_ROW;
}

void
csv_fault_text(const struct csv *csv, char *out)
{
    const size_t size = CSV_FAULT_TEXT_SIZE;
    out[0] = '\0';
    switch (csv->row.fault) {
    case CSV_FAULT_NONE: break;
    case CSV_FAULT_RAGGED:
        snprintf(out, size, "has %zu %s, the header has %zu", csv->row.count,
            csv->row.count == 1 ? "field" : "fields", csv->columns);
        break;
    case CSV_FAULT_QUOTE:
        snprintf(out, size,
            "has text behind a closing quote; a quote inside a quoted field "
            "is written twice");
        break;
    case CSV_FAULT_UTF8:
        snprintf(out, size,
            "is not UTF-8 text; convert the file, say with iconv -f LATIN1 "
            "-t UTF-8");
        break;
    case CSV_FAULT_NUL:
        snprintf(out, size,
            "has a NUL byte; if the file is UTF-16, convert it: iconv -f "
            "UTF-16 -t UTF-8");
        break;
    case CSV_FAULT_FIELDS:
        snprintf(out, size, "has more than %d fields", CSV_FIELDS_MAX);
        break;
    case CSV_FAULT_LONG:
        snprintf(out, size, "is longer than %zu MiB",
            CSV_ROW_MAX_BYTES / 1024 / 1024);
        break;
    case CSV_FAULT_UNCLOSED:
        snprintf(out, size,
            "has a quote that is never closed (it opens on line %" PRIu64 ")",
            csv->row.fault_line);
        break;
    }
}
