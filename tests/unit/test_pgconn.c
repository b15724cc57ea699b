#include "io/pgconn.h"

#include "base/clock.h"
#include "base/mem.h"
#include "servers.h"

#include <arpa/inet.h>
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { JOBS_MAX = 16 };
#define SEC CLOCK_NS_PER_SEC

// How a job ended.
struct outcome {
    bool done;
    bool failed;
    struct pgconn_failure failure;
    char text[64]; // the first value of the last statement with rows
    int order;
};

static struct {
    struct loop *loop;
    struct pgconn *conn;
    struct outcome outcomes[JOBS_MAX];
    int ended;
    int want; // stop the loop after so many
    int readies;
    int losses;
    struct pgconn_failure loss;
    char notified[32];
    bool stop;
    bool stop_on_ready;
    bool stop_on_loss;
    bool stop_on_notify;
} db;

static void on_ready(void *ctx)
{
    ck_assert_ptr_eq(ctx, &db);
    ck_assert(db.conn == NULL || pgconn_is_ready(db.conn));
    db.readies++;
    db.stop = db.stop || db.stop_on_ready;
}

static void on_lost(void *ctx, const struct pgconn_failure *failure)
{
    (void)ctx;
    db.losses++;
    db.loss = *failure;
    db.stop = db.stop || db.stop_on_loss;
}

static void on_notify(void *ctx, const char *payload)
{
    (void)ctx;
    snprintf(db.notified, sizeof db.notified, "%s", payload);
    db.stop = db.stop || db.stop_on_notify;
}

static void open_with(const char *dsn, const char *password_file, int64_t connect_timeout_ns)
{
    struct err err = {.kind = ERR_KIND_NONE};
    const struct pgconn_events events = {&db, on_ready, on_lost, on_notify};
    const struct pgconn_options options = {dsn, password_file, connect_timeout_ns};
    db.conn = pgconn_create(db.loop, &options, &events, &err);
    ck_assert_msg(db.conn != NULL, "%s", err.text);
}

static void setup(void)
{
    servers_begin();
    struct err err = {.kind = ERR_KIND_NONE};
    memset(&db, 0, sizeof db);
    db.loop = loop_create(&err);
    ck_assert_ptr_nonnull(db.loop);
}

static void teardown(void)
{
    pgconn_destroy(db.conn);
    loop_destroy(db.loop);
    servers_end();
}

static void turn(void)
{
    struct err err = {.kind = ERR_KIND_NONE};
    ck_assert_msg(loop_run_until(db.loop, &db.stop, &err), "%s", err.text);
    db.stop = false;
}

static void wait_ready(void)
{
    db.stop_on_ready = true;
    turn();
    db.stop_on_ready = false;
}

static void wait_lost(void)
{
    db.stop_on_loss = true;
    turn();
    db.stop_on_loss = false;
}

// All that were submitted.
static void wait_jobs(int count)
{
    db.want = count;
    if (db.ended < count) {
        turn();
    }
}

static void connect_to(const char *dsn)
{
    open_with(dsn, NULL, 10 * SEC);
    wait_ready();
}

static void on_done(void *ctx, const struct pgconn_failure *failure,
                    const struct pgrows *const *rows)
{
    struct outcome *outcome = ctx;
    ck_assert(!outcome->done); // once
    outcome->done = true;
    outcome->failed = failure != NULL;
    outcome->order = db.ended++;
    if (failure != NULL) {
        outcome->failure = *failure;
    }
    for (int i = 0; failure == NULL && i < 12; i++) {
        if (pgrows_count(rows[i]) > 0) {
            snprintf(outcome->text, sizeof outcome->text, "%s", pgrows_text(rows[i], 0, 0));
        }
    }
    db.stop = db.stop || (db.want > 0 && db.ended >= db.want);
}

static struct pgjob *job_of(int index, int64_t timeout_ns, const char *sql)
{
    struct pgjob *job = pgjob_create(timeout_ns, on_done, &db.outcomes[index]);
    pgjob_statement(job, sql);
    return job;
}

