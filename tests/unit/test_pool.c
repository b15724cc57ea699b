#include "domain/pool.h"
#include "suite.h"

#include <check.h>
#include <stdio.h>

#define SEC INT64_C(1000000000)

static struct pool *pool;
static int64_t now;

static void setup(void)
{
    const struct pool_options options = {0};
    now = 1000 * SEC;
    pool = pool_create(&options, now);
}

static void teardown(void)
{
    pool_destroy(pool);
}

// As functions: check's own macros are branches, of which a scenario would seem to be made.
static void check_true(bool ok, const char *text, int line)
{
    ck_assert_msg(ok, "line %d: %s", line, text);
}

static void check_equal(int64_t found, int64_t expected, const char *text, int line)
{
    ck_assert_msg(found == expected, "line %d: %s is %lld, not %lld", line, text, (long long)found,
                  (long long)expected);
}

static void check_text(const char *found, const char *expected, int line)
{
    ck_assert_msg(strcmp(found, expected) == 0, "line %d: \"%s\", not \"%s\"", line, found,
                  expected);
}

#define CHECK(expression) check_true((expression), #expression, __LINE__)
#define CHECK_EQUAL(found, expected) check_equal((found), (expected), #found, __LINE__)
#define CHECK_TEXT(found, expected) check_text((found), (expected), __LINE__)

// ---- verdicts ----

static struct verdict verdict_make(enum verdict_kind kind, enum verdict_cause cause, int status,
                                   const char *reason)
{
    return (struct verdict){.kind = kind, .cause = cause, .status = status, .reason = reason};
}

static struct verdict accepted(void)
{
    return verdict_make(VERDICT_KIND_DONE, VERDICT_CAUSE_ACCEPTED, 200, "accepted");
}

static struct verdict failed(void)
{
    return verdict_make(VERDICT_KIND_RETRY, VERDICT_CAUSE_FAILURE, 500, "server_error");
}

static struct verdict unauthorized(void)
{
    return verdict_make(VERDICT_KIND_HOLD, VERDICT_CAUSE_UNAUTHORIZED, 401, "unauthorized");
}

static struct verdict forbidden(void)
{
    return verdict_make(VERDICT_KIND_HOLD, VERDICT_CAUSE_FORBIDDEN, 403, "forbidden");
}

static struct verdict undocumented(void)
{
    return verdict_make(VERDICT_KIND_HOLD, VERDICT_CAUSE_URL, 404, "undocumented");
}

static struct verdict other_id(void)
{
    return verdict_make(VERDICT_KIND_RETRY, VERDICT_CAUSE_OTHER_ID, 200, "other_id");
}

static struct verdict refused_here(void)
{
    return verdict_make(VERDICT_KIND_HOLD, VERDICT_CAUSE_REFUSED_HERE, 0, "lease");
}

static struct verdict throttled(int64_t pause_ns)
{
    struct verdict verdict =
        verdict_make(VERDICT_KIND_HOLD, VERDICT_CAUSE_THROTTLED, 429, "throttled");
    verdict.pause_ns = pause_ns;
    return verdict;
}

static struct verdict rejected(int status, const char *type)
{
    struct verdict verdict =
        verdict_make(VERDICT_KIND_DEAD, VERDICT_CAUSE_REJECTED, status, "rejected");
    (void)snprintf(verdict.type, sizeof verdict.type, "%s", type);
    return verdict;
}

// ---- helpers ----

static struct str key(const char *name)
{
    return str_of(name);
}

static const char *numbered(char *out, size_t size, int number)
{
    (void)snprintf(out, size, "customer-%d", number);
    return out;
}

// One update of the customer: asks, starts, and has its answer a millisecond later.
static struct pool_decision send_update(const char *customer, struct verdict verdict)
{
    ck_assert_msg(pool_may_start(pool, key(customer), now).yes, "%s may not start", customer);
    int64_t started = now;
    pool_started(pool, key(customer), started);
    now += SEC / 1000;
    return pool_note(pool, &verdict, key(customer), started, now, UINT64_MAX / 2);
}

// An answer to something that was started while the pool was open.
static struct pool_decision note_late(const char *customer, struct verdict verdict, int64_t started)
{
    return pool_note(pool, &verdict, key(customer), started, now, UINT64_MAX / 2);
}

static void check_state(enum pool_state state)
{
    CHECK_TEXT(pool_state_name(pool_state(pool)), pool_state_name(state));
}

static void check_action(const struct pool_decision *decision, enum pool_action action)
{
    CHECK_EQUAL(decision->action, action);
}

static void check_charge(const struct pool_decision *decision, const char *customer,
                         enum pool_action how)
{
    CHECK_EQUAL(decision->charge, how);
    CHECK(str_equal(decision->charge_customer, key(customer)));
    CHECK(decision->charge_verdict != NULL);
}

static void check_no_charge(const struct pool_decision *decision)
{
    CHECK_EQUAL(decision->charge, POOL_ACTION_UNTOUCHED);
}

// Moves the time to where this customer may start.
static void wait_for(const char *customer)
{
    for (int i = 0; i < 3; i++) {
        struct pool_permit permit = pool_may_start(pool, key(customer), now);
        if (permit.yes) {
            return;
        }
        CHECK(permit.ask_ns > now && permit.ask_ns < INT64_MAX);
        CHECK(!pool_may_start(pool, key(customer), permit.ask_ns - 1).yes);
        now = permit.ask_ns;
    }
    ck_abort_msg("%s may never start", customer);
}

static struct pool_decision probe(const char *customer, struct verdict verdict)
{
    wait_for(customer);
    CHECK(pool_may_start(pool, key(customer), now).probe);
    return send_update(customer, verdict);
}

// Customers first .. first + 4 fail.
static void break_down(int first)
{
    char name[32];
    for (int i = first; i < first + 5; i++) {
        (void)send_update(numbered(name, sizeof name, i), failed());
    }
    check_state(POOL_STATE_DOWN);
}

// One transfer goes on, and another was accepted since it began.
static void prove(void)
{
    pool_started(pool, key("goes on"), now);
    (void)send_update("proof", accepted());
}

// ---- open ----

START_TEST(begins_open_without_a_slow_start)
{
    check_state(POOL_STATE_OPEN);
    CHECK_EQUAL(pool_closed_ns(pool, now), 0);
    CHECK(pool_next_ns(pool, now) == INT64_MAX);
    struct pool_decision decision = send_update("a", accepted());
    check_action(&decision, POOL_ACTION_SETTLE);
    CHECK_EQUAL(decision.change.from, decision.change.to);
    CHECK(!decision.drop_unstarted);
    prove();
    CHECK_EQUAL(pool_concurrency(pool, 16, now), 16);
}
END_TEST

