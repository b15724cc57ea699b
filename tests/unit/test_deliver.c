// `imprint-sync run`, called as a function beside a real PostgreSQL and the sandbox.
#include "program.h"
#include "servers.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define OUTBOX "imprint_sync.outbox"
#define ALICE "00000001-0000-4000-8000-000000000000" // the first of sql_people

// Leases so short that one who dies is soon stood in for.
static const char short_imprint[] = "  connect_timeout: 500ms\n  timeout: 500ms\n";
static const char short_outbox[] = "  poll_interval: 100ms\n  lease: 1500ms\n";

static void add_many(int count)
{
    sql_run("INSERT INTO " OUTBOX " (customer_id, payload)"
            " SELECT 'c' || n, jsonb_build_object('email', 'c' || n || '@example.com')"
            " FROM generate_series(1, %d) AS n",
            count);
}

static int64_t count_of(const char *status)
{
    return sql_int64("SELECT count(*) FROM " OUTBOX " WHERE status = '%s'", status);
}

static void wait_drained(void)
{
    sql_wait("SELECT count(*) = 0 FROM " OUTBOX " WHERE status = 'pending'");
}

static void wait_settled(int64_t id)
{
    sql_wait("SELECT status <> 'pending' FROM " OUTBOX " WHERE id = %ld", (long)id);
}

static const char *column_of(int64_t id, const char *column)
{
    return sql_text("SELECT %s FROM " OUTBOX " WHERE id = %ld", column, (long)id);
}

static void configure(void)
{
    program_configure(&(struct program_config){.database = NULL});
}

// The service under its usual configuration, ready.
static pid_t start_daemon(void)
{
    pid_t pid = program_start("log", "run", NULL);
    program_wait_log("log", "daemon.ready", NULL);
    return pid;
}

// ---- run --once
// ----------------------------------------------------------------------------------

START_TEST(once_delivers_what_is_due_and_ends)
{
    configure();
    sql_people(3);
    int64_t thin = sql_add(ALICE, NULL);
    int64_t first = sql_add("c1", "{\"email\": \"old@example.com\", \"first_name\": \"Ann\"}");
    int64_t second = sql_add("C1", "{\"email\": \"new@example.com\"}");
    add_many(30);
    ck_assert_int_eq(program_run("run", "--once", NULL), 0);
    ck_assert_int_eq(count_of("done"), 33);
    ck_assert_str_eq(column_of(thin, "http_status || ' ' || attempts"), "200 0");
    ck_assert_str_eq(column_of(first, "settled_at IS NOT NULL"), "t");
    ck_assert_str_eq(column_of(second, "error IS NULL"), "t");
    ck_assert(sandbox_has(ALICE, "p1@example.com"));
    ck_assert_int_eq(sandbox_requests("c1"), 1); // three rows, folded
    ck_assert(sandbox_has("c1", "c1@example.com") && sandbox_has("c1", "Ann"));
    ck_assert_int_eq(sandbox_requests(NULL), 31);
    ck_assert_int_eq(sql_int64("SELECT count(*) FROM imprint_sync.lease WHERE holder IS NOT NULL"),
                     0); // and all is given back
}
END_TEST

START_TEST(once_says_what_died_and_why)
{
    configure();
    sandbox_faults(
        "[\"customer=refused,status=400,shape=1,type=INVALID_REQUEST_ERROR,param=email\"]");
    int64_t refused = sql_add("refused", "{\"email\": \"a@example.com\"}");
    int64_t unmapped = sql_add("unmapped", "{\"email\": \"nobody\"}");
    int64_t odd = sql_add("../odd", "{\"email\": \"a@example.com\"}");
    int64_t missing = sql_add("99999999-0000-4000-8000-000000000000", NULL);
    int64_t empty = sql_add("empty", "{\"unknown\": 1}");
    int64_t fine = sql_add("fine", "{\"email\": \"a@example.com\"}");
    ck_assert_int_eq(program_run("run", "--once", NULL), 65);
    ck_assert_str_eq(column_of(refused, "status || ' ' || http_status"), "dead 400");
    ck_assert_ptr_nonnull(strstr(column_of(refused, "error"), "INVALID_REQUEST_ERROR"));
    ck_assert_ptr_nonnull(strstr(column_of(unmapped, "error"), "email: column email: "));
    ck_assert_str_eq(column_of(odd, "status"), "dead");
    ck_assert_ptr_nonnull(strstr(column_of(missing, "error"), "source.missing"));
    ck_assert_str_eq(column_of(empty, "status || ' ' || error"), "done unchanged");
    ck_assert_str_eq(column_of(fine, "status"), "done");
    ck_assert_int_eq(sandbox_requests(NULL), 2);
}
END_TEST

