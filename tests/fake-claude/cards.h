#ifndef LH_FAKE_CARDS_H
#define LH_FAKE_CARDS_H

/*
 * cards: test cards, model names that make the simulator fail in one known
 * way, as a payment provider's test card numbers do. A number in the table's
 * name (written as <n>) is any number in a request: mock-slow-250ms.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buffer.h"

enum card_kind {
    CARD_OK,
    CARD_SLOW, /* answers after n milliseconds */
    CARD_STREAM, /* a long answer at reading speed */
    CARD_ERROR, /* the card's status, for the first `times` calls */
    CARD_REFUSAL,
    CARD_MAX_TOKENS,
    CARD_THINKING,
    CARD_CUT, /* the connection breaks inside the answer */
    CARD_GARBAGE, /* 200, but not the API's JSON */
    CARD_EMPTY, /* 200 and nothing */
    CARD_HANG, /* never answers */
    CARD_DRIP, /* one byte a second */
    CARD_ENDLESS, /* an answer that never ends */
    CARD_SSE_ERROR, /* 200, then an error event (without a stream: 529) */
    CARD_FLAKY /* a 529 or 500 in n of 100 calls */
};

#define CARD_ALWAYS 0

struct card {
    const char *pattern; /* one <n> at most */
    enum card_kind kind;
    unsigned status; /* of CARD_ERROR */
    unsigned times; /* so many calls of a job fail; CARD_ALWAYS */
    unsigned scale; /* n counts in these: milliseconds for CARD_SLOW */
    const char *code; /* error.details.error_code, or NULL */
    const char *help;
};

/* What a model name asks for. */
struct card_choice {
    const struct card *card;
    uint64_t n; /* the number in the name, times scale; 0 without one */
};

/* Ends with a NULL pattern. */
extern const struct card cards[];

/* Returns 0, or -1 if no card has that name. */
int card_find(struct slice model, struct card_choice *choice) MUST_CHECK;
/* Whether the card's trouble strikes the call that is number `call` (from
 * 1) of its job; `chance` in [0, 1) decides for CARD_FLAKY. */
bool card_strikes(
    const struct card_choice *choice, uint64_t call, double chance);
/* The table as lines for --help. */
void cards_help(struct buffer *out);

#endif
