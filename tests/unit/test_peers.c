#include "domain/peers.h"
#include "suite.h"

#include <check.h>
#include <stdio.h>

#define SEC INT64_C(1000000000)
#define LEASE (30 * SEC)

static struct peers peers;

static struct peer_row row_of(const char *id, int64_t beats, int wants)
{
    return (struct peer_row){.id = str_of(id), .beats = beats, .wants = wants};
}

// `count` instances a, b, c ... that all want all and have just been seen.
static void see(size_t count, int64_t now)
{
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"};
    struct peer_row rows[11];
    for (size_t i = 0; i < count; i++) {
        rows[i] = row_of(names[i], now, PEERS_ALL);
    }
    peers_see(&peers, rows, count, now);
}

static int share(const char *self, int64_t now)
{
    return peers_share(&peers, str_of(self), PEERS_ALL, 7, now);
}

static void begin(void)
{
    peers_init(&peers, LEASE);
}

START_TEST(alone_it_is_due_all)
{
    see(1, 0);
    ck_assert_int_eq(share("a", 0), 64);
    ck_assert_int_eq(share("x", 0), 0); // not registered yet
}
END_TEST

START_TEST(shares_are_equal_and_add_up)
{
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i"};
    for (size_t count = 1; count <= 9; count++) {
        see(count, 0);
        int sum = 0;
        for (size_t i = 0; i < count; i++) {
            int part = share(names[i], 0);
            ck_assert(part == 64 / (int)count || part == 64 / (int)count + 1);
            sum += part;
        }
        ck_assert_int_eq(sum, 64);
    }
}
END_TEST

START_TEST(nobody_gets_fewer_than_the_minimum_and_the_last_stand_by)
{
    see(11, 0); // 64 / 7 = 9 of them
    ck_assert_int_ge(share("i", 0), 7);
    ck_assert_int_eq(share("j", 0), 0);
    ck_assert_int_eq(share("k", 0), 0);
    // burst 1: active and standby
    ck_assert_int_eq(peers_share(&peers, STR("a"), PEERS_ALL, 64, 0), 64);
    ck_assert_int_eq(peers_share(&peers, STR("b"), PEERS_ALL, 64, 0), 0);
}
END_TEST

START_TEST(one_that_is_silent_for_a_lease_is_gone)
{
    see(2, 0);
    const struct peer_row rows[] = {row_of("a", 1, PEERS_ALL), row_of("b", 0, PEERS_ALL)};
    peers_see(&peers, rows, 2, 10 * SEC); // b's count is as it was
    ck_assert_int_eq(share("a", LEASE - 1), 32);
    ck_assert_int_eq(share("a", LEASE), 64);
    see(2, 20 * SEC); // it beats again
    ck_assert_int_eq(share("a", LEASE), 32);
    peers_init(&peers, LEASE);
    see(2, 0);
    const struct peer *gone[PEERS_MAX];
    ck_assert_uint_eq(peers_gone(&peers, STR("a"), LEASE - 1, gone), 0);
    ck_assert_uint_eq(peers_gone(&peers, STR("a"), LEASE, gone), 1);
    ck_assert_str_eq(gone[0]->id, "b");
    ck_assert_int_eq(gone[0]->beats, 0);
}
END_TEST

START_TEST(one_with_a_longer_lease_is_waited_for_longer)
{
    struct peer_row rows[] = {row_of("a", 1, PEERS_ALL), row_of("b", 1, PEERS_ALL)};
    rows[1].lease_ns = 2 * LEASE;
    peers_see(&peers, rows, 2, 0);
    ck_assert_int_eq(share("a", 2 * LEASE - 1), 32);
    ck_assert_int_eq(share("a", 2 * LEASE), 64);
    ck_assert_int_eq(peers_longest_lease_ns(&peers), 2 * LEASE);
    see(2, 0);
    ck_assert_int_eq(peers_longest_lease_ns(&peers), LEASE);
}
END_TEST

START_TEST(it_is_never_gone_itself)
{
    see(2, 0);
    ck_assert_int_eq(share("a", 1000 * SEC), 64);
}
END_TEST

