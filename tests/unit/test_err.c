#include "base/err.h"
#include "suite.h"

#include <check.h>
#include <string.h>

START_TEST(set_fails_and_says_what)
{
    struct err err = {.kind = ERR_KIND_NONE};
    ck_assert(!err_set(&err, ERR_KIND_CONFIG, "line %d: %s", 7, "no such key"));
    ck_assert_int_eq(err.kind, ERR_KIND_CONFIG);
    ck_assert_str_eq(err.text, "line 7: no such key");
    ck_assert(!err_set(&err, ERR_KIND_DATA, "b"));
    ck_assert_int_eq(err.kind, ERR_KIND_DATA);
    ck_assert_str_eq(err.text, "b");
}
END_TEST

START_TEST(nobody_needs_to_care)
{
    ck_assert(!err_set(NULL, ERR_KIND_DATA, "x"));
    ck_assert(!err_context(NULL, "x"));
}
END_TEST

START_TEST(context_goes_in_front_and_keeps_the_kind)
{
    struct err err = {.kind = ERR_KIND_NONE};
    err_set(&err, ERR_KIND_UNAVAILABLE, "refused");
    ck_assert(!err_context(&err, "host %s", "db1"));
    ck_assert(!err_context(&err, "heartbeat"));
    ck_assert_int_eq(err.kind, ERR_KIND_UNAVAILABLE);
    ck_assert_str_eq(err.text, "heartbeat: host db1: refused");
}
END_TEST

START_TEST(percent_signs_in_the_text_are_text)
{
    struct err err = {.kind = ERR_KIND_NONE};
    err_set(&err, ERR_KIND_DATA, "%s", "100 %s %n");
    err_context(&err, "%s", "%d");
    ck_assert_str_eq(err.text, "%d: 100 %s %n");
}
END_TEST

START_TEST(what_does_not_fit_is_cut_at_the_end)
{
    struct err err = {.kind = ERR_KIND_NONE};
    char text[2000];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    err_set(&err, ERR_KIND_DATA, "%s", text);
    ck_assert_uint_eq(strlen(err.text), sizeof err.text - 1);
    err_context(&err, "row 5");
    ck_assert_uint_eq(strlen(err.text), sizeof err.text - 1);
    ck_assert_int_eq(strncmp(err.text, "row 5: xxx", 10), 0);
    // A context that leaves no room at all, or one character.
    for (size_t left = 0; left < 4; left++) {
        err_set(&err, ERR_KIND_DATA, "yz");
        err_context(&err, "%.*s", (int)(sizeof err.text - 1 - left), text);
        ck_assert_uint_eq(strlen(err.text), sizeof err.text - 1);
        ck_assert_str_eq(err.text + sizeof err.text - 2, left == 0   ? "x"
                                                         : left == 1 ? ":"
                                                         : left == 2 ? " "
                                                                     : "y");
    }
    err_context(&err, "%s", text); // longer than the room
    ck_assert_uint_eq(strlen(err.text), sizeof err.text - 1);
}
END_TEST

START_TEST(exit_codes_are_those_of_sysexits)
{
    static const struct {
        enum err_kind kind;
        int code;
    } cases[] = {
        {ERR_KIND_NONE, 0},         {ERR_KIND_USAGE, 64},  {ERR_KIND_DATA, 65},
        {ERR_KIND_UNAVAILABLE, 69}, {ERR_KIND_CONFIG, 78}, {ERR_KIND_INTERNAL, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ck_assert_int_eq(err_exit_code(cases[i].kind), cases[i].code);
    }
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("err");
    tcase_add_test(tests, set_fails_and_says_what);
    tcase_add_test(tests, nobody_needs_to_care);
    tcase_add_test(tests, context_goes_in_front_and_keeps_the_kind);
    tcase_add_test(tests, percent_signs_in_the_text_are_text);
    tcase_add_test(tests, what_does_not_fit_is_cut_at_the_end);
    tcase_add_test(tests, exit_codes_are_those_of_sysexits);
    tcase_set_timeout(tests, 20);
    Suite *suite = suite_create("err");
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
