#include "app/refill.h"

#include "app/intake.h"
#include "base/clock.h"
#include "base/mem.h"
#include "domain/cursor.h"
#include "domain/pace.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

// Polls follow those that found something so far apart: near the present they find few rows, and
// some again. But what comes alone is found at once, and so is that nothing came behind it.
#define REFILL_PACE_NS (20 * CLOCK_NS_PER_MS)
#define REFILL_AT_ONCE 8
// So are looks for live changes only, while backfills fill the memory.
#define REFILL_LIVE_NS (50 * CLOCK_NS_PER_MS)
// A sweep never takes more than a twentieth of the time.
#define REFILL_SWEEP_SHARE 20
// Held thin rows are tried again after so long.
#define REFILL_HOLD_NS (30 * CLOCK_NS_PER_SEC)
// What is locked is free again sooner than what is broken is mended.
#define REFILL_LOCKED_NS (3 * CLOCK_NS_PER_SEC)
// After an error of the database that says nothing about rows.
#define REFILL_TROUBLE_NS CLOCK_NS_PER_SEC

enum refill_call { REFILL_CALL_NONE, REFILL_CALL_POLL, REFILL_CALL_FOLD };

struct refill {
    struct refill_parts parts;
    struct intake *intake;
    struct cursor cursor;
    bool ready;
    enum outbox_source source;

    enum refill_call call;
    bool stale;  // the call under way was made before everything was to be read anew
    bool refold; // the fold under way was made by the configuration before
    int64_t call_ns;
    int64_t answered_ns; // the last call
    struct pace pace;
    int64_t next_poll_ns;
    int64_t next_live_ns;

    bool idle;      // declared, and nothing was found behind that
    bool declaring; // the poll under way declares it
    bool woken;     // a NOTIFY came while a poll was under way
    bool quiet;     // the poll before found nothing
    bool empty;

    bool sweep_in_call;
    int64_t next_sweep_ns;

    char **wanted; // customers to fold, in order
    size_t wanted_count;
    size_t wanted_room;
    char **folding; // those of the fold under way
    size_t folding_count;
    size_t fold_max; // halved while a batch fails with a data error
    enum outbox_fold_mode fold_mode;
    char poison_sqlstate[6];

    int64_t hold_until_ns; // thin rows are held; 0: they are not
    bool hold_logged;
};

struct refill *refill_create(const struct refill_parts *parts)
{
    struct refill *refill = mem_calloc(1, sizeof *refill);
    refill->parts = *parts;
    refill->fold_max = (size_t)parts->config->outbox.batch;
    refill->pace = (struct pace){.every_ns = REFILL_PACE_NS, .burst = REFILL_AT_ONCE};
    const struct intake_parts intake = {.log = parts->log,
                                        .config = parts->config,
                                        .updates = parts->updates,
                                        .lease = parts->lease};
    refill->intake = intake_create(&intake);
    cursor_init(&refill->cursor);
    return refill;
}

static void refill_drop_keys(char ***keys, size_t *count)
{
    for (size_t i = 0; i < *count; i++) {
        free((*keys)[i]);
    }
    free(*keys);
    *keys = NULL;
    *count = 0;
}

void refill_destroy(struct refill *refill)
{
    if (refill != NULL) {
        refill_drop_keys(&refill->wanted, &refill->wanted_count);
        refill_drop_keys(&refill->folding, &refill->folding_count);
        intake_destroy(refill->intake);
        free(refill);
    }
}

// ---- what to read --------------------------------------------------------------------------

void refill_want(struct refill *refill, const char *key)
{
    if (refill->wanted_count == refill->wanted_room) {
        refill->wanted_room = refill->wanted_room == 0 ? 64 : refill->wanted_room * 2;
        refill->wanted = mem_resize(refill->wanted, refill->wanted_room, sizeof *refill->wanted);
    }
    refill->wanted[refill->wanted_count++] = mem_strdup(key);
    refill->empty = false;
}

void refill_reread(struct refill *refill, int slot)
{
    cursor_reset_slot(&refill->cursor, slot);
    refill->stale = true;
    refill->empty = false;
    refill->idle = false;
}

void refill_reread_all(struct refill *refill)
{
    cursor_reset(&refill->cursor);
    refill->stale = true;
    refill->empty = false;
    refill->idle = false;
    refill->next_poll_ns = 0;
}

