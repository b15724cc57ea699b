#include "domain/lease.h"
#include "suite.h"

#include <check.h>
#include <stdio.h>

#define SEC INT64_C(1000000000)
#define LEASE (30 * SEC)

static const bool idle[LEASE_SLOTS];

static struct str name_of(const char *name)
{
    return str_of(name);
}

static void start(struct lease *lease)
{
    lease_init(lease, LEASE);
}

static struct lease_wish plan_share(struct lease *lease, int share, int64_t now)
{
    struct lease_wish wish;
    struct lease_change change;
    lease_plan(lease, share, idle, now, &wish, &change);
    return wish;
}

// All slots are due to us.
static struct lease_wish plan(struct lease *lease, int64_t now)
{
    return plan_share(lease, LEASE_SLOTS, now);
}

// A heartbeat of "me" asked and answered at `now`, with one row.
static struct lease_change beat(struct lease *lease, int64_t now, struct lease_row row)
{
    struct lease_wish wish = plan(lease, now);
    struct lease_change change;
    lease_apply(lease, &wish, &row, 1, STR("me"), now, now, &change);
    return change;
}

static struct lease_row row_of(int slot, const char *holder, int64_t epoch, int64_t renewals)
{
    return (struct lease_row){slot, name_of(holder), epoch, renewals};
}

// Slot 0 was free at 0 s and is ours, asked for at 1 s.
static struct lease *must_hold(void)
{
    static struct lease lease;
    start(&lease);
    beat(&lease, 0, row_of(0, NULL, 4, 9));
    struct lease_change change = beat(&lease, SEC, row_of(0, "me", 5, 10));
    ck_assert_uint_eq(change.acquired_count, 1);
    return &lease;
}

START_TEST(asks_for_nothing_before_it_has_looked)
{
    struct lease lease;
    start(&lease);
    struct lease_wish wish = plan(&lease, 1000 * LEASE);
    ck_assert_uint_eq(wish.keep_count + wish.take_count + wish.give_count, 0);
    ck_assert_uint_eq(lease_held(&lease), 0);
}
END_TEST

START_TEST(takes_a_free_slot_at_once)
{
    struct lease lease;
    start(&lease);
    struct lease_row rows[LEASE_SLOTS];
    for (int i = 0; i < LEASE_SLOTS; i++) {
        rows[i] = row_of(i, NULL, 4, 9);
    }
    struct lease_wish wish = plan(&lease, 0);
    struct lease_change change;
    lease_apply(&lease, &wish, rows, LEASE_SLOTS, STR("me"), 0, 0, &change);
    ck_assert_uint_eq(change.acquired_count, 0);
    wish = plan(&lease, 0);
    ck_assert_uint_eq(wish.take_count, LEASE_SLOTS);
    for (int i = 0; i < LEASE_SLOTS; i++) {
        ck_assert_int_eq(wish.take[i], i);
        ck_assert_int_eq(lease.slots[i].seen_epoch, 4); // what the database compares with
        ck_assert_int_eq(lease.slots[i].seen_renewals, 9);
        rows[i] = row_of(i, i % 2 == 0 ? "me" : "other", 5, 10);
    }
    lease_apply(&lease, &wish, rows, LEASE_SLOTS, STR("me"), SEC, 2 * SEC, &change);
    ck_assert_uint_eq(change.acquired_count, LEASE_SLOTS / 2);
    ck_assert_uint_eq(lease_held(&lease), LEASE_SLOTS / 2);
    ck_assert_int_eq(change.acquired[1], 2);
    ck_assert_int_eq(lease.slots[2].epoch, 5);
    ck_assert(lease.slots[2].mine && !lease.slots[3].mine);
}
END_TEST

START_TEST(deadline_counts_from_before_asking)
{
    struct lease *lease = must_hold();
    ck_assert_int_eq(lease->slots[0].deadline_ns, LEASE); // the last look that saw it free: 0 s
    struct lease_wish wish = plan(lease, 5 * SEC);
    ck_assert_uint_eq(wish.keep_count, 1);
    const struct lease_row row = row_of(0, "me", 5, 11);
    struct lease_change change;
    lease_apply(lease, &wish, &row, 1, STR("me"), 5 * SEC, 25 * SEC, &change);
    ck_assert_int_eq(lease->slots[0].deadline_ns, 5 * SEC + LEASE);
    ck_assert_uint_eq(change.acquired_count + change.lost_count + change.released_count, 0);
}
END_TEST

