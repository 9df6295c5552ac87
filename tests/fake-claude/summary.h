#ifndef LH_FAKE_SUMMARY_H
#define LH_FAKE_SUMMARY_H

/*
 * summary: the text of a simulated answer. It picks the sentences of a
 * prompt whose words are most frequent in it and gives them back in their
 * order, behind a word of introduction in the prompt's language. Not wise,
 * but it reads like an answer and follows from the prompt alone.
 */

#include "common/base/buffer.h"

/* `chance` varies the choice among sentences of similar weight. */
void summary_append(struct buffer *out, struct slice text, uint64_t chance);
/* Fills up with numbered sentences of `text` until out holds `bytes`. */
void summary_fill(struct buffer *out, struct slice text, size_t bytes);

#endif
