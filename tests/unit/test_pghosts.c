#include "io/pghosts.h"
#include "suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// What the callbacks said: "host|hostaddr|port;" for each address, "!" for each failure.
struct told {
    struct loop *loop;
    struct pghosts *hosts;
    char text[4096];
    char reason[512];
    bool done;
};

static struct told told;

static const char *or_dash(const char *text)
{
    return text == NULL ? "-" : text;
}

static void on_address(void *ctx, const struct pghosts_address *address)
{
    ck_assert_ptr_eq(ctx, &told);
    size_t len = strlen(told.text);
    snprintf(told.text + len, sizeof told.text - len, "%s|%s|%s;", or_dash(address->host),
             or_dash(address->hostaddr), or_dash(address->port));
    told.done = true;
}

static void on_failed(void *ctx, const char *reason)
{
    ck_assert_ptr_eq(ctx, &told);
    size_t len = strlen(told.text);
    snprintf(told.text + len, sizeof told.text - len, "!");
    snprintf(told.reason, sizeof told.reason, "%s", reason);
    told.done = true;
}

static void setup(void)
{
    static const char *const variables[] = {"PGHOST", "PGHOSTADDR", "PGPORT", "PGSERVICE"};
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++) {
        unsetenv(variables[i]);
    }
    struct err err = {.kind = ERR_KIND_NONE};
    told = (struct told){.loop = loop_create(&err)};
    ck_assert_ptr_nonnull(told.loop);
}

static void teardown(void)
{
    pghosts_destroy(told.hosts);
    loop_destroy(told.loop);
}

static struct pghosts *must_open(const char *dsn)
{
    struct err err = {.kind = ERR_KIND_NONE};
    pghosts_destroy(told.hosts);
    told.text[0] = '\0';
    told.hosts = pghosts_create(told.loop, dsn, on_address, on_failed, &told, &err);
    ck_assert_msg(told.hosts != NULL, "%s: %s", dsn, err.text);
    return told.hosts;
}

static void walk(struct pghosts *hosts)
{
    struct err err = {.kind = ERR_KIND_NONE};
    told.text[0] = '\0';
    for (told.done = false; pghosts_next(hosts); told.done = false) {
        ck_assert(loop_run_until(told.loop, &told.done, &err));
    }
}

START_TEST(names_the_hosts_of_a_dsn_in_their_order)
{
    static const struct {
        const char *dsn;
        const char *addresses;
    } cases[] = {
        {"", "-|-|-;"},
        {"dbname=crm", "-|-|-;"},
        {"host=/run/postgresql dbname=crm", "/run/postgresql|-|-;"},
        {"host=@abstract port=5433", "@abstract|-|5433;"},
        {"host=127.0.0.1", "127.0.0.1|127.0.0.1|-;"},
        {"host=::1 port=5433", "::1|::1|5433;"},
        {"hostaddr=127.0.0.2", "-|127.0.0.2|-;"},
        {"host=127.0.0.9 hostaddr=127.0.0.2", "127.0.0.9|127.0.0.2|-;"},
        {"host=db.example hostaddr=127.0.0.2", "db.example|127.0.0.2|-;"},
        {"host=127.0.0.1,127.0.0.2 port=5433",
         "127.0.0.1|127.0.0.1|5433;127.0.0.2|127.0.0.2|5433;"},
        {"host=127.0.0.1,/run,127.0.0.3 port=1,2,3",
         "127.0.0.1|127.0.0.1|1;/run|-|2;127.0.0.3|127.0.0.3|3;"},
        {"host=a.example,b.example hostaddr=127.0.0.1,127.0.0.2 port=1,2",
         "a.example|127.0.0.1|1;b.example|127.0.0.2|2;"},
        {"host=127.0.0.1,127.0.0.2 port=,2", "127.0.0.1|127.0.0.1|-;127.0.0.2|127.0.0.2|2;"},
        {"host=,127.0.0.2", "-|-|-;127.0.0.2|127.0.0.2|-;"},
        {"host=127.0.0.1,", "127.0.0.1|127.0.0.1|-;-|-|-;"},
        {"hostaddr=127.0.0.1,127.0.0.2", "-|127.0.0.1|-;-|127.0.0.2|-;"},
        {"postgresql://127.0.0.1:5433,127.0.0.2/crm",
         "127.0.0.1|127.0.0.1|5433;127.0.0.2|127.0.0.2|-;"},
        {"postgres://u@[::1]:5433/crm", "::1|::1|5433;"},
        {"postgresql://%2Frun%2Fpostgresql/crm", "/run/postgresql|-|-;"},
        {"postgresql:///crm?host=/run&port=7", "/run|-|7;"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        walk(must_open(cases[i].dsn));
        ck_assert_msg(strcmp(told.text, cases[i].addresses) == 0, "%s: %s", cases[i].dsn,
                      told.text);
        ck_assert(!pghosts_next(told.hosts)); // all have been tried
        walk(told.hosts);
        ck_assert_str_eq(told.text, "");
        pghosts_rewind(told.hosts);
        walk(told.hosts);
        ck_assert_str_eq(told.text, cases[i].addresses);
    }
}
END_TEST

START_TEST(what_the_dsn_leaves_out_comes_from_the_environment)
{
    static const struct {
        const char *dsn;
        const char *addresses;
    } cases[] = {
        {"", "/a|-|1;127.0.0.1|127.0.0.1|2;"},
        {"port=3", "/a|-|3;127.0.0.1|127.0.0.1|3;"},
        {"host=/b port=3", "/b|-|3;"},
        {"host=/b,/c", "/b|-|1;/c|-|2;"},
    };
    setenv("PGHOST", "/a,127.0.0.1", 1);
    setenv("PGPORT", "1,2", 1);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        walk(must_open(cases[i].dsn));
        ck_assert_msg(strcmp(told.text, cases[i].addresses) == 0, "%s: %s", cases[i].dsn,
                      told.text);
    }
    setenv("PGPORT", "5432", 1); // libpq's own default
    walk(must_open("host=/b"));
    ck_assert_str_eq(told.text, "/b|-|-;");
}
END_TEST

