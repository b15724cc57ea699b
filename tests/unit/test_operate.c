// The commands of an operator, called as functions beside a real PostgreSQL and the sandbox.
#include "program.h"
#include "servers.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OUTBOX "imprint_sync.outbox"
#define ALICE "00000001-0000-4000-8000-000000000000"
#define SECRET "jane.doe@example.com"

static void configure(void)
{
    program_configure(&(struct program_config){.database = NULL});
}

static int64_t add_dead(const char *customer, const char *payload, const char *error)
{
    return sql_int64("INSERT INTO " OUTBOX " (customer_id, payload, status, attempts, http_status,"
                     " error, settled_at) VALUES ('%s', %s%s%s, 'dead', 3, 400, '%s', now())"
                     " RETURNING id",
                     customer, payload == NULL ? "" : "'", payload == NULL ? "NULL" : payload,
                     payload == NULL ? "" : "'", error);
}

static const char *text_of(int64_t number)
{
    static char texts[4][24];
    static size_t next;
    char *text = texts[next++ % 4];
    snprintf(text, sizeof texts[0], "%lld", (long long)number);
    return text;
}

static const char *status_of(int64_t id)
{
    return sql_text("SELECT status FROM " OUTBOX " WHERE id = %s", text_of(id));
}

// ---- status
// --------------------------------------------------------------------------------------

START_TEST(status_of_an_idle_outbox)
{
    configure();
    ck_assert_int_eq(program_run("status", "--json", NULL), 0);
    ck_assert_str_eq(program_json("/state"), "no_daemon");
    ck_assert_str_eq(program_json("/queue/live/pending"), "0");
    ck_assert_str_eq(program_json("/dead/rows"), "0");
    ck_assert_int_eq(program_run("status", NULL), 0);
    ck_assert(program_said("NO DAEMON   no daemon is running; 0 due"));
    ck_assert(program_said("crm.addresses"));
}
END_TEST

START_TEST(status_counts_and_says_what_is_stuck)
{
    configure();
    sql_run("INSERT INTO " OUTBOX " (customer_id, payload, due_at, attempts, priority, created_at)"
            " SELECT 'c' || n, '{}', now() + (n %% 2) * interval '1 hour', (n %% 2) * 4, n / 6,"
            "        now() - interval '2 hours' FROM generate_series(1, 10) AS n");
    sql_add(ALICE, NULL);
    add_dead("d1", "{\"email\": \"x\"}", "INVALID_REQUEST_ERROR email: " SECRET);
    add_dead("d2", "{\"email\": \"x\"}", "phone: column mobile: is no number");
    sql_run("ALTER TABLE crm.orders DISABLE TRIGGER USER");
    sql_run("INSERT INTO imprint_sync.watch_error (watched_name, trigger_name, sqlstate)"
            " VALUES ('crm.orders', 'imprint_sync_insert', '22012')");
    ck_assert_int_eq(program_run("status", "--json", NULL), 0);
    ck_assert_str_eq(program_json("/queue/live/pending"), "6");
    ck_assert_str_eq(program_json("/queue/live/retrying"), "3");
    ck_assert_str_eq(program_json("/queue/live/thin"), "1");
    ck_assert_str_eq(program_json("/queue/backfill/pending"), "5");
    ck_assert_str_eq(program_json("/dead/reasons/0/rows"), "1");
    ck_assert_ptr_null(strstr(program_out(), "jane"));
    ck_assert_int_eq(program_run("status", NULL), 0);
    ck_assert(program_said("INVALID_REQUEST_ERROR email"));
    ck_assert(program_said("crm.orders") && program_said("22012"));
    ck_assert_ptr_null(strstr(program_out(), "jane"));
}
END_TEST

static bool status_says_down(void *ctx)
{
    (void)ctx;
    ck_assert_int_eq(program_run("status", "--json", NULL), 0);
    return strcmp(program_json("/api/state"), "down") == 0;
}