START_TEST(what_fails_is_tried_again_and_counted)
{
    program_configure(&(struct program_config){.imprint = short_imprint});
    static const char *const specs[] = {"status=500", "reset", "cut",      "not-json",     "empty",
                                        "other-id",   "huge",  "redirect", "hang,before=1"};
    char faults[600] = "[";
    for (size_t i = 0; i < sizeof specs / sizeof specs[0]; i++) {
        size_t len = strlen(faults);
        snprintf(faults + len, sizeof faults - len, "%s\"customer=c%zu,count=1,%s\"",
                 i == 0 ? "" : ",", i + 1, specs[i]);
    }
    size_t end = strlen(faults);
    snprintf(faults + end, sizeof faults - end, "]");
    sandbox_faults(faults);
    add_many(9);
    pid_t pid = start_daemon();
    wait_drained();
    ck_assert_int_eq(program_stop(pid, SIGTERM), 0);
    ck_assert_int_eq(count_of("done"), 9);
    ck_assert_int_ge(sandbox_requests(NULL), 16);
    // Those that came while it looked like an outage were not counted.
    ck_assert_str_eq(sql_text("SELECT max(attempts) || ' ' || (sum(attempts) > 0) FROM " OUTBOX),
                     "1 true");
}
END_TEST

START_TEST(a_row_dies_when_its_tries_are_used_up)
{
    program_configure(&(struct program_config){
        .retry = "  base: 1ms\n  cap: 5ms\n  max_attempts: 3\n  give_up_after: 1ms\n"});
    sandbox_faults("[\"customer=c1,status=500\"]");
    add_many(5);
    ck_assert_int_eq(program_run("run", "--once", NULL), 65);
    ck_assert_str_eq(sql_text("SELECT status || ' ' || attempts || ' ' || http_status FROM " OUTBOX
                              " WHERE customer_id = 'c1'"),
                     "dead 3 500");
    ck_assert_int_eq(sandbox_requests("c1"), 3);
    ck_assert_int_eq(count_of("done"), 4);
}
END_TEST

START_TEST(once_gives_up_where_nothing_can_be_reached)
{
    program_configure(&(struct program_config){.base_url = "http://127.0.0.1:9"});
    add_many(20);
    ck_assert_int_eq(program_run("run", "--once", NULL), 69);
    ck_assert_int_eq(count_of("pending"), 20);
    ck_assert_int_le(sql_int64("SELECT max(attempts) FROM " OUTBOX), 1); // until it was clear
    program_configure(&(struct program_config){.dsn = "host=/nonexistent dbname=x"});
    ck_assert_int_eq(program_run("run", "--once", NULL), 69);
    ck_assert(program_said("/nonexistent"));
}
END_TEST

START_TEST(what_is_set_up_wrongly_ends_it)
{
    configure();
    sql_run("UPDATE imprint_sync.schema_version SET version = version + 100");
    ck_assert_int_eq(program_run("run", NULL), 78);
    ck_assert(program_said("newer"));
    sql_run("DELETE FROM imprint_sync.schema_version WHERE version > 3");
    sql_run("INSERT INTO imprint_sync.schema_version (version) VALUES (1) ON CONFLICT DO NOTHING");
    ck_assert_int_eq(program_run("run", NULL), 78);
    ck_assert(program_said("imprint-sync migrate"));
    sql_run("DROP SCHEMA imprint_sync CASCADE");
    ck_assert_int_eq(program_run("run", NULL), 78);
    ck_assert(program_said("imprint-sync migrate"));
    servers_write("imprint-sync.yaml", "databse: {}\n");
    ck_assert_int_eq(program_run("run", NULL), 78);
    ck_assert(program_said("databse"));
    configure();
    unlink(servers_path("api_key"));
    ck_assert_int_eq(program_run("run", NULL), 78);
    ck_assert(program_said("api_key"));
}
END_TEST

