#ifndef LH_CLI_BULK_PROGRESS_H
#define LH_CLI_BULK_PROGRESS_H

/*
 * bulk_progress: how far a run is, on stderr: a bar on a terminal, a plain
 * line every half minute elsewhere, JSON lines, or nothing. What is shown is
 * counted, not guessed; a time left is given when there is enough to tell
 * it from. Time is an argument.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buffer.h"

enum bulk_progress_mode {
    BULK_PROGRESS_BAR,
    BULK_PROGRESS_PLAIN,
    BULK_PROGRESS_JSON,
    BULK_PROGRESS_NONE
};

struct bulk_counts {
    uint64_t total;
    uint64_t done;
    uint64_t failed;
    uint64_t running;
    uint64_t retrying;
    double cost_usd; /* < 0: not known */
};

#define BULK_SAMPLES 61

struct bulk_progress {
    enum bulk_progress_mode mode;
    const char *name; /* what the line begins with */
    struct bulk_counts counts;
    int64_t said_ms; /* when a line was last shown; 0: never */
    uint64_t said_ended;
    bool on_line; /* the cursor stands behind a bar */
    struct {
        int64_t at_ms;
        uint64_t ended;
    } samples[BULK_SAMPLES];
    size_t sample_count;
    size_t sample_next;
};

/* "auto", "bar", "plain", "json" or "none" (NULL is auto). 0 or -1. */
int bulk_progress_mode(const char *name, bool on_terminal,
    enum bulk_progress_mode *mode) MUST_CHECK;
/* New counts; shows them when it is time to, or with `last`. */
void bulk_progress_update(struct bulk_progress *progress,
    const struct bulk_counts *counts, int64_t now_ms, bool last);
/* Before other text is written to stderr. */
void bulk_progress_break(struct bulk_progress *progress);
/* Rows ended in the last minute, as a rate per minute; < 0: too early. */
double bulk_progress_rate(const struct bulk_progress *progress, int64_t now_ms);
/* Until all rows have ended; -1: too early to tell. */
int64_t bulk_progress_left_ms(
    const struct bulk_progress *progress, int64_t now_ms);
/* The line that is shown, without its end. */
void bulk_progress_line(
    const struct bulk_progress *progress, int64_t now_ms, struct buffer *out);

#endif
