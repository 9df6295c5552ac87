#include "common/service/api_key.h"

#include <string.h>

#define LENGTH_MIN 40 /* of keys that were ever given out */

bool
api_key_is_claudes(const char *base_url)
{
    return strcmp(base_url, "https://api.anthropic.com") == 0;
}

const char *
api_key_oddity(struct slice key)
{
    if (key.len == 0)
        return "it is empty";
    for (size_t i = 0; i < key.len; i++) {
        if (key.data[i] <= ' ' || key.data[i] > '~')
            return "it holds blanks, line ends or other bytes that no key has";
    }
    if (slice_starts_with(key, "sk-ant-oat"))
        return "it is an OAuth token, which is not an API key";
    if (!slice_starts_with(key, "sk-ant-"))
        return "keys of Claude's begin with sk-ant-";
    return key.len < LENGTH_MIN ? "it is shorter than keys are" : NULL;
}
