#include "io/file.h"
#include "suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SECRET_MAX_BYTES = 65536 };

static char path[64];

static void make_file(void)
{
    snprintf(path, sizeof path, "/tmp/test_file-XXXXXX");
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    close(fd);
}

static void remove_file(void)
{
    unlink(path);
}

static void must_write(const char *bytes, size_t len)
{
    FILE *file = fopen(path, "we");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, len, file), len);
    ck_assert_int_eq(fclose(file), 0);
}

START_TEST(white_space_at_the_end_is_no_part_of_a_secret)
{
    static const struct {
        const char *content;
        const char *secret;
    } cases[] = {
        {"key", "key"},           {"key\n", "key"},     {"key\r\n", "key"},
        {"key \t\r\n\n ", "key"}, {" a key", " a key"}, {"\xC3\xA4\xFF\n", "\xC3\xA4\xFF"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        must_write(cases[i].content, strlen(cases[i].content));
        char *secret = NULL;
        struct err err = {.kind = ERR_KIND_NONE};
        ck_assert_msg(file_read_secret(path, &secret, &err), "%s", err.text);
        ck_assert_str_eq(secret, cases[i].secret);
        free(secret);
    }
}
END_TEST

// The text names the path, what is wrong and never the content.
static void check_refused(const char *bytes, size_t len, const char *reason)
{
    must_write(bytes, len);
    char *secret = NULL;
    struct err err = {.kind = ERR_KIND_NONE};
    ck_assert(!file_read_secret(path, &secret, &err));
    ck_assert_int_eq(err.kind, ERR_KIND_CONFIG);
    ck_assert_ptr_nonnull(strstr(err.text, path));
    ck_assert_msg(strstr(err.text, reason) != NULL, "%s", err.text);
    ck_assert_ptr_null(strstr(err.text, "hunter"));
    ck_assert_ptr_null(secret);
}

START_TEST(refuses_what_holds_no_secret)
{
    check_refused("", 0, "is empty");
    check_refused(" \t\r\n", 4, "is empty");
}
END_TEST

START_TEST(refuses_control_characters_inside)
{
    static const struct {
        const char *bytes;
        size_t len;
    } cases[] = {
        {"hunter\nhunter", 13}, {"\nhunter", 7},          {"hunter\thunter", 13},
        {"hunter\0hunter", 13}, {"hunter\0", 7},          {"hunter\0\n", 8},
        {"hunter\x7F", 7},      {"hunter\x1Fhunter", 13}, {"\0", 1},
        {"hunter\v\n", 8},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        check_refused(cases[i].bytes, cases[i].len, "control character");
    }
}
END_TEST

START_TEST(the_bound_is_64_kib)
{
    char *bytes = malloc(SECRET_MAX_BYTES + 1);
    memset(bytes, 'k', SECRET_MAX_BYTES + 1);
    must_write(bytes, SECRET_MAX_BYTES);
    char *secret = NULL;
    struct err err = {.kind = ERR_KIND_NONE};
    ck_assert(file_read_secret(path, &secret, &err));
    ck_assert_uint_eq(strlen(secret), SECRET_MAX_BYTES);
    free(secret);
    check_refused(bytes, SECRET_MAX_BYTES + 1, "over 64 KiB");
    memset(bytes, '\n', SECRET_MAX_BYTES + 1); // also when what is behind is white space
    check_refused(bytes, SECRET_MAX_BYTES + 1, "over 64 KiB");
    free(bytes);
}
END_TEST

START_TEST(says_which_file_cannot_be_read_and_why)
{
    char *secret = NULL;
    struct err err = {.kind = ERR_KIND_NONE};
    ck_assert(!file_read_secret("/nonexistent/key", &secret, &err));
    ck_assert_int_eq(err.kind, ERR_KIND_CONFIG);
    ck_assert_str_eq(err.text, "cannot read /nonexistent/key: No such file or directory");
    ck_assert(!file_read_secret("/tmp", &secret, &err));
    ck_assert_str_eq(err.text, "cannot read /tmp: Is a directory");
    ck_assert_ptr_null(secret);
}
END_TEST

START_TEST(refuses_a_file_that_others_may_access)
{
    static const mode_t open_modes[] = {0604, 0602, 0601, 0644};
    static const mode_t right_modes[] = {0600, 0640, 0660};
    must_write("hunter", 6);
    struct err err = {.kind = ERR_KIND_NONE};
    for (size_t i = 0; i < sizeof open_modes / sizeof open_modes[0]; i++) {
        ck_assert_int_eq(chmod(path, open_modes[i]), 0);
        check_refused("hunter", 6, "chmod o=");
    }
    for (size_t i = 0; i < sizeof right_modes / sizeof right_modes[0]; i++) {
        char *secret = NULL;
        ck_assert_int_eq(chmod(path, right_modes[i]), 0);
        ck_assert(file_read_secret(path, &secret, &err));
        free(secret);
    }
}
END_TEST

START_TEST(a_credential_of_systemd_may_have_any_mode)
{
    char *secret = NULL;
    struct err err = {.kind = ERR_KIND_NONE};
    must_write("hunter", 6);
    ck_assert_int_eq(chmod(path, 0644), 0);
    ck_assert_int_eq(setenv("CREDENTIALS_DIRECTORY", "/tmp", 1), 0);
    ck_assert_msg(file_read_secret(path, &secret, &err), "%s", err.text);
    free(secret);
    ck_assert_int_eq(setenv("CREDENTIALS_DIRECTORY", "/tm", 1), 0);
    check_refused("hunter", 6, "chmod o=");
    ck_assert_int_eq(unsetenv("CREDENTIALS_DIRECTORY"), 0);
}
END_TEST

START_TEST(a_stamp_tells_a_file_from_another)
{
    must_write("one", 3);
    struct file_stamp first = file_stamp(path);
    struct file_stamp second = file_stamp(path);
    ck_assert(file_stamp_equal(&first, &second));
    must_write("two, longer", 11);
    second = file_stamp(path);
    ck_assert(!file_stamp_equal(&first, &second));
    // Replaced by one of the same size: another inode, whatever the clock's resolution.
    char other[80];
    snprintf(other, sizeof other, "%s-other", path);
    ck_assert_int_eq(rename(path, other), 0);
    must_write("xxx, longer", 11);
    first = file_stamp(path);
    ck_assert(!file_stamp_equal(&first, &second));
    ck_assert_int_eq(unlink(other), 0);
}
END_TEST

START_TEST(a_stamp_tells_a_file_from_none)
{
    must_write("", 0);
    struct file_stamp there = file_stamp(path);
    struct file_stamp missing = file_stamp("/nonexistent/key");
    ck_assert(!file_stamp_equal(&there, &missing));
    ck_assert_uint_eq(missing.inode, 0);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("file");
    tcase_add_test(tests, white_space_at_the_end_is_no_part_of_a_secret);
    tcase_add_test(tests, refuses_what_holds_no_secret);
    tcase_add_test(tests, refuses_control_characters_inside);
    tcase_add_test(tests, the_bound_is_64_kib);
    tcase_add_test(tests, says_which_file_cannot_be_read_and_why);
    tcase_add_test(tests, refuses_a_file_that_others_may_access);
    tcase_add_test(tests, a_credential_of_systemd_may_have_any_mode);
    tcase_add_test(tests, a_stamp_tells_a_file_from_another);
    tcase_add_test(tests, a_stamp_tells_a_file_from_none);
    tcase_add_checked_fixture(tests, make_file, remove_file);
    tcase_set_timeout(tests, 20);
    Suite *suite = suite_create("file");
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