void refill_on_ready(struct refill *refill, enum outbox_source source)
{
    refill->ready = true;
    refill->source = source;
    bool hold = source != OUTBOX_SOURCE_READY;
    refill->hold_until_ns = hold ? INT64_MAX : 0;
    if (!hold && refill->hold_logged) {
        log_event(refill->parts.log, LOG_LEVEL_INFO, "source.ready",
                  LOG_TEXT("relation", refill->parts.config->source.relation));
    }
    refill->hold_logged = hold && refill->hold_logged;
    refill_reread_all(refill);
}

void refill_on_lost(struct refill *refill)
{
    refill->ready = false;
    refill->empty = false;
    refill_drop_keys(&refill->wanted, &refill->wanted_count);
    refill->wanted_room = 0;
}

void refill_reconfigure(struct refill *refill, const struct config *config)
{
    refill->parts.config = config;
    refill->ready = false;
    refill->empty = false;
    refill->refold = refill->call == REFILL_CALL_FOLD;
    refill->fold_max = (size_t)config->outbox.batch;
    refill->poison_sqlstate[0] = '\0'; // the source may be another
    intake_reconfigure(refill->intake, config);
}

void refill_on_notify(struct refill *refill)
{
    refill->woken = true;
    refill->empty = false;
    if (refill->call == REFILL_CALL_NONE) {
        refill->next_poll_ns = 0;
    }
}

void refill_set_listening(struct refill *refill, bool listening)
{
    if (listening && !refill->parts.listening) {
        // What was committed before woke nobody.
        refill->idle = false;
        refill->next_poll_ns = 0;
    }
    refill->parts.listening = listening;
}

bool refill_is_empty(const struct refill *refill)
{
    return refill->empty && refill->call == REFILL_CALL_NONE && refill->wanted_count == 0;
}

bool refill_is_reading(const struct refill *refill)
{
    return refill->call != REFILL_CALL_NONE && (!refill->quiet || refill->wanted_count > 0);
}

int64_t refill_next_ns(const struct refill *refill)
{
    if (refill->call != REFILL_CALL_NONE || !refill->ready) {
        return INT64_MAX;
    }
    return refill->wanted_count > 0 ? 0 : refill->next_poll_ns;
}

int64_t refill_live_next_ns(const struct refill *refill)
{
    int64_t next_ns = refill_next_ns(refill);
    return next_ns > 0 && next_ns < refill->next_live_ns ? refill->next_live_ns : next_ns;
}

void refill_charge(struct refill *refill, const char *key, int64_t last_id,
                   enum update_outcome outcome, const struct verdict *verdict)
{
    intake_charge(refill->intake, key, last_id, outcome, verdict);
    refill_want(refill, key);
}

void refill_tell(const struct refill *refill, struct pulse_facts *facts)
{
    facts->read_call_ns = refill->call != REFILL_CALL_NONE ? refill->call_ns : 0;
    facts->read_ns = refill->answered_ns;
    facts->reads = refill->ready;
    int64_t poll_ns = refill->parts.config->outbox.poll_interval_ns;
    facts->read_every_ns = poll_ns > REFILL_TROUBLE_NS ? poll_ns : REFILL_TROUBLE_NS;
}

// ---- held thin rows ------------------------------------------------------------------------

bool refill_holds_thin(const struct refill *refill)
{
    return refill->hold_until_ns != 0;
}

static const char *refill_hold_reason(const struct refill *refill)
{
    return refill->source != OUTBOX_SOURCE_READY ? outbox_source_reason(refill->source)
                                                 : "the source cannot be read";
}

static void refill_log_hold(struct refill *refill, const char *sqlstate)
{
    if (!refill->hold_logged) {
        refill->hold_logged = true;
        const char *relation = refill->parts.config->source.relation;
        log_event(refill->parts.log, LOG_LEVEL_WARNING, "source.held",
                  LOG_TEXT("reason", refill_hold_reason(refill)),
                  LOG_TEXT("relation", relation == NULL ? "" : relation),
                  LOG_TEXT("sqlstate", sqlstate));
    }
}

void refill_note_thin(struct refill *refill, int64_t thin)
{
    if (refill_holds_thin(refill) && thin > 0) {
        refill_log_hold(refill, "");
    }
}

static void refill_hold(struct refill *refill, const char *sqlstate, int64_t now)
{
    bool locked = strcmp(sqlstate, "55P03") == 0;
    refill->hold_until_ns = now + (locked ? REFILL_LOCKED_NS : REFILL_HOLD_NS);
    refill_log_hold(refill, sqlstate);
}

static void refill_end_hold(struct refill *refill, int64_t now)
{
    if (refill->hold_until_ns != 0 && now >= refill->hold_until_ns) {
        refill->hold_until_ns = 0;
        refill_reread_all(refill);
    }
}