START_TEST(a_heartbeat_that_did_not_ask_to_keep_renews_nothing)
{
    struct lease *lease = must_hold();
    int64_t deadline = lease->slots[0].deadline_ns;
    const struct lease_wish none = {.keep_count = 0};
    const struct lease_row row = row_of(0, "me", 5, 10);
    struct lease_change change;
    lease_apply(lease, &none, &row, 1, STR("me"), 20 * SEC, 20 * SEC, &change);
    ck_assert_int_eq(lease->slots[0].deadline_ns, deadline);
    ck_assert(lease->slots[0].mine);
}
END_TEST

START_TEST(a_slot_is_ours_until_its_deadline_and_not_then)
{
    struct lease *lease = must_hold();
    struct lease_change change;
    lease_expire(lease, LEASE - 1, &change);
    ck_assert_uint_eq(change.lost_count, 0);
    ck_assert_uint_eq(lease_held(lease), 1);
    lease_expire(lease, LEASE, &change);
    ck_assert_uint_eq(change.lost_count, 1);
    ck_assert_int_eq(change.lost[0], 0);
    ck_assert_uint_eq(lease_held(lease), 0);
    lease_expire(lease, LEASE, &change); // told once
    ck_assert_uint_eq(change.lost_count, 0);
}
END_TEST

START_TEST(a_late_renewal_does_not_bring_an_expired_slot_back)
{
    struct lease *lease = must_hold();
    struct lease_wish wish = plan(lease, 29 * SEC);
    struct lease_change change;
    lease_expire(lease, LEASE, &change);
    const struct lease_row row = row_of(0, "me", 5, 11);
    lease_apply(lease, &wish, &row, 1, STR("me"), 29 * SEC, 31 * SEC, &change);
    ck_assert_uint_eq(change.acquired_count, 0);
    ck_assert_uint_eq(lease_held(lease), 0);
}
END_TEST

START_TEST(a_slot_that_is_ours_in_the_database_alone_is_taken_anew)
{
    struct lease *lease = must_hold();
    struct lease_change change;
    lease_expire(lease, 100 * SEC, &change);
    change = beat(lease, 100 * SEC, row_of(0, "me", 6, 11)); // long since the last look
    ck_assert_uint_eq(change.acquired_count, 0);
    change = beat(lease, 101 * SEC, row_of(0, "me", 7, 12));
    ck_assert_uint_eq(change.acquired_count, 1);
    ck_assert_int_eq(lease->slots[0].epoch, 7);
    ck_assert_int_eq(lease->slots[0].deadline_ns, 100 * SEC + LEASE);
}
END_TEST

START_TEST(a_lost_answer_to_a_taking_makes_no_longer_lease)
{
    // Asked at 1 s and carried out, but the answer was lost; another watches since 2 s, and may
    // take the slot at 32 s. The heartbeat of 10 s changes nothing in the database.
    struct lease lease;
    start(&lease);
    beat(&lease, 0, row_of(0, NULL, 4, 9));
    (void)plan(&lease, SEC);
    struct lease_change change = beat(&lease, 10 * SEC, row_of(0, "me", 5, 10));
    ck_assert_uint_eq(change.acquired_count, 1);
    ck_assert_int_le(lease.slots[0].deadline_ns, SEC + LEASE);
}
END_TEST

START_TEST(a_look_counts_from_when_it_was_asked)
{
    // A taking on its way may have been carried out while the answer that it was free was coming.
    struct lease lease;
    start(&lease);
    struct lease_wish wish = plan(&lease, 10 * SEC);
    const struct lease_row row = row_of(0, NULL, 4, 9);
    struct lease_change change;
    lease_apply(&lease, &wish, &row, 1, STR("me"), 10 * SEC, 13 * SEC, &change);
    change = beat(&lease, 14 * SEC, row_of(0, "me", 5, 10));
    ck_assert_uint_eq(change.acquired_count, 1);
    ck_assert_int_eq(lease.slots[0].deadline_ns, 10 * SEC + LEASE);
}
END_TEST

START_TEST(a_taking_that_did_not_happen_is_no_lease)
{
    // Ours in the database alone, and the row was locked when it was to be taken anew.
    struct lease *lease = must_hold();
    struct lease_change change;
    lease_expire(lease, 40 * SEC, &change);
    beat(lease, 40 * SEC, row_of(0, "me", 5, 10));
    struct lease_wish wish = plan(lease, 41 * SEC);
    ck_assert_uint_eq(wish.take_count, 1);
    change = beat(lease, 41 * SEC, row_of(0, "me", 5, 10));
    ck_assert_uint_eq(change.acquired_count, 0);
    ck_assert_uint_eq(lease_held(lease), 0);
}
END_TEST

