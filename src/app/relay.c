#include "app/relay.h"

#include "app/refill.h"
#include "app/settler.h"
#include "base/clock.h"
#include "base/mem.h"
#include "domain/backoff.h"
#include "domain/gate.h"
#include "domain/update.h"
#include "domain/verdict.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/random.h>

enum {
    RELAY_AHEAD_MIN = 4,
    RELAY_AHEAD_BATCHES = 4, // and at most so many reads: the next is under way in time
    RELAY_CANDIDATES = 40,   // to choose a probe from: more than the pool remembers as tried
    RELAY_UNTOUCHED = 64,    // remembered, to be charged perhaps
};

// Fetched ahead: what can be sent in so long. More would only be older when it is sent.
#define RELAY_AHEAD_S 2
// Between two looks for another probe.
#define RELAY_CANDIDATES_NS CLOCK_NS_PER_SEC
// How often to look again where nothing says when something changes.
#define RELAY_LOOK_NS (10 * CLOCK_NS_PER_MS)

// A customer whose answer was held back, and how far its rows went.
struct relay_untouched {
    char *key; // NULL: unused
    int64_t last_id;
};

struct relay {
    struct relay_parts parts;
    struct updates *updates;
    struct refill *refill;
    struct settler *settler;
    struct gate *gate;
    struct pool *pool;
    struct backoff backoff;
    struct verdict verdict; // of the answer at hand: too big for the stack of a callback
    struct loop_timer *timer;

    uint64_t random; // the state of relay_random

    bool ready; // the database is there
    bool stopping;

    int64_t begun_ns;            // the last request
    int64_t candidates_after_ns; // while the pool is closed

    struct relay_untouched untouched[RELAY_UNTOUCHED];
    size_t untouched_next;
};

