#include "app/stats.h"

#include "base/clock.h"

#include <stdio.h>
#include <unistd.h>

void stats_init(struct stats *stats)
{
    *stats = (struct stats){.latency = histogram_create(), .lag = histogram_create()};
}

void stats_free(struct stats *stats)
{
    histogram_destroy(stats->latency);
    histogram_destroy(stats->lag);
}

// Resident memory in KiB; 0 where /proc does not tell.
static int64_t stats_rss_kb(void)
{
    char line[128] = "";
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL) {
        return 0;
    }
    const char *read = fgets(line, sizeof line, file);
    fclose(file);
    struct str size;
    struct str rest;
    struct str resident;
    int64_t pages = 0;
    if (read != NULL && str_split(str_of(line), ' ', &size, &rest) &&
        str_split(rest, ' ', &resident, &rest) && str_to_int64(resident, &pages)) {
        return pages * sysconf(_SC_PAGESIZE) / 1024;
    }
    return 0;
}

static double stats_ms(const struct histogram *histogram, int percent)
{
    return (double)histogram_percentile_ns(histogram, percent) / (double)CLOCK_NS_PER_MS;
}

void stats_record(struct stats *stats, int64_t latency_ns, int64_t lag_ns)
{
    if (stats->shown) {
        stats->shown = false;
        histogram_reset(stats->latency);
        histogram_reset(stats->lag);
    }
    histogram_record(stats->latency, latency_ns);
    if (lag_ns >= 0) {
        histogram_record(stats->lag, lag_ns);
    }
}

void stats_log(struct stats *stats, const struct stats_view *view, struct log *log)
{
    log_event(log, LOG_LEVEL_INFO, "stats", LOG_I64("pending", view->pending),
              LOG_I64("oldest_s", view->oldest_s), LOG_I64("due", view->due),
              LOG_I64("retrying", view->retrying), LOG_I64("dead", view->rows_dead),
              LOG_I64("in_flight", view->in_flight), LOG_I64("sent", stats->sent),
              LOG_I64("ok", stats->ok), LOG_I64("unchanged", stats->unchanged),
              LOG_I64("retried", stats->retried), LOG_I64("failed", stats->failed),
              LOG_I64("throttled", stats->throttled), LOG_F64("rate_limit", view->rate_limit),
              LOG_F64("rate", view->rate), LOG_F64("p50_ms", stats_ms(stats->latency, 50)),
              LOG_F64("p95_ms", stats_ms(stats->latency, 95)),
              LOG_F64("p99_ms", stats_ms(stats->latency, 99)),
              LOG_F64("lag_p50_ms", stats_ms(stats->lag, 50)),
              LOG_F64("lag_p99_ms", stats_ms(stats->lag, 99)),
              LOG_F64("db_ms", (double)stats->db_ns / (double)CLOCK_NS_PER_MS),
              LOG_I64("slots", view->slots),
              LOG_TEXT("paused", view->paused == NULL ? "no" : view->paused),
              LOG_I64("xmin_age_s", view->xmin_age_s), LOG_I64("rss_kb", stats_rss_kb()));
    stats->shown = true;
}
