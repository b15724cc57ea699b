#include "stats.h"

void stats_begin(struct stats *stats)
{
    stats->requests++;
    stats->in_progress++;
    if (stats->in_progress > stats->max_concurrent) {
        stats->max_concurrent = stats->in_progress;
    }
}

void stats_end(struct stats *stats, int status, bool applied, bool aborted)
{
    stats->in_progress--;
    stats->applied += applied;
    stats->aborted += aborted;
    stats->by_status[status >= 0 && status < STATS_STATUSES ? status : 0]++;
}

static void put_count(struct text *text, const char *name, int64_t count)
{
    text_printf(text, "\"%s\":%lld,", name, (long long)count);
}

void stats_put(struct text *text, const struct stats *stats)
{
    put_count(text, "requests", stats->requests);
    put_count(text, "in_progress", stats->in_progress);
    put_count(text, "max_concurrent", stats->max_concurrent);
    put_count(text, "applied", stats->applied);
    put_count(text, "aborted", stats->aborted);
    put_count(text, "connections", stats->connections);
    put_count(text, "open_connections", stats->open_connections);
    text_puts(text, "\"by_status\":{");
    const char *separator = "";
    for (int status = 0; status < STATS_STATUSES; status++) {
        if (stats->by_status[status] > 0) {
            text_printf(text, "%s\"%d\":%lld", separator, status,
                        (long long)stats->by_status[status]);
            separator = ",";
        }
    }
    text_add(text, "}", 1);
}
