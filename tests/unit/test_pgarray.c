#include "io/pgarray.h"
#include "suite.h"

#include <check.h>
#include <stdlib.h>

static void check_taken(struct pgarray *array, const char *expected)
{
    char *text = pgarray_take(array);
    ck_assert_str_eq(text, expected);
    free(text);
}

START_TEST(nothing_is_an_empty_array)
{
    struct pgarray array;
    pgarray_init(&array);
    check_taken(&array, "{}");
}
END_TEST

START_TEST(integers_are_separated_by_commas)
{
    struct pgarray array;
    pgarray_init(&array);
    pgarray_add_int64(&array, INT64_MIN);
    pgarray_add_null(&array);
    pgarray_add_int64(&array, 0);
    pgarray_add_int64(&array, INT64_MAX);
    check_taken(&array, "{-9223372036854775808,NULL,0,9223372036854775807}");
    pgarray_init(&array);
    pgarray_add_int64(&array, 1); // the shortest element
    pgarray_add_int64(&array, 2);
    check_taken(&array, "{1,2}");
}
END_TEST

START_TEST(text_is_quoted_and_cannot_break_out)
{
    static const struct {
        const char *text;
        const char *written;
    } cases[] = {
        {NULL, "{\"\"}"},
        {"", "{\"\"}"},
        {"abc", "{\"abc\"}"},
        {"NULL", "{\"NULL\"}"}, // the word, not the absence
        {"a\",\"b", "{\"a\\\",\\\"b\"}"},
        {"a\\", "{\"a\\\\\"}"},
        {"\\\"", "{\"\\\\\\\"\"}"},
        {"{1,2}", "{\"{1,2}\"}"},
        {" a\n\t'", "{\" a\n\t'\"}"},
        {"\xC3\xA4", "{\"\xC3\xA4\"}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pgarray array;
        pgarray_init(&array);
        pgarray_add_text(&array, str_of(cases[i].text));
        check_taken(&array, cases[i].written);
    }
}
END_TEST

START_TEST(an_empty_text_counts_as_an_element)
{
    struct pgarray array;
    pgarray_init(&array);
    pgarray_add_text(&array, STR(""));
    pgarray_add_text(&array, STR(""));
    pgarray_add_null(&array);
    pgarray_add_text(&array, (struct str){"ab and more", 2});
    check_taken(&array, "{\"\",\"\",NULL,\"ab\"}");
}
END_TEST

START_TEST(times_are_in_utc_to_the_microsecond)
{
    static const struct {
        int64_t time_us;
        const char *written;
    } cases[] = {
        {0, "{\"1970-01-01 00:00:00.000000+00\"}"},
        {INT64_C(1772600767089001), "{\"2026-03-04 05:06:07.089001+00\"}"},
        {999999, "{\"1970-01-01 00:00:00.999999+00\"}"},
        {-1, "{\"1969-12-31 23:59:59.999999+00\"}"},
        {-1000000, "{\"1969-12-31 23:59:59.000000+00\"}"},
        {-1000001, "{\"1969-12-31 23:59:58.999999+00\"}"},
        {INT64_C(253402300800000000), "{\"10000-01-01 00:00:00.000000+00\"}"},
        {INT64_MIN, "{-infinity}"},
        {INT64_MAX, "{infinity}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pgarray array;
        pgarray_init(&array);
        pgarray_add_time(&array, cases[i].time_us);
        check_taken(&array, cases[i].written);
    }
    struct pgarray array;
    pgarray_init(&array);
    pgarray_add_time(&array, INT64_MIN);
    pgarray_add_time(&array, 0);
    pgarray_add_time(&array, INT64_MAX);
    check_taken(&array, "{-infinity,\"1970-01-01 00:00:00.000000+00\",infinity}");
}
END_TEST

START_TEST(absurd_times_do_not_overflow)
{
    struct pgarray array;
    pgarray_init(&array);
    pgarray_add_time(&array, INT64_MIN + 1);
    pgarray_add_time(&array, INT64_MAX - 1);
    char *text = pgarray_take(&array);
    ck_assert_ptr_nonnull(strstr(text, ".224193+00\",\""));
    ck_assert_ptr_nonnull(strstr(text, ".775806+00\"}"));
    free(text);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("pgarray");
    tcase_add_test(tests, nothing_is_an_empty_array);
    tcase_add_test(tests, integers_are_separated_by_commas);
    tcase_add_test(tests, text_is_quoted_and_cannot_break_out);
    tcase_add_test(tests, an_empty_text_counts_as_an_element);
    tcase_add_test(tests, times_are_in_utc_to_the_microsecond);
    tcase_add_test(tests, absurd_times_do_not_overflow);
    tcase_set_timeout(tests, 20);
    Suite *suite = suite_create("pgarray");
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
