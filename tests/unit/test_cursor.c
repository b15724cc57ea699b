#include "domain/cursor.h"
#include "suite.h"

#include <check.h>

#define SEC INT64_C(1000000)
#define NOW (1000000 * SEC)

static const struct cursor_place start = {INT64_MIN, 0};

static void check_place(struct cursor_place place, int64_t due_us, int64_t id)
{
    ck_assert_int_eq(place.due_us, due_us);
    ck_assert_int_eq(place.id, id);
}

static struct cursor *must_cursor(void)
{
    static struct cursor cursor;
    cursor_init(&cursor);
    return &cursor;
}

START_TEST(each_slot_and_priority_has_its_own_lane)
{
    bool used[CURSOR_LANES] = {false};
    for (int slot = 0; slot < CURSOR_SLOTS; slot++) {
        for (int priority = 0; priority < CURSOR_PRIORITIES; priority++) {
            size_t lane = cursor_lane_of(slot, priority);
            ck_assert_uint_lt(lane, CURSOR_LANES);
            ck_assert(!used[lane]);
            used[lane] = true;
        }
    }
}
END_TEST

START_TEST(begins_before_all_rows)
{
    struct cursor *cursor = must_cursor();
    for (size_t i = 0; i < CURSOR_LANES; i++) {
        check_place(cursor->lanes[i].read, INT64_MIN, 0);
        check_place(cursor->lanes[i].swept, INT64_MIN, 0);
    }
    ck_assert(!cursor_sweeping(cursor));
}
END_TEST

START_TEST(moves_to_the_last_row_of_a_full_page)
{
    struct cursor *cursor = must_cursor();
    cursor_advance(cursor, 5, NOW, (struct cursor_place){NOW - 100 * SEC, 7}, false);
    check_place(cursor->lanes[5].read, NOW - 100 * SEC, 7);
    cursor_advance(cursor, 5, NOW, (struct cursor_place){NOW - 100 * SEC, 9}, false);
    check_place(cursor->lanes[5].read, NOW - 100 * SEC, 9); // same time, further id
    check_place(cursor->lanes[4].read, INT64_MIN, 0);
    check_place(cursor->lanes[6].read, INT64_MIN, 0);
}
END_TEST

START_TEST(keeps_two_seconds_behind_the_clock)
{
    static const struct {
        int64_t last_us;
        int64_t id;
        bool exhausted;
        int64_t read_us;
        int64_t read_id;
    } cases[] = {
        {NOW - 2 * SEC - 1, 8, false, NOW - 2 * SEC - 1, 8},
        {NOW - 2 * SEC, 8, false, NOW - 2 * SEC, 0}, // later ids of that time may still come
        {NOW - 2 * SEC + 1, 8, false, NOW - 2 * SEC, 0},
        {NOW, 8, false, NOW - 2 * SEC, 0},
        {NOW, 8, true, NOW - 2 * SEC, 0},
        {NOW - 100 * SEC, 8, true, NOW - 2 * SEC, 0}, // nothing more behind it
        {INT64_MIN, 0, true, NOW - 2 * SEC, 0},       // nothing at all
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct cursor *cursor = must_cursor();
        cursor_advance(cursor, 0, NOW, (struct cursor_place){cases[i].last_us, cases[i].id},
                       cases[i].exhausted);
        check_place(cursor->lanes[0].read, cases[i].read_us, cases[i].read_id);
    }
}
END_TEST

START_TEST(never_goes_back_while_the_clock_goes_on)
{
    struct cursor *cursor = must_cursor();
    cursor_advance(cursor, 0, NOW, start, true);
    cursor_advance(cursor, 0, NOW + SEC, (struct cursor_place){NOW - 50 * SEC, 3}, false);
    check_place(cursor->lanes[0].read, NOW - 2 * SEC, 0);
    cursor_advance(cursor, 0, NOW, start, true);
    check_place(cursor->lanes[0].read, NOW - 2 * SEC, 0);
}
END_TEST

START_TEST(a_clock_set_back_far_starts_the_lane_over)
{
    struct cursor *cursor = must_cursor();
    cursor_advance(cursor, 0, NOW, start, true);
    cursor_advance(cursor, 1, NOW, start, true);
    cursor_advance(cursor, 0, NOW - 2 * SEC, start, true); // the place is now, not ahead
    check_place(cursor->lanes[0].read, NOW - 2 * SEC, 0);
    cursor_advance(cursor, 0, NOW - 2 * SEC - 1, start, true);
    check_place(cursor->lanes[0].read, INT64_MIN, 0);
    check_place(cursor->lanes[1].read, NOW - 2 * SEC, 0);
    cursor_advance(cursor, 0, NOW - 3 * SEC, start, true);
    check_place(cursor->lanes[0].read, NOW - 5 * SEC, 0);
}
END_TEST

