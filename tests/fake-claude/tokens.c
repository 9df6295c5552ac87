#include "tests/fake-claude/tokens.h"

/* In twelfths of a token, so that every share is a whole number. */
#define WHOLE 12

static unsigned
twelfths(unsigned char lead)
{
    if (lead < 0x80)
        return 3;
    if (lead < 0xc0)
        return 0; /* a continuation byte */
    if (lead < 0xe0)
        return 6;
    return lead < 0xf0 ? 8 : 18;
}

uint64_t
tokens_count(struct slice text)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < text.len; i++)
        sum += twelfths((unsigned char)text.data[i]);
    return (sum + WHOLE - 1) / WHOLE;
}

size_t
tokens_cut(struct slice text, uint64_t max_tokens)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned share = twelfths((unsigned char)text.data[i]);
        if (share != 0 && (sum + share + WHOLE - 1) / WHOLE > max_tokens)
            return i;
        sum += share;
    }
    return text.len;
}

uint64_t
tokens_scale(uint64_t tokens, unsigned percent)
{
    return (tokens * percent + 99) / 100;
}