// A key that was revoked while nothing was sent: whatever the rate and the workers would allow.
START_TEST(out_of_quiet_few_go_before_one_was_accepted)
{
    CHECK_EQUAL(pool_concurrency(pool, 16, now), 4);
    CHECK_EQUAL(pool_concurrency(pool, 2, now), 2);
    int64_t started = now;
    for (int i = 0; i < 4; i++) {
        char name[32];
        pool_started(pool, key(numbered(name, sizeof name, i)), started);
    }
    CHECK_EQUAL(pool_concurrency(pool, 16, now + 20 * SEC), 4);
    now += SEC;
    (void)note_late("customer-0", rejected(400, "T"), started);
    CHECK_EQUAL(pool_concurrency(pool, 16, now), 4);
    (void)note_late("customer-1", accepted(), started);
    CHECK_EQUAL(pool_concurrency(pool, 16, now), 16);
    now += 60 * SEC;
    CHECK_EQUAL(pool_concurrency(pool, 16, now), 16); // two are in flight still
    (void)note_late("customer-2", accepted(), started);
    (void)note_late("customer-3", accepted(), started);
    CHECK_EQUAL(pool_concurrency(pool, 16, now), 16); // all answered at once: that is no quiet
    now += SEC / 10;
    CHECK_EQUAL(pool_concurrency(pool, 16, now), 4);
    pool_started(pool, key("a"), now);
    CHECK_EQUAL(pool_concurrency(pool, 16, now), 4);
}
END_TEST

START_TEST(breaker_opens_after_five_customers_in_a_row)
{
    char name[32];
    for (int i = 0; i < 4; i++) {
        struct pool_decision decision = send_update(numbered(name, sizeof name, i), failed());
        check_action(&decision, POOL_ACTION_SETTLE); // a retry with an attempt
    }
    check_state(POOL_STATE_OPEN);
    struct pool_decision decision = send_update("e", failed());
    check_action(&decision, POOL_ACTION_UNTOUCHED);
    check_state(POOL_STATE_DOWN);
    CHECK(decision.drop_unstarted);
    CHECK(!decision.scale_rate);
    CHECK_TEXT(pool_change_event(&decision.change), "api.down");
    CHECK_TEXT(decision.change.reason, "failures");
    CHECK_TEXT(decision.change.detail, "server_error");
}
END_TEST

START_TEST(answers_to_what_is_older_than_the_failures_do_not_end_them)
{
    char name[32];
    int64_t before = now;
    pool_started(pool, key("slow"), before);
    now += SEC;
    for (int i = 0; i < 4; i++) {
        (void)send_update(numbered(name, sizeof name, i), failed());
    }
    (void)note_late("slow", accepted(), before);
    (void)send_update("e", failed());
    check_state(POOL_STATE_DOWN);
}
END_TEST

START_TEST(one_customers_failures_never_open_the_breaker)
{
    for (int i = 0; i < 1000; i++) {
        struct pool_decision decision = send_update(i % 4 == 0 ? "A" : "a", failed());
        check_action(&decision, POOL_ACTION_SETTLE);
    }
    check_state(POOL_STATE_OPEN);
}
END_TEST

START_TEST(an_answer_below_500_between_failures_keeps_the_breaker_shut)
{
    char name[32];
    for (int i = 0; i < 100; i++) {
        (void)send_update(numbered(name, sizeof name, i), failed());
        if (i % 4 == 3) {
            (void)send_update("well", i % 8 == 3 ? accepted() : rejected(422, "T"));
        }
    }
    check_state(POOL_STATE_OPEN);
}
END_TEST

// Pitfall 11: 2xx with another id never counts for the breaker.
START_TEST(another_id_is_no_failure_of_the_api)
{
    char name[32];
    for (int i = 0; i < 100; i++) {
        struct pool_decision decision = send_update(numbered(name, sizeof name, i), other_id());
        check_action(&decision, POOL_ACTION_SETTLE);
    }
    check_state(POOL_STATE_OPEN);
}
END_TEST

// ---- outage ----

// Pitfall 12, issue 4: in an outage no row's attempts grow, and probes get rarer.
START_TEST(two_hours_of_outage_count_no_attempt_and_few_lines)
{
    break_down(0);
    const int64_t end = now + 7200 * SEC;
    int64_t probes = 0;
    char name[32];
    while (now < end) {
        struct pool_decision decision =
            probe(numbered(name, sizeof name, 100 + (int)probes), failed());
        check_action(&decision, POOL_ACTION_UNTOUCHED);
        check_no_charge(&decision);
        CHECK_EQUAL(decision.change.from, decision.change.to); // nothing to log
        probes++;
    }
    CHECK(probes >= 100);
    CHECK(probes <= 250);
    struct pool_decision decision = probe("last", accepted());
    check_action(&decision, POOL_ACTION_SETTLE);
    check_no_charge(&decision); // probes failed between: it was nobody's own
    CHECK_TEXT(pool_change_event(&decision.change), "api.up");
    check_state(POOL_STATE_OPEN);
    CHECK_EQUAL(pool_counts(pool)->probes, probes + 1);
    CHECK_EQUAL(pool_counts(pool)->closed, 1);
    CHECK_EQUAL(pool_counts(pool)->untouched, probes + 1);
}
END_TEST

START_TEST(only_one_probe_is_in_flight)
{
    break_down(0);
    wait_for("x");
    CHECK_EQUAL(pool_concurrency(pool, 16, now), 16);
    pool_started(pool, key("x"), now);
    int64_t started = now;
    CHECK_EQUAL(pool_concurrency(pool, 16, now), 0);
    for (int64_t i = 0; i < 100; i++) {
        struct pool_permit permit = pool_may_start(pool, key("y"), now + i * 60 * SEC);
        CHECK(!permit.yes);
        CHECK(permit.ask_ns == INT64_MAX);
    }
    now += SEC;
    struct verdict verdict = failed();
    (void)pool_note(pool, &verdict, key("x"), started, now, 0);
    wait_for("y");
}
END_TEST

START_TEST(slow_start_after_the_probe)
{
    break_down(0);
    (void)probe("x", accepted());
    check_state(POOL_STATE_OPEN);
    CHECK_EQUAL(pool_concurrency(pool, 16, now), 1);
    int64_t opened = now;
    prove();
    now = opened;
    int64_t last = 1;
    for (int64_t ms = 0; ms <= 10000; ms += 100) {
        int64_t allowed = pool_concurrency(pool, 16, now + ms * SEC / 1000);
        CHECK(allowed >= last);
        last = allowed;
    }
    CHECK_EQUAL(pool_concurrency(pool, 16, now + 5 * SEC), 8);
    CHECK_EQUAL(last, 16);
    CHECK_EQUAL(pool_concurrency(pool, 1, now), 1);
}
END_TEST

