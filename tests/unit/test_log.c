#include "base/log.h"
#include "suite.h"

#include <check.h>
#include <json-c/json.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 16384 };

// 2026-03-04 05:06:07.089 UTC
#define WALL_NS INT64_C(1772600767089999999)

static char *must_render_within(size_t cap, enum log_format format, const char *event,
                                const struct log_field *fields, size_t count)
{
    struct buf out;
    buf_init(&out, cap);
    ck_assert(log_render(&out, format, WALL_NS, LOG_LEVEL_WARNING, event, fields, count));
    return buf_take(&out);
}

static void check_line(enum log_format format, const struct log_field *fields, size_t count,
                       const char *expected)
{
    char *line = must_render_within(LINE_MAX_BYTES, format, "update.retry", fields, count);
    ck_assert_str_eq(line, expected);
    free(line);
}

static struct json_object *must_parse(const char *line)
{
    struct json_tokener *tokener = json_tokener_new();
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
    struct json_object *object = json_tokener_parse_ex(tokener, line, (int)strlen(line) + 1);
    ck_assert_msg(json_tokener_get_error(tokener) == json_tokener_success, "not JSON: %s", line);
    ck_assert(json_object_is_type(object, json_type_object));
    json_tokener_free(tokener);
    return object;
}

// Plain initializers: the macros are no constants.
static const struct log_field one_of_each[] = {
    {.key = "id", .kind = LOG_KIND_I64, .number = INT64_MIN},
    {.key = "seconds", .kind = LOG_KIND_F64, .real = 1.5},
    {.key = "open", .kind = LOG_KIND_BOOL, .number = true},
    {.key = "empty", .kind = LOG_KIND_BOOL, .number = false},
    {.key = NULL},
    {.key = "reason", .kind = LOG_KIND_TEXT, .text = {"a b", 3}},
    {.key = "word", .kind = LOG_KIND_TEXT, .text = {"plain:/x", 8}},
};

START_TEST(logfmt_has_time_level_event_and_fields)
{
    check_line(LOG_FORMAT_LOGFMT, one_of_each, 7,
               "2026-03-04T05:06:07.089Z warning update.retry id=-9223372036854775808 "
               "seconds=1.500 open=true empty=false reason=\"a b\" word=plain:/x");
    check_line(LOG_FORMAT_LOGFMT, NULL, 0, "2026-03-04T05:06:07.089Z warning update.retry");
}
END_TEST

START_TEST(json_has_the_same)
{
    check_line(LOG_FORMAT_JSON, one_of_each, 7,
               "{\"ts\":\"2026-03-04T05:06:07.089Z\",\"level\":\"warning\","
               "\"event\":\"update.retry\",\"id\":-9223372036854775808,\"seconds\":1.500,"
               "\"open\":true,\"empty\":false,\"reason\":\"a b\",\"word\":\"plain:/x\"}");
    check_line(LOG_FORMAT_JSON, NULL, 0,
               "{\"ts\":\"2026-03-04T05:06:07.089Z\",\"level\":\"warning\","
               "\"event\":\"update.retry\"}");
}
END_TEST

START_TEST(numbers_that_json_lacks_are_zero)
{
    const struct log_field fields[] = {LOG_F64("a", (double)INFINITY), LOG_F64("b", (double)NAN),
                                       LOG_F64("c", -(double)INFINITY)};
    check_line(LOG_FORMAT_LOGFMT, fields, 3,
               "2026-03-04T05:06:07.089Z warning update.retry a=0.000 b=0.000 c=0.000");
}
END_TEST

