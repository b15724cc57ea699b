// Which slots this instance holds, and until when. Pure: it decides what the next heartbeat asks
// for and reads what it answered; the database only compares and sets.
//
// No two clocks are ever compared. An owner's deadline counts on its own clock from before it
// asked. A taker may take another's slot only after it has itself seen that slot's renewal counter
// unchanged for a full lease on its own clock. A slot that was given back is free at once.
//
// An answer can be lost: then the database has a slot as ours since some time that we do not know.
// So the deadline of a slot just taken counts from the last heartbeat that did not yet show the
// taking, and a slot that is ours in the database alone is taken anew.
#ifndef DOMAIN_LEASE_H
#define DOMAIN_LEASE_H

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LEASE_SLOTS = 64 };

struct lease_slot {
    bool mine;
    bool draining;       // to be given back once nothing of it is in flight
    int64_t epoch;       // of our holding; what settling is fenced by
    int64_t deadline_ns; // ours until then, if mine
    int64_t floor_id;    // rows up to this id were there when it was taken
    // As last seen in the database:
    bool held; // by another
    int64_t seen_epoch;
    int64_t seen_renewals;
    int64_t since_ns; // unchanged since
};

struct lease {
    int64_t lease_ns;
    int64_t answered_ns; // when the last heartbeat that was answered was asked
    struct lease_slot slots[LEASE_SLOTS];
};

// What a heartbeat asks for; slots in ascending order.
struct lease_wish {
    int keep[LEASE_SLOTS];
    size_t keep_count;
    int take[LEASE_SLOTS];
    size_t take_count;
    int give[LEASE_SLOTS];
    size_t give_count;
};

// One row of its answer.
struct lease_row {
    int slot;
    struct str holder; // empty: free
    int64_t epoch;
    int64_t renewals;
};

// What it changed for us.
struct lease_change {
    int acquired[LEASE_SLOTS];
    size_t acquired_count;
    int lost[LEASE_SLOTS]; // another holds them now
    size_t lost_count;
    int released[LEASE_SLOTS]; // given back
    size_t released_count;
};

void lease_init(struct lease *lease, int64_t lease_ns);

// All slots are to be given back: the instance stops.
void lease_drain(struct lease *lease);

// `busy` says, slot by slot, whether something of it is in flight: then it is not given back yet.
void lease_plan(const struct lease *lease, const bool busy[LEASE_SLOTS], int64_t now,
                struct lease_wish *wish);

// The answer to a heartbeat asked at `asked_ns` by the instance called `self`.
void lease_apply(struct lease *lease, const struct lease_wish *wish, const struct lease_row *rows,
                 size_t count, struct str self, int64_t asked_ns, int64_t now,
                 struct lease_change *change);

// Slots whose deadline has passed: no longer ours, whatever the database says.
void lease_expire(struct lease *lease, int64_t now, struct lease_change *change);

size_t lease_held(const struct lease *lease);

#endif
