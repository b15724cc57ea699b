#include "cases.h"
#include "domain/jsontext.h"
#include "suite.h"

#include <check.h>
#include <stdlib.h>

enum { DEPTH_OF_TABLE = 8 };

static struct str decoded(const char *json, struct buf *out)
{
    buf_reset(out);
    ck_assert_msg(jsontext_decode(jsontext_of(str_of(json)), out), "%s", json);
    return buf_peek(out);
}

static void check_text(struct str got, struct str expected)
{
    ck_assert_msg(str_equal(got, expected), "got \"%.*s\", not \"%.*s\"", STR_ARG(got),
                  STR_ARG(expected));
}

static void check_member(const char *object, const char *key, const char *expected)
{
    struct jsontext value = jsontext_member(jsontext_of(str_of(object)), str_of(key));
    ck_assert_msg(value.kind != JSONTEXT_KIND_ABSENT, "%s has no %s", object, key);
    check_text(value.text, str_of(expected));
}

static void check_no_member(const char *object, const char *key)
{
    struct jsontext value = jsontext_member(jsontext_of(str_of(object)), str_of(key));
    ck_assert_msg(value.kind == JSONTEXT_KIND_ABSENT, "%s has %s", object, key);
}

// ---- checking ----

START_TEST(checks_as_the_table_says)
{
    struct cases cases;
    cases_open(&cases, "json.tsv", 2);
    while (cases_next(&cases)) {
        struct err err = {.text = ""};
        bool good = jsontext_check(cases.field[1], DEPTH_OF_TABLE, &err);
        ck_assert_msg(good == str_equal(cases.field[0], STR("ok")), "%s: %s", cases.where,
                      err.text);
    }
    cases_close(&cases);
}
END_TEST

START_TEST(refuses_every_document_cut_short)
{
    struct str whole =
        STR("{\"a\":[1,-2.5e+7,true,null,\"x\\u00e9\\n\"],\"b\":{\"c\":\"\xC3\xA9\"}}");
    ck_assert(jsontext_check(whole, 8, NULL));
    for (size_t len = 0; len < whole.len; len++) {
        char *copy = malloc(len + 1); // so that a byte too many is one outside
        memcpy(copy, whole.ptr, len);
        ck_assert_msg(!jsontext_check((struct str){copy, len}, 8, NULL), "cut at %zu", len);
        free(copy);
    }
}
END_TEST

START_TEST(refuses_bytes_that_no_text_has)
{
    ck_assert(!jsontext_check(STR("\"\n\""), 8, NULL));
    ck_assert(!jsontext_check(STR("\"\t\""), 8, NULL));
    ck_assert(!jsontext_check(STR("\"\x1f\""), 8, NULL));
    ck_assert(!jsontext_check(STR("\"\0\""), 8, NULL));
    ck_assert(!jsontext_check(STR("\0"), 8, NULL));
    ck_assert(!jsontext_check(STR("1\0"), 8, NULL));
    ck_assert(!jsontext_check(STR("1\f"), 8, NULL));
    ck_assert(jsontext_check(STR("\"\x7f\""), 8, NULL));
    ck_assert(jsontext_check(STR("\t\r\n 1\t\r\n "), 8, NULL));
    ck_assert(!jsontext_check(STR("\"\xff\""), 8, NULL));
    ck_assert(!jsontext_check(STR("\"\xc3\""), 8, NULL));
    ck_assert(!jsontext_check(STR("\"\xed\xa0\x80\""), 8, NULL)); // a surrogate
    ck_assert(!jsontext_check(STR("\"\xc0\x80\""), 8, NULL));     // overlong
    ck_assert(!jsontext_check((struct str){.len = 0}, 8, NULL));
}
END_TEST

START_TEST(counts_depth_exactly)
{
    ck_assert(jsontext_check(STR("1"), 0, NULL));
    ck_assert(!jsontext_check(STR("[]"), 0, NULL));
    ck_assert(jsontext_check(STR("[[],[]]"), 2, NULL));
    ck_assert(!jsontext_check(STR("[[],[[]]]"), 2, NULL));
    ck_assert_uint_eq(jsontext_depth(jsontext_of(STR("1"))), 0);
    ck_assert_uint_eq(jsontext_depth(jsontext_of(STR("\"[[\""))), 0);
    ck_assert_uint_eq(jsontext_depth(jsontext_of(STR("{}"))), 1);
    ck_assert_uint_eq(jsontext_depth(jsontext_of(STR("[{\"a\":[\"]]\"]},[]]"))), 3);
}
END_TEST

