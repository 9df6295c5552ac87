/*
 * CSV: the rows do not depend on where the input is cut; lines and numbers
 * ascend; a row without a fault has the header's fields, in UTF-8. The first
 * byte chooses the cut and the separator.
 */

#include <stdlib.h>
#include <string.h>

#include "common/job/csv.h"

#define MUST(condition) \
    do { \
        if (!(condition)) \
            abort(); \
    } while (0)

static uint64_t
mix(uint64_t hash, uint64_t value)
{
    return (hash ^ value) * UINT64_C(0x100000001B3);
}

static uint64_t
note(const struct csv *csv, uint64_t hash, uint64_t *line)
{
    const struct csv_row *row = &csv->row;
    char text[CSV_FAULT_TEXT_SIZE];

    MUST(row->number == csv->rows - 1 && row->line > *line);
    *line = row->line;
    MUST(row->fault_line >= row->line);
    MUST(row->fault != CSV_FAULT_NONE || row->count == csv->columns);
    hash = mix(mix(hash, row->number), row->line);
    hash = mix(mix(hash, row->fault), row->fault_line);
    for (size_t i = 0; i < row->count; i++) {
        MUST(row->fault != CSV_FAULT_NONE || text_is_utf8(row->fields[i]));
        for (size_t at = 0; at < row->fields[i].len; at++)
            hash = mix(hash, (unsigned char)row->fields[i].data[at]);
        hash = mix(hash, 256);
    }
    csv_fault_text(csv, text);
    MUST((text[0] == '\0') == (row->fault == CSV_FAULT_NONE));
    return hash;
}

static uint64_t
read_in_parts(struct slice text, char separator, size_t part)
{
    struct csv csv;
    uint64_t hash = 1;
    uint64_t line = 0;

    csv_init(&csv, separator);
    while (text.len > 0) {
        struct slice in =
            slice_make(text.data, text.len < part ? text.len : part);
        text = slice_make(text.data + in.len, text.len - in.len);
        while (csv_feed(&csv, &in) == CSV_ROW)
            hash = note(&csv, hash, &line);
        MUST(in.len == 0);
    }
    if (csv_finish(&csv) == CSV_ROW)
        hash = note(&csv, hash, &line);
    csv_clear(&csv);
    return hash;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text;
    char separator;

    if (size < 1)
        return 0;
    text = slice_make((const char *)data + 1, size - 1);
    separator = (data[0] & 1) != 0 ? '\t' : ',';
    MUST(read_in_parts(text, separator, size) ==
        read_in_parts(text, separator, (size_t)(data[0] >> 1) + 1));
    return 0;
}
