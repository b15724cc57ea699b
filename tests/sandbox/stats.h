/*
 * stats: counters over the POST requests since the start.
 */
#ifndef SANDBOX_STATS_H
#define SANDBOX_STATS_H

#include "text.h"

#include <stdbool.h>
#include <stdint.h>

enum { STATS_STATUSES = 600 };

struct stats {
    int64_t requests;
    int64_t in_progress;
    int64_t max_concurrent;
    int64_t applied;
    int64_t aborted;
    int64_t connections;
    int64_t open_connections;
    int64_t by_status[STATS_STATUSES]; /* [0]: no status was sent */
};

void stats_begin(struct stats *stats);
void stats_end(struct stats *stats, int status, bool applied, bool aborted);

/* The members of an object, without its braces. */
void stats_put(struct text *text, const struct stats *stats);

#endif