// For jitter, which nobody needs to be unable to guess: splitmix64, seeded once. A system call for
// each answer would cost as much as judging it.
static uint64_t relay_random(struct relay *relay)
{
    uint64_t value = relay->random += UINT64_C(0x9E3779B97F4A7C15);
    value = (value ^ value >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    value = (value ^ value >> 27) * UINT64_C(0x94D049BB133111EB);
    return value ^ value >> 31;
}

static int64_t relay_earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void relay_on_timer(void *ctx)
{
    (void)ctx; // the turn's end does the work
}

static struct gate_rate relay_gate_rate(const struct config *config)
{
    return (struct gate_rate){.count = config->delivery.rate.count,
                              .per_ns = config->delivery.rate.per_ns};
}

static struct backoff relay_backoff(const struct config *config)
{
    return (struct backoff){.base_ns = config->retry.base_ns, .cap_ns = config->retry.cap_ns};
}

struct relay *relay_create(const struct relay_parts *parts)
{
    struct relay *relay = mem_calloc(1, sizeof *relay);
    relay->parts = *parts;
    const struct config *config = parts->config;
    int64_t now = loop_now_ns(parts->loop);
    ssize_t got = getrandom(&relay->random, sizeof relay->random, 0);
    (void)got; // short only for requests over 256 bytes
    relay->updates = updates_create();
    relay->gate = gate_create(relay_gate_rate(config), config->delivery.burst, now);
    relay->pool = pool_create(&(struct pool_options){.probe_base_ns = 0}, now);
    relay->backoff = relay_backoff(config);
    relay->timer = loop_timer_open(parts->loop, relay_on_timer, relay);
    const struct refill_parts refill = {.loop = parts->loop,
                                        .log = parts->log,
                                        .config = config,
                                        .outbox = parts->outbox,
                                        .updates = relay->updates,
                                        .lease = parts->lease};
    relay->refill = refill_create(&refill);
    const struct settler_parts settler = {.loop = parts->loop,
                                          .log = parts->log,
                                          .outbox = parts->outbox,
                                          .updates = relay->updates,
                                          .refill = relay->refill,
                                          .stats = parts->stats};
    relay->settler = settler_create(&settler);
    return relay;
}

void relay_destroy(struct relay *relay)
{
    if (relay == NULL) {
        return;
    }
    for (size_t i = 0; i < RELAY_UNTOUCHED; i++) {
        free(relay->untouched[i].key);
    }
    settler_destroy(relay->settler);
    refill_destroy(relay->refill);
    updates_destroy(relay->updates);
    loop_timer_close(relay->timer);
    pool_destroy(relay->pool);
    gate_destroy(relay->gate);
    free(relay);
}

// ---- what the log says of the pool ---------------------------------------------------------

static void relay_log_change(struct relay *relay, const struct pool_change *change, int64_t now)
{
    if (change->from == change->to) {
        return;
    }
    bool open = change->to == POOL_STATE_OPEN;
    bool probes = !open && change->to != POOL_STATE_MANUAL;
    int64_t next_ns = probes ? pool_next_ns(relay->pool, now) : INT64_MAX;
    log_event(
        relay->parts.log, open ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING, pool_change_event(change),
        LOG_TEXT("from", pool_state_name(change->from)),
        LOG_TEXT("to", pool_state_name(change->to)), LOG_TEXT("reason", change->reason),
        LOG_TEXT(change->detail != NULL ? "detail" : NULL, change->detail),
        LOG_I64(next_ns < INT64_MAX ? "probe_in_ms" : NULL, (next_ns - now) / CLOCK_NS_PER_MS));
    if (open) {
        refill_reread_all(relay->refill);
    }
}

// ---- dropping ------------------------------------------------------------------------------

// Takes what has not begun out of memory: of one slot, or (negative) of all.
static void relay_drop_queued(struct relay *relay, int slot)
{
    struct update *next;
    for (struct update *at = updates_first(relay->updates, UPDATE_STATE_QUEUED); at != NULL;
         at = next) {
        next = updates_next(relay->updates, at);
        if (slot < 0 || at->slot == slot) {
            refill_reread(relay->refill, at->slot);
            updates_move(relay->updates, at, UPDATE_STATE_GONE);
        }
    }
}

// ---- judging -------------------------------------------------------------------------------

static struct relay_untouched *relay_find_untouched(struct relay *relay, struct str key)
{
    for (size_t i = 0; i < RELAY_UNTOUCHED; i++) {
        struct relay_untouched *at = &relay->untouched[i];
        if (at->key != NULL && str_equal(str_of(at->key), key)) {
            return at;
        }
    }
    return NULL;
}

static void relay_remember_untouched(struct relay *relay, const struct update *update)
{
    struct relay_untouched *at = relay_find_untouched(relay, str_of(update->key));
    if (at == NULL) {
        at = &relay->untouched[relay->untouched_next];
        relay->untouched_next = (relay->untouched_next + 1) % RELAY_UNTOUCHED;
    }
    free(at->key);
    at->key = mem_strdup(update->key);
    at->last_id = update->row_ids[update->row_count - 1];
}

static void relay_charge(struct relay *relay, const struct pool_decision *decision)
{
    if (decision->charge == POOL_ACTION_UNTOUCHED || decision->charge_verdict == NULL) {
        return;
    }
    struct relay_untouched *at = relay_find_untouched(relay, decision->charge_customer);
    if (at != NULL) {
        refill_charge(relay->refill, at->key, at->last_id,
                      decision->charge == POOL_ACTION_DEAD ? UPDATE_OUTCOME_DEAD
                                                           : UPDATE_OUTCOME_RETRY,
                      decision->charge_verdict);
        free(at->key);
        *at = (struct relay_untouched){.key = NULL};
    }
}

static enum update_outcome relay_outcome(const struct verdict *verdict, enum pool_action action)
{
    switch (action) {
    case POOL_ACTION_UNTOUCHED:
        return UPDATE_OUTCOME_UNTOUCHED;
    case POOL_ACTION_RETRY:
        return UPDATE_OUTCOME_RETRY;
    case POOL_ACTION_DEAD:
        return UPDATE_OUTCOME_DEAD;
    case POOL_ACTION_SETTLE:
        break;
    }
    switch (verdict->kind) {
    case VERDICT_KIND_DONE:
        return UPDATE_OUTCOME_DONE;
    case VERDICT_KIND_RETRY:
        return UPDATE_OUTCOME_RETRY;
    case VERDICT_KIND_DEAD:
        return UPDATE_OUTCOME_DEAD;
    case VERDICT_KIND_HOLD:
        break;
    }
    return UPDATE_OUTCOME_UNTOUCHED;
}

// A retry gives up only when both the attempts and the time are used up.
static void relay_plan_retry(struct relay *relay, struct update *update,
                             const struct verdict *verdict, int64_t now)
{
    const struct config *config = relay->parts.config;
    int64_t attempts = update->attempts + 1;
    int64_t age_ns = update->age_ns + (now - update->fetched_ns);
    if (attempts >= config->retry.max_attempts && age_ns >= config->retry.give_up_after_ns) {
        update->outcome = UPDATE_OUTCOME_DEAD;
        return;
    }
    int64_t floor_ns = verdict->unknown_outcome ? config->imprint.timeout_ns : 0;
    floor_ns = verdict->pause_ns > floor_ns ? verdict->pause_ns : floor_ns;
    update->retry_after_ns =
        backoff_wait_ns(&relay->backoff, attempts, relay_random(relay), floor_ns);
}

static void relay_count(struct relay *relay, const struct update *update,
                        const struct verdict *verdict, int64_t elapsed_ns, int64_t now)
{
    struct stats *stats = relay->parts.stats;
    bool done = update->outcome == UPDATE_OUTCOME_DONE;
    stats_record(stats, elapsed_ns, done ? update->age_ns + (now - update->fetched_ns) : -1);
    stats->failed += verdict->cause == VERDICT_CAUSE_FAILURE;
    stats->throttled += verdict->cause == VERDICT_CAUSE_THROTTLED;
    stats->ok += done;
    stats->retried += update->outcome == UPDATE_OUTCOME_RETRY;
    stats->dead += update->outcome == UPDATE_OUTCOME_DEAD;
}

static void relay_set_outcome(struct relay *relay, struct update *update,
                              const struct verdict *verdict, enum pool_action action, int64_t now)
{
    update->outcome = relay_outcome(verdict, action);
    update->http_status = verdict->status;
    update->sent = verdict->status != 0 || verdict->unknown_outcome;
    // Imprint may hold something else than what was last accepted.
    update->forget_state = verdict->kind != VERDICT_KIND_DONE && update->sent;
    if (update->outcome == UPDATE_OUTCOME_RETRY) {
        relay_plan_retry(relay, update, verdict, now);
    }
    if (update->outcome == UPDATE_OUTCOME_UNTOUCHED) {
        relay_remember_untouched(relay, update);
        update->rest_until_ns =
            verdict->unknown_outcome ? now + relay->parts.config->imprint.timeout_ns : 0;
    } else if (update->outcome != UPDATE_OUTCOME_DONE) {
        update->error = mem_strdup(verdict->error[0] != '\0' ? verdict->error : verdict->reason);
    }
    settler_log_outcome(relay->parts.log, update, verdict->type, verdict->param,
                        verdict->reason == NULL ? "" : verdict->reason);
}

static void relay_on_answer(void *ctx, const struct answer *answer, int64_t elapsed_ns)
{
    struct update *update = ctx;
    struct relay *relay = update->owner;
    struct verdict *verdict = &relay->verdict;
    int64_t now = loop_now_ns(relay->parts.loop);
    verdict_judge(verdict, answer, str_of(update->customer_id),
                  relay->parts.config->retry.outcomes);
    struct pool_decision decision = pool_note(relay->pool, verdict, str_of(update->key),
                                              update->started_ns, now, relay_random(relay));
    relay_set_outcome(relay, update, verdict, decision.action, now);
    relay_count(relay, update, verdict, elapsed_ns, now);
    updates_move(relay->updates, update, UPDATE_STATE_SETTLING);
    relay_charge(relay, &decision);
    if (decision.scale_rate) {
        gate_scale(relay->gate, now);
    }
    relay_log_change(relay, &decision.change, now);
    if (decision.drop_unstarted) {
        relay_drop_queued(relay, -1);
    }
}

// ---- starting ------------------------------------------------------------------------------

static int64_t relay_not_after(const struct relay *relay)
{
    // What starts last has ended a whole timeout before the next owner may begin. Of whatever slot:
    // the token may have come from any of them.
    return lease_deadline_ns(relay->parts.lease) - 2 * relay->parts.config->imprint.timeout_ns;
}

static void relay_begin(struct relay *relay, struct update *update, int64_t not_after_ns,
                        int64_t now)
{
    update->owner = relay;
    update->started_ns = now;
    update->due_ns = now + relay->parts.config->imprint.timeout_ns;
    relay->begun_ns = now;
    updates_move(relay->updates, update, UPDATE_STATE_IN_FLIGHT);
    pool_started(relay->pool, str_of(update->key), now);
    relay->parts.stats->sent++;
    sender_submit(relay->parts.sender, str_of(update->customer_id), buf_peek(&update->body),
                  not_after_ns, relay_on_answer, update);
}

// Written outcomes are bounded: a database that takes none stops the sending.
static bool relay_may_begin(const struct relay *relay, int64_t now)
{
    size_t bound =
        (size_t)(relay->parts.config->delivery.workers + relay->parts.config->outbox.batch);
    size_t in_flight = updates_count(relay->updates, UPDATE_STATE_IN_FLIGHT);
    int64_t most = pool_concurrency(relay->pool, relay->parts.config->delivery.workers, now);
    return !relay->stopping && (int64_t)in_flight < most &&
           sender_free_workers(relay->parts.sender) > 0 &&
           updates_count(relay->updates, UPDATE_STATE_SETTLING) <= bound;
}

// The next that may go: the first in line, or while the pool is closed the one of the queue that
// may be its probe, fewest attempts first, and any among equals.
static struct update *relay_choose(struct relay *relay, int64_t now)
{
    struct update *best = NULL;
    uint64_t equals = 0; // that may go and have as few attempts as the best
    bool open = pool_state(relay->pool) == POOL_STATE_OPEN;
    for (struct update *at = updates_first(relay->updates, UPDATE_STATE_QUEUED); at != NULL;
         at = updates_next(relay->updates, at)) {
        if (!lease_is_usable(relay->parts.lease, at->slot) ||
            !pool_may_start(relay->pool, str_of(at->key), now).yes) {
            continue;
        }
        if (open) {
            return at;
        }
        bool fewer = best == NULL || at->attempts < best->attempts;
        equals = fewer ? 1 : equals + (at->attempts == best->attempts);
        if (fewer || (at->attempts == best->attempts && relay_random(relay) % equals == 0)) {
            best = at;
        }
    }
    return best;
}

// None of those in memory may be the probe: others may have come meanwhile.
static void relay_give_up_candidates(struct relay *relay, int64_t now)
{
    if (pool_state(relay->pool) != POOL_STATE_OPEN &&
        updates_first(relay->updates, UPDATE_STATE_QUEUED) != NULL) {
        relay_drop_queued(relay, -1);
        relay->candidates_after_ns = now + RELAY_CANDIDATES_NS;
    }
}

static int64_t relay_token_wait_ns(struct relay *relay, int64_t now)
{
    gate_set_unsent(relay->gate, (int64_t)sender_unsent(relay->parts.sender), now);
    return gate_wait_ns(relay->gate, now);
}

static void relay_start_all(struct relay *relay, int64_t now)
{
    int64_t not_after_ns = relay_not_after(relay); // the lease does not change in here
    while (relay_may_begin(relay, now) && relay_token_wait_ns(relay, now) == 0) {
        struct update *update = now < not_after_ns ? relay_choose(relay, now) : NULL;
        if (update == NULL) {
            relay_give_up_candidates(relay, now);
            return;
        }
        if (!gate_take(relay->gate, now)) {
            return;
        }
        relay_begin(relay, update, not_after_ns, now);
        if (pool_state(relay->pool) != POOL_STATE_OPEN) {
            // The other candidates would be old when the next probe is due.
            relay_drop_queued(relay, -1);
        }
    }
}

static void relay_start(struct relay *relay, int64_t now)
{
    int64_t sent = relay->parts.stats->sent;
    relay_start_all(relay, now);
    if (relay->parts.stats->sent > sent) {
        sender_flush(relay->parts.sender);
    }
}

// ---- resting -------------------------------------------------------------------------------

// Customers whose last outcome was unknown, and whose wait is over.
static int64_t relay_wake_resting(struct relay *relay, int64_t now)
{
    int64_t next_ns = INT64_MAX;
    struct update *next;
    for (struct update *at = updates_first(relay->updates, UPDATE_STATE_RESTING); at != NULL;
         at = next) {
        next = updates_next(relay->updates, at);
        if (at->rest_until_ns <= now) {
            refill_reread(relay->refill, at->slot);
            updates_move(relay->updates, at, UPDATE_STATE_GONE);
        } else if (at->rest_until_ns < next_ns) {
            next_ns = at->rest_until_ns;
        }
    }
    return next_ns;
}

// ---- refilling -----------------------------------------------------------------------------

// The database is behind, or nothing new is wanted.
static bool relay_is_full(const struct relay *relay)
{
    const struct config *config = relay->parts.config;
    int64_t waiting = (int64_t)updates_count(relay->updates, UPDATE_STATE_SETTLING);
    return relay->stopping || waiting > config->delivery.workers + config->outbox.batch;
}

// How many more than `queued` are wanted in memory.
static int64_t relay_gulp(struct relay *relay, size_t queued, int64_t now)
{
    double ahead = gate_rate_per_sec(relay->gate, now) * RELAY_AHEAD_S;
    int64_t target = (int64_t)relay->parts.config->outbox.batch * RELAY_AHEAD_BATCHES;
    if (ahead < (double)target) {
        target = ahead < RELAY_AHEAD_MIN ? RELAY_AHEAD_MIN : (int64_t)ahead;
    }
    // In gulps: a poll for each single update would be most of the work.
    int64_t room = target - (int64_t)queued;
    return room >= (target + 3) / 4 ? room : 0;
}

static int64_t relay_room(struct relay *relay, int64_t now)
{
    size_t queued = updates_count(relay->updates, UPDATE_STATE_QUEUED);
    if (relay_is_full(relay)) {
        return 0;
    }
    if (pool_state(relay->pool) != POOL_STATE_OPEN) {
        bool probe =
            pool_concurrency(relay->pool, relay->parts.config->delivery.workers, now) > 0 &&
            now >= relay->candidates_after_ns;
        return probe && queued == 0 ? RELAY_CANDIDATES : 0;
    }
    return relay_gulp(relay, queued, now);
}

// A backfill that fills the memory must not keep live changes out of it.
static int64_t relay_live_room(struct relay *relay, int64_t now)
{
    size_t live = updates_queued_live(relay->updates);
    bool beside = live < updates_count(relay->updates, UPDATE_STATE_QUEUED);
    bool may = beside && !relay_is_full(relay) && pool_state(relay->pool) == POOL_STATE_OPEN;
    return may ? relay_gulp(relay, live, now) : 0;
}

// When it is time to read more.
static int64_t relay_refill_ns(struct relay *relay, int64_t now)
{
    if (lease_held(relay->parts.lease) == 0) {
        return INT64_MAX;
    }
    if (relay_room(relay, now) > 0) {
        return refill_next_ns(relay->refill);
    }
    return relay_live_room(relay, now) > 0 ? refill_live_next_ns(relay->refill) : INT64_MAX;
}

static void relay_set_timer(struct relay *relay, int64_t resting_ns, int64_t now)
{
    int64_t at_ns = relay_earlier(resting_ns, pool_next_ns(relay->pool, now));
    if (updates_first(relay->updates, UPDATE_STATE_QUEUED) != NULL && relay_may_begin(relay, now)) {
        // With a token there it was the lease or the pool that let none of them go.
        int64_t wait_ns = relay_token_wait_ns(relay, now);
        wait_ns = wait_ns == 0 ? RELAY_LOOK_NS : wait_ns;
        at_ns = relay_earlier(at_ns, wait_ns == INT64_MAX ? INT64_MAX : now + wait_ns);
    }
    at_ns = relay_earlier(at_ns, relay_refill_ns(relay, now));
    if (relay->candidates_after_ns > now) {
        at_ns = relay_earlier(at_ns, relay->candidates_after_ns);
    }
    at_ns = relay_earlier(at_ns, settler_next_ns(relay->settler, now));
    // A closed pool whose time has come waits for candidates: a look now and then will do.
    int64_t soonest_ns = pool_state(relay->pool) == POOL_STATE_OPEN ? now : now + RELAY_LOOK_NS;
    if (at_ns == INT64_MAX) {
        loop_timer_unset(relay->timer);
    } else {
        loop_timer_set(relay->timer, at_ns > soonest_ns ? at_ns : soonest_ns);
    }
}

// What was being read when the pool closed would be old when it goes on.
static void relay_drop_late(struct relay *relay, int64_t now)
{
    if (pool_state(relay->pool) != POOL_STATE_OPEN &&
        pool_concurrency(relay->pool, relay->parts.config->delivery.workers, now) == 0) {
        relay_drop_queued(relay, -1);
    }
}

void relay_pump(struct relay *relay)
{
    int64_t now = loop_now_ns(relay->parts.loop);
    struct pool_change change = pool_tick(relay->pool, now);
    relay_log_change(relay, &change, now);
    int64_t resting_ns = relay_wake_resting(relay, now);
    relay_drop_late(relay, now);
    relay_start(relay, now);
    settler_pump(relay->settler, relay->ready, now);
    int64_t room = relay_room(relay, now);
    if (pool_state(relay->pool) == POOL_STATE_OPEN) {
        refill_pump(relay->refill, room, now);
        refill_pump_live(relay->refill, room > 0 ? 0 : relay_live_room(relay, now), now);
    } else if (room > 0) {
        // Any, or a block of customers with a trouble of their own at the head of the queue would
        // be tried for ever before those behind it.
        refill_pump_some(relay->refill, room, relay_random(relay), now);
    }
    relay_set_timer(relay, resting_ns, now);
}

// ---- what happens around it ----------------------------------------------------------------

void relay_on_ready(struct relay *relay, enum outbox_source source)
{
    relay->ready = true;
    refill_on_ready(relay->refill, source);
}

void relay_on_lost(struct relay *relay)
{
    relay->ready = false;
    refill_on_lost(relay->refill);
}

void relay_on_new_history(struct relay *relay)
{
    relay_drop_queued(relay, -1);
    for (int state = 0; state < UPDATE_STATE_GONE; state++) {
        struct update *at = updates_first(relay->updates, (enum update_state)state);
        for (; at != NULL; at = updates_next(relay->updates, at)) {
            at->lease_epoch = -1; // no lease has that: the fence keeps them out
        }
    }
}

void relay_on_notify(struct relay *relay)
{
    refill_on_notify(relay->refill);
}

void relay_set_listening(struct relay *relay, bool listening)
{
    refill_set_listening(relay->refill, listening);
}

void relay_on_lease(struct relay *relay, const struct lease_change *change)
{
    int64_t now = loop_now_ns(relay->parts.loop);
    for (size_t i = 0; i < change->lost_count; i++) {
        relay_drop_queued(relay, change->lost[i]);
    }
    for (size_t i = 0; i < change->drained_count; i++) {
        relay_drop_queued(relay, change->drained[i]);
    }
    for (size_t i = 0; i < change->acquired_count; i++) {
        refill_reread(relay->refill, change->acquired[i]);
    }
    gate_set_share(relay->gate, (int64_t)lease_held(relay->parts.lease), now);
}

static void relay_note_change(struct relay *relay, struct pool_change change, int64_t now)
{
    relay_log_change(relay, &change, now);
    if (change.from == POOL_STATE_OPEN && change.to != POOL_STATE_OPEN) {
        relay_drop_queued(relay, -1);
    }
}

void relay_on_pool(struct relay *relay, int64_t paused_ns, int64_t throttled_ns)
{
    int64_t now = loop_now_ns(relay->parts.loop);
    if (throttled_ns > 0) {
        relay_note_change(relay, pool_pause_until(relay->pool, now + throttled_ns, now), now);
    }
    if (paused_ns > 0) {
        int64_t until_ns = paused_ns > INT64_MAX - now ? INT64_MAX : now + paused_ns;
        relay_note_change(relay, pool_pause(relay->pool, until_ns, now), now);
    } else {
        relay_note_change(relay, pool_resume(relay->pool, now), now);
    }
}

int64_t relay_throttled_until_ns(const struct relay *relay)
{
    return pool_shared_until_ns(relay->pool);
}

int64_t relay_closed_ns(const struct relay *relay)
{
    // An operator's pause is everybody's, and says nothing about this instance.
    return relay_is_paused_by_hand(relay)
               ? 0
               : pool_closed_ns(relay->pool, loop_now_ns(relay->parts.loop));
}

bool relay_probe_due(const struct relay *relay)
{
    return !relay_is_open(relay) &&
           pool_concurrency(relay->pool, 1, loop_now_ns(relay->parts.loop)) > 0;
}

bool relay_slot_busy(const struct relay *relay, int slot)
{
    return updates_slot_busy(relay->updates, slot);
}

void relay_reconfigure(struct relay *relay, const struct config *config, struct sender *sender)
{
    int64_t now = loop_now_ns(relay->parts.loop);
    relay->parts.config = config;
    relay->parts.sender = sender;
    relay->backoff = relay_backoff(config);
    gate_set_rate(relay->gate, relay_gate_rate(config), config->delivery.burst, now);
    relay->candidates_after_ns = 0;
    pool_settings_changed(relay->pool, now);
    relay_drop_queued(relay, -1);
    refill_reconfigure(relay->refill, config);
}

void relay_on_source(struct relay *relay, enum outbox_source source)
{
    refill_on_ready(relay->refill, source);
}

void relay_on_key(struct relay *relay)
{
    pool_key_changed(relay->pool, loop_now_ns(relay->parts.loop));
}

void relay_stop(struct relay *relay)
{
    relay->stopping = true;
    relay_drop_queued(relay, -1);
}

bool relay_is_drained(const struct relay *relay)
{
    return updates_count(relay->updates, UPDATE_STATE_IN_FLIGHT) == 0 &&
           updates_count(relay->updates, UPDATE_STATE_SETTLING) == 0;
}

bool relay_is_empty(const struct relay *relay)
{
    return relay->ready && refill_is_empty(relay->refill) && updates_total(relay->updates) == 0;
}

bool relay_is_open(const struct relay *relay)
{
    return pool_state(relay->pool) == POOL_STATE_OPEN;
}

const char *relay_paused(const struct relay *relay)
{
    return relay_is_open(relay) ? NULL : pool_state_name(pool_state(relay->pool));
}

double relay_rate_per_sec(const struct relay *relay)
{
    return gate_rate_per_sec(relay->gate, loop_now_ns(relay->parts.loop));
}

void relay_note_counts(struct relay *relay, const struct outbox_counts *counts)
{
    refill_note_thin(relay->refill, counts->thin);
}

bool relay_wants_key(const struct relay *relay)
{
    return pool_state(relay->pool) == POOL_STATE_UNAUTHORIZED;
}

bool relay_is_paused_by_hand(const struct relay *relay)
{
    return pool_state(relay->pool) == POOL_STATE_MANUAL;
}

bool relay_is_stuck(const struct relay *relay)
{
    enum pool_state state = pool_state(relay->pool);
    return state == POOL_STATE_UNAUTHORIZED || state == POOL_STATE_URL ||
           state == POOL_STATE_REJECTED || state == POOL_STATE_DOWN;
}

// With nothing in the queue.
static enum relay_limit relay_limit_idle(const struct relay *relay)
{
    if (refill_is_reading(relay->refill)) {
        return RELAY_LIMIT_DATABASE;
    }
    return refill_holds_thin(relay->refill) ? RELAY_LIMIT_SOURCE : RELAY_LIMIT_NOTHING;
}

enum relay_limit relay_limit(const struct relay *relay)
{
    int64_t now = loop_now_ns(relay->parts.loop);
    const struct config *config = relay->parts.config;
    int64_t workers = config->delivery.workers;
    int64_t in_flight = (int64_t)updates_count(relay->updates, UPDATE_STATE_IN_FLIGHT);
    int64_t settling = (int64_t)updates_count(relay->updates, UPDATE_STATE_SETTLING);
    if (!relay->ready || settling > workers + config->outbox.batch) {
        return RELAY_LIMIT_DATABASE;
    }
    if (lease_held(relay->parts.lease) == 0) {
        return RELAY_LIMIT_LEASES;
    }
    if (!relay_is_open(relay)) {
        return RELAY_LIMIT_API;
    }
    if (updates_first(relay->updates, UPDATE_STATE_QUEUED) == NULL) {
        return relay_limit_idle(relay);
    }
    if (in_flight >= workers || sender_free_workers(relay->parts.sender) == 0) {
        return RELAY_LIMIT_WORKERS;
    }
    if (in_flight >= pool_concurrency(relay->pool, workers, now)) {
        return RELAY_LIMIT_API;
    }
    return gate_wait_ns(relay->gate, now) > 0 ? RELAY_LIMIT_RATE : RELAY_LIMIT_LEASES;
}

// When the next of the queue may begin, by all that is known; INT64_MAX: at no known time.
static int64_t relay_begin_due_ns(struct relay *relay, int64_t now)
{
    if (now >= relay_not_after(relay)) {
        return lease_deadline_ns(relay->parts.lease); // renewed, or its queue goes
    }
    if (pool_concurrency(relay->pool, 1, now) == 0) {
        return pool_next_ns(relay->pool, now);
    }
    int64_t wait_ns = relay_token_wait_ns(relay, now);
    return wait_ns == INT64_MAX ? INT64_MAX : now + wait_ns;
}

static int64_t relay_request_due_ns(const struct relay *relay)
{
    int64_t due_ns = INT64_MAX;
    for (struct update *at = updates_first(relay->updates, UPDATE_STATE_IN_FLIGHT); at != NULL;
         at = updates_next(relay->updates, at)) {
        due_ns = relay_earlier(due_ns, at->due_ns);
    }
    return due_ns;
}

void relay_tell(struct relay *relay, struct pulse_facts *facts)
{
    int64_t now = loop_now_ns(relay->parts.loop);
    refill_tell(relay->refill, facts);
    settler_tell(relay->settler, facts);
    facts->reads = facts->reads && relay_room(relay, now) > 0 && lease_held(relay->parts.lease) > 0;
    // With too few slots for a whole token more of them are waited for, which heartbeats watch.
    bool slots =
        relay_token_wait_ns(relay, now) < INT64_MAX || sender_unsent(relay->parts.sender) > 0;
    facts->sends = !relay->stopping && !relay_is_paused_by_hand(relay) && slots;
    facts->queued = updates_count(relay->updates, UPDATE_STATE_QUEUED);
    facts->in_flight = updates_count(relay->updates, UPDATE_STATE_IN_FLIGHT);
    facts->request_due_ns = relay_request_due_ns(relay);
    facts->begun_ns = relay->begun_ns;
    facts->begin_due_ns = relay_begin_due_ns(relay, now);
}

const char *relay_limit_name(enum relay_limit limit)
{
    static const char *const names[] = {
        [RELAY_LIMIT_NOTHING] = "nothing",   [RELAY_LIMIT_RATE] = "rate",
        [RELAY_LIMIT_WORKERS] = "workers",   [RELAY_LIMIT_API] = "api",
        [RELAY_LIMIT_DATABASE] = "database", [RELAY_LIMIT_SOURCE] = "source",
        [RELAY_LIMIT_LEASES] = "leases",
    };
    static_assert(sizeof names / sizeof names[0] == RELAY_LIMIT_COUNT, "a name for each");
    return names[limit];
}
