#include "domain/backoff.h"

__extension__ typedef unsigned __int128 wide;

int64_t backoff_ceiling_ns(const struct backoff *backoff, int64_t attempts)
{
    int64_t ceiling = backoff->base_ns < 0 ? 0 : backoff->base_ns;
    int64_t cap = backoff->cap_ns < 0 ? 0 : backoff->cap_ns;
    for (int64_t i = 1; i < attempts && ceiling > 0 && ceiling < cap; i++) {
        ceiling = ceiling > cap / 2 ? cap : 2 * ceiling;
    }
    return ceiling < cap ? ceiling : cap;
}

int64_t backoff_jitter_ns(int64_t span_ns, uint64_t random)
{
    if (span_ns <= 0) {
        return 0;
    }
    wide product = (wide)span_ns * random;
    return (int64_t)((product + UINT64_MAX) >> 64); // rounded up, at most span_ns
}

int64_t backoff_wait_ns(const struct backoff *backoff, int64_t attempts, uint64_t random,
                        int64_t floor_ns)
{
    int64_t floor = floor_ns < 0 ? 0 : floor_ns;
    int64_t most = backoff->cap_ns > floor ? backoff->cap_ns : floor;
    // The jitter comes on top of the floor: max(floor, jitter) would bring all customers whose
    // requests timed out together back together.
    int64_t jitter = backoff_jitter_ns(backoff_ceiling_ns(backoff, attempts), random);
    int64_t wait = 0;
    if (__builtin_add_overflow(floor, jitter, &wait) || wait > most) {
        return most;
    }
    return wait;
}
