// The compiled mapping, built by hand: columns, paths, steps, and the table of targets.
#include "domain/mapping.h"
#include "domain/target.h"
#include "suite.h"

#include <check.h>
#include <stdio.h>

static void must_add(struct mapping *mapping, const char *name, const char *path)
{
    struct err err;
    struct mapping_leaf leaf = {.target = name, .type = fieldtype_get(FIELDTYPE_ID_TEXT)};
    ck_assert(mapping_path_compile(mapping, str_of(path), &leaf.from, &err));
    ck_assert(mapping_add(mapping, str_of(name), &leaf, &err));
}

START_TEST(numbers_columns_in_order_of_first_use)
{
    struct mapping *mapping = mapping_create();
    must_add(mapping, "a", "zip");
    must_add(mapping, "b", "address.line1");
    must_add(mapping, "c", "address.line2");
    must_add(mapping, "d", "zip");
    must_add(mapping, "e", "city");
    ck_assert_uint_eq(mapping_column_count(mapping), 3);
    ck_assert_str_eq(mapping_column_name(mapping, 0), "zip");
    ck_assert_str_eq(mapping_column_name(mapping, 1), "address");
    ck_assert_str_eq(mapping_column_name(mapping, 2), "city");
    mapping_destroy(mapping);
}
END_TEST

START_TEST(finds_every_one_of_many_columns)
{
    struct mapping *mapping = mapping_create();
    char name[32];
    for (int i = 0; i < 500; i++) {
        snprintf(name, sizeof name, "c%d", i * 7919 % 500);
        must_add(mapping, "metadata", name);
    }
    for (size_t i = 0; i < 500; i++) {
        ck_assert_uint_eq(mapping_column_find(mapping, str_of(mapping_column_name(mapping, i))), i);
    }
    const char *const strangers[] = {"", "c", "c500", "C1", "c1 ", "d1", "\\u00631x"};
    for (size_t i = 0; i < sizeof strangers / sizeof strangers[0]; i++) {
        ck_assert_uint_eq(mapping_column_find(mapping, str_of(strangers[i])), MAPPING_NO_COLUMN);
    }
    mapping_destroy(mapping);
}
END_TEST

START_TEST(compares_raw_keys_with_their_escapes_decoded)
{
    struct mapping *mapping = mapping_create();
    must_add(mapping, "a", "email");
    must_add(mapping, "b", "a\"b");
    must_add(mapping, "c", "prénom");
    ck_assert_uint_eq(mapping_column_find(mapping, STR("e\\u006dail")), 0);
    ck_assert_uint_eq(mapping_column_find(mapping, STR("a\\\"b")), 1);
    ck_assert_uint_eq(mapping_column_find(mapping, STR("pr\\u00E9nom")), 2);
    ck_assert_uint_eq(mapping_column_find(mapping, STR("pr\xC3\xA9nom")), 2);
    ck_assert_uint_eq(mapping_column_find(mapping, STR("e\\u006eail")), MAPPING_NO_COLUMN);
    ck_assert_uint_eq(mapping_column_find(mapping, STR("email\\")), MAPPING_NO_COLUMN);
    mapping_destroy(mapping);
}
END_TEST

START_TEST(splits_paths)
{
    struct mapping *mapping = mapping_create();
    struct mapping_path path;
    struct err err;
    ck_assert(mapping_path_compile(mapping, STR("address.geo.lat"), &path, &err));
    ck_assert_uint_eq(path.key_count, 2);
    ck_assert(str_equal(path.keys[0], STR("geo")));
    ck_assert(str_equal(path.keys[1], STR("lat")));
    ck_assert_str_eq(path.text.ptr, "address.geo.lat");
    ck_assert_str_eq(mapping_column_name(mapping, path.column), "address");
    mapping_destroy(mapping);
}
END_TEST

START_TEST(refuses_paths_that_name_nothing)
{
    struct mapping *mapping = mapping_create();
    struct mapping_path path;
    struct err err;
    const char *const wrong[] = {"", ".", "a.", ".a", "a..b", "a.b.c.d.e.f.g.h.i"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        ck_assert(!mapping_path_compile(mapping, str_of(wrong[i]), &path, &err));
        ck_assert_int_eq(err.kind, ERR_KIND_CONFIG);
    }
    ck_assert(mapping_path_compile(mapping, STR("a.b.c.d.e.f.g.h"), &path, &err));
    mapping_destroy(mapping);
}
END_TEST

START_TEST(keeps_the_steps_in_order)
{
    struct mapping *mapping = mapping_create();
    must_add(mapping, "email", "email");
    mapping_open(mapping, STR("metadata"));
    must_add(mapping, "a\"b", "x");
    mapping_close(mapping);
    const struct mapping_step *steps = mapping_steps(mapping);
    ck_assert_uint_eq(mapping_step_count(mapping), 4);
    ck_assert_int_eq(steps[0].kind, MAPPING_STEP_KIND_LEAF);
    ck_assert_str_eq(steps[0].member.ptr, "\"email\":");
    ck_assert_int_eq(steps[1].kind, MAPPING_STEP_KIND_OPEN);
    ck_assert_str_eq(steps[1].member.ptr, "\"metadata\":");
    ck_assert_str_eq(steps[2].member.ptr, "\"a\\\"b\":");
    ck_assert_uint_eq(steps[2].leaf, 1);
    ck_assert_int_eq(steps[3].kind, MAPPING_STEP_KIND_CLOSE);
    ck_assert_ptr_eq(mapping_leaf_find(mapping, STR("email")), mapping_leaf_at(mapping, 0));
    ck_assert_ptr_null(mapping_leaf_find(mapping, STR("phone")));
    mapping_destroy(mapping);
}
END_TEST

