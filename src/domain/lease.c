#include "domain/lease.h"

void lease_init(struct lease *lease, int64_t lease_ns)
{
    *lease = (struct lease){.lease_ns = lease_ns, .longest_ns = lease_ns};
    for (int i = 0; i < LEASE_SLOTS; i++) {
        // Unknown until the first answer: held by somebody, seen for no time at all.
        lease->slots[i] = (struct lease_slot){.held = true, .since_ns = INT64_MAX};
    }
}

void lease_drain(struct lease *lease)
{
    lease->leaving = true;
}

void lease_on_peers(struct lease *lease, int64_t longest_ns)
{
    lease->longest_ns = longest_ns > lease->lease_ns ? longest_ns : lease->lease_ns;
}

// ---- the server ----------------------------------------------------------------------------

void lease_on_new_history(struct lease *lease, int64_t now)
{
    lease->wary_until_ns = now + lease->longest_ns;
    for (int i = 0; i < LEASE_SLOTS; i++) {
        struct lease_slot *slot = &lease->slots[i];
        if (!slot->mine) { // unknown, as in the beginning
            slot->held = true;
            slot->listed = false;
            slot->since_ns = INT64_MAX;
        }
    }
}

// ---- planning ------------------------------------------------------------------------------

int lease_wants(const struct lease *lease, int64_t closed_ns, bool probe_due, int min_slots)
{
    if (lease->leaving) {
        return 0;
    }
    if (closed_ns <= lease->lease_ns) {
        return LEASE_SLOTS;
    }
    return probe_due ? min_slots : 0;
}

// Ours in the database alone, which a failover may have set back: we may have given it back, and
// another may have taken it.
static bool lease_is_dubious(const struct lease *lease, const struct lease_slot *slot, int64_t now)
{
    return slot->listed && now < lease->wary_until_ns;
}

static bool lease_is_takeable(const struct lease *lease, const struct lease_slot *slot, int64_t now)
{
    if (slot->mine || slot->since_ns > now || lease_is_dubious(lease, slot, now)) {
        return false;
    }
    return !slot->held || now - slot->since_ns >= lease->longest_ns;
}

// Marks up to `surplus` slots to drain, those that are busy or those that are not. Returns how many
// are still too many.
static int lease_mark(struct lease *lease, int surplus, const bool busy[LEASE_SLOTS], bool which,
                      struct lease_change *change)
{
    for (int i = LEASE_SLOTS - 1; i >= 0 && surplus > 0; i--) {
        if (lease_is_usable(lease, i) && busy[i] == which) {
            lease->slots[i].draining = true;
            change->drained[change->drained_count++] = i;
            surplus--;
        }
    }
    return surplus;
}

// Idle slots first: they can go at once.
static void lease_mark_surplus(struct lease *lease, int share, const bool busy[LEASE_SLOTS],
                               struct lease_change *change)
{
    int surplus = -share;
    for (int i = 0; i < LEASE_SLOTS; i++) {
        surplus += lease_is_usable(lease, i);
    }
    surplus = lease_mark(lease, surplus, busy, false, change);
    (void)lease_mark(lease, surplus, busy, true, change);
}

void lease_plan(struct lease *lease, int share, const bool busy[LEASE_SLOTS], int64_t now,
                struct lease_wish *wish, struct lease_change *change)
{
    *wish = (struct lease_wish){.keep_count = 0};
    *change = (struct lease_change){.acquired_count = 0};
    share = lease->leaving ? 0 : share;
    lease_mark_surplus(lease, share, busy, change);
    int missing = share - (int)lease_held(lease);
    for (int i = 0; i < LEASE_SLOTS; i++) {
        struct lease_slot *slot = &lease->slots[i];
        if (slot->mine && slot->draining && !busy[i]) {
            slot->mine = false;
            change->released[change->released_count++] = i;
            wish->give[wish->give_count++] = i;
        } else if (slot->mine) {
            wish->keep[wish->keep_count++] = i;
        } else if (missing > 0 && lease_is_takeable(lease, slot, now)) {
            missing--;
            wish->take[wish->take_count++] = i;
        } else if (missing <= 0 && slot->listed && !busy[i] &&
                   !lease_is_dubious(lease, slot, now)) {
            wish->give[wish->give_count++] = i; // a give that was lost, or what ran out
        }
    }
}

// ---- answers -------------------------------------------------------------------------------

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
    slot->listed = row->holder.len > 0 && !held;
    slot->seen_epoch = row->epoch;
    slot->seen_renewals = row->renewals;
}

// Whether the row shows a taking that is new since the last answer. It need not be this
// heartbeat's: one whose answer was lost may have done it before, and another may have watched the
// slot since.
static bool lease_is_taken(const struct lease *lease, const struct lease_wish *wish,
                           const struct lease_slot *slot, const struct lease_row *row, int64_t now)
{
    return !slot->mine && row->epoch > slot->seen_epoch &&
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
        slot->draining = false;
        slot->epoch = row->epoch;
        slot->deadline_ns = lease->answered_ns + lease->lease_ns;
        change->acquired[change->acquired_count++] = row->slot;
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

int64_t lease_deadline_ns(const struct lease *lease)
{
    int64_t deadline_ns = INT64_MAX;
    for (int i = 0; i < LEASE_SLOTS; i++) {
        const struct lease_slot *slot = &lease->slots[i];
        if (slot->mine && slot->deadline_ns < deadline_ns) {
            deadline_ns = slot->deadline_ns;
        }
    }
    return deadline_ns;
}

int64_t lease_next_ns(const struct lease *lease)
{
    int64_t next_ns = INT64_MAX;
    for (int i = 0; i < LEASE_SLOTS; i++) {
        const struct lease_slot *slot = &lease->slots[i];
        if (!slot->mine && slot->held && slot->since_ns != INT64_MAX &&
            slot->since_ns + lease->longest_ns < next_ns) {
            next_ns = slot->since_ns + lease->longest_ns;
        }
    }
    return next_ns;
}

size_t lease_held(const struct lease *lease)
{
    size_t count = 0;
    for (int i = 0; i < LEASE_SLOTS; i++) {
        count += lease->slots[i].mine;
    }
    return count;
}

size_t lease_owed(const struct lease *lease, int64_t now)
{
    size_t count = 0;
    for (int i = 0; i < LEASE_SLOTS; i++) {
        const struct lease_slot *slot = &lease->slots[i];
        count += slot->mine || (slot->listed && !lease_is_dubious(lease, slot, now));
    }
    return count;
}

bool lease_is_usable(const struct lease *lease, int slot)
{
    return lease->slots[slot].mine && !lease->slots[slot].draining;
}
