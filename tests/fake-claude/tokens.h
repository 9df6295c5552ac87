#ifndef LH_FAKE_TOKENS_H
#define LH_FAKE_TOKENS_H

/*
 * tokens: how many tokens a text is, roughly as Claude's tokenizers count:
 * four ASCII characters a token, two of the other alphabets (Cyrillic,
 * Greek, accents, Arabic), one and a half of the ideographs and syllables
 * (Chinese, Japanese, Korean), and an emoji costs one and a half tokens.
 */

#include <stdint.h>

#include "common/base/text.h"

/* Of well-formed UTF-8; 0 only for the empty text. */
uint64_t tokens_count(struct slice text);
/* Bytes of the longest prefix that is whole characters and at most
 * `max_tokens` tokens. */
size_t tokens_cut(struct slice text, uint64_t max_tokens);
/* `tokens` times `percent` / 100, rounded up. */
uint64_t tokens_scale(uint64_t tokens, unsigned percent);

#endif
