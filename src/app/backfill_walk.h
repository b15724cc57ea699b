// One backfill under way: walks over the source page by page, on a connection of its own, and
// enqueues thin rows, no more than so many ahead of what is settled. It lives inside the daemon,
// which delivers them unless an instance of `run` does, and shows the progress.
#ifndef APP_BACKFILL_WALK_H
#define APP_BACKFILL_WALK_H

#include "app/backfill_ids.h"
#include "base/log.h"
#include "config/config.h"
#include "io/loop.h"
#include "io/outbox_backfill.h"

#include <stdbool.h>
#include <stdint.h>

struct walk;

struct walk_options { // all borrowed
    const struct config *config;
    const char *holder; // this process: of the run, and as an instance
    const char *name;
    const char *scope_name; // for the log
    struct outbox_scope scope;
    struct ids *ids; // instead of the source; NULL: none
    int64_t run_id;
    int64_t total; // negative: unknown
    bool total_exact;
    int64_t limit;           // most customers; INT64_MAX: all
    int64_t ahead;           // most that wait
    struct config_rate rate; // count 0: no limit but that of the delivery
    bool bar;
};

enum walk_end {
    WALK_END_NONE, // under way
    WALK_END_DONE,
    WALK_END_STOPPED,   // by a signal
    WALK_END_PAUSED,    // by `backfill pause`
    WALK_END_CANCELLED, // by `backfill cancel`
    WALK_END_TAKEN,     // another process has the run
    WALK_END_FAILED,    // walk_reason says why
};

struct walk *walk_create(const struct walk_options *options);
void walk_destroy(struct walk *walk);
const char *walk_holder(const struct walk *walk);
// What the log shows: on a terminal with a bar only what is wrong.
enum log_level walk_log_level(const struct walk *walk, enum log_level configured);

// Within a loop; walk_close before that goes.
bool walk_open(struct walk *walk, struct loop *loop, struct log *log, struct err *err) MUST_CHECK;
void walk_close(struct walk *walk);
// Once a turn. `paused`: why this process sends nothing; NULL: it does, or another one delivers.
void walk_pump(struct walk *walk, const char *paused);
// Ends it where it is, to be continued.
void walk_stop(struct walk *walk);

enum walk_end walk_ended(const struct walk *walk);
const char *walk_reason(const struct walk *walk); // in a few words, once it has ended
// The run has been given back, or cannot be.
bool walk_is_closed(const struct walk *walk);

#endif
