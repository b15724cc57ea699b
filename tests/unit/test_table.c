#include "app/table.h"
#include "suite.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static const struct table_column columns[] = {{"NAME", false}, {"COUNT", true}, {"REASON", false}};

// Each test is a process of its own, so its standard output may be replaced.
static void must_print_to(const struct table *table, int fd)
{
    fflush(stdout);
    ck_assert_int_eq(dup2(fd, STDOUT_FILENO), STDOUT_FILENO);
    table_print(table);
    fflush(stdout);
}

static void check_file(const struct table *table, const char *expected)
{
    FILE *file = tmpfile();
    ck_assert_ptr_nonnull(file);
    must_print_to(table, fileno(file));
    char text[1024] = "";
    rewind(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    ck_assert_str_eq(text, expected);
    fclose(file);
}

static void check_terminal(const struct table *table, unsigned short width, const char *expected)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    ck_assert_int_ge(master, 0);
    ck_assert_int_eq(grantpt(master), 0);
    ck_assert_int_eq(unlockpt(master), 0);
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    ck_assert_int_ge(slave, 0);
    struct termios plain;
    ck_assert_int_eq(tcgetattr(slave, &plain), 0);
    plain.c_oflag &= ~(tcflag_t)OPOST; // no carriage returns
    ck_assert_int_eq(tcsetattr(slave, TCSANOW, &plain), 0);
    struct winsize size = {.ws_row = 24, .ws_col = width};
    ck_assert_int_eq(ioctl(slave, TIOCSWINSZ, &size), 0);
    must_print_to(table, slave);
    char text[1024] = "";
    size_t len = 0;
    while (len < strlen(expected)) {
        ssize_t got = read(master, text + len, sizeof text - 1 - len);
        ck_assert_int_gt(got, 0);
        len += (size_t)got;
    }
    ck_assert_str_eq(text, expected);
    close(slave);
    close(master);
}

static struct table *table_of(const char *name, const char *count, const char *reason)
{
    struct table *table = table_create(columns, 3);
    table_add(table, name);
    table_add(table, count);
    table_add(table, reason);
    return table;
}

START_TEST(without_rows_only_the_heads_stand)
{
    struct table *table = table_create(columns, 3);
    check_file(table, "NAME  COUNT  REASON\n");
    table_destroy(table);
}
END_TEST

START_TEST(columns_are_as_wide_as_their_widest_cell)
{
    struct table *table = table_of("Zoë", "9223372036854775807", "ok");
    table_add(table, "custömer");
    table_add(table, NULL);
    table_add(table, "late");
    check_file(table, "NAME                    COUNT  REASON\n"
                      "Zoë       9223372036854775807  ok\n"
                      "custömer                       late\n");
    table_destroy(table);
}
END_TEST

START_TEST(control_characters_cannot_reach_the_terminal)
{
    struct table *table = table_of("a\033[2J\nb", "1", "x");
    check_file(table, "NAME     COUNT  REASON\na?[2J?b      1  x\n");
    table_destroy(table);
}
END_TEST

START_TEST(a_narrow_terminal_has_rows_go_on_indented)
{
    struct table *table = table_of("customer-1", "1", "a reason of some length");
    check_terminal(table, 30,
                   "NAME        COUNT\n    REASON\ncustomer-1      1\n"
                   "    a reason of some length\n");
    table_destroy(table);
}
END_TEST

START_TEST(a_wide_terminal_has_each_row_in_one_line)
{
    struct table *table = table_of("customer-1", "1", "a reason of some length");
    check_terminal(table, 200,
                   "NAME        COUNT  REASON\ncustomer-1      1  a reason of some length\n");
    table_destroy(table);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("table");
    tcase_add_test(tests, without_rows_only_the_heads_stand);
    tcase_add_test(tests, columns_are_as_wide_as_their_widest_cell);
    tcase_add_test(tests, control_characters_cannot_reach_the_terminal);
    tcase_add_test(tests, a_narrow_terminal_has_rows_go_on_indented);
    tcase_add_test(tests, a_wide_terminal_has_each_row_in_one_line);
    Suite *suite = suite_create("table");
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
