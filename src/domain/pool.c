#include "domain/pool.h"

#include "base/mem.h"
#include "domain/backoff.h"

#include <assert.h>
#include <stdlib.h>

enum {
    POOL_KEY_SIZE = 65, // customer ids have at most 64 characters
    POOL_KEYS_MAX = 32,
    POOL_STORMS = 4,
    POOL_UNPROVEN = 4, // transfers at once before one was accepted
};

static const int64_t ns_per_sec = 1000000000;
// An answer that kills a row must be young when a probe proves it to be the row's own: in an hour
// somebody may have repaired what it complained of. Longer than between two probes of a customer
// that is alone.
static const int64_t dead_charge_age_ns = INT64_C(90) * 1000000000;
// A limit that is used up for so short a time is the normal course of its window, no event.
static const int64_t rest_max_ns = INT64_C(60) * 1000000000;
// Nothing in flight for so short a time is a gap between two answers.
static const int64_t gap_max_ns = INT64_C(20) * 1000000;

static const char *const state_names[] = {
    [POOL_STATE_OPEN] = "open",
    [POOL_STATE_PAUSED] = "paused",
    [POOL_STATE_UNAUTHORIZED] = "unauthorized",
    [POOL_STATE_URL] = "url",
    [POOL_STATE_REJECTED] = "rejected",
    [POOL_STATE_DOWN] = "down",
    [POOL_STATE_MANUAL] = "manual",
};
static_assert(sizeof state_names / sizeof state_names[0] == POOL_STATE_COUNT,
              "every state has a name");

// Row: from; column: to, in the order of the enum. Where a probe brings another complaint the more
// specific state wins; a mere failure changes no closed state, so that a flapping API does not fill
// the log.
static const bool allowed[POOL_STATE_COUNT][POOL_STATE_COUNT] = {
    //                          OPEN PAUSED UNAUTH URL REJECT DOWN MANUAL
    [POOL_STATE_OPEN] = {false, true, true, true, true, true, true},
    [POOL_STATE_PAUSED] = {true, false, true, true, false, false, true},
    [POOL_STATE_UNAUTHORIZED] = {true, false, false, true, false, false, true},
    [POOL_STATE_URL] = {true, false, true, false, false, false, true},
    [POOL_STATE_REJECTED] = {true, false, true, true, false, false, true},
    [POOL_STATE_DOWN] = {true, true, true, true, false, false, true},
    [POOL_STATE_MANUAL] = {true, true, true, true, true, true, false},
};

// What a cause does to the pool, and to its own row once it is known to be the row's fault.
struct reaction {
    enum pool_state state; // OPEN: none
    enum pool_action charge;
    const char *reason;
};

static const struct reaction reactions[VERDICT_CAUSE_COUNT] = {
    [VERDICT_CAUSE_ACCEPTED] = {POOL_STATE_OPEN, POOL_ACTION_SETTLE, NULL},
    [VERDICT_CAUSE_ROW] = {POOL_STATE_OPEN, POOL_ACTION_SETTLE, NULL},
    [VERDICT_CAUSE_OTHER_ID] = {POOL_STATE_OPEN, POOL_ACTION_SETTLE, NULL},
    [VERDICT_CAUSE_REJECTED] = {POOL_STATE_REJECTED, POOL_ACTION_DEAD, "rejected"},
    [VERDICT_CAUSE_FAILURE] = {POOL_STATE_DOWN, POOL_ACTION_RETRY, "failures"},
    [VERDICT_CAUSE_THROTTLED] = {POOL_STATE_PAUSED, POOL_ACTION_RETRY, "throttled"},
    [VERDICT_CAUSE_UNAUTHORIZED] = {POOL_STATE_UNAUTHORIZED, POOL_ACTION_RETRY, "unauthorized"},
    [VERDICT_CAUSE_FORBIDDEN] = {POOL_STATE_UNAUTHORIZED, POOL_ACTION_DEAD, "unauthorized"},
    [VERDICT_CAUSE_URL] = {POOL_STATE_URL, POOL_ACTION_RETRY, "url"},
    [VERDICT_CAUSE_REFUSED_HERE] = {POOL_STATE_OPEN, POOL_ACTION_UNTOUCHED, NULL},
};

