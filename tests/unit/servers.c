#include "servers.h"

#include "base/clock.h"
#include "program.h"
#include "suite.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <libpq-fe.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    SERVERS_PATIENCE_S = 60, // only ever waited out by a failure
    SERVERS_TRIES = 5,       // another program may get the free port first
    SERVERS_TEXTS = 8,
    SERVERS_WORDS = 32,
};

static struct {
    char folder[256]; // of the program, with everything else below
    char cluster[300];
    int port;
    pid_t postgres;

    char test[300];
    char database[40];
    char dsn[600];
    char super_dsn[600];
    PGconn *pg;
    char *texts[SERVERS_TEXTS];
    size_t text_count;
    pid_t sandbox;
    char url[80];
} servers;

static void need_database(void);

// ---- files and processes -----------------------------------------------------------------------

const char *servers_folder(void)
{
    return servers.test;
}

const char *servers_cluster(void)
{
    return servers.cluster;
}

int servers_port(void)
{
    return servers.port;
}

const char *servers_database(void)
{
    need_database();
    return servers.database;
}

const char *servers_dsn(void)
{
    need_database();
    return servers.dsn;
}

const char *servers_super_dsn(void)
{
    need_database();
    return servers.super_dsn;
}

const char *servers_path(const char *name)
{
    static char paths[4][400];
    static size_t next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", servers.test, name);
    return path;
}

void servers_write(const char *name, const char *text)
{
    FILE *file = fopen(servers_path(name), "we");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    ck_assert_int_eq(fchmod(fileno(file), 0600), 0);
    ck_assert_int_eq(fclose(file), 0);
}

static char *read_file(const char *path)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    ck_assert_ptr_nonnull(out);
    FILE *file = fopen(path, "re");
    for (int c; file != NULL && (c = fgetc(file)) != EOF;) {
        fputc(c, out);
    }
    if (file != NULL) {
        fclose(file);
    }
    ck_assert_int_eq(fclose(out), 0);
    return text;
}

char *servers_read(const char *name)
{
    return read_file(servers_path(name));
}

void servers_wait(bool (*condition)(void *ctx), void *ctx, const char *what)
{
    int64_t end = clock_now_ns() + SERVERS_PATIENCE_S * CLOCK_NS_PER_SEC;
    while (!condition(ctx)) {
        ck_assert_msg(clock_now_ns() < end, "not within %d s: %s", SERVERS_PATIENCE_S, what);
        const struct timespec pause = {.tv_nsec = 5 * CLOCK_NS_PER_MS};
        nanosleep(&pause, NULL);
    }
}

// A process that ends with this one; its output goes to `log`. Returns in the parent only; negative
// when there is none.
static pid_t spawn(char *const *words, const char *log, int with_parent)
{
    pid_t pid = fork();
    if (pid != 0) {
        return pid;
    }
    prctl(PR_SET_PDEATHSIG, with_parent);
    if (freopen("/dev/null", "r", stdin) == NULL || freopen(log, "a", stdout) == NULL ||
        dup2(STDOUT_FILENO, STDERR_FILENO) < 0) {
        _exit(126);
    }
    execv(words[0], words);
    _exit(127);
}

static bool has_ended(void *ctx)
{
    pid_t *pid = ctx;
    if (*pid > 0 && waitpid(*pid, NULL, WNOHANG) == *pid) {
        *pid = 0;
    }
    return *pid <= 0;
}

static void stop(pid_t *pid, int signal_number)
{
    if (*pid > 0) {
        kill(*pid, signal_number);
        servers_wait(has_ended, pid, "a server ends");
    }
}

static void must_run(char *const *words)
{
    int status = -1;
    pid_t pid = spawn(words, "/dev/null", SIGKILL);
    ck_assert_int_gt(pid, 0);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(status == 0, "%s failed", words[0]);
}

static void remove_folder(char *path)
{
    must_run((char *[]){"/bin/rm", "-rf", path, NULL});
}

// ---- PostgreSQL --------------------------------------------------------------------------------

static int free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, len), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static void make_dsn(char *dsn, size_t size, const char *database, const char *user)
{
    snprintf(dsn, size, "host=%s port=%d dbname=%s user=%s", servers.cluster, servers.port,
             database, user);
}

static bool cluster_answers_or_died(void *ctx)
{
    (void)ctx;
    char dsn[600];
    make_dsn(dsn, sizeof dsn, "postgres", "postgres");
    return has_ended(&servers.postgres) || PQping(dsn) == PQPING_OK;
}

