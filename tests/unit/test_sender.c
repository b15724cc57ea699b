#include "io/sender.h"

#include "base/clock.h"
#include "io/probe.h"
#include "servers.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORKERS = 4, ROUNDS = 3, SENT = WORKERS * ROUNDS };
#define SEC CLOCK_NS_PER_SEC
#define BODY "{\"email\": \"a@example.com\"}"

static struct {
    struct loop *loop;
    struct sender *sender;
    struct sender_options options;
    int answers;
    int want;
    bool done;
    struct answer last; // without what it borrows
    char body[200];
    char secret[120];
    int64_t elapsed_ns;
} http;

static void make_loop(void)
{
    struct err err = {.kind = ERR_KIND_NONE};
    http.loop = loop_create(&err);
    ck_assert_ptr_nonnull(http.loop);
    http.options = (struct sender_options){.base_url = sandbox_url(),
                                           .update_path = "/v2/customers/{customer_id}",
                                           .connect_timeout_ns = 2 * SEC,
                                           .timeout_ns = 5 * SEC,
                                           .workers = WORKERS};
}

static void setup(void)
{
    servers_begin();
    memset(&http, 0, sizeof http);
    make_loop();
}

static void teardown(void)
{
    sender_destroy(http.sender);
    loop_destroy(http.loop);
    servers_end();
}

static void create(void)
{
    struct err err = {.kind = ERR_KIND_NONE};
    http.sender = sender_create(http.loop, &http.options, &err);
    ck_assert_msg(http.sender != NULL, "%s", err.text);
    sender_set_key(http.sender, SANDBOX_KEY);
}

static void on_answer(void *ctx, const struct answer *answer, int64_t elapsed_ns)
{
    ck_assert_ptr_eq(ctx, &http);
    http.last = *answer;
    snprintf(http.body, sizeof http.body, "%.*s", STR_ARG(answer->body));
    snprintf(http.secret, sizeof http.secret, "%.*s", STR_ARG(answer->secrets[0]));
    http.elapsed_ns = elapsed_ns;
    http.answers++;
    http.done = http.answers >= http.want;
}

static void submit(const char *customer, int64_t lease_ns)
{
    sender_submit(http.sender, str_of(customer), STR(BODY), clock_now_ns() + lease_ns, on_answer,
                  &http);
}

static void wait_answers(int count)
{
    struct err err = {.kind = ERR_KIND_NONE};
    http.want = count;
    http.done = http.answers >= count;
    ck_assert_msg(loop_run_until(http.loop, &http.done, &err), "%s", err.text);
}

// Sends one, and the answer's transport and failure are these.
static void check_answer(enum answer_transport transport, const char *failure)
{
    submit("c1", 60 * SEC);
    wait_answers(http.answers + 1);
    ck_assert_int_eq(http.last.transport, transport);
    ck_assert_pstr_eq(http.last.failure, failure);
}

START_TEST(an_update_is_posted_and_answered)
{
    http.options.merchant_key = "merchant-1";
    create();
    ck_assert_uint_eq(sender_free_workers(http.sender), WORKERS);
    submit("c1", 60 * SEC);
    ck_assert_uint_eq(sender_in_flight(http.sender), 1);
    ck_assert_uint_eq(sender_unsent(http.sender), 1);
    wait_answers(1);
    ck_assert_int_eq(http.last.transport, ANSWER_TRANSPORT_ANSWERED);
    ck_assert_int_eq(http.last.status, 200);
    ck_assert_ptr_nonnull(strstr(http.body, "\"id\""));
    ck_assert_str_eq(http.secret, SANDBOX_KEY); // so that nobody quotes it
    ck_assert_int_gt(http.elapsed_ns, 0);
    ck_assert_uint_eq(sender_in_flight(http.sender), 0);
    ck_assert_uint_eq(sender_unsent(http.sender), 0);
    ck_assert(sandbox_has("c1", "a@example.com"));
    char *journal = servers_read("journal");
    ck_assert_ptr_nonnull(strstr(journal, "imprint-sync/"));
    free(journal);
}
END_TEST

START_TEST(workers_send_at_once_and_keep_their_connections)
{
    create();
    sandbox_faults("[\"delay=50\"]");
    for (int round = 1; round <= ROUNDS; round++) {
        for (int i = 0; i < WORKERS; i++) {
            char customer[8];
            snprintf(customer, sizeof customer, "c%d", i);
            submit(customer, 60 * SEC);
        }
        ck_assert_uint_eq(sender_free_workers(http.sender), 0);
        wait_answers(round * WORKERS);
    }
    sandbox_wait_requests(NULL, SENT);
    char *stats = sandbox_control("GET", "stats", NULL);
    char want[60];
    snprintf(want, sizeof want, "\"max_concurrent\":%d", WORKERS);
    ck_assert_msg(strstr(stats, want) != NULL, "%s", stats);
    free(stats);
    // Connections are numbered from 1: after three rounds no more than those and the control's.
    char *journal = servers_read("journal");
    snprintf(want, sizeof want, "\"conn\":%d,", WORKERS + 3);
    ck_assert_ptr_null(strstr(journal, want));
    free(journal);
}
END_TEST