START_TEST(a_probe_passes_the_breaker_with_any_answer_below_500)
{
    const struct verdict well[] = {
        accepted(), rejected(422, "T"), other_id(),
        verdict_make(VERDICT_KIND_RETRY, VERDICT_CAUSE_ROW, 409, "rejected")};
    for (size_t i = 0; i < sizeof well / sizeof well[0]; i++) {
        break_down(10 * (int)i);
        struct pool_decision decision = probe("x", well[i]);
        check_action(&decision, POOL_ACTION_SETTLE);
        check_state(POOL_STATE_OPEN);
        now += 100 * SEC;
    }
}
END_TEST

START_TEST(a_captive_portal_does_not_pass_the_breaker)
{
    break_down(0);
    (void)probe("x", verdict_make(VERDICT_KIND_RETRY, VERDICT_CAUSE_FAILURE, 200, "not_json"));
    check_state(POOL_STATE_DOWN);
}
END_TEST

// ---- pitfall 11: one customer's trouble blocks that customer only ----

START_TEST(forbidden_by_a_firewall_kills_its_own_row_only)
{
    struct pool_decision decision = send_update("poison", forbidden());
    check_action(&decision, POOL_ACTION_UNTOUCHED);
    check_state(POOL_STATE_UNAUTHORIZED);
    CHECK(decision.drop_unstarted);
    wait_for("good");
    CHECK(!pool_may_start(pool, key("poison"), now).yes); // not the one that failed last
    CHECK(!pool_may_start(pool, key("POISON"), now).yes);
    decision = probe("good", accepted());
    check_action(&decision, POOL_ACTION_SETTLE);
    check_charge(&decision, "poison", POOL_ACTION_DEAD);
    CHECK_EQUAL(decision.charge_verdict->status, 403);
    CHECK_TEXT(pool_change_event(&decision.change), "api.authorized");
}
END_TEST

START_TEST(a_throttled_customer_is_charged_once_and_then_stops_nobody)
{
    struct pool_decision decision = send_update("poison", throttled(30 * SEC));
    check_action(&decision, POOL_ACTION_UNTOUCHED);
    CHECK(!decision.scale_rate);
    int64_t paused_at = now;
    decision = probe("good", accepted());
    CHECK(now - paused_at >= 30 * SEC);
    check_charge(&decision, "poison", POOL_ACTION_RETRY);
    CHECK(decision.scale_rate);
    for (int i = 0; i < 10; i++) {
        decision = send_update("poison", throttled(30 * SEC));
        check_action(&decision, POOL_ACTION_RETRY); // its own: an attempt, and the pool goes on
        check_state(POOL_STATE_OPEN);
    }
    (void)send_update("poison", accepted()); // cured: it counts again
    decision = send_update("poison", throttled(30 * SEC));
    check_state(POOL_STATE_PAUSED);
    check_action(&decision, POOL_ACTION_UNTOUCHED);
}
END_TEST

START_TEST(a_throttle_of_all_is_seen_in_spite_of_a_known_offender)
{
    (void)send_update("poison", throttled(SEC));
    (void)probe("good", accepted());
    (void)send_update("poison", throttled(SEC));
    check_state(POOL_STATE_OPEN);
    (void)send_update("good", throttled(SEC));
    check_state(POOL_STATE_PAUSED);
}
END_TEST

// Several poisoned customers at the head of the queue, and a good one behind them.
START_TEST(probes_go_through_the_customers_until_one_passes)
{
    char name[32];
    break_down(0);                                                 // customer-0 to 4
    struct pool_decision decision = probe("customer-3", failed()); // alone: it may, but later
    check_action(&decision, POOL_ACTION_UNTOUCHED);
    wait_for("good");
    for (int i = 3; i < 5; i++) {
        CHECK(!pool_may_start(pool, key(numbered(name, sizeof name, i)), now).yes);
    }
    decision = send_update("good", accepted());
    check_state(POOL_STATE_OPEN);
    check_no_charge(&decision);
    for (int i = 0; i < 4; i++) { // and they go on counting attempts, so that each ends one day
        decision = send_update(numbered(name, sizeof name, i), failed());
        check_action(&decision, POOL_ACTION_SETTLE);
    }
}
END_TEST

START_TEST(the_fifth_failure_is_charged_if_the_first_probe_passes)
{
    break_down(0);
    struct pool_decision decision = probe("good", rejected(422, "T"));
    check_action(&decision, POOL_ACTION_SETTLE);
    check_charge(&decision, "customer-4", POOL_ACTION_RETRY);
}
END_TEST

START_TEST(without_another_customer_the_same_may_probe_after_a_longer_wait)
{
    (void)send_update("only", throttled(2 * SEC));
    int64_t paused_at = now;
    struct pool_permit other = pool_may_start(pool, key("other"), now);
    struct pool_decision decision = probe("only", accepted());
    CHECK(now - paused_at > other.ask_ns - paused_at);
    CHECK(now - paused_at <= 10 * SEC);
    check_state(POOL_STATE_OPEN);
    check_no_charge(&decision);
}
END_TEST

// At night: nobody else is there to probe, then somebody comes.
START_TEST(its_own_probes_do_not_clear_a_row)
{
    (void)send_update("poison", forbidden());
    for (int i = 0; i < 30; i++) {
        struct pool_decision decision = probe("poison", forbidden());
        check_action(&decision, POOL_ACTION_UNTOUCHED);
    }
    struct pool_decision decision = probe("good", accepted());
    check_charge(&decision, "poison", POOL_ACTION_DEAD);

    (void)send_update("throttled", throttled(SEC));
    (void)probe("throttled", throttled(SEC));
    decision = probe("good", accepted());
    check_charge(&decision, "throttled", POOL_ACTION_RETRY);

    (void)send_update("both", forbidden());
    (void)probe("both", undocumented()); // another trouble: nothing is sure
    decision = probe("good", accepted());
    CHECK(decision.charge != POOL_ACTION_DEAD);
}
END_TEST