// The last POOL_KEYS_MAX different customers that were added.
struct keys {
    char key[POOL_KEYS_MAX][POOL_KEY_SIZE];
    size_t count;
    size_t next; // where the next one goes
};

// Equal rejections, by status and type.
struct storm {
    int status; // 0: unused
    char type[VERDICT_NAME_SIZE];
    struct keys customers;
    int64_t last_ns;
};

// The answer that closed the pool; its row was left untouched.
struct closing {
    bool chargeable;
    enum pool_action charge;
    int64_t at_ns;
    char key[POOL_KEY_SIZE];
    struct verdict verdict;
};

struct pool {
    struct backoff probes; // the interval between probes
    int64_t ramp_ns;
    size_t breaker_customers;
    size_t rejected_customers;

    enum pool_state state;
    enum pool_state resume_to; // MANUAL: the state under it
    int64_t manual_until_ns;
    int64_t opened_ns; // the last entry of OPEN
    int64_t closed_ns; // the last leaving of OPEN
    int64_t shared_ns; // our own throttle, for the others; 0: none
    int64_t rest_ns;   // OPEN: nothing starts before, since a limit was used up
    bool ramping;      // no slow start at the very beginning: the tokens start at 0 there

    int64_t in_flight;
    int64_t quiet_ns; // since when there is none
    bool proven;      // one of those since it was quiet was accepted

    bool probing;
    char probe_key[POOL_KEY_SIZE];
    int64_t probe_started_ns;
    int64_t probe_at_ns;   // when the next one may start
    int64_t interval;      // how far the interval has grown
    int64_t failed_probes; // since it closed
    int64_t key_changed_ns;
    int64_t settings_changed_ns;

    struct closing closing;
    struct keys failing; // customers that failed in a row
    int64_t failing_since_ns;
    struct keys tried;   // customers that failed since it closed
    struct keys suspect; // that had failed when it opened, and were not accepted since
    struct keys own;     // customers whose trouble was found to be their own
    struct storm storms[POOL_STORMS];
    struct pool_counts counts;
};

// ---- sets of customers ----

static void key_copy(char out[POOL_KEY_SIZE], struct str key)
{
    size_t len = key.len < POOL_KEY_SIZE ? key.len : POOL_KEY_SIZE - 1;
    if (len > 0) {
        memcpy(out, key.ptr, len);
    }
    out[len] = '\0';
}

static bool key_equal(const char *a, struct str b)
{
    return str_equal_nocase(str_of(a), b);
}

static size_t keys_find(const struct keys *keys, struct str key)
{
    size_t i = 0;
    while (i < keys->count && !key_equal(keys->key[i], key)) {
        i++;
    }
    return i;
}

static bool keys_has(const struct keys *keys, struct str key)
{
    return keys_find(keys, key) < keys->count;
}

static void keys_clear(struct keys *keys)
{
    keys->count = 0;
    keys->next = 0;
}

static void keys_add(struct keys *keys, struct str key)
{
    if (keys_has(keys, key)) {
        return;
    }
    key_copy(keys->key[keys->next], key);
    keys->next = (keys->next + 1) % POOL_KEYS_MAX;
    keys->count += keys->count < POOL_KEYS_MAX;
}

// The last one takes the place of the removed; the order matters only for what is forgotten first.
static void keys_remove(struct keys *keys, struct str key)
{
    size_t i = keys_find(keys, key);
    if (i == keys->count) {
        return;
    }
    keys->count--;
    memmove(keys->key[i], keys->key[keys->count], POOL_KEY_SIZE);
    keys->next = keys->count;
}

// ---- storms of equal rejections ----

static void storms_clear(struct pool *pool)
{
    for (size_t i = 0; i < POOL_STORMS; i++) {
        pool->storms[i].status = 0;
        pool->storms[i].last_ns = INT64_MIN;
    }
}