START_TEST(what_the_api_says_is_told_whole)
{
    create();
    sandbox_faults("[\"count=1,status=429,retry-after=7\"]");
    check_answer(ANSWER_TRANSPORT_ANSWERED, NULL);
    ck_assert_int_eq(http.last.status, 429);
    ck_assert_int_eq(http.last.headers.retry_after_s, 7);
    sandbox_faults("[\"count=1,redirect\"]");
    check_answer(ANSWER_TRANSPORT_ANSWERED, NULL);
    ck_assert_int_eq(http.last.status, 307); // not followed
    sandbox_faults("[\"count=1,empty,status=500\"]");
    check_answer(ANSWER_TRANSPORT_ANSWERED, NULL);
    ck_assert_int_eq(http.last.status, 500);
    ck_assert_str_eq(http.body, "");
    ck_assert_int_eq(http.last.headers.retry_after_s, -1); // nothing of the answers before
    sandbox_wait_requests(NULL, 3);
    ck_assert_int_eq(sandbox_requests(NULL), 3);
}
END_TEST

START_TEST(answers_that_are_too_big_or_cut)
{
    create();
    sandbox_faults("[\"count=1,huge\"]");
    check_answer(ANSWER_TRANSPORT_ANSWERED, NULL);
    ck_assert(http.last.body_too_big && !http.last.body_cut);
    sandbox_faults("[\"count=1,cut\"]");
    check_answer(ANSWER_TRANSPORT_ANSWERED, NULL);
    ck_assert(http.last.body_cut && !http.last.body_too_big);
    sandbox_faults("[]");
    check_answer(ANSWER_TRANSPORT_ANSWERED, NULL);
    ck_assert(!http.last.body_cut && !http.last.body_too_big);
    ck_assert_int_eq(http.last.status, 200);
}
END_TEST

START_TEST(what_breaks_on_the_way_is_unknown)
{
    http.options.timeout_ns = SEC / 2;
    create();
    sandbox_faults("[\"count=1,reset\"]");
    check_answer(ANSWER_TRANSPORT_UNKNOWN, "reset");
    sandbox_faults("[\"count=1,hang\"]");
    check_answer(ANSWER_TRANSPORT_UNKNOWN, "timeout");
    ck_assert_int_ge(http.elapsed_ns, SEC / 2 - CLOCK_NS_PER_MS);
    sandbox_faults("[]");
    check_answer(ANSWER_TRANSPORT_ANSWERED, NULL);
}
END_TEST

START_TEST(a_kept_connection_that_was_closed_repeats_nothing_unseen)
{
    create();
    check_answer(ANSWER_TRANSPORT_ANSWERED, NULL);
    sandbox_faults("[\"count=1,reset\"]"); // on the connection that was kept: libcurl would repeat
    submit("c1", 60 * SEC);
    wait_answers(2);
    ck_assert_int_eq(http.last.transport, ANSWER_TRANSPORT_UNKNOWN);
    ck_assert(strcmp(http.last.failure, "repeat") == 0 || strcmp(http.last.failure, "reset") == 0);
    sandbox_wait_requests("c1", 2);
    ck_assert_int_eq(sandbox_requests("c1"), 2);
}
END_TEST

START_TEST(nothing_leaves_past_the_lease)
{
    create();
    submit("c1", 0);
    wait_answers(1);
    ck_assert_int_eq(http.last.transport, ANSWER_TRANSPORT_REFUSED_HERE);
    ck_assert_str_eq(http.last.failure, "lease");
    check_answer(ANSWER_TRANSPORT_ANSWERED, NULL);
    sandbox_wait_requests("c1", 1);
    ck_assert_int_eq(sandbox_requests("c1"), 1);
}
END_TEST

START_TEST(where_nobody_listens_nothing_was_sent)
{
    http.options.base_url = "http://127.0.0.1:9";
    create();
    check_answer(ANSWER_TRANSPORT_NOT_SENT, "connect");
    ck_assert_int_eq(http.last.status, 0);
    ck_assert_uint_eq(sender_unsent(http.sender), 0);
    sender_destroy(http.sender);
    http.options.base_url = "http://no-such-host.invalid";
    create();
    check_answer(ANSWER_TRANSPORT_NOT_SENT, "dns");
}
END_TEST

