#ifndef LH_FAKE_SETTINGS_H
#define LH_FAKE_SETTINGS_H

/*
 * settings: the command line of fake-claude, one table.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "tests/fake-claude/limits.h"

struct settings {
    const char *listen;
    bool shared;
    bool die_with_parent;
    uint64_t seed;
    uint64_t ttft_ms;
    double tokens_per_s; /* 0: at once */
    double jitter; /* 0.2: latencies vary by 20 % */
    uint64_t per_minute[LIMIT_KINDS];
    double burst_s;
    const char *ledger;
    bool fsync_ledger;
    const char *record;
    bool unmarked;
    bool control;
    bool fast;
    bool help;
};

/* Texts point into argv. 0, or -1 with a line for people in *error. */
int settings_read(struct settings *settings, int argc, char **argv,
    struct buffer *error) MUST_CHECK;
void settings_help(struct buffer *out);

#endif
