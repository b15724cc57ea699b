#include "domain/answer.h"
#include "suite.h"

#include <check.h>

#define SEC INT64_C(1000000000)

static struct answer answer;

static void setup(void)
{
    answer_init(&answer);
}

static void header(const char *line)
{
    answer_header(&answer, str_of(line));
}

static void check_pause_s(int64_t seconds)
{
    ck_assert_int_eq(answer_pause_ns(&answer), seconds * SEC);
}

START_TEST(begins_with_nothing)
{
    ck_assert_int_eq(answer.transport, ANSWER_TRANSPORT_NOT_SENT);
    ck_assert_int_eq(answer.status, 0);
    check_pause_s(0);
}
END_TEST

START_TEST(dates_of_all_three_forms_are_read)
{
    static const struct {
        const char *text;
        int64_t seconds;
    } dates[] = {
        {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777},
        {"Sunday, 06-Nov-94 08:49:37 GMT", 784111777},
        {"Sun Nov  6 08:49:37 1994", 784111777},
        {"Sun Nov 16 08:49:37 1994", 784975777},
        {"  Thu, 01 Jan 1970 00:00:00 GMT\r\n", 0},
        {"Tue, 29 Feb 2000 23:59:60 GMT", 951868800},
        {"thu, 29 feb 2024 12:00:00 gmt", 1709208000},
        {"Wednesday, 01-Jan-25 00:00:00 GMT", 1735689600},
        {"Fri, 31 Dec 9999 23:59:59 GMT", 253402300799},
    };
    for (size_t i = 0; i < sizeof dates / sizeof dates[0]; i++) {
        int64_t seconds = -1;
        ck_assert_msg(answer_parse_date(str_of(dates[i].text), &seconds), "%s", dates[i].text);
        ck_assert_msg(seconds == dates[i].seconds, "%s: %lld", dates[i].text, (long long)seconds);
    }
}
END_TEST

START_TEST(other_texts_are_no_dates)
{
    static const char *const texts[] = {
        "",
        "120",
        "Sun",
        "Sun, ",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 CET",
        "Sun, 06 Nov 1994 08:49:37 GMT junk",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 29 Feb 2100 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Foo 1994 08:49:37 GMT",
        "Sun, 06 Nov 1969 08:49:37 GMT",
        "Foo, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06-Nov-94 08:49:37 GMT",
        "Sunday, 06 Nov 1994 08:49:37 GMT",
        "Sun Nov 6 08:49:37 1994",
        "Sun Nov  6 08:49:37 1994 GMT",
        "1994-11-06T08:49:37Z",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        int64_t seconds = -1;
        ck_assert_msg(!answer_parse_date(str_of(texts[i]), &seconds), "%s", texts[i]);
        ck_assert_int_eq(seconds, -1);
    }
}
END_TEST

// Header lines (NULL ends them) and the pause they ask for.
struct pause_case {
    const char *lines[6];
    int64_t seconds;
};