START_TEST(without_retention_done_rows_go_at_once)
{
    program_configure(&(struct program_config){
        .outbox = "  poll_interval: 200ms\n  lease: 20s\n  retention: 0\n"});
    add_many(20);
    sql_people(1);
    add_many(20);
    sql_add(ALICE, NULL);
    sql_add("wrong", "{\"email\": \"nobody\"}");
    ck_assert_int_eq(program_run("run", "--once", NULL), 65);
    ck_assert_str_eq(sql_text("SELECT string_agg(customer_id, ' ') FROM " OUTBOX), "wrong");
    ck_assert_int_eq(sandbox_requests(NULL), 21);
}
END_TEST

START_TEST(without_a_source_thin_rows_are_held)
{
    program_configure(&(struct program_config){.source = ""});
    int64_t thin = sql_add(ALICE, NULL);
    int64_t row = sql_add("c1", "{\"email\": \"a@example.com\"}");
    pid_t pid = start_daemon();
    wait_settled(row);
    program_wait_log("log", "source.held", NULL);
    ck_assert_str_eq(column_of(thin, "status || ' ' || attempts"), "pending 0");
    sql_people(1);
    sql_add(ALICE, NULL);
    configure(); // and with a source they go
    ck_assert_int_eq(kill(pid, SIGHUP), 0);
    program_wait_log("log", "source.ready", NULL);
    wait_drained();
    ck_assert(sandbox_has(ALICE, "p1@example.com"));
    ck_assert_int_eq(program_stop(pid, SIGTERM), 0);
}
END_TEST

// ---- the service
// ---------------------------------------------------------------------------------

START_TEST(a_change_of_the_crm_is_sent_at_once)
{
    program_configure(&(struct program_config){
        .outbox = "  poll_interval: 60s\n  lease: 20s\n", // only a notification can be in time
        .log = "  level: debug\n  format: json\n  stats_interval: 1s\n"});
    sql_people(2);
    pid_t pid = program_start("log", "run", NULL);
    program_wait_log("log", "\"daemon.ready\"", NULL);
    for (int i = 0; i < 3; i++) {
        sql_wait("SELECT last_value > extract(epoch FROM now()) FROM imprint_sync.idle_until");
        sql_run("UPDATE crm.customers SET email = 'new%d@example.com' WHERE id = 1", i);
        wait_drained();
    }
    ck_assert(sandbox_has(ALICE, "new2@example.com"));
    int64_t before = sandbox_requests(NULL);
    int64_t again = sql_add(ALICE, NULL); // and the same is not sent again
    wait_settled(again);
    ck_assert_str_eq(column_of(again, "status || ' ' || error"), "done unchanged");
    ck_assert_int_eq(sandbox_requests(NULL), before);
    program_wait_log("log", "\"stats\"", NULL);
    ck_assert_int_eq(program_stop(pid, SIGTERM), 0);
    ck_assert_int_eq(program_log_count("log", "\"daemon.stop\"", NULL), 1);
    ck_assert_int_eq(program_log_count("log", "example.com", NULL), 0); // no values
}
END_TEST

START_TEST(a_signal_finishes_what_is_in_flight)
{
    configure();
    sandbox_faults("[\"delay=300\"]");
    pid_t pid = start_daemon();
    add_many(8);
    sandbox_wait_requests(NULL, 1);
    ck_assert_int_eq(program_stop(pid, SIGINT), 0);
    ck_assert_int_eq(sandbox_requests(NULL), count_of("done"));
    ck_assert_int_eq(sql_int64("SELECT max(attempts) FROM " OUTBOX), 0);
    ck_assert_int_eq(sql_int64("SELECT count(*) FROM imprint_sync.instance"), 0);
}
END_TEST

START_TEST(draining_ends_and_a_second_signal_ends_it_at_once)
{
    program_configure(&(struct program_config){
        .imprint = "  connect_timeout: 2s\n  timeout: 60s\n",
        .outbox = "  poll_interval: 200ms\n  lease: 300s\n",
        .delivery = "  rate: 1000/s\n  burst: 100\n  workers: 8\n  drain_timeout: 300ms\n"});
    sandbox_faults("[\"hang\"]");
    add_many(1);
    pid_t pid = start_daemon();
    sandbox_wait_busy();
    ck_assert_int_ne(program_stop(pid, SIGTERM), 0);
    ck_assert_str_eq(sql_text("SELECT status || ' ' || attempts FROM " OUTBOX), "pending 0");
}
END_TEST

