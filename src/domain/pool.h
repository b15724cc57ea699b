// The state of the way to the API, for one instance: may an update be sent, and what becomes of the
// row whose answer came back. One customer's trouble must block that customer only, and trouble of
// all must cost no row an attempt.
//
//   OPEN --429, 503 with a pause, limit used up, another instance's pause--> PAUSED
//   OPEN --401, 403--> UNAUTHORIZED          OPEN --3xx, undocumented 4xx--> URL
//   OPEN --20 equal rejections--> REJECTED   OPEN --failures of 5 customers--> DOWN
//   closed --a probe passes--> OPEN, with a slow start
//   closed --a probe says something else--> the state for that; one that fails again stays
//   any --operator--> MANUAL --operator, or its time is over--> where it was
//
// Every state but OPEN and MANUAL lets exactly one probe at a time through when its timer is over,
// at growing intervals, and never a customer that failed since it closed while there is another.
// A probe passes if it is accepted, or rejected in a documented shape (not so in REJECTED); in DOWN
// any answer below 500 that is no failure itself passes.
// If the first probe passes, the answer that closed the pool was its row's own: the decision says
// whom to charge. Had another customer's probe failed between, it was everyone's, and nobody is
// charged.
//
// Use: pool_may_start, then pool_started once the transfer really began, then pool_note exactly
// once for its answer (also when it was refused or thrown away: cause REFUSED_HERE).
#ifndef DOMAIN_POOL_H
#define DOMAIN_POOL_H

#include "base/str.h"
#include "domain/verdict.h"

#include <stdbool.h>
#include <stdint.h>

enum pool_state {
    POOL_STATE_OPEN,         // sending (perhaps still in its slow start)
    POOL_STATE_PAUSED,       // throttled, until a time
    POOL_STATE_UNAUTHORIZED, // 401, 403: until there is another key, or a probe passes
    POOL_STATE_URL,          // 3xx, undocumented 4xx: the URL or something in between is wrong
    POOL_STATE_REJECTED,     // a storm of equal rejections
    POOL_STATE_DOWN,         // the breaker
    POOL_STATE_MANUAL,       // the operator's pause
};
enum { POOL_STATE_COUNT = POOL_STATE_MANUAL + 1 };

struct pool_options {
    int64_t probe_base_ns;      // 0: 1 s
    int64_t probe_cap_ns;       // 0: 60 s
    int64_t ramp_ns;            // of the slow start; 0: 10 s
    int64_t breaker_customers;  // 0: 5; at most 32
    int64_t rejected_customers; // 0: 20; at most 32
};

// What to do with the row whose answer was noted.
enum pool_action {
    POOL_ACTION_SETTLE,    // as verdict->kind says (done; retry with an attempt; dead)
    POOL_ACTION_UNTOUCHED, // write nothing: no attempt, no due_at. If verdict->unknown_outcome the
                           // customer still waits `timeout` (in memory) before its next request
    POOL_ACTION_RETRY,     // retry with an attempt, although the verdict holds: it is the row's own
    POOL_ACTION_DEAD,      // dead, although the verdict holds
};

// A change of state, to be logged once. `from == to`: none.
struct pool_change {
    enum pool_state from;
    enum pool_state to;
    const char *reason; // "throttled", "unauthorized", "url", "rejected", "failures", "manual",
                        // "shared", "probe", "resumed"
    const char *detail; // the verdict's reason ("timeout", "forbidden", ...), or NULL
};

struct pool_decision {
    enum pool_action action;
    struct pool_change change;
    // Another row, left untouched when it closed the pool, whose own fault that answer was:
    // RETRY or DEAD; UNTOUCHED: nobody.
    enum pool_action charge;
    struct str charge_customer;           // both borrowed from the pool until its next call
    const struct verdict *charge_verdict; // status, error, type and param for the row and the log
    bool drop_unstarted; // left OPEN: what has not started would be stale when it goes on
    bool scale_rate;     // goes on after a throttle: gate_scale
};

struct pool_permit {
    bool yes;
    bool probe;     // this one would be the probe
    int64_t ask_ns; // when no: the time to ask again; INT64_MAX: after the next pool_note
};

// Totals since pool_create.
struct pool_counts {
    int64_t causes[VERDICT_CAUSE_COUNT]; // answers by cause
    int64_t untouched;                   // rows left untouched
    int64_t probes;                      // started
    int64_t closed;                      // times OPEN was left, MANUAL not counted
};

struct pool;

struct pool *pool_create(const struct pool_options *options, int64_t now);
void pool_destroy(struct pool *pool);

// May this customer's update be sent now? In a closed state ask with the candidates one by one,
// fewest attempts first. Asking changes nothing.
struct pool_permit pool_may_start(const struct pool *pool, struct str customer_key, int64_t now);

// Its transfer began.
void pool_started(struct pool *pool, struct str customer_key, int64_t now);

// Its answer came. `started_ns` is the `now` of its pool_started: an answer to something sent
// before the present state began says nothing about it. `random` spreads the probes.
struct pool_decision pool_note(struct pool *pool, const struct verdict *verdict,
                               struct str customer_key, int64_t started_ns, int64_t now,
                               uint64_t random);

// The most transfers that may be in flight now: fewer than `workers` during the slow start, only a
// few until one of those since nothing was in flight was accepted (a key that was revoked meanwhile
// costs no more requests than that), 0 while nothing may start. In a closed state whose timer is
// over it is `workers`, since what is still in flight from before must not keep the probe waiting;
// pool_may_start lets only one through.
int64_t pool_concurrency(const struct pool *pool, int64_t workers, int64_t now);

// Another instance was throttled: stay away until `until_ns` (cut at 1 h from now). Never shortens.
struct pool_change pool_pause_until(struct pool *pool, int64_t until_ns, int64_t now);

// The operator's pause (INT64_MAX: until pool_resume) and its end. Both may be repeated.
struct pool_change pool_pause(struct pool *pool, int64_t until_ns, int64_t now);
struct pool_change pool_resume(struct pool *pool, int64_t now);

// Ends an operator's pause whose time is over. Call it once a turn.
struct pool_change pool_tick(struct pool *pool, int64_t now);

// The key file, which is looked at every second, holds another key: in UNAUTHORIZED any customer
// may probe at once.
void pool_key_changed(struct pool *pool, int64_t now);

// URL, key, mapping or certificates are others than before: what closed it may be mended, so any
// customer may probe at once, and nobody is charged for what was before. A pause that was told
// stays.
void pool_settings_changed(struct pool *pool, int64_t now);

enum pool_state pool_state(const struct pool *pool);
// When, after `now`, something may start that may not start now; INT64_MAX: at no known time.
// (Customers that failed already wait longer: ask_ns of their permit.)
int64_t pool_next_ns(const struct pool *pool, int64_t now);
// Until when the other instances should pause too: our own throttle. 0: they need not.
int64_t pool_shared_until_ns(const struct pool *pool);
// How long it has not been open; 0 when it is.
int64_t pool_closed_ns(const struct pool *pool, int64_t now);
const struct pool_counts *pool_counts(const struct pool *pool); // borrowed

const char *pool_state_name(enum pool_state state);
// The event of a change: "api.up", "api.authorized", "api.down", "api.throttled",
// "api.unauthorized".
const char *pool_change_event(const struct pool_change *change);
// The table of allowed transitions.
bool pool_state_allows(enum pool_state from, enum pool_state to);

#endif
