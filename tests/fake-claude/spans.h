#ifndef LH_FAKE_SPANS_H
#define LH_FAKE_SPANS_H

/*
 * spans: the byte ranges of members and elements inside a JSON text that is
 * already known to be valid. The prompt cache needs them: what counts there
 * is the request's own bytes, not a parsed and reprinted copy.
 */

#include <stdbool.h>

#include "common/base/text.h"

/* A walk over one object or array. */
struct span_walk {
    struct slice rest;
};

/* `value` is the object or array, blanks around it allowed. */
void span_begin(struct span_walk *walk, struct slice value);
/*
 * The next member or element: *value gets its bytes without blanks around
 * them, *key (objects) the bytes between the quotes, not unescaped. Returns
 * false at the end.
 */
bool span_next(struct span_walk *walk, struct slice *key, struct slice *value);
/* The value of an object's last member of that name; an empty slice if there
 * is none. The name is compared as written (no escapes). */
struct slice span_member(struct slice object, const char *name);

#endif