START_TEST(logfmt_quotes_whatever_could_be_misread)
{
    static const struct {
        const char *text;
        const char *written;
    } cases[] = {
        {NULL, "\"\""},
        {"", "\"\""},
        {"a=b", "\"a=b\""},
        {"a\"b", "\"a\\\"b\""},
        {"a\\b", "\"a\\\\b\""},
        {"a\nb", "\"a\\u000ab\""},
        {"a\r\tb", "\"a\\u000d\\u0009b\""},
        {"\x1B[2J", "\"\\u001b[2J\""},
        {"\x7F", "\"\\u007f\""},
        {"\xC2\x85", "\"\\u0085\""}, // next line
        {"\xC2\x9B"
         "m",
         "\"\\u009bm\""},                     // the 8-bit escape sequence
        {"\xC2\xA0", "\"\xC2\xA0\""},         // the first above the controls
        {"\xE2\x80\xA8", "\"\\u2028\""},      // line separator
        {"\xE2\x80\xA9|", "\"\\u2029|\""},    // paragraph separator
        {"\xE2\x80\xA6", "\"\xE2\x80\xA6\""}, // close to them
        {"\xC3\xA4\xF0\x9F\x98\x80", "\"\xC3\xA4\xF0\x9F\x98\x80\""},
        {"\xC3\xA4\xFF", "\"\\u00c3\\u00a4\\u00ff\""}, // no UTF-8: byte by byte
        {"\xC2", "\"\\u00c2\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct log_field field = LOG_TEXT("k", cases[i].text);
        char *line = must_render_within(LINE_MAX_BYTES, LOG_FORMAT_LOGFMT, "e", &field, 1);
        ck_assert_str_eq(strstr(line, " k=") + 3, cases[i].written);
        free(line);
    }
    const struct log_field field = LOG_STR("k", STR("a\0b"));
    check_line(LOG_FORMAT_LOGFMT, &field, 1,
               "2026-03-04T05:06:07.089Z warning update.retry k=\"a\\u0000b\"");
}
END_TEST

static uint64_t next_random(uint64_t *seed)
{
    *seed += UINT64_C(0x9E3779B97F4A7C15);
    uint64_t z = *seed;
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

// Bytes in which those that could break something are common.
static size_t random_text(uint64_t *seed, char *text, size_t most)
{
    static const struct str bits[] = {
        {"\n", 1},       {"\r", 1},       {"\"", 1},
        {"\\", 1},       {"\0", 1},       {" level=error", 12},
        {"\xC2", 1},     {"\xC2\x85", 2}, {"\xE2\x80\xA8", 3},
        {"\xC3\xA4", 2}, {"}", 1},        {"\\u000a", 6},
    };
    size_t len = 0;
    size_t pieces = next_random(seed) % 12;
    while (pieces-- > 0 && len + 16 < most) {
        uint64_t pick = next_random(seed) % 16;
        if (pick < sizeof bits / sizeof bits[0]) {
            memcpy(text + len, bits[pick].ptr, bits[pick].len);
            len += bits[pick].len;
        } else {
            text[len++] = (char)(next_random(seed) % 256);
        }
    }
    return len;
}

// No control character, no quotation mark that closes early, nothing that is not UTF-8.
static void check_one_line(const char *line, size_t len)
{
    ck_assert(str_is_utf8((struct str){line, len}));
    ck_assert_ptr_null(strstr(line, "\xE2\x80\xA8"));
    size_t quotes = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)line[i];
        ck_assert_msg(c >= 0x20 && c != 0x7F, "byte %02x", c);
        ck_assert(!(c == 0xC2 && (unsigned char)line[i + 1] < 0xA0));
        if (c == '\\') {
            i++; // what is escaped closes nothing
        } else {
            quotes += c == '"';
        }
    }
    ck_assert_uint_eq(quotes % 2, 0);
}

START_TEST(no_value_can_forge_a_second_line_or_field)
{
    for (uint64_t round = 0; round < 2000; round++) {
        uint64_t seed = round;
        char text[256];
        size_t len = random_text(&seed, text, sizeof text);
        const struct log_field fields[] = {LOG_STR("reason", ((struct str){text, len})),
                                           LOG_I64("last", 1)};
        struct buf out;
        buf_init(&out, LINE_MAX_BYTES);
        ck_assert(log_render(&out, LOG_FORMAT_LOGFMT, WALL_NS, LOG_LEVEL_INFO, "e", fields, 2));
        check_one_line(out.data, out.len);
        ck_assert_str_eq(out.data + out.len - 7, " last=1");
        buf_reset(&out);
        ck_assert(log_render(&out, LOG_FORMAT_JSON, WALL_NS, LOG_LEVEL_INFO, "e", fields, 2));
        check_one_line(out.data, out.len);
        struct json_object *object = must_parse(out.data);
        ck_assert_int_eq(json_object_object_length(object), 5);
        struct json_object *reason = json_object_object_get(object, "reason");
        if (str_is_utf8((struct str){text, len})) { // comes back as it was
            ck_assert_int_eq(json_object_get_string_len(reason), (int)len);
            ck_assert(len == 0 || memcmp(json_object_get_string(reason), text, len) == 0);
        }
        json_object_put(object);
        buf_free(&out);
    }
}
END_TEST

