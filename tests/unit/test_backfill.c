// `imprint-sync backfill`, called as a function beside a real PostgreSQL and the sandbox.
#include "program.h"
#include "servers.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OUTBOX "imprint_sync.outbox"
#define RUN "imprint_sync.backfill_run"

static const char slow_delivery[] =
    "  rate: 50/s\n  burst: 5\n  workers: 4\n  drain_timeout: 20s\n";

static void configure(void)
{
    program_configure(&(struct program_config){.database = NULL});
}

static const char *run_of(const char *name, const char *columns)
{
    return sql_text("SELECT concat_ws(' ', %s) FROM " RUN " WHERE name = '%s'", columns, name);
}

// ---- which customers
// -----------------------------------------------------------------------------

START_TEST(all_then_only_what_changed)
{
    configure();
    sql_people(120);
    ck_assert_int_eq(program_run("backfill", "--all", "--name", "first", NULL), 0);
    ck_assert(program_said("120 customers, of these 120 sent and 0 unchanged"));
    ck_assert_str_eq(run_of("first", "state, enqueued, done, dead, total, holder IS NULL"),
                     "done 120 120 0 120 t");
    ck_assert_int_eq(sandbox_requests(NULL), 120);
    sql_run("SET session_replication_role = replica;"
            "UPDATE crm.customers SET email = 'new@example.com' WHERE id IN (7, 8);"
            "SET session_replication_role = DEFAULT");
    ck_assert_int_eq(program_run("backfill", "--all", "--name", "second", NULL), 0);
    ck_assert_str_eq(run_of("second", "done, unchanged"), "2 118");
    ck_assert_int_eq(sandbox_requests(NULL), 122);
    ck_assert_int_eq(program_run("backfill", "--all", "--name", "third", "--force", NULL), 0);
    ck_assert_str_eq(run_of("third", "done, unchanged"), "120 0");
    ck_assert_int_eq(program_run("backfill", "list", NULL), 0);
    ck_assert(program_said("first") && program_said("third"));
    ck_assert_int_eq(program_run("backfill", "list", "--json", NULL), 0);
    ck_assert_str_ne(program_json("/2/name"), "");
}
END_TEST

START_TEST(since_and_where_and_a_list)
{
    configure();
    sql_people(10);
    sql_run("SET session_replication_role = replica;"
            "UPDATE crm.customers SET updated_at = now() - id * interval '1 minute';"
            "SET session_replication_role = DEFAULT");
    ck_assert_int_eq(program_run("backfill", "--since", "150s", "--overlap", "0", NULL), 0);
    ck_assert_int_eq(sandbox_requests(NULL), 2);
    ck_assert_int_eq(program_run("backfill", "--where", "email = 'p7@example.com'", NULL), 0);
    ck_assert_int_eq(sandbox_requests("00000007-0000-4000-8000-000000000000"), 1);
    servers_write("ids", "00000005-0000-4000-8000-000000000000\r\n\n"
                         "  00000004-0000-4000-8000-000000000000\n"
                         "00000005-0000-4000-8000-000000000000\n"
                         "00000077-0000-4000-8000-000000000000");
    ck_assert_int_eq(
        program_run("backfill", "--customers", servers_path("ids"), "--name", "list", NULL), 65);
    ck_assert(program_said("1 dead: source.missing"));
    ck_assert_str_eq(run_of("list", "total, dead"), "4 1");
    ck_assert_int_eq(sandbox_requests(NULL), 5);
    ck_assert_int_eq(program_feed("00000006-0000-4000-8000-000000000000\n", "backfill",
                                  "--customers", "-", NULL),
                     0);
    ck_assert_int_eq(sandbox_requests("00000006-0000-4000-8000-000000000000"), 1);
}
END_TEST