START_TEST(anothers_slot_is_taken_only_after_a_full_lease_unchanged)
{
    struct lease lease;
    start(&lease);
    struct lease_wish wish = plan(&lease, 0);
    struct lease_row row = row_of(0, "other", 4, 9);
    struct lease_change change;
    // Seen for sure only when the answer is here, not when it was asked.
    lease_apply(&lease, &wish, &row, 1, STR("me"), 0, 2 * SEC, &change);
    ck_assert_uint_eq(plan(&lease, 2 * SEC + LEASE - 1).take_count, 0);
    ck_assert_uint_eq(plan(&lease, 2 * SEC + LEASE).take_count, 1);
    beat(&lease, 20 * SEC, row); // seen again, unchanged
    ck_assert_uint_eq(plan(&lease, 2 * SEC + LEASE).take_count, 1);
}
END_TEST

START_TEST(the_longest_lease_of_all_is_waited_for)
{
    struct lease lease;
    start(&lease);
    beat(&lease, 0, row_of(0, "other", 4, 9));
    lease_on_peers(&lease, 2 * LEASE);
    ck_assert_uint_eq(plan(&lease, 2 * LEASE - 1).take_count, 0);
    ck_assert_int_eq(lease_next_ns(&lease), 2 * LEASE);
    ck_assert_uint_eq(plan(&lease, 2 * LEASE).take_count, 1);
    lease_on_peers(&lease, SEC); // never shorter than ours
    ck_assert_uint_eq(plan(&lease, LEASE - 1).take_count, 0);
    ck_assert_uint_eq(plan(&lease, LEASE).take_count, 1);
}
END_TEST

START_TEST(every_change_seen_begins_the_wait_anew)
{
    const struct lease_row changed[] = {
        row_of(0, "other", 4, 10), // renewed
        row_of(0, "other", 5, 9),  // taken
        row_of(0, "other", 3, 9),  // a restored database
    };
    for (size_t i = 0; i < sizeof changed / sizeof changed[0]; i++) {
        struct lease lease;
        start(&lease);
        beat(&lease, 0, row_of(0, "other", 4, 9));
        beat(&lease, 20 * SEC, changed[i]);
        ck_assert_uint_eq(plan(&lease, 20 * SEC + LEASE - 1).take_count, 0);
        ck_assert_uint_eq(plan(&lease, 20 * SEC + LEASE).take_count, 1);
    }
}
END_TEST

START_TEST(a_slot_given_back_is_free_at_once_and_held_again_is_not)
{
    struct lease lease;
    start(&lease);
    beat(&lease, 0, row_of(0, "other", 4, 9));
    beat(&lease, SEC, row_of(0, NULL, 4, 9)); // giving back changes no number
    ck_assert_uint_eq(plan(&lease, SEC).take_count, 1);
    beat(&lease, 2 * SEC, row_of(0, "third", 5, 10));
    ck_assert_uint_eq(plan(&lease, 2 * SEC + LEASE - 1).take_count, 0);
}
END_TEST

START_TEST(what_another_holds_in_the_answer_is_lost)
{
    struct lease *lease = must_hold();
    struct lease_change change = beat(lease, 5 * SEC, row_of(0, "other", 6, 11));
    ck_assert_uint_eq(change.lost_count, 1);
    ck_assert_int_eq(change.lost[0], 0);
    ck_assert_uint_eq(lease_held(lease), 0);
    lease = must_hold();
    change = beat(lease, 5 * SEC, row_of(0, "me", 7, 12)); // another epoch is another holding
    ck_assert_uint_eq(change.lost_count, 1);
}
END_TEST

START_TEST(a_name_is_compared_whole)
{
    struct lease *lease = must_hold();
    struct lease_change change = beat(lease, 5 * SEC, row_of(0, "me2", 5, 11));
    ck_assert_uint_eq(change.lost_count, 1);
}
END_TEST

START_TEST(rows_of_slots_that_do_not_exist_are_left_out)
{
    struct lease lease;
    start(&lease);
    beat(&lease, 0, row_of(-1, NULL, 1, 1));
    beat(&lease, 0, row_of(LEASE_SLOTS, NULL, 1, 1));
    ck_assert_uint_eq(plan(&lease, 0).take_count, 0);
}
END_TEST