START_TEST(finds_what_the_map_makes_of_a_value)
{
    struct mapping *mapping = mapping_create();
    struct err err;
    struct mapping_choice choices[] = {
        {.key = STR("silver"), .result = {JSONTEXT_KIND_STRING, STR("\"S\"")}},
        {.key = STR("1"), .result = {JSONTEXT_KIND_NUMBER, STR("10")}},
        {.key = STR(""), .result = {JSONTEXT_KIND_NULL, STR("null")}},
        {.key = STR("gold"), .result = {JSONTEXT_KIND_STRING, STR("\"G\"")}},
    };
    struct mapping_leaf leaf = {.target = "loyalty_tier",
                                .type = fieldtype_get(FIELDTYPE_ID_TEXT),
                                .choices = choices,
                                .choice_count = 4};
    ck_assert(mapping_path_compile(mapping, STR("tier"), &leaf.from, &err));
    ck_assert(mapping_add(mapping, STR("loyalty_tier"), &leaf, &err));
    const struct mapping_leaf *added = mapping_leaf_at(mapping, 0);
    ck_assert(str_equal(mapping_choice_find(added, STR("gold"))->text, STR("\"G\"")));
    ck_assert(str_equal(mapping_choice_find(added, STR("silver"))->text, STR("\"S\"")));
    ck_assert(str_equal(mapping_choice_find(added, STR("1"))->text, STR("10")));
    ck_assert_int_eq(mapping_choice_find(added, STR(""))->kind, JSONTEXT_KIND_NULL);
    ck_assert_ptr_null(mapping_choice_find(added, STR("Gold")));
    mapping_destroy(mapping);
}
END_TEST

START_TEST(refuses_a_map_with_a_key_twice)
{
    struct mapping *mapping = mapping_create();
    struct err err;
    struct mapping_choice choices[] = {{.key = STR("a")}, {.key = STR("b")}, {.key = STR("a")}};
    struct mapping_leaf leaf = {.choices = choices, .choice_count = 3};
    ck_assert(!mapping_add(mapping, STR("x"), &leaf, &err));
    ck_assert_str_eq(err.text, "has the key \"a\" twice");
    mapping_destroy(mapping);
}
END_TEST

static void check_target(const struct target *target)
{
    bool metadata = str_starts(str_of(target->path), STR("metadata."));
    ck_assert(target_takes(target, target->type));
    ck_assert(target_find(str_of(target->path)) == target);
    ck_assert(strlen(target->help) > 0);
    ck_assert(!target_is_object(str_of(target->path)));
    ck_assert(target_takes(target, FIELDTYPE_ID_JSON) == metadata);
}

START_TEST(every_target_takes_its_own_type_and_is_found)
{
    for (size_t i = 0; i < target_count(); i++) {
        check_target(target_at(i));
    }
    ck_assert(target_find(STR("metadata.any name.at all")) == target_at(target_count() - 1));
}
END_TEST

START_TEST(knows_what_is_no_target)
{
    const char *const strangers[] = {"",          "emai",    "customer_history",  "metadata",
                                     "metadata.", "email.x", "customer_history.", "address.city"};
    for (size_t i = 0; i < sizeof strangers / sizeof strangers[0]; i++) {
        ck_assert_msg(target_find(str_of(strangers[i])) == NULL, "%s", strangers[i]);
    }
}
END_TEST

START_TEST(knows_the_objects)
{
    ck_assert(target_is_object(STR("")));
    ck_assert(target_is_object(STR("customer_history.address")));
    ck_assert(target_is_object(STR("metadata")));
    ck_assert(!target_is_object(STR("address")));
}
END_TEST

START_TEST(lists_the_members_of_an_object)
{
    const char *names[32];
    ck_assert_uint_eq(target_members(STR("customer_history.address"), names, 32), 6);
    ck_assert_str_eq(names[5], "country");
    ck_assert_uint_eq(target_members(STR("customer_history"), names, 32), 12);
    ck_assert_str_eq(names[11], "address");
    ck_assert_uint_eq(target_members(STR(""), names, 32), 12);
    ck_assert_uint_eq(target_members(STR("metadata"), names, 32), 0);
    ck_assert_uint_eq(target_members(STR(""), names, 2), 12);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mapping");
    TCase *tests = tcase_create("mapping");
    tcase_add_test(tests, numbers_columns_in_order_of_first_use);
    tcase_add_test(tests, finds_every_one_of_many_columns);
    tcase_add_test(tests, compares_raw_keys_with_their_escapes_decoded);
    tcase_add_test(tests, splits_paths);
    tcase_add_test(tests, refuses_paths_that_name_nothing);
    tcase_add_test(tests, keeps_the_steps_in_order);
    tcase_add_test(tests, finds_what_the_map_makes_of_a_value);
    tcase_add_test(tests, refuses_a_map_with_a_key_twice);
    tcase_add_test(tests, every_target_takes_its_own_type_and_is_found);
    tcase_add_test(tests, knows_what_is_no_target);
    tcase_add_test(tests, knows_the_objects);
    tcase_add_test(tests, lists_the_members_of_an_object);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
