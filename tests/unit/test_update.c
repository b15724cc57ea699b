#include "domain/update.h"
#include "suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static struct update *must_add(struct updates *updates, const char *key, int slot, int priority)
{
    struct update *update = update_create(str_of(key), str_of(key), slot, priority);
    updates_add(updates, update);
    return update;
}

START_TEST(copies_its_texts)
{
    char key[] = "ab-12 and more";
    char id[] = "AB-12";
    struct update *update = update_create((struct str){key, 5}, str_of(id), 63, 1);
    memset(key, 'x', sizeof key - 1);
    memset(id, 'x', sizeof id - 1);
    ck_assert_str_eq(update->key, "ab-12");
    ck_assert_str_eq(update->customer_id, "AB-12");
    ck_assert_int_eq(update->slot, 63);
    ck_assert_int_eq(update->priority, 1);
    ck_assert_int_eq(update->state, UPDATE_STATE_QUEUED);
    ck_assert_uint_eq(update->row_count, 0);
    ck_assert_ptr_null(update->error);
    update_destroy(update);
    update_destroy(NULL);
}
END_TEST

START_TEST(its_body_holds_a_mebibyte)
{
    const size_t bytes = (size_t)1024 * 1024;
    struct update *update = update_create(STR("a"), STR("a"), 0, 0);
    char *mebibyte = calloc(1, bytes);
    ck_assert(buf_append(&update->body, mebibyte, bytes));
    ck_assert(!buf_append_char(&update->body, 'x'));
    free(mebibyte);
    update_destroy(update);
}
END_TEST

START_TEST(keeps_all_rows_and_the_fewest_attempts)
{
    struct update *update = update_create(STR("a"), STR("a"), 0, 0);
    for (int64_t i = 0; i < 1000; i++) {
        update_add_row(update, 7 + i, i == 600 ? 3 : 5 + i % 7);
        ck_assert_int_eq(update->attempts, i < 600 ? 5 : 3);
    }
    ck_assert_uint_eq(update->row_count, 1000);
    for (int64_t i = 0; i < 1000; i++) {
        ck_assert_int_eq(update->row_ids[i], 7 + i);
        ck_assert_int_eq(update->row_attempts[i], i == 600 ? 3 : 5 + i % 7);
    }
    update_destroy(update);
}
END_TEST

START_TEST(an_id_is_valid_that_is_safe_in_a_path)
{
    char longest[66];
    memset(longest, 'a', sizeof longest);
    ck_assert(update_id_is_valid((struct str){longest, 64}));
    ck_assert(!update_id_is_valid((struct str){longest, 65}));
    ck_assert(!update_id_is_valid(STR("")));
    ck_assert(!update_id_is_valid(str_of(NULL)));
    for (int c = 0; c < 256; c++) {
        const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
        const char text[] = {'a', (char)c, 'z'};
        bool valid = c != 0 && strchr(allowed, c) != NULL;
        ck_assert_msg(update_id_is_valid((struct str){text, 3}) == valid, "byte %02x", (unsigned)c);
    }
}
END_TEST

// update.h's diagram: from (row) to (column).
static const bool diagram[UPDATE_STATE_COUNT][UPDATE_STATE_COUNT] = {
    // queued, in flight, settling, resting, gone
    {false, true, true, false, true},    // queued
    {false, false, true, false, false},  // in flight: what is sent must be written
    {false, false, false, true, true},   // settling
    {false, false, false, false, true},  // resting
    {false, false, false, false, false}, // gone
};

START_TEST(states_change_as_the_diagram_says)
{
    for (int from = 0; from < UPDATE_STATE_COUNT; from++) {
        for (int to = 0; to < UPDATE_STATE_COUNT; to++) {
            ck_assert_msg(update_state_allows((enum update_state)from, (enum update_state)to) ==
                              diagram[from][to],
                          "%s to %s", update_state_name((enum update_state)from),
                          update_state_name((enum update_state)to));
        }
    }
}
END_TEST

START_TEST(states_have_their_names)
{
    ck_assert_str_eq(update_state_name(UPDATE_STATE_QUEUED), "queued");
    ck_assert_str_eq(update_state_name(UPDATE_STATE_IN_FLIGHT), "in_flight");
    ck_assert_str_eq(update_state_name(UPDATE_STATE_SETTLING), "settling");
    ck_assert_str_eq(update_state_name(UPDATE_STATE_RESTING), "resting");
    ck_assert_str_eq(update_state_name(UPDATE_STATE_GONE), "gone");
}
END_TEST