// Slots 0 to `count - 1` are ours, asked for at 1 s.
static void hold(struct lease *lease, int count)
{
    struct lease_row rows[LEASE_SLOTS];
    struct lease_change change;
    start(lease);
    for (int i = 0; i < count; i++) {
        rows[i] = row_of(i, NULL, 4, 9);
    }
    struct lease_wish wish = plan(lease, 0);
    lease_apply(lease, &wish, rows, (size_t)count, STR("me"), 0, 0, &change);
    wish = plan(lease, SEC);
    for (int i = 0; i < count; i++) {
        rows[i] = row_of(i, "me", 5, 10);
    }
    lease_apply(lease, &wish, rows, (size_t)count, STR("me"), SEC, SEC, &change);
    ck_assert_uint_eq(lease_held(lease), (size_t)count);
}

START_TEST(takes_no_more_than_its_share)
{
    struct lease lease;
    start(&lease);
    beat(&lease, 0, row_of(0, NULL, 4, 9));
    beat(&lease, 0, row_of(1, NULL, 4, 9));
    beat(&lease, 0, row_of(2, NULL, 4, 9));
    ck_assert_uint_eq(plan_share(&lease, 2, SEC).take_count, 2);
    ck_assert_uint_eq(plan_share(&lease, 0, SEC).take_count, 0);
}
END_TEST

START_TEST(what_is_too_much_is_given_back_idle_slots_first)
{
    struct lease lease;
    hold(&lease, 4);
    bool busy[LEASE_SLOTS] = {false, false, false, true};
    struct lease_wish wish;
    struct lease_change change;
    lease_plan(&lease, 2, busy, 2 * SEC, &wish, &change);
    ck_assert_uint_eq(wish.give_count, 2);
    ck_assert_int_eq(wish.give[0], 1);
    ck_assert_int_eq(wish.give[1], 2);
    ck_assert_uint_eq(wish.keep_count, 2);
    ck_assert_uint_eq(change.released_count, 2);
    ck_assert_uint_eq(lease_held(&lease), 2); // before the heartbeat is even sent
    ck_assert(!lease_is_usable(&lease, 1) && lease_is_usable(&lease, 3));
}
END_TEST

START_TEST(a_busy_slot_drains_before_it_is_given_back)
{
    struct lease lease;
    hold(&lease, 2);
    const bool busy[LEASE_SLOTS] = {true, true};
    struct lease_wish wish;
    struct lease_change change;
    lease_plan(&lease, 1, busy, 2 * SEC, &wish, &change);
    ck_assert_uint_eq(change.drained_count, 1);
    ck_assert_int_eq(change.drained[0], 1);
    ck_assert_uint_eq(wish.give_count, 0);
    ck_assert_uint_eq(wish.keep_count, 2); // renewed while it drains
    ck_assert(lease.slots[1].mine && !lease_is_usable(&lease, 1));
    lease_plan(&lease, 1, busy, 3 * SEC, &wish, &change);
    ck_assert_uint_eq(change.drained_count, 0); // told once, and one is enough
    wish = plan_share(&lease, 1, 4 * SEC);
    ck_assert_uint_eq(wish.give_count, 1);
    ck_assert_int_eq(wish.give[0], 1);
}
END_TEST

START_TEST(a_slot_given_back_may_be_taken_again)
{
    struct lease lease;
    hold(&lease, 1);
    struct lease_wish wish = plan_share(&lease, 0, 2 * SEC);
    ck_assert_uint_eq(wish.give_count, 1);
    struct lease_change change;
    const struct lease_row row = row_of(0, NULL, 5, 10);
    lease_apply(&lease, &wish, &row, 1, STR("me"), 2 * SEC, 2 * SEC, &change);
    ck_assert_uint_eq(change.released_count + change.lost_count, 0); // said when it was planned
    ck_assert_uint_eq(lease_owed(&lease, 100 * SEC), 0);
    change = beat(&lease, 3 * SEC, row_of(0, "me", 6, 11));
    ck_assert_uint_eq(change.acquired_count, 1);
    ck_assert(lease_is_usable(&lease, 0));
}
END_TEST

START_TEST(a_give_that_was_lost_is_given_again_and_never_used)
{
    struct lease lease;
    hold(&lease, 1);
    (void)plan_share(&lease, 0, 2 * SEC); // and no answer comes
    ck_assert_uint_eq(lease_held(&lease), 0);
    ck_assert_uint_eq(lease_owed(&lease, 100 * SEC), 1);
    struct lease_wish wish = plan_share(&lease, 0, 3 * SEC);
    ck_assert_uint_eq(wish.give_count, 1);
    ck_assert_int_eq(lease.slots[wish.give[0]].seen_epoch, 5);
    // Due to us again: only by taking it anew, since another may have it.
    wish = plan_share(&lease, 1, 4 * SEC);
    ck_assert_uint_eq(wish.keep_count, 0);
    ck_assert_uint_eq(wish.take_count, 1);
}
END_TEST

