#include "cases.h"
#include "domain/fieldtype.h"
#include "domain/instant.h"
#include "suite.h"

#include <check.h>

enum { BUFFER_CAP = 4096 };

// What the options of one case come to.
struct setting {
    struct fieldtype_options options;
    struct zone *zone;
    struct str currency;
    int64_t wall_ns;
};

static void set_option(struct setting *setting, struct str key, struct str value)
{
    int64_t instant;
    if (str_equal(key, STR("max_length"))) {
        ck_assert(str_to_int64(value, &setting->options.max_length));
    } else if (str_equal(key, STR("calling_code"))) {
        setting->options.calling_code = value;
    } else if (str_equal(key, STR("timezone"))) {
        setting->zone = zone_fixed(value);
        ck_assert(setting->zone != NULL);
        setting->options.zone = setting->zone;
    } else if (str_equal(key, STR("currency"))) {
        setting->currency = value;
    } else if (str_equal(key, STR("now"))) {
        ck_assert(instant_parse(value, NULL, &instant) == INSTANT_RESULT_OK);
        setting->wall_ns = instant * 1000;
    } else {
        ck_abort_msg("no such option: %.*s", STR_ARG(key));
    }
}

static struct setting parse_setting(struct str text)
{
    struct setting setting = {.wall_ns = 0};
    while (text.len > 0 && !str_equal(text, STR("-"))) {
        struct str option;
        struct str key;
        struct str value;
        str_split(text, ',', &option, &text);
        ck_assert(str_split(option, '=', &key, &value));
        set_option(&setting, key, value);
    }
    return setting;
}

// Runs one case; the result stands in `out` behind what was there, or `*reason` is set.
static bool convert(struct str type_name, struct str options, struct str value, struct buf *out,
                    const char **reason)
{
    const struct fieldtype *type = fieldtype_find(type_name);
    ck_assert_msg(type != NULL, "no such type: %.*s", STR_ARG(type_name));
    struct buf scratch;
    buf_init(&scratch, BUFFER_CAP);
    struct setting setting = parse_setting(options);
    struct fieldtype_input input = {
        .value = jsontext_of(value),
        .options = &setting.options,
        .currency = setting.currency,
        .wall_ns = setting.wall_ns,
        .scratch = &scratch,
    };
    *reason = type->convert(&input, out);
    zone_destroy(setting.zone);
    buf_free(&scratch);
    return *reason == NULL;
}

START_TEST(converts_as_the_table_says)
{
    struct cases cases;
    struct buf out;
    buf_init(&out, BUFFER_CAP);
    cases_open(&cases, "fieldtype.tsv", 4);
    while (cases_next(&cases)) {
        const char *reason;
        buf_reset(&out);
        if (!convert(cases.field[0], cases.field[1], cases.field[2], &out, &reason)) {
            ck_assert_msg(out.len == 0, "%s: wrote beside a reason", cases.where);
            ck_assert(buf_printf(&out, "!%s", reason));
        }
        struct str got = buf_peek(&out);
        ck_assert_msg(str_equal(got, cases.field[3]), "%s: got %.*s", cases.where, STR_ARG(got));
    }
    cases_close(&cases);
    buf_free(&out);
}
END_TEST

START_TEST(every_result_is_json)
{
    struct cases cases;
    cases_open(&cases, "fieldtype.tsv", 4);
    while (cases_next(&cases)) {
        if (!str_starts(cases.field[3], STR("!"))) {
            struct err err = {.text = ""};
            ck_assert_msg(jsontext_check(cases.field[3], 32, &err), "%s: %s", cases.where,
                          err.text);
        }
    }
    cases_close(&cases);
}
END_TEST

START_TEST(a_full_buffer_is_a_reason_of_its_own)
{
    static const char *const rows[][3] = {
        {"text", "-", "\"abc\""},
        {"integer", "-", "12345"},
        {"email", "-", "\"a@b.de\""},
        {"phone", "-", "4155552671"},
        {"language", "-", "\"en\""},
        {"country", "-", "\"us\""},
        {"us_state", "-", "\"ca\""},
        {"currency", "-", "\"usd\""},
        {"minor_units", "currency=USD", "1.00"},
        {"timestamp", "-", "\"1969-01-01\""},
        {"months_since", "-", "\"1960-01-01\""},
        {"boolean", "-", "true"},
        {"json", "-", "[1]"},
    };
    ck_assert_uint_eq(sizeof rows / sizeof rows[0], FIELDTYPE_COUNT);
    for (size_t i = 0; i < FIELDTYPE_COUNT; i++) {
        struct buf out;
        buf_init(&out, 3);
        ck_assert(buf_append_char(&out, 'k'));
        const char *reason;
        ck_assert(
            !convert(str_of(rows[i][0]), str_of(rows[i][1]), str_of(rows[i][2]), &out, &reason));
        ck_assert_msg(reason == fieldtype_too_big, "%s", rows[i][0]);
        ck_assert_msg(str_equal(buf_peek(&out), STR("k")), "%s", rows[i][0]);
        buf_free(&out);
    }
}
END_TEST