// The storm of this status and type; a new one takes the place of the one that rests longest.
static struct storm *storm_of(struct pool *pool, const struct verdict *verdict)
{
    struct storm *oldest = &pool->storms[0];
    for (size_t i = 0; i < POOL_STORMS; i++) {
        struct storm *storm = &pool->storms[i];
        if (storm->status == verdict->status && strcmp(storm->type, verdict->type) == 0) {
            return storm;
        }
        if (storm->last_ns < oldest->last_ns) {
            oldest = storm;
        }
    }
    oldest->status = verdict->status;
    memcpy(oldest->type, verdict->type, sizeof oldest->type);
    keys_clear(&oldest->customers);
    return oldest;
}

static bool is_storm(struct pool *pool, const struct verdict *verdict, struct str key, int64_t now)
{
    struct storm *storm = storm_of(pool, verdict);
    storm->last_ns = now;
    keys_add(&storm->customers, key);
    return storm->customers.count >= pool->rejected_customers;
}

// ---- small questions ----

static int64_t later(int64_t now, int64_t wait_ns)
{
    int64_t then = 0;
    return __builtin_add_overflow(now, wait_ns, &then) ? INT64_MAX : then;
}

static int64_t greater(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t or_default(int64_t value, int64_t otherwise)
{
    return value > 0 ? value : otherwise;
}

static size_t customers_or_default(int64_t value, size_t otherwise)
{
    return value <= 0 ? otherwise : value > POOL_KEYS_MAX ? POOL_KEYS_MAX : (size_t)value;
}

// The state without the operator's pause.
static enum pool_state state_below(const struct pool *pool)
{
    return pool->state == POOL_STATE_MANUAL ? pool->resume_to : pool->state;
}

static struct pool_change no_change(const struct pool *pool)
{
    return (struct pool_change){.from = pool->state, .to = pool->state};
}

static bool is_probe(const struct pool *pool, struct str key, int64_t started_ns)
{
    return pool->probing && started_ns == pool->probe_started_ns && key_equal(pool->probe_key, key);
}

// True when the verdict says nothing about the row itself while the pool is closed.
static bool is_trouble(const struct pool *pool, const struct verdict *verdict)
{
    bool storm =
        verdict->cause == VERDICT_CAUSE_REJECTED && state_below(pool) == POOL_STATE_REJECTED;
    return verdict->kind == VERDICT_KIND_HOLD || verdict->cause == VERDICT_CAUSE_FAILURE || storm;
}

// ---- the one door between states ----

// What begins with the first closed state after OPEN, also one under the operator's pause.
static void begin_closed(struct pool *pool)
{
    pool->closing.chargeable = false;
    pool->failed_probes = 0;
    keys_clear(&pool->tried);
    if (!pool->ramping) {
        pool->interval = 0; // else it was open so shortly that the intervals go on growing
    }
}

static void begin_open(struct pool *pool, int64_t now)
{
    pool->opened_ns = now;
    pool->ramping = true;
    pool->shared_ns = 0;
    pool->closing.chargeable = false;
    for (size_t i = 0; i < pool->tried.count; i++) {
        keys_add(&pool->suspect, str_of(pool->tried.key[i]));
    }
    keys_clear(&pool->failing);
    keys_clear(&pool->tried);
    storms_clear(pool);
}

static struct pool_change enter(struct pool *pool, enum pool_state to, const char *reason,
                                const char *detail, int64_t now)
{
    enum pool_state from = pool->state;
    assert(allowed[from][to]);
    pool->state = to;
    if (from == POOL_STATE_OPEN) {
        pool->ramping = pool->ramping && now - pool->opened_ns < pool->ramp_ns;
        pool->closed_ns = now;
        begin_closed(pool);
        pool->counts.closed += to != POOL_STATE_MANUAL;
    }
    if (to == POOL_STATE_OPEN) {
        begin_open(pool, now);
    }
    return (struct pool_change){.from = from, .to = to, .reason = reason, .detail = detail};
}

// ---- probes ----

// Sets the time of the next probe: as the API told, at least the growing interval if probes fail.
static void schedule_probe(struct pool *pool, int64_t told_ns, int64_t now, uint64_t random)
{
    pool->interval++;
    int64_t half = backoff_ceiling_ns(&pool->probes, pool->interval) / 2;
    int64_t wait = later(half, backoff_jitter_ns(half, random));
    if (told_ns > 0) {
        wait = pool->failed_probes > 0 ? greater(told_ns, wait) : told_ns;
    }
    pool->probe_at_ns = later(now, wait);
}

// How much longer a customer waits that failed since the pool closed: another one goes first, if
// there is any.
static int64_t lonely_ns(const struct pool *pool)
{
    int64_t interval = backoff_ceiling_ns(&pool->probes, pool->interval);
    int64_t most = pool->probes.cap_ns / 4;
    return interval < most ? interval : most;
}

// 503 with Retry-After says the same as 429.
static const struct reaction *reaction_of(const struct verdict *verdict)
{
    bool throttled = verdict->cause == VERDICT_CAUSE_FAILURE && verdict->pause_ns > 0;
    return &reactions[throttled ? VERDICT_CAUSE_THROTTLED : verdict->cause];
}

static void remember_closing(struct pool *pool, const struct verdict *verdict, struct str key,
                             int64_t now)
{
    pool->closing = (struct closing){
        .chargeable = true,
        .charge = verdict->kind == VERDICT_KIND_DEAD ? POOL_ACTION_DEAD
                                                     : reactions[verdict->cause].charge,
        .at_ns = now,
        .verdict = *verdict,
    };
    key_copy(pool->closing.key, key);
}

// Leaves a closed or open state for the one that the verdict calls for.
static void close_for(struct pool *pool, struct pool_decision *decision,
                      const struct verdict *verdict, struct str key, int64_t now)
{
    const struct reaction *reaction = reaction_of(verdict);
    decision->change = enter(pool, reaction->state, reaction->reason, verdict->reason, now);
    pool->failed_probes = 0;
    pool->closing.chargeable = false;
    if (decision->action == POOL_ACTION_UNTOUCHED) {
        remember_closing(pool, verdict, key, now);
    }
}

// What every answer that stops the pool, or keeps it stopped, entails.
static void stay_away(struct pool *pool, const struct verdict *verdict, struct str key, int64_t now,
                      uint64_t random)
{
    keys_add(&pool->tried, key);
    schedule_probe(pool, verdict->pause_ns, now, random);
    if (verdict->cause == VERDICT_CAUSE_THROTTLED || verdict->pause_ns > 0) {
        pool->shared_ns = pool->probe_at_ns;
    }
}

// ---- answers while open ----

// The answer is fine, but it used up a limit. Its row is settled as the verdict says.
static void rest(struct pool *pool, struct pool_decision *decision, const struct verdict *verdict,
                 int64_t now)
{
    int64_t until = later(now, verdict->pause_ns);
    if (verdict->pause_ns <= rest_max_ns) {
        pool->rest_ns = greater(pool->rest_ns, until);
        return;
    }
    decision->change = enter(pool, POOL_STATE_PAUSED, "throttled", "limit_used_up", now);
    pool->probe_at_ns = until;
    pool->shared_ns = until;
}

// Does this answer, in the row of those before it, stop the pool?
static bool is_too_much(struct pool *pool, const struct verdict *verdict, struct str key,
                        int64_t now)
{
    if (verdict->cause == VERDICT_CAUSE_FAILURE) {
        pool->failing_since_ns = pool->failing.count == 0 ? now : pool->failing_since_ns;
        keys_add(&pool->failing, key);
        return pool->failing.count >= pool->breaker_customers || verdict->pause_ns > 0;
    }
    if (verdict->cause == VERDICT_CAUSE_REJECTED) {
        return is_storm(pool, verdict, key, now);
    }
    return reactions[verdict->cause].state != POOL_STATE_OPEN;
}

// Trouble of a customer of which it is known already that the trouble is its own: it must not stop
// the others again. If it is everyone's this time, the next customer's answer says so. Nothing that
// would kill a row goes this way: each death needs its own proof.
static bool is_known_own(const struct pool *pool, const struct verdict *verdict, struct str key)
{
    return reactions[verdict->cause].charge == POOL_ACTION_RETRY && keys_has(&pool->own, key);
}

static void note_open(struct pool *pool, struct pool_decision *decision,
                      const struct verdict *verdict, struct str key, int64_t now, uint64_t random)
{
    bool hold = verdict->kind == VERDICT_KIND_HOLD;
    if (is_known_own(pool, verdict, key)) {
        decision->action = hold ? POOL_ACTION_RETRY : POOL_ACTION_SETTLE;
        return;
    }
    if (is_too_much(pool, verdict, key, now)) {
        // A row that the configuration lets retry or die at 429 is settled now, not charged later.
        bool settled = verdict->cause == VERDICT_CAUSE_THROTTLED && !hold;
        decision->action = settled ? POOL_ACTION_SETTLE : POOL_ACTION_UNTOUCHED;
        close_for(pool, decision, verdict, key, now);
        stay_away(pool, verdict, key, now, random);
    } else if (verdict->pause_ns > 0) {
        rest(pool, decision, verdict, now);
    }
}

// ---- answers while closed ----

static bool passes(const struct pool *pool, enum verdict_cause cause)
{
    switch (cause) {
    case VERDICT_CAUSE_ACCEPTED:
        return true;
    case VERDICT_CAUSE_REJECTED:
    case VERDICT_CAUSE_ROW:
        return pool->state != POOL_STATE_REJECTED;
    case VERDICT_CAUSE_OTHER_ID:
        return pool->state == POOL_STATE_DOWN;
    case VERDICT_CAUSE_FAILURE:
    case VERDICT_CAUSE_THROTTLED:
    case VERDICT_CAUSE_UNAUTHORIZED:
    case VERDICT_CAUSE_FORBIDDEN:
    case VERDICT_CAUSE_URL:
    case VERDICT_CAUSE_REFUSED_HERE:
        return false;
    }
    assert(false); // every cause is above
    return false;
}

// Was the answer that closed the pool its row's own fault? Only if nothing but another customer
// lies between it and a success: no failed probe, no other key, and no long time before a death.
static bool is_chargeable(const struct pool *pool, const struct verdict *verdict, struct str key,
                          int64_t now)
{
    const struct closing *closing = &pool->closing;
    if (!closing->chargeable || key_equal(closing->key, key)) {
        return false;
    }
    if (pool->state == POOL_STATE_UNAUTHORIZED && pool->key_changed_ns >= closing->at_ns) {
        return false;
    }
    return closing->charge != POOL_ACTION_DEAD ||
           (verdict->cause == VERDICT_CAUSE_ACCEPTED && now - closing->at_ns <= dead_charge_age_ns);
}

// A complaint that is about a row, once another customer's passed: nothing was wrong with the API.
static bool is_about_row(enum verdict_cause cause)
{
    return cause == VERDICT_CAUSE_UNAUTHORIZED || cause == VERDICT_CAUSE_FORBIDDEN ||
           cause == VERDICT_CAUSE_URL;
}

// A probe was answered well.
static void pass(struct pool *pool, struct pool_decision *decision, const struct verdict *verdict,
                 struct str key, int64_t now)
{
    if (pool->state == POOL_STATE_PAUSED && verdict->pause_ns > rest_max_ns) {
        pool->probe_at_ns = later(now, verdict->pause_ns);
        pool->shared_ns = pool->probe_at_ns;
        return; // that was the last one for a long time
    }
    bool own = is_chargeable(pool, verdict, key, now);
    if (own) {
        decision->charge = pool->closing.charge;
        decision->charge_customer = str_of(pool->closing.key);
        decision->charge_verdict = &pool->closing.verdict;
        keys_add(&pool->own, decision->charge_customer);
    }
    // Now, not when it was throttled: during the pause the rate would have recovered unused.
    decision->scale_rate = pool->state == POOL_STATE_PAUSED;
    decision->change = enter(pool, POOL_STATE_OPEN, "probe", verdict->reason, now);
    if (own && is_about_row(pool->closing.verdict.cause)) {
        pool->ramping = false; // the others need no slow start, nor longer waits the next time
    }
    if (verdict->pause_ns > 0) {
        pool->rest_ns = later(now, verdict->pause_ns);
    }
}

// Trouble of another customer shows that the answer that closed the pool was not its row's own. It
// shows nothing if that customer had trouble before others passed, or if it is the same customer,
// which was alone and had to be its own probe.
static void weigh_trouble(struct pool *pool, const struct verdict *verdict, struct str key,
                          int64_t now)
{
    struct closing *closing = &pool->closing;
    bool same = key_equal(closing->key, key);
    if (same && closing->verdict.cause == verdict->cause) {
        closing->at_ns = now;
        closing->verdict = *verdict;
    } else if (same || !keys_has(&pool->suspect, key)) {
        closing->chargeable = false;
    }
}

static void note_probe(struct pool *pool, struct pool_decision *decision,
                       const struct verdict *verdict, struct str key, int64_t now, uint64_t random)
{
    bool old_key = pool->key_changed_ns > pool->probe_started_ns;
    bool old_settings = pool->settings_changed_ns > pool->probe_started_ns;
    if (passes(pool, verdict->cause)) {
        pass(pool, decision, verdict, key, now);
        return;
    }
    decision->action = is_trouble(pool, verdict) ? POOL_ACTION_UNTOUCHED : POOL_ACTION_SETTLE;
    pool->failed_probes++;
    weigh_trouble(pool, verdict, key, now);
    enum pool_state to = reaction_of(verdict)->state;
    if (to != POOL_STATE_OPEN && allowed[pool->state][to]) {
        close_for(pool, decision, verdict, key, now);
    }
    stay_away(pool, verdict, key, now, random);
    if ((old_key && pool->state == POOL_STATE_UNAUTHORIZED) ||
        (old_settings && pool->state != POOL_STATE_PAUSED)) {
        keys_clear(&pool->tried); // it went out with those of before: the new ones are untried
        pool->probe_at_ns = now;
    }
}

// An answer to what was sent before the present state began.
static void note_straggler(struct pool *pool, struct pool_decision *decision,
                           const struct verdict *verdict, struct str key, int64_t now)
{
    if (!is_trouble(pool, verdict)) {
        return;
    }
    decision->action = POOL_ACTION_UNTOUCHED;
    if (state_below(pool) == POOL_STATE_OPEN) {
        return;
    }
    weigh_trouble(pool, verdict, key, now);
    keys_add(&pool->tried, key);
    if (verdict->pause_ns > 0) {
        pool->probe_at_ns = greater(pool->probe_at_ns, later(now, verdict->pause_ns));
        pool->shared_ns = pool->probe_at_ns;
    }
}

static void note_success(struct pool *pool, struct str key)
{
    pool->proven = true;
    keys_remove(&pool->own, key);
    keys_remove(&pool->suspect, key);
    storms_clear(pool);
}

// An answer below 500: the API is there. Or was, if the request is older than the first failure.
static bool ends_failures(const struct pool *pool, const struct verdict *verdict,
                          int64_t started_ns)
{
    return verdict->cause != VERDICT_CAUSE_FAILURE &&
           verdict->cause != VERDICT_CAUSE_REFUSED_HERE && started_ns >= pool->failing_since_ns;
}

static void note_answer(struct pool *pool, struct pool_decision *decision,
                        const struct verdict *verdict, struct str key, bool probe, bool fresh,
                        int64_t now, uint64_t random)
{
    if (verdict->cause == VERDICT_CAUSE_ACCEPTED) {
        note_success(pool, key);
    }
    if (pool->state == POOL_STATE_OPEN && fresh) {
        note_open(pool, decision, verdict, key, now, random);
    } else if (probe && pool->state != POOL_STATE_MANUAL) {
        note_probe(pool, decision, verdict, key, now, random);
    } else {
        note_straggler(pool, decision, verdict, key, now);
    }
}

struct pool_decision pool_note(struct pool *pool, const struct verdict *verdict,
                               struct str customer_key, int64_t started_ns, int64_t now,
                               uint64_t random)
{
    struct pool_decision decision = {
        .action = POOL_ACTION_SETTLE,
        .change = no_change(pool),
        .charge = POOL_ACTION_UNTOUCHED,
    };
    pool->counts.causes[verdict->cause]++;
    if (ends_failures(pool, verdict, started_ns)) {
        keys_clear(&pool->failing);
    }
    bool probe = is_probe(pool, customer_key, started_ns);
    if (probe) {
        pool->probing = false;
    }
    if (verdict->cause == VERDICT_CAUSE_REFUSED_HERE) {
        decision.action = POOL_ACTION_UNTOUCHED;
        if (probe) { // nothing was learnt; not at once, or a guard that holds would spin
            pool->probe_at_ns = greater(pool->probe_at_ns, later(now, pool->probes.base_ns));
        }
    } else {
        bool fresh = started_ns >= pool->opened_ns;
        note_answer(pool, &decision, verdict, customer_key, probe, fresh, now, random);
    }
    pool->in_flight -= pool->in_flight > 0;
    pool->quiet_ns = now;
    pool->counts.untouched += decision.action == POOL_ACTION_UNTOUCHED;
    decision.drop_unstarted =
        decision.change.from == POOL_STATE_OPEN && decision.change.to != POOL_STATE_OPEN;
    return decision;
}

// ---- what the relay asks and says ----

struct pool *pool_create(const struct pool_options *options, int64_t now)
{
    struct pool *pool = mem_calloc(1, sizeof *pool);
    *pool = (struct pool){
        .probes = {.base_ns = or_default(options->probe_base_ns, ns_per_sec),
                   .cap_ns = or_default(options->probe_cap_ns, 60 * ns_per_sec)},
        .ramp_ns = or_default(options->ramp_ns, 10 * ns_per_sec),
        .breaker_customers = customers_or_default(options->breaker_customers, 5),
        .rejected_customers = customers_or_default(options->rejected_customers, 20),
        .state = POOL_STATE_OPEN,
        .opened_ns = now,
        .rest_ns = INT64_MIN,
        .key_changed_ns = INT64_MIN,
        .settings_changed_ns = INT64_MIN,
    };
    storms_clear(pool);
    return pool;
}

void pool_destroy(struct pool *pool)
{
    free(pool);
}

struct pool_permit pool_may_start(const struct pool *pool, struct str customer_key, int64_t now)
{
    if (pool->state == POOL_STATE_OPEN) {
        bool rested = now >= pool->rest_ns;
        return (struct pool_permit){.yes = rested, .ask_ns = rested ? now : pool->rest_ns};
    }
    if (pool->state == POOL_STATE_MANUAL) {
        return (struct pool_permit){.ask_ns = pool->manual_until_ns};
    }
    if (pool->probing) {
        return (struct pool_permit){.ask_ns = INT64_MAX};
    }
    int64_t at = pool->probe_at_ns;
    if (keys_has(&pool->tried, customer_key)) {
        at = later(at, lonely_ns(pool));
    }
    bool yes = now >= at;
    return (struct pool_permit){.yes = yes, .probe = yes, .ask_ns = yes ? now : at};
}

static bool is_proven(const struct pool *pool, int64_t now)
{
    return pool->proven && (pool->in_flight > 0 || now - pool->quiet_ns <= gap_max_ns);
}

void pool_started(struct pool *pool, struct str customer_key, int64_t now)
{
    pool->proven = is_proven(pool, now);
    pool->in_flight++;
    if (pool->state == POOL_STATE_OPEN) {
        return;
    }
    assert(!pool->probing && pool->state != POOL_STATE_MANUAL); // pool_may_start said yes
    pool->probing = true;
    pool->probe_started_ns = now;
    key_copy(pool->probe_key, customer_key);
    pool->counts.probes++;
}

// Of `workers`, those that the slow start lets work.
static int64_t ramped(const struct pool *pool, int64_t workers, int64_t now)
{
    int64_t elapsed = now - pool->opened_ns;
    if (!pool->ramping || elapsed >= pool->ramp_ns) {
        return workers;
    }
    double part = elapsed > 0 ? (double)elapsed / (double)pool->ramp_ns : 0;
    return 1 + (int64_t)((double)(workers - 1) * part);
}

int64_t pool_concurrency(const struct pool *pool, int64_t workers, int64_t now)
{
    if (pool->state == POOL_STATE_MANUAL) {
        return 0;
    }
    if (pool->state != POOL_STATE_OPEN) {
        return !pool->probing && now >= pool->probe_at_ns ? workers : 0;
    }
    if (now < pool->rest_ns) {
        return 0;
    }
    int64_t most = ramped(pool, workers, now);
    return is_proven(pool, now) || most < POOL_UNPROVEN ? most : POOL_UNPROVEN;
}

struct pool_change pool_pause_until(struct pool *pool, int64_t until_ns, int64_t now)
{
    int64_t latest = later(now, ANSWER_PAUSE_MAX_NS);
    int64_t until = until_ns < latest ? until_ns : latest;
    struct pool_change change = no_change(pool);
    if (until <= now) {
        return change;
    }
    if (pool->state == POOL_STATE_OPEN) {
        change = enter(pool, POOL_STATE_PAUSED, "shared", NULL, now);
        pool->probe_at_ns = until;
    } else if (state_below(pool) == POOL_STATE_OPEN) {
        pool->resume_to = POOL_STATE_PAUSED;
        begin_closed(pool);
        pool->probe_at_ns = until;
    }
    pool->probe_at_ns = greater(pool->probe_at_ns, until);
    return change;
}

struct pool_change pool_pause(struct pool *pool, int64_t until_ns, int64_t now)
{
    pool->manual_until_ns = until_ns;
    if (pool->state == POOL_STATE_MANUAL) {
        return no_change(pool);
    }
    pool->resume_to = pool->state;
    return enter(pool, POOL_STATE_MANUAL, "manual", NULL, now);
}

struct pool_change pool_resume(struct pool *pool, int64_t now)
{
    if (pool->state != POOL_STATE_MANUAL) {
        return no_change(pool);
    }
    return enter(pool, pool->resume_to, "resumed", NULL, now);
}

struct pool_change pool_tick(struct pool *pool, int64_t now)
{
    bool over = pool->state == POOL_STATE_MANUAL && now >= pool->manual_until_ns;
    return over ? pool_resume(pool, now) : no_change(pool);
}

void pool_key_changed(struct pool *pool, int64_t now)
{
    pool->key_changed_ns = now;
    if (state_below(pool) == POOL_STATE_UNAUTHORIZED) {
        keys_clear(&pool->tried);
        pool->probe_at_ns = now;
    }
}

void pool_settings_changed(struct pool *pool, int64_t now)
{
    pool_key_changed(pool, now);
    pool->settings_changed_ns = now;
    pool->closing.chargeable = false;
    enum pool_state state = state_below(pool);
    if (state != POOL_STATE_OPEN && state != POOL_STATE_PAUSED) {
        keys_clear(&pool->tried);
        pool->probe_at_ns = now;
    }
}

enum pool_state pool_state(const struct pool *pool)
{
    return pool->state;
}

int64_t pool_next_ns(const struct pool *pool, int64_t now)
{
    int64_t next = pool->probe_at_ns;
    if (pool->state == POOL_STATE_MANUAL) {
        next = pool->manual_until_ns;
    } else if (pool->state == POOL_STATE_OPEN) {
        next = pool->rest_ns;
    } else if (pool->probing) {
        next = INT64_MAX;
    }
    return next > now ? next : INT64_MAX;
}

int64_t pool_shared_until_ns(const struct pool *pool)
{
    return pool->state == POOL_STATE_OPEN ? 0 : pool->shared_ns;
}

int64_t pool_closed_ns(const struct pool *pool, int64_t now)
{
    return pool->state == POOL_STATE_OPEN ? 0 : greater(now - pool->closed_ns, 0);
}

const struct pool_counts *pool_counts(const struct pool *pool)
{
    return &pool->counts;
}

const char *pool_state_name(enum pool_state state)
{
    return state_names[state];
}

bool pool_state_allows(enum pool_state from, enum pool_state to)
{
    return allowed[from][to];
}

const char *pool_change_event(const struct pool_change *change)
{
    switch (change->to) {
    case POOL_STATE_OPEN:
        return change->from == POOL_STATE_UNAUTHORIZED ? "api.authorized" : "api.up";
    case POOL_STATE_PAUSED:
        return "api.throttled";
    case POOL_STATE_UNAUTHORIZED:
        return "api.unauthorized";
    case POOL_STATE_URL:
    case POOL_STATE_REJECTED:
    case POOL_STATE_DOWN:
    case POOL_STATE_MANUAL:
        return "api.down";
    }
    assert(false); // every state is above
    return "api.down";
}
