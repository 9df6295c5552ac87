#ifndef LH_JOB_CSV_H
#define LH_JOB_CSV_H

/*
 * csv: reads rows of comma- or tab-separated text (RFC 4180) as the bytes
 * come; they may be cut anywhere. Pure.
 *
 * The first row is the header and says how many fields a row has. A field in
 * quotes may hold separators, line ends and doubled quotes; a quote inside
 * an unquoted field is itself. Lines end with LF, CRLF or CR. A byte order
 * mark is left out, and so are lines with nothing on them.
 *
 * A bad row is reported and reading goes on behind it. A row of more than
 * CSV_ROW_MAX_BYTES is skipped without being kept. Only a quote that is
 * never closed cannot be got over: it swallows the rest.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buffer.h"

#define CSV_ROW_MAX_BYTES ((size_t)32 * 1024 * 1024)
#define CSV_FIELDS_MAX 4096
#define CSV_FAULT_TEXT_SIZE 160

enum csv_fault {
    CSV_FAULT_NONE,
    CSV_FAULT_RAGGED, /* more or fewer fields than the header */
    CSV_FAULT_QUOTE, /* text behind a closing quote */
    CSV_FAULT_UTF8, /* not UTF-8 */
    CSV_FAULT_NUL, /* a NUL byte: perhaps UTF-16 */
    CSV_FAULT_FIELDS, /* more than CSV_FIELDS_MAX */
    CSV_FAULT_LONG, /* more than CSV_ROW_MAX_BYTES */
    CSV_FAULT_UNCLOSED /* the input ended inside quotes */
};

/* Valid until the next call. */
struct csv_row {
    uint64_t number; /* 0 is the header, then from 1; bad ones count */
    uint64_t line; /* where the row begins, from 1 */
    enum csv_fault fault;
    uint64_t fault_line; /* of the open quote; else `line` */
    const struct slice *fields; /* none with FIELDS and LONG */
    size_t count;
};

enum csv_result {
    CSV_MORE, /* all was read, no row is complete */
    CSV_ROW /* csv->row is one; *in is what lies behind it */
};

/* Callers read row and columns. */
struct csv {
    struct csv_row row;
    size_t columns; /* of the header; 0 before it */
    char separator;
    int state;
    bool after_cr; /* a LF now belongs to it */
    bool in_row; /* something was read of the row */
    unsigned bom; /* bytes of a byte order mark so far; 3: no more */
    uint64_t line;
    uint64_t rows;
    uint64_t row_line;
    uint64_t quote_line;
    uint64_t row_bytes;
    enum csv_fault fault;
    struct buffer text; /* of the row's fields, one behind the other */
    size_t *ends;
    size_t count;
    size_t room;
    struct slice *fields;
};

/* separator: ',' or '\t' (or another ASCII character). */
void csv_init(struct csv *csv, char separator);
/* For rows from the middle of a text whose header had so many columns; row
 * and line numbers then count from 1. */
void csv_init_inside(struct csv *csv, char separator, size_t columns);
void csv_clear(struct csv *csv);
/* Reads from *in and cuts what it read off; stops behind a row. */
enum csv_result csv_feed(struct csv *csv, struct slice *in) MUST_CHECK;
/* There is no more: CSV_ROW when that ended a last row. */
enum csv_result csv_finish(struct csv *csv) MUST_CHECK;

/* "has 3 fields, the header has 5"; "" without a fault. Nothing of the row
 * is in it. out has CSV_FAULT_TEXT_SIZE bytes. */
void csv_fault_text(const struct csv *csv, char *out);

#endif
