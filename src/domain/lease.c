#include "domain/lease.h"

void lease_init(struct lease *lease, int64_t lease_ns)
{
    *lease = (struct lease){.lease_ns = lease_ns};
    for (int i = 0; i < LEASE_SLOTS; i++) {
        // Unknown until the first answer: held by somebody, seen for no time at all.
        lease->slots[i] = (struct lease_slot){.held = true, .since_ns = INT64_MAX};
    }
}

void lease_drain(struct lease *lease)
{
    for (int i = 0; i < LEASE_SLOTS; i++) {
        lease->slots[i].draining = true;
    }
}

static bool lease_is_takeable(const struct lease *lease, const struct lease_slot *slot, int64_t now)
{
    if (slot->mine || slot->draining || slot->since_ns > now) {
        return false;
    }
    return !slot->held || now - slot->since_ns >= lease->lease_ns;
}

void lease_plan(const struct lease *lease, const bool busy[LEASE_SLOTS], int64_t now,
                struct lease_wish *wish)
{
    *wish = (struct lease_wish){.keep_count = 0};
    for (int i = 0; i < LEASE_SLOTS; i++) {
        const struct lease_slot *slot = &lease->slots[i];
        if (slot->mine && slot->draining && !busy[i]) {
            wish->give[wish->give_count++] = i;
        } else if (slot->mine) {
            wish->keep[wish->keep_count++] = i;
        } else if (lease_is_takeable(lease, slot, now)) {
            wish->take[wish->take_count++] = i;
        }
    }
}

static bool lease_has(const int *slots, size_t count, int slot)
{
    for (size_t i = 0; i < count; i++) {
        if (slots[i] == slot) {
            return true;
        }
    }
    return false;
}

static void lease_see(struct lease_slot *slot, const struct lease_row *row, struct str self,
                      int64_t now)
{
    bool held = row->holder.len > 0 && !str_equal(row->holder, self);
    if (slot->since_ns == INT64_MAX || held != slot->held || row->epoch != slot->seen_epoch ||
        row->renewals != slot->seen_renewals) {
        slot->since_ns = now;
    }
    slot->held = held;
    slot->seen_epoch = row->epoch;
    slot->seen_renewals = row->renewals;
}

// Whether the row shows a taking that is new since the last answer. It need not be this
// heartbeat's: one whose answer was lost may have done it before, and another may have watched the
// slot since.
static bool lease_is_taken(const struct lease *lease, const struct lease_wish *wish,
                           const struct lease_slot *slot, const struct lease_row *row, int64_t now)
{
    return !slot->mine && row->epoch != slot->seen_epoch &&
           lease_has(wish->take, wish->take_count, row->slot) &&
           now - lease->answered_ns < lease->lease_ns;
}

static void lease_apply_row(struct lease *lease, const struct lease_wish *wish,
                            const struct lease_row *row, struct str self, int64_t asked_ns,
                            int64_t now, struct lease_change *change)
{
    struct lease_slot *slot = &lease->slots[row->slot];
    bool ours = str_equal(row->holder, self);
    if (slot->mine && ours && row->epoch == slot->epoch) {
        // Renewed only if this heartbeat asked for it.
        if (lease_has(wish->keep, wish->keep_count, row->slot)) {
            slot->deadline_ns = asked_ns + lease->lease_ns;
        }
    } else if (lease_is_taken(lease, wish, slot, row, now) && ours) {
        slot->mine = true;
        slot->epoch = row->epoch;
        slot->deadline_ns = lease->answered_ns + lease->lease_ns;
        change->acquired[change->acquired_count++] = row->slot;
    } else if (slot->mine && lease_has(wish->give, wish->give_count, row->slot)) {
        slot->mine = false;
        change->released[change->released_count++] = row->slot;
    } else if (slot->mine) {
        slot->mine = false;
        change->lost[change->lost_count++] = row->slot;
    }
}

void lease_apply(struct lease *lease, const struct lease_wish *wish, const struct lease_row *rows,
                 size_t count, struct str self, int64_t asked_ns, int64_t now,
                 struct lease_change *change)
{
    *change = (struct lease_change){.acquired_count = 0};
    for (size_t i = 0; i < count; i++) {
        if (rows[i].slot >= 0 && rows[i].slot < LEASE_SLOTS) {
            lease_apply_row(lease, wish, &rows[i], self, asked_ns, now, change);
            lease_see(&lease->slots[rows[i].slot], &rows[i], self, now);
        }
    }
    lease->answered_ns = asked_ns;
}

void lease_expire(struct lease *lease, int64_t now, struct lease_change *change)
{
    *change = (struct lease_change){.acquired_count = 0};
    for (int i = 0; i < LEASE_SLOTS; i++) {
        struct lease_slot *slot = &lease->slots[i];
        if (slot->mine && now >= slot->deadline_ns) {
            slot->mine = false;
            change->lost[change->lost_count++] = i;
        }
    }
}

size_t lease_held(const struct lease *lease)
{
    size_t count = 0;
    for (int i = 0; i < LEASE_SLOTS; i++) {
        count += lease->slots[i].mine;
    }
    return count;
}
