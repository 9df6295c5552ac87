#ifndef LH_FAKE_LEDGER_H
#define LH_FAKE_LEDGER_H

/*
 * ledger: the witness. An append-only file with one JSON line for each call
 * that ended and one for each that could not be answered at once:
 *
 *   {"t_ms":...,"call":7,"event":"begin"|"end","job":"job_..."|null,
 *    "path":"/v1/messages","model":...,"version":...,"beta":...,
 *    "auth":"x-api-key"|"bearer"|null,"stream":false,"bytes":812,
 *    "sha256":"...","status":200,"outcome":"ok","input_tokens":...,
 *    "output_tokens":...,"cache_read":...,"cache_write":...,
 *    "cache_write_1h":...,"answer_sha256":"..."|null,"text_sha256":...}
 *
 * "begin" has no status and nothing behind it. Each line is one write(2)
 * with O_APPEND, so several processes can share a file and a killed one
 * leaves whole lines. Never a prompt, an answer or a key.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buffer.h"

struct ledger;

struct ledger_call {
    uint64_t number;
    char job[128]; /* "" : the request had none */
    char path[64];
    char model[128]; /* "" : unknown */
    char version[32];
    char beta[256];
    const char *auth; /* static, or NULL */
    bool stream;
    uint64_t bytes;
    char sha256[65]; /* "" : no ledger */
};

struct ledger_end {
    unsigned status; /* 0: nothing was answered */
    const char *outcome;
    uint64_t input_tokens;
    uint64_t output_tokens;
    uint64_t cache_read;
    uint64_t cache_write; /* both lifetimes */
    uint64_t cache_write_1h;
    char answer_sha256[65]; /* of the document's bytes; "": a stream */
    char text_sha256[65]; /* of what its text blocks say; "": no answer */
};

/* NULL with errno when the file cannot be opened. */
struct ledger *ledger_open(const char *path, bool fsync) MUST_CHECK;
void ledger_close(struct ledger *ledger);
/* A line that cannot be written ends the process: a witness that forgets is
 * worse than none. */
void ledger_begin(struct ledger *ledger, const struct ledger_call *call);
void ledger_end(struct ledger *ledger, const struct ledger_call *call,
    const struct ledger_end *end);
/* Lower-case hex of the SHA-256 into out. */
void ledger_hash(struct slice bytes, char out[65]);

#endif