// A million brackets: depth costs heap within the limit, and no stack.
START_TEST(depth_costs_no_stack)
{
    size_t half = 500000;
    char *text = malloc(2 * half);
    struct err err;
    memset(text, '[', half);
    memset(text + half, ']', half);
    struct str deep = {text, 2 * half};
    ck_assert(jsontext_check(deep, half, NULL) && !jsontext_check(deep, half - 1, &err));
    check_text(str_of(err.text), STR("not JSON: too deep a nesting at byte 499999"));
    ck_assert(jsontext_depth(jsontext_of(deep)) == half);
    struct jsontext_walk walk = jsontext_walk_begin(jsontext_of(deep));
    ck_assert(jsontext_walk_next(&walk));
    ck_assert(!jsontext_walk_next(&walk) && !walk.broken);
    free(text);
}
END_TEST

START_TEST(errors_name_the_place_and_never_the_content)
{
    struct err err;
    ck_assert(!jsontext_check(STR("{\"secret\":tru}"), 8, &err));
    ck_assert_int_eq(err.kind, ERR_KIND_DATA);
    ck_assert_str_eq(err.text, "not JSON: no value where one is due at byte 10");
    ck_assert(!jsontext_check(STR("[\"secret"), 8, &err));
    ck_assert_str_eq(err.text, "not JSON: a string that does not end at byte 8");
    ck_assert(!jsontext_check(STR("[1"), 8, &err));
    ck_assert_str_eq(err.text, "not JSON: the end at byte 2");
    ck_assert(!jsontext_check(STR("[\"a\\q\"]"), 8, &err));
    ck_assert_str_eq(err.text, "not JSON: a wrong escape at byte 3");
}
END_TEST

// ---- values ----

// Strings hold what no text has; all else is as strict as ever.
// Strings are read eight letters at a time: one that is special is found at any place of them.
START_TEST(finds_a_special_letter_anywhere)
{
    static const char letters[] = "\"\\\x01\x1f\n \x7f";
    struct err err = {.kind = ERR_KIND_NONE};
    for (size_t at = 0; at < 24; at++) {
        for (const char *letter = letters; *letter != '\0'; letter++) {
            char text[] = "[\"aaaaaaaaaaaaaaaaaaaaaaaa\"]";
            text[2 + at] = *letter;
            bool plain = *letter == ' ' || *letter == '\x7f';
            ck_assert_int_eq(jsontext_check(str_of(text), 8, &err), plain);
            struct jsontext_walk walk = jsontext_walk_begin(jsontext_of(str_of(text)));
            bool ends = at < 23 || *letter != '\\'; // else the closing quote is escaped
            ck_assert_int_eq(jsontext_walk_next(&walk), ends);
            ck_assert_uint_eq(walk.value.text.len, !ends ? 0 : *letter == '"' ? at + 2 : 26);
        }
    }
}
END_TEST

START_TEST(the_form_is_checked_without_the_strings)
{
    static const struct {
        const char *text;
        bool well_formed;
    } cases[] = {
        {"{\"a\":\"\xFF\"}", true},
        {"[\"\\ud83d\",\"\\q\",\"\n\"]", true},
        {"{\"\x01\":[1,2]}", true},
        {"\"\\\"", false},
        {"", false},
        {"{\"a\":\"b}", false},
        {"{\"a\":1,}", false},
        {"[\"a\"] x", false},
        {"[01]", false},
        {"[[[1]]]", false}, // deeper than 2
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ck_assert_msg(jsontext_check_form(str_of(cases[i].text), 2) == cases[i].well_formed,
                      "case %zu", i);
    }
}
END_TEST

