#include "domain/human.h"
#include "suite.h"

#include <check.h>

static struct buf out;

static void setup(void)
{
    buf_init(&out, 4096);
}

static void teardown(void)
{
    buf_free(&out);
}

static void check_text(bool ok, const char *expected)
{
    ck_assert(ok);
    ck_assert_str_eq(buf_peek(&out).ptr, expected);
    buf_reset(&out);
}

START_TEST(counts_have_their_thousands_apart)
{
    check_text(human_count(0, &out), "0");
    check_text(human_count(999, &out), "999");
    check_text(human_count(1000, &out), "1,000");
    check_text(human_count(-1234567, &out), "-1,234,567");
    check_text(human_count(-123, &out), "-123");
    check_text(human_count(INT64_MIN, &out), "-9,223,372,036,854,775,808");
}
END_TEST

START_TEST(ages_have_two_units_at_most)
{
    check_text(human_age(-3, &out), "0.0 s");
    check_text(human_age(0.44, &out), "0.4 s");
    check_text(human_age(9.96, &out), "10 s");
    check_text(human_age(119.4, &out), "119 s");
    check_text(human_age(120, &out), "2 min");
    check_text(human_age(7199, &out), "119 min");
    check_text(human_age(7500, &out), "2 h 5 min");
    check_text(human_age(48.0 * 3600, &out), "2 d 0 h");
    check_text(human_age(99.0 * 3600, &out), "4 d 3 h");
}
END_TEST

START_TEST(times_and_sizes_take_the_unit_that_fits)
{
    check_text(human_ms(0.32, &out), "0.3 ms");
    check_text(human_ms(12.4, &out), "12 ms");
    check_text(human_ms(1500, &out), "1.5 s");
    check_text(human_bytes(1023, &out), "1023 B");
    check_text(human_bytes(1536, &out), "1.5 KiB");
    check_text(human_bytes(INT64_C(400) << 20, &out), "400 MiB");
    check_text(human_bytes(INT64_MAX, &out), "8388608 TiB");
}
END_TEST

START_TEST(controls_never_reach_the_terminal)
{
    check_text(human_safe(STR("a\x1b[2J\r\n\tb\x7f"), &out), "a?[2J???b?");
    check_text(human_safe(STR("\xc2\x9b"
                              "31m"),
                          &out),
               "?31m");
    check_text(human_safe(STR("Zo\xc3\xab \xe5\xae\xa2 \xc2\xa0"), &out),
               "Zo\xc3\xab \xe5\xae\xa2 \xc2\xa0");
}
END_TEST

START_TEST(the_sparkline_is_as_high_as_its_highest)
{
    const double values[] = {0, 0.001, 50, 100};
    check_text(human_sparkline(values, 4, true, &out), "▁▂▅█");
    check_text(human_sparkline(values, 4, false, &out), "_.=#");
    check_text(human_sparkline(values, 1, true, &out), "▁");
    check_text(human_sparkline(values, 0, true, &out), "");
}
END_TEST

START_TEST(a_full_buffer_is_said)
{
    struct buf small;
    buf_init(&small, 3);
    ck_assert(!human_count(1000, &small));
    buf_free(&small);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("human");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, counts_have_their_thousands_apart);
    tcase_add_test(tests, ages_have_two_units_at_most);
    tcase_add_test(tests, times_and_sizes_take_the_unit_that_fits);
    tcase_add_test(tests, controls_never_reach_the_terminal);
    tcase_add_test(tests, the_sparkline_is_as_high_as_its_highest);
    tcase_add_test(tests, a_full_buffer_is_said);
    Suite *suite = suite_create("human");
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
