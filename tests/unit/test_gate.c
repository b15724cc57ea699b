#include "domain/gate.h"
#include "suite.h"

#include <check.h>

#define SEC INT64_C(1000000000)

static struct gate *must_gate(int64_t count, int64_t per_ns, int64_t burst, int64_t slots)
{
    struct gate *gate = gate_create((struct gate_rate){count, per_ns}, burst, 0);
    gate_set_share(gate, slots, 0);
    return gate;
}

static int64_t take_all(struct gate *gate, int64_t now)
{
    int64_t taken = 0;
    while (gate_take(gate, now)) {
        taken++;
    }
    return taken;
}

// A small generator, so that a failing seed can be run again anywhere.
static uint64_t next_random(uint64_t *seed)
{
    *seed += UINT64_C(0x9E3779B97F4A7C15);
    uint64_t z = *seed;
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

static int64_t random_below(uint64_t *seed, int64_t limit)
{
    return (int64_t)(next_random(seed) % (uint64_t)limit);
}

START_TEST(starts_without_tokens)
{
    struct gate *gate = must_gate(50, SEC, 10, 64);
    ck_assert(!gate_take(gate, 0));
    ck_assert_int_eq(gate_wait_ns(gate, 0), SEC / 50);
    ck_assert(!gate_take(gate, SEC / 50 - 1));
    ck_assert(gate_take(gate, SEC / 50));
    gate_destroy(gate);
}
END_TEST

START_TEST(holds_no_more_than_the_burst)
{
    struct gate *gate = must_gate(50, SEC, 10, 64);
    ck_assert_int_eq(gate_tokens(gate, 1000 * SEC), 10);
    ck_assert_int_eq(take_all(gate, 1000 * SEC), 10);
    gate_destroy(gate);
}
END_TEST

START_TEST(has_its_share_of_rate_and_burst)
{
    struct gate *gate = must_gate(50, SEC, 10, 32);
    ck_assert_int_eq(take_all(gate, 1000 * SEC), 5);
    ck_assert_int_eq(gate_wait_ns(gate, 1000 * SEC), SEC / 25);
    ck_assert(gate_rate_per_sec(gate, 1000 * SEC) > 24.999);
    ck_assert(gate_rate_per_sec(gate, 1000 * SEC) < 25.001);
    gate_destroy(gate);
}
END_TEST

START_TEST(passes_nothing_where_no_whole_token_fits)
{
    struct gate *gate = must_gate(50, SEC, 10, 6); // 10 * 6 / 64 < 1
    ck_assert(!gate_take(gate, 1000 * SEC));
    ck_assert(gate_wait_ns(gate, 1000 * SEC) == INT64_MAX);
    gate_set_share(gate, 7, 1000 * SEC);
    ck_assert(gate_wait_ns(gate, 1000 * SEC) < INT64_MAX);
    gate_set_share(gate, 0, 1000 * SEC);
    ck_assert(gate_wait_ns(gate, 1000 * SEC) == INT64_MAX);
    gate_destroy(gate);
}
END_TEST

START_TEST(gaining_slots_adds_no_tokens_and_losing_clamps)
{
    struct gate *gate = must_gate(50, SEC, 10, 32);
    ck_assert_int_eq(gate_tokens(gate, 10 * SEC), 5);
    gate_set_share(gate, 64, 10 * SEC);
    ck_assert_int_eq(gate_tokens(gate, 10 * SEC), 5);
    ck_assert_int_eq(gate_tokens(gate, 20 * SEC), 10);
    gate_set_share(gate, 16, 20 * SEC);
    ck_assert_int_eq(gate_tokens(gate, 20 * SEC), 2);
    gate_set_share(gate, 64, 20 * SEC);
    ck_assert_int_eq(gate_tokens(gate, 20 * SEC), 2);
    gate_destroy(gate);
}
END_TEST

START_TEST(mean_is_exact_over_ten_days)
{
    // A rate that no number of nanoseconds divides, looked at at odd times.
    const int64_t end = 864000 * SEC;
    struct gate *gate = must_gate(7, 11 * SEC, 10, 37);
    int64_t taken = 0;
    uint64_t seed = 1;
    int64_t now = 0;
    while (now < end) {
        int64_t wait = gate_wait_ns(gate, now);
        int64_t jump = 1 + random_below(&seed, 3 * SEC);
        now += wait > jump ? jump : wait;
        now = now > end ? end : now;
        taken += take_all(gate, now);
    }
    // floor(end * 7 / 11 s * 37 / 64): one token more would be one too many, one fewer is drift.
    ck_assert_int_eq(taken, end / SEC * 7 * 37 / INT64_C(704));
    gate_destroy(gate);
}
END_TEST

START_TEST(wait_is_rounded_up_and_enough)
{
    uint64_t seed = 7;
    for (int i = 0; i < 2000; i++) {
        struct gate *gate =
            must_gate(1 + random_below(&seed, 5000), 1 + random_below(&seed, 60 * SEC),
                      1 + random_below(&seed, 40), 64);
        int64_t now = random_below(&seed, SEC);
        for (int64_t halvings = random_below(&seed, 8); halvings > 0; halvings--) {
            gate_scale(gate, now);
        }
        (void)take_all(gate, now);
        int64_t wait = gate_wait_ns(gate, now);
        ck_assert_int_gt(wait, 0);
        ck_assert(!gate_take(gate, now + wait - 1));
        ck_assert(gate_take(gate, now + wait));
        gate_destroy(gate);
    }
}
END_TEST

START_TEST(time_going_backwards_is_harmless)
{
    struct gate *gate = must_gate(1, SEC, 5, 64);
    ck_assert_int_eq(take_all(gate, 10 * SEC), 5);
    int64_t taken = 0;
    for (int i = 0; i < 100; i++) { // to and fro must not count the same second twice
        taken += take_all(gate, 4 * SEC);
        taken += take_all(gate, 11 * SEC);
    }
    ck_assert_int_eq(taken, 1);
    ck_assert_int_eq(gate_wait_ns(gate, 4 * SEC), 8 * SEC);
    gate_destroy(gate);
}
END_TEST

START_TEST(absurd_numbers_neither_overflow_nor_pass_the_burst)
{
    struct gate *gate = gate_create((struct gate_rate){INT64_MAX, INT64_MAX}, INT64_MAX, INT64_MIN);
    gate_set_share(gate, 64, INT64_MIN);
    ck_assert_int_ge(gate_tokens(gate, INT64_MAX), 0);
    gate_set_rate(gate, (struct gate_rate){INT64_MAX, 1}, 3, INT64_MAX);
    ck_assert_int_le(take_all(gate, INT64_MAX), 3);
    ck_assert(gate_wait_ns(gate, INT64_MAX) == INT64_MAX); // time is at its end
    gate_destroy(gate);

    gate = gate_create((struct gate_rate){0, -5}, 0, 0); // taken as 1 per ns, burst 1
    gate_set_share(gate, 1000, 0);
    ck_assert_int_eq(take_all(gate, SEC), 1);
    gate_set_share(gate, -1, SEC);
    ck_assert(!gate_take(gate, 2 * SEC));
    gate_destroy(gate);
}
END_TEST

START_TEST(reload_keeps_the_tokens_that_fit)
{
    struct gate *gate = must_gate(50, SEC, 10, 64);
    ck_assert_int_eq(gate_tokens(gate, SEC), 10);
    gate_set_rate(gate, (struct gate_rate){3000, 60 * SEC}, 20, SEC);
    ck_assert_int_eq(gate_tokens(gate, SEC), 10);
    ck_assert_int_eq(gate_tokens(gate, 2 * SEC), 20);
    gate_set_rate(gate, (struct gate_rate){1, 3600 * SEC}, 4, 2 * SEC);
    ck_assert_int_eq(take_all(gate, 2 * SEC), 4);
    ck_assert_int_eq(gate_wait_ns(gate, 2 * SEC), 3600 * SEC);
    gate_destroy(gate);
}
END_TEST

static int64_t permille_of_rate(struct gate *gate, int64_t now)
{
    return (int64_t)(gate_rate_per_sec(gate, now) / 100.0 * 1000.0 + 0.5);
}

START_TEST(throttle_halves_and_recovers_by_a_tenth_every_ten_seconds)
{
    static const struct {
        int64_t now;
        int64_t halvings;
        int64_t permille;
    } steps[] = {
        {0, 1, 500},          {10 * SEC - 1, 0, 500}, {10 * SEC, 0, 600},    {10 * SEC, 1, 300},
        {79 * SEC, 0, 900},   {80 * SEC, 0, 1000},    {8000 * SEC, 0, 1000}, {9000 * SEC, 20, 20},
        {9010 * SEC, 0, 120}, {9100 * SEC, 0, 1000},
    };
    struct gate *gate = must_gate(100, SEC, 10, 64);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        for (int64_t halving = 0; halving < steps[i].halvings; halving++) {
            gate_scale(gate, steps[i].now);
        }
        ck_assert_int_eq(permille_of_rate(gate, steps[i].now), steps[i].permille);
    }
    gate_destroy(gate);
}
END_TEST

