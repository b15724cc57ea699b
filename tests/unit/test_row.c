// The fold: rows of one customer, column by column.
#include "domain/row.h"
#include "suite.h"

#include <check.h>

static struct mapping *mapping;
static struct row row;

static void set_up(void)
{
    const char *const columns[] = {"email", "phone", "address", "a\"b"};
    mapping = mapping_create();
    for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++) {
        struct err err;
        struct mapping_path path;
        ck_assert(mapping_path_compile(mapping, str_of(columns[i]), &path, &err));
    }
    row_init(&row, mapping);
}

static void tear_down(void)
{
    row_free(&row);
    mapping_destroy(mapping);
}

static void must_add(const char *json)
{
    ck_assert(row_add(&row, str_of(json), false));
}

static void must_add_source(const char *json)
{
    ck_assert(row_add(&row, str_of(json), true));
}

static void check_value(size_t column, enum jsontext_kind kind, const char *text)
{
    ck_assert_int_eq(row.values[column].kind, kind);
    if (text != NULL) {
        ck_assert(str_equal(row.values[column].text, str_of(text)));
    }
}

START_TEST(starts_with_every_column_absent)
{
    for (size_t i = 0; i < mapping_column_count(mapping); i++) {
        check_value(i, JSONTEXT_KIND_ABSENT, NULL);
    }
    ck_assert(!row.complete);
}
END_TEST

START_TEST(tells_null_from_absent)
{
    must_add("{\"email\":null}");
    check_value(0, JSONTEXT_KIND_NULL, "null");
    check_value(1, JSONTEXT_KIND_ABSENT, NULL);
}
END_TEST

START_TEST(later_rows_win_column_by_column)
{
    must_add("{\"email\":\"a\",\"phone\":\"1\"}");
    must_add("{\"phone\":\"2\",\"fax\":\"9\"}");
    check_value(0, JSONTEXT_KIND_STRING, "\"a\"");
    check_value(1, JSONTEXT_KIND_STRING, "\"2\"");
    ck_assert(!row.complete);
}
END_TEST

START_TEST(the_source_row_wins_and_makes_the_row_complete)
{
    must_add("{\"email\":\"old\",\"phone\":\"1\"}");
    must_add_source("{\"email\":null}");
    check_value(0, JSONTEXT_KIND_NULL, NULL);
    check_value(1, JSONTEXT_KIND_STRING, "\"1\"");
    ck_assert(row.complete);
}
END_TEST

START_TEST(replaces_an_object_whole)
{
    must_add("{\"address\":{\"a\":1,\"b\":2}}");
    must_add("{\"address\":{\"b\":3}}");
    check_value(2, JSONTEXT_KIND_OBJECT, "{\"b\":3}");
}
END_TEST

START_TEST(takes_the_last_of_duplicate_keys)
{
    must_add("{\"email\":\"a\",\"e\\u006dail\":\"b\",\"phone\":1,\"email\":\"c\"}");
    check_value(0, JSONTEXT_KIND_STRING, "\"c\"");
    must_add("{\"email\":\"d\",\"\\u0065mail\":\"e\"}");
    check_value(0, JSONTEXT_KIND_STRING, "\"e\"");
}
END_TEST

START_TEST(compares_keys_with_their_escapes_decoded)
{
    must_add("{\"a\\\"b\":1,\"a\\u0022b\":2,\"emai\\u006c\":3,\"ema\\u0000il\":4}");
    check_value(3, JSONTEXT_KIND_NUMBER, "2");
    check_value(0, JSONTEXT_KIND_NUMBER, "3");
}
END_TEST

START_TEST(does_not_look_into_nested_objects)
{
    must_add("{\"x\":{\"email\":\"a\"},\"y\":[{\"email\":\"b\"}],\"z\":\"{\\\"email\\\":1}\"}");
    check_value(0, JSONTEXT_KIND_ABSENT, NULL);
}
END_TEST

START_TEST(keeps_the_digits_of_numbers)
{
    must_add("{ \"phone\" : 12345678901234567890123.10 }");
    check_value(1, JSONTEXT_KIND_NUMBER, "12345678901234567890123.10");
}
END_TEST

START_TEST(refuses_what_is_no_object)
{
    const char *const wrong[] = {"",
                                 "null",
                                 "[]",
                                 "[{\"email\":1}]",
                                 "\"x\"",
                                 "1",
                                 "true",
                                 "{",
                                 "{\"email\"",
                                 "{\"email\":",
                                 "{\"email\":1",
                                 "{\"email\":1,",
                                 "{\"email\":1}}",
                                 "{\"email\" 1}",
                                 "{email:1}",
                                 "{\"email\":1 \"phone\":2}",
                                 "nonsense"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        ck_assert_msg(!row_add(&row, str_of(wrong[i]), true), "%s", wrong[i]);
        row_reset(&row);
    }
}
END_TEST

START_TEST(takes_an_empty_object)
{
    must_add_source(" { } ");
    check_value(0, JSONTEXT_KIND_ABSENT, NULL);
    ck_assert(row.complete);
}
END_TEST

START_TEST(reset_forgets_everything)
{
    must_add_source("{\"email\":\"a\"}");
    row_reset(&row);
    check_value(0, JSONTEXT_KIND_ABSENT, NULL);
    ck_assert(!row.complete);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("row");
    TCase *tests = tcase_create("row");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, starts_with_every_column_absent);
    tcase_add_test(tests, tells_null_from_absent);
    tcase_add_test(tests, later_rows_win_column_by_column);
    tcase_add_test(tests, the_source_row_wins_and_makes_the_row_complete);
    tcase_add_test(tests, replaces_an_object_whole);
    tcase_add_test(tests, takes_the_last_of_duplicate_keys);
    tcase_add_test(tests, compares_keys_with_their_escapes_decoded);
    tcase_add_test(tests, does_not_look_into_nested_objects);
    tcase_add_test(tests, keeps_the_digits_of_numbers);
    tcase_add_test(tests, refuses_what_is_no_object);
    tcase_add_test(tests, takes_an_empty_object);
    tcase_add_test(tests, reset_forgets_everything);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