START_TEST(status_of_daemons_at_work_and_at_an_api_that_is_down)
{
    configure();
    pid_t pid = program_start("log", "run", NULL);
    program_wait_log("log", "daemon.ready", NULL);
    sql_run("INSERT INTO " OUTBOX " (customer_id, payload)"
            " SELECT 'c' || n, '{\"email\": \"a@example.com\"}' FROM generate_series(1, 30) AS n");
    sql_wait("SELECT count(*) = 0 FROM " OUTBOX " WHERE status = 'pending'");
    program_wait_log("log", " stats ", "ok=30");
    ck_assert_int_eq(program_run("status", "--json", NULL), 0);
    ck_assert_str_eq(program_json("/instances/0/slots"), "64");
    ck_assert_int_eq(program_run("status", NULL), 0);
    ck_assert(program_said("0 due"));
    sandbox_faults("[\"status=503\"]");
    sql_run("INSERT INTO " OUTBOX " (customer_id, payload)"
            " SELECT 'd' || n, '{\"email\": \"a@example.com\"}' FROM generate_series(1, 30) AS n");
    program_wait_log("log", "api.down", NULL);
    servers_wait(status_says_down, NULL, "status says so");
    ck_assert_str_eq(program_json("/state"), "stopped");
    ck_assert_str_eq(program_json("/sending/limited_by"), "api");
    ck_assert_int_eq(program_run("status", NULL), 0);
    ck_assert(program_said("STOPPED     down for "));
    sandbox_faults("[]");
    sql_wait("SELECT count(*) = 0 FROM " OUTBOX " WHERE status = 'pending'");
    ck_assert_int_eq(program_stop(pid, SIGTERM), 0);
}
END_TEST

START_TEST(status_where_there_is_nothing)
{
    program_configure(&(struct program_config){.dsn = "host=/nonexistent dbname=x"});
    ck_assert_int_eq(program_run("status", NULL), 69);
    ck_assert_int_eq(program_run("dead", "list", NULL), 69);
    ck_assert_int_eq(program_run("prune", NULL), 69);
    ck_assert_int_eq(program_run("pause", NULL), 69);
    ck_assert_int_eq(program_run("migrate", NULL), 69);
    ck_assert_int_eq(program_run("backfill", "list", NULL), 69);
    configure();
    sql_run("DROP SCHEMA imprint_sync CASCADE");
    ck_assert_int_eq(program_run("status", NULL), 78);
    ck_assert(program_said("imprint-sync migrate"));
    ck_assert_int_eq(program_run("dead", "list", NULL), 78);
    ck_assert_int_eq(program_run("prune", NULL), 78);
    ck_assert_int_eq(program_run("status", "--watch", NULL), 64); // no terminal
}
END_TEST

// ---- dead
// ----------------------------------------------------------------------------------------

START_TEST(dead_rows_are_listed_without_values)
{
    configure();
    ck_assert_int_eq(program_run("dead", "list", NULL), 0);
    ck_assert_str_eq(program_out(), "no dead rows\n");
    int64_t a =
        add_dead("a", "{\"email\": \"" SECRET "\"}", "INVALID_REQUEST_ERROR email: " SECRET);
    int64_t b = add_dead("b", "{\"email\": \"x\"}", "INVALID_REQUEST_ERROR phone: bad");
    int64_t c = add_dead("c", NULL, "source.missing: the source has no row of this customer");
    ck_assert_int_eq(program_run("dead", "list", NULL), 0);
    ck_assert(program_said("source.missing"));
    ck_assert_int_eq(program_run("dead", "list", "--json", "--each", NULL), 0);
    ck_assert_str_eq(program_json("/0/id"), text_of(c)); // newest first
    ck_assert_str_eq(program_json("/2/id"), text_of(a));
    ck_assert_ptr_null(strstr(program_out(), "jane"));
    ck_assert_int_eq(program_run("dead", "list", "--json", "--type", "INVALID_REQUEST_ERROR",
                                 "--param", "phone", "--since", "1h", "--limit", "5", NULL),
                     0);
    ck_assert_str_eq(program_json("/0/id"), text_of(b));
    ck_assert_str_eq(program_json("/1"), "");
    ck_assert_int_eq(program_run("dead", "list", "--customer", "A", "--each", NULL), 0);
    ck_assert(program_said("INVALID_REQUEST_ERROR"));
    ck_assert_int_eq(program_run("dead", "list", "--since", "2001-01-01", "--json", NULL), 0);
    ck_assert_str_ne(program_json("/1/rows"), "");
    ck_assert_int_eq(program_run("dead", "list", "--since", "yesterdayish", NULL), 64);
    ck_assert_int_eq(program_run("dead", "list", "--id", "1,,2", NULL), 64);
    ck_assert_int_eq(program_run("dead", "show", "--id", text_of(a), NULL), 0);
    ck_assert(program_said("INVALID_REQUEST_ERROR"));
    ck_assert_ptr_null(strstr(program_out(), "jane"));
    ck_assert_int_eq(program_run("dead", "show", "--id", text_of(a), "--reveal", NULL), 0);
    ck_assert(program_said(SECRET));
    ck_assert_int_eq(program_run("dead", "show", "--id", text_of(a), "--json", "--reveal", NULL),
                     0);
    ck_assert_str_eq(program_json("/payload/email"), SECRET);
    ck_assert_int_eq(program_run("dead", "show", "--id", text_of(c), NULL), 0);
    ck_assert(program_said("read from the source"));
    ck_assert_int_eq(program_run("dead", "show", "--id", "424242", NULL), 65);
    ck_assert_int_eq(program_run("dead", "show", NULL), 64);
}
END_TEST