START_TEST(recovery_is_counted_also_when_nobody_looks)
{
    struct gate *seen = must_gate(1, SEC, 1000, 64);
    struct gate *unseen = must_gate(1, SEC, 1000, 64);
    gate_scale(seen, 0);
    gate_scale(unseen, 0);
    for (int64_t now = 0; now <= 70 * SEC; now += SEC / 7) {
        (void)gate_tokens(seen, now);
    }
    ck_assert_int_eq(gate_tokens(seen, 70 * SEC), gate_tokens(unseen, 70 * SEC));
    ck_assert_int_eq(gate_tokens(unseen, 70 * SEC), 5 + 6 + 7 + 8 + 9 + 10 + 10);
    gate_destroy(seen);
    gate_destroy(unseen);
}
END_TEST

// ---- the invariant: in any window of t at most rate * t + burst, over all gates together ----

enum { GATES = 3, TAKES_MAX = 60000 };

struct schedule {
    struct gate *gates[GATES];
    int64_t slots[GATES];
    int64_t free_slots;
    int64_t takes[TAKES_MAX];
    int64_t count;
};

// Some slots go from one gate to the pot or from the pot to a gate: losing clamps first.
static void move_slots(struct schedule *schedule, uint64_t *seed, int64_t now)
{
    int64_t i = random_below(seed, GATES);
    bool gain = random_below(seed, 2) == 0;
    int64_t most = gain ? schedule->free_slots : schedule->slots[i];
    int64_t moved = random_below(seed, most + 1);
    schedule->slots[i] += gain ? moved : -moved;
    schedule->free_slots += gain ? -moved : moved;
    gate_set_share(schedule->gates[i], schedule->slots[i], now);
}

