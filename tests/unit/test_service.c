#include "io/service.h"

#include "base/clock.h"
#include "suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static int manager;
static char text[512];

// An abstract socket: nothing is left of it.
static void setup(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int len = snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "imprint-sync-unit-%d",
                       (int)getpid());
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len);
    ck_assert_int_eq(bind(manager, (struct sockaddr *)&address, size), 0);
    char name[sizeof address.sun_path + 1];
    snprintf(name, sizeof name, "@%s", address.sun_path + 1);
    ck_assert_int_eq(setenv("NOTIFY_SOCKET", name, 1), 0);
}

static void teardown(void)
{
    close(manager);
}

static const char *told(void)
{
    ssize_t len = recv(manager, text, sizeof text - 1, 0);
    ck_assert_int_ge(len, 0);
    text[len] = '\0';
    return text;
}

START_TEST(the_manager_is_told_in_its_words)
{
    ck_assert(service_is_managed());
    service_ready();
    ck_assert_str_eq(told(), "READY=1");
    service_status("100 % sent");
    ck_assert_str_eq(told(), "STATUS=100 % sent");
    service_alive();
    ck_assert_str_eq(told(), "WATCHDOG=1");
    service_stopping();
    ck_assert_str_eq(told(), "STOPPING=1");
}
END_TEST

START_TEST(a_reload_carries_the_time_of_systemds_clock)
{
    struct timespec before;
    clock_gettime(CLOCK_MONOTONIC, &before);
    service_reloading();
    long long usec = 0;
    ck_assert_int_eq(strncmp(told(), "RELOADING=1\nMONOTONIC_USEC=", 27), 0);
    usec = strtoll(text + 27, NULL, 10);
    struct timespec after;
    clock_gettime(CLOCK_MONOTONIC, &after);
    ck_assert_int_ge(usec, (long long)before.tv_sec * 1000000 + before.tv_nsec / 1000);
    ck_assert_int_le(usec, (long long)after.tv_sec * 1000000 + after.tv_nsec / 1000);
}
END_TEST

START_TEST(without_a_manager_nothing_happens)
{
    ck_assert_int_eq(unsetenv("NOTIFY_SOCKET"), 0);
    ck_assert(!service_is_managed());
    service_ready();
    service_reloading();
    service_status("x");
    service_alive();
    service_stopping();
    char byte;
    ck_assert_int_lt(recv(manager, &byte, 1, MSG_DONTWAIT), 0);
}
END_TEST

START_TEST(the_watchdog_is_ours_alone)
{
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    ck_assert_int_eq(service_watchdog_ns(), 0);
    setenv("WATCHDOG_USEC", "2500000", 1);
    ck_assert_int_eq(service_watchdog_ns(), 2500 * CLOCK_NS_PER_MS);
    setenv("WATCHDOG_PID", "1", 1);
    ck_assert_int_eq(service_watchdog_ns(), 0);
    unsetenv("WATCHDOG_PID");
    setenv("WATCHDOG_USEC", "18446744073709551614", 1); // more than there are nanoseconds
    ck_assert_int_eq(service_watchdog_ns(), 0);
}
END_TEST

START_TEST(the_journal_is_where_standard_error_goes)
{
    unsetenv("JOURNAL_STREAM");
    ck_assert(!service_has_journal());
    setenv("JOURNAL_STREAM", "1:1", 1); // inherited from somebody whose it was
    ck_assert(!service_has_journal());
    struct stat status;
    char mine[64];
    ck_assert_int_eq(fstat(STDERR_FILENO, &status), 0);
    snprintf(mine, sizeof mine, "%llu:%llu", (unsigned long long)status.st_dev,
             (unsigned long long)status.st_ino);
    setenv("JOURNAL_STREAM", mine, 1);
    ck_assert(service_has_journal());
}
END_TEST

START_TEST(an_entry_without_a_journal_is_no_success)
{
    struct str fields[70]; // more than it takes
    for (size_t i = 0; i < 70; i++) {
        fields[i] = STR("A=b");
    }
    if (access("/run/systemd/journal/socket", F_OK) == 0) {
        return; // nothing is written to a real one
    }
    ck_assert(!service_send_journal(NULL, fields, 2));
    ck_assert(!service_send_journal(NULL, fields, 70));
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("service");
    tcase_add_test(tests, the_manager_is_told_in_its_words);
    tcase_add_test(tests, a_reload_carries_the_time_of_systemds_clock);
    tcase_add_test(tests, without_a_manager_nothing_happens);
    tcase_add_test(tests, the_watchdog_is_ours_alone);
    tcase_add_test(tests, the_journal_is_where_standard_error_goes);
    tcase_add_test(tests, an_entry_without_a_journal_is_no_success);
    tcase_add_checked_fixture(tests, setup, teardown);
    Suite *suite = suite_create("service");
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