START_TEST(a_line_too_long_loses_its_last_fields_and_not_its_form)
{
    const struct log_field fields[] = {LOG_I64("first", 1), LOG_TEXT("second", "two words"),
                                       LOG_TEXT("third", "\n\n\n"), LOG_I64("fourth", 4)};
    char *whole = must_render_within(LINE_MAX_BYTES, LOG_FORMAT_JSON, "e", fields, 4);
    char *bare = must_render_within(LINE_MAX_BYTES, LOG_FORMAT_JSON, "e", NULL, 0);
    int last = 0;
    for (size_t cap = strlen(bare); cap <= strlen(whole) + 1; cap++) {
        char *line = must_render_within(cap, LOG_FORMAT_JSON, "e", fields, 4);
        ck_assert_uint_le(strlen(line), cap);
        struct json_object *object = must_parse(line);
        int present = json_object_object_length(object) - 3;
        static const char *const keys[] = {"first", "second", "third", "fourth"};
        for (int i = 0; i < 4; i++) { // the first ones, without a gap
            ck_assert(json_object_object_get_ex(object, keys[i], NULL) == (i < present));
        }
        ck_assert_int_ge(present, last);
        last = present;
        json_object_put(object);
        free(line);
        line = must_render_within(cap, LOG_FORMAT_LOGFMT, "e", fields, 4);
        check_one_line(line, strlen(line));
        free(line);
    }
    ck_assert_int_eq(last, 4);
    free(whole);
    free(bare);
}
END_TEST

START_TEST(says_so_when_not_even_the_fixed_part_fits)
{
    char *bare = must_render_within(LINE_MAX_BYTES, LOG_FORMAT_LOGFMT, "e", NULL, 0);
    for (size_t cap = 0; cap < strlen(bare); cap++) {
        struct buf out;
        buf_init(&out, cap);
        ck_assert(!log_render(&out, LOG_FORMAT_LOGFMT, WALL_NS, LOG_LEVEL_WARNING, "e", NULL, 0));
        buf_reset(&out);
        ck_assert(!log_render(&out, LOG_FORMAT_JSON, WALL_NS, LOG_LEVEL_WARNING, "e", NULL, 0));
        buf_free(&out);
    }
    free(bare);
}
END_TEST

// ---- writing ----

struct sink {
    struct log *log;
    int fds[2];
    char text[2 * LINE_MAX_BYTES];
};

static void must_open(struct sink *sink, bool prefix)
{
    ck_assert_int_eq(pipe(sink->fds), 0);
    sink->log = log_create(sink->fds[1], prefix);
}

static const char *drain(struct sink *sink)
{
    log_destroy(sink->log);
    close(sink->fds[1]); // it stayed ours
    size_t len = 0;
    ssize_t got;
    while ((got = read(sink->fds[0], sink->text + len, sizeof sink->text - 1 - len)) > 0) {
        len += (size_t)got;
    }
    sink->text[len] = '\0';
    close(sink->fds[0]);
    return sink->text;
}

START_TEST(writes_what_the_level_lets_through)
{
    static struct sink sink;
    must_open(&sink, false);
    ck_assert(log_wants(sink.log, LOG_LEVEL_INFO)); // the default
    ck_assert(!log_wants(sink.log, LOG_LEVEL_DEBUG));
    log_configure(sink.log, LOG_LEVEL_WARNING, LOG_FORMAT_LOGFMT);
    log_event(sink.log, LOG_LEVEL_INFO, "not.this", LOG_I64("n", 1));
    log_event(sink.log, LOG_LEVEL_WARNING, "but.this", LOG_I64("n", 2));
    log_event(sink.log, LOG_LEVEL_ERROR, "and.this", LOG_TEXT("why", "x\ny"));
    const char *text = drain(&sink);
    ck_assert_ptr_null(strstr(text, "not.this"));
    ck_assert_ptr_nonnull(strstr(text, "Z warning but.this n=2\n"));
    ck_assert_ptr_nonnull(strstr(text, "Z error and.this why=\"x\\u000ay\"\n"));
    ck_assert_ptr_eq(strchr(strchr(text, '\n') + 1, '\n') + 1, text + strlen(text));
}
END_TEST