static void step(struct schedule *schedule, uint64_t *seed, int64_t now)
{
    int64_t event = random_below(seed, 20);
    if (event < 4) {
        move_slots(schedule, seed, now);
    } else if (event == 4) {
        gate_scale(schedule->gates[random_below(seed, GATES)], now);
    } else if (event == 5) { // a restart: a new, empty gate with the same slots
        int64_t i = random_below(seed, GATES);
        gate_destroy(schedule->gates[i]);
        schedule->gates[i] = gate_create((struct gate_rate){50, SEC}, 10, now);
        gate_set_share(schedule->gates[i], schedule->slots[i], now);
    } else {
        struct gate *gate = schedule->gates[random_below(seed, GATES)];
        int64_t wanted = random_below(seed, 12);
        for (; wanted > 0 && schedule->count < TAKES_MAX && gate_take(gate, now); wanted--) {
            schedule->takes[schedule->count++] = now;
        }
    }
}

static int64_t next_time(uint64_t *seed, int64_t now)
{
    switch (random_below(seed, 4)) {
    case 0:
        return now; // several at once
    case 1:
        return now + random_below(seed, 3);
    case 2:
        return now + random_below(seed, SEC / 20);
    default:
        return random_below(seed, 40) == 0 ? now + random_below(seed, 5 * SEC)
                                           : now + random_below(seed, SEC / 500);
    }
}

static void check_windows(const struct schedule *schedule, int64_t rate, int64_t burst)
{
    // Worst windows begin and end at a take: (j - i + 1) <= rate * t + burst for all pairs. With
    // g(k) = k * 1 s - rate * t(k) that is g(j) - min g(i) <= (burst - 1) * 1 s.
    int64_t lowest = INT64_MAX;
    for (int64_t k = 0; k < schedule->count; k++) {
        int64_t g = k * SEC - rate * schedule->takes[k];
        lowest = g < lowest ? g : lowest;
        ck_assert_int_le(g - lowest, (burst - 1) * SEC);
    }
}