START_TEST(tells_kinds_apart)
{
    static const struct {
        const char *text;
        enum jsontext_kind kind;
    } rows[] = {
        {"null", JSONTEXT_KIND_NULL},     {"true", JSONTEXT_KIND_BOOLEAN},
        {"false", JSONTEXT_KIND_BOOLEAN}, {"0", JSONTEXT_KIND_NUMBER},
        {"-1", JSONTEXT_KIND_NUMBER},     {"\"\"", JSONTEXT_KIND_STRING},
        {"[]", JSONTEXT_KIND_ARRAY},      {" {} ", JSONTEXT_KIND_OBJECT},
        {"", JSONTEXT_KIND_ABSENT},       {" ", JSONTEXT_KIND_ABSENT},
        {"nil", JSONTEXT_KIND_ABSENT},    {"trues", JSONTEXT_KIND_ABSENT},
        {"x", JSONTEXT_KIND_ABSENT},      {"}", JSONTEXT_KIND_ABSENT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ck_assert_msg(jsontext_of(str_of(rows[i].text)).kind == rows[i].kind, "%s", rows[i].text);
    }
    check_text(jsontext_of(STR(" \n{} ")).text, STR("{}"));
}
END_TEST

START_TEST(numbers_keep_their_digits)
{
    check_member("{\"a\":90071992547409.93}", "a", "90071992547409.93");
    check_member("{\"a\": 12345678901234567890123 }", "a", "12345678901234567890123");
    check_member("{\"a\":-9223372036854775809,\"b\":1}", "a", "-9223372036854775809");
    check_member("{\"a\":1.500}", "a", "1.500");
}
END_TEST

START_TEST(finds_members)
{
    const char *object = "{\"a\": 1, \"b\" : {\"a\": 2, \"c\": \"}\\\"]\"} ,\"c\":[1,{\"d\":4}],"
                         "\"d\":\"x, \\\"e\\\": 5\", \"\": null}";
    check_member(object, "a", "1");
    check_member(object, "b", "{\"a\": 2, \"c\": \"}\\\"]\"}");
    check_member(object, "c", "[1,{\"d\":4}]");
    check_member(object, "d", "\"x, \\\"e\\\": 5\"");
    check_member(object, "", "null");
    check_no_member(object, "e");
    check_no_member(object, "A");
    check_no_member("{}", "a");
    check_no_member("[\"a\",1]", "a");
    check_no_member("\"a\"", "a");
    check_no_member("", "a");
}
END_TEST

START_TEST(the_last_of_equal_members_wins)
{
    check_member("{\"a\":1,\"b\":2,\"a\":3}", "a", "3");
    check_member("{\"a\":1,\"\\u0061\":3}", "a", "3");
}
END_TEST

START_TEST(keys_compare_decoded)
{
    ck_assert(jsontext_key_equal(STR("abc"), STR("abc")));
    ck_assert(jsontext_key_equal(STR("a\\u0062c"), STR("abc")));
    ck_assert(jsontext_key_equal(STR("\\u00e9"), STR("\xC3\xA9")));
    ck_assert(jsontext_key_equal(STR("\xC3\xA9"), STR("\xC3\xA9")));
    ck_assert(jsontext_key_equal(STR("\\ud83d\\ude00"), STR("\xF0\x9F\x98\x80")));
    ck_assert(jsontext_key_equal(STR("\\\\\\\"\\/"), STR("\\\"/")));
    ck_assert(jsontext_key_equal(STR(""), STR("")));
    ck_assert(jsontext_key_equal((struct str){.len = 0}, STR("")));
    ck_assert(!jsontext_key_equal((struct str){.len = 0}, STR("a")));
    ck_assert(!jsontext_key_equal(STR("abc"), STR("ab")));
    ck_assert(!jsontext_key_equal(STR("ab"), STR("abc")));
    ck_assert(!jsontext_key_equal(STR("abc"), STR("abd")));
    ck_assert(!jsontext_key_equal(STR("a\\n"), STR("a\\n"))); // same bytes, other text
    ck_assert(!jsontext_key_equal(STR("a\\u006"), STR("a")));
    ck_assert(!jsontext_key_equal(STR("a\\"), STR("a\\")));
}
END_TEST

START_TEST(walks_items)
{
    static const char *const expected[] = {"1", "\"a,]\"", "[2,3]", "{\"b\":4}", "null"};
    struct jsontext_walk walk =
        jsontext_walk_begin(jsontext_of(STR("[1, \"a,]\",[2,3] ,{\"b\":4},\nnull ]")));
    size_t count = 0;
    while (jsontext_walk_next(&walk)) {
        ck_assert(count < 5 && walk.key.len == 0);
        check_text(walk.value.text, str_of(expected[count++]));
    }
    ck_assert(count == 5 && !walk.broken);
    ck_assert(!jsontext_walk_next(&walk) && !walk.broken);
}
END_TEST

START_TEST(walks_members_with_their_raw_keys)
{
    struct jsontext_walk walk =
        jsontext_walk_begin(jsontext_of(STR("{\"a\\u0062\":1,\"\":2 , \"\\\"}\" :3}")));
    ck_assert(jsontext_walk_next(&walk));
    check_text(walk.key, STR("a\\u0062"));
    ck_assert(jsontext_walk_next(&walk));
    check_text(walk.key, STR(""));
    ck_assert(jsontext_walk_next(&walk));
    check_text(walk.key, STR("\\\"}"));
    check_text(walk.value.text, STR("3"));
    ck_assert(!jsontext_walk_next(&walk) && !walk.broken);
}
END_TEST

START_TEST(walks_of_scalars_are_empty)
{
    static const char *const texts[] = {"1", "\"[1]\"", "null", "", "[]", "{}", "[ ]"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct jsontext_walk walk = jsontext_walk_begin(jsontext_of(str_of(texts[i])));
        ck_assert_msg(!jsontext_walk_next(&walk) && !walk.broken, "%s", texts[i]);
    }
}
END_TEST

static bool walk_breaks(struct str text)
{
    struct jsontext_walk walk = jsontext_walk_begin(jsontext_of(text));
    while (jsontext_walk_next(&walk)) {
        ck_assert(walk.value.text.ptr >= text.ptr);
        ck_assert(walk.value.text.ptr + walk.value.text.len <= text.ptr + text.len);
    }
    return walk.broken;
}

START_TEST(a_key_without_a_colon_has_no_value)
{
    struct jsontext_walk walk = jsontext_walk_begin(jsontext_of(STR("{\"a\" 12}")));
    ck_assert(!jsontext_walk_next(&walk) && walk.broken);
}
END_TEST

START_TEST(ill_formed_text_ends_the_walk)
{
    static const char *const texts[] = {
        "[",       "{",        "[1",        "[1,",       "[1,]",       "[1 2]",
        "[,1]",    "[tru]",    "[\"a]",     "[[1]",      "[{]",        "{\"a\"",
        "{\"a\":", "{\"a\":}", "{\"a\" 1}", "{1:2}",     "{\"a\":1,}", "{\"a\":1 \"b\":2}",
        "[1]x",    "{} {}",    "[1}",       "{\"a\":1]", "[\"\\",      "{\"\\\"",
        "[1]]",    "[:]",      "[1,,2]"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        ck_assert_msg(walk_breaks(str_of(texts[i])), "%s", texts[i]);
    }
}
END_TEST

// Whatever a byte becomes and wherever the text ends: nothing outside of it is read.
START_TEST(walks_stay_inside_of_any_text)
{
    struct str whole =
        STR("{\"a\\u0061\":[1,\"\\\\\\\"\",{\"b\":null}],\"c\":-1.5e3,\"d\":\"\\ud83d\\ude00\"}");
    static const char bytes[] = "{}[]\",:\\ u0tn-";
    struct buf out;
    buf_init(&out, 1000);
    for (size_t i = 0; i < whole.len * sizeof bytes; i++) {
        size_t len = i / sizeof bytes + 1;
        char *copy = malloc(len);
        memcpy(copy, whole.ptr, len);
        copy[len - 1 - i % len] = bytes[i % sizeof bytes];
        struct jsontext value = jsontext_of((struct str){copy, len});
        walk_breaks(value.text);
        jsontext_depth(value);
        jsontext_member(value, STR("aa"));
        buf_reset(&out);
        ck_assert(!jsontext_decode(value, &out) || value.kind == JSONTEXT_KIND_STRING);
        free(copy);
    }
    buf_free(&out);
}
END_TEST

// ---- strings ----

START_TEST(decodes_strings)
{
    struct buf out;
    buf_init(&out, 1000);
    check_text(decoded("\"\"", &out), STR(""));
    check_text(decoded("\"abc\"", &out), STR("abc"));
    check_text(decoded("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", &out), STR("\"\\/\b\f\n\r\t"));
    check_text(decoded("\"\\u0041\\u00e9\\u00FF\\u20ac\\uffff\"", &out),
               STR("A\xC3\xA9\xC3\xBF\xE2\x82\xAC\xEF\xBF\xBF"));
    check_text(decoded("\"x\\ud83d\\ude00y\\uDBFF\\uDFFF\"", &out),
               STR("x\xF0\x9F\x98\x80y\xF4\x8F\xBF\xBF"));
    check_text(decoded("\"a\\u0000b\"", &out), STR("a\0b"));
    check_text(decoded("\"\\u007f\\u0080\\u07ff\\u0800\"", &out),
               STR("\x7f\xC2\x80\xDF\xBF\xE0\xA0\x80"));
    check_text(decoded("\"\\ud7ff\\ue000\\ud800\\udc00\"", &out),
               STR("\xED\x9F\xBF\xEE\x80\x80\xF0\x90\x80\x80"));
    check_text(decoded("\"\xE5\xB1\xB1 \\n\"", &out), STR("\xE5\xB1\xB1 \n"));
    buf_free(&out);
}
END_TEST

START_TEST(refuses_wrong_escapes_and_leaves_the_buffer)
{
    static const char *const texts[] = {
        "\"",          "\"abc",       "\"\\\"",      "\"x\\q\"",
        "\"x\\u12\"",  "\"\\ud83d\"", "\"\\ude00\"", "\"\\ud83d\\u0041\"",
        "\"\\ud83d\\", "1",           "[]",          ""};
    struct buf out;
    buf_init(&out, 1000);
    ck_assert(buf_append_str(&out, STR("kept")));
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct jsontext value = jsontext_of(str_of(texts[i]));
        ck_assert_msg(!jsontext_decode(value, &out), "%s", texts[i]);
        check_text(buf_peek(&out), STR("kept"));
    }
    buf_free(&out);
}
END_TEST

