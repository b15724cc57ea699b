#include "io/loop.h"

#include "base/clock.h"
#include "suite.h"

#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define MS CLOCK_NS_PER_MS

enum { HITS_MAX = 32 };

// What the callbacks did, one letter each.
struct trace {
    struct loop *loop;
    char hits[HITS_MAX];
    size_t count;
    bool done;
    int fds[2];
    struct loop_watch *watch;
    struct loop_timer *timers[3];
    int64_t at_ns;
    size_t quit_after;
};

static struct trace trace;

static void setup(void)
{
    struct err err = {.kind = ERR_KIND_NONE};
    trace = (struct trace){.loop = loop_create(&err), .quit_after = HITS_MAX - 1};
    ck_assert_msg(trace.loop != NULL, "%s", err.text);
    ck_assert_int_eq(pipe(trace.fds), 0);
}

static void teardown(void)
{
    loop_watch_close(trace.watch);
    for (size_t i = 0; i < 3; i++) {
        loop_timer_close(trace.timers[i]);
    }
    loop_destroy(trace.loop);
    close(trace.fds[0]);
    close(trace.fds[1]);
}

static void hit(char letter)
{
    ck_assert_uint_lt(trace.count, HITS_MAX - 1);
    trace.hits[trace.count++] = letter;
    if (trace.count >= trace.quit_after) {
        trace.done = true;
    }
}

static void must_run_until_done(void)
{
    struct err err = {.kind = ERR_KIND_NONE};
    ck_assert_msg(loop_run_until(trace.loop, &trace.done, &err), "%s", err.text);
}

static void on_a(void *ctx)
{
    (void)ctx;
    ck_assert_int_ge(loop_now_ns(trace.loop), trace.at_ns);
    hit('a');
}

static void on_b(void *ctx)
{
    (void)ctx;
    hit('b');
}

static void on_end(void *ctx)
{
    hit('.');
    *(bool *)ctx = true;
}

static void on_turn(void *ctx)
{
    (void)ctx;
    hit('t');
}

static void must_write_byte(void)
{
    ck_assert_int_eq(write(trace.fds[1], "x", 1), 1);
}

static void on_read(void *ctx, uint32_t ready)
{
    ck_assert_ptr_eq(ctx, &trace);
    ck_assert_uint_eq(ready & EPOLLIN, EPOLLIN);
    char byte;
    ck_assert_int_eq(read(trace.fds[0], &byte, 1), 1);
    hit('r');
}

static void on_ready_close(void *ctx, uint32_t ready)
{
    (void)ctx;
    (void)ready;
    hit('c');
    loop_watch_close(trace.watch); // and the descriptor stays readable
    trace.watch = NULL;
}

START_TEST(timers_fire_in_the_order_of_their_times_and_once)
{
    int64_t now = clock_now_ns();
    trace.timers[0] = loop_timer_open(trace.loop, on_a, NULL);
    trace.timers[1] = loop_timer_open(trace.loop, on_b, NULL);
    trace.timers[2] = loop_timer_open(trace.loop, on_end, &trace.done);
    loop_timer_set(trace.timers[2], now + 30 * MS);
    loop_timer_set(trace.timers[0], now + 20 * MS);
    loop_timer_set(trace.timers[1], now + 10 * MS);
    must_run_until_done();
    ck_assert_str_eq(trace.hits, "ba.");
}
END_TEST

START_TEST(a_timer_never_fires_before_its_time)
{
    trace.timers[0] = loop_timer_open(trace.loop, on_a, NULL);
    trace.quit_after = 0;
    for (int64_t i = 1; i <= 20; i++) {
        int64_t at_us = clock_now_ns() / CLOCK_NS_PER_US + 100 * i;
        trace.at_ns = at_us * CLOCK_NS_PER_US + 1; // between two microseconds
        trace.done = false;
        loop_timer_set(trace.timers[0], trace.at_ns);
        must_run_until_done(); // on_a compares
    }
    ck_assert_uint_eq(trace.count, 20);
}
END_TEST

START_TEST(past_times_fire_in_the_next_turn)
{
    static const int64_t times[] = {0, 1, -5, INT64_MIN};
    trace.timers[0] = loop_timer_open(trace.loop, on_b, NULL);
    trace.quit_after = 0;
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        trace.done = false;
        loop_timer_set(trace.timers[0], times[i]);
        must_run_until_done();
    }
    ck_assert_str_eq(trace.hits, "bbbb");
}
END_TEST

