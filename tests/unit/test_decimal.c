#include "cases.h"
#include "domain/decimal.h"
#include "suite.h"

#include <check.h>
#include <stdlib.h>

// What the table says for each result but OK.
static struct str verdict(enum decimal_result result)
{
    switch (result) {
    case DECIMAL_RESULT_OK:
        break;
    case DECIMAL_RESULT_NOT_A_NUMBER:
        return STR("!number");
    case DECIMAL_RESULT_TOO_PRECISE:
        return STR("!precise");
    case DECIMAL_RESULT_OUT_OF_RANGE:
        return STR("!range");
    }
    return STR("");
}

START_TEST(scales_as_the_table_says)
{
    struct cases cases;
    cases_open(&cases, "decimal.tsv", 3);
    while (cases_next(&cases)) {
        int64_t places;
        int64_t value = 4711;
        char made[32];
        ck_assert(str_to_int64(cases.field[1], &places));
        enum decimal_result result = decimal_scale(cases.field[0], places, &value);
        snprintf(made, sizeof made, "%lld", (long long)value);
        struct str got = result == DECIMAL_RESULT_OK ? str_of(made) : verdict(result);
        ck_assert_msg(str_equal(got, cases.field[2]), "%s: got %.*s", cases.where, STR_ARG(got));
        ck_assert_msg(result == DECIMAL_RESULT_OK || value == 4711, "%s: value was written",
                      cases.where);
    }
    cases_close(&cases);
}
END_TEST

START_TEST(keeps_all_digits_of_large_amounts)
{
    int64_t value;
    ck_assert_int_eq(decimal_scale(STR("90071992547409.93"), 2, &value), DECIMAL_RESULT_OK);
    ck_assert_int_eq(value, INT64_C(9007199254740993));
    ck_assert_int_eq(decimal_scale(STR("92233720368547758.07"), 2, &value), DECIMAL_RESULT_OK);
    ck_assert_int_eq(value, INT64_MAX);
    ck_assert_int_eq(decimal_scale(STR("-92233720368547758.08"), 2, &value), DECIMAL_RESULT_OK);
    ck_assert_int_eq(value, INT64_MIN);
}
END_TEST

// A million digits either way: zeros that say nothing, and digits that cannot fit.
START_TEST(reads_a_megabyte_of_digits)
{
    size_t len = 1000000;
    char *text = malloc(len);
    int64_t value;
    memset(text, '0', len);
    text[0] = '7';
    text[1] = '.';
    ck_assert_int_eq(decimal_scale((struct str){text, len}, 2, &value), DECIMAL_RESULT_OK);
    ck_assert_int_eq(value, 700);
    text[len - 1] = '1';
    ck_assert_int_eq(decimal_scale((struct str){text, len}, 2, &value), DECIMAL_RESULT_TOO_PRECISE);
    memset(text, '9', len);
    ck_assert_int_eq(decimal_scale((struct str){text, len}, 2, &value),
                     DECIMAL_RESULT_OUT_OF_RANGE);
    free(text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("decimal");
    TCase *tcase = tcase_create("decimal");
    tcase_add_test(tcase, scales_as_the_table_says);
    tcase_add_test(tcase, keeps_all_digits_of_large_amounts);
    tcase_add_test(tcase, reads_a_megabyte_of_digits);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
