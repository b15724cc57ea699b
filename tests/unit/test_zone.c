#include "base/buf.h"
#include "cases.h"
#include "domain/instant.h"
#include "domain/zone.h"
#include "suite.h"

#include <check.h>
#include <stdlib.h>

// ---- zones made by hand ----

static void put_big_endian(struct buf *out, size_t bytes, int64_t value)
{
    for (size_t i = bytes; i > 0; i--) {
        ck_assert(buf_append_char(out, (char)((uint64_t)value >> (i - 1) * 8)));
    }
}

struct made_zone {
    char version;
    int64_t leaps;
    int64_t offset;    // of the first type
    int64_t change_at; // 0: none
    int64_t changed_offset;
    int64_t change_type; // 1 is the second
    const char *footer;  // with its newlines
};

static void put_header(struct buf *out, char version, const int64_t counts[6])
{
    static const char reserved[15];
    ck_assert(buf_append_str(out, STR("TZif")));
    ck_assert(buf_append_char(out, version));
    ck_assert(buf_append(out, reserved, sizeof reserved));
    for (size_t i = 0; i < 6; i++) {
        put_big_endian(out, 4, counts[i]);
    }
}

// A file with an empty first block, as zic -b slim writes it.
static void make_file(struct buf *out, struct made_zone made)
{
    int64_t changes = made.change_at == 0 ? 0 : 1;
    buf_reset(out);
    put_header(out, made.version, (int64_t[6]){0, 0, 0, 0, 1, 1});
    put_big_endian(out, 7, 0); // one type, one letter
    put_header(out, made.version, (int64_t[6]){0, 0, made.leaps, changes, 2, 1});
    if (changes > 0) {
        put_big_endian(out, 8, made.change_at);
        put_big_endian(out, 1, made.change_type);
    }
    put_big_endian(out, 4, made.offset);
    put_big_endian(out, 2, 0);
    put_big_endian(out, 4, made.changed_offset);
    put_big_endian(out, 2, 0x0100);
    put_big_endian(out, 1, 0);
    for (int64_t i = 0; i < made.leaps; i++) {
        put_big_endian(out, 8, 78796800);
        put_big_endian(out, 4, 1);
    }
    ck_assert(buf_append_str(out, str_of(made.footer)));
}

static struct zone *parse_made(struct made_zone made, struct err *err)
{
    struct buf file;
    buf_init(&file, 4096);
    make_file(&file, made);
    struct zone *zone = zone_parse(buf_peek(&file), err);
    buf_free(&file);
    return zone;
}

static struct zone *must_make(struct made_zone made)
{
    struct err err = {.text = ""};
    struct zone *zone = parse_made(made, &err);
    ck_assert_msg(zone != NULL, "%s: %s", made.footer, err.text);
    return zone;
}

static int64_t local_seconds(struct str text)
{
    int64_t instant;
    ck_assert_msg(instant_parse(text, NULL, &instant) == INSTANT_RESULT_OK, "%.*s", STR_ARG(text));
    return instant / 1000000 - (instant % 1000000 < 0);
}

static void check_offset(const struct zone *zone, const char *local, int64_t expected)
{
    int64_t got = zone_offset_at_local(zone, local_seconds(str_of(local)));
    ck_assert_msg(got == expected, "%s: got %lld, not %lld", local, (long long)got,
                  (long long)expected);
}

// ---- the system's files ----

START_TEST(takes_the_offsets_that_postgres_takes)
{
    struct cases cases;
    cases_open(&cases, "zone.tsv", 3);
    while (cases_next(&cases)) {
        char path[256];
        char *data;
        int64_t expected;
        struct err err = {.text = ""};
        snprintf(path, sizeof path, "/usr/share/zoneinfo/%.*s", STR_ARG(cases.field[0]));
        struct zone *zone = zone_parse(cases_must_read(path, &data), &err);
        ck_assert_msg(zone != NULL, "%s: %s", cases.where, err.text);
        ck_assert(str_to_int64(cases.field[2], &expected));
        int64_t got = zone_offset_at_local(zone, local_seconds(cases.field[1]));
        ck_assert_msg(got == expected, "%s: got %lld", cases.where, (long long)got);
        zone_destroy(zone);
        free(data);
    }
    cases_close(&cases);
}
END_TEST

