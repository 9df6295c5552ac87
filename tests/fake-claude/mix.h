#ifndef LH_FAKE_MIX_H
#define LH_FAKE_MIX_H

/*
 * mix: the simulator's only source of chance. Everything random is a
 * function of the seed and of what was asked, so that a run can be repeated.
 */

#include <stdint.h>

#include "common/base/text.h"

/* A well-mixed value of `x` (the finaliser of splitmix64). */
uint64_t mix_u64(uint64_t x);
/* A 64-bit hash of the bytes, different for each `seed`. Not for secrets. */
uint64_t mix_bytes(uint64_t seed, struct slice bytes);
/* The next value of the sequence whose state is *state. */
uint64_t mix_next(uint64_t *state);
/* `value` as a real number in [0, 1). */
double mix_unit(uint64_t value);

#endif
