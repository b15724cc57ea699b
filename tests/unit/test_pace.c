#include "domain/pace.h"
#include "suite.h"

#include <check.h>

#define MS INT64_C(1000000)

START_TEST(some_begin_at_once_after_a_rest)
{
    struct pace pace = {.every_ns = 20 * MS, .burst = 4};
    int64_t now = 5000 * MS;
    for (int i = 0; i < 4; i++) {
        ck_assert_int_le(pace_next_ns(&pace), now);
        pace_begin(&pace, now);
    }
    ck_assert_int_eq(pace_next_ns(&pace), now + 20 * MS);
}
END_TEST

START_TEST(no_more_than_one_each_interval_in_the_long_run)
{
    struct pace pace = {.every_ns = 20 * MS, .burst = 4};
    int begun = 0;
    for (int64_t now = 0; now < 1000 * MS; now += MS) {
        if (now >= pace_next_ns(&pace)) {
            pace_begin(&pace, now);
            begun++;
        }
    }
    ck_assert_int_eq(begun, 3 + 50);
}
END_TEST

START_TEST(a_long_rest_saves_no_more_than_the_burst)
{
    struct pace pace = {.every_ns = 20 * MS, .burst = 2};
    pace_begin(&pace, 0);
    pace_begin(&pace, 3600000 * MS);
    ck_assert_int_le(pace_next_ns(&pace), 3600000 * MS);
    pace_begin(&pace, 3600000 * MS);
    ck_assert_int_eq(pace_next_ns(&pace), 3600020 * MS);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("pace");
    tcase_add_test(tests, some_begin_at_once_after_a_rest);
    tcase_add_test(tests, no_more_than_one_each_interval_in_the_long_run);
    tcase_add_test(tests, a_long_rest_saves_no_more_than_the_burst);
    Suite *suite = suite_create("pace");
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