START_TEST(dead_rows_are_sent_again)
{
    configure();
    sql_people(2);
    int64_t row = add_dead(ALICE, "{\"email\": \"old@example.com\"}", "INVALID_REQUEST_ERROR x: y");
    int64_t other = add_dead("other", "{\"email\": \"old@example.com\"}", "CONFLICT_ERROR: x");
    ck_assert_int_eq(
        program_run("dead", "retry", "--type", "INVALID_REQUEST_ERROR", "--dry-run", NULL), 0);
    ck_assert(program_said("1 dead rows of 1 customers would"));
    ck_assert_str_eq(status_of(row), "dead");
    ck_assert_int_eq(program_run("dead", "retry", "--type", "INVALID_REQUEST_ERROR", NULL), 0);
    ck_assert_int_eq(program_run("run", "--once", NULL), 0);
    ck_assert_str_eq(status_of(row), "done");
    ck_assert(sandbox_has(ALICE, "p1@example.com")); // the present state
    ck_assert_str_eq(status_of(other), "dead");
    ck_assert_int_eq(program_run("dead", "retry", NULL), 64);
    ck_assert_int_eq(program_run("dead", "retry", "--all", "--type", "x", NULL), 64);
}
END_TEST

START_TEST(without_a_source_later_rows_are_sent_again_too)
{
    program_configure(&(struct program_config){
        .source = "", .outbox = "  poll_interval: 200ms\n  lease: 20s\n  retention: 7d\n"});
    int64_t first =
        add_dead("c1", "{\"email\": \"old@example.com\", \"first_name\": \"Ann\"}", "x");
    int64_t second = sql_add("c1", "{\"email\": \"new@example.com\"}");
    sql_run("UPDATE " OUTBOX " SET status = 'done', settled_at = now() WHERE id = %s",
            text_of(second));
    ck_assert_int_eq(program_run("dead", "retry", "--id", text_of(first), NULL), 0);
    ck_assert(program_said("1 dead rows are sent again") && program_said("1 later rows"));
    ck_assert_int_eq(program_run("run", "--once", NULL), 0);
    ck_assert(sandbox_has("c1", "new@example.com") && sandbox_has("c1", "Ann"));
    ck_assert_int_eq(sandbox_requests("c1"), 1);
    // What may have been pruned since is refused, unless it is forced.
    int64_t old = add_dead("c2", "{\"email\": \"old@example.com\"}", "x");
    sql_run("UPDATE " OUTBOX " SET created_at = now() - interval '8 days' WHERE id = %s",
            text_of(old));
    ck_assert_int_eq(program_run("dead", "retry", "--id", text_of(old), NULL), 65);
    ck_assert_str_eq(status_of(old), "dead");
    ck_assert_int_eq(program_run("dead", "retry", "--id", text_of(old), "--force", NULL), 0);
    ck_assert_str_eq(status_of(old), "pending");
}
END_TEST