START_TEST(leaving_gives_everything_back_once_it_is_idle)
{
    struct lease lease;
    hold(&lease, 2);
    beat(&lease, 2 * SEC, row_of(2, NULL, 4, 9));
    lease_drain(&lease);
    ck_assert_int_eq(lease_wants(&lease, 0, false, 7), 0);
    const bool busy[LEASE_SLOTS] = {true};
    struct lease_wish wish;
    struct lease_change change;
    lease_plan(&lease, LEASE_SLOTS, busy, 3 * SEC, &wish, &change);
    ck_assert_uint_eq(wish.keep_count, 1);
    ck_assert_uint_eq(wish.give_count, 1);
    ck_assert_uint_eq(wish.take_count, 0); // slot 2 is free
    const struct lease_row kept = row_of(0, "me", 5, 11);
    lease_apply(&lease, &wish, &kept, 1, STR("me"), 3 * SEC, 3 * SEC, &change);
    ck_assert_int_eq(lease.slots[0].deadline_ns, 3 * SEC + LEASE);
    wish = plan(&lease, 4 * SEC);
    ck_assert_int_eq(wish.give[0], 0);
    ck_assert_uint_eq(lease_held(&lease), 0);
}
END_TEST

START_TEST(a_slot_taken_while_the_drain_began_is_given_back)
{
    struct lease lease;
    start(&lease);
    beat(&lease, 0, row_of(0, NULL, 4, 9));
    struct lease_wish wish = plan(&lease, SEC);
    lease_drain(&lease);
    const struct lease_row row = row_of(0, "me", 5, 10);
    struct lease_change change;
    lease_apply(&lease, &wish, &row, 1, STR("me"), SEC, SEC, &change);
    ck_assert_uint_eq(plan(&lease, 2 * SEC).give_count, 1);
}
END_TEST

START_TEST(a_closed_pool_wants_nothing_after_a_lease_but_to_probe)
{
    struct lease lease;
    start(&lease);
    ck_assert_int_eq(lease_wants(&lease, 0, false, 7), LEASE_SLOTS);
    ck_assert_int_eq(lease_wants(&lease, LEASE, true, 7), LEASE_SLOTS);
    ck_assert_int_eq(lease_wants(&lease, LEASE + 1, false, 7), 0);
    ck_assert_int_eq(lease_wants(&lease, LEASE + 1, true, 7), 7);
}
END_TEST

START_TEST(on_a_new_history_what_was_seen_before_counts_for_nothing)
{
    struct lease lease;
    hold(&lease, 1);
    beat(&lease, 2 * SEC, row_of(1, NULL, 4, 9));
    beat(&lease, 2 * SEC, row_of(2, "other", 4, 9));
    lease_on_new_history(&lease, 20 * SEC);
    ck_assert(lease_is_usable(&lease, 0)); // for its row to say
    ck_assert_uint_eq(plan(&lease, 20 * SEC + 10 * LEASE).take_count, 0);
    // The first heartbeat has what was free held by nobody.
    beat(&lease, 21 * SEC, row_of(1, "(failover)", 4, 10));
    beat(&lease, 21 * SEC, row_of(2, "other", 4, 9));
    ck_assert_uint_eq(plan(&lease, 21 * SEC + LEASE - 1).take_count, 0);
    ck_assert_uint_eq(plan(&lease, 21 * SEC + LEASE).take_count, 2);
}
END_TEST

START_TEST(what_a_new_history_has_as_ours_is_not_taken_for_a_lease)
{
    // Given back and taken by another, which the failover has lost.
    struct lease lease;
    hold(&lease, 1);
    (void)plan_share(&lease, 0, 2 * SEC);
    lease_on_new_history(&lease, 20 * SEC);
    beat(&lease, 21 * SEC, row_of(0, "me", 5, 10));
    ck_assert_uint_eq(lease_held(&lease), 0);
    ck_assert_uint_eq(plan(&lease, 20 * SEC + LEASE - 1).take_count, 0);
    // Nor given back, which would make it free for a third at once.
    ck_assert_uint_eq(plan_share(&lease, 0, 20 * SEC + LEASE - 1).give_count, 0);
    ck_assert_uint_eq(lease_owed(&lease, 20 * SEC + LEASE - 1), 0);
    ck_assert_uint_eq(plan_share(&lease, 0, 20 * SEC + LEASE).give_count, 1);
    ck_assert_uint_eq(plan(&lease, 20 * SEC + LEASE).take_count, 1);
}
END_TEST