START_TEST(a_wrong_key_and_one_that_is_replaced)
{
    create();
    sender_set_key(http.sender, "wrong");
    check_answer(ANSWER_TRANSPORT_ANSWERED, NULL);
    ck_assert_int_eq(http.last.status, 401);
    submit("c1", 60 * SEC); // begun with the wrong one
    sender_set_key(http.sender, SANDBOX_KEY);
    wait_answers(2);
    ck_assert_str_eq(http.secret, "wrong");
    ck_assert_int_eq(http.last.status, 401);
    check_answer(ANSWER_TRANSPORT_ANSWERED, NULL);
    ck_assert_int_eq(http.last.status, 200);
}
END_TEST

START_TEST(basic_authorization_of_keys_of_any_length)
{
    http.options.basic_auth = true;
    create();
    static const char *const keys[] = {"k", "ke", "key", "keyk", "a-key/with+signs"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        char list[40];
        snprintf(list, sizeof list, "[\"%s\"]", keys[i]);
        free(sandbox_control("PUT", "keys", list));
        sender_set_key(http.sender, keys[i]);
        check_answer(ANSWER_TRANSPORT_ANSWERED, NULL);
        ck_assert_msg(http.last.status == 200, "%s: %d", keys[i], http.last.status);
    }
}
END_TEST

START_TEST(a_renewed_sender_lets_the_old_one_end)
{
    create();
    sandbox_faults("[\"customer=slow,delay=200\"]");
    submit("slow", 60 * SEC);
    struct err err = {.kind = ERR_KIND_NONE};
    http.options.workers = 2;
    for (int i = 0; i < 2; i++) { // the second one has nothing under way, the third takes its place
        ck_assert(sender_renew(&http.sender, &http.options, &err));
        sender_set_key(http.sender, SANDBOX_KEY);
    }
    ck_assert_uint_eq(sender_free_workers(http.sender), 2);
    ck_assert_uint_eq(sender_in_flight(http.sender), 1);
    ck_assert_uint_eq(sender_unsent(http.sender), 1);
    submit("quick", 60 * SEC);
    wait_answers(2);
    ck_assert_uint_eq(sender_in_flight(http.sender), 0);
    ck_assert(sandbox_has("slow", "a@example.com") && sandbox_has("quick", "a@example.com"));
}
END_TEST

START_TEST(what_is_under_way_is_dropped_without_its_call)
{
    create();
    sandbox_faults("[\"hang\"]");
    submit("c1", 60 * SEC);
    struct err err = {.kind = ERR_KIND_NONE};
    ck_assert(sender_renew(&http.sender, &http.options, &err));
    sender_set_key(http.sender, SANDBOX_KEY);
    submit("c2", 60 * SEC);
    sender_destroy(http.sender);
    http.sender = NULL;
    sender_destroy(NULL);
    ck_assert_int_eq(http.answers, 0);
}
END_TEST

START_TEST(a_proxy_is_asked_and_never_taken_from_the_environment)
{
    ck_assert_int_eq(setenv("http_proxy", "http://127.0.0.1:9", 1), 0);
    create();
    check_answer(ANSWER_TRANSPORT_ANSWERED, NULL);
    sender_destroy(http.sender);
    http.options.proxy = "http://127.0.0.1:9";
    create();
    check_answer(ANSWER_TRANSPORT_NOT_SENT, "connect");
}
END_TEST

START_TEST(the_request_is_described_without_the_keys)
{
    struct buf out;
    buf_init(&out, 4096);
    http.options.base_url = "https://api.example.com";
    http.options.merchant_key = "hunter2";
    ck_assert(sender_describe(&http.options, STR("c1"), 42, &out));
    ck_assert_str_eq(out.data, "POST https://api.example.com/v2/customers/c1\n"
                               "User-Agent: imprint-sync/" IMPRINT_VERSION "\n"
                               "Authorization: Bearer (set)\n"
                               "Content-Type: application/json\n"
                               "Accept: application/json\n"
                               "x-imprint-merchant-key: (set)\n"
                               "Content-Length: 42\n");
    buf_free(&out);
    buf_init(&out, 60);
    ck_assert(!sender_describe(&http.options, STR("c1"), 42, &out));
    buf_free(&out);
    buf_init(&out, 4096);
    http.options.basic_auth = true;
    ck_assert(sender_describe(&http.options, STR("c1"), 42, &out));
    ck_assert_ptr_nonnull(strstr(out.data, "Authorization: Basic (set)\n"));
    buf_free(&out);
}
END_TEST

// ---- TLS
// -----------------------------------------------------------------------------------------

