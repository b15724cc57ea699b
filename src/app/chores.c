#include "app/chores.h"

#include "base/clock.h"
#include "base/mem.h"

#include <stdlib.h>

#define CHORES_PRUNE_NS (60 * CLOCK_NS_PER_SEC)
#define CHORES_WATCH_NS (3600 * CLOCK_NS_PER_SEC)
// Between two rounds; while there is more to prune, of its batches.
#define CHORES_NS (10 * CLOCK_NS_PER_SEC)
#define CHORES_MORE_NS (CLOCK_NS_PER_SEC / 5)
enum { CHORES_PRUNE_ROWS = 2000 };

struct chores {
    struct chores_parts parts;
    struct loop_timer *timer;
    int64_t next_ns; // 0: not begun yet
    int64_t next_prune_ns;
    int64_t next_watch_ns;
    int64_t pruned;      // in the present round
    int64_t prune_place; // and where it has come to
    int64_t watch_error_seen;
};

static void chores_on_timer(void *ctx)
{
    (void)ctx; // the turn's end does the work
}

struct chores *chores_create(const struct chores_parts *parts)
{
    struct chores *chores = mem_calloc(1, sizeof *chores);
    chores->parts = *parts;
    chores->timer = loop_timer_open(parts->loop, chores_on_timer, chores);
    return chores;
}

void chores_destroy(struct chores *chores)
{
    if (chores != NULL) {
        loop_timer_close(chores->timer);
        free(chores);
    }
}

static void chores_on_pruned(void *ctx, const struct pgconn_failure *failure, int64_t deleted,
                             int64_t last_id)
{
    struct chores *chores = ctx;
    chores->pruned += deleted;
    chores->prune_place = last_id;
    bool ended = failure != NULL || last_id == 0;
    if (ended && chores->pruned > 0) {
        log_event(chores->parts.log, LOG_LEVEL_INFO, "prune.done", LOG_I64("rows", chores->pruned));
        chores->pruned = 0;
    }
}

static void chores_on_watch_check(void *ctx, const struct pgconn_failure *failure,
                                  const struct outbox_watch_fault *faults, size_t count)
{
    struct chores *chores = ctx;
    (void)failure; // it comes again in an hour
    for (size_t i = 0; i < count; i++) {
        log_event(chores->parts.log, LOG_LEVEL_WARNING, "watch.lost",
                  LOG_TEXT("relation", faults[i].watched), LOG_TEXT("trigger", faults[i].trigger),
                  LOG_TEXT("reason", faults[i].problem));
    }
}

static void chores_on_watch_errors(void *ctx, const struct pgconn_failure *failure,
                                   const struct outbox_watch_error *errors, size_t count)
{
    struct chores *chores = ctx;
    (void)failure; // they are kept
    for (size_t i = 0; i < count; i++) {
        if (errors[i].last_id > chores->watch_error_seen) {
            chores->watch_error_seen = errors[i].last_id;
        }
        log_event(chores->parts.log, LOG_LEVEL_ERROR, "watch.error",
                  LOG_TEXT("relation", errors[i].watched), LOG_TEXT("sqlstate", errors[i].sqlstate),
                  LOG_I64("count", errors[i].count),
                  LOG_TEXT("hint", "these changes were not enqueued: mend the cause, then backfill "
                                   "the customers concerned"));
    }
}

static void chores_do(struct chores *chores, int64_t retention_ns, int64_t now)
{
    struct outbox *outbox = chores->parts.outbox;
    bool prune = chores->prune_place != 0 || now >= chores->next_prune_ns;
    if (retention_ns > 0 && prune) {
        chores->next_prune_ns = now + CHORES_PRUNE_NS;
        outbox_prune(outbox, retention_ns, chores->prune_place, CHORES_PRUNE_ROWS, chores_on_pruned,
                     chores);
    }
    if (now >= chores->next_watch_ns) {
        chores->next_watch_ns = now + CHORES_WATCH_NS;
        outbox_watch_check(outbox, chores_on_watch_check, chores);
    }
    outbox_watch_errors(outbox, chores->watch_error_seen, chores_on_watch_errors, chores);
}

static void chores_plan(struct chores *chores, int64_t at_ns)
{
    chores->next_ns = at_ns;
    loop_timer_set(chores->timer, at_ns);
}

void chores_pump(struct chores *chores, bool mine, int64_t retention_ns)
{
    int64_t now = loop_now_ns(chores->parts.loop);
    if (chores->next_ns == 0) {
        chores_plan(chores, now + CLOCK_NS_PER_SEC);
    } else if (now >= chores->next_ns) {
        if (mine) {
            chores_do(chores, retention_ns, now);
        }
        bool more = mine && chores->prune_place != 0;
        chores_plan(chores, now + (more ? CHORES_MORE_NS : CHORES_NS));
    }
}