START_TEST(dead_rows_are_discarded_with_a_record)
{
    configure();
    int64_t row =
        add_dead("a", "{\"email\": \"" SECRET "\"}", "INVALID_REQUEST_ERROR email: " SECRET);
    int64_t kept = add_dead("b", NULL, "source.missing: x");
    ck_assert_int_eq(program_run("dead", "discard", "--id", text_of(row), NULL), 64); // asks
    ck_assert_int_eq(program_run("dead", "discard", "--yes", NULL), 64);
    ck_assert_int_eq(program_run("dead", "discard", "--id", text_of(row), "--yes", NULL), 0);
    ck_assert_str_eq(status_of(row), "");
    ck_assert_str_eq(status_of(kept), "dead");
    ck_assert_int_eq(sql_int64("SELECT count(*) FROM imprint_sync.discarded"), 1);
    ck_assert_int_eq(sql_int64("SELECT count(*) FROM imprint_sync.discarded AS d"
                               " WHERE d::text LIKE '%%jane%%'"),
                     0);
    ck_assert_int_eq(program_run("dead", "discard", "--all", "--yes", NULL), 0);
    ck_assert_int_eq(sql_int64("SELECT count(*) FROM " OUTBOX), 0);
}
END_TEST

// ---- prune, pause, migrate
// -----------------------------------------------------------------------

START_TEST(prune_deletes_old_done_rows_only)
{
    program_configure(&(struct program_config){
        .outbox = "  poll_interval: 200ms\n  lease: 20s\n  retention: 2d\n"});
    sql_run("INSERT INTO " OUTBOX " (customer_id, payload, status, settled_at)"
            " SELECT 'c' || n, '{}', CASE WHEN n > 90 THEN 'dead' ELSE 'done' END,"
            "        now() - (n %% 3) * interval '30 hours' FROM generate_series(1, 99) AS n");
    sql_add("p", "{}");
    ck_assert_int_eq(program_run("prune", NULL), 0);
    ck_assert(program_said("30"));
    ck_assert_str_eq(sql_text("SELECT string_agg(status || ' ' || n, ', ' ORDER BY status) FROM"
                              " (SELECT status, count(*) AS n FROM " OUTBOX " GROUP BY 1) AS t"),
                     "dead 9, done 60, pending 1");
}
END_TEST

START_TEST(a_pause_has_an_end_or_is_ended)
{
    configure();
    ck_assert_int_eq(program_run("pause", "--until", "yesterday", NULL), 64);
    ck_assert_int_eq(program_run("pause", "--until", "2001-01-01T00:00:00Z", NULL), 64);
    ck_assert_int_eq(program_run("pause", "--until", "90m", NULL), 0);
    ck_assert(program_said("paused"));
    ck_assert_int_eq(program_run("status", NULL), 0);
    ck_assert_int_eq(program_run("resume", NULL), 0);
    ck_assert(program_said("resumed"));
    ck_assert_int_eq(program_run("resume", NULL), 0);
    ck_assert_str_eq(program_out(), "nothing was paused\n");
    ck_assert_int_eq(program_run("pause", "--until", "2199-01-01", NULL), 0);
    ck_assert_int_eq(program_run("pause", NULL), 0);
    ck_assert_str_eq(program_out(),
                     "paused: no instance sends anything until `imprint-sync resume`\n");
    sql_add("c1", "{\"email\": \"a@example.com\"}");
    ck_assert_int_eq(program_run("run", "--once", NULL), 1); // does not wait for its end
    ck_assert(program_said("imprint-sync resume"));
    ck_assert_int_eq(sandbox_requests(NULL), 0);
}
END_TEST

START_TEST(migrations_are_printed_and_applied_once)
{
    program_configure(&(struct program_config){.dsn = servers_super_dsn()});
    ck_assert_int_eq(program_run("migrate", NULL), 0);
    char *first = strdup(program_out());
    sql_run("DROP SCHEMA imprint_sync CASCADE");
    ck_assert_int_eq(program_run("migrate", "--print", NULL), 0);
    ck_assert(program_said("CREATE SCHEMA imprint_sync"));
    ck_assert_str_eq(sql_text("SELECT to_regnamespace('imprint_sync') IS NULL"), "t");
    ck_assert_int_eq(program_run("migrate", NULL), 0);
    ck_assert_str_ne(program_out(), first);
    ck_assert_int_eq(program_run("migrate", NULL), 0);
    ck_assert_str_eq(program_out(), first); // nothing more to do
    free(first);
    sql_run("UPDATE imprint_sync.schema_version SET version = version + 100");
    ck_assert_int_ne(program_run("migrate", NULL), 0);
    ck_assert(program_said("newer"));
    sql_run("DROP SCHEMA imprint_sync CASCADE; CREATE SCHEMA imprint_sync;"
            "CREATE TABLE imprint_sync.outbox ()");
    ck_assert_int_ne(program_run("migrate", NULL), 0);
    ck_assert_str_ne(program_err(), "");
}
END_TEST

