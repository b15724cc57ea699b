#include "domain/scale.h"
#include "suite.h"

#include <check.h>
#include <math.h>

START_TEST(steps_are_round_and_at_most_five)
{
    static const double tops[][2] = {{0.7, 0.2}, {1, 0.2}, {4.9, 1}, {5, 1},    {5.1, 2},
                                     {50, 10},   {52, 20}, {99, 20}, {101, 50}, {1e9, 2e8}};
    for (size_t i = 0; i < sizeof tops / sizeof tops[0]; i++) {
        ck_assert_double_eq_tol(scale_step(tops[i][0]), tops[i][1], tops[i][1] / 1e6);
    }
    ck_assert_double_eq(scale_step(0), 1);
    ck_assert_double_eq(scale_step((double)NAN), 1);
}
END_TEST

START_TEST(steps_of_time_are_those_of_a_clock)
{
    ck_assert_int_eq(scale_time_step_s(5, 9), 1);
    ck_assert_int_eq(scale_time_step_s(3600, 9), 600);
    ck_assert_int_eq(scale_time_step_s(86400, 9), 10800);
    ck_assert_int_eq(scale_time_step_s(INT64_C(604800), 9), 86400);
    ck_assert_int_eq(scale_time_step_s(INT64_C(31536000) * 100, 9), 31536000);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("scale");
    tcase_add_test(tests, steps_are_round_and_at_most_five);
    tcase_add_test(tests, steps_of_time_are_those_of_a_clock);
    Suite *suite = suite_create("scale");
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