// ---- fixed offsets ----

START_TEST(reads_fixed_offsets)
{
    static const struct {
        const char *text;
        int64_t offset;
    } rows[] = {{"UTC", 0},          {"Z", 0},       {"+00:00", 0},         {"+02:00", 7200},
                {"-0530", -19800},   {"+05", 18000}, {"-03:30:15", -12615}, {"+033015", 12615},
                {"+15:59:59", 57599}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct zone *zone = zone_fixed(str_of(rows[i].text));
        ck_assert_msg(zone != NULL, "%s", rows[i].text);
        check_offset(zone, "1970-01-01", rows[i].offset);
        check_offset(zone, "9999-12-31", rows[i].offset);
        check_offset(zone, "0001-01-01", rows[i].offset);
        zone_destroy(zone);
    }
}
END_TEST

START_TEST(refuses_what_is_no_fixed_offset)
{
    static const char *const texts[] = {"",          "utc",     "GMT",     "+",
                                        "+2",        "+2:00",   "02:00",   "+16:00",
                                        "+02:60",    "+02:0",   "+02:00:", "+020",
                                        "+02:00:60", "+02:00x", " +02:00", "America/New_York"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        ck_assert_msg(zone_fixed(str_of(texts[i])) == NULL, "%s", texts[i]);
    }
    zone_destroy(NULL);
}
END_TEST

// ---- footers ----

START_TEST(follows_the_rules_of_the_footer)
{
    struct zone *zone = must_make((struct made_zone){
        .version = '2', .offset = -17762, .footer = "\nEST5EDT,M3.2.0,M11.1.0\n"});
    check_offset(zone, "1969-07-01", -17762); // the footer counts from 1970 on
    check_offset(zone, "2025-03-09T01:59:59", -18000);
    check_offset(zone, "2025-03-09T02:30:00", -18000); // gap: the offset before it
    check_offset(zone, "2025-03-09T03:00:00", -14400);
    check_offset(zone, "2025-11-02T00:59:59", -14400);
    check_offset(zone, "2025-11-02T01:30:00", -18000); // overlap: the offset after it
    check_offset(zone, "2026-10-31T12:00:00", -14400); // a month that starts with a Sunday
    check_offset(zone, "2026-11-01T03:00:00", -18000);
    check_offset(zone, "2369-07-01", -14400);
    check_offset(zone, "2370-07-01", -14400); // from here on the 400 years repeat
    check_offset(zone, "9999-07-01", -14400);
    check_offset(zone, "9999-12-31T23:59:59", -18000);
    zone_destroy(zone);
}
END_TEST

START_TEST(follows_the_footer_only_behind_the_last_change)
{
    int64_t at = local_seconds(STR("2000-06-15T12:00:00"));
    struct zone *zone = must_make((struct made_zone){.version = '2',
                                                     .offset = 0,
                                                     .change_at = at,
                                                     .changed_offset = 7200,
                                                     .change_type = 1,
                                                     .footer = "\nAAA-1BBB,M3.5.0,M10.5.0/3\n"});
    check_offset(zone, "1990-07-01", 0);
    check_offset(zone, "2000-06-15T11:59:59", 0);
    check_offset(zone, "2000-06-15T14:00:01", 7200);
    check_offset(zone, "2000-12-01", 3600);
    check_offset(zone, "2001-07-01", 7200);
    zone_destroy(zone);
}
END_TEST

START_TEST(keeps_the_last_change_without_a_footer)
{
    int64_t at = local_seconds(STR("2000-06-15T12:00:00"));
    struct zone *zone = must_make((struct made_zone){.version = '3',
                                                     .offset = 0,
                                                     .change_at = at,
                                                     .changed_offset = 7200,
                                                     .change_type = 1,
                                                     .footer = "\n\n"});
    check_offset(zone, "1990-07-01", 0);
    check_offset(zone, "9999-07-01", 7200);
    zone_destroy(zone);
}
END_TEST