// ---- check
// ---------------------------------------------------------------------------------------

START_TEST(check_finds_nothing_wrong)
{
    configure();
    sql_people(3);
    ck_assert_int_eq(program_run("check", "--api", NULL), 0);
    ck_assert_int_eq(program_run("check", "--json", "--api", NULL), 0);
    ck_assert_ptr_null(strstr(program_out(), "\"fail"));
    ck_assert_int_eq(program_run("check", "--offline", NULL), 0);
    ck_assert_int_eq(program_run("check", "--print", NULL), 0);
    ck_assert(program_said("relation: crm.imprint_customers"));
    ck_assert_int_eq(program_run("check", "--print-defaults", NULL), 0);
    ck_assert(program_said("poll_interval"));
    ck_assert_ptr_null(strstr(program_out(), SANDBOX_KEY));
}
END_TEST

// One thing after the other that check must find, name and fail by.
static void check_finds(const char *broken, int code, const char *text)
{
    sql_run("BEGIN; ROLLBACK");
    sql_run("%s", broken);
    ck_assert_int_eq(program_run("check", NULL), code);
    ck_assert(program_said(text));
}

START_TEST(check_names_what_is_wrong_with_the_database)
{
    configure();
    sql_people(3);
    check_finds("ALTER VIEW crm.imprint_customers RENAME COLUMN email TO mail", 78, "email");
    check_finds("ALTER VIEW crm.imprint_customers RENAME COLUMN mail TO email;"
                "REVOKE SELECT ON crm.imprint_customers FROM imprint_sync_daemon",
                78, "crm.imprint_customers");
    check_finds("GRANT SELECT ON crm.imprint_customers TO imprint_sync_daemon;"
                "ALTER TABLE crm.orders DISABLE TRIGGER USER",
                78, "crm.orders");
    check_finds("ALTER TABLE crm.orders ENABLE TRIGGER USER;"
                "CREATE MATERIALIZED VIEW crm.frozen AS SELECT * FROM crm.imprint_customers;"
                "ALTER VIEW crm.imprint_customers RENAME TO away;"
                "ALTER MATERIALIZED VIEW crm.frozen RENAME TO imprint_customers",
                78, "materialized");
    check_finds("DROP MATERIALIZED VIEW crm.imprint_customers", 78, "crm.imprint_customers");
    check_finds("ALTER VIEW crm.away RENAME TO imprint_customers;"
                "ALTER TABLE crm.customers ENABLE ROW LEVEL SECURITY;"
                "ALTER TABLE crm.customers FORCE ROW LEVEL SECURITY",
                0, "crm.imprint_customers");
    check_finds("REVOKE ALL ON imprint_sync.outbox FROM imprint_sync_daemon", 78, "outbox");
    check_finds("DROP SCHEMA imprint_sync CASCADE", 78, "imprint-sync migrate");
}
END_TEST

START_TEST(check_finds_a_source_without_an_index)
{
    sql_run("CREATE TABLE crm.flat AS SELECT 'k' || n AS key, 'e' || n || '@example.com' AS email,"
            " now() AS at FROM generate_series(1, 5000) AS n; ANALYZE crm.flat;"
            "GRANT SELECT ON crm.flat TO imprint_sync_daemon");
    program_configure(&(struct program_config){
        .source = "  relation: crm.flat\n  customer_id: key\n  updated_at: at\n",
        .mapping = "  email: email\n"});
    static const char wanted[] = "CREATE INDEX CONCURRENTLY ON crm.flat (key)";
    ck_assert_int_eq(program_run("check", NULL), 0); // slow, not wrong
    ck_assert(program_said(wanted));
    sql_run("%s", wanted);
    ck_assert_int_eq(program_run("check", NULL), 0);
    ck_assert_ptr_null(strstr(program_out(), "CREATE INDEX"));
    program_configure(&(struct program_config){
        .source = "  relation: crm.flat\n  customer_id: at\n", .mapping = "  email: email\n"});
    ck_assert_int_eq(program_run("check", NULL), 78);
    program_configure(&(struct program_config){
        .source = "  relation: crm.flat\n  customer_id: nothing\n", .mapping = "  email: email\n"});
    ck_assert_int_eq(program_run("check", NULL), 78);
    ck_assert(program_said("nothing"));
}
END_TEST

