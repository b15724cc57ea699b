#include "domain/series.h"
#include "suite.h"

#include <check.h>

#define S INT64_C(1000000)
#define DAY_S INT64_C(86400)
#define START (INT64_C(1772582400) * S) // 2026-03-04 00:00

static double sum_of_all(const struct series *series, size_t sum)
{
    double total = 0;
    for (size_t i = 0; i < series_count(series); i++) {
        total += series_sum(series, i, sum);
    }
    return total;
}

static void must_add(struct series *series, int64_t from_s, int64_t to_s, double amount)
{
    ck_assert(series_add(series, 0, START + from_s * S, START + to_s * S, amount));
}

START_TEST(sums_are_spread_over_their_time)
{
    struct series *series = series_create(1, 0);
    must_add(series, 0, 4, 8);
    must_add(series, 2, 2, 1);
    ck_assert_uint_eq(series_count(series), 5); // the end is the next one's begin
    ck_assert_int_eq(series_start_us(series), START);
    ck_assert_int_eq(series_width_us(series), S);
    static const double expected[] = {2, 2, 3, 2, 0};
    for (size_t i = 0; i < 5; i++) {
        ck_assert_double_eq_tol(series_sum(series, i, 0), expected[i], 1e-9);
    }
    series_destroy(series);
}
END_TEST

START_TEST(levels_keep_the_highest_and_say_where_there_is_none)
{
    struct series *series = series_create(1, 2);
    double value;
    ck_assert(series_level(series, 1, START, START + S, 5));
    ck_assert(series_level(series, 1, START + S, START + S, 7));
    ck_assert(series_level(series, 1, START + S, START + S, 6));
    must_add(series, 3, 3, 1);
    ck_assert(series_top(series, 0, 1, &value) && value == 5);
    ck_assert(series_top(series, 1, 1, &value) && value == 7);
    ck_assert(!series_top(series, 2, 1, &value));
    ck_assert(!series_top(series, 0, 0, &value));
    series_destroy(series);
}
END_TEST

START_TEST(a_longer_time_makes_wider_buckets_and_loses_nothing)
{
    struct series *series = series_create(1, 1);
    double value;
    ck_assert(series_level(series, 0, START + 7 * S, START + 7 * S, 42));
    for (int64_t s = 0; s < 7 * DAY_S; s += 60) {
        must_add(series, s, s + 60, 60);
    }
    ck_assert_uint_le(series_count(series), SERIES_BUCKETS);
    ck_assert_uint_gt(series_count(series), SERIES_BUCKETS / 7);
    ck_assert_int_eq(series_width_us(series), 1800 * S);
    ck_assert_double_eq_tol(sum_of_all(series, 0), (double)(7 * DAY_S), 1e-3);
    ck_assert_double_eq_tol(series_sum(series, 3, 0), 1800, 1e-6);
    ck_assert(series_top(series, 0, 0, &value) && value == 42);
    series_destroy(series);
}
END_TEST

START_TEST(times_may_come_in_any_order)
{
    struct series *series = series_create(1, 0);
    must_add(series, 1000, 1000, 1);
    must_add(series, 900, 900, 2);
    must_add(series, 0, 0, 4);
    ck_assert_int_eq(series_start_us(series), START);
    ck_assert_int_eq(series_width_us(series), 5 * S);
    ck_assert_double_eq(series_sum(series, 0, 0), 4);
    ck_assert_double_eq(series_sum(series, 180, 0), 2);
    ck_assert_double_eq(series_sum(series, 200, 0), 1);
    must_add(series, -20 * DAY_S, -20 * DAY_S, 8); // still after 1970, and merged downwards
    ck_assert_double_eq(series_sum(series, 0, 0), 8);
    ck_assert_double_eq(sum_of_all(series, 0), 15);
    series_destroy(series);
}
END_TEST

START_TEST(a_time_that_is_years_away_is_refused)
{
    struct series *series = series_create(1, 1);
    must_add(series, 0, 0, 1);
    ck_assert(!series_add(series, 0, 0, 0, 1));
    ck_assert(!series_level(series, 0, START * 100, START * 100, 1));
    ck_assert_uint_eq(series_count(series), 1);
    ck_assert_int_eq(series_width_us(series), S);
    must_add(series, DAY_S * 365 * 8, DAY_S * 365 * 8, 1);
    ck_assert_double_eq(sum_of_all(series, 0), 2);
    series_destroy(series);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("series");
    tcase_add_test(tests, sums_are_spread_over_their_time);
    tcase_add_test(tests, levels_keep_the_highest_and_say_where_there_is_none);
    tcase_add_test(tests, a_longer_time_makes_wider_buckets_and_loses_nothing);
    tcase_add_test(tests, times_may_come_in_any_order);
    tcase_add_test(tests, a_time_that_is_years_away_is_refused);
    Suite *suite = suite_create("series");
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
