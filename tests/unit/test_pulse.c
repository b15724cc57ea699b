#include "base/clock.h"
#include "domain/pulse.h"
#include "suite.h"

#include <check.h>
#include <stddef.h>

#define S CLOCK_NS_PER_SEC
#define START (1000 * S)
#define BOUND (60 * S)

static struct pulse pulse;
static struct pulse_facts facts;

// Idle: connected, all slots, and just now everything was answered.
static void setup(void)
{
    pulse_init(&pulse);
    facts = (struct pulse_facts){.connected = true,
                                 .call_bound_ns = BOUND,
                                 .connection_due_ns = INT64_MAX,
                                 .listener_due_ns = INT64_MAX,
                                 .beats = true,
                                 .beat_every_ns = 9 * S,
                                 .heard_ns = START,
                                 .reads = true,
                                 .read_every_ns = S,
                                 .read_ns = START,
                                 .sends = true,
                                 .request_due_ns = INT64_MAX,
                                 .begin_due_ns = INT64_MAX,
                                 .settle_due_ns = INT64_MAX};
}

// What a look each second finds, from START on, until something is stuck or `span_ns` is over.
static enum pulse_duty first_stuck(int64_t span_ns, int64_t *at_ns)
{
    for (int64_t now = START; now <= START + span_ns; now += S) {
        enum pulse_duty duty = pulse_look(&pulse, &facts, now);
        if (duty != PULSE_DUTY_NONE) {
            *at_ns = now - START;
            return duty;
        }
    }
    return PULSE_DUTY_NONE;
}

// Stuck by `duty`, in the second look behind due and grace.
static void check_stuck(enum pulse_duty duty, int64_t due_ns)
{
    int64_t at_ns = 0;
    ck_assert_str_eq(pulse_duty_name(first_stuck(1000 * S, &at_ns)), pulse_duty_name(duty));
    ck_assert_int_eq(at_ns / S, (due_ns + PULSE_GRACE_NS) / S + 2);
    ck_assert_int_eq(pulse.overdue_ns / S, PULSE_GRACE_NS / S + 2);
}

static void check_alive(void)
{
    int64_t at_ns = 0;
    ck_assert_str_eq(pulse_duty_name(first_stuck(1000 * S, &at_ns)), "none");
}

// Heartbeats and polls are not what is tested.
static void without_routine(void)
{
    facts.beats = false;
    facts.reads = false;
}

START_TEST(idleness_is_proven_by_answers_that_keep_coming)
{
    for (int64_t now = START; now < START + 1000 * S; now += S) {
        facts.heard_ns = now;
        facts.read_ns = now;
        ck_assert_int_eq(pulse_look(&pulse, &facts, now), PULSE_DUTY_NONE);
    }
}
END_TEST

START_TEST(an_outbox_that_is_not_looked_at_any_more)
{
    facts.beats = false;
    check_stuck(PULSE_DUTY_POLLING, BOUND + S);
}
END_TEST

START_TEST(polling_counts_from_when_there_is_room)
{
    without_routine();
    check_alive();
    facts.reads = true;
    ck_assert_int_eq(pulse_look(&pulse, &facts, START + 1001 * S), PULSE_DUTY_NONE);
    ck_assert_int_eq(pulse_look(&pulse, &facts, START + 1002 * S), PULSE_DUTY_NONE);
    ck_assert_int_eq(pulse_look(&pulse, &facts, START + 1100 * S), PULSE_DUTY_NONE);
    ck_assert_int_eq(pulse_look(&pulse, &facts, START + 1101 * S), PULSE_DUTY_POLLING);
}
END_TEST

START_TEST(heartbeats_that_have_ceased)
{
    facts.reads = false;
    check_stuck(PULSE_DUTY_HEARTBEATS, BOUND + 9 * S);
}
END_TEST

START_TEST(a_standby_is_alive_by_its_heartbeats)
{
    facts.reads = false;
    for (int64_t now = START; now < START + 1000 * S; now += S) {
        facts.heard_ns = now;
        ck_assert_int_eq(pulse_look(&pulse, &facts, now), PULSE_DUTY_NONE);
    }
}
END_TEST

START_TEST(without_a_database_its_next_try_is_what_counts)
{
    facts.connected = false;
    facts.unsettled = 3;
    facts.connection_due_ns = START + 2000 * S;
    check_alive();
    setup();
    facts.connected = false;
    facts.connection_due_ns = START + 5 * S;
    check_stuck(PULSE_DUTY_CONNECTION, 5 * S);
}
END_TEST

START_TEST(a_connection_for_listening_that_never_comes)
{
    without_routine();
    facts.listener_due_ns = START + 5 * S;
    check_stuck(PULSE_DUTY_LISTENER, 5 * S);
}
END_TEST