START_TEST(lost_connections_repeat_nothing)
{
    program_configure(&(struct program_config){
        .delivery = "  rate: 100/s\n  burst: 10\n  workers: 8\n  drain_timeout: 20s\n"});
    sandbox_faults("[\"delay=10\"]");
    add_many(120);
    pid_t pid = start_daemon();
    for (int64_t sent = 20; sent <= 60; sent += 20) {
        sandbox_wait_requests(NULL, sent);
        sql_run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE usename = 'sync_daemon' AND datname = current_database()");
    }
    wait_drained();
    ck_assert_int_eq(count_of("done"), 120);
    for (int i = 1; i <= 120; i++) {
        char customer[8];
        snprintf(customer, sizeof customer, "c%d", i);
        ck_assert_int_eq(sandbox_requests(customer), 1);
    }
    ck_assert_int_ge(program_log_count("log", "db.lost", NULL), 1);
    ck_assert_int_eq(program_stop(pid, SIGTERM), 0);
}
END_TEST

START_TEST(another_schema_or_none_holds_it_until_it_is_back)
{
    configure();
    pid_t pid = start_daemon();
    sql_run("ALTER SCHEMA imprint_sync RENAME TO away");
    sql_run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'sync_daemon'"
            " AND datname = current_database()");
    program_wait_log("log", " stats ", "paused=database");
    sql_run("ALTER SCHEMA away RENAME TO imprint_sync");
    add_many(1);
    wait_drained();
    ck_assert_int_eq(program_stop(pid, SIGTERM), 0);
}
END_TEST

START_TEST(a_broken_source_holds_thin_rows_only)
{
    configure();
    sql_people(2);
    pid_t pid = start_daemon();
    sql_run("ALTER VIEW crm.imprint_customers RENAME TO away");
    sql_add(ALICE, NULL);
    wait_settled(sql_add("c1", "{\"email\": \"a@example.com\"}"));
    program_wait_log("log", "source.held", NULL);
    ck_assert_int_eq(count_of("pending"), 1);
    sql_run("ALTER VIEW crm.away RENAME TO imprint_customers");
    ck_assert_int_eq(kill(pid, SIGHUP), 0); // or half a minute later by itself
    wait_drained();
    ck_assert_int_eq(count_of("done"), 2);
    ck_assert_int_eq(program_stop(pid, SIGTERM), 0);
}
END_TEST

START_TEST(a_source_row_that_cannot_be_read_kills_its_customer_alone)
{
    configure();
    sql_people(20);
    sql_run(
        "CREATE OR REPLACE VIEW crm.imprint_customers AS"
        " SELECT id AS crm_id, imprint_customer_id,"
        "        CASE WHEN id = 7 THEN (1 / (id - 7))::text ELSE email END AS email, mobile,"
        "        first_name, last_name, locale, tier, loyalty_id, joined_at,"
        "        currency AS ltv_currency, NULL::jsonb AS address, 0::numeric AS lifetime_value,"
        "        0::bigint AS order_count, updated_at"
        "   FROM crm.customers");
    sql_run("INSERT INTO " OUTBOX " (customer_id) SELECT imprint_customer_id FROM crm.customers");
    ck_assert_int_eq(program_run("run", "--once", NULL), 65);
    ck_assert_int_eq(count_of("done"), 19);
    ck_assert_str_eq(sql_text("SELECT left(customer_id, 8) || ' ' || (error LIKE '%%22012%%')"
                              " FROM " OUTBOX " WHERE status = 'dead'"),
                     "00000007 true");
}
END_TEST

// ---- the API
// -------------------------------------------------------------------------------------

START_TEST(a_wrong_key_pauses_until_there_is_another)
{
    configure();
    pid_t pid = start_daemon();
    free(sandbox_control("PUT", "keys", "[\"another-key\"]"));
    add_many(30);
    program_wait_log("log", "api.unauthorized", NULL);
    ck_assert_int_eq(count_of("pending"), 30);
    servers_write("api_key", "another-key\n");
    wait_drained();
    ck_assert_int_eq(count_of("done"), 30);
    ck_assert_int_eq(sql_int64("SELECT max(attempts) FROM " OUTBOX), 0);
    ck_assert_int_eq(program_stop(pid, SIGTERM), 0);
    ck_assert_int_eq(program_log_count("log", "another-key", NULL), 0);
}
END_TEST

START_TEST(a_throttle_is_obeyed)
{
    configure();
    sandbox_faults("[\"count=1,status=429,retry-after=1\"]");
    add_many(40);
    pid_t pid = start_daemon();
    wait_drained();
    ck_assert_int_eq(count_of("done"), 40);
    ck_assert_int_ge(program_log_count("log", "api.throttled", NULL), 1);
    ck_assert_int_eq(program_stop(pid, SIGTERM), 0);
}
END_TEST

