#include "domain/logline.h"

#include "base/log.h"
#include "suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT_US INT64_C(1772600767089000) // 2026-03-04T05:06:07.089Z

static void check_text(const struct logline *line, const char *key, const char *expected)
{
    struct buf out;
    buf_init(&out, 1000);
    ck_assert_msg(logline_text(line, key, &out), "no %s", key);
    ck_assert_str_eq(buf_peek(&out).ptr, expected);
    buf_free(&out);
}

static void must_parse(struct logline *line, const char *text)
{
    ck_assert_msg(logline_parse(line, str_of(text)), "not understood: %s", text);
    ck_assert_int_eq(line->at_us, AT_US);
}

START_TEST(reads_every_format_the_same)
{
    static const char *const texts[] = {
        "2026-03-04T05:06:07.089Z error update.dead rows=3 rate=1.500 type=A.B reason=\"a "
        "\\\"b\\u000a\"",
        "<3>2026-03-04T05:06:07.089Z error update.dead rows=3 rate=1.500 type=A.B "
        "reason=\"a \\\"b\\u000a\"",
        "{\"ts\":\"2026-03-04T05:06:07.089Z\",\"level\":\"error\",\"event\":\"update.dead\","
        "\"rows\":3,\"rate\":1.500,\"type\":\"A.B\",\"reason\":\"a \\\"b\\u000a\"}",
        "{\"MESSAGE\":\"update.dead rows=3\",\"EVENT\":\"update.dead\",\"ROWS\":\"3\","
        "\"RATE\":\"1.500\",\"TYPE\":\"A.B\",\"REASON\":\"a \\\"b\\n\",\"_PID\":\"1\","
        "\"__REALTIME_TIMESTAMP\":\"1772600767089000\"}",
        "{\"__REALTIME_TIMESTAMP\":\"1\",\"MESSAGE\":\"2026-03-04T05:06:07.089Z error update.dead "
        "rows=3 rate=1.500 type=A.B reason=\\\"a \\\\\\\"b\\\\u000a\\\"\"}",
        "{\"__REALTIME_TIMESTAMP\":\"1\",\"MESSAGE\":\"{\\\"ts\\\":\\\"2026-03-04T05:06:07."
        "089Z\\\","
        "\\\"level\\\":\\\"error\\\",\\\"event\\\":\\\"update.dead\\\",\\\"rows\\\":3,"
        "\\\"rate\\\":1.5,\\\"type\\\":\\\"A.B\\\",\\\"reason\\\":\\\"a \\\\\\\"b\\\\n\\\"}\"}",
    };
    struct logline line;
    logline_init(&line);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        double number;
        must_parse(&line, texts[i]);
        ck_assert(str_equal(line.event, STR("update.dead")));
        ck_assert(logline_number(&line, "rows", &number) && number == 3);
        ck_assert(logline_number(&line, "rate", &number) && number == 1.5);
        ck_assert(logline_is(&line, "type", "A.B"));
        ck_assert(!logline_is(&line, "type", "A.") && !logline_is(&line, "param", ""));
        check_text(&line, "reason", "a \"b\n");
    }
    logline_free(&line);
}
END_TEST

START_TEST(reads_what_the_log_writes)
{
    static const enum log_format formats[] = {LOG_FORMAT_LOGFMT, LOG_FORMAT_JSON};
    static const char value[] = "x=\"\\\n\x7f\xc2\x85\xe2\x80\xa8 \xc3\xab";
    for (size_t i = 0; i < 2; i++) {
        const struct log_field fields[] = {LOG_TEXT("a", value), LOG_I64("n", -7),
                                           LOG_TEXT("empty", ""), LOG_BOOL("yes", true)};
        struct buf out;
        struct logline line;
        double number;
        buf_init(&out, 1000);
        logline_init(&line);
        ck_assert(log_render(&out, formats[i], AT_US * 1000, LOG_LEVEL_DEBUG, "stats", fields, 4));
        must_parse(&line, buf_peek(&out).ptr);
        check_text(&line, "a", value);
        check_text(&line, "empty", "");
        check_text(&line, "yes", "true");
        ck_assert(logline_number(&line, "n", &number) && number == -7);
        logline_free(&line);
        buf_free(&out);
    }
}
END_TEST

