#include "app/backfill_walk.h"

#include "app/backfill_progress.h"
#include "app/settings.h"
#include "base/clock.h"
#include "base/mem.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WALK_LOOK_NS CLOCK_NS_PER_SEC
// While it waits for room or for the last rows.
#define WALK_LOOK_SOON_NS (CLOCK_NS_PER_SEC / 5)
#define WALK_RETRY_NS CLOCK_NS_PER_SEC
enum {
    WALK_PAGE = 1000,
    WALK_WINDOW = 5000, // keys that a page looks at where a condition chooses among them
    WALK_RENEWALS = 5,  // in one lease
    WALK_BURSTS = 4,    // with a rate: pages a second
};

struct walk {
    struct walk_options options;
    struct loop *loop;
    struct log *log;
    struct pgconn *conn;
    struct outbox *outbox;
    struct loop_timer *timer;
    struct progress *progress;
    bool ready;  // connected, and the source is there
    bool asking; // a call is under way
    bool looked; // so what follows is known; not after an outcome that is unknown
    struct progress_counts counts;
    char *position; // owned; NULL: at the beginning
    int64_t next_look_ns;
    int64_t next_renew_ns;
    int64_t retry_ns;   // reading again after a failure, not before
    int64_t paced_ns;   // with a rate: until when it has been used up
    int64_t page_count; // of the page being enqueued
    enum walk_end end;
    char reason[300];
    bool begun;
    bool closed;
    int64_t began_ns;
};

static void walk_on_timer(void *ctx)
{
    (void)ctx; // the turn's end does the work
}

struct walk *walk_create(const struct walk_options *options)
{
    struct walk *walk = mem_calloc(1, sizeof *walk);
    walk->options = *options;
    return walk;
}

void walk_destroy(struct walk *walk)
{
    if (walk != NULL) {
        free(walk->position);
        free(walk);
    }
}

const char *walk_holder(const struct walk *walk)
{
    return walk->options.holder;
}

enum log_level walk_log_level(const struct walk *walk, enum log_level configured)
{
    bool mixed = walk->options.bar && isatty(STDERR_FILENO) == 1;
    return mixed && configured > LOG_LEVEL_WARNING ? LOG_LEVEL_WARNING : configured;
}

enum walk_end walk_ended(const struct walk *walk)
{
    return walk->end;
}

const char *walk_reason(const struct walk *walk)
{
    return walk->reason;
}

bool walk_is_closed(const struct walk *walk)
{
    return walk->closed || (walk->end != WALK_END_NONE && !walk->ready && !walk->asking);
}

// ---- the end -------------------------------------------------------------------------------

static void walk_finish(struct walk *walk, enum walk_end end, const char *reason)
{
    if (walk->end == WALK_END_NONE) {
        walk->end = end;
        snprintf(walk->reason, sizeof walk->reason, "%.*s", (int)sizeof walk->reason - 1, reason);
    }
}

void walk_stop(struct walk *walk)
{
    walk_finish(walk, WALK_END_STOPPED, "stopped");
}

static void walk_on_released(void *ctx, const struct pgconn_failure *failure, bool ended)
{
    struct walk *walk = ctx;
    (void)failure; // the run is free again once its lease has run out
    (void)ended;
    walk->asking = false;
    walk->closed = true;
}

static void walk_on_finished(void *ctx, const struct pgconn_failure *failure, bool ended)
{
    struct walk *walk = ctx;
    int64_t now = loop_now_ns(walk->loop);
    walk->asking = false;
    if (failure == NULL && ended) {
        walk->closed = true;
        walk_finish(walk, WALK_END_DONE, "done");
    }
    // Something waits still, or the state is another one: the next look tells.
    walk->looked = false;
    walk->retry_ns = now + WALK_LOOK_SOON_NS;
}

// ---- looking -------------------------------------------------------------------------------

static int64_t walk_waiting(const struct walk *walk)
{
    const struct progress_counts *counts = &walk->counts;
    return counts->enqueued - counts->done - counts->unchanged - counts->dead;
}

static void walk_judge(struct walk *walk, const struct outbox_run *run)
{
    switch (run->state) {
    case OUTBOX_RUN_CANCELLED:
        walk_finish(walk, WALK_END_CANCELLED, "cancelled by `backfill cancel`");
        return;
    case OUTBOX_RUN_PAUSED:
        walk_finish(walk, WALK_END_PAUSED, "paused by `backfill pause`");
        return;
    case OUTBOX_RUN_RUNNING:
        break;
    case OUTBOX_RUN_DONE:
    case OUTBOX_RUN_GONE:
        walk_finish(walk, WALK_END_TAKEN, "another process has ended this run");
        break;
    }
    if (!run->held) {
        walk->closed = true; // it is not ours to give back
        walk_finish(walk, WALK_END_TAKEN, "another process has taken this run over");
    }
}

