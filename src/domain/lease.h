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
//
// A slot that is due to another drains: nothing begins in it any more, and once nothing of it is in
// flight it is given back. It is ours no longer from before the heartbeat that gives it back is
// sent, whatever becomes of that heartbeat.
//
// A failover may have lost grants. The first heartbeat on another server, or line of its history,
// has each free slot held by nobody, so that it too is taken after a full lease; and what was seen
// before counts for nothing.
#ifndef DOMAIN_LEASE_H
#define DOMAIN_LEASE_H

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LEASE_SLOTS = 64 };

struct lease_slot {
    bool mine;
    bool draining;       // mine, but nothing begins in it: to be given back
    int64_t epoch;       // of our holding; what settling is fenced by
    int64_t deadline_ns; // ours until then, if mine
    int64_t floor_id;    // rows up to this id were there when it was taken
    // As last seen in the database:
    bool held;   // by another
    bool listed; // by us
    int64_t seen_epoch;
    int64_t seen_renewals;
    int64_t since_ns; // unchanged since
};

struct lease {
    int64_t lease_ns;
    int64_t longest_ns;  // of all instances': how long another's slot is watched before it is taken
    int64_t answered_ns; // when the last heartbeat that was answered was asked
    int64_t wary_until_ns; // what is ours in the database alone is left alone until then
    bool leaving;
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

// What changed for us.
struct lease_change {
    int acquired[LEASE_SLOTS];
    size_t acquired_count;
    int lost[LEASE_SLOTS]; // another holds them now, or may
    size_t lost_count;
    int drained[LEASE_SLOTS]; // nothing may begin in them any more
    size_t drained_count;
    int released[LEASE_SLOTS]; // given back
    size_t released_count;
};

void lease_init(struct lease *lease, int64_t lease_ns);

// All slots are to be given back: the instance stops.
void lease_drain(struct lease *lease);

// The longest lease of any instance that is known, if it is longer than ours.
void lease_on_peers(struct lease *lease, int64_t longest_ns);

// The connection is to another server, or to another line of its history, than the one before.
// Before the first heartbeat on it.
void lease_on_new_history(struct lease *lease, int64_t now);

// How many slots to want. A pool that has been closed for longer than a lease wants none, but to
// have something to probe with when its probe is due: then `min_slots`.
int lease_wants(const struct lease *lease, int64_t closed_ns, bool probe_due, int min_slots);

// What to ask for when `share` slots are due to us. `busy` says, slot by slot, whether something of
// it is in flight: then it is not given back yet. What it gives back is ours no longer.
void lease_plan(struct lease *lease, int share, const bool busy[LEASE_SLOTS], int64_t now,
                struct lease_wish *wish, struct lease_change *change);

// The answer to a heartbeat asked at `asked_ns` by the instance called `self`.
void lease_apply(struct lease *lease, const struct lease_wish *wish, const struct lease_row *rows,
                 size_t count, struct str self, int64_t asked_ns, int64_t now,
                 struct lease_change *change);

// Slots whose deadline has passed: no longer ours, whatever the database says.
void lease_expire(struct lease *lease, int64_t now, struct lease_change *change);

// The earliest deadline of our slots; INT64_MAX: there are none.
int64_t lease_deadline_ns(const struct lease *lease);

// When, at the earliest, another's slot may be taken if it is not renewed; INT64_MAX: never.
int64_t lease_next_ns(const struct lease *lease);

size_t lease_held(const struct lease *lease);
// Still to be given back by one that leaves: ours, or ours in the database alone.
size_t lease_owed(const struct lease *lease, int64_t now);
// Whether something may begin in a slot; how long it lasts is for its deadline to say.
bool lease_is_usable(const struct lease *lease, int slot);

#endif