static void cluster_start(void)
{
    char log[400];
    char port[16];
    char program[] = TEST_SOURCE_DIR "/tests/lib/postgres";
    snprintf(servers.cluster, sizeof servers.cluster, "%s/pg", servers.folder);
    snprintf(log, sizeof log, "%s/postgres.log", servers.folder);
    for (int i = 0; i < SERVERS_TRIES && servers.postgres == 0; i++) {
        servers.port = free_port();
        snprintf(port, sizeof port, "%d", servers.port);
        servers.postgres = spawn((char *[]){program, servers.cluster, port, NULL}, log, SIGINT);
        servers_wait(cluster_answers_or_died, NULL, "PostgreSQL starts");
    }
    char *text = read_file(log);
    ck_assert_msg(servers.postgres > 0, "the private PostgreSQL did not start:\n%s", text);
    free(text);
}

// Runs it on a connection of its own.
static void run_in(const char *database, const char *sql)
{
    char dsn[600];
    make_dsn(dsn, sizeof dsn, database, "postgres");
    PGconn *pg = PQconnectdb(dsn);
    PGresult *result = PQexec(pg, sql);
    ExecStatusType status = PQresultStatus(result);
    ck_assert_msg(status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK, "%s",
                  PQerrorMessage(pg));
    PQclear(result);
    PQfinish(pg);
}

static void make_template(void)
{
    run_in("postgres", "CREATE DATABASE sync_template");
    char dsn[600];
    make_dsn(dsn, sizeof dsn, "sync_template", "postgres");
    snprintf(servers.test, sizeof servers.test, "%s", servers.folder);
    program_configure(&(struct program_config){.dsn = dsn, .base_url = "http://[::1]:9"});
    int code = program_run("migrate", NULL);
    ck_assert_msg(code == 0, "migrate: %s", program_err());
    char *crm = read_file(TEST_SOURCE_DIR "/tests/demo.d/crm.sql");
    run_in("sync_template", crm);
    free(crm);
    run_in("sync_template",
           "CREATE ROLE sync_daemon LOGIN IN ROLE imprint_sync_daemon;"
           "GRANT USAGE ON SCHEMA crm TO imprint_sync_daemon;"
           "GRANT SELECT ON crm.imprint_customers TO imprint_sync_daemon;"
           "SELECT imprint_sync.watch('crm.imprint_customers', 'crm_id', 'imprint_customer_id',"
           "                          t, k)"
           "  FROM (VALUES ('crm.customers'::regclass, 'id'), ('crm.orders', 'customer_id'),"
           "               ('crm.addresses', 'customer_id')) AS v (t, k)");
}

START_TEST(the_servers_start)
{
    chmod(servers.folder, 0711); // for user postgres, where this is root
    cluster_start();
    make_template();
}
END_TEST

// As a test, so that what is wrong is said as in one; in this process, whose children they are.
static bool start_database(void)
{
    TCase *tests = tcase_create("servers");
    tcase_add_test(tests, the_servers_start);
    Suite *suite = suite_create("servers");
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_SILENT);
    bool ok = srunner_ntests_failed(runner) == 0;
    if (!ok) {
        srunner_print(runner, CK_NORMAL);
    }
    srunner_free(runner);
    return ok;
}

static int run_suite(Suite *suite, bool database)
{
    const char *parent = getenv("TMPDIR");
    snprintf(servers.folder, sizeof servers.folder, "%s/imprint-sync-unit.XXXXXX",
             parent == NULL ? "/tmp" : parent);
    if (mkdtemp(servers.folder) == NULL) {
        fprintf(stderr, "%s: %s\n", servers.folder, strerror(errno));
        return EXIT_FAILURE;
    }
    int code = !database || start_database() ? suite_run(suite) : EXIT_FAILURE;
    if (servers.postgres > 0) {
        kill(servers.postgres, SIGQUIT);
        waitpid(servers.postgres, NULL, 0);
    }
    pid_t pid = spawn((char *[]){"/bin/rm", "-rf", servers.folder, NULL}, "/dev/null", SIGKILL);
    waitpid(pid, NULL, 0);
    return code;
}

int servers_run(Suite *suite)
{
    return run_suite(suite, true);
}

int servers_run_sandbox(Suite *suite)
{
    return run_suite(suite, false);
}

// ---- a test ------------------------------------------------------------------------------------