START_TEST(check_finds_column_types_that_cannot_fit)
{
    sql_run("CREATE TABLE crm.flat (key text PRIMARY KEY, email bytea, mobile boolean, at int[],"
            " amount jsonb, currency int);"
            "GRANT SELECT ON crm.flat TO imprint_sync_daemon");
    program_configure(&(struct program_config){
        .source = "  relation: crm.flat\n  customer_id: key\n",
        .mapping = "  email: email\n  phone: {from: mobile}\n"
                   "  customer_history:\n    account_created_at: at\n"
                   "    ltv_amount: {from: amount, as: minor_units, currency: currency}\n"
                   "    ltv_currency: currency\n"});
    ck_assert_int_eq(program_run("check", NULL), 78);
    ck_assert(program_said("mobile") && program_said("boolean"));
}
END_TEST

START_TEST(check_of_what_cannot_be_reached)
{
    program_configure(&(struct program_config){.dsn = "host=/nonexistent dbname=x"});
    ck_assert_int_eq(program_run("check", NULL), 69);
    ck_assert(program_said("/nonexistent"));
    program_configure(&(struct program_config){.base_url = "http://127.0.0.1:9"});
    ck_assert_int_eq(program_run("check", "--api", NULL), 69);
    configure();
    free(sandbox_control("PUT", "keys", "[\"another\"]"));
    ck_assert_int_eq(program_run("check", "--api", NULL), 78);
    ck_assert(program_said("401"));
    servers_write("imprint-sync.yaml", "delivery:\n  rate: fast\n  burts: 3\n");
    ck_assert_int_eq(program_run("check", "--offline", "--json", NULL), 78);
    ck_assert(program_said("burts") && program_said("fast"));
}
END_TEST

START_TEST(check_over_tls)
{
    sandbox_start_tls();
    char imprint[500];
    snprintf(imprint, sizeof imprint, "  connect_timeout: 2s\n  timeout: 2s\n  ca_file: %s\n",
             servers_path("ca.pem"));
    program_configure(&(struct program_config){.imprint = imprint});
    ck_assert_int_eq(program_run("check", "--api", NULL), 0);
    ck_assert(program_said("TLSv1.3"));
    sql_add("c1", "{\"email\": \"a@example.com\"}");
    ck_assert_int_eq(program_run("run", "--once", NULL), 0);
    ck_assert_int_eq(sandbox_requests("c1"), 1);
    configure(); // with the system's authorities
    ck_assert_int_ne(program_run("check", "--api", NULL), 0);
    ck_assert(program_said("certificate"));
}
END_TEST

// ---- render
// --------------------------------------------------------------------------------------

START_TEST(render_shows_the_request)
{
    configure();
    sql_people(2);
    int64_t row = sql_add("c1", "{\"email\": \"a@example.com\"}");
    int64_t thin = sql_add(ALICE, NULL);
    ck_assert_int_eq(program_run("render", "--customer", ALICE, NULL), 0);
    ck_assert(program_said("p1@example.com") && program_said("POST "));
    ck_assert_ptr_null(strstr(program_out(), SANDBOX_KEY));
    ck_assert_int_eq(program_run("render", "--row", text_of(row), "--explain", NULL), 0);
    ck_assert(program_said("a@example.com"));
    ck_assert_int_eq(program_run("render", "--row", text_of(thin), NULL), 0);
    ck_assert(program_said("p1@example.com"));
    ck_assert_int_eq(
        program_feed("{\"email\": \"a@example.com\", \"first_name\": \"Ann\"}", "render", NULL), 0);
    ck_assert(program_said("Ann"));
    ck_assert_int_eq(program_feed("{\"email\": \"nobody\"}", "render", NULL), 65);
    ck_assert(program_said("column email"));
    ck_assert_int_eq(program_feed("[1]", "render", NULL), 65);
    ck_assert_int_eq(program_run("render", "--row", "424242", NULL), 65);
    ck_assert_int_eq(
        program_run("render", "--customer", "99999999-0000-4000-8000-000000000000", NULL), 65);
    ck_assert_int_eq(program_run("render", "--customer", "../x", NULL), 65);
    ck_assert_int_eq(program_run("render", "--row", "1", "--customer", "x", NULL), 64);
    ck_assert_int_eq(sandbox_requests(NULL), 0);
}
END_TEST