// ---- fold ----------------------------------------------------------------------------------

static bool refill_is_data_error(const struct pgconn_failure *failure)
{
    static const char *const classes[] = {"21", "22", "23", "54", "P0", "XX"};
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++) {
        if (pgconn_failed_with(failure, classes[i])) {
            return true;
        }
    }
    return false;
}

static bool refill_is_source_error(const struct pgconn_failure *failure)
{
    return pgconn_failed_with(failure, "42") || pgconn_failed_with(failure, "0A") ||
           pgconn_failed_with(failure, "57014") || pgconn_failed_with(failure, "55P03");
}

// The keys of the fold go back to the front of the line.
static void refill_put_back(struct refill *refill)
{
    size_t count = refill->folding_count + refill->wanted_count;
    char **all = mem_calloc(count, sizeof *all);
    if (refill->folding_count > 0) {
        memcpy(all, refill->folding, refill->folding_count * sizeof *all);
    }
    if (refill->wanted_count > 0) {
        memcpy(all + refill->folding_count, refill->wanted, refill->wanted_count * sizeof *all);
    }
    free(refill->folding);
    free(refill->wanted);
    refill->folding = NULL;
    refill->folding_count = 0;
    refill->wanted = all;
    refill->wanted_count = count;
    refill->wanted_room = count;
}

static void refill_fold_failed(struct refill *refill, const struct pgconn_failure *failure,
                               int64_t now)
{
    if (failure->lost) {
        refill_drop_keys(&refill->folding, &refill->folding_count);
        return; // on_ready reads everything anew
    }
    bool source = refill->fold_mode == OUTBOX_FOLD_SOURCE;
    size_t count = refill->folding_count;
    refill_put_back(refill);
    if (source && refill_is_data_error(failure)) {
        // Halved down to the one customer whose source row cannot be read.
        refill->fold_max = count > 1 ? count / 2 : 1;
        memcpy(refill->poison_sqlstate, count > 1 ? "" : failure->sqlstate,
               count > 1 ? 1 : sizeof refill->poison_sqlstate);
    } else if (source && refill_is_source_error(failure)) {
        refill_hold(refill, failure->sqlstate, now);
    } else {
        outbox_log_failure(refill->parts.outbox, refill->parts.log, "fold", failure);
        refill->next_poll_ns = now + REFILL_TROUBLE_NS;
        // The cursor has passed these customers.
        refill_drop_keys(&refill->wanted, &refill->wanted_count);
        refill->wanted_room = 0;
        cursor_reset(&refill->cursor);
    }
}

static void refill_on_folded(void *ctx, const struct pgconn_failure *failure,
                             const struct outbox_customer *customers, size_t count)
{
    struct refill *refill = ctx;
    int64_t now = loop_now_ns(refill->parts.loop);
    refill->call = REFILL_CALL_NONE;
    refill->answered_ns = now;
    bool refold = refill->refold;
    refill->refold = false;
    if (refold && (failure == NULL || !failure->lost)) {
        refill_put_back(refill); // it may lack columns that the mapping reads now
        return;
    }
    if (failure != NULL) {
        refill_fold_failed(refill, failure, now);
        return;
    }
    if (refill->hold_logged && refill->fold_mode == OUTBOX_FOLD_SOURCE) {
        refill->hold_logged = false;
        log_event(refill->parts.log, LOG_LEVEL_INFO, "source.ready",
                  LOG_TEXT("relation", refill->parts.config->source.relation));
    }
    for (size_t i = 0; i < count; i++) {
        intake_take(refill->intake, &customers[i], refill->poison_sqlstate, now);
    }
    refill->poison_sqlstate[0] = '\0';
    size_t batch = (size_t)refill->parts.config->outbox.batch;
    refill->fold_max = refill->fold_max * 2 < batch ? refill->fold_max * 2 : batch;
    refill_drop_keys(&refill->folding, &refill->folding_count);
}

static void refill_fold(struct refill *refill, int64_t now)
{
    size_t count =
        refill->wanted_count < refill->fold_max ? refill->wanted_count : refill->fold_max;
    refill->folding = mem_calloc(count, sizeof *refill->folding);
    memcpy(refill->folding, refill->wanted, count * sizeof *refill->folding);
    refill->folding_count = count;
    refill->wanted_count -= count;
    memmove(refill->wanted, refill->wanted + count, refill->wanted_count * sizeof *refill->wanted);
    refill->fold_mode = refill->poison_sqlstate[0] != '\0' ? OUTBOX_FOLD_NO_SOURCE
                        : refill_holds_thin(refill)        ? OUTBOX_FOLD_HOLD_THIN
                                                           : OUTBOX_FOLD_SOURCE;
    refill->call = REFILL_CALL_FOLD;
    refill->call_ns = now;
    outbox_fold(refill->parts.outbox, (const char *const *)refill->folding, count,
                refill->fold_mode, refill_on_folded, refill);
}

