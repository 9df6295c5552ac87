#ifndef LH_BASE_LOG_H
#define LH_BASE_LOG_H

/*
 * log: one JSON object per line on stderr:
 *
 *   {"time":"2026-11-20T14:32:10.123Z","level":"info","program":"worker",
 *    "event":"job_finished","job":"job_...","attempt":2,...}
 *
 * An event is a short snake_case name; everything that varies is a field.
 * Never a prompt, an answer, a key or a header value: callers pass ids,
 * counts, codes and durations. Strings are cut at 512 bytes and what looks
 * like a credential ("sk-ant-", "lh_", "Bearer ") is masked, as a second
 * line of defence. Writing never blocks the caller for long and never fails
 * it: a line that stderr does not take is dropped and counted.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/text.h"

enum log_level {
    LOG_LEVEL_DEBUG,
    LOG_LEVEL_INFO,
    LOG_LEVEL_WARN,
    LOG_LEVEL_ERROR
};

enum log_field_kind {
    LOG_FIELD_END,
    LOG_FIELD_TEXT,
    LOG_FIELD_INT,
    LOG_FIELD_REAL,
    LOG_FIELD_BOOL
};

struct log_field {
    const char *key; /* letters and _: it is written as it is */
    enum log_field_kind kind;
    struct slice text;
    int64_t integer;
    double real;
};

/* Fields for log_info() and friends; a NULL text is left out. */
#define LOG_TEXT(k, v) \
    { \
        .key = (k), .kind = LOG_FIELD_TEXT, .text = slice_of(v) \
    }
#define LOG_SLICE(k, v) \
    { \
        .key = (k), .kind = LOG_FIELD_TEXT, .text = (v) \
    }
#define LOG_INT(k, v) \
    { \
        .key = (k), .kind = LOG_FIELD_INT, .integer = (int64_t)(v) \
    }
#define LOG_REAL(k, v) \
    { \
        .key = (k), .kind = LOG_FIELD_REAL, .real = (v) \
    }
#define LOG_BOOL(k, v) \
    { \
        .key = (k), .kind = LOG_FIELD_BOOL, .integer = (v) ? 1 : 0 \
    }

/* `program` is kept, not copied. The level is read once from LONGHAUL_LOG
 * (debug, info, warn, error; default info). */
void log_init(const char *program);
void log_set_level(enum log_level level);
/* False: what it would be told is not worth putting together. */
bool log_takes(enum log_level level);
/* `fields` ends with a NULL key, or is NULL. */
void log_write(
    enum log_level level, const char *event, const struct log_field *fields);

/*
 * From here on what this thread says below warn may wait in memory, 4 KB at
 * most, for log_flush(), which a loop calls at the end of each turn. A line
 * of warn and above, or of another thread, is written at once, behind those
 * that wait. false: writes them and waits no more.
 */
void log_batch(bool on);
void log_flush(void);

/* At least one field; for an event without any call log_write(..., NULL). */
#define LOG_FIELDS(...) ((const struct log_field[]){__VA_ARGS__, {.key = NULL}})
#define log_debug(event, ...) \
    do { \
        if (log_takes(LOG_LEVEL_DEBUG)) \
            log_write(LOG_LEVEL_DEBUG, event, LOG_FIELDS(__VA_ARGS__)); \
    } while (0)
#define log_info(event, ...) \
    log_write(LOG_LEVEL_INFO, event, LOG_FIELDS(__VA_ARGS__))
#define log_warn(event, ...) \
    log_write(LOG_LEVEL_WARN, event, LOG_FIELDS(__VA_ARGS__))
#define log_error(event, ...) \
    log_write(LOG_LEVEL_ERROR, event, LOG_FIELDS(__VA_ARGS__))

/* Start-up failures before there is a log: "longhaul-worker: MESSAGE\n" on
 * stderr, for people. Does not exit. */
void log_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