// ---- the words
// -----------------------------------------------------------------------------------

START_TEST(help_and_what_is_meant)
{
    configure();
    ck_assert_int_eq(program_run("version", NULL), 0);
    ck_assert_int_eq(program_run("--help", NULL), 0);
    ck_assert(program_said("commands:"));
    ck_assert_int_eq(program_run("dead", "--help", NULL), 0);
    ck_assert(program_said("discard"));
    ck_assert_int_eq(program_run("dead", "list", "--help", NULL), 0);
    ck_assert(program_said("--since"));
    ck_assert_int_eq(program_run("daed", NULL), 64);
    ck_assert(program_said("did you mean dead?"));
    ck_assert_int_eq(program_run("dead", "lits", NULL), 64);
    ck_assert(program_said("did you mean list?"));
    ck_assert_int_eq(program_run("dead", "list", "--custmer", "x", NULL), 64);
    ck_assert(program_said("did you mean --customer?"));
    ck_assert_int_eq(program_run("status", "more", NULL), 64);
    ck_assert_int_eq(program_run("run", "--json", NULL), 64);
    ck_assert_int_eq(program_run("dead", NULL), 64);
    ck_assert_int_eq(program_run("--limit", NULL), 64);
}
END_TEST

START_TEST(a_report_of_a_daemons_log)
{
    configure();
    sql_run("INSERT INTO " OUTBOX " (customer_id, payload)"
            " SELECT 'c' || n, '{\"email\": \"a@example.com\"}' FROM generate_series(1, 30) AS n");
    pid_t pid = program_start("log", "run", NULL);
    program_wait_log("log", " stats ", "ok=30");
    ck_assert_int_eq(program_stop(pid, SIGTERM), 0);
    ck_assert_int_eq(program_run("report", servers_path("log"), NULL), 0);
    ck_assert(program_said("<html") && program_said("</html>"));
    ck_assert_ptr_null(strstr(program_out(), "c17"));
    ck_assert_int_ne(program_run("report", "/nonexistent", NULL), 0);
    ck_assert_int_ne(program_feed("nothing of a log\n", "report", NULL), 0);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("operate");
    tcase_add_test(tests, status_of_an_idle_outbox);
    tcase_add_test(tests, status_counts_and_says_what_is_stuck);
    tcase_add_test(tests, status_of_daemons_at_work_and_at_an_api_that_is_down);
    tcase_add_test(tests, status_where_there_is_nothing);
    tcase_add_test(tests, dead_rows_are_listed_without_values);
    tcase_add_test(tests, dead_rows_are_sent_again);
    tcase_add_test(tests, without_a_source_later_rows_are_sent_again_too);
    tcase_add_test(tests, dead_rows_are_discarded_with_a_record);
    tcase_add_test(tests, prune_deletes_old_done_rows_only);
    tcase_add_test(tests, a_pause_has_an_end_or_is_ended);
    tcase_add_test(tests, migrations_are_printed_and_applied_once);
    tcase_add_test(tests, check_finds_nothing_wrong);
    tcase_add_test(tests, check_names_what_is_wrong_with_the_database);
    tcase_add_test(tests, check_finds_a_source_without_an_index);
    tcase_add_test(tests, check_finds_column_types_that_cannot_fit);
    tcase_add_test(tests, check_of_what_cannot_be_reached);
    tcase_add_test(tests, check_over_tls);
    tcase_add_test(tests, render_shows_the_request);
    tcase_add_test(tests, help_and_what_is_meant);
    tcase_add_test(tests, a_report_of_a_daemons_log);
    tcase_add_checked_fixture(tests, servers_begin, servers_end);
    tcase_set_timeout(tests, 20);
    Suite *suite = suite_create("operate");
    suite_add_tcase(suite, tests);
    return servers_run(suite);
}
