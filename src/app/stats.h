// What has been done since the start, and the `stats` event that tells of it.
#ifndef APP_STATS_H
#define APP_STATS_H

#include "base/log.h"
#include "domain/histogram.h"

#include <stdbool.h>
#include <stdint.h>

struct stats {
    // Totals since the start.
    int64_t sent;      // requests that were begun
    int64_t ok;        // accepted
    int64_t unchanged; // updates that needed no request
    int64_t retried;
    int64_t dead;      // updates
    int64_t failed;    // answers that count as failures of the way to the API
    int64_t throttled; // 429, or a pause asked for
    // Since the last stats line; where nothing was sent since, still of the time before it.
    struct histogram *latency; // of requests
    struct histogram *lag;     // from the oldest row's creation to its acceptance
    bool shown;                // both stand in a line already
    int64_t db_ns;             // of the last settle
};

// What the line shows besides.
struct stats_view {
    int64_t pending;
    int64_t due;
    int64_t retrying;
    int64_t rows_dead;
    int64_t oldest_s;
    int64_t xmin_age_s;
    int64_t in_flight;
    int64_t slots;
    double rate_limit;  // configured, a second
    double rate;        // allowed at present, a second
    const char *paused; // the state of the way to the API when it is not open; NULL
};

void stats_init(struct stats *stats);
void stats_free(struct stats *stats);
// One answer: how long it took, and if it was an acceptance, how old its oldest row was; else < 0.
void stats_record(struct stats *stats, int64_t latency_ns, int64_t lag_ns);
// Writes the event.
void stats_log(struct stats *stats, const struct stats_view *view, struct log *log);

#endif
