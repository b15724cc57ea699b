// A latency histogram of fixed size: nanoseconds in log-linear buckets, 32 to each power of two, so
// that a percentile is within about 3 % of the true value at any magnitude. Recording is O(1) and
// nothing is allocated after histogram_create.
#ifndef DOMAIN_HISTOGRAM_H
#define DOMAIN_HISTOGRAM_H

#include <stdint.h>

struct histogram;

struct histogram *histogram_create(void);
void histogram_destroy(struct histogram *histogram);
void histogram_reset(struct histogram *histogram);

// A negative value counts as 0.
void histogram_record(struct histogram *histogram, int64_t value_ns);

int64_t histogram_count(const struct histogram *histogram);
int64_t histogram_max_ns(const struct histogram *histogram); // exact; 0 when empty

// The smallest value that at least `percent` % of the values do not exceed, within 3 %; 0 when
// empty. `percent` is taken into 0..100.
int64_t histogram_percentile_ns(const struct histogram *histogram, int percent);

#endif
