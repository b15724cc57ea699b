#include "base/str.h"
#include "suite.h"

#include <check.h>

static const struct str nothing = {NULL, 0};

START_TEST(null_is_the_empty_text)
{
    ck_assert_uint_eq(str_of(NULL).len, 0);
    ck_assert(str_equal(str_of(NULL), STR("")));
    ck_assert(str_equal_nocase(nothing, nothing));
    ck_assert(str_starts(nothing, nothing) && str_ends(nothing, nothing));
    ck_assert(str_starts(STR("a"), nothing) && str_ends(STR("a"), nothing));
    ck_assert(!str_starts(nothing, STR("a")) && !str_ends(nothing, STR("a")));
    ck_assert_uint_eq(str_trim(nothing).len, 0);
    ck_assert(str_is_utf8(nothing));
    ck_assert_uint_eq(str_utf8_count(nothing), 0);
    struct str head = STR("x");
    struct str tail = STR("x");
    ck_assert(!str_split(nothing, ',', &head, &tail));
    ck_assert(head.len == 0 && tail.len == 0);
}
END_TEST

START_TEST(equal_means_every_byte)
{
    ck_assert(str_equal(STR("abc"), STR("abc")));
    ck_assert(!str_equal(STR("abc"), STR("abC")));
    ck_assert(!str_equal(STR("abc"), STR("ab")));
    ck_assert(!str_equal(STR("a\0b"), STR("a\0c"))); // does not end at a NUL
}
END_TEST

START_TEST(nocase_folds_ascii_letters_only)
{
    ck_assert(str_equal_nocase(STR("aZ-09_"), STR("Az-09_")));
    ck_assert(!str_equal_nocase(STR("[@"), STR("{`"))); // next to the letters, 0x20 apart
    ck_assert(!str_equal_nocase(STR("\xC3\x84"), STR("\xC3\xA4")));
    ck_assert(!str_equal_nocase(STR("ab"), STR("abc")));
    ck_assert(!str_equal_nocase(STR("abc"), STR("abd")));
}
END_TEST

START_TEST(starts_and_ends_compare_at_the_right_place)
{
    ck_assert(str_starts(STR("prefix"), STR("pre")));
    ck_assert(!str_starts(STR("prefix"), STR("fix")));
    ck_assert(str_ends(STR("prefix"), STR("fix")));
    ck_assert(!str_ends(STR("prefix"), STR("pre")));
    ck_assert(str_starts(STR("ab"), STR("ab")) && str_ends(STR("ab"), STR("ab")));
    ck_assert(!str_starts(STR("ab"), STR("abc")) && !str_ends(STR("ab"), STR("cab")));
}
END_TEST