START_TEST(a_full_scratch_buffer_is_the_same_reason)
{
    struct buf out;
    struct buf scratch;
    buf_init(&out, BUFFER_CAP);
    buf_init(&scratch, 5);
    struct fieldtype_options options = {.max_length = 0};
    struct fieldtype_input input = {
        .value = jsontext_of(STR("\"abcdefghi\"")), .options = &options, .scratch = &scratch};
    const struct fieldtype *type = fieldtype_get(FIELDTYPE_ID_TEXT);
    ck_assert_ptr_eq(type->convert(&input, &out), fieldtype_too_big);
    ck_assert_uint_eq(out.len, 0);
    buf_free(&out);
    buf_free(&scratch);
}
END_TEST

START_TEST(email_has_at_most_254_bytes)
{
    // 2 + 62 times "abc." + "abcd" is 254
    struct buf json;
    struct buf out;
    buf_init(&json, BUFFER_CAP);
    buf_init(&out, BUFFER_CAP);
    ck_assert(buf_append_str(&json, STR("\"a@")));
    for (int i = 0; i < 62; i++) {
        ck_assert(buf_append_str(&json, STR("abc.")));
    }
    ck_assert(buf_append_str(&json, STR("abcd\"")));
    ck_assert_uint_eq(json.len, 254 + 2);
    const char *reason;
    ck_assert(convert(STR("email"), STR("-"), buf_peek(&json), &out, &reason));
    buf_truncate(&json, json.len - 1);
    ck_assert(buf_append_str(&json, STR("e\"")));
    ck_assert(!convert(STR("email"), STR("-"), buf_peek(&json), &out, &reason));
    buf_free(&json);
    buf_free(&out);
}
END_TEST

START_TEST(missing_values_have_a_reason)
{
    static const enum jsontext_kind kinds[] = {JSONTEXT_KIND_ABSENT, JSONTEXT_KIND_NULL};
    struct buf out;
    struct buf scratch;
    buf_init(&out, BUFFER_CAP);
    buf_init(&scratch, BUFFER_CAP);
    struct fieldtype_options options = {.max_length = 0};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct fieldtype_input input = {
            .value = {.kind = kinds[i]}, .options = &options, .scratch = &scratch};
        const char *reason = fieldtype_get(FIELDTYPE_ID_EMAIL)->convert(&input, &out);
        ck_assert(reason != NULL && str_equal(str_of(reason), STR("has no value")));
    }
    buf_free(&out);
    buf_free(&scratch);
}
END_TEST

START_TEST(the_table_is_complete)
{
    for (size_t id = 0; id < FIELDTYPE_COUNT; id++) {
        const struct fieldtype *type = fieldtype_get((enum fieldtype_id)id);
        ck_assert(type->id == id && fieldtype_find(str_of(type->name)) == type);
        ck_assert(strlen(type->help) > 10);
    }
}
END_TEST

START_TEST(other_names_are_no_types)
{
    ck_assert(fieldtype_find(STR("")) == NULL);
    ck_assert(fieldtype_find(STR("Text")) == NULL);
    ck_assert(fieldtype_find(STR("tex")) == NULL);
}
END_TEST

static void check_makes(enum fieldtype_id id, enum fieldtype_makes makes)
{
    ck_assert_int_eq(fieldtype_get(id)->makes, makes);
}

START_TEST(types_say_what_they_make)
{
    check_makes(FIELDTYPE_ID_MINOR_UNITS, FIELDTYPE_MAKES_INTEGER);
    check_makes(FIELDTYPE_ID_BOOLEAN, FIELDTYPE_MAKES_BOOLEAN);
    check_makes(FIELDTYPE_ID_TIMESTAMP, FIELDTYPE_MAKES_STRING);
    check_makes(FIELDTYPE_ID_JSON, FIELDTYPE_MAKES_ANY);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fieldtype");
    TCase *tcase = tcase_create("fieldtype");
    tcase_add_test(tcase, converts_as_the_table_says);
    tcase_add_test(tcase, every_result_is_json);
    tcase_add_test(tcase, a_full_buffer_is_a_reason_of_its_own);
    tcase_add_test(tcase, a_full_scratch_buffer_is_the_same_reason);
    tcase_add_test(tcase, email_has_at_most_254_bytes);
    tcase_add_test(tcase, missing_values_have_a_reason);
    tcase_add_test(tcase, the_table_is_complete);
    tcase_add_test(tcase, other_names_are_no_types);
    tcase_add_test(tcase, types_say_what_they_make);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