START_TEST(an_older_epoch_is_no_taking)
{
    struct lease lease;
    start(&lease);
    beat(&lease, 0, row_of(0, NULL, 4, 9));
    struct lease_change change = beat(&lease, SEC, row_of(0, "me", 3, 8)); // a restored database
    ck_assert_uint_eq(change.acquired_count, 0);
}
END_TEST

START_TEST(knows_when_anothers_slot_may_be_taken_at_the_earliest)
{
    struct lease lease;
    start(&lease);
    ck_assert_int_eq(lease_next_ns(&lease), INT64_MAX);
    beat(&lease, 3 * SEC, row_of(0, "other", 4, 9));
    beat(&lease, 5 * SEC, row_of(1, "other", 4, 9));
    ck_assert_int_eq(lease_next_ns(&lease), 3 * SEC + LEASE);
}
END_TEST

START_TEST(the_deadline_of_all_is_the_earliest_of_ours)
{
    struct lease *lease = must_hold(); // slot 0, until LEASE
    beat(lease, 2 * SEC, row_of(1, NULL, 4, 9));
    beat(lease, 3 * SEC, row_of(1, "me", 5, 10));
    beat(lease, 4 * SEC, row_of(2, "other", 4, 9));
    ck_assert_int_eq(lease->slots[1].deadline_ns, 2 * SEC + LEASE);
    ck_assert_int_eq(lease_deadline_ns(lease), LEASE);
    struct lease_change change;
    lease_expire(lease, LEASE, &change);
    ck_assert_int_eq(lease_deadline_ns(lease), 2 * SEC + LEASE);
    lease_expire(lease, 2 * SEC + LEASE, &change);
    ck_assert_int_eq(lease_deadline_ns(lease), INT64_MAX); // of none
}
END_TEST

// ---- the model: some instances, one database, and a network that loses and delays ----------

enum { PEERS = 3, MODEL_SLOTS = 2, DELAYED = 8, STEPS = 4000 };

struct db_slot {
    int holder; // 0: free
    int64_t epoch;
    int64_t renewals;
};

// A heartbeat on its way, as imprint_sync.heartbeat() takes it.
struct request {
    int from; // 0: none
    int64_t run_at_ns;
    struct lease_wish wish;
    int64_t epochs[MODEL_SLOTS];
    int64_t seen_epochs[MODEL_SLOTS];
    int64_t seen_renewals[MODEL_SLOTS];
    bool lost; // nobody waits for its answer
};

struct peer {
    int id; // a new one at each start
    char name[24];
    int64_t skew_ns; // of its clock
    int64_t paused_until_ns;
    int64_t answer_at_ns;
    int64_t asked_ns;
    int64_t gives_up_ns;
    int64_t next_ns;
    bool asking;
    bool answered;
    struct lease lease;
    struct lease_wish wish;
    struct lease_row rows[MODEL_SLOTS];
    char holders[MODEL_SLOTS][16];
};

struct model {
    uint64_t seed;
    int64_t now;
    int last_id;
    struct db_slot db[MODEL_SLOTS];
    struct peer peers[PEERS];
    struct request requests[DELAYED];
    int64_t takings;
    int64_t take_overs;
    int64_t lost_takings;
};

static int64_t random_below(struct model *model, int64_t limit)
{
    model->seed += UINT64_C(0x9E3779B97F4A7C15);
    uint64_t z = model->seed;
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return (int64_t)((z ^ (z >> 31)) % (uint64_t)limit);
}

static void start_peer(struct model *model, struct peer *peer)
{
    *peer = (struct peer){.id = ++model->last_id};
    peer->skew_ns = random_below(model, 1000000 * SEC);
    snprintf(peer->name, sizeof peer->name, "peer-%d", peer->id);
    peer->next_ns = model->now + random_below(model, 10 * SEC);
    start(&peer->lease);
}

static void run_take(struct model *model, const struct request *request, int slot)
{
    struct db_slot *at = &model->db[slot];
    bool unchanged =
        at->epoch == request->seen_epochs[slot] && at->renewals == request->seen_renewals[slot];
    bool locked = random_below(model, 10) == 0; // SKIP LOCKED
    if ((at->holder == 0 || unchanged) && !locked) {
        model->take_overs += at->holder != 0 && at->holder != request->from;
        model->takings++;
        model->lost_takings += request->lost;
        at->holder = request->from;
        at->epoch++;
        at->renewals++;
    }
}

static bool is_owned(const struct model *model, const struct request *request, int slot)
{
    const struct db_slot *at = &model->db[slot];
    return at->holder == request->from && at->epoch == request->epochs[slot];
}

