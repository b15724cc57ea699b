// How far the outbox has been read: one place for each slot and priority (a lane), in the order of
// the polling index (due_at, id). Nothing is written when a row is picked up, so these places alone
// keep a poll from walking over what was read before.
//
// Rows become visible late: a transaction that took its due_at may commit after one that took a
// later one. So a place never passes the database's clock less a look-back of 2 s: reading goes on
// beyond it, but the next poll starts there again. What commits later still is found by the sweep,
// which walks the part behind the places page by page.
//
// All times are the database's, in microseconds since 1970.
#ifndef DOMAIN_CURSOR_H
#define DOMAIN_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CURSOR_SLOTS = 64, CURSOR_PRIORITIES = 2, CURSOR_LANES = CURSOR_SLOTS * CURSOR_PRIORITIES };

#define CURSOR_LOOK_BACK_US INT64_C(2000000)

struct cursor_place {
    int64_t due_us; // INT64_MIN: before all
    int64_t id;
};

struct cursor_lane {
    struct cursor_place read;  // everything up to here has been read
    struct cursor_place swept; // and this far the present sweep has come
    bool sweeping;             // this lane's part of the sweep is not done
};

struct cursor {
    struct cursor_lane lanes[CURSOR_LANES];
};

static inline size_t cursor_lane_of(int slot, int priority)
{
    return (size_t)slot * CURSOR_PRIORITIES + (size_t)priority;
}

void cursor_init(struct cursor *cursor);

// Both lanes of the slot start over: it was taken, or something fetched was dropped unsent.
void cursor_reset_slot(struct cursor *cursor, int slot);
void cursor_reset(struct cursor *cursor);

// A poll at the database's time `now_us` read this lane up to `last`; `exhausted`: there was
// nothing behind it. A place ahead of the clock (which was set back) starts over.
void cursor_advance(struct cursor *cursor, size_t lane, int64_t now_us, struct cursor_place last,
                    bool exhausted);

// A sweep begins: every lane from the start up to its place.
void cursor_sweep_begin(struct cursor *cursor);
// The sweep's page of this lane ended at `last`.
void cursor_sweep_advance(struct cursor *cursor, size_t lane, struct cursor_place last,
                          bool exhausted);
bool cursor_sweeping(const struct cursor *cursor);

#endif