static void submit(int index, const char *sql)
{
    pgconn_submit(db.conn, job_of(index, 10 * SEC, sql));
}

static void check_committed(int index, const char *text)
{
    const struct outcome *outcome = &db.outcomes[index];
    ck_assert(outcome->done);
    ck_assert_msg(!outcome->failed, "job %d: %s", index, outcome->failure.text);
    ck_assert_str_eq(outcome->text, text);
}

static void check_failed(int index, const char *sqlstate, bool lost)
{
    const struct outcome *outcome = &db.outcomes[index];
    ck_assert(outcome->done && outcome->failed);
    ck_assert_str_eq(outcome->failure.sqlstate, sqlstate);
    ck_assert_int_eq(outcome->failure.lost, lost);
}

// ---- jobs --------------------------------------------------------------------------------------

static void on_rows(void *ctx, const struct pgconn_failure *failure,
                    const struct pgrows *const *rows)
{
    ck_assert_ptr_null(failure);
    ck_assert_uint_eq(pgrows_count(rows[0]), 0); // CREATE TABLE
    ck_assert_uint_eq(pgrows_count(rows[1]), 0);
    ck_assert_uint_eq(pgrows_count(rows[2]), 2);
    ck_assert_int_eq(pgrows_columns(rows[2]), 4);
    ck_assert_int_eq(pgrows_int64(rows[2], 0, 0), INT64_C(-9000000000000000000));
    ck_assert_str_eq(pgrows_text(rows[2], 0, 1), "it's \"text\"");
    ck_assert_uint_eq(pgrows_length(rows[2], 0, 1), 11);
    ck_assert(!pgrows_null(rows[2], 0, 2) && pgrows_bool(rows[2], 0, 3));
    ck_assert(pgrows_null(rows[2], 1, 0) && pgrows_null(rows[2], 1, 1));
    ck_assert_int_eq(pgrows_int64(rows[2], 1, 0), 0);
    ck_assert_int_eq(pgrows_int64(rows[2], 0, 1), 0); // no number
    ck_assert_str_eq(pgrows_text(rows[2], 1, 1), "");
    ck_assert(!pgrows_bool(rows[2], 1, 3));
    ck_assert_uint_eq(pgrows_count(NULL), 0);
    on_done(ctx, failure, rows);
}

START_TEST(parameters_go_in_and_rows_come_out)
{
    connect_to(servers_super_dsn());
    char sql[] = "CREATE TABLE t (n bigint, s text, o text, b boolean)";
    struct pgjob *job = pgjob_create(10 * SEC, on_rows, &db.outcomes[0]);
    pgjob_statement(job, sql);
    memset(sql, 'x', 10); // it was copied
    pgjob_statement(job, "INSERT INTO t VALUES ($1, $2, $3, true), ($4, NULL, NULL, false)");
    pgjob_param_int64(job, INT64_C(-9000000000000000000));
    pgjob_param_text(job, "it's \"text\"");
    pgjob_param(job, mem_strdup(""));
    pgjob_param_text(job, NULL);
    pgjob_statement(job, "SELECT * FROM t ORDER BY n");
    pgconn_submit(db.conn, job);
    ck_assert_uint_eq(pgconn_jobs(db.conn), 1);
    wait_jobs(1);
    ck_assert_uint_eq(pgconn_jobs(db.conn), 0);
    ck_assert_int_eq(sql_int64("SELECT count(*) FROM t"), 2); // committed
    pgjob_destroy(job_of(1, SEC, "SELECT 1"));                // one that was never submitted
    pgjob_destroy(NULL);
}
END_TEST