// ---- poll ----------------------------------------------------------------------------------

static void refill_advance(struct refill *refill, const struct outbox_polled *polled,
                           size_t lane_count, size_t sweep_count)
{
    for (size_t i = 0; i < lane_count; i++) {
        const struct outbox_lane_read *read = &polled->lanes[i];
        cursor_advance(&refill->cursor, read->lane, polled->now_us, read->last, read->exhausted);
    }
    for (size_t i = 0; i < sweep_count; i++) {
        const struct outbox_lane_read *read = &polled->sweep[i];
        cursor_sweep_advance(&refill->cursor, read->lane, read->last, read->exhausted);
    }
}

struct refill_poll_call {
    struct refill *refill;
    size_t some;     // so many are wanted, any of those found; 0: all
    uint64_t random; // which
    bool live;       // the lanes of live changes only: says nothing about the others
    size_t lane_count;
    size_t sweep_count;
};

// Whether the daemon counts as idle, and when to look again.
static void refill_schedule(struct refill *refill, bool found, int64_t now)
{
    int64_t pause_ns = refill->parts.config->outbox.poll_interval_ns;
    bool sweeping = cursor_sweeping(&refill->cursor);
    if (!sweeping && (refill->sweep_in_call || refill->next_sweep_ns == INT64_MAX)) {
        int64_t spacing = (now - refill->call_ns) * REFILL_SWEEP_SHARE;
        refill->next_sweep_ns = now + (spacing > pause_ns ? spacing : pause_ns);
    }
    refill->quiet = !found;
    refill->idle = !found && refill->declaring;
    // Empty means that the part behind the cursors was looked at as well.
    refill->empty = !found && !sweeping && (refill->sweep_in_call || refill->empty);
    if (found || refill->woken || refill->stale) {
        int64_t next_ns = pace_next_ns(&refill->pace);
        refill->next_poll_ns = next_ns > now ? next_ns : now;
        pace_begin(&refill->pace, refill->next_poll_ns);
    } else if (refill->parts.listening && !refill->idle) {
        refill->next_poll_ns = now; // declare, and look once more behind that
    } else {
        refill->next_poll_ns = now + pause_ns;
    }
}

static void refill_want_polled(struct refill *refill, const struct outbox_polled *polled,
                               size_t first, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        refill_want(refill, polled->keys[(first + i) % polled->key_count]);
    }
}

static void refill_on_polled(void *ctx, const struct pgconn_failure *failure,
                             const struct outbox_polled *polled)
{
    struct refill_poll_call *call = ctx;
    struct refill *refill = call->refill;
    int64_t now = loop_now_ns(refill->parts.loop);
    refill->call = REFILL_CALL_NONE;
    refill->answered_ns = now;
    if (failure != NULL && !failure->lost) {
        outbox_log_failure(refill->parts.outbox, refill->parts.log, "poll", failure);
        refill->next_poll_ns = now + REFILL_TROUBLE_NS;
    } else if (failure == NULL) {
        bool some = call->some > 0 && call->some < polled->key_count;
        if (!refill->stale && !some) { // else the places were set back meanwhile
            refill_advance(refill, polled, call->lane_count, call->sweep_count);
        }
        refill_schedule(refill, polled->key_count > 0 || call->live, now);
        refill_want_polled(refill, polled, some ? call->random % polled->key_count : 0,
                           some ? call->some : polled->key_count);
    }
    free(call);
}

static size_t refill_lanes(const struct refill *refill, bool live, struct outbox_lane *lanes)
{
    size_t count = 0;
    for (size_t i = 0; i < CURSOR_LANES; i += live ? CURSOR_PRIORITIES : 1) {
        if (lease_is_usable(refill->parts.lease, (int)(i / CURSOR_PRIORITIES))) {
            lanes[count++] = (struct outbox_lane){.lane = i,
                                                  .from = refill->cursor.lanes[i].read,
                                                  .to = {.due_us = INT64_MAX, .id = INT64_MAX}};
        }
    }
    return count;
}