// Two that fail together clear each other the first time only.
START_TEST(several_poisoned_customers_die_one_by_one)
{
    for (int round = 0; round < 3; round++) {
        int64_t before = now;
        (void)send_update("poison-1", forbidden());
        check_state(POOL_STATE_UNAUTHORIZED);
        (void)note_late("poison-2", forbidden(), before);
        (void)probe("poison-2", forbidden());
        struct pool_decision decision = probe("good", accepted());
        check_state(POOL_STATE_OPEN);
        if (round == 0) {
            check_no_charge(&decision);
        } else {
            check_charge(&decision, "poison-1", POOL_ACTION_DEAD);
        }
        (void)send_update("poison-2", accepted()); // cured: what it says counts again
        check_state(POOL_STATE_OPEN);
        before = now;
        (void)send_update("poison-1", forbidden());
        (void)note_late("poison-2", forbidden(), before);
        decision = probe("good", accepted());
        check_no_charge(&decision);
    }
}
END_TEST

// Nothing was wrong with the API: neither a slow start nor longer waits for the next one.
START_TEST(poisoned_customers_delay_the_others_no_more_than_one_does)
{
    char name[32];
    for (int i = 0; i < 20; i++) {
        (void)send_update(numbered(name, sizeof name, i),
                          i % 2 == 0 ? forbidden() : undocumented());
        int64_t closed_at = now;
        struct pool_decision decision = probe("good", accepted());
        CHECK(decision.charge != POOL_ACTION_UNTOUCHED);
        CHECK(now - closed_at <= SEC + SEC / 100);
        CHECK_EQUAL(pool_concurrency(pool, 16, now), 16);
        now += SEC / 10;
    }
}
END_TEST

START_TEST(nobody_dies_of_a_403_of_all)
{
    (void)send_update("a", forbidden());
    (void)probe("b", forbidden());
    struct pool_decision decision = probe("c", accepted()); // the permission came back
    check_state(POOL_STATE_OPEN);
    check_no_charge(&decision);
}
END_TEST

START_TEST(nobody_dies_of_a_403_long_ago_or_without_an_acceptance)
{
    (void)send_update("a", forbidden());
    now += 3600 * SEC;
    struct pool_decision decision = probe("b", accepted());
    check_state(POOL_STATE_OPEN);
    check_no_charge(&decision);

    (void)send_update("a", forbidden());
    decision = probe("b", rejected(404, "CUSTOMER_NOT_FOUND_ERROR"));
    check_state(POOL_STATE_OPEN);
    check_no_charge(&decision);
}
END_TEST

START_TEST(trouble_of_others_in_flight_clears_the_row_that_closed_the_pool)
{
    int64_t before = now;
    (void)send_update("a", throttled(SEC));
    struct pool_decision decision = note_late("b", throttled(SEC), before);
    check_action(&decision, POOL_ACTION_UNTOUCHED);
    decision = probe("c", accepted());
    check_no_charge(&decision);
}
END_TEST

// ---- pitfall 20: wrong key, wrong URL, storms of rejections ----

START_TEST(a_wrong_key_costs_few_requests_and_no_attempt)
{
    const int64_t end = now + 4 * SEC;
    char name[32];
    int requests = 0;
    for (int i = 0; i < 150 && now < end; i++) {
        struct pool_permit permit = pool_may_start(pool, key(numbered(name, sizeof name, i)), now);
        if (!permit.yes) {
            now = permit.ask_ns;
            continue;
        }
        struct pool_decision decision = send_update(name, unauthorized());
        check_action(&decision, POOL_ACTION_UNTOUCHED);
        requests++;
    }
    CHECK(requests < 12);
    check_state(POOL_STATE_UNAUTHORIZED);

    pool_key_changed(pool, now);
    struct pool_decision decision = send_update("customer-0", accepted()); // at once, any customer
    check_no_charge(&decision);
    CHECK_TEXT(pool_change_event(&decision.change), "api.authorized");
}
END_TEST

START_TEST(a_new_key_is_tried_although_the_old_ones_probe_is_in_flight)
{
    (void)send_update("a", unauthorized());
    wait_for("b");
    int64_t started = now;
    pool_started(pool, key("b"), started);
    pool_key_changed(pool, now + 1);
    now += SEC;
    struct pool_decision decision = note_late("b", unauthorized(), started);
    check_action(&decision, POOL_ACTION_UNTOUCHED);
    CHECK(pool_may_start(pool, key("b"), now).yes);
    decision = send_update("b", accepted());
    check_state(POOL_STATE_OPEN);
    check_no_charge(&decision);
}
END_TEST

START_TEST(a_new_key_clears_the_first_401_too)
{
    (void)send_update("a", unauthorized());
    pool_key_changed(pool, now);
    struct pool_decision decision = send_update("b", accepted());
    check_no_charge(&decision);
}
END_TEST

static void check_other_settings_are_tried_at_once(struct verdict trouble, enum pool_state state)
{
    check_state(state);
    (void)probe("tried", trouble);
    (void)probe("tried-too", trouble);
    CHECK(!pool_may_start(pool, key("tried"), now).yes);
    pool_settings_changed(pool, now);
    CHECK(pool_may_start(pool, key("tried"), now).yes);
    struct pool_decision decision = send_update("tried", accepted());
    check_state(POOL_STATE_OPEN);
    check_no_charge(&decision);
}

START_TEST(other_settings_are_tried_at_once_whatever_closed_it)
{
    break_down(0);
    check_other_settings_are_tried_at_once(failed(), POOL_STATE_DOWN);
    (void)send_update("a", undocumented());
    check_other_settings_are_tried_at_once(undocumented(), POOL_STATE_URL);
    (void)send_update("b", unauthorized());
    check_other_settings_are_tried_at_once(unauthorized(), POOL_STATE_UNAUTHORIZED);
    char name[32];
    for (int i = 0; i < 20; i++) {
        (void)send_update(numbered(name, sizeof name, i), rejected(422, "type"));
    }
    check_other_settings_are_tried_at_once(rejected(422, "type"), POOL_STATE_REJECTED);
}
END_TEST

START_TEST(other_settings_do_not_end_a_pause_that_was_told)
{
    (void)send_update("a", throttled(30 * SEC));
    pool_settings_changed(pool, now);
    check_state(POOL_STATE_PAUSED);
    CHECK(!pool_may_start(pool, key("b"), now + 20 * SEC).yes);
}
END_TEST

START_TEST(nobody_is_charged_for_what_was_before_other_settings)
{
    (void)send_update("a", forbidden());
    pool_settings_changed(pool, now);
    struct pool_decision decision = send_update("b", accepted());
    check_state(POOL_STATE_OPEN);
    check_no_charge(&decision);
}
END_TEST

