// Values over time in a bounded number of buckets, whatever time they cover: when what is added
// does not fit any more, buckets become wider and neighbours are merged. Sums add up; of a level
// the highest value in a bucket counts. Times are instants (domain/instant.h) and may come in any
// order.
#ifndef DOMAIN_SERIES_H
#define DOMAIN_SERIES_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SERIES_BUCKETS = 480 };

struct series;

// With `sums` columns of sums and `levels` columns of levels, each numbered from 0.
struct series *series_create(size_t sums, size_t levels);
void series_destroy(struct series *series);

// Spreads `amount` evenly over the time. False, and nothing is added, when the whole would cover
// more time than the widest buckets hold (nine years).
bool series_add(struct series *series, size_t sum, int64_t from_us, int64_t to_us,
                double amount) MUST_CHECK;
// The level was `value` all that time. False as above.
bool series_level(struct series *series, size_t level, int64_t from_us, int64_t to_us,
                  double value) MUST_CHECK;

size_t series_count(const struct series *series); // of buckets, from the first to the last used
int64_t series_width_us(const struct series *series);
int64_t series_start_us(const struct series *series); // of the first bucket

double series_sum(const struct series *series, size_t bucket, size_t sum);
// False when nothing was added there.
bool series_top(const struct series *series, size_t bucket, size_t level, double *value) MUST_CHECK;

#endif
