#include "domain/headline.h"
#include "suite.h"

#include <check.h>

static const struct headline working = {.connected = true,
                                        .counted = true,
                                        .waiting = 12,
                                        .oldest_s = 3,
                                        .sent_per_s = 45.23,
                                        .allowed_per_s = 100,
                                        .api = "open",
                                        .in_flight = 7,
                                        .slots = 64,
                                        .slots_of = 64};

static void check_line(const struct headline *headline, const char *line)
{
    struct buf out;
    buf_init(&out, 256);
    ck_assert(headline_print(headline, &out));
    ck_assert_str_eq(out.data, line);
    buf_free(&out);
}

START_TEST(queue_rate_api_and_slots)
{
    check_line(&working, "12 waiting (oldest 3.0 s), 45.2/s of 100.0/s, API open, 64 of 64 slots");
    struct headline at = working;
    at.waiting = 0;
    check_line(&at, "nothing waiting, 45.2/s of 100.0/s, API open, 64 of 64 slots");
    at.counted = false;
    check_line(&at, "45.2/s of 100.0/s, API open, 64 of 64 slots");
}
END_TEST

START_TEST(dead_rows_are_named)
{
    struct headline at = working;
    at.waiting = 1234567;
    at.oldest_s = 7500;
    at.dead = 1000;
    check_line(&at, "1,234,567 waiting (oldest 2 h 5 min), 1,000 dead, 45.2/s of 100.0/s, API open,"
                    " 64 of 64 slots");
}
END_TEST

START_TEST(what_is_in_the_way)
{
    struct headline at = working;
    at.waiting = 0;
    at.sent_per_s = 0;
    at.api = "down";
    at.api_s = 42;
    check_line(&at, "nothing waiting, 0.0/s of 100.0/s, API down for 42 s, 64 of 64 slots");
    at.api = "manual";
    check_line(&at, "nothing waiting, 0.0/s of 100.0/s, paused by hand for 42 s, 64 of 64 slots");
    at.connected = false;
    at.lost_s = 300;
    check_line(&at, "database away for 5 min, 7 in flight");
    at.stopping = true;
    check_line(&at, "stopping, 7 in flight");
}
END_TEST

START_TEST(what_does_not_fit_is_refused)
{
    struct buf out;
    buf_init(&out, 20);
    ck_assert(!headline_print(&working, &out));
    buf_free(&out);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("headline");
    tcase_add_test(tests, queue_rate_api_and_slots);
    tcase_add_test(tests, dead_rows_are_named);
    tcase_add_test(tests, what_is_in_the_way);
    tcase_add_test(tests, what_does_not_fit_is_refused);
    Suite *suite = suite_create("headline");
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