START_TEST(a_probe_of_before_says_nothing_about_other_settings)
{
    break_down(0);
    wait_for("b");
    int64_t started = now;
    pool_started(pool, key("b"), started);
    pool_settings_changed(pool, now + 1);
    CHECK(!pool_may_start(pool, key("c"), now + 1).yes); // one at a time
    now += SEC;
    (void)note_late("b", failed(), started);
    check_state(POOL_STATE_DOWN);
    CHECK(pool_may_start(pool, key("b"), now).yes);
}
END_TEST

START_TEST(a_wrong_path_touches_no_row)
{
    struct pool_decision decision = send_update("a", undocumented());
    check_action(&decision, POOL_ACTION_UNTOUCHED);
    check_state(POOL_STATE_URL);
    CHECK_TEXT(pool_change_event(&decision.change), "api.down");
    CHECK_TEXT(decision.change.reason, "url");
    char name[32];
    for (int i = 0; i < 50; i++) {
        decision = probe(numbered(name, sizeof name, i), undocumented());
        check_action(&decision, POOL_ACTION_UNTOUCHED);
        CHECK_EQUAL(decision.change.from, decision.change.to);
    }
}
END_TEST

START_TEST(one_customers_block_page_is_retried_and_blocks_nobody_else)
{
    (void)send_update("poison", undocumented());
    struct pool_decision decision = probe("good", accepted());
    check_charge(&decision, "poison", POOL_ACTION_RETRY); // the unknown is never dropped
    decision = send_update("poison", undocumented());
    check_action(&decision, POOL_ACTION_RETRY);
    check_state(POOL_STATE_OPEN);
}
END_TEST

START_TEST(twenty_equal_rejections_pause_and_touch_no_more_rows)
{
    char name[32];
    int64_t before = now;
    for (int i = 0; i < 19; i++) {
        struct pool_decision decision =
            send_update(numbered(name, sizeof name, i), rejected(404, "CUSTOMER_NOT_FOUND_ERROR"));
        check_action(&decision, POOL_ACTION_SETTLE);
        decision = send_update("customer-0", rejected(404, "CUSTOMER_NOT_FOUND_ERROR"));
        check_state(POOL_STATE_OPEN); // the same customer again counts once
    }
    struct pool_decision decision =
        send_update("twentieth", rejected(404, "CUSTOMER_NOT_FOUND_ERROR"));
    check_action(&decision, POOL_ACTION_UNTOUCHED);
    check_state(POOL_STATE_REJECTED);
    CHECK_TEXT(decision.change.reason, "rejected");
    CHECK_TEXT(pool_change_event(&decision.change), "api.down");
    decision = note_late("in flight", rejected(404, "CUSTOMER_NOT_FOUND_ERROR"), before);
    check_action(&decision, POOL_ACTION_UNTOUCHED);
    for (int i = 50; i < 60; i++) {
        decision = probe(numbered(name, sizeof name, i), rejected(404, "CUSTOMER_NOT_FOUND_ERROR"));
        check_action(&decision, POOL_ACTION_UNTOUCHED);
        check_state(POOL_STATE_REJECTED);
    }
    decision = probe("good", accepted());
    check_state(POOL_STATE_OPEN);
}
END_TEST

START_TEST(an_acceptance_between_rejections_is_peace)
{
    char name[32];
    for (int i = 0; i < 200; i++) {
        (void)send_update(numbered(name, sizeof name, i), rejected(400, "T"));
        if (i % 19 == 18) {
            (void)send_update("good", accepted());
        }
    }
    check_state(POOL_STATE_OPEN);
}
END_TEST

START_TEST(a_storm_is_seen_through_other_rejections)
{
    char name[32];
    int sent = 0;
    while (pool_state(pool) == POOL_STATE_OPEN && sent < 100) {
        bool stray = sent % 4 == 3;
        (void)send_update(numbered(name, sizeof name, sent),
                          stray ? rejected(400, "INVALID_REQUEST_ERROR")
                                : rejected(404, "CUSTOMER_NOT_FOUND_ERROR"));
        sent++;
    }
    check_state(POOL_STATE_REJECTED);
    CHECK_EQUAL(sent, 26);
}
END_TEST

START_TEST(the_twentieth_dies_if_the_first_probe_is_accepted)
{
    char name[32];
    for (int i = 0; i < 20; i++) {
        (void)send_update(numbered(name, sizeof name, i), rejected(400, "T"));
    }
    struct pool_decision decision = probe("good", accepted());
    check_charge(&decision, "customer-19", POOL_ACTION_DEAD);
    CHECK_TEXT(decision.charge_verdict->type, "T");
}
END_TEST

// ---- pitfall 22 and throttling ----

START_TEST(pauses_as_told_then_one_probe)
{
    struct pool_decision decision = send_update("a", throttled(3600 * SEC)); // cut by the verdict
    int64_t until = now + 3600 * SEC;
    CHECK_TEXT(pool_change_event(&decision.change), "api.throttled");
    CHECK_EQUAL(pool_shared_until_ns(pool), until);
    CHECK_EQUAL(pool_next_ns(pool, now), until);
    CHECK(!pool_may_start(pool, key("b"), until - 1).yes);
    now = until;
    CHECK(pool_may_start(pool, key("b"), now).probe);
    CHECK(pool_next_ns(pool, now) == INT64_MAX);
}
END_TEST

START_TEST(pauses_by_growing_backoff_when_not_told)
{
    (void)send_update("a", throttled(0));
    int64_t last = 0;
    char name[32];
    for (int i = 0; i < 10; i++) {
        int64_t at = now;
        struct pool_decision decision = probe(numbered(name, sizeof name, i), throttled(0));
        check_action(&decision, POOL_ACTION_UNTOUCHED);
        CHECK(now - at >= last);
        last = now - at - SEC / 1000;
    }
    CHECK(last >= 30 * SEC);
    CHECK(last <= 60 * SEC);
}
END_TEST

START_TEST(halves_the_rate_once_when_it_goes_on)
{
    int64_t before = now;
    struct pool_decision decision = send_update("a", throttled(SEC));
    CHECK(!decision.scale_rate);
    CHECK(!note_late("b", throttled(5 * SEC), before).scale_rate);
    CHECK(!probe("c", throttled(SEC)).scale_rate);
    CHECK(probe("d", accepted()).scale_rate);
    break_down(0);
    CHECK(!probe("x", accepted()).scale_rate);
}
END_TEST

START_TEST(service_unavailable_with_retry_after_pauses_like_a_throttle)
{
    struct verdict verdict = failed();
    verdict.status = 503;
    verdict.pause_ns = 20 * SEC;
    struct pool_decision decision = send_update("a", verdict);
    check_state(POOL_STATE_PAUSED);
    check_action(&decision, POOL_ACTION_UNTOUCHED);
    int64_t at = now;
    decision = probe("b", accepted());
    CHECK(now - at >= 20 * SEC);
    check_charge(&decision, "a", POOL_ACTION_RETRY);
}
END_TEST

