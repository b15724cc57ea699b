#include "base/buf.h"
#include "suite.h"

#include <check.h>
#include <stdlib.h>

static void check_content(const struct buf *buf, struct str expected)
{
    ck_assert(str_equal(buf_peek(buf), expected));
    if (buf->data != NULL) {
        ck_assert_int_eq(buf->data[buf->len], '\0');
    }
}

START_TEST(is_empty_at_first)
{
    struct buf buf;
    buf_init(&buf, 10);
    check_content(&buf, STR(""));
    ck_assert_ptr_nonnull(buf_peek(&buf).ptr);
    buf_reset(&buf); // harmless before the first append
    buf_truncate(&buf, 0);
    buf_free(&buf);
    buf_free(&buf);
}
END_TEST

START_TEST(keeps_all_that_is_appended_and_a_nul_behind_it)
{
    struct buf buf;
    buf_init(&buf, 100);
    ck_assert(buf_append(&buf, "ab\0c", 4));
    check_content(&buf, STR("ab\0c"));
    ck_assert(buf_append_char(&buf, 'd'));
    check_content(&buf, STR("ab\0cd"));
    ck_assert(buf_append_str(&buf, STR("ef")));
    check_content(&buf, STR("ab\0cdef"));
    ck_assert(buf_printf(&buf, "%d|%s", 42, "x"));
    check_content(&buf, STR("ab\0cdef42|x"));
    ck_assert(buf_append(&buf, NULL, 0));
    ck_assert(buf_append_str(&buf, str_of(NULL)));
    check_content(&buf, STR("ab\0cdef42|x"));
    buf_free(&buf);
}
END_TEST

START_TEST(the_cap_is_the_most_content_and_reached_exactly)
{
    struct buf buf;
    buf_init(&buf, 4);
    ck_assert(buf_append(&buf, "abcd", 4));
    ck_assert(!buf_append_char(&buf, 'e'));
    check_content(&buf, STR("abcd"));
    buf_free(&buf);
    buf_init(&buf, 4);
    ck_assert(buf_printf(&buf, "%s", "abcd"));
    ck_assert(!buf_printf(&buf, "%s", "e"));
    ck_assert(buf_printf(&buf, "%s", ""));
    check_content(&buf, STR("abcd"));
    buf_free(&buf);
}
END_TEST

START_TEST(a_failed_append_changes_nothing)
{
    struct buf buf;
    buf_init(&buf, 5);
    ck_assert(buf_append_str(&buf, STR("abc")));
    ck_assert(!buf_append_str(&buf, STR("def")));
    check_content(&buf, STR("abc"));
    ck_assert(!buf_printf(&buf, "%s", "def"));
    check_content(&buf, STR("abc"));
    ck_assert(!buf_append(&buf, "x", SIZE_MAX)); // no sum that wraps round
    check_content(&buf, STR("abc"));
    ck_assert(buf_append_str(&buf, STR("de")));
    check_content(&buf, STR("abcde"));
    buf_free(&buf);
}
END_TEST

START_TEST(a_cap_of_zero_takes_nothing)
{
    struct buf buf;
    buf_init(&buf, 0);
    ck_assert(buf_append(&buf, "", 0));
    ck_assert(!buf_append_char(&buf, 'a'));
    check_content(&buf, STR(""));
    buf_free(&buf);
}
END_TEST

START_TEST(grows_over_many_appends)
{
    struct buf buf;
    buf_init(&buf, 100000);
    for (int i = 0; i < 10000; i++) {
        ck_assert(i % 2 == 0 ? buf_printf(&buf, "%05d", i) : buf_append(&buf, "12345", 5));
    }
    ck_assert_uint_eq(buf.len, 50000);
    ck_assert_int_eq(memcmp(buf.data, "0000012345", 10), 0);
    ck_assert_int_eq(memcmp(buf.data + 49990, "0999812345", 11), 0); // with the NUL
    buf_free(&buf);
}
END_TEST

START_TEST(reset_and_truncate_keep_the_memory)
{
    struct buf buf;
    buf_init(&buf, 10);
    ck_assert(buf_append_str(&buf, STR("abcdef")));
    const char *memory = buf.data;
    buf_truncate(&buf, 6);
    check_content(&buf, STR("abcdef"));
    buf_truncate(&buf, 2);
    check_content(&buf, STR("ab"));
    buf_reset(&buf);
    check_content(&buf, STR(""));
    ck_assert(buf_append_str(&buf, STR("0123456789"))); // the whole cap again
    ck_assert_ptr_eq(buf.data, memory);
    buf_free(&buf);
}
END_TEST

START_TEST(what_is_appended_within_a_reserve_is_not_moved)
{
    struct buf buf;
    buf_init(&buf, 10000);
    ck_assert(buf_append_str(&buf, STR("Authorization: ")));
    ck_assert(buf_reserve(&buf, 5000));
    const char *memory = buf.data;
    size_t room = buf.room;
    check_content(&buf, STR("Authorization: "));
    for (int i = 0; i < 1000; i++) {
        ck_assert(i % 2 == 0 ? buf_append(&buf, "12345", 5) : buf_printf(&buf, "%05d", i));
    }
    // Neither at another place nor, as realloc may, grown at this one.
    ck_assert_ptr_eq(buf.data, memory);
    ck_assert_uint_eq(buf.room, room);
    ck_assert_uint_eq(buf.len, 5015);
    ck_assert(!buf_reserve(&buf, 4986));
    ck_assert(!buf_reserve(&buf, SIZE_MAX));
    ck_assert(buf_reserve(&buf, 4985));
    buf_free(&buf);
}
END_TEST

START_TEST(taking_empties_it_and_keeps_the_cap)
{
    struct buf buf;
    buf_init(&buf, 3);
    char *nothing = buf_take(&buf);
    ck_assert_str_eq(nothing, "");
    free(nothing);
    ck_assert(buf_append_str(&buf, STR("abc")));
    char *text = buf_take(&buf);
    ck_assert_str_eq(text, "abc");
    free(text);
    check_content(&buf, STR(""));
    ck_assert(buf_append_str(&buf, STR("xyz")));
    ck_assert(!buf_append_char(&buf, '!'));
    buf_free(&buf);
    check_content(&buf, STR(""));
    ck_assert(buf_append_str(&buf, STR("xyz"))); // usable after free, with its cap
    ck_assert(!buf_append_char(&buf, '!'));
    buf_free(&buf);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("buf");
    tcase_add_test(tests, is_empty_at_first);
    tcase_add_test(tests, keeps_all_that_is_appended_and_a_nul_behind_it);
    tcase_add_test(tests, the_cap_is_the_most_content_and_reached_exactly);
    tcase_add_test(tests, a_failed_append_changes_nothing);
    tcase_add_test(tests, a_cap_of_zero_takes_nothing);
    tcase_add_test(tests, grows_over_many_appends);
    tcase_add_test(tests, reset_and_truncate_keep_the_memory);
    tcase_add_test(tests, what_is_appended_within_a_reserve_is_not_moved);
    tcase_add_test(tests, taking_empties_it_and_keeps_the_cap);
    tcase_set_timeout(tests, 20);
    Suite *suite = suite_create("buf");
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