START_TEST(encodes_only_what_json_demands)
{
    struct buf out;
    buf_init(&out, 1000);
    ck_assert(
        jsontext_encode(STR("a \"\\/\b\f\n\r\t\x01\x1f\x7f\xC3\xA9\xF0\x9F\x98\x80<>&'"), &out));
    check_text(buf_peek(&out),
               STR("\"a \\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\xC3\xA9\xF0\x9F\x98\x80<>&'\""));
    buf_reset(&out);
    ck_assert(jsontext_encode(STR(""), &out) && jsontext_encode((struct str){.len = 0}, &out));
    check_text(buf_peek(&out), STR("\"\"\"\""));
    buf_reset(&out);
    ck_assert(jsontext_encode(STR("\0"), &out));
    check_text(buf_peek(&out), STR("\"\\u0000\""));
    buf_free(&out);
}
END_TEST

START_TEST(decoding_undoes_encoding)
{
    struct buf encoded;
    struct buf plain;
    char all[128];
    for (size_t i = 0; i < sizeof all; i++) {
        all[i] = (char)i;
    }
    buf_init(&encoded, 2000);
    buf_init(&plain, 2000);
    struct str text = {all, sizeof all};
    ck_assert(jsontext_encode(text, &encoded));
    ck_assert(jsontext_check(buf_peek(&encoded), 0, NULL));
    ck_assert(jsontext_decode(jsontext_of(buf_peek(&encoded)), &plain));
    check_text(buf_peek(&plain), text);
    buf_free(&encoded);
    buf_free(&plain);
}
END_TEST

