// How long to wait before the next attempt: exponential, with full jitter, so that many customers
// which failed together do not come back together. The random number is a parameter.
#ifndef DOMAIN_BACKOFF_H
#define DOMAIN_BACKOFF_H

#include <stdint.h>

struct backoff {
    int64_t base_ns; // the most that the first wait can be
    int64_t cap_ns;
};

// base * 2^(attempts - 1), at most cap. `attempts` counts the one that just failed: 1, 2, ...
int64_t backoff_ceiling_ns(const struct backoff *backoff, int64_t attempts);

// A part of `span_ns`, from 0 to all of it, rounded up: uniform if `random` is.
int64_t backoff_jitter_ns(int64_t span_ns, uint64_t random);

// floor + jitter(ceiling), at most max(cap, floor): never less than `floor_ns`, which is `timeout`
// after an unknown outcome and otherwise 0 or what the API asked for. Never negative.
int64_t backoff_wait_ns(const struct backoff *backoff, int64_t attempts, uint64_t random,
                        int64_t floor_ns);

#endif
