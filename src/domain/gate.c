// Credit is counted in parts of a token so small that every refill is a whole number of them:
//     one token = per_ns * SLOTS * SCALE_FULL
//     refill    = elapsed_ns * count * own_slots * scale
// so no remainder is ever lost, over days as over microseconds. Products that would pass 128 bits
// saturate, and always to the side on which fewer requests pass or the bucket is full anyway.
#include "domain/gate.h"

#include "base/mem.h"

#include <stdlib.h>

enum {
    GATE_SCALE_FULL = 1000, // the rate's scale is in thousandths of the configured rate
    GATE_SCALE_FLOOR = 20,
    GATE_SCALE_STEP = 100,
};

static const int64_t gate_step_ns = INT64_C(10) * 1000000000;

// Not a typedef of a struct: the only spelling of a 128-bit integer that -Wpedantic accepts.
__extension__ typedef unsigned __int128 wide;
#define WIDE_MAX (~(wide)0)

struct gate {
    struct gate_rate rate;
    int64_t burst;
    int64_t own_slots;
    int64_t unsent;
    int64_t scale;   // thousandths
    int64_t step_at; // when the scale next goes up; only while it is below full
    int64_t last;    // up to when credit was counted
    wide credit;
};

static wide wide_mul(wide a, wide b)
{
    wide product = 0;
    return __builtin_mul_overflow(a, b, &product) ? WIDE_MAX : product;
}

static wide wide_add(wide a, wide b)
{
    wide sum = 0;
    return __builtin_add_overflow(a, b, &sum) ? WIDE_MAX : sum;
}

// As a function: in line, gcc 12 warns of a change of sign when it sees the divisor's old type.
static wide wide_div(wide a, wide b)
{
    return a / b;
}

static int64_t at_least_one(int64_t value)
{
    return value < 1 ? 1 : value;
}

static int64_t saturating_add(int64_t a, int64_t b)
{
    int64_t sum = 0;
    return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

static wide token_cost(const struct gate *gate)
{
    return (wide)gate->rate.per_ns * GATE_SLOTS * GATE_SCALE_FULL; // < 2^79
}

static wide refill_per_ns(const struct gate *gate)
{
    return (wide)gate->rate.count * (wide)gate->own_slots * (wide)gate->scale; // < 2^79
}

// What fits beside the tokens of those that have not left.
static wide capacity(const struct gate *gate)
{
    wide part = (wide)gate->burst * (wide)gate->own_slots;
    wide whole = wide_mul(part, (wide)gate->rate.per_ns * GATE_SCALE_FULL);
    wide unsent = wide_mul((wide)gate->unsent, token_cost(gate));
    return whole > unsent ? whole - unsent : 0;
}

static void clamp(struct gate *gate)
{
    wide most = capacity(gate);
    if (gate->credit > most) {
        gate->credit = most;
    }
}

// Counts the credit from `last` up to `until` at the present scale.
static void refill(struct gate *gate, int64_t until)
{
    if (until <= gate->last) {
        return;
    }
    wide elapsed = (wide)until - (wide)gate->last; // right also when last is negative
    gate->credit = wide_add(gate->credit, wide_mul(elapsed, refill_per_ns(gate)));
    gate->last = until;
    clamp(gate);
}

static void advance(struct gate *gate, int64_t now)
{
    while (gate->scale < GATE_SCALE_FULL && gate->step_at <= now) {
        refill(gate, gate->step_at);
        gate->scale += GATE_SCALE_STEP;
        gate->step_at = saturating_add(gate->step_at, gate_step_ns);
    }
    if (gate->scale > GATE_SCALE_FULL) {
        gate->scale = GATE_SCALE_FULL;
    }
    refill(gate, now);
}

struct gate *gate_create(struct gate_rate rate, int64_t burst, int64_t now)
{
    struct gate *gate = mem_calloc(1, sizeof *gate);
    *gate = (struct gate){
        .rate = {at_least_one(rate.count), at_least_one(rate.per_ns)},
        .burst = at_least_one(burst),
        .scale = GATE_SCALE_FULL,
        .last = now,
    };
    return gate;
}

void gate_destroy(struct gate *gate)
{
    free(gate);
}

void gate_set_share(struct gate *gate, int64_t own_slots, int64_t now)
{
    advance(gate, now);
    gate->own_slots = own_slots < 0 ? 0 : own_slots > GATE_SLOTS ? GATE_SLOTS : own_slots;
    clamp(gate);
}

void gate_set_rate(struct gate *gate, struct gate_rate rate, int64_t burst, int64_t now)
{
    advance(gate, now);
    int64_t per_ns = at_least_one(rate.per_ns);
    // The same tokens in the new parts, rounded down (also when the product saturates).
    gate->credit = wide_div(wide_mul(gate->credit, (wide)per_ns), (wide)gate->rate.per_ns);
    gate->rate = (struct gate_rate){at_least_one(rate.count), per_ns};
    gate->burst = at_least_one(burst);
    clamp(gate);
}

void gate_scale(struct gate *gate, int64_t now)
{
    advance(gate, now);
    int64_t half = gate->scale / 2;
    gate->scale = half < GATE_SCALE_FLOOR ? GATE_SCALE_FLOOR : half;
    gate->step_at = saturating_add(gate->last, gate_step_ns);
}

void gate_set_unsent(struct gate *gate, int64_t unsent, int64_t now)
{
    advance(gate, now);
    gate->unsent = unsent < 0 ? 0 : unsent;
    clamp(gate);
}

bool gate_take(struct gate *gate, int64_t now)
{
    advance(gate, now);
    if (gate->credit < token_cost(gate)) {
        return false;
    }
    gate->credit -= token_cost(gate);
    return true;
}

int64_t gate_tokens(struct gate *gate, int64_t now)
{
    advance(gate, now);
    wide tokens = gate->credit / token_cost(gate);
    return tokens > INT64_MAX ? INT64_MAX : (int64_t)tokens;
}

int64_t gate_wait_ns(struct gate *gate, int64_t now)
{
    advance(gate, now);
    if (capacity(gate) < token_cost(gate)) {
        return INT64_MAX;
    }
    struct gate ahead = *gate; // walks into the future, over the steps of a recovering rate
    while (ahead.credit < token_cost(&ahead)) {
        wide missing = token_cost(&ahead) - ahead.credit;
        wide speed = refill_per_ns(&ahead);
        wide wait = (missing + speed - 1) / speed;
        wide left = (wide)INT64_MAX - (wide)ahead.last; // the end of time
        if (wait > left) {
            wait = left;
        }
        int64_t then = (int64_t)((wide)ahead.last + wait);
        bool step = ahead.scale < GATE_SCALE_FULL && ahead.step_at < then;
        advance(&ahead, step ? ahead.step_at : then);
        if (ahead.last == INT64_MAX) {
            return INT64_MAX;
        }
    }
    // Counted from `now`, not from `last`: where time went backwards it must first come back.
    wide wait = (wide)ahead.last - (wide)now;
    return wait > INT64_MAX ? INT64_MAX : (int64_t)wait;
}

double gate_rate_per_sec(struct gate *gate, int64_t now)
{
    advance(gate, now);
    double configured = (double)gate->rate.count * 1e9 / (double)gate->rate.per_ns;
    double share = (double)gate->own_slots / GATE_SLOTS;
    return configured * share * (double)gate->scale / GATE_SCALE_FULL;
}
