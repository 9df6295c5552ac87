#include "worker/retry.h"

#include <assert.h>

struct retry_policy
retry_policy_default(void)
{
    struct retry_policy policy = {RETRY_BASE_MS, RETRY_CAP_MS};

    return policy;
}

/* min(cap, base * 2^(attempt - 1)), without overflow. */
static int64_t
ceiling_ms(struct retry_policy policy, unsigned attempt)
{
    int64_t ceiling = policy.base_ms;
    unsigned i;

    for (i = 1; i < attempt && ceiling < policy.cap_ms; i++)
        ceiling = ceiling > policy.cap_ms / 2 ? policy.cap_ms : ceiling * 2;
    return ceiling < policy.cap_ms ? ceiling : policy.cap_ms;
}

/* 0..most, evenly: the upper half of a 128 bit product has no bias that
 * matters below 2^32. */
static int64_t
spread(int64_t most, uint64_t random)
{
    __extension__ typedef unsigned __int128 wide;

    return (int64_t)((wide)random * ((uint64_t)most + 1) >> 64);
}

int64_t
retry_delay_ms(struct retry_policy policy, unsigned attempt, uint64_t random)
{
    assert(attempt >= 1 && policy.base_ms >= 1);
    assert(policy.cap_ms >= policy.base_ms);
    return spread(ceiling_ms(policy, attempt), random);
}

int64_t
retry_next_ms(struct retry_policy policy, unsigned attempt, uint64_t random,
    int64_t now_ms, int64_t not_before_ms)
{
    int64_t next = now_ms + retry_delay_ms(policy, attempt, random);

    return next > not_before_ms ? next : not_before_ms;
}

int64_t
retry_patient_ms(struct retry_policy policy, uint64_t random)
{
    int64_t half = policy.cap_ms / 2;

    return half + spread(policy.cap_ms - half, random);
}
