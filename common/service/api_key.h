#ifndef LH_SERVICE_API_KEY_H
#define LH_SERVICE_API_KEY_H

/*
 * api_key: what an upstream key looks like. A key that looks odd may still
 * work: it is worth a warning before the first refusal, and no more.
 */

#include <stdbool.h>

#include "common/base/text.h"

/* What is odd about a key of Claude's own API, as the end of a sentence
 * ("it is empty"), or NULL. Never holds a part of the key. */
const char *api_key_oddity(struct slice key);
/* Whether an address is that of Claude's own API; others have other keys. */
bool api_key_is_claudes(const char *base_url);

#endif