START_TEST(prefixes_are_those_of_syslog)
{
    static const struct {
        enum log_level level;
        const char *prefix;
        const char *name;
    } cases[] = {
        {LOG_LEVEL_ERROR, "<3>", "error"},
        {LOG_LEVEL_WARNING, "<4>", "warning"},
        {LOG_LEVEL_INFO, "<6>", "info"},
        {LOG_LEVEL_DEBUG, "<7>", "debug"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        static struct sink sink;
        must_open(&sink, true);
        log_configure(sink.log, LOG_LEVEL_DEBUG, LOG_FORMAT_JSON);
        log_event(sink.log, cases[i].level, "e", LOG_I64("n", 1));
        const char *text = drain(&sink);
        ck_assert_int_eq(strncmp(text, cases[i].prefix, 3), 0);
        ck_assert_int_eq(text[3], '{');
        ck_assert_str_eq(log_level_name(cases[i].level), cases[i].name);
        ck_assert_ptr_nonnull(strstr(text, cases[i].name));
    }
}
END_TEST

START_TEST(a_line_written_is_bounded_and_whole_whatever_its_values)
{
    static char huge[3 * LINE_MAX_BYTES];
    memset(huge, '\n', sizeof huge - 1);
    static const size_t lengths[] = {2700, 2708, 2710, 2712, 16300, sizeof huge - 1};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        static struct sink sink;
        must_open(&sink, true);
        log_configure(sink.log, LOG_LEVEL_DEBUG, LOG_FORMAT_JSON);
        log_event(sink.log, LOG_LEVEL_INFO, "e", LOG_I64("n", 1),
                  LOG_STR("big", ((struct str){huge, lengths[i]})));
        const char *text = drain(&sink);
        size_t len = strlen(text);
        ck_assert_uint_le(len, LINE_MAX_BYTES);
        ck_assert_ptr_eq(strchr(text, '\n'), text + len - 1);
        sink.text[len - 1] = '\0';
        struct json_object *object = must_parse(text + 3);
        ck_assert(json_object_object_get_ex(object, "n", NULL));
        json_object_put(object);
    }
}
END_TEST

static void check_edge(enum log_format format, bool prefix)
{
    static char text[LINE_MAX_BYTES];
    memset(text, 'x', sizeof text);
    for (size_t len = LINE_MAX_BYTES - 120; len < LINE_MAX_BYTES; len++) {
        static struct sink sink;
        must_open(&sink, prefix);
        log_configure(sink.log, LOG_LEVEL_DEBUG, format);
        log_event(sink.log, LOG_LEVEL_INFO, "e", LOG_STR("big", ((struct str){text, len})));
        const char *line = drain(&sink);
        ck_assert_int_eq(line[strlen(line) - 1], '\n');
    }
}

START_TEST(every_length_at_the_edge_of_the_line_works)
{
    check_edge(LOG_FORMAT_LOGFMT, false);
    check_edge(LOG_FORMAT_LOGFMT, true);
    check_edge(LOG_FORMAT_JSON, false);
    check_edge(LOG_FORMAT_JSON, true);
}
END_TEST

// ---- the journal ----

struct journal {
    bool there;
    size_t entries;
    size_t count;
    char fields[64][64]; // cut
    size_t lens[64];
};

static bool journal_take(void *ctx, const struct str *fields, size_t count)
{
    struct journal *journal = ctx;
    journal->entries++;
    journal->count = count;
    for (size_t i = 0; i < count; i++) {
        size_t len = fields[i].len < 63 ? fields[i].len : 63;
        memcpy(journal->fields[i], fields[i].ptr, len);
        journal->fields[i][len] = '\0';
        journal->lens[i] = fields[i].len;
    }
    return journal->there;
}

