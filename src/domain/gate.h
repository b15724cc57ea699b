// The rate gate: a token bucket that lets at most `rate * t + burst` requests through in any window
// of t, counted in whole numbers, so that it neither drifts nor rounds. One request takes one
// token.
//
// An instance owns `own` of 64 slots and gets that part of the rate and of the burst. Tokens start
// at 0, gaining slots adds none, losing slots clamps at once (call it before giving them back): so
// the tokens of all instances together never grow but by `rate`, with no message between them.
// Example: 50/s, burst 10, 32 slots: 25 tokens a second, never more than 5 of them.
//
// A token is taken before its request leaves, which may wait for its connection. Until then the
// bucket counts it as still there (gate_set_unsent): else many that waited together would leave
// together, and a whole burst behind them.
//
// After a throttle gate_scale halves the rate; it comes back by a tenth of the configured rate
// every 10 seconds. Time is a parameter; going backwards it is taken to stand still.
#ifndef DOMAIN_GATE_H
#define DOMAIN_GATE_H

#include <stdbool.h>
#include <stdint.h>

enum { GATE_SLOTS = 64 };

// `count` tokens every `per_ns`: 3000/m is {3000, 60 s}.
struct gate_rate {
    int64_t count;
    int64_t per_ns;
};

struct gate;

// Empty, with no slots: nothing passes before gate_set_share. Numbers below 1 are taken as 1.
struct gate *gate_create(struct gate_rate rate, int64_t burst, int64_t now);
void gate_destroy(struct gate *gate);

// `own_slots` of 64. With fewer than ceil(64 / burst) slots no whole token fits: nothing passes.
void gate_set_share(struct gate *gate, int64_t own_slots, int64_t now);

// Another configured rate or burst; the tokens that are there stay, as far as they fit.
void gate_set_rate(struct gate *gate, struct gate_rate rate, int64_t burst, int64_t now);

// The API throttled: half of the present rate, but never less than 1/50 of the configured one.
void gate_scale(struct gate *gate, int64_t now);

// How many requests, whose tokens were taken, have not left yet. Tell it before each gate_take.
void gate_set_unsent(struct gate *gate, int64_t unsent, int64_t now);

// True: a token was there and is taken.
bool gate_take(struct gate *gate, int64_t now);

// Whole tokens that could be taken now.
int64_t gate_tokens(struct gate *gate, int64_t now);

// How long until gate_take succeeds, rounded up; 0 when it would now, INT64_MAX when never (no
// slots, too few for one whole token, or as many unsent as the burst allows).
int64_t gate_wait_ns(struct gate *gate, int64_t now);

// What this instance may send a second at present, for status and stats.
double gate_rate_per_sec(struct gate *gate, int64_t now);

#endif
