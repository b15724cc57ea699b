#include "cases.h"
#include "domain/calendar.h"
#include "domain/instant.h"
#include "suite.h"

#include <check.h>

static struct str verdict(enum instant_result result)
{
    switch (result) {
    case INSTANT_RESULT_OK:
        break;
    case INSTANT_RESULT_NOT_A_TIME:
        return STR("!time");
    case INSTANT_RESULT_INFINITE:
        return STR("!infinite");
    case INSTANT_RESULT_OUT_OF_RANGE:
        return STR("!range");
    }
    return STR("");
}

static int64_t must_parse(struct str text)
{
    int64_t instant;
    ck_assert_msg(instant_parse(text, NULL, &instant) == INSTANT_RESULT_OK, "%.*s is no time",
                  STR_ARG(text));
    return instant;
}

START_TEST(reads_and_prints_as_the_table_says)
{
    struct cases cases;
    cases_open(&cases, "instant.tsv", 3);
    while (cases_next(&cases)) {
        bool zoned = !str_equal(cases.field[1], STR("-"));
        struct zone *zone = zoned ? zone_fixed(cases.field[1]) : NULL;
        ck_assert_msg(!zoned || zone != NULL, "%s: not a zone", cases.where);
        int64_t instant;
        char made[INSTANT_TEXT_BYTES] = "";
        enum instant_result result = instant_parse(cases.field[0], zone, &instant);
        if (result == INSTANT_RESULT_OK) {
            instant_print(instant, made);
        }
        struct str got = result == INSTANT_RESULT_OK ? str_of(made) : verdict(result);
        ck_assert_msg(str_equal(got, cases.field[2]), "%s: got %.*s", cases.where, STR_ARG(got));
        zone_destroy(zone);
    }
    cases_close(&cases);
}
END_TEST

START_TEST(counts_months_as_the_table_says)
{
    struct cases cases;
    cases_open(&cases, "months.tsv", 3);
    while (cases_next(&cases)) {
        int64_t months = 0;
        char made[32] = "!";
        if (instant_months(must_parse(cases.field[0]), must_parse(cases.field[1]), &months)) {
            snprintf(made, sizeof made, "%lld", (long long)months);
        }
        ck_assert_msg(str_equal(str_of(made), cases.field[2]), "%s: got %s", cases.where, made);
    }
    cases_close(&cases);
}
END_TEST

START_TEST(keeps_microseconds)
{
    ck_assert_int_eq(must_parse(STR("1970-01-01T00:00:01.000002+00:00")), 1000002);
    ck_assert_int_eq(must_parse(STR("1969-12-31T23:59:59.999999+00:00")), -1);
    ck_assert_int_eq(must_parse(STR("1970-01-01T00:00:00.000001999Z")), 1);
}
END_TEST

// Every day of 24 centuries, counted one by one.
START_TEST(calendar_agrees_with_counting_days)
{
    struct calendar_date date = {.year = 1, .month = 1, .day = 1};
    int64_t wrong = 0; // an assertion for each would take minutes
    for (int64_t days = -719162; days < 150000; days++) {
        struct calendar_date got = calendar_date(days);
        wrong += calendar_days(date) != days || got.year != date.year || got.month != date.month ||
                 got.day != date.day;
        date.day++;
        if (date.day > calendar_month_days(date.year, date.month)) {
            date = (struct calendar_date){date.year, date.month + 1, 1};
        }
        if (date.month > 12) {
            date = (struct calendar_date){date.year + 1, 1, 1};
        }
    }
    ck_assert_int_eq(wrong, 0);
    ck_assert(date.year == 2380 && date.month == 9 && date.day == 8);
}
END_TEST

START_TEST(a_month_never_ends_before_the_one_before_it)
{
    int64_t from = must_parse(STR("2023-01-31T12:34:56.789Z"));
    int64_t before = 0;
    for (int64_t hours = 0; hours < INT64_C(24) * 366 * 3; hours++) {
        int64_t months;
        ck_assert(instant_months(from, from + hours * INT64_C(3600000000), &months));
        ck_assert(months == before || months == before + 1);
        before = months;
    }
    ck_assert_int_eq(before, 36);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("instant");
    TCase *tcase = tcase_create("instant");
    tcase_add_test(tcase, reads_and_prints_as_the_table_says);
    tcase_add_test(tcase, counts_months_as_the_table_says);
    tcase_add_test(tcase, keeps_microseconds);
    tcase_add_test(tcase, calendar_agrees_with_counting_days);
    tcase_add_test(tcase, a_month_never_ends_before_the_one_before_it);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