START_TEST(trims_all_ascii_white_space_and_nothing_else)
{
    static const struct {
        const char *text;
        const char *trimmed;
    } cases[] = {
        {" \t\n\v\f\ra b\r\f\v\n\t ", "a b"},
        {"a", "a"},
        {"", ""},
        {" \n ", ""},
        {"\x08 a", "\x08 a"},
        {"a\x0E", "a\x0E"},
        {"\xC2\xA0", "\xC2\xA0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct str trimmed = str_trim(str_of(cases[i].text));
        ck_assert_msg(str_equal(trimmed, str_of(cases[i].trimmed)), "case %zu", i);
    }
}
END_TEST

START_TEST(splits_at_the_first_separator)
{
    struct str head;
    struct str tail;
    ck_assert(str_split(STR("a=b=c"), '=', &head, &tail));
    ck_assert(str_equal(head, STR("a")) && str_equal(tail, STR("b=c")));
    ck_assert(str_split(STR("=b"), '=', &head, &tail));
    ck_assert(head.len == 0 && str_equal(tail, STR("b")));
    ck_assert(str_split(STR("a="), '=', &head, &tail));
    ck_assert(str_equal(head, STR("a")) && tail.len == 0);
    ck_assert(!str_split(STR("abc"), '=', &head, &tail));
    ck_assert(str_equal(head, STR("abc")) && tail.len == 0);
    const struct str cut = {"ab=c", 2}; // the separator lies behind the text
    ck_assert(!str_split(cut, '=', &head, &tail));
    ck_assert(str_equal(head, STR("ab")));
}
END_TEST

START_TEST(splits_in_place)
{
    struct str rest = STR("a,b,c");
    struct str head;
    ck_assert(str_split(rest, ',', &head, &rest));
    ck_assert(str_split(rest, ',', &head, &rest));
    ck_assert(str_equal(head, STR("b")) && str_equal(rest, STR("c")));
    ck_assert(!str_split(rest, ',', &head, &rest));
    ck_assert(str_equal(head, STR("c")) && rest.len == 0);
}
END_TEST

START_TEST(reads_whole_integers_that_fit)
{
    static const struct {
        const char *text;
        int64_t value;
    } cases[] = {
        {"0", 0},
        {"-0", 0},
        {"+7", 7},
        {"007", 7},
        {"1234567890", 1234567890},
        {"-42", -42},
        {"9223372036854775807", INT64_MAX},
        {"-9223372036854775808", INT64_MIN},
        {"-9223372036854775807", -INT64_MAX},
        {"00000000000000000000009223372036854775807", INT64_MAX},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t value = 99;
        ck_assert_msg(str_to_int64(str_of(cases[i].text), &value), "%s", cases[i].text);
        ck_assert_int_eq(value, cases[i].value);
    }
}
END_TEST

START_TEST(refuses_what_is_no_integer_or_does_not_fit)
{
    static const char *const cases[] = {
        "",
        "-",
        "+",
        "--1",
        "+-1",
        " 1",
        "1 ",
        "1.0",
        "0x10",
        "1e3",
        "12a",
        "1_000",
        "-+1",
        "a",
        "/",
        ":",
        "\xD9\xA1",
        "9223372036854775808",
        "-9223372036854775809",
        "99999999999999999999",
        "-99999999999999999999",
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t value = 99;
        ck_assert_msg(!str_to_int64(str_of(cases[i]), &value), "\"%s\"", cases[i]);
        ck_assert_int_eq(value, 99);
    }
    int64_t value = 99;
    ck_assert(!str_to_int64(STR("1\0"), &value));
    ck_assert(!str_to_int64(nothing, &value));
}
END_TEST

START_TEST(knows_well_formed_utf8)
{
    static const struct {
        const char *text;
        bool good;
    } cases[] = {
        {"plain", true},
        {"\xC2\x80\xDF\xBF", true},
        {"\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBF", true},
        {"\xF0\x90\x80\x80\xF4\x8F\xBF\xBF", true},
        {"\x80", false},             // no lead
        {"\xC0\x80", false},         // overlong
        {"\xC1\xBF", false},         // overlong
        {"\xE0\x9F\xBF", false},     // overlong
        {"\xF0\x8F\xBF\xBF", false}, // overlong
        {"\xED\xA0\x80", false},     // surrogate
        {"\xED\xBF\xBF", false},     // surrogate
        {"\xF4\x90\x80\x80", false}, // above U+10FFFF
        {"\xF5\x80\x80\x80", false}, //
        {"\xFF", false},             //
        {"\xC3", false},             // cut
        {"\xE2\x82", false},         // cut
        {"\xF0\x9F\x98", false},     // cut
        {"\xC3"
         "a",
         false}, // no trail
        {"\xE2\x82"
         "a",
         false}, // no trail
        {"\xE2"
         "a\x82",
         false}, // no trail
        {"\xF0\x9F\x98"
         "a",
         false},                         // no trail
        {"\xC3\xC3\xA4", false},         // lead for trail
        {"good until here \xC3", false}, //
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ck_assert_msg(str_is_utf8(str_of(cases[i].text)) == cases[i].good, "case %zu", i);
    }
    const struct str cut = {"\xE2\x82\xAC", 2}; // what would complete it is not part of it
    ck_assert(!str_is_utf8(cut));
    for (size_t at = 0; at < 24; at++) { // text is looked at in steps
        char text[] = "abcdefghijklmnopqrstuvwx";
        ck_assert(str_is_utf8(str_of(text)));
        text[at] = '\x80';
        ck_assert_msg(!str_is_utf8(str_of(text)), "at %zu", at);
    }
}
END_TEST

START_TEST(counts_code_points)
{
    ck_assert_uint_eq(str_utf8_count(STR("abc")), 3);
    ck_assert_uint_eq(str_utf8_count(STR("a\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80")), 4);
}
END_TEST

START_TEST(finds_what_was_meant)
{
    static const char *const names[] = {"timeout", "workers", "rate", "lease"};
    static const struct {
        const char *word;
        const char *nearest;
    } cases[] = {
        {"timeout", "timeout"}, {"tiemout", "timeout"}, {"TIMEOUT", "timeout"},
        {"worker", "workers"},  {"wrokers", "workers"}, {"rates", "rate"},
        {"laese", "lease"},     {"zzzzzzzz", NULL},     {"password", NULL},
        {"rzz", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *found = str_nearest(str_of(cases[i].word), names, 4);
        if (cases[i].nearest == NULL) {
            ck_assert_ptr_null(found);
        } else {
            ck_assert_ptr_nonnull(found);
            ck_assert_str_eq(found, cases[i].nearest);
        }
    }
    ck_assert_ptr_null(str_nearest(STR("rate"), names, 0));
}
END_TEST

START_TEST(the_nearest_of_several_wins)
{
    static const char *const names[] = {"retry_min", "retry_max", "retry_mix"};
    ck_assert_str_eq(str_nearest(STR("retry_mix"), names, 3), "retry_mix");
    ck_assert_str_eq(str_nearest(STR("retry_maxx"), names, 3), "retry_max");
}
END_TEST

START_TEST(a_word_of_hundreds_of_letters_is_near_to_nothing)
{
    char word[102];
    memset(word, 'a', sizeof word - 1);
    word[sizeof word - 1] = '\0';
    const char *const names[] = {word};
    ck_assert_ptr_null(str_nearest(str_of(word), names, 1));
    ck_assert_ptr_eq(str_nearest((struct str){word, 100}, names, 1), word);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("str");
    tcase_add_test(tests, null_is_the_empty_text);
    tcase_add_test(tests, equal_means_every_byte);
    tcase_add_test(tests, nocase_folds_ascii_letters_only);
    tcase_add_test(tests, starts_and_ends_compare_at_the_right_place);
    tcase_add_test(tests, trims_all_ascii_white_space_and_nothing_else);
    tcase_add_test(tests, splits_at_the_first_separator);
    tcase_add_test(tests, splits_in_place);
    tcase_add_test(tests, reads_whole_integers_that_fit);
    tcase_add_test(tests, refuses_what_is_no_integer_or_does_not_fit);
    tcase_add_test(tests, knows_well_formed_utf8);
    tcase_add_test(tests, counts_code_points);
    tcase_add_test(tests, finds_what_was_meant);
    tcase_add_test(tests, the_nearest_of_several_wins);
    tcase_add_test(tests, a_word_of_hundreds_of_letters_is_near_to_nothing);
    tcase_set_timeout(tests, 20);
    Suite *suite = suite_create("str");
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
