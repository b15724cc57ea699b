#include "domain/history.h"

#include "domain/instant.h"
#include "suite.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define S INT64_C(1000000)
#define START (INT64_C(1772582400) * S) // 2026-03-04 00:00

static struct history *history;
static struct logline line;

static void setup(void)
{
    history = history_create();
    logline_init(&line);
}

static void teardown(void)
{
    history_destroy(history);
    logline_free(&line);
}

// A line `at_s` seconds after the start: an event and its fields.
static void say(int64_t at_s, const char *message)
{
    char time[INSTANT_TEXT_BYTES];
    char text[2000];
    instant_print(START + at_s * S, time);
    snprintf(text, sizeof text, "%s info %s", time, message);
    ck_assert_msg(logline_parse(&line, str_of(text)), "%s", text);
    ck_assert(history_add(history, &line));
}

static double total_s(enum history_state state)
{
    return history->totals[HISTORY_SUM_STATE + (int)state];
}

START_TEST(counters_are_totals_since_the_daemon_s_start)
{
    say(0, "daemon.start");
    say(60, "stats sent=10 ok=8");
    say(120, "stats sent=30 ok=28");
    say(200, "daemon.start");
    say(260, "stats sent=5 ok=5");
    ck_assert_double_eq_tol(history->totals[HISTORY_SUM_SENT], 35, 1e-6);
    ck_assert_double_eq_tol(history->totals[HISTORY_SUM_OK], 33, 1e-6);
    ck_assert_double_eq_tol(series_sum(history->series, 0, HISTORY_SUM_SENT), 10.0 / 60, 1e-6);
}
END_TEST

START_TEST(a_log_that_begins_in_the_middle_counts_from_its_first_stats)
{
    say(0, "stats sent=1000000");
    say(60, "stats sent=1000007");
    say(120, "stats sent=3"); // another daemon, which did not say so
    history_next_log(history);
    say(30, "stats sent=500");
    say(90, "stats sent=501");
    ck_assert_double_eq_tol(history->totals[HISTORY_SUM_SENT], 7 + 3 + 1, 1e-6);
}
END_TEST

START_TEST(states_are_timed_from_line_to_line)
{
    say(0, "daemon.start");
    say(5, "daemon.ready");
    say(65, "stats paused=no");
    say(100, "api.down from=open to=down");
    say(125, "stats paused=down");
    say(200, "api.up from=down to=open");
    say(260, "db.lost");
    say(300, "db.connect");
    say(310, "daemon.stop exit=0");
    say(5000, "daemon.start");
    ck_assert_double_eq_tol(total_s(HISTORY_STATE_OPEN), 95 + 60 + 10, 1e-6);
    ck_assert_double_eq_tol(total_s(HISTORY_STATE_DOWN), 100, 1e-6);
    ck_assert_double_eq_tol(total_s(HISTORY_STATE_DATABASE), 40, 1e-6);
    ck_assert_double_eq_tol(total_s(HISTORY_STATE_STOPPED), 4690, 1e-6);
    ck_assert_double_gt(history_state_s(history, 4, HISTORY_STATE_DOWN), 0);
}
END_TEST

START_TEST(silence_is_no_state)
{
    say(0, "stats paused=unauthorized sent=1");
    say(60, "stats paused=unauthorized sent=2");
    say(7200, "stats paused=no sent=12"); // killed at some time, or its log was not kept
    ck_assert_double_eq_tol(total_s(HISTORY_STATE_UNAUTHORIZED), 60, 1e-6);
    ck_assert_double_eq_tol(total_s(HISTORY_STATE_OPEN), 0, 1e-6);
    ck_assert_double_eq_tol(history->totals[HISTORY_SUM_SENT], 11, 1e-6);
    double value;
    ck_assert(!series_top(history->series, series_count(history->series) / 2, HISTORY_LEVEL_PENDING,
                          &value));
}
END_TEST

START_TEST(a_rare_stats_line_is_no_silence)
{
    say(0, "stats paused=no");
    say(3600, "stats paused=no"); // log.stats_interval: 1h, which nothing else tells yet
    say(7200, "stats paused=no");
    say(10800, "stats paused=no");
    ck_assert_double_eq_tol(total_s(HISTORY_STATE_OPEN), 7200, 1e-6);
}
END_TEST

START_TEST(levels_are_held_from_stats_to_stats)
{
    double value;
    say(0, "stats pending=5 oldest_s=1");
    say(60, "stats pending=9 oldest_s=0");
    say(61, "stats pending=-1 oldest_s=x");
    ck_assert(series_top(history->series, 30, HISTORY_LEVEL_PENDING, &value) && value == 9);
    ck_assert_double_eq(history->tops[HISTORY_LEVEL_PENDING], 9);
    ck_assert_double_eq(history->tops[HISTORY_LEVEL_OLDEST_S], 1);
    ck_assert(isnan(history->tops[HISTORY_LEVEL_RATE]));
}
END_TEST