static void answer(struct model *model, struct peer *peer)
{
    for (int slot = 0; slot < MODEL_SLOTS; slot++) {
        const struct db_slot *at = &model->db[slot];
        snprintf(peer->holders[slot], sizeof peer->holders[slot], "peer-%d", at->holder);
        peer->rows[slot] = (struct lease_row){
            slot, at->holder == 0 ? STR("") : str_of(peer->holders[slot]), at->epoch, at->renewals};
    }
    peer->answered = true;
    peer->answer_at_ns = model->now + random_below(model, 3 * SEC);
}

static void run_request(struct model *model, struct request *request)
{
    const struct lease_wish *wish = &request->wish;
    for (size_t i = 0; i < wish->give_count; i++) {
        const struct db_slot *at = &model->db[wish->give[i]];
        if (at->holder == request->from && at->epoch == request->seen_epochs[wish->give[i]]) {
            model->db[wish->give[i]].holder = 0;
        }
    }
    for (size_t i = 0; i < wish->keep_count; i++) {
        model->db[wish->keep[i]].renewals += is_owned(model, request, wish->keep[i]);
    }
    for (size_t i = 0; i < wish->take_count; i++) {
        run_take(model, request, wish->take[i]);
    }
    for (int p = 0; p < PEERS && !request->lost; p++) {
        if (model->peers[p].id == request->from) {
            answer(model, &model->peers[p]);
        }
    }
    request->from = 0;
}

static void ask(struct model *model, struct peer *peer)
{
    struct request *request = NULL;
    for (int i = 0; i < DELAYED && request == NULL; i++) {
        request = model->requests[i].from == 0 ? &model->requests[i] : NULL;
    }
    if (request == NULL) {
        return;
    }
    bool busy[LEASE_SLOTS] = {false};
    for (int slot = 0; slot < MODEL_SLOTS; slot++) {
        busy[slot] = random_below(model, 2) == 0;
    }
    struct lease_change change;
    int share = (int)random_below(model, 8) == 0 ? 1 : MODEL_SLOTS; // lists differ now and then
    lease_plan(&peer->lease, share, busy, model->now + peer->skew_ns, &peer->wish, &change);
    *request = (struct request){.from = peer->id, .wish = peer->wish};
    for (int slot = 0; slot < MODEL_SLOTS; slot++) {
        request->epochs[slot] = peer->lease.slots[slot].epoch;
        request->seen_epochs[slot] = peer->lease.slots[slot].seen_epoch;
        request->seen_renewals[slot] = peer->lease.slots[slot].seen_renewals;
    }
    request->lost = random_below(model, 4) == 0;
    bool slow = random_below(model, 5) == 0; // may run after a later one of the same instance
    request->run_at_ns = model->now + random_below(model, slow ? 25 * SEC : SEC);
    peer->asking = true;
    peer->answered = false;
    peer->asked_ns = model->now;
    peer->gives_up_ns = model->now + 5 * SEC;
}

static void turn(struct model *model, struct peer *peer)
{
    int64_t own_now = model->now + peer->skew_ns;
    struct lease_change change;
    if (peer->asking && peer->answered && model->now >= peer->answer_at_ns) {
        peer->asking = false;
        lease_apply(&peer->lease, &peer->wish, peer->rows, MODEL_SLOTS, str_of(peer->name),
                    peer->asked_ns + peer->skew_ns, own_now, &change);
        peer->next_ns = model->now + LEASE / 5;
    } else if (peer->asking && model->now >= peer->gives_up_ns) {
        peer->asking = false;
        for (int i = 0; i < DELAYED; i++) { // whose answer will not be waited for
            model->requests[i].lost |= model->requests[i].from == peer->id;
        }
        peer->next_ns = model->now + SEC;
    }
    lease_expire(&peer->lease, own_now, &change);
    if (!peer->asking && model->now >= peer->next_ns) {
        ask(model, peer);
    }
    if (random_below(model, 300) == 0) {
        lease_drain(&peer->lease);
    }
    if (random_below(model, 150) == 0) {
        peer->paused_until_ns = model->now + random_below(model, 3 * LEASE);
    }
}

// What it acts by: the deadline is looked at in the moment of acting, also after a pause.
static bool believes(const struct model *model, const struct peer *peer, int slot)
{
    const struct lease_slot *at = &peer->lease.slots[slot];
    return at->mine && model->now + peer->skew_ns < at->deadline_ns;
}