static const struct pause_case pauses[] = {
    {{"Retry-After: 120"}, 120},
    {{"retry-after:120\r\n"}, 120},
    {{"RETRY-AFTER:  7  \r\n"}, 7},
    {{"Retry-After: 1.2"}, 2},
    {{"Retry-After: 3.0"}, 3},
    {{"Retry-After: 0"}, 0},
    {{"Retry-After: -5"}, 0},
    {{"Retry-After: +5"}, 0},
    {{"Retry-After: 5 s"}, 0},
    {{"Retry-After: 1."}, 0},
    {{"Retry-After: .5"}, 0},
    {{"Retry-After:"}, 0},
    {{"Retry-After"}, 0},
    {{"Retry-After: soon"}, 0},
    {{"X-Retry-After: 5"}, 0},
    {{"Retry-After : 5"}, 0},
    {{"Retry-After: 3601"}, 3600},
    {{"Retry-After: 1000000000"}, 3600},
    {{"Retry-After: 99999999999999999999999999"}, 3600},
    {{"Retry-After: 5", "Retry-After: junk"}, 5},
    // dates count against the answer's own Date, whatever our clock says
    {{"Date: Sun, 06 Nov 1994 08:49:37 GMT", "Retry-After: Sun, 06 Nov 1994 08:50:00 GMT"}, 23},
    {{"Retry-After: Sun, 06 Nov 1994 08:50:00 GMT", "Date: Sun, 06 Nov 1994 08:49:37 GMT"}, 23},
    {{"Date: Sun Nov  6 08:49:37 1994", "Retry-After: Sunday, 06-Nov-94 08:50:07 GMT"}, 30},
    {{"Date: Fri, 01 Jan 2100 00:00:00 GMT", "Retry-After: Fri, 01 Jan 2100 00:00:09 GMT"}, 9},
    {{"Date: Sun, 06 Nov 1994 08:49:37 GMT", "Retry-After: Sun, 06 Nov 1994 08:49:00 GMT"}, 0},
    {{"Date: Sun, 06 Nov 1994 08:49:37 GMT", "Retry-After: Fri, 31 Dec 2094 08:50:00 GMT"}, 3600},
    {{"Retry-After: Fri, 31 Dec 2094 08:50:00 GMT"}, 0},
    {{"Date: yesterday", "Retry-After: Fri, 31 Dec 2094 08:50:00 GMT"}, 0},
    // rate limits: only when nothing remains
    {{"RateLimit-Remaining: 0", "RateLimit-Reset: 30"}, 30},
    {{"ratelimit-remaining: 0", "ratelimit-reset: 30"}, 30},
    {{"X-RateLimit-Remaining: 0", "X-RateLimit-Reset: 30"}, 30},
    {{"RateLimit-Remaining: 1", "RateLimit-Reset: 30"}, 0},
    {{"RateLimit-Remaining: none", "RateLimit-Reset: 30"}, 0},
    {{"RateLimit-Reset: 30"}, 0},
    {{"RateLimit-Remaining: 0"}, 0},
    {{"RateLimit-Remaining: 0", "X-RateLimit-Reset: 30"}, 0},
    {{"X-RateLimit-Remaining: 0", "X-RateLimit-Reset: 784111807",
      "Date: Sun, 06 Nov 1994 08:49:37 GMT"},
     3600}, // below 10^9: a duration
    {{"X-RateLimit-Remaining: 0", "X-RateLimit-Reset: 1735689612",
      "Date: Wed, 01 Jan 2025 00:00:00 GMT"},
     12},
    {{"X-RateLimit-Remaining: 0", "X-RateLimit-Reset: 1735689612.5",
      "Date: Wed, 01 Jan 2025 00:00:00 GMT"},
     13},
    {{"X-RateLimit-Remaining: 0", "X-RateLimit-Reset: 1735689612"}, 0}, // no Date to count from
    {{"X-RateLimit-Remaining: 0", "X-RateLimit-Reset: 1735689612000",
      "Date: Wed, 01 Jan 2025 00:00:00 GMT"},
     3600},
    {{"RateLimit-Remaining: 0", "RateLimit-Reset: 1000000000"}, 3600},
    {{"RateLimit-Remaining: 0", "RateLimit-Reset: 10", "Retry-After: 20"}, 20},
    {{"RateLimit-Remaining: 0", "RateLimit-Reset: 30", "Retry-After: 20"}, 30},
    // a status line starts over: those were a proxy's or an interim answer's
    {{"HTTP/1.1 200 Connection established", "Retry-After: 99", "HTTP/1.1 429 Too Many"}, 0},
    {{"HTTP/1.1 429 wait: a bit", "Retry-After: 99", ""}, 99},
};

START_TEST(headers_say_how_long_to_stay_away)
{
    for (size_t i = 0; i < sizeof pauses / sizeof pauses[0]; i++) {
        answer_init(&answer);
        for (size_t j = 0; j < 6 && pauses[i].lines[j] != NULL; j++) {
            header(pauses[i].lines[j]);
        }
        ck_assert_msg(answer_pause_ns(&answer) == pauses[i].seconds * SEC, "%s ...: %lld s",
                      pauses[i].lines[0], (long long)(answer_pause_ns(&answer) / SEC));
    }
}
END_TEST

START_TEST(with_429_a_reset_counts_unless_something_remains)
{
    answer.status = 429;
    header("X-RateLimit-Reset: 30");
    check_pause_s(30);
    header("X-RateLimit-Remaining: 5"); // of another limit then
    check_pause_s(0);
}
END_TEST

START_TEST(overlong_lines_and_odd_bytes_are_ignored)
{
    static char line[100000];
    const struct str name = STR("Retry-After: ");
    memset(line, '1', sizeof line);
    memcpy(line, name.ptr, name.len);
    answer_header(&answer, (struct str){line, sizeof line});
    check_pause_s(0);
    answer_header(&answer, (struct str){"Retry-After: 5\0006", 16});
    check_pause_s(0);
    answer_header(&answer, (struct str){NULL, 0});
    header(":");
    header("\xff\xfe: \x80");
    check_pause_s(0);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("answer");
    tcase_add_checked_fixture(tests, setup, NULL);
    tcase_add_test(tests, begins_with_nothing);
    tcase_add_test(tests, dates_of_all_three_forms_are_read);
    tcase_add_test(tests, other_texts_are_no_dates);
    tcase_add_test(tests, headers_say_how_long_to_stay_away);
    tcase_add_test(tests, with_429_a_reset_counts_unless_something_remains);
    tcase_add_test(tests, overlong_lines_and_odd_bytes_are_ignored);
    Suite *suite = suite_create("answer");
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