START_TEST(wrong_usage_enqueues_nothing)
{
    configure();
    sql_people(1);
    static const struct {
        const char *words[4];
        const char *says;
        int code;
    } cases[] = {
        {{NULL}, "say which customers", 64},
        {{"--all", "--where", "true", NULL}, "--all and --where: one of them", 64},
        {{"--name", "nobody", NULL}, "there is no run nobody", 64},
        {{"--all", "--name", "a b", NULL}, "--name: letters", 64},
        {{"--all", "--limit", "0", NULL}, "--limit takes", 64},
        {{"--all", "--rate", "fast", NULL}, "--rate takes", 64},
        {{"--all", "--ahead", "0", NULL}, "--ahead takes", 64},
        {{"--all", "--overlap", "5m", NULL}, "--overlap takes", 64},
        {{"--since", "yesterday", NULL}, "--since: yesterday is neither", 64},
        {{"--where", " ", NULL}, "--where: is empty", 64},
        {{"--where", "no_such_column = 1", NULL}, "--where, a condition on columns of", 64},
        {{"--where", "email = $1", NULL}, "write the value", 64},
        {{"--where", "EXISTS (SELECT FROM pg_authid)", NULL}, "lacks a right", 78},
        {{"--dry-run", "--name", "x", NULL}, "--dry-run needs", 64},
        {{"pause", NULL}, "which run?", 64},
        {{"resume", NULL}, "which run?", 64},
        {{"cancel", "--name", "x", NULL}, "there is no run x", 64},
        {{"frobnicate", NULL}, "`backfill` has no command frobnicate", 64},
        {{"--customers", "/nonexistent", NULL}, "No such file", 65},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *const *words = cases[i].words;
        int code = program_run(
            "backfill", words[0], words[0] == NULL ? NULL : words[1],
            words[0] == NULL || words[1] == NULL ? NULL : words[2],
            words[0] == NULL || words[1] == NULL || words[2] == NULL ? NULL : words[3], NULL);
        ck_assert(program_said(cases[i].says));
        ck_assert_int_eq(code, cases[i].code);
    }
    ck_assert_int_eq(
        program_feed("ok-1\njane.doe@example.com\n../x\n", "backfill", "--customers", "-", NULL),
        65);
    ck_assert(program_said("in line 2, 3; nothing was enqueued"));
    ck_assert_ptr_null(strstr(program_err(), "jane"));
    ck_assert_int_eq(sql_int64("SELECT count(*) FROM " RUN), 0);
    ck_assert_int_eq(sql_int64("SELECT count(*) FROM " OUTBOX), 0);
    program_configure(&(struct program_config){.source = ""});
    ck_assert_int_eq(program_run("backfill", "--all", NULL), 78);
    ck_assert(program_said("needs a source"));
}
END_TEST

START_TEST(a_dry_run_writes_nothing)
{
    configure();
    sql_people(30);
    sql_run("UPDATE crm.customers SET email = 'nobody' WHERE id = 3; TRUNCATE " OUTBOX);
    ck_assert_int_eq(program_run("backfill", "--all", "--dry-run", NULL), 0);
    ck_assert(program_said("30 customers"));
    servers_write("ids", "00000005-0000-4000-8000-000000000000\n");
    ck_assert_int_eq(program_run("backfill", "--customers", servers_path("ids"), "--dry-run", NULL),
                     0);
    ck_assert_int_eq(sql_int64("SELECT count(*) FROM " RUN), 0);
    ck_assert_int_eq(sql_int64("SELECT count(*) FROM " OUTBOX), 0);
    ck_assert_int_eq(sandbox_requests(NULL), 0);
}
END_TEST

START_TEST(a_limit_ahead_and_a_rate_are_kept)
{
    configure();
    sql_people(60);
    ck_assert_int_eq(program_run("backfill", "--all", "--name", "few", "--limit", "23", "--ahead",
                                 "5", "--rate", "100/s", NULL),
                     0);
    ck_assert_str_eq(run_of("few", "enqueued, done"), "23 23");
    ck_assert_int_eq(sandbox_requests(NULL), 23);
}
END_TEST

// ---- going on
// ------------------------------------------------------------------------------------

static pid_t start_slow(void)
{
    program_configure(&(struct program_config){.delivery = slow_delivery});
    sql_people(150);
    pid_t pid = program_start("log", "backfill", "--all", "--name", "long", "--ahead", "20", NULL);
    sandbox_wait_requests(NULL, 20);
    return pid;
}

