#include "tests/fake-claude/mix.h"

#include <string.h>

#define GOLDEN 0x9e3779b97f4a7c15u

uint64_t
mix_u64(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

uint64_t
mix_bytes(uint64_t seed, struct slice bytes)
{
    uint64_t hash = mix_u64(seed + GOLDEN * (bytes.len + 1));
    size_t at = 0;
    for (; at + 8 <= bytes.len; at += 8) {
        uint64_t word;
        memcpy(&word, bytes.data + at, 8);
        hash = mix_u64(hash ^ word) + GOLDEN;
    }
    if (at < bytes.len) {
        uint64_t word = 0;
        memcpy(&word, bytes.data + at, bytes.len - at);
        hash = mix_u64(hash ^ word) + GOLDEN;
    }
    return mix_u64(hash);
}

uint64_t
mix_next(uint64_t *state)
{
    *state += GOLDEN;
    return mix_u64(*state);
}

double
mix_unit(uint64_t value)
{
    return (double)(value >> 11) / 9007199254740992.0;
}
