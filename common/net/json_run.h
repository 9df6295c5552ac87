#ifndef LH_NET_JSON_RUN_H
#define LH_NET_JSON_RUN_H

/*
 * json_run: what the two halves of the scanner share: json_scan.c has the
 * structure and the reports, json_token.c strings, numbers and literals.
 * For them alone.
 */

#include "common/net/json_scan.h"

enum json_state {
    JSON_AT_VALUE,
    JSON_AT_ARRAY_FIRST,
    JSON_AT_OBJECT_FIRST,
    JSON_AT_KEY,
    JSON_AT_COLON,
    JSON_AT_AFTER, /* behind a value: comma or closing bracket */
    JSON_AT_DONE,
    JSON_IN_STRING,
    JSON_IN_ESCAPE,
    JSON_IN_HEX,
    JSON_IN_LOW, /* the backslash of the second surrogate */
    JSON_IN_LOW_U,
    JSON_IN_UTF8,
    JSON_IN_LITERAL,
    JSON_IN_MINUS,
    JSON_IN_ZERO,
    JSON_IN_INT,
    JSON_IN_DOT,
    JSON_IN_FRAC,
    JSON_IN_E,
    JSON_IN_E_SIGN,
    JSON_IN_EXP,
    JSON_STATES
};

/* One call of json_scan_feed(). */
struct json_run {
    struct json_scan *scan;
    const uint8_t *data;
    const uint8_t *end;
    const uint8_t *mark; /* what is captured begins here */
};

/* Reads at least one byte (p < end) unless it changes the state, and as
 * many as it can. Returns where it stopped, NULL on a fault. */
typedef const uint8_t *json_handler(struct json_run *run, const uint8_t *p);

/* Keeps the fault and returns NULL. */
const uint8_t *json_run_fault(
    struct json_run *run, const uint8_t *p, enum json_fault_kind kind);
/* A value ends before p: the state behind it, and the report. */
void json_run_value_end(struct json_run *run, const uint8_t *p);
/* A name of the top-level object ends before p. */
void json_run_key_end(struct json_run *run, const uint8_t *p);

/* --- json_inner.c: inside a watched member --- */

static inline bool
json_inner_is_watched(const struct json_scan *scan)
{
    return scan->depth > 1 && scan->depth <= scan->watch;
}
/* A name or string begins with its quote at p. */
void json_inner_string(struct json_run *run, const uint8_t *p);
/* The part ends inside it. */
void json_inner_flush(struct json_run *run, const uint8_t *until);
/* It ends before p. */
void json_inner_key_end(struct json_run *run, const uint8_t *p);
void json_inner_text(struct json_run *run, const uint8_t *p);
void json_inner_begin(struct json_run *run, enum json_kind kind, uint64_t at);
void json_inner_close(struct json_run *run);

static inline bool
json_is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

json_handler json_in_utf8;
json_handler json_in_string;
json_handler json_in_escape;
json_handler json_in_hex;
json_handler json_in_low;
json_handler json_in_low_u;
json_handler json_in_literal;
json_handler json_in_minus;
json_handler json_in_zero;
json_handler json_in_int;
json_handler json_in_dot;
json_handler json_in_frac;
json_handler json_in_e;
json_handler json_in_e_sign;
json_handler json_in_exp;

#endif
