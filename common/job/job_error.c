#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/job/job.h"
#include "common/job/job_json.h"

#define ERROR_JSON_MAX (16 * 1024)
#define MS_MAX (INT64_C(1) << 52)
/* Longest quoted part that is taken out; an apostrophe pairs with nothing
 * far away. */
#define QUOTED_MAX 256

#define TEXT(key, member) JOB_JSON_TEXT_OF(key, struct job_error, member)
#define FIELD(key, kind, member, max) \
    JOB_JSON_FIELD(key, JOB_JSON_##kind, struct job_error, member, max)

static const struct job_json_field fields[] = {
    TEXT("k", class_name),
    TEXT("t", type),
    TEXT("c", code),
    FIELD("s", UINT, status, 99999),
    TEXT("r", request_id),
    FIELD("a", I64, at_ms, MS_MAX),
    FIELD("n", UINT, calls, UINT32_MAX),
    FIELD("u", UINT, unknown_calls, UINT32_MAX),
    TEXT("m", message),
};
#define FIELD_COUNT (sizeof(fields) / sizeof(fields[0]))

/* What is not UTF-8 would grow to U+FFFD when it is written, and then be too
 * long for the reader. */
static void
make_well_formed(char *text)
{
    if (text_is_utf8(slice_of(text)))
        return;
    for (char *at = text; *at != '\0'; at++)
        if ((*at & 0x80) != 0)
            *at = '?';
}

void
job_error_encode(const struct job_error *error, struct buffer *out)
{
    struct job_error copy = *error;
    make_well_formed(copy.class_name);
    make_well_formed(copy.type);
    make_well_formed(copy.code);
    make_well_formed(copy.request_id);
    make_well_formed(copy.message);
    buffer_append_char(out, '{');
    job_json_put(fields, FIELD_COUNT, &copy, out);
    job_json_end(out);
}

int
job_error_decode(struct slice json, struct job_error *error)
{
    memset(error, 0, sizeof(*error));
    int status = job_json_read(
        json, ERROR_JSON_MAX, fields, FIELD_COUNT, error, NULL, NULL);
    if (status != 0)
        memset(error, 0, sizeof(*error));
    return status;
}

/* ---- fingerprint ---- */

/* FNV-1a, 64 bits. */
static uint64_t
hash_bytes(uint64_t hash, const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)data[i]) * UINT64_C(0x100000001b3);
    return hash;
}

/* With its NUL, so that neighbouring fields do not run together. */
static uint64_t
hash_text(uint64_t hash, const char *text)
{
    return hash_bytes(hash, text, strlen(text) + 1);
}

static bool
is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '.' ||
        (c & 0x80) != 0;
}

/* Past a quoted part that begins at `at`, or `at` when none does. */
static const char *
skip_quoted(const char *start, const char *at)
{
    if (*at != '"' && *at != '\'' && *at != '`')
        return at;
    if (at > start && isalnum((unsigned char)at[-1]))
        return at; /* an apostrophe */
    for (size_t i = 1; i < QUOTED_MAX && at[i] != '\0'; i++)
        if (at[i] == *at)
            return at + i + 1;
    return at;
}

/* Numbers, dates, versions, uuids, req_..., msg_...: whatever changes from
 * one message to the next without changing its cause. */
static bool
is_variable(const char *word, size_t len)
{
    static const char *const prefixes[] = {"req_", "msg_", "job_", "file_",
        "toolu_", "msgbatch_", "org_", "wrkspc_"};
    for (size_t i = 0; i < len; i++)
        if (isdigit((unsigned char)word[i]))
            return true;
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        size_t prefix_len = strlen(prefixes[i]);
        if (len >= prefix_len + 8 && memcmp(word, prefixes[i], prefix_len) == 0)
            return true;
    }
    return false;
}

static uint64_t
hash_word(uint64_t hash, const char *word, size_t len)
{
    if (is_variable(word, len))
        return hash_bytes(hash, "#", 2);
    for (size_t i = 0; i < len; i++) {
        char lower = (char)tolower((unsigned char)word[i]);
        hash = hash_bytes(hash, &lower, 1);
    }
    return hash_bytes(hash, " ", 1);
}

static uint64_t
hash_message(uint64_t hash, const char *message)
{
    const char *at = message;
    while (*at != '\0') {
        const char *behind = skip_quoted(message, at);
        if (behind != at) {
            hash = hash_bytes(hash, "\"", 1);
            at = behind;
            continue;
        }
        size_t len = 0;
        while (is_word(at[len]))
            len++;
        if (len > 0)
            hash = hash_word(hash, at, len);
        at += len > 0 ? len : 1;
    }
    return hash;
}

void
job_error_fingerprint(
    const struct job_error *error, const char *model, char out[17])
{
    char status[16];
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    snprintf(status, sizeof(status), "%u", error->status);
    hash = hash_text(hash, error->class_name);
    hash = hash_text(hash, status);
    hash = hash_text(hash, error->type);
    hash = hash_text(hash, error->code);
    hash = hash_text(hash, model);
    hash = hash_message(hash, error->message);
    snprintf(out, 17, "%016" PRIx64, hash);
}