START_TEST(an_outage_opens_the_breaker_and_its_end_closes_it)
{
    configure();
    pid_t pid = start_daemon();
    sandbox_faults("[\"status=503\"]");
    add_many(60);
    program_wait_log("log", "api.down", NULL);
    sandbox_wait_requests(NULL, sandbox_requests(NULL) + 1); // a probe
    sandbox_faults("[]");
    wait_drained();
    ck_assert_int_eq(count_of("done"), 60);
    ck_assert_int_lt(sandbox_requests(NULL), 60 + 60);
    ck_assert_int_eq(program_stop(pid, SIGTERM), 0);
}
END_TEST

START_TEST(one_refused_for_its_own_sake_dies_among_the_others)
{
    program_configure(&(struct program_config){.basic_auth = true});
    sandbox_faults("[\"customer=c3,status=403\"]");
    add_many(25);
    pid_t pid = start_daemon();
    wait_drained();
    ck_assert_str_eq(
        sql_text("SELECT string_agg(customer_id, ' ') FROM " OUTBOX " WHERE status = 'dead'"),
        "c3");
    ck_assert_int_eq(count_of("done"), 24);
    ck_assert_int_eq(program_stop(pid, SIGTERM), 0);
}
END_TEST

// ---- several
// -------------------------------------------------------------------------------------

static bool slots_are_shared(void)
{
    return strcmp(
               sql_text("SELECT string_agg(n::text, ' ') FROM (SELECT count(*) AS n"
                        " FROM imprint_sync.lease WHERE holder IS NOT NULL GROUP BY holder) AS c"),
               "32 32") == 0;
}

static bool are_shared(void *ctx)
{
    (void)ctx;
    return slots_are_shared();
}

START_TEST(two_share_the_slots_and_one_that_dies_is_stood_in_for)
{
    program_configure(&(struct program_config){.imprint = short_imprint, .outbox = short_outbox});
    pid_t one = start_daemon();
    pid_t other = program_start("other", "run", NULL);
    servers_wait(are_shared, NULL, "the slots are shared");
    add_many(100);
    wait_drained();
    ck_assert_int_eq(sandbox_requests(NULL), 100); // each once
    ck_assert_int_ne(program_stop(one, SIGKILL), 0);
    sql_run("UPDATE " OUTBOX " SET status = 'pending', settled_at = NULL, http_status = NULL,"
            " error = NULL, due_at = now()");
    sql_run("TRUNCATE imprint_sync.customer_state");
    wait_drained();
    ck_assert_int_ge(program_log_count("other", "lease.", NULL), 1);
    ck_assert_int_eq(program_stop(other, SIGTERM), 0);
    ck_assert_int_eq(sql_int64("SELECT count(*) FROM imprint_sync.lease"
                               " WHERE holder LIKE '%%%d%%'",
                               (int)other),
                     0);
}
END_TEST

static bool status_says_paused(void *ctx)
{
    (void)ctx;
    ck_assert_int_eq(program_run("status", "--json", NULL), 0);
    return strcmp(program_json("/state"), "paused") == 0;
}

START_TEST(a_pause_holds_all_until_it_is_ended)
{
    configure();
    pid_t one = start_daemon();
    pid_t other = program_start("other", "run", NULL);
    program_wait_log("other", "daemon.ready", NULL);
    ck_assert_int_eq(program_run("pause", NULL), 0);
    program_wait_log("log", "api.down", "reason=manual");
    program_wait_log("other", "api.down", "reason=manual");
    add_many(20);
    servers_wait(status_says_paused, NULL, "status says so");
    ck_assert_str_eq(program_json("/queue/live/pending"), "20");
    ck_assert_int_eq(sandbox_requests(NULL), 0);
    ck_assert_int_eq(program_run("resume", NULL), 0);
    wait_drained();
    ck_assert_int_eq(sandbox_requests(NULL), 20);
    ck_assert_int_eq(program_stop(one, SIGTERM), 0);
    ck_assert_int_eq(program_stop(other, SIGTERM), 0);
}
END_TEST

// ---- reload and the service manager
// --------------------------------------------------------------