START_TEST(jobs_end_in_the_order_they_were_submitted)
{
    open_with(servers_dsn(), NULL, 10 * SEC);
    for (int i = 0; i < 10; i++) { // before there is a connection, and more than go at once
        char sql[64];
        snprintf(sql, sizeof sql, "SELECT %d FROM pg_sleep(%s)", i, i == 0 ? "0.05" : "0");
        submit(i, sql);
    }
    ck_assert(!pgconn_is_ready(db.conn));
    wait_jobs(10);
    for (int i = 0; i < 10; i++) {
        char want[4];
        snprintf(want, sizeof want, "%d", i);
        check_committed(i, want);
        ck_assert_int_eq(db.outcomes[i].order, i);
    }
    ck_assert_int_eq(db.readies, 1);
    ck_assert_int_ge(pgconn_server_version(db.conn), 150000);
    ck_assert_int_gt(pgconn_backend_pid(db.conn), 0);
    ck_assert_int_eq(pgconn_due_ns(db.conn), INT64_MAX);
}
END_TEST

START_TEST(a_job_is_a_transaction_without_what_the_session_has)
{
    sql_run("ALTER DATABASE %s SET default_transaction_isolation = 'serializable'",
            servers_database());
    connect_to(servers_dsn());
    submit(0, "SELECT current_setting('transaction_isolation') || ' '"
              " || current_setting('statement_timeout') || ' ' || current_setting('lock_timeout')"
              " || ' ' || current_setting('jit')");
    pgconn_submit(db.conn, job_of(1, SEC / 2, "SELECT current_setting('lock_timeout')"));
    wait_jobs(2);
    check_committed(0, "read committed 10s 1s off");
    check_committed(1, "500ms");
}
END_TEST

START_TEST(one_that_fails_takes_only_itself_back)
{
    sql_run("CREATE TABLE t (n int CONSTRAINT t_once PRIMARY KEY); INSERT INTO t VALUES (4711)");
    connect_to(servers_super_dsn());
    submit(0, "INSERT INTO t VALUES (1)");
    struct pgjob *job = job_of(1, 10 * SEC, "INSERT INTO t VALUES (2)");
    pgjob_statement(job, "INSERT INTO t VALUES (4711)");
    pgjob_statement(job, "INSERT INTO t VALUES (3)");
    pgconn_submit(db.conn, job);
    for (int i = 2; i < 8; i++) { // behind it in the pipeline, and waiting
        submit(i, "INSERT INTO t SELECT max(n) + 1 FROM t WHERE n < 4711 RETURNING n");
    }
    wait_jobs(8);
    check_failed(1, "23505", false);
    ck_assert(pgconn_failed_with(&db.outcomes[1].failure, "23"));
    ck_assert(!pgconn_failed_with(&db.outcomes[1].failure, "22"));
    // Where, and never which value.
    ck_assert_str_eq(db.outcomes[1].failure.text, "SQLSTATE 23505 table t constraint t_once");
    check_committed(2, "2");
    check_committed(7, "7");
    ck_assert_int_eq(db.losses, 0);
    ck_assert_str_eq(sql_text("SELECT string_agg(n::text, ' ' ORDER BY n) FROM t"),
                     "1 2 3 4 5 6 7 4711");
}
END_TEST

START_TEST(a_mistake_in_the_sql_fails_the_job)
{
    connect_to(servers_dsn());
    submit(0, "SELEC 1");
    submit(1, "SELECT 1/0");
    submit(2, "SELECT 'fine'");
    wait_jobs(3);
    check_failed(0, "42601", false);
    check_failed(1, "22012", false);
    check_committed(2, "fine");
}
END_TEST

START_TEST(a_slow_statement_and_a_lock_end_in_their_time)
{
    connect_to(servers_super_dsn());
    sql_run("CREATE TABLE t ()"); // committed, unlike what follows
    sql_run("BEGIN; LOCK TABLE t");
    pgconn_submit(db.conn, job_of(0, SEC / 10, "SELECT pg_sleep(60)"));
    pgconn_submit(db.conn, job_of(1, 30 * SEC, "SELECT * FROM t"));
    submit(2, "SELECT 'fine'");
    wait_jobs(3);
    sql_run("ROLLBACK");
    check_failed(0, "57014", false);
    check_failed(1, "55P03", false);
    check_committed(2, "fine");
    ck_assert_int_eq(db.losses, 0);
}
END_TEST