START_TEST(resetting_a_slot_starts_both_its_lanes_over)
{
    struct cursor *cursor = must_cursor();
    for (size_t i = 0; i < CURSOR_LANES; i++) {
        cursor_advance(cursor, i, NOW, start, true);
    }
    cursor_sweep_begin(cursor);
    cursor_reset_slot(cursor, 3);
    for (int slot = 2; slot <= 4; slot++) {
        for (int priority = 0; priority < CURSOR_PRIORITIES; priority++) {
            const struct cursor_lane *lane = &cursor->lanes[cursor_lane_of(slot, priority)];
            check_place(lane->read, slot == 3 ? INT64_MIN : NOW - 2 * SEC, 0);
            ck_assert(lane->sweeping == (slot != 3));
        }
    }
    cursor_reset(cursor);
    for (size_t i = 0; i < CURSOR_LANES; i++) {
        check_place(cursor->lanes[i].read, INT64_MIN, 0);
    }
    ck_assert(!cursor_sweeping(cursor));
}
END_TEST

START_TEST(a_sweep_walks_what_was_read_and_no_more)
{
    struct cursor *cursor = must_cursor();
    cursor_sweep_begin(cursor);
    ck_assert(!cursor_sweeping(cursor)); // nothing was read yet
    cursor_advance(cursor, 2, NOW, (struct cursor_place){NOW - 10 * SEC, 5}, false);
    cursor_sweep_begin(cursor);
    ck_assert(cursor_sweeping(cursor));
    ck_assert(cursor->lanes[2].sweeping && !cursor->lanes[3].sweeping);
    cursor_sweep_advance(cursor, 2, (struct cursor_place){NOW - 20 * SEC, 4}, false);
    check_place(cursor->lanes[2].swept, NOW - 20 * SEC, 4);
    ck_assert(cursor_sweeping(cursor));
    cursor_sweep_advance(cursor, 2, (struct cursor_place){NOW - 10 * SEC, 4}, false);
    ck_assert(cursor_sweeping(cursor)); // one id short of the place
    cursor_sweep_advance(cursor, 2, (struct cursor_place){NOW - 10 * SEC, 5}, false);
    ck_assert(!cursor_sweeping(cursor));
    check_place(cursor->lanes[2].read, NOW - 10 * SEC, 5); // the place is left alone
}
END_TEST

START_TEST(a_sweep_ends_where_its_rows_do)
{
    struct cursor *cursor = must_cursor();
    cursor_advance(cursor, 2, NOW, start, true);
    cursor_advance(cursor, 9, NOW, start, true);
    cursor_sweep_begin(cursor);
    cursor_sweep_advance(cursor, 2, (struct cursor_place){NOW - 20 * SEC, 4}, true);
    ck_assert(!cursor->lanes[2].sweeping);
    ck_assert(cursor_sweeping(cursor)); // lane 9 is not done
    cursor_sweep_advance(cursor, 9, start, true);
    ck_assert(!cursor_sweeping(cursor));
    cursor_sweep_begin(cursor); // and the next begins at the start
    check_place(cursor->lanes[2].swept, INT64_MIN, 0);
    ck_assert(cursor->lanes[2].sweeping);
}
END_TEST

START_TEST(a_late_page_neither_revives_nor_moves_a_sweep_back)
{
    struct cursor *cursor = must_cursor();
    cursor_advance(cursor, 2, NOW, start, true);
    cursor_sweep_begin(cursor);
    cursor_sweep_advance(cursor, 2, (struct cursor_place){NOW - 20 * SEC, 4}, false);
    cursor_sweep_advance(cursor, 2, (struct cursor_place){NOW - 30 * SEC, 9}, false);
    check_place(cursor->lanes[2].swept, NOW - 20 * SEC, 4);
    cursor_reset_slot(cursor, 1);
    cursor_sweep_advance(cursor, 2, (struct cursor_place){NOW - 10 * SEC, 9}, false);
    ck_assert(!cursor_sweeping(cursor));
    cursor_advance(cursor, 4, NOW, start, true);
    cursor_sweep_begin(cursor);
    cursor_sweep_advance(cursor, 4, start, true);
    cursor_sweep_advance(cursor, 4, (struct cursor_place){NOW - 10 * SEC, 9}, false);
    ck_assert(!cursor_sweeping(cursor));
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("cursor");
    tcase_add_test(tests, each_slot_and_priority_has_its_own_lane);
    tcase_add_test(tests, begins_before_all_rows);
    tcase_add_test(tests, moves_to_the_last_row_of_a_full_page);
    tcase_add_test(tests, keeps_two_seconds_behind_the_clock);
    tcase_add_test(tests, never_goes_back_while_the_clock_goes_on);
    tcase_add_test(tests, a_clock_set_back_far_starts_the_lane_over);
    tcase_add_test(tests, resetting_a_slot_starts_both_its_lanes_over);
    tcase_add_test(tests, a_sweep_walks_what_was_read_and_no_more);
    tcase_add_test(tests, a_sweep_ends_where_its_rows_do);
    tcase_add_test(tests, a_late_page_neither_revives_nor_moves_a_sweep_back);
    tcase_set_timeout(tests, 20);
    Suite *suite = suite_create("cursor");
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