START_TEST(dead_rows_are_grouped_by_reason_without_customers)
{
    say(0, "update.dead customer_id=c-secret id=7 rows=2 http_status=400 type=INVALID param=email");
    say(9, "update.dead customer_id=c-secret id=8 rows=1 http_status=400 type=INVALID param=email");
    say(10, "update.dead customer_id=c-secret id=9 rows=0 reason=\"mapping: phone\"");
    say(11, "update.dead customer_id=c-secret http_status=410");
    ck_assert_uint_eq(history->reason_count, 3);
    ck_assert_str_eq(history->reasons[0].text, "INVALID, email");
    ck_assert_int_eq(history->reasons[0].rows, 3);
    ck_assert_int_eq(history->reasons[0].updates, 2);
    ck_assert_int_eq(history->reasons[0].last_us, START + 9 * S);
    ck_assert_str_eq(history->reasons[1].text, "mapping: phone");
    ck_assert_str_eq(history->reasons[2].text, "http_status=410");
    ck_assert_double_eq(history->totals[HISTORY_SUM_DEAD], 5);
}
END_TEST

START_TEST(reasons_and_events_are_bounded)
{
    for (int i = 0; i < HISTORY_REASONS + 5; i++) {
        char text[100];
        snprintf(text, sizeof text, "update.dead rows=1 type=T%d", i);
        say(i, text);
    }
    for (int i = 0; i < 26 * 4; i++) {
        char text[] = "event_aa";
        text[6] = (char)('a' + i / 26);
        text[7] = (char)('a' + i % 26);
        say(200, text);
    }
    ck_assert_uint_eq(history->reason_count, HISTORY_REASONS);
    ck_assert_int_eq(history->other_rows, 5);
    ck_assert_uint_eq(history->event_count, HISTORY_EVENTS);
}
END_TEST

START_TEST(what_happened_is_noted_and_bounded)
{
    say(0, "api.down from=open to=down reason=5xx detail=5xx customer_id=c-secret");
    say(1, "watch.error relation=crm.orders sqlstate=42501");
    say(2, "watch.error relation=crm.orders sqlstate=42501");
    say(3, "update.retry customer_id=c-secret");
    say(4, "backfill.progress name=all done=3");
    say(5, "backfill.done name=all state=paused done=7 reason=asked");
    ck_assert_uint_eq(history->note_count, 3);
    ck_assert_str_eq(history->notes[2].text, "name=all, state=paused, done=7, asked");
    ck_assert_str_eq(history->notes[0].text, "open to down, 5xx");
    ck_assert_str_eq(history->notes[1].text, "relation=crm.orders, sqlstate=42501");
    ck_assert_int_eq(history->notes[1].count, 2);
    ck_assert_int_eq(history->notes[1].last_us, START + 2 * S);
    for (int i = 0; i < 2 * HISTORY_NOTES; i++) {
        say(10 + i, i % 2 == 0 ? "api.down to=down" : "api.up to=open");
    }
    ck_assert_uint_eq(history->note_count, HISTORY_NOTES);
    ck_assert_int_eq(history->notes_left_out, 3 + HISTORY_NOTES);
    ck_assert_int_eq(history->notes[HISTORY_NOTES - 1].first_us,
                     START + (10 + 2 * HISTORY_NOTES - 1) * S);
    ck_assert_str_eq(history->notes[1].event, "watch.error");
}
END_TEST

START_TEST(a_clock_that_steps_back_does_no_harm)
{
    say(100, "stats sent=5 paused=no pending=1");
    say(90, "stats sent=6 paused=down pending=2");
    say(110, "stats sent=7 paused=no pending=3");
    ck_assert_double_eq_tol(history->totals[HISTORY_SUM_SENT], 2, 1e-6);
    ck_assert_double_eq_tol(total_s(HISTORY_STATE_DOWN), 10, 1e-6);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("history");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, counters_are_totals_since_the_daemon_s_start);
    tcase_add_test(tests, a_log_that_begins_in_the_middle_counts_from_its_first_stats);
    tcase_add_test(tests, states_are_timed_from_line_to_line);
    tcase_add_test(tests, silence_is_no_state);
    tcase_add_test(tests, a_rare_stats_line_is_no_silence);
    tcase_add_test(tests, levels_are_held_from_stats_to_stats);
    tcase_add_test(tests, dead_rows_are_grouped_by_reason_without_customers);
    tcase_add_test(tests, reasons_and_events_are_bounded);
    tcase_add_test(tests, what_happened_is_noted_and_bounded);
    tcase_add_test(tests, a_clock_that_steps_back_does_no_harm);
    Suite *suite = suite_create("history");
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