START_TEST(no_window_over_all_gates_passes_the_rate)
{
    static struct schedule schedule;
    for (uint64_t round = 1; round <= 40; round++) {
        uint64_t seed = round;
        schedule = (struct schedule){.free_slots = 64};
        for (int i = 0; i < GATES; i++) {
            schedule.gates[i] = gate_create((struct gate_rate){50, SEC}, 10, 0);
        }
        int64_t now = round % 2 == 0 ? 0 : 100 * SEC; // odd: the gates could be full, but for slots
        for (int i = 0; i < 8000; i++) {
            step(&schedule, &seed, now);
            now = next_time(&seed, now);
        }
        ck_assert_int_gt(schedule.count, 100);
        check_windows(&schedule, 50, 10);
        for (int i = 0; i < GATES; i++) {
            gate_destroy(schedule.gates[i]);
        }
    }
}
END_TEST

START_TEST(three_full_instances_have_one_burst_together)
{
    struct gate *gates[] = {must_gate(50, SEC, 10, 22), must_gate(50, SEC, 10, 21),
                            must_gate(50, SEC, 10, 21)};
    int64_t taken = 0;
    for (int i = 0; i < 3; i++) {
        taken += take_all(gates[i], 1000 * SEC);
        gate_destroy(gates[i]);
    }
    ck_assert_int_le(taken, 10);
    ck_assert_int_ge(taken, 9);
}
END_TEST

// Those that wait for a connection may leave all at once: with what is in the bucket then they are
// no more than the burst.
START_TEST(unsent_requests_keep_their_place_in_the_burst)
{
    struct gate *gate = must_gate(50, SEC, 10, 64);
    for (int64_t unsent = 0; unsent < 10; unsent++) {
        gate_set_unsent(gate, unsent, SEC);
        ck_assert(gate_take(gate, SEC));
    }
    gate_set_unsent(gate, 10, 9 * SEC);
    ck_assert(!gate_take(gate, 9 * SEC));
    ck_assert_int_eq(gate_wait_ns(gate, 9 * SEC), INT64_MAX);
    gate_set_unsent(gate, 7, 10 * SEC); // three have left; their tokens come back by the rate only
    ck_assert(!gate_take(gate, 10 * SEC));
    ck_assert_int_eq(take_all(gate, 20 * SEC), 3);
    gate_set_unsent(gate, 100, 30 * SEC); // more than the burst: after a reload, say
    ck_assert_int_eq(take_all(gate, 40 * SEC), 0);
    gate_set_unsent(gate, 0, 40 * SEC);
    ck_assert_int_eq(take_all(gate, 50 * SEC), 10);
    gate_destroy(gate);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("gate");
    tcase_add_test(tests, starts_without_tokens);
    tcase_add_test(tests, holds_no_more_than_the_burst);
    tcase_add_test(tests, has_its_share_of_rate_and_burst);
    tcase_add_test(tests, passes_nothing_where_no_whole_token_fits);
    tcase_add_test(tests, gaining_slots_adds_no_tokens_and_losing_clamps);
    tcase_add_test(tests, mean_is_exact_over_ten_days);
    tcase_add_test(tests, wait_is_rounded_up_and_enough);
    tcase_add_test(tests, time_going_backwards_is_harmless);
    tcase_add_test(tests, absurd_numbers_neither_overflow_nor_pass_the_burst);
    tcase_add_test(tests, reload_keeps_the_tokens_that_fit);
    tcase_add_test(tests, throttle_halves_and_recovers_by_a_tenth_every_ten_seconds);
    tcase_add_test(tests, recovery_is_counted_also_when_nobody_looks);
    tcase_add_test(tests, no_window_over_all_gates_passes_the_rate);
    tcase_add_test(tests, three_full_instances_have_one_burst_together);
    tcase_add_test(tests, unsent_requests_keep_their_place_in_the_burst);
    tcase_set_timeout(tests, 60);
    Suite *suite = suite_create("gate");
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
