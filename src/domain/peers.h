// The instances of one outbox as this one sees them, and how many of the 64 slots each is due.
//
// An instance lives as long as its count of heartbeats is seen to grow: no clock is compared with
// another machine's. All of them compute the shares from the same list in the same order, so they
// need no talk about it; where their lists differ for a moment only fairness suffers, since who
// owns a slot is for the leases to say.
#ifndef DOMAIN_PEERS_H
#define DOMAIN_PEERS_H

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PEERS_MAX = 128, // more are not looked at
    PEERS_NAME_SIZE = 96,
    PEERS_ALL = 64, // wants: as many slots as there are
};

// One row of a heartbeat's answer; rows come in the order in which the instances started.
struct peer_row {
    struct str id;
    int64_t beats;
    int wants; // at most so many slots
    int64_t lease_ns;
    bool yields; // gets none while one lives that does not: a backfill beside a `run`
};

struct peer {
    char id[PEERS_NAME_SIZE];
    int64_t beats;
    int64_t since_ns; // unchanged since
    int wants;
    int64_t lease_ns;
    bool yields;
};

struct peers {
    int64_t lease_ns; // our own
    size_t count;
    struct peer list[PEERS_MAX];
};

void peers_init(struct peers *peers, int64_t lease_ns);

// The answer to a heartbeat.
void peers_see(struct peers *peers, const struct peer_row *rows, size_t count, int64_t now);

// The longest lease of any: nobody's may be taken sooner, as configurations may differ.
int64_t peers_longest_lease_ns(const struct peers *peers);

// How many slots the instance `self`, which wants `wants`, is due among those that live. Equal
// shares, the first ones of the list one more where they do not come out even. Fewer than
// `min_slots` are no use to anybody: the last ones of the list then stand by, with 0. An instance
// that wants no more than `min_slots` gets so many. If nobody wants all, all are taken to. Those
// that yield count only while all that live do.
int peers_share(const struct peers *peers, struct str self, int wants, int min_slots, int64_t now);

// The others that have not been seen to live for a whole lease, the longer of theirs and ours, to
// be struck off the list.
// Borrowed, until the next peers_see. Returns how many.
size_t peers_gone(const struct peers *peers, struct str self, int64_t now,
                  const struct peer *gone[PEERS_MAX]);

#endif