START_TEST(megabytes_go_both_ways)
{
    connect_to(servers_dsn());
    const size_t size = 6 << 20;
    char *value = mem_calloc(1, size + 1);
    memset(value, 'v', size);
    struct pgjob *job = job_of(0, 30 * SEC, "SELECT md5($1::text), length($1::text), $1::text");
    pgjob_param(job, value);
    pgconn_submit(db.conn, job);
    submit(1, "SELECT 'next'");
    wait_jobs(2);
    check_committed(0, sql_text("SELECT md5(repeat('v', %zu))", size));
    check_committed(1, "next");
}
END_TEST

START_TEST(simple_jobs_stand_alone_and_say_why_they_fail)
{
    connect_to(servers_super_dsn());
    submit(0, "SELECT 'before'");
    pgconn_submit(db.conn, pgjob_create_simple("CREATE TABLE t (n int); INSERT INTO t VALUES (7);"
                                               "SELECT current_setting('statement_timeout')",
                                               9 * SEC, on_done, &db.outcomes[1]));
    pgconn_submit(db.conn, pgjob_create_simple("INSERT INTO t VALUES (8); SELECT nothing FROM t",
                                               SEC, on_done, &db.outcomes[2]));
    submit(3, "SELECT sum(n) FROM t");
    wait_jobs(4);
    check_committed(0, "before");
    check_committed(1, "9s");
    check_failed(2, "42703", false);
    ck_assert_ptr_nonnull(strstr(db.outcomes[2].failure.text, "\"nothing\" does not exist"));
    check_committed(3, "7"); // a string of statements is one transaction too
}
END_TEST

// ---- connections that end ----------------------------------------------------------------------

START_TEST(what_is_under_way_is_lost_with_the_connection)
{
    connect_to(servers_dsn());
    int pid = pgconn_backend_pid(db.conn);
    submit(0, "SELECT pg_sleep(60)");
    for (int i = 1; i < 6; i++) {
        submit(i, "SELECT 'behind'");
    }
    sql_wait("SELECT query LIKE '%%pg_sleep%%' FROM pg_stat_activity WHERE pid = %d", pid);
    sql_run("SELECT pg_terminate_backend(%d)", pid);
    wait_jobs(6);
    for (int i = 0; i < 6; i++) {
        ck_assert(db.outcomes[i].failed && db.outcomes[i].failure.lost);
        ck_assert_int_eq(db.outcomes[i].order, i);
    }
    ck_assert_int_eq(db.losses, 1);
    ck_assert_str_eq(db.loss.sqlstate, "57P01");
    ck_assert(!pgconn_is_ready(db.conn));
    ck_assert_int_lt(pgconn_due_ns(db.conn), INT64_MAX); // the next try
    submit(6, "SELECT 'again'");
    wait_jobs(7);
    check_committed(6, "again");
    ck_assert_int_eq(db.readies, 2);
    ck_assert_int_ne(pgconn_backend_pid(db.conn), pid);
}
END_TEST

START_TEST(an_idle_connection_that_ends_is_noticed)
{
    connect_to(servers_dsn());
    sql_run("SELECT pg_terminate_backend(%d)", pgconn_backend_pid(db.conn));
    wait_lost();
    ck_assert(db.loss.lost);
    ck_assert_str_ne(db.loss.text, "");
    wait_ready();
    ck_assert_int_eq(db.readies, 2);
}
END_TEST

START_TEST(a_server_that_takes_no_writes_is_left)
{
    connect_to(servers_super_dsn());
    struct pgjob *job = job_of(0, SEC, "SET TRANSACTION READ ONLY");
    pgjob_statement(job, "CREATE TABLE t ()");
    pgconn_submit(db.conn, job);
    wait_jobs(1);
    check_failed(0, "25006", true);
    ck_assert_int_eq(db.losses, 1);
    ck_assert_str_eq(db.loss.sqlstate, "25006");
    wait_ready();
}
END_TEST

