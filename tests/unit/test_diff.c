// Every key of the table, changed alone: it is found, in the right list, and kept or not.
#include "config/diff.h"

#include "base/mem.h"
#include "suite.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static struct config *before;
static struct config *after;

static void setup(void)
{
    before = mem_calloc(1, sizeof *before);
    after = mem_calloc(1, sizeof *after);
}

static void teardown(void)
{
    config_destroy(before);
    config_destroy(after);
}

static bool has_value(const struct key *key)
{
    return key->type != KEY_TYPE_SECTION && key->type != KEY_TYPE_TREE;
}

static bool is_text(const struct key *key)
{
    return key->type == KEY_TYPE_TEXT || key->type == KEY_TYPE_PATH;
}

// The last byte of a value counts as much as the first.
static void change_number(void *field, const struct key *key)
{
    switch (key->type) {
    case KEY_TYPE_RATE:
        ((struct config_rate *)field)->per_ns = 7;
        break;
    case KEY_TYPE_BOOL:
        *(bool *)field = true;
        break;
    case KEY_TYPE_ENUM:
        *(unsigned *)field = 1;
        break;
    case KEY_TYPE_OUTCOMES:
        ((enum verdict_outcome *)field)[VERDICT_STATUS_COUNT - 1] = VERDICT_OUTCOME_DEAD;
        break;
    case KEY_TYPE_INTEGER:
    case KEY_TYPE_DURATION:
        *(int64_t *)field = INT64_C(1) << 56;
        break;
    case KEY_TYPE_TEXT:
    case KEY_TYPE_PATH:
    case KEY_TYPE_SECTION:
    case KEY_TYPE_TREE:
        ck_abort_msg("%s is no number", key->path);
    }
}

static void set(struct config *config, const struct key *key, const char *text)
{
    void *field = keys_field(config, key);
    if (is_text(key)) {
        free(*(char **)field);
        *(char **)field = mem_strdup(text);
    } else {
        change_number(field, key);
    }
}

static void check_only(const struct key *key)
{
    const char *names[KEYS_MAX];
    ck_assert_uint_eq(diff_keys(before, after, !key->restart, names), 0);
    ck_assert_msg(diff_keys(before, after, key->restart, names) == 1, "%s is not found", key->path);
    ck_assert_str_eq(names[0], key->path);
}

START_TEST(each_key_is_found_alone)
{
    for (size_t i = 0; i < keys_count(); i++) {
        const struct key *key = keys_at(i);
        if (!has_value(key)) {
            continue;
        }
        teardown();
        setup();
        set(after, key, "new");
        check_only(key);
        if (is_text(key)) { // set now and before, and not set any more
            set(before, key, "old");
            check_only(key);
            free(*(char **)keys_field(after, key));
            *(char **)keys_field(after, key) = NULL;
            check_only(key);
        }
        const char *names[KEYS_MAX];
        diff_keep(before, after);
        ck_assert_uint_eq(diff_keys(before, after, true, names), 0);
        ck_assert_uint_eq(diff_keys(before, after, false, names), key->restart ? 0 : 1);
    }
}
END_TEST

START_TEST(many_are_listed_in_the_order_of_the_table)
{
    size_t changed = 0;
    size_t restart = 0;
    for (size_t i = 0; i < keys_count(); i++) {
        const struct key *key = keys_at(i);
        if (has_value(key)) {
            set(after, key, "new");
            restart += key->restart;
            changed += !key->restart;
        }
    }
    const char *names[KEYS_MAX];
    ck_assert_uint_eq(diff_keys(before, after, false, names), changed);
    for (size_t i = 1; i < changed; i++) {
        ck_assert_uint_lt(keys_find(str_of(names[i - 1])), keys_find(str_of(names[i])));
    }
    ck_assert_uint_eq(diff_keys(before, after, true, names), restart);
    ck_assert_uint_gt(restart, 0);
}
END_TEST

START_TEST(equal_texts_at_different_places_are_equal)
{
    const struct key *key = keys_at(keys_find(STR("imprint.base_url")));
    set(before, key, "https://dev.imprint.co");
    set(after, key, "https://dev.imprint.co");
    const char *names[KEYS_MAX];
    ck_assert_uint_eq(diff_keys(before, after, false, names), 0);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("diff");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, each_key_is_found_alone);
    tcase_add_test(tests, many_are_listed_in_the_order_of_the_table);
    tcase_add_test(tests, equal_texts_at_different_places_are_equal);
    Suite *suite = suite_create("diff");
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
