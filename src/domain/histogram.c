// Bucket of a value: below 32 the value itself; above, the power of two (the "octave") and the five
// bits behind its leading one.
#include "domain/histogram.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

enum {
    HISTOGRAM_BITS = 5,
    HISTOGRAM_STEPS = 1 << HISTOGRAM_BITS,
    HISTOGRAM_OCTAVES = 63 - HISTOGRAM_BITS,
    HISTOGRAM_BUCKETS = (HISTOGRAM_OCTAVES + 1) * HISTOGRAM_STEPS,
};

struct histogram {
    int64_t count;
    int64_t max_ns;
    int64_t buckets[HISTOGRAM_BUCKETS];
};

static size_t bucket_of(int64_t value)
{
    if (value < HISTOGRAM_STEPS) {
        return (size_t)value;
    }
    int shift = 63 - __builtin_clzll((unsigned long long)value) - HISTOGRAM_BITS;
    size_t step = (size_t)(value >> shift) - HISTOGRAM_STEPS;
    return (size_t)(shift + 1) * HISTOGRAM_STEPS + step;
}

// The greatest value that falls into the bucket.
static int64_t bucket_top(size_t bucket)
{
    if (bucket < HISTOGRAM_STEPS) {
        return (int64_t)bucket;
    }
    size_t shift = bucket / HISTOGRAM_STEPS - 1;
    uint64_t next = (uint64_t)(bucket % HISTOGRAM_STEPS) + HISTOGRAM_STEPS + 1;
    return (int64_t)((next << shift) - 1); // the last bucket: 2^63 - 1
}

struct histogram *histogram_create(void)
{
    return mem_calloc(1, sizeof(struct histogram));
}

void histogram_destroy(struct histogram *histogram)
{
    free(histogram);
}

void histogram_reset(struct histogram *histogram)
{
    memset(histogram, 0, sizeof *histogram);
}

void histogram_record(struct histogram *histogram, int64_t value_ns)
{
    int64_t value = value_ns < 0 ? 0 : value_ns;
    histogram->buckets[bucket_of(value)]++;
    histogram->count++;
    if (value > histogram->max_ns) {
        histogram->max_ns = value;
    }
}

int64_t histogram_count(const struct histogram *histogram)
{
    return histogram->count;
}

int64_t histogram_max_ns(const struct histogram *histogram)
{
    return histogram->max_ns;
}

// The smallest number of values that is at least `percent` % of `count`, and at least one.
static int64_t rank_of(int64_t count, int percent)
{
    int64_t part = percent < 0 ? 0 : percent > 100 ? 100 : percent;
    int64_t rank = count / 100 * part + (count % 100 * part + 99) / 100; // cannot overflow
    return rank < 1 ? 1 : rank;
}

int64_t histogram_percentile_ns(const struct histogram *histogram, int percent)
{
    if (histogram->count == 0) {
        return 0;
    }
    int64_t left = rank_of(histogram->count, percent);
    size_t bucket = 0;
    while (bucket + 1 < HISTOGRAM_BUCKETS && left > histogram->buckets[bucket]) {
        left -= histogram->buckets[bucket];
        bucket++;
    }
    int64_t top = bucket_top(bucket);
    return top < histogram->max_ns ? top : histogram->max_ns;
}
