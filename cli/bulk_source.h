#ifndef LH_CLI_BULK_SOURCE_H
#define LH_CLI_BULK_SOURCE_H

/*
 * bulk_source: the rows of an input file, one at a time, in memory that is
 * bounded by one row: CSV, TSV (common/job/csv.h) or JSONL, a JSON object a
 * line. Standard input is kept in a temporary file without a name, because
 * the rows are read more than once.
 *
 * Columns of JSONL are the members of the first object; text is unescaped,
 * other values are as they are written, null is empty.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buffer.h"

#define BULK_LINE_MAX_BYTES ((size_t)32 * 1024 * 1024)
#define BULK_FAULT_SIZE 192

enum bulk_format { BULK_FORMAT_CSV, BULK_FORMAT_TSV, BULK_FORMAT_JSONL };

/* Valid until the next call. */
struct bulk_row {
    uint64_t line; /* where it begins, from 1 */
    uint64_t offset; /* for bulk_source_read_at() */
    bool fatal; /* nothing behind it can be read */
    char fault[BULK_FAULT_SIZE]; /* "" or what is wrong: "has 3 fields..." */
    /* By column; data is NULL where a JSON object has no such member. */
    const struct slice *values;
    struct slice raw; /* JSONL: the object as written */
};

struct bulk_source;

/* What bulk_source_open() takes the input for: 0, or -1 when there is no such
 * format. */
int bulk_source_format_of(
    const char *path, const char *format, enum bulk_format *out) MUST_CHECK;
/*
 * path: "-" is standard input. format: "csv", "tsv", "jsonl", or NULL to go
 * by the name's ending (CSV for standard input). NULL when it cannot be
 * read, is empty or has no usable header: said on stderr.
 */
struct bulk_source *bulk_source_open(
    const char *path, const char *format) MUST_CHECK;
void bulk_source_free(struct bulk_source *source);
enum bulk_format bulk_source_format(const struct bulk_source *source);
const struct slice *bulk_source_names(
    const struct bulk_source *source, size_t *count);
bool bulk_source_has_bom(const struct bulk_source *source);

/* The next row, from the first one on: 1, or 0 at the end, or -1 (said). */
int bulk_source_next(
    struct bulk_source *source, struct bulk_row *row) MUST_CHECK;
/* Next comes the first row again. */
void bulk_source_rewind(struct bulk_source *source);
/* The row that began there; the order of bulk_source_next() is lost. */
int bulk_source_read_at(struct bulk_source *source, uint64_t offset,
    struct bulk_row *row) MUST_CHECK;

#endif