START_TEST(a_row_that_the_configuration_retries_at_429_is_settled_at_once)
{
    struct verdict verdict = throttled(SEC);
    verdict.kind = VERDICT_KIND_RETRY;
    struct pool_decision decision = send_update("a", verdict);
    check_action(&decision, POOL_ACTION_SETTLE);
    check_state(POOL_STATE_PAUSED);
    decision = probe("b", accepted());
    check_no_charge(&decision); // not twice
}
END_TEST

START_TEST(a_probe_that_closes_for_another_reason_takes_the_charge_along)
{
    struct verdict settled = throttled(SEC);
    settled.kind = VERDICT_KIND_RETRY;
    break_down(0);
    struct pool_decision decision = probe("x", settled);
    check_action(&decision, POOL_ACTION_SETTLE);
    check_state(POOL_STATE_PAUSED);
    decision = probe("y", accepted());
    check_no_charge(&decision); // neither customer-4 of the breaker nor x twice

    break_down(10);
    (void)probe("z", throttled(SEC));
    decision = probe("y", accepted());
    check_charge(&decision, "z", POOL_ACTION_RETRY);
}
END_TEST

START_TEST(a_limit_used_up_rests_without_an_event)
{
    struct verdict verdict = accepted();
    verdict.pause_ns = 7 * SEC;
    struct pool_decision decision = send_update("a", verdict);
    check_action(&decision, POOL_ACTION_SETTLE);
    check_state(POOL_STATE_OPEN);
    CHECK_EQUAL(pool_concurrency(pool, 16, now), 0);
    CHECK(!pool_may_start(pool, key("b"), now).yes);
    CHECK_EQUAL(pool_next_ns(pool, now), now + 7 * SEC);
    now += 7 * SEC;
    CHECK(pool_concurrency(pool, 16, now) > 0);
    CHECK(!pool_may_start(pool, key("b"), now).probe);

    verdict.pause_ns = 600 * SEC; // so long is an event, and the others should know
    decision = send_update("b", verdict);
    check_action(&decision, POOL_ACTION_SETTLE);
    check_state(POOL_STATE_PAUSED);
    CHECK_EQUAL(pool_shared_until_ns(pool), now + 600 * SEC);
    decision = probe("c", verdict);
    check_action(&decision, POOL_ACTION_SETTLE);
    check_state(POOL_STATE_PAUSED);
    decision = probe("d", accepted());
    check_no_charge(&decision);
    check_state(POOL_STATE_OPEN);
}
END_TEST

// ---- other instances, the operator ----

START_TEST(another_instances_pause_is_kept_and_cut_at_an_hour)
{
    struct pool_change change = pool_pause_until(pool, now + 10 * SEC, now);
    CHECK_TEXT(pool_change_event(&change), "api.throttled");
    CHECK_TEXT(change.reason, "shared");
    CHECK_EQUAL(pool_shared_until_ns(pool), 0);          // not ours to pass on
    change = pool_pause_until(pool, now + 5 * SEC, now); // never shorter
    CHECK_EQUAL(change.from, change.to);
    CHECK(!pool_may_start(pool, key("a"), now + 10 * SEC - 1).yes);
    change = pool_pause_until(pool, INT64_MAX, now);
    CHECK(!pool_may_start(pool, key("a"), now + 3600 * SEC - 1).yes);
    struct pool_decision decision = probe("a", accepted());
    check_state(POOL_STATE_OPEN);
    check_no_charge(&decision);
    CHECK(decision.scale_rate);
    (void)pool_pause_until(pool, now, now); // over already
    check_state(POOL_STATE_OPEN);
}
END_TEST

START_TEST(the_operators_pause_stops_everything_and_ends_by_itself)
{
    int64_t before = now;
    struct pool_change change = pool_pause(pool, now + 100 * SEC, now);
    CHECK_TEXT(change.reason, "manual");
    CHECK_EQUAL(pool_concurrency(pool, 16, now), 0);
    CHECK(!pool_may_start(pool, key("a"), now + 1000 * SEC).yes);
    struct pool_decision decision = note_late("b", failed(), before); // maintenance: no attempt
    check_action(&decision, POOL_ACTION_UNTOUCHED);
    decision = note_late("c", accepted(), before);
    check_action(&decision, POOL_ACTION_SETTLE);
    decision = note_late("d", rejected(400, "T"), before);
    check_action(&decision, POOL_ACTION_SETTLE);
    CHECK_EQUAL(pool_next_ns(pool, now), now + 100 * SEC);
    change = pool_tick(pool, now + 100 * SEC - 1);
    CHECK_EQUAL(change.from, change.to);
    now += 100 * SEC;
    change = pool_tick(pool, now);
    CHECK_TEXT(pool_change_event(&change), "api.up");
    CHECK_EQUAL(pool_concurrency(pool, 16, now), 1);
}
END_TEST

START_TEST(resume_goes_back_to_the_state_below)
{
    break_down(0);
    (void)pool_pause(pool, INT64_MAX, now);
    (void)pool_pause(pool, INT64_MAX, now);
    struct pool_change change = pool_tick(pool, now + 86400 * SEC);
    CHECK_EQUAL(change.from, change.to);
    (void)pool_resume(pool, now);
    check_state(POOL_STATE_DOWN);
    change = pool_resume(pool, now);
    CHECK_EQUAL(change.from, change.to);
    (void)probe("x", accepted());

    (void)pool_pause(pool, INT64_MAX, now);
    change = pool_pause_until(pool, now + 10 * SEC, now); // throttled below
    CHECK_EQUAL(change.from, change.to);
    (void)pool_resume(pool, now);
    check_state(POOL_STATE_PAUSED);
    CHECK(!pool_may_start(pool, key("x"), now + 10 * SEC - 1).yes);
}
END_TEST

START_TEST(a_probe_in_flight_survives_the_operators_pause)
{
    break_down(0);
    wait_for("x");
    int64_t started = now;
    pool_started(pool, key("x"), started);
    (void)pool_pause(pool, INT64_MAX, now);
    struct pool_decision decision = note_late("x", failed(), started);
    check_action(&decision, POOL_ACTION_UNTOUCHED);
    check_state(POOL_STATE_MANUAL);
    (void)pool_resume(pool, now);
    (void)probe("y", accepted());
    check_state(POOL_STATE_OPEN);
}
END_TEST

