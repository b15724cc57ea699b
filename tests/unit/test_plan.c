#include "base/buf.h"
#include "domain/plan.h"
#include "suite.h"

#include <check.h>
#include <stdio.h>

#define PLAN(node) "[{\"Plan\": " node "}]"
#define SCAN(alias, more)                                                                          \
    "{\"Node Type\": \"Seq Scan\", \"Relation Name\": \"People\", \"Schema\": \"crm\","            \
    " \"Alias\": \"" alias "\"" more "}"
#define JOIN(more, below)                                                                          \
    "{\"Node Type\": \"Nested Loop\", \"Plan Rows\": 7" more ", \"Plans\": [" below "]}"

// What the first scan of a plan is looked up by.
static void check_key(const char *json, const char *key)
{
    struct plan_scans scans;
    plan_scans_find(&scans, str_of(json));
    ck_assert_uint_eq(scans.count, 1);
    ck_assert_str_eq(scans.list[0].schema, "crm");
    ck_assert_str_eq(scans.list[0].relation, "People");
    ck_assert_pstr_eq(scans.list[0].key, key);
    plan_scans_free(&scans);
}

static void check_filter(const char *alias, const char *filter, const char *key)
{
    char json[512];
    snprintf(json, sizeof json,
             "[{\"Plan\": {\"Node Type\": \"Seq Scan\", \"Relation Name\": \"People\","
             " \"Schema\": \"crm\", \"Alias\": \"%s\", \"Filter\": \"%s\"}}]",
             alias, filter);
    check_key(json, key);
}

START_TEST(a_condition_tells_what_to_index)
{
    static const char *const cases[][3] = {
        {"s", "(s.id = c.key)", "id"},
        {"s", "(c.key = s.id)", "id"},
        {"s", "(s.id = CASE WHEN (c.key ~ '^a = b$'::text) THEN (c.key)::uuid ELSE NULL END)",
         "id"},
        {"s", "(s.id = ANY (ARRAY[c.spelling, c.upper, c.key]))", "id"},
        {"s", "((s.id)::text = ANY ((ARRAY[c.spelling, c.upper])::text[]))", "(id)::text"},
        {"s", "(lower(s.id) = c.key)", "lower(id)"},
        {"s", "((s.a || s.b) = c.key)", "(a || b)"},
        {"s", "((s.state = 'on'::text) AND (s.id = c.key))", "id"},
        {"s", "((s.rate = 1.5) AND (s.id = c.key))", "id"},
        {"s", "(s.\\\"Id = x\\\" = c.key)", "\"Id = x\""},
        {"My t", "(\\\"My t\\\".id = c.key)", "id"},
        {"s", "(s.note = ' c.key = '::text)", NULL},
        {"s", "(s.id > c.key)", NULL},
        {"s", "(s.a = s.b)", NULL},
        {"s", "(news.id = c.key)", NULL},
        {"s", "((", NULL},
        {"s", "('", NULL},
        {"s", "", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        check_filter(cases[i][0], cases[i][1], cases[i][2]);
    }
}
END_TEST

START_TEST(the_nearest_join_tells_what_a_scan_does_not)
{
    check_key(PLAN(JOIN(", \"Join Filter\": \"(s.far = c.key)\"",
                        JOIN(", \"Hash Cond\": \"(x.id = s.near)\"", SCAN("s", "")))),
              "near");
    check_key(PLAN(JOIN("", SCAN("s", ""))), NULL);
}
END_TEST

START_TEST(an_index_without_a_condition_is_a_scan)
{
    static const char *const ways[][2] = {{"Index Scan", "Index Cond"},
                                          {"Index Only Scan", "Index Cond"},
                                          {"Bitmap Heap Scan", "Recheck Cond"}};
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        char json[256];
        snprintf(json, sizeof json,
                 PLAN("{\"Node Type\": \"%s\", \"Relation Name\": \"People\","
                      " \"Schema\": \"crm\", \"Alias\": \"s\", \"%s\": \"(s.id = c.key)\"}"),
                 ways[i][0], ways[i][1]);
        struct plan_scans scans;
        plan_scans_find(&scans, str_of(json));
        ck_assert_uint_eq(scans.count, 0);
        snprintf(json, sizeof json,
                 PLAN("{\"Node Type\": \"%s\", \"Relation Name\": \"People\","
                      " \"Schema\": \"crm\", \"Alias\": \"s\", \"Filter\": \"(s.id = c.key)\"}"),
                 ways[i][0]);
        check_key(json, "id");
    }
}
END_TEST

START_TEST(each_table_is_told_once)
{
    check_key(PLAN(JOIN("", SCAN("s", "") ", " SCAN("s_1", ""))), NULL);
}
END_TEST

START_TEST(the_rows_are_those_of_the_top)
{
    ck_assert_int_eq(plan_rows(STR(PLAN(JOIN("", "{\"Plan Rows\": 9}")))), 7);
}
END_TEST

START_TEST(what_is_no_plan_has_nothing)
{
    static const char *const texts[] = {"",
                                        "[",
                                        "[]",
                                        "{}",
                                        "[1]",
                                        "[{}]",
                                        "[{\"Plan\": 1}]",
                                        "[{\"Plan\": {\"Plans\": 1, \"Plan Rows\": \"x\"}}]"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct plan_scans scans;
        plan_scans_find(&scans, str_of(texts[i]));
        ck_assert_uint_eq(scans.count, 0);
        ck_assert_int_eq(plan_rows(str_of(texts[i])), -1);
    }
}
END_TEST

START_TEST(no_depth_and_no_number_of_tables_is_too_much)
{
    struct buf json;
    buf_init(&json, 200000);
    ck_assert(buf_append_str(&json, STR("[{\"Plan\": {\"Plans\": [")));
    for (int i = 0; i < 40; i++) {
        ck_assert(buf_printf(&json,
                             "{\"Node Type\": \"Seq Scan\", \"Schema\": \"crm\","
                             " \"Relation Name\": \"t%d\"}, ",
                             i));
    }
    for (int i = 0; i < 1000; i++) {
        ck_assert(buf_append_str(&json, STR("{\"Plans\": [")));
    }
    for (int i = 0; i < 1000; i++) {
        ck_assert(buf_append_str(&json, STR("]}")));
    }
    ck_assert(buf_append_str(&json, STR("]}}]")));
    struct plan_scans scans;
    plan_scans_find(&scans, buf_peek(&json));
    ck_assert_uint_eq(scans.count, PLAN_SCANS_MAX);
    plan_scans_free(&scans);
    buf_free(&json);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("plan");
    TCase *tests = tcase_create("plan");
    tcase_add_test(tests, a_condition_tells_what_to_index);
    tcase_add_test(tests, the_nearest_join_tells_what_a_scan_does_not);
    tcase_add_test(tests, an_index_without_a_condition_is_a_scan);
    tcase_add_test(tests, each_table_is_told_once);
    tcase_add_test(tests, the_rows_are_those_of_the_top);
    tcase_add_test(tests, what_is_no_plan_has_nothing);
    tcase_add_test(tests, no_depth_and_no_number_of_tables_is_too_much);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