START_TEST(a_reload_takes_all_or_nothing)
{
    configure();
    pid_t pid = start_daemon();
    wait_settled(sql_add("c1", "{\"email\": \"a@example.com\", \"last_name\": \"Lee\"}"));
    ck_assert(!sandbox_has("c1", "Lee"));
    servers_write("imprint-sync.yaml", "mapping: [1, 2]\n");
    ck_assert_int_eq(kill(pid, SIGHUP), 0);
    program_wait_log("log", "daemon.reload", "mapping");
    wait_settled(sql_add("c2", "{\"email\": \"a@example.com\"}")); // as before
    program_configure(&(struct program_config){
        .mapping = "  email: email\n  last_name: last_name\n",
        .delivery = "  rate: 500/s\n  burst: 50\n  workers: 4\n  drain_timeout: 20s\n",
        .log = "  level: info\n  stats_interval: 2s\n"});
    ck_assert_int_eq(kill(pid, SIGHUP), 0);
    program_wait_log("log", "daemon.reload", "delivery.rate");
    wait_settled(sql_add("c1", "{\"email\": \"a@example.com\", \"last_name\": \"Lee\"}"));
    ck_assert(sandbox_has("c1", "Lee"));
    ck_assert_int_eq(program_stop(pid, SIGTERM), 0);
}
END_TEST

static int manager;

// What the service manager was told next.
static const char *told(void)
{
    static char text[4096];
    ssize_t len = recv(manager, text, sizeof text - 1, 0);
    ck_assert_int_ge(len, 0);
    text[len] = '\0';
    return text;
}

static void wait_told(const char *what)
{
    while (strstr(told(), what) == NULL) {
    }
}

START_TEST(the_service_manager_is_told)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", servers_path("notify"));
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(manager, (struct sockaddr *)&address, sizeof address), 0);
    setenv("NOTIFY_SOCKET", address.sun_path, 1);
    setenv("WATCHDOG_USEC", "2000000", 1);
    configure();
    pid_t pid = program_start("log", "run", NULL);
    wait_told("READY=1");
    wait_told("STATUS=");
    wait_told("WATCHDOG=1");
    ck_assert_int_eq(kill(pid, SIGHUP), 0);
    wait_told("RELOADING=1\nMONOTONIC_USEC=");
    wait_told("READY=1");
    ck_assert_int_eq(kill(pid, SIGTERM), 0);
    wait_told("STOPPING=1");
    ck_assert_int_eq(program_ended(pid), 0);
    close(manager);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("deliver");
    tcase_add_test(tests, once_delivers_what_is_due_and_ends);
    tcase_add_test(tests, once_says_what_died_and_why);
    tcase_add_test(tests, what_fails_is_tried_again_and_counted);
    tcase_add_test(tests, a_row_dies_when_its_tries_are_used_up);
    tcase_add_test(tests, once_gives_up_where_nothing_can_be_reached);
    tcase_add_test(tests, what_is_set_up_wrongly_ends_it);
    tcase_add_test(tests, without_retention_done_rows_go_at_once);
    tcase_add_test(tests, without_a_source_thin_rows_are_held);
    tcase_add_test(tests, a_change_of_the_crm_is_sent_at_once);
    tcase_add_test(tests, a_signal_finishes_what_is_in_flight);
    tcase_add_test(tests, draining_ends_and_a_second_signal_ends_it_at_once);
    tcase_add_test(tests, lost_connections_repeat_nothing);
    tcase_add_test(tests, another_schema_or_none_holds_it_until_it_is_back);
    tcase_add_test(tests, a_broken_source_holds_thin_rows_only);
    tcase_add_test(tests, a_source_row_that_cannot_be_read_kills_its_customer_alone);
    tcase_add_test(tests, a_wrong_key_pauses_until_there_is_another);
    tcase_add_test(tests, a_throttle_is_obeyed);
    tcase_add_test(tests, an_outage_opens_the_breaker_and_its_end_closes_it);
    tcase_add_test(tests, one_refused_for_its_own_sake_dies_among_the_others);
    tcase_add_test(tests, two_share_the_slots_and_one_that_dies_is_stood_in_for);
    tcase_add_test(tests, a_pause_holds_all_until_it_is_ended);
    tcase_add_test(tests, a_reload_takes_all_or_nothing);
    tcase_add_test(tests, the_service_manager_is_told);
    tcase_add_checked_fixture(tests, servers_begin, servers_end);
    tcase_set_timeout(tests, 20);
    Suite *suite = suite_create("deliver");
    suite_add_tcase(suite, tests);
    return servers_run(suite);
}