START_TEST(refuses_other_lines)
{
    static const char *const texts[] = {
        "",
        "<3>",
        "Stopped imprint-sync.service.",
        "2026-03-04T05:06:07.089Z",
        "2026-03-04T05:06:07.089Z info",
        "2026-03-04T05:06:07.089Z info ",
        "2026-03-04T05:06:07.089Z notice stats a=1",
        "2026-03-04T05:06:07.089Z info Stats a=1",
        "2026-03-04T05:06:07.089Z info .stats a=1",
        "2026-03-04T05:06:07.089Z info stats a",
        "2026-03-04T05:06:07.089Z info stats a=",
        "2026-03-04T05:06:07.089Z info stats A=1",
        "2026-03-04T05:06:07.089Z info stats a=\"cut off",
        "2026-03-04T05:06:07.089Z info stats a=\"cut off\\\"",
        "2026-03-04T05:06:07.089Z info stats a=\"b\"c",
        "2026-13-04T05:06:07.089Z info stats a=1",
        "2026-03-04 05:06:07.089 UTC [12] LOG:  database system is ready",
        "{",
        "{}",
        "[]",
        "{\"ts\":\"2026-03-04T05:06:07.089Z\",\"level\":\"info\"}",
        "{\"ts\":1,\"level\":\"info\",\"event\":\"stats\"}",
        "{\"level\":\"info\",\"event\":\"stats\"}",
        "{\"ts\":\"2026-03-04T05:06:07.089Z\",\"level\":\"info\",\"event\":\"stats\"} x",
        "{\"__REALTIME_TIMESTAMP\":\"1\",\"MESSAGE\":\"Started.\"}",
        "{\"__REALTIME_TIMESTAMP\":\"1\",\"MESSAGE\":[1,2]}",
        "{\"__REALTIME_TIMESTAMP\":\"1\",\"MESSAGE\":null}",
        "{\"__REALTIME_TIMESTAMP\":\"-1\",\"EVENT\":\"stats\"}",
        "{\"__REALTIME_TIMESTAMP\":\"9223372036854775807\",\"EVENT\":\"stats\"}",
        "{\"__REALTIME_TIMESTAMP\":\"1\",\"EVENT\":\"a b\"}",
    };
    struct logline line;
    logline_init(&line);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        ck_assert_msg(!logline_parse(&line, str_of(texts[i])), "understood: %s", texts[i]);
        ck_assert_uint_eq(line.count, 0);
        ck_assert_uint_eq(line.event.len, 0);
    }
    logline_free(&line);
}
END_TEST

START_TEST(numbers_are_finite_decimals)
{
    static const char *const texts[] = {"0x10", "inf", "nan", "1e5", "1.2.3", "-", "word", "1-2"};
    struct logline line;
    logline_init(&line);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char text[100];
        double number;
        snprintf(text, sizeof text, "2026-03-04T05:06:07.089Z info stats a=%s", texts[i]);
        must_parse(&line, text);
        ck_assert_msg(!logline_number(&line, "a", &number), "%s", texts[i]);
        ck_assert(!logline_number(&line, "b", &number));
    }
    logline_free(&line);
}
END_TEST

START_TEST(fields_beyond_the_bound_are_left_out)
{
    char text[2000] = "2026-03-04T05:06:07.089Z info stats";
    size_t len = strlen(text);
    for (int i = 0; i < 100; i++) {
        len += (size_t)snprintf(text + len, sizeof text - len, " k%d=1", i);
    }
    struct logline line;
    double number;
    logline_init(&line);
    must_parse(&line, text);
    ck_assert_uint_eq(line.count, LOGLINE_FIELDS);
    ck_assert(logline_number(&line, "k63", &number) && !logline_number(&line, "k64", &number));
    logline_free(&line);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("logline");
    tcase_add_test(tests, reads_every_format_the_same);
    tcase_add_test(tests, reads_what_the_log_writes);
    tcase_add_test(tests, refuses_other_lines);
    tcase_add_test(tests, numbers_are_finite_decimals);
    tcase_add_test(tests, fields_beyond_the_bound_are_left_out);
    Suite *suite = suite_create("logline");
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