START_TEST(week_five_is_the_last)
{
    struct zone *zone =
        must_make((struct made_zone){.version = '2', .footer = "\nCET-1CEST,M3.5.0,M10.5.0/3\n"});
    check_offset(zone, "2025-03-29T12:00:00", 3600); // the fifth Sunday is the 30th
    check_offset(zone, "2025-03-30T12:00:00", 7200);
    check_offset(zone, "2025-10-25T12:00:00", 7200); // the fourth is the last
    check_offset(zone, "2025-10-26T12:00:00", 3600);
    check_offset(zone, "2026-10-24T12:00:00", 7200); // a fifth would be the 32nd
    check_offset(zone, "2026-10-25T12:00:00", 3600);
    zone_destroy(zone);
}
END_TEST

START_TEST(reads_every_form_of_footer)
{
    static const struct {
        const char *footer;
        int64_t january; // at noon of the 1st, 2025
        int64_t july;
    } rows[] = {
        {"\nJST-9\n", 32400, 32400},                                // no summer time
        {"\n<+0330>-3:30\n", 12600, 12600},                         // a quoted name
        {"\n<-02>2:15:30\n", -8130, -8130},                         // seconds
        {"\nAAA+5\n", -18000, -18000},                              // a plus
        {"\nIST-1GMT0,M10.5.0,M3.5.0/1\n", 0, 3600},                // negative summer time
        {"\nAEST-10AEDT,M10.1.0,M4.1.0/3\n", 39600, 36000},         // south
        {"\n<+1030>-10:30<+11>-11,M10.1.0,M4.1.0\n", 39600, 37800}, // half an hour
        {"\n<-02>2<-01>,M3.5.0/-1,M10.5.0/0\n", -7200, -3600},      // time before the day
        {"\nEET-2EEST,M3.4.4/50,M10.4.4/50\n", 7200, 10800},        // time behind the day
        {"\nAAA0BBB,J60/0,J300/0\n", 0, 3600},                      // Julian days
        {"\nAAA0BBB,59/0,299/0\n", 0, 3600},                        // days of the year
        {"\nXXX3EDT4,0/0,J365/23\n", -14400, -14400},               // all the year
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct zone *zone =
            must_make((struct made_zone){.version = '3', .offset = 1, .footer = rows[i].footer});
        check_offset(zone, "2025-01-01T12:00:00", rows[i].january);
        check_offset(zone, "2025-07-01T12:00:00", rows[i].july);
        zone_destroy(zone);
    }
}
END_TEST

// J60 is 1 March in every year, 59 is 29 February in leap years.
START_TEST(counts_days_of_leap_years)
{
    struct zone *julian =
        must_make((struct made_zone){.version = '2', .footer = "\nAAA0BBB,J60/0,J300/0\n"});
    check_offset(julian, "2024-02-29T12:00:00", 0);
    check_offset(julian, "2024-03-01T12:00:00", 3600);
    check_offset(julian, "2025-02-28T12:00:00", 0);
    check_offset(julian, "2025-03-01T12:00:00", 3600);
    zone_destroy(julian);
    struct zone *counted =
        must_make((struct made_zone){.version = '2', .footer = "\nAAA0BBB,59/0,299/0\n"});
    check_offset(counted, "2024-02-28T12:00:00", 0);
    check_offset(counted, "2024-02-29T12:00:00", 3600);
    check_offset(counted, "2025-02-28T12:00:00", 0);
    check_offset(counted, "2025-03-01T12:00:00", 3600);
    zone_destroy(counted);
}
END_TEST

