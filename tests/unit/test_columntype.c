#include "cases.h"
#include "domain/columntype.h"
#include "suite.h"

#include <check.h>

// Is `word` one of the words of a list?
static bool list_has(struct str list, const char *word)
{
    struct str item;
    bool more = !str_equal(list, STR("-"));
    while (more) {
        more = str_split(list, ' ', &item, &list);
        if (str_equal(item, str_of(word)) || str_equal(item, STR("all"))) {
            return true;
        }
    }
    return false;
}

static void check_case(const struct cases *cases)
{
    char name[64];
    ck_assert(cases->field[0].len < sizeof name);
    memcpy(name, cases->field[0].ptr, cases->field[0].len);
    name[cases->field[0].len] = '\0';
    char category = cases->field[1].ptr[0];
    for (int id = 0; id < FIELDTYPE_COUNT; id++) {
        const char *type = fieldtype_get((enum fieldtype_id)id)->name;
        bool fits = list_has(cases->field[2], type);
        enum columntype_fit wanted = fits                              ? COLUMNTYPE_FIT_FITS
                                     : list_has(cases->field[3], type) ? COLUMNTYPE_FIT_DOUBTFUL
                                                                       : COLUMNTYPE_FIT_NEVER;
        ck_assert_msg(columntype_fit(name, category, (enum fieldtype_id)id) == wanted,
                      "%s: %s as %s", cases->where, name, type);
        ck_assert((columntype_feeds(name, category) >> id & 1) == fits);
    }
    ck_assert_msg(columntype_has_members(name, category) == str_equal(cases->field[4], STR("yes")),
                  "%s: members", cases->where);
}

START_TEST(every_type_of_the_table)
{
    struct cases cases;
    cases_open(&cases, "columntype.tsv", 5);
    while (cases_next(&cases)) {
        check_case(&cases);
    }
    cases_close(&cases);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("columntype");
    TCase *tests = tcase_create("columntype");
    tcase_add_test(tests, every_type_of_the_table);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
