#include "cases.h"
#include "domain/codes.h"
#include "suite.h"

#include <check.h>
#include <stdlib.h>

static const char *currency_code(struct str text)
{
    const struct codes_currency *currency = codes_currency(text);
    return currency == NULL ? NULL : currency->code;
}

static const struct {
    const char *kind;
    const char *(*find)(struct str text);
} kinds[] = {
    {"country", codes_country},
    {"us_state", codes_us_state},
    {"language", codes_language},
    {"currency", currency_code},
};

static const char *find(const struct cases *cases)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (str_equal(cases->field[0], str_of(kinds[i].kind))) {
            return kinds[i].find(cases->field[1]);
        }
    }
    ck_abort_msg("%s: no such kind", cases->where);
}

START_TEST(finds_as_the_table_says)
{
    struct cases cases;
    cases_open(&cases, "codes.tsv", 3);
    while (cases_next(&cases)) {
        const char *code = find(&cases);
        struct str got = code == NULL ? STR("!") : str_of(code);
        ck_assert_msg(str_equal(got, cases.field[2]), "%s: got %.*s", cases.where, STR_ARG(got));
    }
    cases_close(&cases);
}
END_TEST

// How many of all words of `len` letters are codes: a table that is out of order loses some.
static size_t count_words(const char *(*lookup)(struct str text), size_t len)
{
    size_t words = len == 2 ? 26 * 26 : 26 * 26 * 26;
    size_t found = 0;
    for (size_t word = 0; word < words; word++) {
        char text[3];
        size_t rest = word;
        for (size_t i = 0; i < len; i++) {
            text[i] = (char)('A' + rest % 26);
            rest /= 26;
        }
        found += lookup((struct str){text, len}) != NULL;
    }
    return found;
}

START_TEST(knows_every_code)
{
    ck_assert_uint_eq(count_words(codes_country, 2), 249 + 1); // and UK
    // and UAE, KSA, PRC, DRC
    ck_assert_uint_eq(count_words(codes_country, 3), 249 + 4);
    ck_assert_uint_eq(count_words(codes_us_state, 2), 50 + 1 + 6 + 3 + 3);
    ck_assert_uint_eq(count_words(codes_language, 2), 184 + 3); // and in, iw, ji
    ck_assert_uint_eq(count_words(currency_code, 3), 165);
}
END_TEST

static const char *unusual_currency(struct str text)
{
    const struct codes_currency *currency = codes_currency(text);
    return currency == NULL || currency->exponent == 2 ? NULL : currency->code;
}

START_TEST(most_currencies_have_hundredths)
{
    ck_assert_uint_eq(count_words(unusual_currency, 3), 17 + 7 + 2);
}
END_TEST

START_TEST(knows_the_minor_units)
{
    static const struct {
        const char *codes;
        int64_t exponent;
    } rows[] = {
        {"BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF", 0},
        {"USD EUR GBP CAD MXN CHF MGA MRU", 2},
        {"BHD IQD JOD KWD LYD OMR TND", 3},
        {"CLF UYW", 4},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct str rest = str_of(rows[i].codes);
        while (rest.len > 0) {
            struct str code;
            str_split(rest, ' ', &code, &rest);
            const struct codes_currency *currency = codes_currency(code);
            ck_assert_msg(currency != NULL, "%.*s", STR_ARG(code));
            ck_assert_msg(currency->exponent == rows[i].exponent, "%.*s", STR_ARG(code));
        }
    }
}
END_TEST

// Texts that end within a character, in memory that ends with them.
START_TEST(takes_any_bytes)
{
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        for (int byte = 0; byte < 256; byte++) {
            char *text = malloc(3);
            text[0] = 'e';
            text[1] = 'n';
            text[2] = (char)byte;
            kinds[k].find((struct str){text, 3});
            kinds[k].find((struct str){text + 2, 1});
            ck_assert(kinds[k].find((struct str){text, 0}) == NULL);
            free(text);
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("codes");
    TCase *tcase = tcase_create("codes");
    tcase_add_test(tcase, finds_as_the_table_says);
    tcase_add_test(tcase, knows_every_code);
    tcase_add_test(tcase, most_currencies_have_hundredths);
    tcase_add_test(tcase, knows_the_minor_units);
    tcase_add_test(tcase, takes_any_bytes);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
