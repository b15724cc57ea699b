/*
 * rate: a token bucket. In any t seconds at most per_sec * t + burst requests pass.
 * It starts full. Time is a parameter; a clock that goes back adds nothing.
 */
#ifndef SANDBOX_RATE_H
#define SANDBOX_RATE_H

#include <stdbool.h>
#include <stdint.h>

struct rate {
    double per_sec; /* 0: no limit */
    double burst;
    double tokens;
    int64_t at_ns;
};

void rate_init(struct rate *rate, double per_sec, double burst, int64_t now_ns);

/* False when the bucket is empty; then `wait_ns` is how long until the next token. */
bool rate_take(struct rate *rate, int64_t now_ns, int64_t *wait_ns);

#endif