static void walk_on_look(void *ctx, const struct pgconn_failure *failure,
                         const struct outbox_run *run)
{
    struct walk *walk = ctx;
    int64_t now = loop_now_ns(walk->loop);
    walk->asking = false;
    walk->next_look_ns = now + WALK_LOOK_NS;
    if (failure != NULL) {
        outbox_log_failure(walk->outbox, walk->log, "backfill", failure);
        return;
    }
    walk_judge(walk, run);
    walk->looked = true;
    walk->counts = (struct progress_counts){.enqueued = run->enqueued,
                                            .done = run->done,
                                            .unchanged = run->unchanged,
                                            .dead = run->dead,
                                            .walked = run->walked};
    free(walk->position);
    walk->position = run->position == NULL ? NULL : mem_strdup(run->position);
    progress_note(walk->progress, &walk->counts, now);
}

static void walk_look(struct walk *walk, int64_t now)
{
    bool renew = now >= walk->next_renew_ns;
    if (renew) {
        int64_t often_ns = walk->options.config->outbox.lease_ns / WALK_RENEWALS;
        walk->next_renew_ns = now + (often_ns < WALK_LOOK_NS ? often_ns : WALK_LOOK_NS);
    }
    walk->asking = true;
    outbox_run_look(walk->outbox, walk->options.run_id, renew, progress_per_s(walk->progress),
                    walk_on_look, walk);
}

// ---- how much ------------------------------------------------------------------------------

static double walk_rate_per_s(const struct walk *walk)
{
    const struct config_rate *rate = &walk->options.rate;
    return (double)rate->count * (double)CLOCK_NS_PER_SEC / (double)rate->per_ns;
}

// With a rate also what may wait is small: it could be sent faster.
static int64_t walk_ahead(const struct walk *walk)
{
    int64_t ahead = walk->options.ahead;
    if (walk->options.rate.count > 0) {
        int64_t second = (int64_t)walk_rate_per_s(walk);
        second = second < 1 ? 1 : second;
        ahead = second < ahead ? second : ahead;
    }
    return ahead;
}