static const struct {
    size_t offset;
    enum pulse_duty duty;
} calls[] = {
    {offsetof(struct pulse_facts, hello_call_ns), PULSE_DUTY_HELLO},
    {offsetof(struct pulse_facts, read_call_ns), PULSE_DUTY_READ},
    {offsetof(struct pulse_facts, settle_call_ns), PULSE_DUTY_SETTLE},
    {offsetof(struct pulse_facts, heartbeat_call_ns), PULSE_DUTY_HEARTBEAT},
    {offsetof(struct pulse_facts, count_call_ns), PULSE_DUTY_COUNT},
};

START_TEST(a_call_to_the_database_that_does_not_come_back)
{
    without_routine();
    *(int64_t *)((char *)&facts + calls[_i].offset) = START;
    check_stuck(calls[_i].duty, BOUND);
}
END_TEST

START_TEST(a_request_that_does_not_end)
{
    without_routine();
    facts.in_flight = 1;
    facts.request_due_ns = START + 15 * S;
    check_stuck(PULSE_DUTY_REQUEST, 15 * S);
}
END_TEST

START_TEST(a_queue_that_stands_for_no_reason)
{
    without_routine();
    facts.queued = 1;
    check_stuck(PULSE_DUTY_SENDING, 0);
}
END_TEST

START_TEST(a_queue_that_could_begin_and_does_not)
{
    without_routine();
    facts.queued = 1;
    facts.begin_due_ns = START; // each look sees it in the past
    check_stuck(PULSE_DUTY_SENDING, 0);
}
END_TEST

START_TEST(a_queue_has_reasons_to_stand)
{
    without_routine();
    facts.queued = 100;
    facts.begin_due_ns = START + 2000 * S; // the rate, a probe, a pause with an end
    check_alive();
    facts.begin_due_ns = INT64_MAX;
    facts.in_flight = 1; // whose own end is watched
    check_alive();
    facts.in_flight = 0;
    facts.sends = false;
    check_alive();
}
END_TEST

START_TEST(a_queue_that_moves_is_alive)
{
    without_routine();
    facts.queued = 100;
    for (int64_t now = START; now < START + 1000 * S; now += S) {
        facts.begun_ns = now;
        ck_assert_int_eq(pulse_look(&pulse, &facts, now), PULSE_DUTY_NONE);
    }
}
END_TEST

START_TEST(outcomes_that_nobody_writes)
{
    without_routine();
    facts.unsettled = 1;
    check_stuck(PULSE_DUTY_SETTLING, 0);
}
END_TEST

START_TEST(outcomes_that_wait_for_a_lock)
{
    without_routine();
    facts.unsettled = 1;
    facts.settle_due_ns = START + 2000 * S;
    check_alive();
}
END_TEST

START_TEST(everything_may_be_late_once)
{
    without_routine();
    facts.in_flight = 1;
    facts.request_due_ns = START + S;
    ck_assert_int_eq(pulse_look(&pulse, &facts, START), PULSE_DUTY_NONE);
    ck_assert_int_eq(pulse_look(&pulse, &facts, START + 3600 * S), PULSE_DUTY_NONE);
    facts.request_due_ns = INT64_MAX; // the machine was suspended
    ck_assert_int_eq(pulse_look(&pulse, &facts, START + 3601 * S), PULSE_DUTY_NONE);
    facts.request_due_ns = START + S;
    ck_assert_int_eq(pulse_look(&pulse, &facts, START + 3602 * S), PULSE_DUTY_NONE);
}
END_TEST

START_TEST(what_ends_after_all_is_alive_again)
{
    without_routine();
    facts.in_flight = 1;
    facts.request_due_ns = START + S;
    check_stuck(PULSE_DUTY_REQUEST, S);
    facts.request_due_ns = INT64_MAX;
    check_alive();
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("pulse");
    tcase_add_checked_fixture(tests, setup, NULL);
    tcase_add_test(tests, idleness_is_proven_by_answers_that_keep_coming);
    tcase_add_test(tests, an_outbox_that_is_not_looked_at_any_more);
    tcase_add_test(tests, polling_counts_from_when_there_is_room);
    tcase_add_test(tests, heartbeats_that_have_ceased);
    tcase_add_test(tests, a_standby_is_alive_by_its_heartbeats);
    tcase_add_test(tests, without_a_database_its_next_try_is_what_counts);
    tcase_add_test(tests, a_connection_for_listening_that_never_comes);
    tcase_add_loop_test(tests, a_call_to_the_database_that_does_not_come_back, 0,
                        sizeof calls / sizeof calls[0]);
    tcase_add_test(tests, a_request_that_does_not_end);
    tcase_add_test(tests, a_queue_that_stands_for_no_reason);
    tcase_add_test(tests, a_queue_that_could_begin_and_does_not);
    tcase_add_test(tests, a_queue_has_reasons_to_stand);
    tcase_add_test(tests, a_queue_that_moves_is_alive);
    tcase_add_test(tests, outcomes_that_nobody_writes);
    tcase_add_test(tests, outcomes_that_wait_for_a_lock);
    tcase_add_test(tests, everything_may_be_late_once);
    tcase_add_test(tests, what_ends_after_all_is_alive_again);
    Suite *suite = suite_create("pulse");
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
