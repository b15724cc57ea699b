#include "cases.h"
#include "domain/phone.h"
#include "suite.h"

#include <check.h>
#include <stdlib.h>

START_TEST(normalises_as_the_table_says)
{
    struct cases cases;
    cases_open(&cases, "phone.tsv", 3);
    while (cases_next(&cases)) {
        bool plain = str_equal(cases.field[0], STR("-"));
        char number[PHONE_BYTES] = "";
        const char *reason =
            phone_to_e164(cases.field[1], plain ? STR("") : cases.field[0], number);
        struct str got = reason == NULL ? str_of(number) : STR("!");
        ck_assert_msg(str_equal(got, cases.field[2]), "%s: got %.*s", cases.where, STR_ARG(got));
    }
    cases_close(&cases);
}
END_TEST

START_TEST(accepts_its_own_results)
{
    struct cases cases;
    cases_open(&cases, "phone.tsv", 3);
    while (cases_next(&cases)) {
        if (!str_equal(cases.field[2], STR("!"))) {
            char number[PHONE_BYTES];
            ck_assert_msg(phone_to_e164(cases.field[2], STR("44"), number) == NULL, "%s",
                          cases.where);
            ck_assert_msg(str_equal(str_of(number), cases.field[2]), "%s", cases.where);
        }
    }
    cases_close(&cases);
}
END_TEST

static const char *reason_of(const char *text)
{
    char number[PHONE_BYTES];
    return phone_to_e164(str_of(text), STR(""), number);
}

START_TEST(says_what_is_wrong)
{
    ck_assert_str_eq(reason_of("n/a"), "is not a phone number");
    ck_assert_str_eq(reason_of("(115) 555-2671"), "is not a North American phone number");
    ck_assert_str_eq(reason_of("+4420"), "has too few or too many digits for a phone number");
    ck_assert_str_eq(reason_of(""), "is not a phone number");
}
END_TEST

// Every byte, alone and behind a number: nothing is read beyond the text.
START_TEST(takes_any_bytes)
{
    for (int byte = 0; byte < 256; byte++) {
        char text[11] = "4155552671";
        char number[PHONE_BYTES];
        char *exact = malloc(1);
        exact[0] = (char)byte;
        text[10] = (char)byte;
        ck_assert(phone_to_e164((struct str){exact, 1}, STR(""), number) != NULL);
        const char *reason = phone_to_e164((struct str){text, 11}, STR(""), number);
        ck_assert(reason != NULL || strcmp(number, "+14155552671") == 0);
        free(exact);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("phone");
    TCase *tcase = tcase_create("phone");
    tcase_add_test(tcase, normalises_as_the_table_says);
    tcase_add_test(tcase, accepts_its_own_results);
    tcase_add_test(tcase, says_what_is_wrong);
    tcase_add_test(tcase, takes_any_bytes);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