START_TEST(no_host_is_left_out)
{
    char dsn[1024] = "host=/0";
    for (int i = 1; i < 40; i++) {
        size_t len = strlen(dsn);
        snprintf(dsn + len, sizeof dsn - len, ",/%d", i);
    }
    walk(must_open(dsn));
    const char *last = "/38|-|-;/39|-|-;";
    ck_assert_str_eq(told.text + strlen(told.text) - strlen(last), last);
}
END_TEST

START_TEST(a_dsn_that_cannot_do_is_refused_with_its_reason)
{
    static const struct {
        const char *dsn;
        const char *reason;
    } cases[] = {
        {"host=a,b hostaddr=127.0.0.1", "host names 2 servers and hostaddr 1"},
        {"host=a,b port=1,2,3", "3 ports for 2 hosts"},
        {"port=1,2", "2 ports for 1 hosts"},
        {"service=crm", "name the hosts here"},
        {"host=a target_session_attrs=any", "target_session_attrs=any"},
        {"host=a target_session_attrs=prefer-standby", "target_session_attrs=prefer-standby"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err err = {.kind = ERR_KIND_NONE};
        ck_assert(!pghosts_check(cases[i].dsn, &err));
        ck_assert_int_eq(err.kind, ERR_KIND_CONFIG);
        ck_assert_msg(strstr(err.text, cases[i].reason) != NULL, "%s: %s", cases[i].dsn, err.text);
    }
    struct err err = {.kind = ERR_KIND_NONE};
    ck_assert(pghosts_check("service=crm host=a", &err));
    ck_assert(pghosts_check("host=a,b port=1 target_session_attrs=primary", &err));
}
END_TEST

START_TEST(the_connect_timeout_is_the_dsns)
{
    ck_assert_int_eq(pghosts_connect_timeout_ns(must_open("host=a connect_timeout=7")),
                     INT64_C(7000000000));
    ck_assert_int_eq(pghosts_connect_timeout_ns(must_open("host=a")), 0);
    ck_assert_int_eq(pghosts_connect_timeout_ns(must_open("host=a connect_timeout=-1")), 0);
    ck_assert_int_eq(pghosts_connect_timeout_ns(must_open("host=a connect_timeout=x")), 0);
}
END_TEST

START_TEST(what_needs_no_look_up_is_told_at_once)
{
    static const char *const cases[] = {"", "host=/run", "host=127.0.0.1", "host=::1",
                                        "host=db.example hostaddr=::1"};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ck_assert(pghosts_next(must_open(cases[i])));
        ck_assert_msg(told.text[0] != '\0', "%s", cases[i]);
    }
}
END_TEST

START_TEST(a_name_is_resolved_in_the_loop)
{
    struct pghosts *hosts = must_open("host=localhost,/run port=5433,2");
    ck_assert(pghosts_next(hosts));
    ck_assert_str_eq(told.text, ""); // later
    pghosts_rewind(hosts);           // a look-up under way is dropped
    walk(hosts);
    ck_assert_msg(strstr(told.text, "localhost|127.0.0.1|5433;") != NULL ||
                      strstr(told.text, "localhost|::1|5433;") != NULL,
                  "%s", told.text);
    const char *last = "/run|-|2;";
    ck_assert_str_eq(told.text + strlen(told.text) - strlen(last), last);
    pghosts_rewind(hosts);
    ck_assert(pghosts_next(hosts)); // destroyed with a look-up under way
}
END_TEST