START_TEST(a_certificate_must_be_of_an_authority_that_is_trusted)
{
    sandbox_stop();
    sandbox_start_tls();
    char ca[400];
    snprintf(ca, sizeof ca, "%s", servers_path("ca.pem"));
    http.options.base_url = sandbox_url();
    create();
    check_answer(ANSWER_TRANSPORT_NOT_SENT, "tls");
    sender_destroy(http.sender);
    http.options.ca_file = ca;
    http.options.http2 = true; // which the sandbox does not speak: it is only offered
    create();
    check_answer(ANSWER_TRANSPORT_ANSWERED, NULL);
    ck_assert_int_eq(http.last.status, 200);
    ck_assert_int_eq(sandbox_requests("c1"), 1);
}
END_TEST

START_TEST(files_of_certificates_that_are_missing)
{
    sandbox_stop();
    sandbox_start_tls();
    http.options.base_url = sandbox_url();
    http.options.ca_file = "/nonexistent/ca.pem";
    create();
    check_answer(ANSWER_TRANSPORT_NOT_SENT, "tls");
    sender_destroy(http.sender);
    char ca[400];
    snprintf(ca, sizeof ca, "%s", servers_path("ca.pem"));
    http.options.ca_file = ca;
    http.options.client_cert_file = "/nonexistent/cert.pem";
    http.options.client_key_file = "/nonexistent/key.pem";
    create();
    check_answer(ANSWER_TRANSPORT_NOT_SENT, "tls");
}
END_TEST

// ---- the probe
// -----------------------------------------------------------------------------------

START_TEST(the_probe_says_what_is_at_the_other_end)
{
    struct probe probe;
    probe_connect(&probe, &http.options);
    ck_assert(probe.connected && !probe.tls);
    ck_assert_str_eq(probe.failure, "");
    ck_assert_str_eq(probe.address, sandbox_url() + strlen("http://"));
    http.options.base_url = "http://127.0.0.1:9";
    probe_connect(&probe, &http.options);
    ck_assert(!probe.connected);
    ck_assert_str_ne(probe.failure, "");
    ck_assert_int_eq(sandbox_requests(NULL), 0);
}
END_TEST

START_TEST(the_probe_reads_the_certificate)
{
    sandbox_stop();
    sandbox_start_tls();
    char ca[400];
    snprintf(ca, sizeof ca, "%s", servers_path("ca.pem"));
    http.options.base_url = sandbox_url();
    struct probe probe;
    probe_connect(&probe, &http.options);
    ck_assert(probe.tls && !probe.connected);
    ck_assert_ptr_nonnull(strstr(probe.failure, "certificate"));
    http.options.ca_file = ca;
    probe_connect(&probe, &http.options);
    ck_assert_msg(probe.connected, "%s", probe.failure);
    ck_assert_str_eq(probe.version, "TLSv1.3");
    ck_assert_str_ne(probe.subject, "");
    ck_assert_str_ne(probe.issuer, probe.subject);
    int64_t days = (probe.expires_s - clock_wall_ns() / SEC) / 86400;
    ck_assert_int_ge(days, 29);
    ck_assert_int_le(days, 30);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("sender");
    tcase_add_test(tests, an_update_is_posted_and_answered);
    tcase_add_test(tests, workers_send_at_once_and_keep_their_connections);
    tcase_add_test(tests, what_the_api_says_is_told_whole);
    tcase_add_test(tests, answers_that_are_too_big_or_cut);
    tcase_add_test(tests, what_breaks_on_the_way_is_unknown);
    tcase_add_test(tests, a_kept_connection_that_was_closed_repeats_nothing_unseen);
    tcase_add_test(tests, nothing_leaves_past_the_lease);
    tcase_add_test(tests, where_nobody_listens_nothing_was_sent);
    tcase_add_test(tests, a_wrong_key_and_one_that_is_replaced);
    tcase_add_test(tests, basic_authorization_of_keys_of_any_length);
    tcase_add_test(tests, a_renewed_sender_lets_the_old_one_end);
    tcase_add_test(tests, what_is_under_way_is_dropped_without_its_call);
    tcase_add_test(tests, a_proxy_is_asked_and_never_taken_from_the_environment);
    tcase_add_test(tests, the_request_is_described_without_the_keys);
    tcase_add_test(tests, a_certificate_must_be_of_an_authority_that_is_trusted);
    tcase_add_test(tests, files_of_certificates_that_are_missing);
    tcase_add_test(tests, the_probe_says_what_is_at_the_other_end);
    tcase_add_test(tests, the_probe_reads_the_certificate);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 20);
    Suite *suite = suite_create("sender");
    suite_add_tcase(suite, tests);
    return servers_run_sandbox(suite);
}
