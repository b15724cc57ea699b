#include "domain/histogram.h"
#include "suite.h"

#include <check.h>

static struct histogram *histogram;

static void setup(void)
{
    histogram = histogram_create();
}

static void teardown(void)
{
    histogram_destroy(histogram);
}

static void check_near(int64_t found, int64_t expected)
{
    double error = ((double)found - (double)expected) / (double)expected;
    ck_assert_msg(error > -0.0001 && error < 0.0323, "found %lld, expected %lld", (long long)found,
                  (long long)expected);
}

START_TEST(empty_is_zero)
{
    ck_assert_int_eq(histogram_count(histogram), 0);
    ck_assert_int_eq(histogram_max_ns(histogram), 0);
    ck_assert_int_eq(histogram_percentile_ns(histogram, 99), 0);
}
END_TEST

START_TEST(one_value_is_every_percentile)
{
    histogram_record(histogram, 123456789);
    for (int percent = -5; percent <= 105; percent++) {
        ck_assert_int_eq(histogram_percentile_ns(histogram, percent), 123456789);
    }
}
END_TEST

START_TEST(percentiles_are_within_three_percent_at_every_magnitude)
{
    for (int64_t unit = 1; unit < INT64_C(1000000000000000); unit *= 10) {
        histogram_reset(histogram);
        for (int64_t i = 1; i <= 1000; i++) {
            histogram_record(histogram, i * unit);
        }
        check_near(histogram_percentile_ns(histogram, 50), 500 * unit);
        check_near(histogram_percentile_ns(histogram, 95), 950 * unit);
        check_near(histogram_percentile_ns(histogram, 99), 990 * unit);
        ck_assert_int_eq(histogram_percentile_ns(histogram, 100), 1000 * unit);
        ck_assert_int_eq(histogram_max_ns(histogram), 1000 * unit);
    }
}
END_TEST

START_TEST(every_power_of_two_and_its_neighbours_have_their_place)
{
    for (int bit = 1; bit < 63; bit++) {
        for (int64_t side = -1; side <= 1; side++) {
            int64_t value = (INT64_C(1) << bit) + side;
            histogram_reset(histogram);
            histogram_record(histogram, value);
            histogram_record(histogram, INT64_MAX); // so that the maximum does not help
            check_near(histogram_percentile_ns(histogram, 50), value);
        }
    }
}
END_TEST

START_TEST(extremes_are_taken)
{
    histogram_record(histogram, INT64_MIN);
    histogram_record(histogram, -1);
    histogram_record(histogram, 0);
    histogram_record(histogram, INT64_MAX);
    ck_assert_int_eq(histogram_count(histogram), 4);
    ck_assert_int_eq(histogram_percentile_ns(histogram, 75), 0);
    ck_assert(histogram_percentile_ns(histogram, 76) == INT64_MAX);
}
END_TEST

START_TEST(reset_forgets_everything)
{
    histogram_record(histogram, 5);
    histogram_reset(histogram);
    ck_assert_int_eq(histogram_count(histogram), 0);
    ck_assert_int_eq(histogram_max_ns(histogram), 0);
    histogram_record(histogram, 3);
    ck_assert_int_eq(histogram_percentile_ns(histogram, 50), 3);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("histogram");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, empty_is_zero);
    tcase_add_test(tests, one_value_is_every_percentile);
    tcase_add_test(tests, percentiles_are_within_three_percent_at_every_magnitude);
    tcase_add_test(tests, every_power_of_two_and_its_neighbours_have_their_place);
    tcase_add_test(tests, extremes_are_taken);
    tcase_add_test(tests, reset_forgets_everything);
    Suite *suite = suite_create("histogram");
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
