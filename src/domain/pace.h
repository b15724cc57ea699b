// How often something may begin that is worth little when it was done just before: some at once
// after a rest, but on average no more than one in each interval.
#ifndef DOMAIN_PACE_H
#define DOMAIN_PACE_H

#include <stdint.h>

struct pace {
    int64_t every_ns; // on average
    int burst;        // at once after a rest; 1 or more
    int64_t full_ns;  // when as many as `burst` may begin at once again
};

// One begins.
void pace_begin(struct pace *pace, int64_t now);
// From when on another one may begin.
int64_t pace_next_ns(const struct pace *pace);

#endif