// Brings a new update into `state` by the shortest way.
static struct update *must_bring(struct updates *updates, enum update_state state)
{
    struct update *update = must_add(updates, "a", 3, 0);
    if (state == UPDATE_STATE_IN_FLIGHT) {
        updates_move(updates, update, UPDATE_STATE_IN_FLIGHT);
    } else if (state != UPDATE_STATE_QUEUED) {
        updates_move(updates, update, UPDATE_STATE_SETTLING);
    }
    if (state == UPDATE_STATE_RESTING) {
        updates_move(updates, update, UPDATE_STATE_RESTING);
    }
    return update;
}

// Returns how many moves that were: 0 or 1.
static int check_moved(enum update_state from, enum update_state to)
{
    if (!diagram[from][to]) {
        return 0;
    }
    struct updates *updates = updates_create();
    struct update *update = must_bring(updates, from);
    ck_assert_int_eq(update->state, from);
    updates_move(updates, update, to);
    bool gone = to == UPDATE_STATE_GONE;
    ck_assert_uint_eq(updates_total(updates), gone ? 0 : 1);
    ck_assert_ptr_eq(updates_find(updates, STR("a")), gone ? NULL : update);
    ck_assert(updates_slot_busy(updates, 3) == !gone);
    for (int state = 0; state < UPDATE_STATE_GONE; state++) {
        bool here = state == (int)to;
        ck_assert_uint_eq(updates_count(updates, (enum update_state)state), here ? 1 : 0);
        ck_assert_ptr_eq(updates_first(updates, (enum update_state)state), here ? update : NULL);
    }
    updates_destroy(updates);
    return 1;
}

START_TEST(every_allowed_move_is_carried_out)
{
    int moves = 0;
    for (int from = 0; from < UPDATE_STATE_GONE; from++) {
        for (int to = 0; to < UPDATE_STATE_COUNT; to++) {
            moves += check_moved((enum update_state)from, (enum update_state)to);
        }
    }
    ck_assert_int_eq(moves, 7);
}
END_TEST

START_TEST(is_found_by_its_key)
{
    struct updates *updates = updates_create();
    ck_assert_ptr_null(updates_find(updates, STR("k1")));
    static struct update *added[500];
    char key[16];
    for (int i = 0; i < 500; i++) {
        snprintf(key, sizeof key, "k%d", i * 7919 % 500);
        added[i] = must_add(updates, key, i % 64, i % 2);
    }
    ck_assert_uint_eq(updates_total(updates), 500);
    for (int i = 0; i < 500; i += 2) {
        updates_move(updates, added[i], UPDATE_STATE_GONE);
    }
    for (int i = 0; i < 500; i++) {
        snprintf(key, sizeof key, "k%d", i * 7919 % 500);
        ck_assert_ptr_eq(updates_find(updates, str_of(key)), i % 2 == 0 ? NULL : added[i]);
    }
    ck_assert_ptr_eq(updates_find(updates, (struct str){"k7 and more", 2}),
                     updates_find(updates, STR("k7")));
    ck_assert_ptr_null(updates_find(updates, STR("K7"))); // a key is in lower case already
    ck_assert_ptr_null(updates_find(updates, STR("")));
    ck_assert_uint_eq(updates_total(updates), 250);
    updates_destroy(updates); // with all in it
    updates_destroy(NULL);
}
END_TEST

START_TEST(a_customer_can_come_again_once_gone)
{
    struct updates *updates = updates_create();
    updates_move(updates, must_add(updates, "a", 0, 0), UPDATE_STATE_GONE);
    const struct update *again = must_add(updates, "a", 0, 0);
    ck_assert_ptr_eq(updates_find(updates, STR("a")), again);
    updates_destroy(updates);
}
END_TEST

static void check_order(const struct updates *updates, enum update_state state, const char *keys)
{
    const struct update *at = updates_first(updates, state);
    for (const char *key = keys; *key != '\0'; key++) {
        ck_assert_ptr_nonnull(at);
        ck_assert_int_eq(at->key[0], *key);
        at = updates_next(updates, at);
    }
    ck_assert_ptr_null(at);
}

START_TEST(live_goes_before_backfill_and_each_in_the_order_it_came)
{
    struct updates *updates = updates_create();
    must_add(updates, "w", 0, 1);
    check_order(updates, UPDATE_STATE_QUEUED, "w");
    must_add(updates, "c", 0, 0);
    must_add(updates, "x", 0, 1);
    must_add(updates, "a", 0, 0);
    check_order(updates, UPDATE_STATE_QUEUED, "cawx");
    updates_move(updates, updates_find(updates, STR("c")), UPDATE_STATE_GONE);
    check_order(updates, UPDATE_STATE_QUEUED, "awx");
    updates_move(updates, updates_find(updates, STR("a")), UPDATE_STATE_GONE);
    check_order(updates, UPDATE_STATE_QUEUED, "wx");
    updates_destroy(updates);
}
END_TEST

