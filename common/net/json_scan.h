#ifndef LH_NET_JSON_SCAN_H
#define LH_NET_JSON_SCAN_H

/*
 * json_scan: a validating push scanner for JSON (RFC 8259) in UTF-8
 * (RFC 3629). It proves that a document is well formed and says where the
 * members of its top-level object lie; it builds nothing, so a prompt of
 * 32 MB costs one pass and no memory, and its bytes can be forwarded as
 * they came.
 *
 * Strict: one value, no comments, no trailing commas, no byte order mark,
 * no raw control characters in strings, no lone surrogate escapes.
 * "\u0000" is allowed. Duplicate names are the caller's business. Nesting
 * deeper than the limit is a fault: `[[1]]` has depth 2.
 *
 * The input may be cut at any byte; the result is the same. After a fault
 * every further call fails with the same fault. Only captured values (see
 * json_hooks) use the heap.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buffer.h"

#define JSON_DEPTH_DEFAULT 64
#define JSON_DEPTH_MAX 512
/* A longer (decoded) member name is reported without its text. */
#define JSON_KEY_MAX 64
/* A name of JSON_KEY_MAX bytes written as \uXXXX, with its quotes. */
#define JSON_KEY_RAW_MAX (6 * JSON_KEY_MAX + 2)
/* Names and strings inside a watched member are told up to this length. */
#define JSON_INNER_MAX 16
#define JSON_INNER_RAW_MAX (6 * JSON_INNER_MAX + 2)
#define JSON_FAULT_TEXT_SIZE 128

enum json_kind {
    JSON_KIND_NONE,
    JSON_KIND_OBJECT,
    JSON_KIND_ARRAY,
    JSON_KIND_STRING,
    JSON_KIND_NUMBER,
    JSON_KIND_TRUE,
    JSON_KIND_FALSE,
    JSON_KIND_NULL
};

enum json_fault_kind {
    JSON_FAULT_NONE,
    JSON_FAULT_EMPTY, /* nothing but blanks */
    JSON_FAULT_TRUNCATED, /* ended inside the value */
    JSON_FAULT_BOM, /* begins with a byte order mark */
    JSON_FAULT_NOT_OBJECT, /* JSON_SCAN_OBJECT: another value */
    JSON_FAULT_VALUE, /* a value was expected */
    JSON_FAULT_KEY, /* a member name was expected */
    JSON_FAULT_COLON,
    JSON_FAULT_COMMA, /* a comma or the closing bracket was expected */
    JSON_FAULT_TRAILING, /* something behind the value */
    JSON_FAULT_NUMBER,
    JSON_FAULT_LITERAL, /* not quite true, false or null */
    JSON_FAULT_CONTROL, /* raw control character in a string */
    JSON_FAULT_ESCAPE,
    JSON_FAULT_SURROGATE, /* \uD800-\uDFFF without its other half */
    JSON_FAULT_UTF8,
    JSON_FAULT_DEPTH
};

struct json_fault {
    enum json_fault_kind kind;
    uint64_t offset; /* of the byte that cannot be, from 0 */
};

/* One member of the top-level object; offsets count from the document's
 * first byte, ends are exclusive. */
struct json_member {
    struct slice key; /* decoded; empty when key_too_long */
    bool key_too_long; /* over JSON_KEY_MAX bytes */
    bool has_comma; /* false for the first member */
    uint64_t comma_at; /* of the comma before this member */
    uint64_t key_start; /* of the opening quote */
    uint64_t key_end;
    uint64_t value_start;
    /* The rest is known to on_value only. */
    uint64_t value_end;
    enum json_kind kind;
    unsigned elements; /* in an array or object: 0, 1, 2 = more than one */
    bool captured; /* `raw` is the whole value as it was written */
    bool capture_cut; /* the value is longer than on_key allowed */
    struct slice raw;
};

/* What happens inside a member that is watched (json_scan_watch). The
 * top-level object has depth 0, its members 1, what is in those 2. */
enum json_inner_event {
    JSON_INNER_BEGIN, /* of a value; `text` is its name in an object */
    JSON_INNER_TEXT, /* a string is complete */
    JSON_INNER_CLOSE /* an object or array is complete */
};

struct json_inner {
    enum json_inner_event event;
    unsigned depth; /* of the value */
    enum json_kind kind;
    enum json_kind member; /* the kind of the watched member */
    uint64_t at; /* BEGIN: of the value's first byte */
    /* Name or string, decoded; empty when over JSON_INNER_MAX bytes. */
    struct slice text;
};

/* All may be NULL. What they are given lives until they return. */
struct json_hooks {
    /* A name was read. Returns how many bytes of the value may be kept for
     * on_value, 0 for none. */
    size_t (*on_key)(void *arg, const struct json_member *member);
    /* The value behind it is complete and well formed. */
    void (*on_value)(void *arg, const struct json_member *member);
    void (*on_inner)(void *arg, const struct json_inner *inner);
    void *arg;
};

