#ifndef LH_CLI_OUT_H
#define LH_CLI_OUT_H

/*
 * out: what people see. Data goes to stdout, talk to stderr. A terminal is
 * an interpreter, so text that came from elsewhere is made safe before it is
 * shown: control characters, escapes and bidirectional overrides become
 * visible. Colour only on a terminal, never with NO_COLOR or TERM=dumb.
 */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/base/buffer.h"

/* Once, after the options are known. */
void out_init(bool no_color);
bool out_is_terminal(FILE *file);

/* Appends `text` with everything a terminal would obey made visible:
 * \x1b, \u202e; lines and tabs stay with `lines`, else become \n and \t. */
void out_safe(struct buffer *out, struct slice text, bool lines);
/* Columns it takes on a terminal; `text` is safe text. */
size_t out_width(struct slice text);

/* As much of safe text as leaves one of `room` columns free. */
struct slice out_cut(struct slice text, size_t room);
/* Columns of the terminal that `file` is; 80 when it does not say. */
size_t out_columns(FILE *file);

/* "longhaul: ..." on stderr. The same as log_say, with safe text. */
void out_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A line on stderr without the program's name. */
void out_tell(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Bytes to stdout; false (and said) when that fails: the disk is full or
 * the reader has gone. */
bool out_write(struct slice data);
/* The same with a line end, unless there is one. */
bool out_write_line(struct slice data);
/* Flushes stdout; false (and said) when something was lost. */
bool out_flush(void);

/* A table: cells are made safe and copied; the last column may be cut, on a
 * terminal only. */
#define OUT_COLUMNS_MAX 12
struct out_table;
struct out_table *out_table_new(const char *const *headings, size_t columns);
void out_table_cell(struct out_table *table, struct slice text);
void out_table_text(struct out_table *table, const char *text);
void out_table_u64(struct out_table *table, uint64_t value);
/* Prints to stdout and frees. The column `colour_at` (or -1) holds states. */
void out_table_print(struct out_table *table, int colour_at);

/* "Name   value" lines to stdout; value is made safe. */
void out_field(const char *name, struct slice value);

/* The same for a state, in its colour. */
void out_field_state(const char *name, struct slice state);

/* Escape sequences for `file`, "" without colour. */
const char *out_colour(FILE *file, const char *state);
const char *out_plain(FILE *file);

/* An RFC 3339 time as "14:32:10" today, "2026-11-20 14:32" else (local
 * time); the text itself when it is none. */
void out_time(struct slice rfc3339, struct buffer *out);

#endif