START_TEST(a_name_without_address_fails_and_the_next_host_follows)
{
    // A label of 70 letters: the resolver refuses it without asking anybody.
    walk(must_open(
        "host=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx,/run"));
    ck_assert_str_eq(told.text, "!/run|-|-;");
    ck_assert_int_eq(strncmp(told.reason, "host xxxxxxxx", 13), 0);
}
END_TEST

START_TEST(a_dsn_that_is_none_is_refused_without_quoting_it)
{
    static const char *const cases[] = {
        "hunter2",       "password=hunter2 colour=red",
        "host='hunter2", "postgresql://u:hunter2@h:1/%zz",
        "hunter2=1",     "postgresql://u:hunter2@[::1/crm",
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err err = {.kind = ERR_KIND_NONE};
        ck_assert_ptr_null(pghosts_create(told.loop, cases[i], on_address, on_failed, &told, &err));
        ck_assert_int_eq(err.kind, ERR_KIND_CONFIG);
        ck_assert_ptr_nonnull(strstr(err.text, "connection string"));
        ck_assert_ptr_null(strstr(err.text, "hunter2"));
    }
}
END_TEST

// The last of a keyword, which is what libpq takes; NULL when it is not there.
static const char *param(const struct pghosts_params *params, const char *keyword)
{
    const char *value = NULL;
    for (size_t i = 0; params->keywords[i] != NULL; i++) {
        ck_assert_ptr_nonnull(params->values[i]);
        value = strcmp(params->keywords[i], keyword) == 0 ? params->values[i] : value;
    }
    return value;
}

static void check_param(const struct pghosts_params *params, const char *keyword,
                        const char *expected)
{
    ck_assert_str_eq(or_dash(param(params, keyword)), expected);
}

START_TEST(parameters_are_the_dsns_with_one_address_and_what_we_need)
{
    struct pghosts_params params;
    const struct pghosts_address address = {.host = "b", .hostaddr = "127.0.0.2", .port = "2"};
    pghosts_params(must_open("host=a,b port=1,2 dbname=crm user=u sslmode=verify-full"), &address,
                   NULL, &params);
    static const char *const expected[][2] = {
        {"host", "b"},
        {"hostaddr", "127.0.0.2"},
        {"port", "2"},
        {"dbname", "crm"},
        {"user", "u"},
        {"sslmode", "verify-full"},
        {"password", "-"},
        {"client_encoding", "UTF8"},
        {"fallback_application_name", "imprint-sync"},
        {"gssencmode", "disable"},
        {"target_session_attrs", "read-write"},
        {"keepalives", "1"},
        {"keepalives_idle", "10"},
        {"keepalives_interval", "5"},
        {"keepalives_count", "3"},
        {"tcp_user_timeout", "15000"},
    };
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        check_param(&params, expected[i][0], expected[i][1]);
    }
}
END_TEST

START_TEST(the_dsn_overrules_the_defaults_and_the_password_file_the_dsn)
{
    struct pghosts_params params;
    const struct pghosts_address socket = {.host = NULL};
    struct pghosts *hosts =
        must_open("host=a port=1 password=old keepalives_idle=99 target_session_attrs=primary");
    pghosts_params(hosts, &socket, "new", &params);
    check_param(&params, "password", "new");
    check_param(&params, "keepalives_idle", "99");
    check_param(&params, "target_session_attrs", "primary");
    check_param(&params, "host", "-"); // the list of the DSN is not handed on
    check_param(&params, "port", "-");
    pghosts_params(hosts, &socket, NULL, &params);
    check_param(&params, "password", "old");
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("pghosts");
    tcase_add_test(tests, names_the_hosts_of_a_dsn_in_their_order);
    tcase_add_test(tests, what_the_dsn_leaves_out_comes_from_the_environment);
    tcase_add_test(tests, no_host_is_left_out);
    tcase_add_test(tests, a_dsn_that_cannot_do_is_refused_with_its_reason);
    tcase_add_test(tests, the_connect_timeout_is_the_dsns);
    tcase_add_test(tests, what_needs_no_look_up_is_told_at_once);
    tcase_add_test(tests, a_name_is_resolved_in_the_loop);
    tcase_add_test(tests, a_name_without_address_fails_and_the_next_host_follows);
    tcase_add_test(tests, a_dsn_that_is_none_is_refused_without_quoting_it);
    tcase_add_test(tests, parameters_are_the_dsns_with_one_address_and_what_we_need);
    tcase_add_test(tests, the_dsn_overrules_the_defaults_and_the_password_file_the_dsn);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 30);
    Suite *suite = suite_create("pghosts");
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