enum json_scan_flags {
    JSON_SCAN_ANY = 0,
    JSON_SCAN_OBJECT = 1 /* the top level must be an object */
};

/* Filled by the implementation; callers read fault and root_* only. */
struct json_scan {
    struct json_fault fault;
    uint64_t root_start; /* of the value's first byte */
    uint64_t root_end; /* known when the value is complete */
    unsigned flags;
    unsigned depth;
    unsigned depth_limit;
    int state;
    int after_string; /* the state behind the string being read */
    unsigned hex_left; /* digits of a \u escape still to come */
    unsigned unit; /* its value so far */
    bool want_low; /* a high surrogate waits for its other half */
    unsigned char utf8_left;
    unsigned char utf8_min;
    unsigned char utf8_max;
    const char *literal; /* what is still to come of true, false, null */
    uint64_t base; /* bytes of earlier feeds */
    uint64_t stack[JSON_DEPTH_MAX / 64]; /* 1 = object, by depth */
    struct json_hooks hooks;
    struct json_member member;
    bool capturing_key;
    bool capturing_value;
    size_t capture_left;
    struct buffer capture;
    size_t key_len;
    char key_raw[JSON_KEY_RAW_MAX];
    char key[JSON_KEY_MAX];
    unsigned watch; /* the deepest values that are told of, 0: none */
    bool capturing_inner;
    size_t inner_len; /* over JSON_INNER_RAW_MAX: too long */
    size_t inner_key_len;
    char inner_raw[JSON_INNER_RAW_MAX];
    char inner_key[JSON_INNER_MAX];
};

/*
 * flags: of enum json_scan_flags; depth: 1..JSON_DEPTH_MAX; hooks is
 * copied and may be NULL. Members are reported only when the top level is
 * an object.
 */
void json_scan_init(struct json_scan *scan, unsigned flags, unsigned depth,
    const struct json_hooks *hooks);
/* Frees what was captured. */
void json_scan_clear(struct json_scan *scan);

/* From on_key: on_inner is told of what is in this member's value, down to
 * `depth`; the value is then not captured. */
void json_scan_watch(struct json_scan *scan, unsigned depth);

/* The next `len` bytes. 0, or -1 with scan->fault set. Hooks run inside. */
int json_scan_feed(
    struct json_scan *scan, const void *data, size_t len) MUST_CHECK;
/* There are no more bytes. 0 when exactly one value was read, else -1. */
int json_scan_finish(struct json_scan *scan) MUST_CHECK;

/* A whole document in memory, any value. fault may be NULL. */
int json_scan_all(const void *data, size_t len, unsigned depth,
    struct json_fault *fault) MUST_CHECK;

/* "byte 1234: a comma or a closing bracket was expected"; never a byte of
 * the document. out has JSON_FAULT_TEXT_SIZE bytes. */
void json_fault_text(const struct json_fault *fault, char *out);

/* ---- documents that are in memory already ---- */

/* A value as it is written, inside somebody else's bytes. */
struct json_item {
    enum json_kind kind; /* JSON_KIND_NONE: there is no such member */
    struct slice raw;
    unsigned elements; /* as in json_member */
};

/*
 * Validates `object` (which must be an object, blanks around it allowed)
 * and finds the `count` members called names[0..count-1] in one pass; the
 * last of duplicates wins. items point into `object`. 0, or -1 when it is
 * not a well-formed object of at most JSON_DEPTH_MAX levels (items are
 * then all JSON_KIND_NONE).
 */
int json_object_pick(struct slice object, const char *const *names,
    struct json_item *items, size_t count) MUST_CHECK;

/*
 * Calls on_member for every member in order; key_raw has its quotes,
 * `member` has everything of json_member but the captured bytes, `value`
 * is the value as written. 0, or -1 as above (some members may then have
 * been reported).
 */
int json_object_each(struct slice object,
    void (*on_member)(void *arg, const struct json_member *member,
        struct slice key_raw, struct slice value),
    void *arg) MUST_CHECK;

/* ---- strings ---- */

/*
 * raw is a well-formed string literal with its quotes. Writes what it means
 * in UTF-8 to out[size] as far as it fits (no NUL is added) and returns the
 * whole length, which is never more than raw.len.
 */
size_t json_unescape(struct slice raw, char *out, size_t size);

/* The same, all of it, behind what is in `out`. */
void json_unescape_append(struct buffer *out, struct slice raw);
/*
 * The same into out[size] with a NUL behind it. Returns the length, or -1
 * when it does not fit or holds a NUL character.
 */
int json_unescape_text(struct slice raw, char *out, size_t size) MUST_CHECK;

#endif
