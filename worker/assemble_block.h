#ifndef LH_WORKER_ASSEMBLE_BLOCK_H
#define LH_WORKER_ASSEMBLE_BLOCK_H

/*
 * assemble_block: one content block of a streamed Message: what
 * content_block_start brought, and what the deltas add to it. Claude's
 * deltas and how they accumulate: text_delta and thinking_delta append,
 * input_json_delta pieces make up `input`, signature_delta replaces,
 * citations_delta adds an element to `citations`. For assemble.c alone.
 */

#include <stdbool.h>

#include "common/base/buffer.h"

struct assemble_block {
    struct buffer start; /* the block as it began */
    const char *text_name; /* "text" or "thinking" once one was added */
    struct buffer text; /* raw insides of the strings added to it */
    struct buffer input; /* the pieces, unescaped */
    struct buffer signature; /* raw */
    struct buffer citations; /* raw, separated by commas */
};

/* `block` is zeroed; `raw` is a well-formed object. */
void assemble_block_start(struct assemble_block *block, struct slice raw);
/* `raw` is a well-formed object; -1: a delta of no known form, ignored. */
int assemble_block_delta(
    struct assemble_block *block, struct slice raw) MUST_CHECK;
/* Whether its input is JSON, as it is unless Claude was cut off in it. */
bool assemble_block_is_whole(const struct assemble_block *block);
/* Appends the block. An input that is not JSON becomes
 * {"INVALID_JSON":"..."}, the form that Claude's documentation proposes. */
void assemble_block_render(
    const struct assemble_block *block, struct buffer *out);
void assemble_block_clear(struct assemble_block *block);

#endif