START_TEST(refuses_malformed_footers)
{
    static const char *const footers[] = {
        "",
        "\n",
        "JST-9\n",
        "\nJST-9",
        "\n-9\n",
        "\nJST\n",
        "\nJST-9x\n",
        "\nJST-168\n",
        "\nJST-9:60\n",
        "\n<+09-9\n",
        "\nEST5EDT\n",
        "\nEST5,M3.2.0,M11.1.0\n",
        "\nEST5EDT+,M3.2.0,M11.1.0\n",
        "\nEST5EDT4\n",
        "\nEST5EDT,\n",
        "\nEST5EDT,M3.2.0\n",
        "\nEST5EDT,M3.2.0,\n",
        "\nEST5EDT,M13.2.0,M11.1.0\n",
        "\nEST5EDT,M0.2.0,M11.1.0\n",
        "\nEST5EDT,M3.6.0,M11.1.0\n",
        "\nEST5EDT,M3.0.0,M11.1.0\n",
        "\nEST5EDT,M3.2.7,M11.1.0\n",
        "\nEST5EDT,J0,J300\n",
        "\nEST5EDT,J366,J300\n",
        "\nEST5EDT,366,300\n",
        "\nEST5EDT,M3.2.0/,M11.1.0\n",
        "\nEST5EDT,M3.2.0,M11.1.0,\n",
    };
    for (size_t i = 0; i < sizeof footers / sizeof footers[0]; i++) {
        struct err err;
        struct zone *zone =
            parse_made((struct made_zone){.version = '2', .offset = 1, .footer = footers[i]}, &err);
        ck_assert_msg(zone == NULL, "%s", footers[i]);
        ck_assert_int_eq(err.kind, ERR_KIND_CONFIG);
    }
}
END_TEST

// ---- files that are none ----

START_TEST(refuses_files_it_cannot_use)
{
    static const struct made_zone files[] = {
        {.version = '\0', .footer = "\n\n"},            // version 1 has no footer, and ends in 2037
        {.version = '2', .leaps = 1, .footer = "\n\n"}, // "right/..."
        {.version = '2', .offset = 100000, .footer = "\n\n"},
        {.version = '2', .change_at = 1, .change_type = 2, .footer = "\n\n"},
        {.version = '2', .change_at = INT64_MAX, .change_type = 1, .footer = "\n\n"},
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        ck_assert_msg(parse_made(files[i], NULL) == NULL, "file %zu", i);
    }
    struct err err;
    ck_assert(zone_parse(STR(""), &err) == NULL);
    ck_assert(zone_parse(STR("America/New_York"), &err) == NULL);
}
END_TEST

START_TEST(refuses_files_cut_anywhere)
{
    struct buf file;
    buf_init(&file, 4096);
    make_file(&file, (struct made_zone){.version = '2',
                                        .change_at = 1000,
                                        .change_type = 1,
                                        .footer = "\nEST5EDT,M3.2.0,M11.1.0\n"});
    for (size_t len = 0; len < file.len; len++) {
        char *copy = malloc(len + 1); // so that a byte too many is one outside
        memcpy(copy, file.data, len);
        ck_assert_msg(zone_parse((struct str){copy, len}, NULL) == NULL, "cut at %zu", len);
        free(copy);
    }
    buf_free(&file);
}
END_TEST

START_TEST(survives_counts_that_lie)
{
    struct buf file;
    buf_init(&file, 4096);
    make_file(&file, (struct made_zone){.version = '2', .change_at = 1000, .footer = "\n\n"});
    for (size_t i = 4; i < file.len; i++) {
        char kept = file.data[i];
        file.data[i] = (char)0xFF;
        zone_destroy(zone_parse(buf_peek(&file), NULL));
        file.data[i] = kept;
    }
    struct zone *zone = zone_parse(buf_peek(&file), NULL);
    ck_assert(zone != NULL);
    zone_destroy(zone);
    buf_free(&file);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("zone");
    TCase *tcase = tcase_create("zone");
    tcase_add_test(tcase, takes_the_offsets_that_postgres_takes);
    tcase_add_test(tcase, reads_fixed_offsets);
    tcase_add_test(tcase, refuses_what_is_no_fixed_offset);
    tcase_add_test(tcase, follows_the_rules_of_the_footer);
    tcase_add_test(tcase, follows_the_footer_only_behind_the_last_change);
    tcase_add_test(tcase, keeps_the_last_change_without_a_footer);
    tcase_add_test(tcase, week_five_is_the_last);
    tcase_add_test(tcase, reads_every_form_of_footer);
    tcase_add_test(tcase, counts_days_of_leap_years);
    tcase_add_test(tcase, refuses_malformed_footers);
    tcase_add_test(tcase, refuses_files_it_cannot_use);
    tcase_add_test(tcase, refuses_files_cut_anywhere);
    tcase_add_test(tcase, survives_counts_that_lie);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