void servers_begin(void)
{
    // Tests are processes one after the other: the number of each is its own.
    snprintf(servers.test, sizeof servers.test, "%s/%d", servers.folder, (int)getpid());
    ck_assert_int_eq(mkdir(servers.test, 0700), 0);
}

static void need_database(void)
{
    if (servers.pg != NULL) {
        return;
    }
    char sql[120];
    snprintf(servers.database, sizeof servers.database, "test_%d", (int)getpid());
    snprintf(sql, sizeof sql, "CREATE DATABASE %s TEMPLATE sync_template", servers.database);
    run_in("postgres", sql);
    make_dsn(servers.dsn, sizeof servers.dsn, servers.database, "sync_daemon");
    make_dsn(servers.super_dsn, sizeof servers.super_dsn, servers.database, "postgres");
    servers.pg = PQconnectdb(servers.super_dsn);
    ck_assert_msg(PQstatus(servers.pg) == CONNECTION_OK, "%s", PQerrorMessage(servers.pg));
    sql_run("SET client_min_messages = error");
}

void servers_end(void)
{
    sandbox_stop();
    for (size_t i = 0; i < SERVERS_TEXTS; i++) {
        free(servers.texts[i]);
        servers.texts[i] = NULL;
    }
    PQfinish(servers.pg); // its database goes with the cluster
    remove_folder(servers.test);
}

__attribute__((format(printf, 1, 0))) static PGresult *query(const char *format, va_list args)
{
    need_database();
    char *sql = NULL;
    ck_assert_int_ge(vasprintf(&sql, format, args), 0);
    PGresult *result = PQexec(servers.pg, sql);
    ExecStatusType status = PQresultStatus(result);
    ck_assert_msg(status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK, "%s: %s", sql,
                  PQerrorMessage(servers.pg));
    free(sql);
    return result;
}

__attribute__((format(printf, 1, 0))) static const char *query_text(const char *format,
                                                                    va_list args)
{
    PGresult *result = query(format, args);
    char **text = &servers.texts[servers.text_count++ % SERVERS_TEXTS];
    free(*text);
    *text = strdup(PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "");
    PQclear(result);
    return *text;
}

void sql_run(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    PQclear(query(format, args));
    va_end(args);
}

const char *sql_text(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *text = query_text(format, args);
    va_end(args);
    return text;
}

int64_t sql_int64(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *text = query_text(format, args);
    va_end(args);
    char *end = NULL;
    int64_t value = strtoll(text, &end, 10);
    ck_assert_msg(*end == '\0' && end != text, "%s yields \"%s\"", format, text);
    return value;
}

static bool sql_is_true(void *ctx)
{
    return strcmp(sql_text("%s", (const char *)ctx), "t") == 0;
}

void sql_wait(const char *format, ...)
{
    char *sql = NULL;
    va_list args;
    va_start(args, format);
    ck_assert_int_ge(vasprintf(&sql, format, args), 0);
    va_end(args);
    servers_wait(sql_is_true, sql, sql);
    free(sql);
}

int64_t sql_add(const char *customer, const char *payload)
{
    bool thin = payload == NULL;
    return sql_int64("INSERT INTO imprint_sync.outbox (customer_id, payload) VALUES ('%s', %s%s%s)"
                     " RETURNING id",
                     customer, thin ? "" : "'", thin ? "NULL" : payload, thin ? "" : "'");
}

void sql_people(int count)
{
    sql_run("INSERT INTO crm.customers (id, imprint_customer_id, email, first_name)"
            " SELECT n, (lpad(n::text, 8, '0') || '-0000-4000-8000-000000000000')::uuid,"
            "        'p' || n || '@example.com', 'Pat' FROM generate_series(1, %d) AS n",
            count);
    sql_run("TRUNCATE imprint_sync.outbox");
}

// ---- the sandbox -------------------------------------------------------------------------------

static bool sandbox_listens_or_died(void *ctx)
{
    (void)ctx;
    char *port = servers_read("sandbox.port");
    int number = (int)strtol(port, NULL, 10);
    if (number > 0) {
        snprintf(servers.url, sizeof servers.url, "http://127.0.0.1:%d", number);
    }
    free(port);
    return number > 0 || has_ended(&servers.sandbox);
}