START_TEST(a_backend_that_is_silent_is_given_up)
{
    connect_to(servers_dsn());
    int pid = pgconn_backend_pid(db.conn);
    ck_assert_int_eq(kill(pid, SIGSTOP), 0);
    pgconn_submit(db.conn, job_of(0, SEC / 10, "SELECT 1"));
    wait_jobs(1);
    ck_assert_int_eq(kill(pid, SIGCONT), 0);
    check_failed(0, "", true);
    ck_assert_str_eq(db.outcomes[0].failure.text, "no answer within the statement's deadline");
}
END_TEST

START_TEST(jobs_are_lost_when_their_connection_is_destroyed)
{
    connect_to(servers_dsn());
    for (int i = 0; i < 6; i++) {
        submit(i, "SELECT pg_sleep(60)");
    }
    pgconn_destroy(db.conn);
    db.conn = NULL;
    for (int i = 0; i < 6; i++) {
        check_failed(i, "", true);
        ck_assert_str_eq(db.outcomes[i].failure.text, "the connection is closed");
    }
    pgconn_destroy(NULL);
}
END_TEST

// ---- connecting --------------------------------------------------------------------------------

START_TEST(goes_on_to_the_next_host)
{
    char dsn[800];
    snprintf(dsn, sizeof dsn,
             "host=/nonexistent,no-such-host.invalid,127.0.0.1,%s port=%d,%d,1,%d"
             " dbname=%s user=sync_daemon",
             servers_cluster(), servers_port(), servers_port(), servers_port(), servers_database());
    open_with(dsn, NULL, 10 * SEC);
    submit(0, "SELECT current_user");
    wait_jobs(1);
    check_committed(0, "sync_daemon");
    ck_assert_int_eq(db.losses, 0); // none of them was the last
}
END_TEST

START_TEST(a_job_is_lost_once_all_hosts_were_tried_in_vain)
{
    open_with("host=/nonexistent,127.0.0.1 port=1 dbname=x", NULL, 10 * SEC);
    submit(0, "SELECT 1");
    wait_jobs(1);
    ck_assert(db.outcomes[0].failed && db.outcomes[0].failure.lost);
    ck_assert_ptr_nonnull(strstr(db.outcomes[0].failure.text, "127.0.0.1"));
    ck_assert_int_eq(db.losses, 1);
    wait_lost(); // and again, later
    ck_assert_int_eq(db.losses, 2);
    ck_assert_int_eq(pgconn_server_version(db.conn), 0);
    ck_assert_int_eq(pgconn_backend_pid(db.conn), 0);
}
END_TEST

START_TEST(a_name_that_nobody_knows_is_said)
{
    open_with("host=no-such-host.invalid dbname=x", NULL, 10 * SEC);
    wait_lost();
    ck_assert_ptr_nonnull(strstr(db.loss.text, "no-such-host.invalid"));
}
END_TEST

// With the superuser's password in a file of ours.
static const char *tcp_dsn(void)
{
    static char dsn[300];
    char command[900];
    snprintf(command, sizeof command, "%s/password", servers_cluster());
    FILE *file = fopen(command, "re");
    char password[80] = "";
    ck_assert_ptr_nonnull(file);
    ck_assert_ptr_nonnull(fgets(password, sizeof password, file));
    fclose(file);
    servers_write("password", password);
    snprintf(dsn, sizeof dsn, "postgresql://postgres@localhost:%d/%s?connect_timeout=9",
             servers_port(), servers_database());
    return dsn;
}

START_TEST(the_password_file_is_read_at_each_attempt)
{
    const char *dsn = tcp_dsn();
    char *password = servers_read("password");
    char path[400];
    snprintf(path, sizeof path, "%s", servers_path("password"));
    servers_write("password", "wrong\n");
    open_with(dsn, path, 10 * SEC);
    wait_lost();
    ck_assert_ptr_nonnull(strstr(db.loss.text, "password authentication failed"));
    unlink(path);
    wait_lost();
    ck_assert_ptr_nonnull(strstr(db.loss.text, path));
    servers_write("password", password);
    wait_ready();
    free(password);
}
END_TEST

