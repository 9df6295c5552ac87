#ifndef LH_CLI_BULK_PROGRESS_H
#define LH_CLI_BULK_PROGRESS_H

/*
 * bulk_progress: how far a run is, on stderr: a bar on a terminal, a plain
 * line every half minute elsewhere, JSON lines, or nothing. What is shown is
 * counted, not guessed; a time left is given when there is enough to tell
 * it from; a run that stands still says why. Time is an argument.
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
#define BULK_REASON_SIZE 256

struct bulk_progress {
    enum bulk_progress_mode mode;
    const char *name; /* what the line begins with */
    struct bulk_counts counts;
    int64_t said_ms; /* when a line was last shown; 0: never */
    bool on_line; /* the cursor stands behind a bar */
    int64_t moved_ms; /* when a row last ended */
    int64_t asked_ms; /* when bulk_progress_asks() last said yes; 0: never */
    char reason[BULK_REASON_SIZE]; /* why none does, or "" */
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
/* Whether the caller should find out why nothing moves, because it is going to
 * be shown: at most every five seconds, and for plain lines just before one. */
bool bulk_progress_asks(struct bulk_progress *progress, int64_t now_ms);
/* What it found, or nothing; shown until a row ends. */
void bulk_progress_reason(struct bulk_progress *progress, struct slice text);
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
