// Axes of charts: round steps that people can read.
#ifndef DOMAIN_SCALE_H
#define DOMAIN_SCALE_H

#include <stdint.h>

// The step of an axis from 0 to `top` with at most five lines: 1, 2 or 5 times a power of ten.
double scale_step(double top);

// The step of a time axis in seconds with at most `ticks` of them.
int64_t scale_time_step_s(int64_t span_s, int ticks);

#endif
