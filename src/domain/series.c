#include "domain/series.h"

#include "base/mem.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

// Each divides the next, so that whole buckets are merged. In seconds.
static const int64_t series_widths[] = {1,   5,    10,   30,    60,    300,
                                        600, 1800, 3600, 21600, 86400, 604800};
enum { SERIES_WIDTHS = sizeof series_widths / sizeof series_widths[0] };
#define SERIES_US_PER_S INT64_C(1000000)

struct series {
    size_t sums;
    size_t levels;
    size_t width;  // of series_widths
    int64_t first; // the first bucket's number, counted from 1970
    size_t count;
    double *values; // a row a bucket: sums, then levels (NAN: none)
};

static size_t series_columns(const struct series *series)
{
    return series->sums + series->levels;
}

static double *series_row(const struct series *series, size_t bucket)
{
    return series->values + bucket * series_columns(series);
}

static void series_clear(struct series *series, size_t bucket)
{
    double *row = series_row(series, bucket);
    for (size_t i = 0; i < series_columns(series); i++) {
        row[i] = i < series->sums ? 0 : (double)NAN;
    }
}

struct series *series_create(size_t sums, size_t levels)
{
    struct series *series = mem_calloc(1, sizeof *series);
    series->sums = sums;
    series->levels = levels;
    series->values = mem_calloc(SERIES_BUCKETS * (sums + levels), sizeof *series->values);
    return series;
}

void series_destroy(struct series *series)
{
    if (series != NULL) {
        free(series->values);
        free(series);
    }
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static int64_t series_number(size_t width, int64_t at_us)
{
    return floor_div(at_us, series_widths[width] * SERIES_US_PER_S);
}

// ---- making room ---------------------------------------------------------------------------

static void series_merge_row(const struct series *series, size_t into, size_t from)
{
    double *target = series_row(series, into);
    const double *source = series_row(series, from);
    for (size_t i = 0; i < series_columns(series); i++) {
        target[i] = i < series->sums ? target[i] + source[i] : fmax(target[i], source[i]);
    }
}

static void series_widen(struct series *series, size_t width)
{
    int64_t factor = series_widths[width] / series_widths[series->width];
    int64_t first = floor_div(series->first, factor);
    size_t count = 0;
    for (size_t i = 0; i < series->count; i++) {
        size_t into = (size_t)(floor_div(series->first + (int64_t)i, factor) - first);
        if (into < count) {
            series_merge_row(series, into, i);
        } else {
            memmove(series_row(series, into), series_row(series, i),
                    series_columns(series) * sizeof *series->values);
            count = into + 1;
        }
    }
    series->count = count;
    series->first = first;
    series->width = width;
}

// So that `first` and `last` are among the buckets. They fit.
static void series_extend(struct series *series, int64_t first, int64_t last)
{
    if (series->count == 0) {
        series->first = first;
    }
    if (first < series->first) {
        size_t more = (size_t)(series->first - first);
        memmove(series_row(series, more), series_row(series, 0),
                series->count * series_columns(series) * sizeof *series->values);
        for (size_t i = 0; i < more; i++) {
            series_clear(series, i);
        }
        series->first = first;
        series->count += more;
    }
    while (last - series->first >= (int64_t)series->count) {
        series_clear(series, series->count++);
    }
}

static bool series_reach(struct series *series, int64_t from_us, int64_t to_us)
{
    if (series->count > 0) {
        int64_t start = series_start_us(series);
        int64_t end = start + (int64_t)series->count * series_width_us(series) - 1;
        from_us = start < from_us ? start : from_us;
        to_us = end > to_us ? end : to_us;
    }
    size_t width = series->width;
    while (width < SERIES_WIDTHS &&
           series_number(width, to_us) - series_number(width, from_us) >= SERIES_BUCKETS) {
        width++;
    }
    if (width == SERIES_WIDTHS) {
        return false;
    }
    if (width != series->width) {
        series_widen(series, width);
    }
    series_extend(series, series_number(width, from_us), series_number(width, to_us));
    return true;
}

// ---- adding --------------------------------------------------------------------------------

bool series_add(struct series *series, size_t sum, int64_t from_us, int64_t to_us, double amount)
{
    assert(sum < series->sums && from_us <= to_us);
    if (!series_reach(series, from_us, to_us)) {
        return false;
    }
    int64_t width_us = series_width_us(series);
    int64_t at = from_us;
    do {
        int64_t number = series_number(series->width, at);
        int64_t end = (number + 1) * width_us < to_us ? (number + 1) * width_us : to_us;
        double part = to_us == from_us ? 1 : (double)(end - at) / (double)(to_us - from_us);
        series_row(series, (size_t)(number - series->first))[sum] += amount * part;
        at = end;
    } while (at < to_us);
    return true;
}

bool series_level(struct series *series, size_t level, int64_t from_us, int64_t to_us, double value)
{
    assert(level < series->levels && from_us <= to_us);
    if (!series_reach(series, from_us, to_us)) {
        return false;
    }
    int64_t last = series_number(series->width, to_us);
    for (int64_t at = series_number(series->width, from_us); at <= last; at++) {
        double *top = &series_row(series, (size_t)(at - series->first))[series->sums + level];
        *top = fmax(*top, value); // NAN gives way
    }
    return true;
}

// ---- reading -------------------------------------------------------------------------------

size_t series_count(const struct series *series)
{
    return series->count;
}

int64_t series_width_us(const struct series *series)
{
    return series_widths[series->width] * SERIES_US_PER_S;
}

int64_t series_start_us(const struct series *series)
{
    return series->first * series_width_us(series);
}

double series_sum(const struct series *series, size_t bucket, size_t sum)
{
    return series_row(series, bucket)[sum];
}

bool series_top(const struct series *series, size_t bucket, size_t level, double *value)
{
    *value = series_row(series, bucket)[series->sums + level];
    return !isnan(*value);
}
