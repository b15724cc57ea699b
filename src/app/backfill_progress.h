// How far a backfill is: on a terminal a bar that is redrawn in place, elsewhere an event every
// 10 seconds.
#ifndef APP_BACKFILL_PROGRESS_H
#define APP_BACKFILL_PROGRESS_H

#include "base/buf.h"
#include "base/log.h"

#include <stdbool.h>
#include <stdint.h>

struct progress;

struct progress_options {
    const char *name;
    int64_t total; // negative: unknown
    bool exact;
    bool bar;
    struct log *log;
};
// Borrows name and log. With a bar the log's lines are written above it.
struct progress *progress_create(const struct progress_options *options);
void progress_destroy(struct progress *progress);

struct progress_counts {
    int64_t enqueued;
    int64_t done;
    int64_t unchanged;
    int64_t dead;
    bool walked; // nothing more will be enqueued
};
void progress_note(struct progress *progress, const struct progress_counts *counts, int64_t now);
// `paused`: why nothing is sent; NULL: it is. Draws or logs when it is time.
void progress_pump(struct progress *progress, const char *paused, int64_t now);
// The next time progress_pump has something to do.
int64_t progress_next_ns(const struct progress *progress);
double progress_per_s(const struct progress *progress); // of the last half minute
// The terminal's size changed.
void progress_redraw(struct progress *progress);
// The last drawing stays, and a line begins.
void progress_end(struct progress *progress);

// One line of at most `width` columns.
struct progress_view {
    const char *name;
    int64_t total; // negative: unknown
    bool exact;
    struct progress_counts counts;
    double per_s;
    const char *paused;
    int width;
    bool color;
    bool utf8;
};
void progress_line(const struct progress_view *view, struct buf *out);

#endif