START_TEST(closed_time_is_counted_over_all_closed_states)
{
    break_down(0);
    int64_t closed_at = now;
    (void)probe("x", unauthorized());
    check_state(POOL_STATE_UNAUTHORIZED);
    CHECK_EQUAL(pool_closed_ns(pool, now + 50 * SEC), now + 50 * SEC - closed_at);
    (void)probe("y", accepted());
    CHECK_EQUAL(pool_closed_ns(pool, now), 0);
}
END_TEST

// ---- late answers ----

START_TEST(answers_from_before_the_closing_touch_nothing_but_what_was_accepted)
{
    int64_t before = now;
    break_down(0);
    struct pool_decision decision = note_late("a", failed(), before);
    check_action(&decision, POOL_ACTION_UNTOUCHED);
    decision = note_late("b", accepted(), before);
    check_action(&decision, POOL_ACTION_SETTLE);
    check_state(POOL_STATE_DOWN);
    decision = note_late("c", rejected(400, "T"), before);
    check_action(&decision, POOL_ACTION_SETTLE);
    decision = note_late("d", throttled(300 * SEC), before);
    check_action(&decision, POOL_ACTION_UNTOUCHED);
    CHECK(!pool_may_start(pool, key("x"), now + 300 * SEC - 1).yes);
}
END_TEST

START_TEST(answers_from_before_the_reopening_do_not_close_it_again)
{
    int64_t before = now;
    (void)send_update("a", unauthorized());
    pool_key_changed(pool, now);
    (void)send_update("b", accepted());
    char name[32];
    for (int i = 0; i < 15; i++) { // a pipeline full of the old key's answers
        struct pool_decision decision = note_late(numbered(name, sizeof name, i),
                                                  i % 2 == 0 ? unauthorized() : failed(), before);
        check_action(&decision, POOL_ACTION_UNTOUCHED);
    }
    check_state(POOL_STATE_OPEN);
}
END_TEST

START_TEST(a_request_that_we_refused_teaches_nothing)
{
    break_down(0);
    struct pool_decision decision = probe("x", refused_here());
    check_action(&decision, POOL_ACTION_UNTOUCHED);
    check_state(POOL_STATE_DOWN);
    CHECK(!pool_may_start(pool, key("x"), now).yes); // not at once: it would spin
    decision = probe("x", accepted());
    check_charge(&decision, "customer-4", POOL_ACTION_RETRY);
}
END_TEST

START_TEST(a_pool_that_closes_again_in_its_slow_start_probes_no_faster)
{
    break_down(0);
    char name[32];
    for (int i = 0; i < 8; i++) {
        (void)probe(numbered(name, sizeof name, 100 + i), failed());
    }
    (void)probe("x", accepted());
    break_down(10);
    CHECK(pool_next_ns(pool, now) - now >= 29 * SEC);
    (void)probe("y", accepted());
    now += 60 * SEC; // well for a minute: from the start again
    break_down(20);
    CHECK(pool_next_ns(pool, now) - now <= SEC);
}
END_TEST

// ---- the table of transitions, walked ----

struct walk {
    bool seen[POOL_STATE_COUNT][POOL_STATE_COUNT];
    int64_t open_since_ns; // started before: stale
    int64_t in_flight[64]; // started_ns by customer; -1: none
    bool probing[64];
    uint64_t seed;
};

static int64_t random_below(struct walk *walk, int64_t limit)
{
    walk->seed = walk->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (int64_t)((walk->seed >> 33) % (uint64_t)limit);
}

static void see(struct walk *walk, const struct pool_change *change)
{
    CHECK_EQUAL(change->to, pool_state(pool));
    if (change->from != change->to) {
        ck_assert_msg(pool_state_allows(change->from, change->to), "%s -> %s",
                      pool_state_name(change->from), pool_state_name(change->to));
        CHECK(change->reason != NULL);
        walk->seen[change->from][change->to] = true;
    }
}

static struct verdict random_verdict(struct walk *walk)
{
    // Long stretches of one kind, as in life: storms and outages need a row of equal answers.
    uint64_t phase = (uint64_t)(now / (30 * SEC)) * UINT64_C(0x9E3779B97F4A7C15);
    phase ^= phase >> 29;
    switch (random_below(walk, 30) == 0 ? random_below(walk, 9) : (int64_t)(phase % 9)) {
    case 0:
        return failed();
    case 1:
        return throttled(random_below(walk, 3) * SEC);
    case 2:
        return unauthorized();
    case 3:
        return forbidden();
    case 4:
        return undocumented();
    case 5:
        return rejected(400, "T");
    case 6:
        return random_below(walk, 2) == 0 ? refused_here() : other_id();
    default:
        return accepted();
    }
}

static void start_some(struct walk *walk)
{
    int64_t customer = random_below(walk, 64);
    char name[32];
    numbered(name, sizeof name, (int)customer);
    struct pool_permit permit = pool_may_start(pool, key(name), now);
    if (walk->in_flight[customer] >= 0 || !permit.yes) {
        return;
    }
    CHECK(pool_concurrency(pool, 64, now) > 0);
    for (int i = 0; i < 64; i++) {
        CHECK(!permit.probe || !walk->probing[i]); // never two
    }
    walk->probing[customer] = permit.probe;
    walk->in_flight[customer] = now;
    pool_started(pool, key(name), now);
}

static void check_decision(const struct pool_decision *decision, const struct verdict *verdict,
                           enum pool_state before)
{
    enum pool_action action = decision->action;
    if (verdict->cause == VERDICT_CAUSE_ACCEPTED) {
        CHECK_EQUAL(action, POOL_ACTION_SETTLE); // I6, whatever the state
    }
    if (verdict->kind == VERDICT_KIND_HOLD) {
        CHECK(action != POOL_ACTION_SETTLE);
        CHECK(action != POOL_ACTION_DEAD); // deaths are charged, after an acceptance
    }
    if (before != POOL_STATE_OPEN && verdict->cause == VERDICT_CAUSE_FAILURE) {
        CHECK_EQUAL(action, POOL_ACTION_UNTOUCHED); // no attempt while closed
    }
    if (decision->charge == POOL_ACTION_DEAD) {
        CHECK_EQUAL(verdict->cause, VERDICT_CAUSE_ACCEPTED);
    }
    CHECK(decision->drop_unstarted ==
          (before == POOL_STATE_OPEN && pool_state(pool) != POOL_STATE_OPEN));
}

static void answer_some(struct walk *walk)
{
    int64_t customer = random_below(walk, 64);
    if (walk->in_flight[customer] < 0) {
        return;
    }
    char name[32];
    struct verdict verdict = random_verdict(walk);
    enum pool_state before = pool_state(pool);
    struct pool_decision decision =
        pool_note(pool, &verdict, key(numbered(name, sizeof name, (int)customer)),
                  walk->in_flight[customer], now, walk->seed);
    walk->in_flight[customer] = -1;
    walk->probing[customer] = false;
    check_decision(&decision, &verdict, before);
    see(walk, &decision.change);
}