START_TEST(a_server_that_never_answers_is_given_up)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, len), 0);
    ck_assert_int_eq(listen(fd, 4), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    char dsn[80];
    snprintf(dsn, sizeof dsn, "host=127.0.0.1 port=%d dbname=x", ntohs(address.sin_port));
    open_with(dsn, NULL, SEC / 10);
    wait_lost();
    ck_assert_str_eq(db.loss.text, "no answer within the connect timeout");
    close(fd);
}
END_TEST

START_TEST(a_dsn_that_is_none_is_refused_without_quoting_it)
{
    struct err err = {.kind = ERR_KIND_NONE};
    const struct pgconn_events events = {&db, on_ready, on_lost, NULL};
    const struct pgconn_options options = {.dsn = "host=a password='hunter2"};
    ck_assert_ptr_null(pgconn_create(db.loop, &options, &events, &err));
    ck_assert_int_eq(err.kind, ERR_KIND_CONFIG);
    ck_assert_ptr_null(strstr(err.text, "hunter2"));
}
END_TEST

START_TEST(a_database_that_does_not_exist_is_named)
{
    char dsn[600];
    snprintf(dsn, sizeof dsn, "host=%s port=%d dbname=nowhere user=postgres", servers_cluster(),
             servers_port());
    open_with(dsn, NULL, 10 * SEC);
    wait_lost();
    ck_assert_ptr_nonnull(strstr(db.loss.text, "database \"nowhere\" does not exist"));
}
END_TEST

// ---- notifications -----------------------------------------------------------------------------

START_TEST(notifications_arrive_also_while_nothing_is_asked)
{
    connect_to(servers_dsn());
    submit(0, "LISTEN bell");
    wait_jobs(1);
    sql_run("NOTIFY bell, 'first'");
    db.stop_on_notify = true;
    turn();
    ck_assert_str_eq(db.notified, "first");
    sql_run("NOTIFY other, 'not asked for'; NOTIFY bell, 'second'");
    turn();
    ck_assert_str_eq(db.notified, "second");
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("pgconn");
    tcase_add_test(tests, parameters_go_in_and_rows_come_out);
    tcase_add_test(tests, jobs_end_in_the_order_they_were_submitted);
    tcase_add_test(tests, a_job_is_a_transaction_without_what_the_session_has);
    tcase_add_test(tests, one_that_fails_takes_only_itself_back);
    tcase_add_test(tests, a_mistake_in_the_sql_fails_the_job);
    tcase_add_test(tests, a_slow_statement_and_a_lock_end_in_their_time);
    tcase_add_test(tests, megabytes_go_both_ways);
    tcase_add_test(tests, simple_jobs_stand_alone_and_say_why_they_fail);
    tcase_add_test(tests, what_is_under_way_is_lost_with_the_connection);
    tcase_add_test(tests, an_idle_connection_that_ends_is_noticed);
    tcase_add_test(tests, a_server_that_takes_no_writes_is_left);
    tcase_add_test(tests, a_backend_that_is_silent_is_given_up);
    tcase_add_test(tests, jobs_are_lost_when_their_connection_is_destroyed);
    tcase_add_test(tests, goes_on_to_the_next_host);
    tcase_add_test(tests, a_job_is_lost_once_all_hosts_were_tried_in_vain);
    tcase_add_test(tests, a_name_that_nobody_knows_is_said);
    tcase_add_test(tests, the_password_file_is_read_at_each_attempt);
    tcase_add_test(tests, a_server_that_never_answers_is_given_up);
    tcase_add_test(tests, a_dsn_that_is_none_is_refused_without_quoting_it);
    tcase_add_test(tests, a_database_that_does_not_exist_is_named);
    tcase_add_test(tests, notifications_arrive_also_while_nothing_is_asked);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 20);
    Suite *suite = suite_create("pgconn");
    suite_add_tcase(suite, tests);
    return servers_run(suite);
}