void sandbox_start_words(const char *const *options)
{
    char port_file[400];
    char journal[400];
    snprintf(port_file, sizeof port_file, "%s/sandbox.port", servers.test);
    snprintf(journal, sizeof journal, "%s/journal", servers.test);
    char *words[SERVERS_WORDS] = {TEST_SANDBOX, "--port",    "0",     "--port-file",
                                  port_file,    "--journal", journal, "--journal-bodies",
                                  "--api-key",  SANDBOX_KEY};
    size_t count = 10;
    for (; *options != NULL; options++) {
        ck_assert_uint_lt(count, SERVERS_WORDS - 1);
        words[count++] = strdup(*options);
    }
    unlink(port_file);
    servers.sandbox = spawn(words, servers_path("sandbox.log"), SIGTERM);
    servers_wait(sandbox_listens_or_died, NULL, "the sandbox listens");
    ck_assert_msg(servers.sandbox > 0, "the sandbox did not start");
    for (size_t i = 10; i < count; i++) {
        free(words[i]);
    }
}

void sandbox_start_tls(void)
{
    must_run((char *[]){TEST_SANDBOX, "--make-cert", servers.test, NULL});
    char cert[400];
    snprintf(cert, sizeof cert, "%s", servers_path("server.pem"));
    sandbox_start("--tls", "--cert", cert, "--cert-key", servers_path("server-key.pem"), NULL);
    memmove(servers.url + 5, servers.url + 4, strlen(servers.url + 4) + 1);
    servers.url[4] = 's';
}

void sandbox_stop(void)
{
    stop(&servers.sandbox, SIGTERM);
}

const char *sandbox_url(void)
{
    if (servers.sandbox == 0) {
        sandbox_start(NULL);
    }
    return servers.url;
}

char *sandbox_control(const char *method, const char *path, const char *body)
{
    char url[160];
    char *text = NULL;
    size_t len = 0;
    snprintf(url, sizeof url, "%s/_sandbox/%s", sandbox_url(), path);
    FILE *out = open_memstream(&text, &len);
    CURL *curl = curl_easy_init();
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_CAINFO, servers_path("ca.pem")); // of sandbox_start_tls
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, out);
    if (body != NULL) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    }
    CURLcode code = curl_easy_perform(curl);
    ck_assert_msg(code == CURLE_OK, "%s: %s", url, curl_easy_strerror(code));
    curl_easy_cleanup(curl);
    ck_assert_int_eq(fclose(out), 0);
    return text;
}

void sandbox_faults(const char *specs)
{
    char *text = sandbox_control("PUT", "faults", specs);
    ck_assert_msg(strstr(text, "error") == NULL, "%s", text);
    free(text);
}

static int64_t journal_lines(const char *customer)
{
    char *journal = servers_read("journal");
    char want[120] = "\"customer\":";
    if (customer != NULL) {
        snprintf(want, sizeof want, "\"customer\":\"%s\"", customer);
    }
    int64_t count = 0;
    for (const char *at = journal; (at = strcasestr(at, want)) != NULL; at++) {
        count++;
    }
    free(journal);
    return count;
}

static bool sandbox_is_quiet(void *ctx)
{
    (void)ctx;
    char *stats = sandbox_control("GET", "stats", NULL);
    bool quiet = strstr(stats, "\"in_progress\":0,") != NULL;
    free(stats);
    return quiet;
}

int64_t sandbox_requests(const char *customer)
{
    // An answer may be here before its request has ended there, and stands in the journal.
    servers_wait(sandbox_is_quiet, NULL, "no request is in progress");
    return journal_lines(customer);
}

struct sandbox_wait {
    const char *customer;
    int64_t count;
};

static bool sandbox_has_requests(void *ctx)
{
    const struct sandbox_wait *wait = ctx;
    return journal_lines(wait->customer) >= wait->count;
}

void sandbox_wait_requests(const char *customer, int64_t count)
{
    struct sandbox_wait wait = {customer, count};
    servers_wait(sandbox_has_requests, &wait, "requests in the journal");
}

static bool sandbox_is_busy(void *ctx)
{
    (void)ctx;
    return !sandbox_is_quiet(NULL);
}

void sandbox_wait_busy(void)
{
    servers_wait(sandbox_is_busy, NULL, "a request is in progress");
}

bool sandbox_has(const char *customer, const char *text)
{
    char path[120];
    snprintf(path, sizeof path, "customers/%s", customer);
    char *state = sandbox_control("GET", path, NULL);
    bool has = strstr(state, text) != NULL;
    free(state);
    return has;
}