START_TEST(the_journal_gets_fields_and_a_message_without_time_and_level)
{
    static struct sink sink;
    static struct journal journal = {.there = true};
    must_open(&sink, true);
    log_configure(sink.log, LOG_LEVEL_INFO, LOG_FORMAT_JOURNAL);
    log_set_journal(sink.log, journal_take, &journal);
    log_event(sink.log, LOG_LEVEL_DEBUG, "not.this", LOG_I64("n", 1));
    log_event(sink.log, LOG_LEVEL_ERROR, "update.dead", LOG_TEXT("customer_id", "c-1"),
              LOG_I64(NULL, 2), LOG_F64("p50_ms", 1.5), LOG_TEXT("reason", "a\n\"b\""));
    ck_assert_str_eq(drain(&sink), "");
    static const char *const expected[] = {
        "MESSAGE=update.dead customer_id=c-1 p50_ms=1.500 reason=\"a\\u000",
        "PRIORITY=3",
        "EVENT=update.dead",
        "CUSTOMER_ID=c-1",
        "P50_MS=1.500",
        "REASON=a\n\"b\"",
    };
    ck_assert_uint_eq(journal.entries, 1);
    ck_assert_uint_eq(journal.count, sizeof expected / sizeof expected[0]);
    for (size_t i = 0; i < journal.count; i++) {
        ck_assert_str_eq(journal.fields[i], expected[i]);
    }
}
END_TEST

START_TEST(without_a_journal_the_line_is_logfmt)
{
    static struct journal journal = {.there = false};
    for (int with_writer = 0; with_writer < 2; with_writer++) {
        static struct sink sink;
        must_open(&sink, true);
        log_configure(sink.log, LOG_LEVEL_INFO, LOG_FORMAT_JOURNAL);
        log_set_journal(sink.log, with_writer ? journal_take : NULL, &journal);
        log_event(sink.log, LOG_LEVEL_WARNING, "but.this", LOG_I64("n", 2));
        const char *text = drain(&sink);
        ck_assert_int_eq(strncmp(text, "<4>2", 4), 0);
        ck_assert_ptr_nonnull(strstr(text, "Z warning but.this n=2\n"));
    }
    ck_assert_uint_eq(journal.entries, 1);
}
END_TEST

START_TEST(an_entry_of_the_journal_is_bounded_whatever_its_values)
{
    static char huge[8 * LINE_MAX_BYTES];
    static struct journal journal = {.there = true};
    static struct sink sink;
    struct log_field fields[80];
    memset(huge, 'x', sizeof huge - 1);
    for (size_t i = 0; i < 80; i++) {
        fields[i] = LOG_I64("n", 1);
    }
    fields[0] = LOG_TEXT("big", huge);
    must_open(&sink, false);
    log_configure(sink.log, LOG_LEVEL_INFO, LOG_FORMAT_JOURNAL);
    log_set_journal(sink.log, journal_take, &journal);
    log_write(sink.log, LOG_LEVEL_INFO, "e", fields, 80);
    ck_assert_str_eq(drain(&sink), "");
    ck_assert_uint_eq(journal.count, 64);
    size_t sum = 0;
    for (size_t i = 0; i < journal.count; i++) {
        sum += journal.lens[i];
        ck_assert_ptr_null(strstr(journal.fields[i], "BIG="));
    }
    ck_assert_uint_le(sum, (size_t)4 * LINE_MAX_BYTES);
    ck_assert_str_eq(journal.fields[3], "N=1");
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("log");
    tcase_add_test(tests, logfmt_has_time_level_event_and_fields);
    tcase_add_test(tests, json_has_the_same);
    tcase_add_test(tests, numbers_that_json_lacks_are_zero);
    tcase_add_test(tests, logfmt_quotes_whatever_could_be_misread);
    tcase_add_test(tests, no_value_can_forge_a_second_line_or_field);
    tcase_add_test(tests, a_line_too_long_loses_its_last_fields_and_not_its_form);
    tcase_add_test(tests, says_so_when_not_even_the_fixed_part_fits);
    tcase_add_test(tests, writes_what_the_level_lets_through);
    tcase_add_test(tests, prefixes_are_those_of_syslog);
    tcase_add_test(tests, a_line_written_is_bounded_and_whole_whatever_its_values);
    tcase_add_test(tests, every_length_at_the_edge_of_the_line_works);
    tcase_add_test(tests, the_journal_gets_fields_and_a_message_without_time_and_level);
    tcase_add_test(tests, without_a_journal_the_line_is_logfmt);
    tcase_add_test(tests, an_entry_of_the_journal_is_bounded_whatever_its_values);
    tcase_set_timeout(tests, 60);
    Suite *suite = suite_create("log");
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