START_TEST(unset_timers_do_not_fire_and_can_be_set_again)
{
    trace.timers[0] = loop_timer_open(trace.loop, on_a, NULL);
    trace.timers[1] = loop_timer_open(trace.loop, on_b, NULL); // never set
    trace.timers[2] = loop_timer_open(trace.loop, on_end, &trace.done);
    loop_timer_set(trace.timers[0], 0);
    loop_timer_unset(trace.timers[0]);
    loop_timer_set(trace.timers[2], clock_now_ns() + MS);
    must_run_until_done();
    ck_assert_str_eq(trace.hits, ".");
    trace.done = false;
    loop_timer_set(trace.timers[0], 0);
    loop_timer_set(trace.timers[2], clock_now_ns() + MS);
    must_run_until_done();
    ck_assert_str_eq(trace.hits, ".a.");
}
END_TEST

START_TEST(a_timer_far_away_stays_quiet)
{
    trace.timers[0] = loop_timer_open(trace.loop, on_a, NULL);
    trace.timers[2] = loop_timer_open(trace.loop, on_end, &trace.done);
    loop_timer_set(trace.timers[0], INT64_MAX);
    loop_timer_set(trace.timers[2], clock_now_ns() + MS);
    must_run_until_done();
    ck_assert_str_eq(trace.hits, ".");
}
END_TEST

static void on_set_again(void *ctx)
{
    (void)ctx;
    hit('s');
    loop_timer_set(trace.timers[0], 0);
}

static void on_close_itself(void *ctx)
{
    (void)ctx;
    hit('x');
    loop_timer_close(trace.timers[0]);
    trace.timers[0] = NULL;
}

START_TEST(a_timer_can_be_set_or_closed_in_its_own_callback)
{
    trace.quit_after = 3;
    trace.timers[0] = loop_timer_open(trace.loop, on_set_again, NULL);
    loop_timer_set(trace.timers[0], 0);
    must_run_until_done();
    ck_assert_str_eq(trace.hits, "sss");
    loop_timer_close(trace.timers[0]);
    trace.timers[0] = loop_timer_open(trace.loop, on_close_itself, NULL);
    loop_timer_set(trace.timers[0], 0);
    trace.done = false;
    must_run_until_done();
    ck_assert_str_eq(trace.hits, "sssx");
    loop_timer_close(NULL);
}
END_TEST

START_TEST(a_watch_tells_readiness_each_turn)
{
    trace.watch = loop_watch_open(trace.loop, trace.fds[0], EPOLLIN, on_read, &trace);
    must_write_byte();
    must_write_byte();
    trace.quit_after = 2;
    must_run_until_done();
    ck_assert_str_eq(trace.hits, "rr");
}
END_TEST

START_TEST(a_watch_tells_only_the_events_asked_for)
{
    trace.watch = loop_watch_open(trace.loop, trace.fds[0], 0, on_read, &trace);
    trace.timers[2] = loop_timer_open(trace.loop, on_end, &trace.done);
    must_write_byte();
    loop_timer_set(trace.timers[2], clock_now_ns() + MS);
    must_run_until_done();
    ck_assert_str_eq(trace.hits, ".");
    loop_watch_events(trace.watch, EPOLLIN);
    trace.done = false;
    trace.quit_after = 2;
    must_run_until_done();
    ck_assert_str_eq(trace.hits, ".r");
}
END_TEST

START_TEST(a_watch_can_be_closed_in_its_own_callback)
{
    trace.watch = loop_watch_open(trace.loop, trace.fds[0], EPOLLIN, on_ready_close, NULL);
    trace.timers[2] = loop_timer_open(trace.loop, on_end, &trace.done);
    must_write_byte();
    loop_timer_set(trace.timers[2], clock_now_ns() + 5 * MS);
    must_run_until_done();
    ck_assert_str_eq(trace.hits, "c.");
    loop_watch_close(NULL);
    must_write_byte(); // the descriptor stayed ours
}
END_TEST

START_TEST(the_end_of_a_turn_comes_after_its_events)
{
    loop_on_turn(trace.loop, on_a, NULL);
    loop_on_turn(trace.loop, on_turn, NULL); // in place of the other
    trace.timers[0] = loop_timer_open(trace.loop, on_b, NULL);
    loop_timer_set(trace.timers[0], 0);
    trace.quit_after = 2;
    must_run_until_done();
    ck_assert_str_eq(trace.hits, "bt");
    trace.done = false;
    trace.quit_after = HITS_MAX - 1;
    trace.timers[2] = loop_timer_open(trace.loop, on_end, &trace.done);
    loop_timer_set(trace.timers[2], clock_now_ns() + 5 * MS);
    must_run_until_done(); // no turn's end without anything that happened
    ck_assert_str_eq(trace.hits, "bt.");
}
END_TEST