static int64_t check_owners(const struct model *model)
{
    int64_t owned = 0;
    for (int slot = 0; slot < MODEL_SLOTS; slot++) {
        int owners = 0;
        for (int p = 0; p < PEERS; p++) {
            owners += believes(model, &model->peers[p], slot);
        }
        ck_assert_msg(owners <= 1, "slot %d has %d owners at %lld ns", slot, owners,
                      (long long)model->now);
        owned += owners;
    }
    return owned;
}

static void step(struct model *model)
{
    model->now += random_below(model, SEC);
    for (int i = 0; i < DELAYED; i++) {
        if (model->requests[i].from != 0 && model->now >= model->requests[i].run_at_ns) {
            run_request(model, &model->requests[i]);
        }
    }
    for (int p = 0; p < PEERS; p++) {
        struct peer *peer = &model->peers[p];
        if (random_below(model, 400) == 0) { // killed and started again
            start_peer(model, peer);
        }
        if (model->now >= peer->paused_until_ns) {
            turn(model, peer);
        }
    }
}

START_TEST(no_slot_ever_has_two_owners)
{
    static struct model model;
    int64_t owned = 0;
    int64_t take_overs = 0;
    int64_t lost_takings = 0;
    for (uint64_t round = 1; round <= 150; round++) {
        model = (struct model){.seed = round};
        for (int p = 0; p < PEERS; p++) {
            start_peer(&model, &model.peers[p]);
        }
        for (int i = 0; i < STEPS; i++) {
            step(&model);
            owned += check_owners(&model);
        }
        take_overs += model.take_overs;
        lost_takings += model.lost_takings;
    }
    // The model is worth something only if these things happen in it.
    ck_assert_int_gt(owned, 150 * STEPS * MODEL_SLOTS / 4);
    ck_assert_int_gt(take_overs, 500);
    ck_assert_int_gt(lost_takings, 500);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("lease");
    tcase_add_test(tests, asks_for_nothing_before_it_has_looked);
    tcase_add_test(tests, takes_a_free_slot_at_once);
    tcase_add_test(tests, deadline_counts_from_before_asking);
    tcase_add_test(tests, a_heartbeat_that_did_not_ask_to_keep_renews_nothing);
    tcase_add_test(tests, a_slot_is_ours_until_its_deadline_and_not_then);
    tcase_add_test(tests, a_late_renewal_does_not_bring_an_expired_slot_back);
    tcase_add_test(tests, a_slot_that_is_ours_in_the_database_alone_is_taken_anew);
    tcase_add_test(tests, a_lost_answer_to_a_taking_makes_no_longer_lease);
    tcase_add_test(tests, a_look_counts_from_when_it_was_asked);
    tcase_add_test(tests, a_taking_that_did_not_happen_is_no_lease);
    tcase_add_test(tests, anothers_slot_is_taken_only_after_a_full_lease_unchanged);
    tcase_add_test(tests, the_longest_lease_of_all_is_waited_for);
    tcase_add_test(tests, every_change_seen_begins_the_wait_anew);
    tcase_add_test(tests, a_slot_given_back_is_free_at_once_and_held_again_is_not);
    tcase_add_test(tests, what_another_holds_in_the_answer_is_lost);
    tcase_add_test(tests, a_name_is_compared_whole);
    tcase_add_test(tests, rows_of_slots_that_do_not_exist_are_left_out);
    tcase_add_test(tests, takes_no_more_than_its_share);
    tcase_add_test(tests, what_is_too_much_is_given_back_idle_slots_first);
    tcase_add_test(tests, a_busy_slot_drains_before_it_is_given_back);
    tcase_add_test(tests, a_slot_given_back_may_be_taken_again);
    tcase_add_test(tests, a_give_that_was_lost_is_given_again_and_never_used);
    tcase_add_test(tests, leaving_gives_everything_back_once_it_is_idle);
    tcase_add_test(tests, a_slot_taken_while_the_drain_began_is_given_back);
    tcase_add_test(tests, a_closed_pool_wants_nothing_after_a_lease_but_to_probe);
    tcase_add_test(tests, on_a_new_history_what_was_seen_before_counts_for_nothing);
    tcase_add_test(tests, what_a_new_history_has_as_ours_is_not_taken_for_a_lease);
    tcase_add_test(tests, an_older_epoch_is_no_taking);
    tcase_add_test(tests, knows_when_anothers_slot_may_be_taken_at_the_earliest);
    tcase_add_test(tests, the_deadline_of_all_is_the_earliest_of_ours);
    tcase_add_test(tests, no_slot_ever_has_two_owners);
    tcase_set_timeout(tests, 120);
    Suite *suite = suite_create("lease");
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