static void meddle(struct walk *walk)
{
    struct pool_change change = pool_tick(pool, now);
    see(walk, &change);
    switch (random_below(walk, 400)) {
    case 0:
        change = pool_pause(pool, now + random_below(walk, 20) * SEC, now);
        break;
    case 1:
        change = pool_resume(pool, now);
        break;
    case 2:
        change = pool_pause_until(pool, now + random_below(walk, 5) * SEC, now);
        break;
    case 3:
        pool_key_changed(pool, now);
        break;
    case 4:
        pool_settings_changed(pool, now);
        break;
    default:
        break;
    }
    if (change.from != change.to) {
        see(walk, &change);
    }
}

START_TEST(every_allowed_transition_happens_and_no_other)
{
    static struct walk walk;
    walk = (struct walk){.seed = 44};
    for (int i = 0; i < 64; i++) {
        walk.in_flight[i] = -1;
    }
    for (int i = 0; i < 300000; i++) {
        meddle(&walk);
        start_some(&walk);
        answer_some(&walk);
        now += random_below(&walk, SEC / 5);
    }
    for (int from = 0; from < POOL_STATE_COUNT; from++) {
        for (int to = 0; to < POOL_STATE_COUNT; to++) {
            ck_assert_msg(walk.seen[from][to] ==
                              pool_state_allows((enum pool_state)from, (enum pool_state)to),
                          "%s -> %s: %s", pool_state_name((enum pool_state)from),
                          pool_state_name((enum pool_state)to),
                          walk.seen[from][to] ? "seen" : "never seen");
        }
    }
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("pool");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, begins_open_without_a_slow_start);
    tcase_add_test(tests, out_of_quiet_few_go_before_one_was_accepted);
    tcase_add_test(tests, breaker_opens_after_five_customers_in_a_row);
    tcase_add_test(tests, answers_to_what_is_older_than_the_failures_do_not_end_them);
    tcase_add_test(tests, one_customers_failures_never_open_the_breaker);
    tcase_add_test(tests, an_answer_below_500_between_failures_keeps_the_breaker_shut);
    tcase_add_test(tests, another_id_is_no_failure_of_the_api);
    tcase_add_test(tests, two_hours_of_outage_count_no_attempt_and_few_lines);
    tcase_add_test(tests, only_one_probe_is_in_flight);
    tcase_add_test(tests, slow_start_after_the_probe);
    tcase_add_test(tests, a_probe_passes_the_breaker_with_any_answer_below_500);
    tcase_add_test(tests, a_captive_portal_does_not_pass_the_breaker);
    tcase_add_test(tests, forbidden_by_a_firewall_kills_its_own_row_only);
    tcase_add_test(tests, a_throttled_customer_is_charged_once_and_then_stops_nobody);
    tcase_add_test(tests, a_throttle_of_all_is_seen_in_spite_of_a_known_offender);
    tcase_add_test(tests, probes_go_through_the_customers_until_one_passes);
    tcase_add_test(tests, the_fifth_failure_is_charged_if_the_first_probe_passes);
    tcase_add_test(tests, without_another_customer_the_same_may_probe_after_a_longer_wait);
    tcase_add_test(tests, its_own_probes_do_not_clear_a_row);
    tcase_add_test(tests, several_poisoned_customers_die_one_by_one);
    tcase_add_test(tests, poisoned_customers_delay_the_others_no_more_than_one_does);
    tcase_add_test(tests, nobody_dies_of_a_403_of_all);
    tcase_add_test(tests, nobody_dies_of_a_403_long_ago_or_without_an_acceptance);
    tcase_add_test(tests, trouble_of_others_in_flight_clears_the_row_that_closed_the_pool);
    tcase_add_test(tests, a_wrong_key_costs_few_requests_and_no_attempt);
    tcase_add_test(tests, a_new_key_is_tried_although_the_old_ones_probe_is_in_flight);
    tcase_add_test(tests, a_new_key_clears_the_first_401_too);
    tcase_add_test(tests, other_settings_are_tried_at_once_whatever_closed_it);
    tcase_add_test(tests, other_settings_do_not_end_a_pause_that_was_told);
    tcase_add_test(tests, nobody_is_charged_for_what_was_before_other_settings);
    tcase_add_test(tests, a_probe_of_before_says_nothing_about_other_settings);
    tcase_add_test(tests, a_wrong_path_touches_no_row);
    tcase_add_test(tests, one_customers_block_page_is_retried_and_blocks_nobody_else);
    tcase_add_test(tests, twenty_equal_rejections_pause_and_touch_no_more_rows);
    tcase_add_test(tests, an_acceptance_between_rejections_is_peace);
    tcase_add_test(tests, a_storm_is_seen_through_other_rejections);
    tcase_add_test(tests, the_twentieth_dies_if_the_first_probe_is_accepted);
    tcase_add_test(tests, pauses_as_told_then_one_probe);
    tcase_add_test(tests, pauses_by_growing_backoff_when_not_told);
    tcase_add_test(tests, halves_the_rate_once_when_it_goes_on);
    tcase_add_test(tests, service_unavailable_with_retry_after_pauses_like_a_throttle);
    tcase_add_test(tests, a_row_that_the_configuration_retries_at_429_is_settled_at_once);
    tcase_add_test(tests, a_probe_that_closes_for_another_reason_takes_the_charge_along);
    tcase_add_test(tests, a_limit_used_up_rests_without_an_event);
    tcase_add_test(tests, another_instances_pause_is_kept_and_cut_at_an_hour);
    tcase_add_test(tests, the_operators_pause_stops_everything_and_ends_by_itself);
    tcase_add_test(tests, resume_goes_back_to_the_state_below);
    tcase_add_test(tests, a_probe_in_flight_survives_the_operators_pause);
    tcase_add_test(tests, closed_time_is_counted_over_all_closed_states);
    tcase_add_test(tests, answers_from_before_the_closing_touch_nothing_but_what_was_accepted);
    tcase_add_test(tests, answers_from_before_the_reopening_do_not_close_it_again);
    tcase_add_test(tests, a_request_that_we_refused_teaches_nothing);
    tcase_add_test(tests, a_pool_that_closes_again_in_its_slow_start_probes_no_faster);
    tcase_add_test(tests, every_allowed_transition_happens_and_no_other);
    tcase_set_timeout(tests, 120);
    Suite *suite = suite_create("pool");
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