static void on_quit(void *ctx)
{
    loop_quit(ctx);
}

START_TEST(runs_until_it_is_told_to_quit)
{
    trace.timers[0] = loop_timer_open(trace.loop, on_b, NULL);
    trace.timers[1] = loop_timer_open(trace.loop, on_quit, trace.loop);
    int64_t now = clock_now_ns();
    loop_timer_set(trace.timers[0], now);
    loop_timer_set(trace.timers[1], now + MS);
    struct err err = {.kind = ERR_KIND_NONE};
    ck_assert(loop_run(trace.loop, &err));
    ck_assert_str_eq(trace.hits, "b");
}
END_TEST

START_TEST(does_not_turn_when_it_is_done_already)
{
    trace.timers[0] = loop_timer_open(trace.loop, on_b, NULL);
    loop_timer_set(trace.timers[0], 0);
    trace.done = true;
    must_run_until_done();
    ck_assert_uint_eq(trace.count, 0);
}
END_TEST

static void on_look_twice(void *ctx)
{
    (void)ctx;
    int64_t now = loop_now_ns(trace.loop);
    int64_t began = clock_now_ns();
    ck_assert_int_le(now, began);
    ck_assert_int_gt(now, began - 10 * CLOCK_NS_PER_SEC); // the same clock
    while (clock_now_ns() < began + 2 * MS) {
    }
    ck_assert_int_eq(loop_now_ns(trace.loop), now);
    hit('n');
}

START_TEST(now_stands_still_within_a_turn)
{
    trace.quit_after = 1;
    trace.timers[0] = loop_timer_open(trace.loop, on_look_twice, NULL);
    loop_timer_set(trace.timers[0], 0);
    must_run_until_done();
    ck_assert_str_eq(trace.hits, "n");
}
END_TEST

static void on_signal(void *ctx, int signal_number)
{
    ck_assert_ptr_eq(ctx, &trace);
    hit(signal_number == SIGUSR1 ? '1' : '2');
}

START_TEST(signals_come_through_the_loop)
{
    struct err err = {.kind = ERR_KIND_NONE};
    ck_assert(loop_on_signal(trace.loop, SIGUSR1, on_signal, &trace, &err));
    ck_assert(loop_on_signal(trace.loop, SIGUSR2, on_signal, &trace, &err));
    trace.quit_after = 1;
    ck_assert_int_eq(raise(SIGUSR2), 0);
    ck_assert_uint_eq(trace.count, 0); // not before the loop turns
    must_run_until_done();
    trace.done = false;
    trace.quit_after = 2;
    ck_assert_int_eq(raise(SIGUSR1), 0);
    must_run_until_done();
    ck_assert_str_eq(trace.hits, "21");
}
END_TEST

START_TEST(a_signal_that_cannot_be_caught_is_an_error)
{
    struct err err = {.kind = ERR_KIND_NONE};
    ck_assert(!loop_on_signal(trace.loop, SIGRTMAX + 1, on_signal, &trace, &err));
    ck_assert_int_eq(err.kind, ERR_KIND_INTERNAL);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("loop");
    tcase_add_test(tests, timers_fire_in_the_order_of_their_times_and_once);
    tcase_add_test(tests, a_timer_never_fires_before_its_time);
    tcase_add_test(tests, past_times_fire_in_the_next_turn);
    tcase_add_test(tests, unset_timers_do_not_fire_and_can_be_set_again);
    tcase_add_test(tests, a_timer_far_away_stays_quiet);
    tcase_add_test(tests, a_timer_can_be_set_or_closed_in_its_own_callback);
    tcase_add_test(tests, a_watch_tells_readiness_each_turn);
    tcase_add_test(tests, a_watch_tells_only_the_events_asked_for);
    tcase_add_test(tests, a_watch_can_be_closed_in_its_own_callback);
    tcase_add_test(tests, the_end_of_a_turn_comes_after_its_events);
    tcase_add_test(tests, runs_until_it_is_told_to_quit);
    tcase_add_test(tests, does_not_turn_when_it_is_done_already);
    tcase_add_test(tests, now_stands_still_within_a_turn);
    tcase_add_test(tests, signals_come_through_the_loop);
    tcase_add_test(tests, a_signal_that_cannot_be_caught_is_an_error);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 20);
    Suite *suite = suite_create("loop");
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