START_TEST(a_full_buffer_stays_as_it_was)
{
    for (size_t cap = 1; cap < 12; cap++) {
        struct buf out;
        buf_init(&out, cap);
        ck_assert(buf_append_char(&out, 'k'));
        bool fits = jsontext_encode(STR("ab\ncd"), &out); // eight bytes
        ck_assert_msg(fits == (cap >= 9), "cap %zu", cap);
        buf_truncate(&out, fits ? 1 : out.len);
        check_text(buf_peek(&out), STR("k"));
        fits = jsontext_decode(jsontext_of(STR("\"ab\\ncd\"")), &out); // five bytes
        ck_assert_msg(fits == (cap >= 6), "cap %zu", cap);
        ck_assert(fits || out.len == 1);
        buf_free(&out);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("jsontext");
    TCase *tcase = tcase_create("jsontext");
    tcase_add_test(tcase, checks_as_the_table_says);
    tcase_add_test(tcase, refuses_every_document_cut_short);
    tcase_add_test(tcase, refuses_bytes_that_no_text_has);
    tcase_add_test(tcase, counts_depth_exactly);
    tcase_add_test(tcase, depth_costs_no_stack);
    tcase_add_test(tcase, errors_name_the_place_and_never_the_content);
    tcase_add_test(tcase, finds_a_special_letter_anywhere);
    tcase_add_test(tcase, the_form_is_checked_without_the_strings);
    tcase_add_test(tcase, tells_kinds_apart);
    tcase_add_test(tcase, numbers_keep_their_digits);
    tcase_add_test(tcase, finds_members);
    tcase_add_test(tcase, the_last_of_equal_members_wins);
    tcase_add_test(tcase, keys_compare_decoded);
    tcase_add_test(tcase, walks_items);
    tcase_add_test(tcase, walks_members_with_their_raw_keys);
    tcase_add_test(tcase, walks_of_scalars_are_empty);
    tcase_add_test(tcase, a_key_without_a_colon_has_no_value);
    tcase_add_test(tcase, ill_formed_text_ends_the_walk);
    tcase_add_test(tcase, walks_stay_inside_of_any_text);
    tcase_add_test(tcase, decodes_strings);
    tcase_add_test(tcase, refuses_wrong_escapes_and_leaves_the_buffer);
    tcase_add_test(tcase, encodes_only_what_json_demands);
    tcase_add_test(tcase, decoding_undoes_encoding);
    tcase_add_test(tcase, a_full_buffer_stays_as_it_was);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