static size_t refill_sweep_lanes(struct refill *refill, struct outbox_lane *lanes, int64_t now)
{
    if (!cursor_sweeping(&refill->cursor) && now >= refill->next_sweep_ns) {
        cursor_sweep_begin(&refill->cursor);
        refill->next_sweep_ns = INT64_MAX;
        refill->sweep_in_call = true; // also if there is nothing behind the cursors
    }
    size_t count = 0;
    for (size_t i = 0; i < CURSOR_LANES; i++) {
        const struct cursor_lane *lane = &refill->cursor.lanes[i];
        if (lane->sweeping && lease_is_usable(refill->parts.lease, (int)(i / CURSOR_PRIORITIES))) {
            lanes[count++] = (struct outbox_lane){.lane = i, .from = lane->swept, .to = lane->read};
        }
    }
    return count;
}

static size_t refill_in_memory(const struct refill *refill, const char ***keys)
{
    const struct updates *updates = refill->parts.updates;
    size_t count = 0;
    *keys = mem_calloc(updates_total(updates), sizeof **keys);
    for (int state = 0; state < UPDATE_STATE_GONE; state++) {
        const struct update *at = updates_first(updates, (enum update_state)state);
        for (; at != NULL; at = updates_next(updates, at)) {
            (*keys)[count++] = at->key;
        }
    }
    return count;
}

// Seconds from now on that the daemon counts as idle; negative: no word about it.
static int64_t refill_idle_for_s(struct refill *refill, bool live)
{
    if (!refill->parts.listening) {
        return -1;
    }
    bool renew = refill->idle && !refill->woken;
    bool declare = !live && (renew || (!refill->woken && !refill->stale && refill->quiet));
    bool was = refill->declaring;
    refill->declaring = declare;
    if (declare) {
        // Longer than until the next poll, which renews it.
        return 2 * (refill->parts.config->outbox.poll_interval_ns / CLOCK_NS_PER_SEC + 1);
    }
    return was ? 0 : -1;
}

static void refill_poll(struct refill *refill, int64_t limit, struct refill_poll_call how,
                        int64_t now)
{
    struct outbox_lane lanes[CURSOR_LANES];
    struct outbox_lane sweep[CURSOR_LANES];
    const char **skip = NULL;
    struct refill_poll_call *call = mem_calloc(1, sizeof *call);
    *call = how;
    call->refill = refill;
    refill->sweep_in_call = false;
    call->lane_count = refill_lanes(refill, how.live, lanes);
    call->sweep_count = how.live ? 0 : refill_sweep_lanes(refill, sweep, now);
    refill->sweep_in_call = refill->sweep_in_call || call->sweep_count > 0;
    struct outbox_poll poll = {.lanes = lanes,
                               .lane_count = call->lane_count,
                               .sweep = sweep,
                               .sweep_count = call->sweep_count,
                               .limit = limit,
                               .skip_thin = refill_holds_thin(refill),
                               .idle_for_s = refill_idle_for_s(refill, how.live)};
    poll.skip_count = refill_in_memory(refill, &skip);
    poll.skip = skip;
    refill->call = REFILL_CALL_POLL;
    refill->call_ns = now;
    refill->stale = false;
    refill->woken = false;
    outbox_poll(refill->parts.outbox, &poll, refill_on_polled, call);
    free(skip);
}

// True when there is nothing to fold, and it is time to poll.
static bool refill_may_poll(struct refill *refill, int64_t room, int64_t now)
{
    refill_end_hold(refill, now);
    if (!refill->ready || refill->call != REFILL_CALL_NONE || room <= 0 ||
        lease_held(refill->parts.lease) == 0) {
        return false;
    }
    if (refill->wanted_count > 0) {
        refill_fold(refill, now);
        return false;
    }
    return now >= refill->next_poll_ns;
}

void refill_pump(struct refill *refill, int64_t room, int64_t now)
{
    if (refill_may_poll(refill, room, now)) {
        int64_t batch = refill->parts.config->outbox.batch;
        refill_poll(refill, room < batch ? room : batch, (struct refill_poll_call){.some = 0}, now);
    }
}

void refill_pump_live(struct refill *refill, int64_t room, int64_t now)
{
    if (refill_may_poll(refill, room, now) && now >= refill->next_live_ns) {
        refill->next_live_ns = now + REFILL_LIVE_NS;
        refill_poll(refill, room, (struct refill_poll_call){.live = true}, now);
    }
}

void refill_pump_some(struct refill *refill, int64_t room, uint64_t random, int64_t now)
{
    if (refill_may_poll(refill, room, now)) {
        refill_poll(refill, refill->parts.config->outbox.batch,
                    (struct refill_poll_call){.some = (size_t)room, .random = random}, now);
    }
}