static int64_t walk_less(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

// What the rate has left; at most a second's worth gathers.
static int64_t walk_paced(struct walk *walk, int64_t now)
{
    if (walk->options.rate.count == 0) {
        return INT64_MAX;
    }
    double per_s = walk_rate_per_s(walk);
    int64_t most_ns =
        per_s >= 1 ? CLOCK_NS_PER_SEC : (int64_t)((double)CLOCK_NS_PER_SEC / per_s) + 1;
    if (walk->paced_ns < now - most_ns) {
        walk->paced_ns = now - most_ns;
    }
    return (int64_t)((double)(now - walk->paced_ns) * per_s / (double)CLOCK_NS_PER_SEC);
}

// So many rows may be enqueued now. 0 also where it is too few to be worth a page.
static int64_t walk_room(struct walk *walk, int64_t now)
{
    int64_t left = walk->options.limit - walk->counts.enqueued;
    int64_t room = walk_less(walk_ahead(walk) - walk_waiting(walk), WALK_PAGE);
    int64_t worth = walk_less(walk_ahead(walk), WALK_PAGE) / 2;
    if (walk->options.rate.count > 0) {
        room = walk_less(room, walk_paced(walk, now));
        worth = (int64_t)(walk_rate_per_s(walk) / WALK_BURSTS);
        worth = walk_less(worth, walk_ahead(walk) / WALK_BURSTS);
    }
    bool enough = room > 0 && room >= worth;
    return enough ? walk_less(room, left) : 0;
}

// ---- a page --------------------------------------------------------------------------------

static void walk_on_enqueued(void *ctx, const struct pgconn_failure *failure)
{
    struct walk *walk = ctx;
    walk->asking = false;
    // What stands there now, and not what was meant to, is what the next page begins with.
    walk->looked = false;
    walk->next_look_ns = 0;
    if (failure == NULL && walk->options.rate.count > 0) {
        walk->paced_ns +=
            (int64_t)((double)walk->page_count * (double)CLOCK_NS_PER_SEC / walk_rate_per_s(walk));
    }
    if (failure != NULL && !pgconn_failed_with(failure, "55006")) {
        outbox_log_failure(walk->outbox, walk->log, "backfill", failure);
        walk->retry_ns = loop_now_ns(walk->loop) + WALK_RETRY_NS;
    }
}

static void walk_enqueue(struct walk *walk, const struct outbox_run_page *page)
{
    walk->asking = true;
    walk->page_count = page->count;
    outbox_run_enqueue(walk->outbox, walk->options.run_id, walk->position, page, walk_on_enqueued,
                       walk);
}

// Trouble of the database goes by; a condition or a source that cannot be read does not.
static bool walk_may_retry(const struct pgconn_failure *failure)
{
    static const char *const passing[] = {"08", "40", "53", "55", "57", "58"};
    // A condition that writes; the connection is dropped for it, as after a failover.
    if (pgconn_failed_with(failure, "25006")) {
        return false;
    }
    bool may = failure->lost;
    for (size_t i = 0; i < sizeof passing / sizeof passing[0]; i++) {
        may = may || pgconn_failed_with(failure, passing[i]);
    }
    return may;
}

static void walk_on_page(void *ctx, const struct pgconn_failure *failure,
                         const struct outbox_run_page *page)
{
    struct walk *walk = ctx;
    walk->asking = false;
    if (failure == NULL) {
        if (walk->end == WALK_END_NONE) {
            walk_enqueue(walk, page);
        }
        return;
    }
    outbox_log_failure(walk->outbox, walk->log, "backfill", failure);
    walk->retry_ns = loop_now_ns(walk->loop) + WALK_RETRY_NS;
    if (!walk_may_retry(failure)) {
        char text[300];
        snprintf(text, sizeof text, "the source cannot be read: %.200s", failure->text);
        walk_finish(walk, WALK_END_FAILED, text);
    }
}

static void walk_read_ids(struct walk *walk, int64_t most)
{
    struct pgarray keys;
    struct ids_page got;
    char line[24];
    int64_t after = 0;
    pgarray_init(&keys);
    if (walk->position != NULL && !str_to_int64(str_of(walk->position), &after)) {
        after = 0;
    }
    ids_read(walk->options.ids, after, most, &keys, &got);
    snprintf(line, sizeof line, "%lld", (long long)got.line);
    char *array = pgarray_take(&keys);
    walk_enqueue(walk,
                 &(struct outbox_run_page){
                     .position = line, .keys = array, .count = got.count, .walked = got.ended});
    free(array);
}

static void walk_read(struct walk *walk, int64_t most)
{
    if (walk->options.ids != NULL) {
        walk_read_ids(walk, most);
        return;
    }
    const struct outbox_scope *scope = &walk->options.scope;
    bool chooses = scope->since != NULL || scope->where != NULL;
    walk->asking = true;
    outbox_run_read(walk->outbox, scope, walk->position, chooses ? WALK_WINDOW : most, most,
                    walk_on_page, walk);
}

// The limit was reached: where it stands is the end.
static void walk_cut(struct walk *walk)
{
    walk_enqueue(
        walk, &(struct outbox_run_page){.position = walk->position, .keys = "{}", .walked = true});
}

// ---- its connection --------------------------------------------------------------------------

static void walk_on_hello(void *ctx, const struct pgconn_failure *failure,
                          const struct outbox_hello *hello)
{
    struct walk *walk = ctx;
    struct err err;
    walk->asking = false;
    if (failure != NULL) {
        walk->retry_ns = loop_now_ns(walk->loop) + WALK_RETRY_NS;
        return; // the daemon's own connection tells what is wrong
    }
    walk->ready = true;
    walk->looked = false;
    if (!outbox_schema_is_right(hello, &err)) {
        walk_finish(walk, WALK_END_FAILED, err.text);
    } else if (hello->source != OUTBOX_SOURCE_READY) {
        walk_finish(walk, WALK_END_FAILED, outbox_source_reason(hello->source));
    } else if (!walk->begun) {
        walk->begun = true;
        walk->began_ns = loop_now_ns(walk->loop);
        log_event(walk->log, LOG_LEVEL_INFO, "backfill.start", LOG_TEXT("name", walk->options.name),
                  LOG_TEXT("scope", walk->options.scope_name),
                  LOG_I64(walk->options.total < 0 ? NULL : "total", walk->options.total));
    }
}

// ---- the turn ------------------------------------------------------------------------------

static void walk_step(struct walk *walk, int64_t now)
{
    const struct progress_counts *counts = &walk->counts;
    int64_t room = 0;
    if (!walk->looked || now >= walk->next_look_ns) {
        walk_look(walk, now);
    } else if (counts->walked && walk_waiting(walk) <= 0 && now >= walk->retry_ns) {
        walk->asking = true;
        outbox_run_end(walk->outbox, walk->options.run_id, true, walk_on_finished, walk);
    } else if (!counts->walked && counts->enqueued >= walk->options.limit) {
        walk_cut(walk);
    } else if (!counts->walked && now >= walk->retry_ns && (room = walk_room(walk, now)) > 0) {
        walk_read(walk, room);
    } else {
        walk->next_look_ns = walk_less(walk->next_look_ns, now + WALK_LOOK_SOON_NS);
    }
}

void walk_pump(struct walk *walk, const char *paused)
{
    int64_t now = loop_now_ns(walk->loop);
    progress_pump(walk->progress, paused, now);
    if (walk->ready && !walk->asking && !walk->closed) {
        if (walk->end == WALK_END_NONE) {
            walk_step(walk, now);
        } else {
            walk->asking = true;
            outbox_run_end(walk->outbox, walk->options.run_id, false, walk_on_released, walk);
        }
    }
    if (!walk->ready && !walk->asking && pgconn_is_ready(walk->conn) && now >= walk->retry_ns) {
        walk->asking = true;
        outbox_hello(walk->outbox, walk_on_hello, walk);
    }
    int64_t next_ns = progress_next_ns(walk->progress);
    if (!walk->asking && !walk->closed && pgconn_is_ready(walk->conn)) {
        next_ns = walk_less(next_ns, walk->ready ? walk->next_look_ns : walk->retry_ns);
    }
    if (next_ns < INT64_MAX) {
        loop_timer_set(walk->timer, next_ns);
    }
}

// ---- opening and closing ----------------------------------------------------------------------

static void walk_on_ready(void *ctx)
{
    struct walk *walk = ctx;
    walk->retry_ns = 0; // the turn's end says hello
}

static void walk_on_lost(void *ctx, const struct pgconn_failure *failure)
{
    struct walk *walk = ctx;
    (void)failure; // the daemon's own connection tells of it
    walk->ready = false;
    walk->looked = false;
}

static void walk_on_resize(void *ctx, int signal_number)
{
    (void)signal_number;
    struct walk *walk = ctx;
    progress_redraw(walk->progress);
}

bool walk_open(struct walk *walk, struct loop *loop, struct log *log, struct err *err)
{
    const struct walk_options *options = &walk->options;
    walk->loop = loop;
    walk->log = log;
    walk->timer = loop_timer_open(loop, walk_on_timer, walk);
    const struct progress_options progress = {.name = options->name,
                                              .total = options->total,
                                              .exact = options->total_exact,
                                              .bar = options->bar,
                                              .log = log};
    walk->progress = progress_create(&progress);
    const struct pgconn_options database = settings_database(options->config);
    const struct pgconn_events events = {
        .ctx = walk, .on_ready = walk_on_ready, .on_lost = walk_on_lost};
    walk->conn = pgconn_create(loop, &database, &events, err);
    if (walk->conn == NULL) {
        return false;
    }
    const struct outbox_options outbox = settings_outbox(options->config, options->holder);
    walk->outbox = outbox_create(walk->conn, &outbox);
    return loop_on_signal(loop, SIGWINCH, walk_on_resize, walk, err);
}

static void walk_log_end(const struct walk *walk)
{
    static const char *const names[] = {
        [WALK_END_NONE] = "failed",         [WALK_END_DONE] = "done",
        [WALK_END_STOPPED] = "paused",      [WALK_END_PAUSED] = "paused",
        [WALK_END_CANCELLED] = "cancelled", [WALK_END_TAKEN] = "taken",
        [WALK_END_FAILED] = "failed"};
    log_event(walk->log, LOG_LEVEL_INFO, "backfill.done", LOG_TEXT("name", walk->options.name),
              LOG_TEXT("state", names[walk->end]), LOG_TEXT("reason", walk->reason),
              LOG_I64("enqueued", walk->counts.enqueued), LOG_I64("done", walk->counts.done),
              LOG_I64("unchanged", walk->counts.unchanged), LOG_I64("dead", walk->counts.dead),
              LOG_I64("elapsed_s", (loop_now_ns(walk->loop) - walk->began_ns) / CLOCK_NS_PER_SEC));
}

void walk_close(struct walk *walk)
{
    if (walk == NULL || walk->progress == NULL) {
        return;
    }
    if (walk->begun) {
        progress_end(walk->progress);
        walk_log_end(walk);
    }
    pgconn_destroy(walk->conn);
    outbox_destroy(walk->outbox);
    loop_timer_close(walk->timer);
    progress_destroy(walk->progress);
    walk->progress = NULL;
}