START_TEST(one_that_wants_none_leaves_its_share_to_the_others)
{
    const struct peer_row rows[] = {row_of("a", 1, PEERS_ALL), row_of("b", 1, 0),
                                    row_of("c", 1, PEERS_ALL)};
    peers_see(&peers, rows, 3, 0);
    ck_assert_int_eq(share("a", 0), 32);
    ck_assert_int_eq(peers_share(&peers, STR("b"), 0, 7, 0), 0);
    ck_assert_int_eq(share("b", 0), 21); // what it wants now counts, not what it said last
}
END_TEST

START_TEST(one_that_wants_to_probe_gets_the_minimum)
{
    const struct peer_row rows[] = {row_of("a", 1, PEERS_ALL), row_of("b", 1, 7)};
    peers_see(&peers, rows, 2, 0);
    ck_assert_int_eq(share("a", 0), 57);
    ck_assert_int_eq(peers_share(&peers, STR("b"), 7, 7, 0), 7);
}
END_TEST

START_TEST(where_nobody_wants_all_all_keep_theirs)
{
    const struct peer_row rows[] = {row_of("a", 1, 0), row_of("b", 1, 7)};
    peers_see(&peers, rows, 2, 0);
    ck_assert_int_eq(peers_share(&peers, STR("a"), 0, 7, 0), 32);
    ck_assert_int_eq(peers_share(&peers, STR("b"), 7, 7, 0), 32);
}
END_TEST

START_TEST(a_backfill_yields_to_a_daemon_and_only_to_one_that_lives)
{
    struct peer_row rows[] = {row_of("a", 1, PEERS_ALL), row_of("b", 1, PEERS_ALL),
                              row_of("c", 1, PEERS_ALL)};
    rows[0].yields = true;
    rows[1].yields = true;
    peers_see(&peers, rows, 2, 0);
    ck_assert_int_eq(share("a", 0), 32); // two of them share
    ck_assert_int_eq(share("b", 0), 32);
    peers_see(&peers, rows, 3, 0);
    ck_assert_int_eq(share("a", 0), 0);
    ck_assert_int_eq(share("b", 0), 0);
    ck_assert_int_eq(share("c", 0), 64);
    // also while its way to the API is closed
    ck_assert_int_eq(peers_share(&peers, STR("c"), 0, 7, 0), 64);
    rows[2].wants = 0;
    peers_see(&peers, rows, 3, SEC);
    ck_assert_int_eq(share("a", SEC), 0);
    // silent for a lease, c is gone; a has beaten meanwhile
    rows[0].beats = 2;
    rows[1].beats = 2;
    peers_see(&peers, rows, 3, LEASE);
    ck_assert_int_eq(share("a", LEASE), 32);
}
END_TEST

START_TEST(a_name_too_long_and_a_list_too_long_do_no_harm)
{
    static struct peer_row rows[PEERS_MAX + 5];
    static char names[PEERS_MAX + 5][200];
    for (int i = 0; i < PEERS_MAX + 5; i++) {
        snprintf(names[i], sizeof names[i], "%0150d", i);
        rows[i] = row_of(names[i], 1, PEERS_ALL);
    }
    peers_see(&peers, rows, PEERS_MAX + 5, 0);
    ck_assert_uint_eq(peers.count, PEERS_MAX);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("peers");
    tcase_add_checked_fixture(tests, begin, NULL);
    tcase_add_test(tests, alone_it_is_due_all);
    tcase_add_test(tests, shares_are_equal_and_add_up);
    tcase_add_test(tests, nobody_gets_fewer_than_the_minimum_and_the_last_stand_by);
    tcase_add_test(tests, one_that_is_silent_for_a_lease_is_gone);
    tcase_add_test(tests, one_with_a_longer_lease_is_waited_for_longer);
    tcase_add_test(tests, it_is_never_gone_itself);
    tcase_add_test(tests, one_that_wants_none_leaves_its_share_to_the_others);
    tcase_add_test(tests, one_that_wants_to_probe_gets_the_minimum);
    tcase_add_test(tests, where_nobody_wants_all_all_keep_theirs);
    tcase_add_test(tests, a_backfill_yields_to_a_daemon_and_only_to_one_that_lives);
    tcase_add_test(tests, a_name_too_long_and_a_list_too_long_do_no_harm);
    Suite *suite = suite_create("peers");
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