START_TEST(begun_ones_are_in_the_order_they_began_whatever_their_priority)
{
    struct updates *updates = updates_create();
    must_add(updates, "a", 0, 0);
    must_add(updates, "b", 0, 1);
    must_add(updates, "c", 0, 0);
    updates_move(updates, updates_find(updates, STR("b")), UPDATE_STATE_IN_FLIGHT);
    updates_move(updates, updates_find(updates, STR("c")), UPDATE_STATE_IN_FLIGHT);
    updates_move(updates, updates_find(updates, STR("a")), UPDATE_STATE_IN_FLIGHT);
    check_order(updates, UPDATE_STATE_IN_FLIGHT, "bca");
    check_order(updates, UPDATE_STATE_QUEUED, "");
    updates_move(updates, updates_find(updates, STR("c")), UPDATE_STATE_SETTLING);
    updates_move(updates, updates_find(updates, STR("b")), UPDATE_STATE_SETTLING);
    check_order(updates, UPDATE_STATE_IN_FLIGHT, "a");
    check_order(updates, UPDATE_STATE_SETTLING, "cb");
    ck_assert_uint_eq(updates_count(updates, UPDATE_STATE_SETTLING), 2);
    updates_destroy(updates);
}
END_TEST

START_TEST(a_slot_is_busy_until_the_last_begun_is_gone)
{
    struct updates *updates = updates_create();
    struct update *a = must_add(updates, "a", 63, 0);
    struct update *b = must_add(updates, "b", 63, 1);
    ck_assert(!updates_slot_busy(updates, 63)); // queued only
    updates_move(updates, a, UPDATE_STATE_IN_FLIGHT);
    ck_assert(updates_slot_busy(updates, 63));
    ck_assert(!updates_slot_busy(updates, 62));
    updates_move(updates, b, UPDATE_STATE_SETTLING);
    updates_move(updates, a, UPDATE_STATE_SETTLING);
    updates_move(updates, a, UPDATE_STATE_GONE);
    ck_assert(updates_slot_busy(updates, 63));
    updates_move(updates, b, UPDATE_STATE_RESTING);
    ck_assert(updates_slot_busy(updates, 63));
    updates_move(updates, b, UPDATE_STATE_GONE);
    ck_assert(!updates_slot_busy(updates, 63));
    updates_move(updates, must_add(updates, "c", 63, 0), UPDATE_STATE_GONE);
    ck_assert(!updates_slot_busy(updates, 63));
    updates_destroy(updates);
}
END_TEST

START_TEST(thousands_are_found_until_they_are_gone)
{
    enum { MANY = 5000 };
    struct updates *updates = updates_create();
    static struct update *added[MANY];
    char key[16];
    for (int i = 0; i < MANY; i++) {
        snprintf(key, sizeof key, "cus-%d", i);
        added[i] = must_add(updates, key, i % 64, 0);
    }
    ck_assert_uint_eq(updates_total(updates), MANY);
    for (int i = 0; i < MANY; i += 3) {
        updates_move(updates, added[i], UPDATE_STATE_GONE);
    }
    for (int i = 0; i < MANY; i++) {
        snprintf(key, sizeof key, "cus-%d", i);
        ck_assert_ptr_eq(updates_find(updates, str_of(key)), i % 3 == 0 ? NULL : added[i]);
    }
    ck_assert_uint_eq(updates_total(updates), MANY - (MANY + 2) / 3);
    updates_destroy(updates);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("update");
    tcase_add_test(tests, copies_its_texts);
    tcase_add_test(tests, its_body_holds_a_mebibyte);
    tcase_add_test(tests, keeps_all_rows_and_the_fewest_attempts);
    tcase_add_test(tests, an_id_is_valid_that_is_safe_in_a_path);
    tcase_add_test(tests, states_change_as_the_diagram_says);
    tcase_add_test(tests, states_have_their_names);
    tcase_add_test(tests, every_allowed_move_is_carried_out);
    tcase_add_test(tests, is_found_by_its_key);
    tcase_add_test(tests, thousands_are_found_until_they_are_gone);
    tcase_add_test(tests, a_customer_can_come_again_once_gone);
    tcase_add_test(tests, live_goes_before_backfill_and_each_in_the_order_it_came);
    tcase_add_test(tests, begun_ones_are_in_the_order_they_began_whatever_their_priority);
    tcase_add_test(tests, a_slot_is_busy_until_the_last_begun_is_gone);
    tcase_set_timeout(tests, 20);
    Suite *suite = suite_create("update");
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
