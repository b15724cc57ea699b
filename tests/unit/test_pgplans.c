#include "io/pgplans.h"
#include "suite.h"

#include <check.h>
#include <stdio.h>

START_TEST(a_text_is_found_by_what_it_says)
{
    struct pgplans plans = {.count = 0};
    char text[] = "SELECT 1";
    ck_assert_int_eq(pgplans_find(&plans, text), -1);
    ck_assert_int_eq(pgplans_add(&plans, text), 0);
    ck_assert_int_eq(pgplans_add(&plans, "SELECT 2"), 1);
    text[7] = '2'; // the caller's may change: it was copied
    ck_assert_int_eq(pgplans_find(&plans, text), 1);
    ck_assert_int_eq(pgplans_find(&plans, "SELECT 1"), 0);
    ck_assert_int_eq(pgplans_find(&plans, "SELECT 12"), -1);
    pgplans_clear(&plans);
    ck_assert_int_eq(pgplans_find(&plans, "SELECT 1"), -1);
}
END_TEST

START_TEST(it_takes_as_many_as_it_says_each_with_a_name_of_its_own)
{
    struct pgplans plans = {.count = 0};
    char before[PGPLANS_NAME_SIZE] = "";
    for (int i = 0; i < PGPLANS_MAX; i++) {
        char text[32];
        char name[PGPLANS_NAME_SIZE];
        snprintf(text, sizeof text, "SELECT %d", i);
        pgplans_name(pgplans_add(&plans, text), name);
        ck_assert_str_ne(name, before);
        snprintf(before, sizeof before, "%s", name);
    }
    ck_assert_int_eq(pgplans_find(&plans, "SELECT 7"), 7);
    pgplans_clear(&plans);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("pgplans");
    tcase_add_test(tests, a_text_is_found_by_what_it_says);
    tcase_add_test(tests, it_takes_as_many_as_it_says_each_with_a_name_of_its_own);
    Suite *suite = suite_create("pgplans");
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