START_TEST(a_signal_pauses_it_and_its_name_goes_on)
{
    pid_t pid = start_slow();
    ck_assert_int_eq(program_stop(pid, SIGINT), 75);
    ck_assert_str_eq(run_of("long", "state, holder IS NULL"), "paused t");
    ck_assert_int_eq(program_log_count("log", "imprint-sync backfill --name long", NULL), 1);
    ck_assert_int_eq(sql_int64("SELECT count(*) FROM imprint_sync.lease WHERE holder IS NOT NULL"),
                     0);
    ck_assert_int_eq(program_run("backfill", "--name", "long", "--where", "true", NULL), 64);
    ck_assert(program_said("begun with --all, not --where"));
    configure();
    ck_assert_int_eq(program_run("backfill", "--name", "long", NULL), 0);
    ck_assert_str_eq(run_of("long", "state, enqueued, done + unchanged"), "done 150 150");
    ck_assert_int_eq(sandbox_requests(NULL), 150); // each once
    ck_assert_int_eq(program_run("backfill", "--all", "--name", "long", NULL), 64);
    ck_assert(program_said("is done: --force begins it anew"));
}
END_TEST

START_TEST(it_is_steered_from_elsewhere)
{
    pid_t pid = start_slow();
    ck_assert_int_eq(program_run("status", NULL), 0);
    ck_assert(program_said("long"));
    ck_assert_int_eq(program_run("backfill", "--all", "--name", "long", NULL), 1);
    ck_assert(program_said("is being worked on"));
    ck_assert_int_eq(program_run("backfill", "pause", "--name", "long", NULL), 0);
    ck_assert_int_eq(program_ended(pid), 75);
    ck_assert_str_eq(run_of("long", "state"), "paused");
    pid = program_start("resumed", "backfill", "resume", "--name", "long", "--ahead", "20", NULL);
    sql_wait("SELECT holder IS NOT NULL FROM " RUN);
    ck_assert_int_eq(program_run("backfill", "cancel", "--name", "long", NULL), 0);
    ck_assert_int_eq(program_ended(pid), 75);
    ck_assert_str_eq(run_of("long", "state"), "cancelled");
    ck_assert_int_eq(sql_int64("SELECT count(*) FROM " OUTBOX " WHERE status = 'pending'"), 0);
    ck_assert_int_eq(program_run("backfill", "list", NULL), 0);
    ck_assert(program_said("cancelled"));
}
END_TEST

START_TEST(a_connection_that_is_cut_changes_no_count)
{
    pid_t pid = start_slow();
    for (int64_t sent = 40; sent <= 80; sent += 20) {
        sandbox_wait_requests(NULL, sent);
        sql_run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE usename = 'sync_daemon' AND datname = current_database()");
    }
    ck_assert_int_eq(program_ended(pid), 0);
    ck_assert_str_eq(run_of("long", "state, enqueued, done"), "done 150 150");
    ck_assert_int_eq(sandbox_requests(NULL), 150);
}
END_TEST

START_TEST(a_daemon_delivers_it_and_live_changes_go_first)
{
    program_configure(&(struct program_config){.delivery = slow_delivery});
    sql_people(60);
    pid_t daemon = program_start("daemon", "run", NULL);
    program_wait_log("daemon", "daemon.ready", NULL);
    pid_t pid = program_start("log", "backfill", "--all", "--name", "long", NULL);
    sandbox_wait_requests(NULL, 5);
    int64_t live = sql_add("live", "{\"email\": \"a@example.com\"}");
    sql_wait("SELECT status = 'done' FROM " OUTBOX " WHERE id = %ld", (long)live);
    ck_assert_int_lt(sandbox_requests(NULL), 60);
    ck_assert_int_eq(program_ended(pid), 0);
    ck_assert_str_eq(run_of("long", "state, done"), "done 60");
    ck_assert_int_eq(sandbox_requests(NULL), 61);
    ck_assert_int_eq(program_stop(daemon, SIGTERM), 0);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("backfill");
    tcase_add_test(tests, all_then_only_what_changed);
    tcase_add_test(tests, since_and_where_and_a_list);
    tcase_add_test(tests, wrong_usage_enqueues_nothing);
    tcase_add_test(tests, a_dry_run_writes_nothing);
    tcase_add_test(tests, a_limit_ahead_and_a_rate_are_kept);
    tcase_add_test(tests, a_signal_pauses_it_and_its_name_goes_on);
    tcase_add_test(tests, it_is_steered_from_elsewhere);
    tcase_add_test(tests, a_connection_that_is_cut_changes_no_count);
    tcase_add_test(tests, a_daemon_delivers_it_and_live_changes_go_first);
    tcase_add_checked_fixture(tests, servers_begin, servers_end);
    tcase_set_timeout(tests, 20);
    Suite *suite = suite_create("backfill");
    suite_add_tcase(suite, tests);
    return servers_run(suite);
}
