#ifndef LH_JOB_PROMPT_MIX_H
#define LH_JOB_PROMPT_MIX_H

/*
 * prompt_mix: what a request's text is made of, counted as it comes in, and
 * how many tokens such a text is likely to be. Tokenizers take several
 * letters of a Latin text as one token, but one or two characters of a
 * Chinese one; so bytes are counted by the script they belong to, and the
 * tokens per byte are learnt for each model from its answers. Pure.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/text.h"

enum prompt_kind {
    PROMPT_ASCII, /* bytes */
    PROMPT_ESCAPES, /* \uXXXX in the JSON text, counted as one each */
    PROMPT_TWO, /* bytes of characters of two: Greek, Cyrillic, Arabic, ... */
    PROMPT_MORE, /* bytes of characters of three and four: CJK, Thai, emoji */
    PROMPT_KINDS
};

/* A zeroed one has seen nothing. */
struct prompt_mix {
    uint64_t count[PROMPT_KINDS];
    /* Millionths of the text that lie before the last cache_control, and are
     * read from the cache when they were sent before; 0: there is none. */
    unsigned cached_ppm;
    uint64_t words; /* of Latin letters and digits; not encoded */
    double cached_tokens; /* about, before the last cache_control */
};

/*
 * The next bytes of the JSON text, wherever it was cut. Six letters of an
 * escape that lie in two pieces count as letters. Long runs without a blank
 * or a quote are not text but images and documents in base64: their ASCII
 * bytes are not counted.
 */
void prompt_mix_feed(struct prompt_mix *mix, struct slice text);

/*
 * A number of tokens that this text has for certain, whatever the tokenizer:
 * half of its words, as no token is longer than a word, and very little for
 * characters of other scripts.
 */
uint64_t prompt_mix_least_tokens(const struct prompt_mix *mix);

/* "ascii escapes two more cached_ppm", as a job carries it. */
#define PROMPT_MIX_SIZE 96
void prompt_mix_encode(const struct prompt_mix *mix, char out[PROMPT_MIX_SIZE]);
int prompt_mix_decode(struct slice text, struct prompt_mix *mix) MUST_CHECK;

/* Tokens for each one counted. */
struct prompt_rates {
    double per[PROMPT_KINDS];
};

/* Before anything was learnt; factor: as models.json has it (1.0 for the
 * older tokenizer). */
struct prompt_rates prompt_rates_guess(double factor);
/* Input tokens, without regard to caching. */
double prompt_rates_apply(
    const struct prompt_rates *rates, const struct prompt_mix *mix);
/* A text of this mix was `tokens` long: moves the rates a little that way
 * (normalised least mean squares), within sane bounds. */
void prompt_rates_learn(
    struct prompt_rates *rates, const struct prompt_mix *mix, double tokens);

#endif
