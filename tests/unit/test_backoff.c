#include "domain/backoff.h"
#include "suite.h"

#include <check.h>
#include <stdbool.h>

#define SEC INT64_C(1000000000)

static const struct backoff backoff = {.base_ns = SEC, .cap_ns = 900 * SEC};

START_TEST(ceiling_doubles_up_to_the_cap)
{
    static const int64_t seconds[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900};
    for (size_t i = 0; i < sizeof seconds / sizeof seconds[0]; i++) {
        ck_assert_int_eq(backoff_ceiling_ns(&backoff, (int64_t)i + 1), seconds[i] * SEC);
    }
    ck_assert_int_eq(backoff_ceiling_ns(&backoff, 0), SEC);
    ck_assert_int_eq(backoff_ceiling_ns(&backoff, -7), SEC);
    ck_assert_int_eq(backoff_ceiling_ns(&backoff, INT64_MAX), 900 * SEC);
}
END_TEST

START_TEST(jitter_is_full_and_rounded_up)
{
    ck_assert_int_eq(backoff_jitter_ns(SEC, 0), 0);
    ck_assert_int_eq(backoff_jitter_ns(SEC, 1), 1);
    ck_assert_int_eq(backoff_jitter_ns(SEC, UINT64_C(1) << 63), SEC / 2);
    ck_assert_int_eq(backoff_jitter_ns(SEC, UINT64_MAX), SEC);
    ck_assert_int_eq(backoff_jitter_ns(INT64_MAX, UINT64_MAX), INT64_MAX);
    ck_assert_int_eq(backoff_jitter_ns(-5, UINT64_MAX), 0);
}
END_TEST

static bool is_between(int64_t value, int64_t least, int64_t most)
{
    return value >= least && value <= most;
}

START_TEST(is_never_below_the_floor)
{
    for (int64_t attempts = 1; attempts < 40; attempts++) {
        for (uint64_t i = 0; i < 16; i++) {
            int64_t wait = backoff_wait_ns(&backoff, attempts, i << 60, 15 * SEC);
            ck_assert(is_between(wait, 15 * SEC, 900 * SEC));
        }
    }
    ck_assert_int_eq(backoff_wait_ns(&backoff, 40, UINT64_MAX, 15 * SEC), 900 * SEC);
    ck_assert_int_eq(backoff_wait_ns(&backoff, 1, 0, 15 * SEC), 15 * SEC);
    ck_assert_int_eq(backoff_wait_ns(&backoff, 1, UINT64_MAX, 15 * SEC), 16 * SEC);
}
END_TEST

START_TEST(floor_above_the_cap_wins)
{
    ck_assert_int_eq(backoff_wait_ns(&backoff, 30, UINT64_MAX, 3600 * SEC), 3600 * SEC);
    ck_assert(backoff_wait_ns(&backoff, 30, UINT64_MAX, INT64_MAX) == INT64_MAX);
}
END_TEST

START_TEST(odd_options_are_harmless)
{
    const struct backoff odd[] = {
        {0, 0}, {-1, -1}, {INT64_MAX, INT64_MAX}, {10, 3}, {3, INT64_MAX}};
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        for (int64_t attempts = 0; attempts < 100; attempts++) {
            ck_assert(backoff_wait_ns(&odd[i], attempts, UINT64_MAX, 0) >= 0);
            ck_assert(backoff_wait_ns(&odd[i], attempts, 0, -1) >= 0);
        }
    }
    ck_assert_int_eq(backoff_ceiling_ns(&odd[3], 1), 3);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("backoff");
    tcase_add_test(tests, ceiling_doubles_up_to_the_cap);
    tcase_add_test(tests, jitter_is_full_and_rounded_up);
    tcase_add_test(tests, is_never_below_the_floor);
    tcase_add_test(tests, floor_above_the_cap_wins);
    tcase_add_test(tests, odd_options_are_harmless);
    Suite *suite = suite_create("backoff");
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
