#ifndef LH_FAKE_SAMPLE_H
#define LH_FAKE_SAMPLE_H

/*
 * sample: a JSON value that fits a JSON schema, for structured outputs and
 * tool inputs. Knows type, enum, const, properties, required, items,
 * minItems, minimum, anyOf, oneOf, allOf (first of each) and local $ref.
 */

#include <jansson.h>

#include "common/base/buffer.h"

/* `text` becomes the strings. A schema it cannot follow gives null. */
void sample_append(struct buffer *out, const json_t *schema, struct slice text);

#endif
