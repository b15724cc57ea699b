// From a row to the body of a request. Most of it is a table: tests/cases/mapper/*.txt, whose form
// is described in README.md there; this file is its interpreter. What the table cannot say (notes,
// caps, the length of reasons, reuse) follows below it.
#include "base/mem.h"
#include "config/mapping_load.h"
#include "domain/mapper.h"
#include "suite.h"

#include <check.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { CASES_AT_LEAST = 120, BODY_CAP = 1 << 20, ROWS_MAX = 8, TEXT_CAP = 1 << 20, PAD_MAX = 60 };

#define NOW "2025-06-15T12:00:00Z"

// ---- helpers ----

static int64_t must_parse_time(struct str text)
{
    char copy[64];
    struct tm tm = {.tm_sec = 0};
    snprintf(copy, sizeof copy, "%.*s", STR_ARG(text));
    const char *end = strptime(copy, "%Y-%m-%dT%H:%M:%SZ", &tm);
    ck_assert_msg(end != NULL && *end == '\0', "not a time: %s", copy);
    return (int64_t)timegm(&tm) * 1000000000;
}

static struct mapping *must_load(struct str yaml)
{
    struct problems *problems = problems_create();
    struct yaml_tree *tree = yaml_read_text(yaml, "case", problems);
    struct mapping *mapping = NULL;
    if (tree != NULL && problems_count(problems) == 0) {
        const struct yaml_node *root = yaml_root(tree);
        mapping = mapping_load(yaml_get(root, STR("mapping")), yaml_get(root, STR("on_invalid")),
                               problems);
    }
    ck_assert_msg(mapping != NULL, "mapping does not load: %s\n%.*s",
                  problems_count(problems) > 0 ? problems_line(problems, 0) : "", STR_ARG(yaml));
    yaml_destroy(tree);
    problems_destroy(problems);
    return mapping;
}

static struct mapping *must_load_text(const char *yaml)
{
    return must_load(str_of(yaml));
}

// ---- the table ----

struct line {
    const char *file;
    int number;
    bool indented;
    struct str word; // the first
    struct str rest; // trimmed
    struct str raw;  // with its indentation
};

struct table {
    struct mapper *mapper;
    struct mapping *mapping;
    struct buf yaml; // the mapping being read
    struct buf body;
    bool in_mapping;
    bool in_case;
    int cases;
    int failures;
    // The case being read.
    struct line head;
    char *name;
    struct row row;
    bool row_ok;
    int64_t wall_ns;
    struct buf want; // "body {...}", "nothing", ...
};

static void append(struct buf *buf, struct str text)
{
    ck_assert(buf_append_str(buf, text));
}

static void finish_mapping(struct table *table)
{
    if (table->in_mapping) {
        mapping_destroy(table->mapping);
        table->mapping = must_load(buf_peek(&table->yaml));
        table->in_mapping = false;
    }
}

// What the mapper made of the row, in the words of the table.
static void describe(struct table *table, struct buf *got)
{
    if (!table->row_ok) {
        append(got, STR("ill-formed"));
        return;
    }
    switch (mapper_map(table->mapper, &table->row, table->wall_ns, &table->body, NULL, NULL)) {
    case MAPPER_RESULT_BODY:
        append(got, STR("body "));
        append(got, buf_peek(&table->body));
        ck_assert(jsontext_check(buf_peek(&table->body), 100, NULL));
        break;
    case MAPPER_RESULT_NOTHING:
        append(got, STR("nothing"));
        break;
    case MAPPER_RESULT_INVALID:
        append(got, STR("invalid "));
        append(got, mapper_reasons(table->mapper));
        break;
    case MAPPER_RESULT_TOO_BIG:
        append(got, STR("too big"));
        break;
    }
}

// A '*' at the end of what is wanted stands for anything.
static bool matches(struct str got, struct str want)
{
    if (str_ends(want, STR("*"))) {
        return str_starts(got, (struct str){want.ptr, want.len - 1});
    }
    return str_equal(got, want);
}

static void finish_case(struct table *table)
{
    if (!table->in_case) {
        return;
    }
    struct buf got;
    buf_init(&got, TEXT_CAP);
    describe(table, &got);
    table->cases++;
    if (!matches(buf_peek(&got), buf_peek(&table->want))) {
        table->failures++;
        printf("%s:%d: %s\n    wanted: %.*s\n    got:    %.*s\n", table->head.file,
               table->head.number, table->name, STR_ARG(buf_peek(&table->want)),
               STR_ARG(buf_peek(&got)));
    }
    buf_free(&got);
    row_free(&table->row);
    free(table->name);
    table->in_case = false;
}

static void begin_mapping(struct table *table, const struct line *line)
{
    finish_case(table);
    finish_mapping(table);
    buf_reset(&table->yaml);
    if (line->rest.len > 0) { // "mapping on_invalid: omit"
        append(&table->yaml, line->rest);
        append(&table->yaml, STR("\n"));
    }
    append(&table->yaml, STR("mapping:\n"));
    table->in_mapping = true;
}

static void begin_case(struct table *table, const struct line *line)
{
    finish_case(table);
    finish_mapping(table);
    ck_assert_msg(table->mapping != NULL, "%s:%d: no mapping yet", line->file, line->number);
    table->in_case = true;
    table->head = *line;
    table->name = mem_strndup(line->rest.ptr, line->rest.len);
    table->row_ok = true;
    table->wall_ns = must_parse_time(STR(NOW));
    table->body.cap = BODY_CAP;
    buf_reset(&table->want);
    row_init(&table->row, table->mapping);
}

static void read_want(struct table *table, const struct line *line)
{
    bool more = table->want.len > 0; // several lines "invalid" are one result
    append(&table->want, more ? STR("; ") : line->word);
    if (line->rest.len > 0) {
        append(&table->want, more ? STR("") : STR(" "));
        append(&table->want, line->rest);
    }
}

static void read_case_line(struct table *table, const struct line *line)
{
    int64_t cap = 0;
    if (str_equal(line->word, STR("application"))) {
        table->row_ok = row_add(&table->row, line->rest, false) && table->row_ok;
    } else if (str_equal(line->word, STR("thin"))) {
        table->row_ok = row_add(&table->row, line->rest, true) && table->row_ok;
    } else if (str_equal(line->word, STR("now"))) {
        table->wall_ns = must_parse_time(line->rest);
    } else if (str_equal(line->word, STR("cap"))) {
        ck_assert(str_to_int64(line->rest, &cap));
        table->body.cap = (size_t)cap;
    } else {
        bool known = str_equal(line->word, STR("body")) || str_equal(line->word, STR("nothing")) ||
                     str_equal(line->word, STR("invalid")) || str_equal(line->word, STR("too")) ||
                     str_equal(line->word, STR("ill-formed"));
        ck_assert_msg(known, "%s:%d: unknown word", line->file, line->number);
        read_want(table, line);
    }
}

static void read_line(struct table *table, const struct line *line)
{
    if (line->word.len == 0 || line->word.ptr[0] == '#') {
        return;
    }
    if (line->indented && table->in_case) {
        read_case_line(table, line);
    } else if (line->indented && table->in_mapping) {
        append(&table->yaml, line->raw);
        append(&table->yaml, STR("\n"));
    } else if (str_equal(line->word, STR("mapping"))) {
        begin_mapping(table, line);
    } else if (str_equal(line->word, STR("case"))) {
        begin_case(table, line);
    } else {
        ck_abort_msg("%s:%d: neither mapping nor case", line->file, line->number);
    }
}

static void must_read_file(const char *path, struct buf *content)
{
    char block[4096];
    FILE *file = fopen(path, "r");
    ck_assert_msg(file != NULL, "%s", path);
    for (size_t got; (got = fread(block, 1, sizeof block, file)) > 0;) {
        ck_assert(buf_append(content, block, got));
    }
    fclose(file);
}

static void run_file(struct table *table, const char *path)
{
    struct buf content;
    buf_init(&content, TEXT_CAP);
    must_read_file(path, &content);
    struct str rest = buf_peek(&content);
    const char *name = strrchr(path, '/') + 1;
    for (int number = 1; rest.len > 0; number++) {
        struct line line = {.file = name, .number = number};
        str_split(rest, '\n', &line.raw, &rest);
        line.indented = str_starts(line.raw, STR(" "));
        str_split(str_trim(line.raw), ' ', &line.word, &line.rest);
        line.rest = str_trim(line.rest);
        read_line(table, &line);
    }
    finish_case(table);
    buf_free(&content);
}

START_TEST(maps_every_case_of_the_table)
{
    glob_t files;
    struct table table = {.mapper = mapper_create()};
    buf_init(&table.yaml, TEXT_CAP);
    buf_init(&table.body, BODY_CAP);
    buf_init(&table.want, TEXT_CAP);
    ck_assert_int_eq(glob(TEST_CASES_DIR "/mapper/*.txt", 0, NULL, &files), 0);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        run_file(&table, files.gl_pathv[i]);
    }
    printf("%d mapper cases\n", table.cases);
    ck_assert_int_eq(table.failures, 0);
    ck_assert_int_ge(table.cases, CASES_AT_LEAST);
    globfree(&files);
    mapping_destroy(table.mapping);
    mapper_destroy(table.mapper);
    buf_free(&table.want);
    buf_free(&table.body);
    buf_free(&table.yaml);
}
END_TEST

// ---- what the table cannot say ----

struct notes {
    struct buf text;
};

static void take_note(void *ctx, const struct mapper_note *note)
{
    struct notes *notes = ctx;
    ck_assert(buf_printf(&notes->text, "%s|%s|%s|%s|%s|%.*s\n", note->target,
                         note->column == NULL ? "-" : note->column, note->type,
                         note->reason == NULL ? "-" : note->reason,
                         note->left_out == NULL ? "-" : note->left_out, STR_ARG(note->json)));
}

struct fixture {
    struct mapping *mapping;
    struct mapper *mapper;
    struct row row;
    struct buf body;
    struct notes notes;
};

static void must_begin(struct fixture *fixture, const char *yaml)
{
    fixture->mapping = must_load_text(yaml);
    fixture->mapper = mapper_create();
    row_init(&fixture->row, fixture->mapping);
    buf_init(&fixture->body, BODY_CAP);
    buf_init(&fixture->notes.text, TEXT_CAP);
}

static void finish(struct fixture *fixture)
{
    buf_free(&fixture->notes.text);
    buf_free(&fixture->body);
    row_free(&fixture->row);
    mapper_destroy(fixture->mapper);
    mapping_destroy(fixture->mapping);
}

static enum mapper_result map(struct fixture *fixture, const char *json)
{
    row_reset(&fixture->row);
    buf_reset(&fixture->notes.text);
    ck_assert(row_add(&fixture->row, str_of(json), true));
    return mapper_map(fixture->mapper, &fixture->row, must_parse_time(STR(NOW)), &fixture->body,
                      take_note, &fixture->notes);
}

START_TEST(notes_say_what_became_of_each_leaf)
{
    struct fixture fixture;
    must_begin(&fixture, "mapping:\n"
                         "  email: {from: mail, on_invalid: omit}\n"
                         "  first_name: first\n"
                         "  last_name: {from: last, required: true}\n"
                         "  city: {from: address.city}\n"
                         "  customer_history: {loyalty_tier: {value: GOLD}}\n"
                         "  metadata: {source: {value: crm}, id: {from: id, as: integer}}\n");
    ck_assert_int_eq(map(&fixture, "{\"mail\":\"x\",\"first\":null,\"last\":\"L\",\"id\":7}"),
                     MAPPER_RESULT_BODY);
    ck_assert_str_eq(fixture.body.data,
                     "{\"last_name\":\"L\",\"metadata\":{\"source\":\"crm\",\"id\":7}}");
    ck_assert_str_eq(
        fixture.notes.text.data,
        "email|mail|email|-|is not an e-mail address|\n"
        "first_name|first|text|-|is NULL|\n"
        "last_name|last|text|-|-|\"L\"\n"
        "city|address.city|text|-|is not in the row|\n"
        "customer_history.loyalty_tier|-|text|-|is a constant with no other field beside it|\n"
        "metadata.source|-|text|-|-|\"crm\"\n"
        "metadata.id|id|integer|-|-|7\n");
    finish(&fixture);
}
END_TEST

START_TEST(notes_go_on_behind_the_first_broken_leaf)
{
    struct fixture fixture;
    must_begin(&fixture, "mapping:\n"
                         "  email: mail\n"
                         "  last_name: last\n"
                         "  phone: phone\n");
    ck_assert_int_eq(map(&fixture, "{\"mail\":\"x\",\"last\":\"L\",\"phone\":\"12\"}"),
                     MAPPER_RESULT_INVALID);
    ck_assert_uint_eq(fixture.body.len, 0);
    ck_assert(strstr(fixture.notes.text.data, "email|mail|email|is not an e-mail address|-|\n"));
    ck_assert(strstr(fixture.notes.text.data, "last_name|last|text|-|-|\"L\"\n"));
    ck_assert(strstr(fixture.notes.text.data, "phone|phone|phone|is "));
    finish(&fixture);
}
END_TEST

START_TEST(the_same_row_makes_the_same_body_whatever_came_before)
{
    struct fixture fixture;
    must_begin(&fixture, "mapping:\n"
                         "  email: mail\n"
                         "  customer_history: {loyalty_tier: {from: t, map: {1: A, 2: B}}}\n");
    const char *good = "{\"mail\":\"a@example.com\",\"t\":1}";
    ck_assert_int_eq(map(&fixture, good), MAPPER_RESULT_BODY);
    char *first = mem_strdup(fixture.body.data);
    ck_assert_int_eq(map(&fixture, "{\"mail\":\"x\",\"t\":3}"), MAPPER_RESULT_INVALID);
    ck_assert_int_eq(map(&fixture, "{}"), MAPPER_RESULT_NOTHING);
    ck_assert_uint_eq(mapper_reasons(fixture.mapper).len, 0);
    ck_assert_int_eq(map(&fixture, good), MAPPER_RESULT_BODY);
    ck_assert_str_eq(fixture.body.data, first);
    free(first);
    finish(&fixture);
}
END_TEST

// The members of an object are remembered from one path into it to the next.
START_TEST(paths_into_an_object_find_its_members_row_by_row)
{
    struct fixture fixture;
    must_begin(&fixture, "mapping:\n"
                         "  first_name: a.f\n"
                         "  last_name: b.f\n"
                         "  city: a.c\n");
    ck_assert_int_eq(map(&fixture, "{\"a\":{\"f\":\"1\",\"c\":\"2\"},\"b\":{\"f\":\"3\"}}"),
                     MAPPER_RESULT_BODY);
    ck_assert_str_eq(fixture.body.data,
                     "{\"first_name\":\"1\",\"last_name\":\"3\",\"city\":\"2\"}");
    char row[400] = "{\"a\":{\"c\":null";
    for (int i = 0; i < 20; i++) { // and so many in the end that they are not
        char whole[sizeof row + 2];
        char wanted[40];
        snprintf(row + strlen(row), sizeof row - strlen(row), ",\"f\":\"%d\"", i);
        snprintf(whole, sizeof whole, "%s}}", row);
        snprintf(wanted, sizeof wanted, "{\"first_name\":\"%d\"}", i);
        ck_assert_int_eq(map(&fixture, whole), MAPPER_RESULT_BODY);
        ck_assert_str_eq(fixture.body.data, wanted);
    }
    finish(&fixture);
}
END_TEST

static void check_map(struct fixture *fixture, const char *json, enum mapper_result wanted)
{
    ck_assert_int_eq(map(fixture, json), wanted);
    ck_assert((fixture->body.len > 0) == (wanted == MAPPER_RESULT_BODY));
}

START_TEST(every_cap_below_the_body_is_too_big_and_the_body_itself_fits)
{
    struct fixture fixture;
    must_begin(&fixture,
               "mapping:\n"
               "  first_name: a\n"
               "  last_name: {from: b, when_null: 'null'}\n"
               "  customer_history: {first_name: a, address: {city: a, country: {value: USA}}}\n");
    const char *row = "{\"a\":\"x\",\"b\":null}";
    check_map(&fixture, row, MAPPER_RESULT_BODY);
    size_t whole = fixture.body.len;
    for (size_t cap = 10; cap < whole; cap++) {
        buf_free(&fixture.body);
        buf_init(&fixture.body, cap);
        check_map(&fixture, row, MAPPER_RESULT_TOO_BIG);
    }
    fixture.body.cap = whole;
    check_map(&fixture, row, MAPPER_RESULT_BODY);
    finish(&fixture);
}
END_TEST

START_TEST(a_value_that_alone_is_too_big_is_named)
{
    struct fixture fixture;
    must_begin(&fixture, "mapping:\n  first_name: a\n  last_name: b\n");
    fixture.body.cap = 30;
    ck_assert_int_eq(
        map(&fixture, "{\"a\":\"x\",\"b\":\"0123456789012345678901234567890123456789\"}"),
        MAPPER_RESULT_INVALID);
    ck_assert_str_eq(mapper_reasons(fixture.mapper).ptr,
                     "last_name: column b: is too big for a request");
    finish(&fixture);
}
END_TEST

static void check_long_reasons(struct str reasons)
{
    ck_assert(reasons.len > 990 && reasons.len <= 1000);
    ck_assert(str_is_utf8(reasons));
    ck_assert(str_ends(reasons, STR("...")));
    ck_assert(strstr(reasons.ptr, "secret") == NULL);
}

// Sixty broken columns, the first with a name of `pad` bytes more: the cut moves by that much.
static void cut_reasons_at(int pad)
{
    struct fixture fixture;
    struct buf yaml;
    struct buf row;
    buf_init(&yaml, TEXT_CAP);
    buf_init(&row, TEXT_CAP);
    append(&yaml, STR("mapping:\n  metadata:\n"));
    append(&row, STR("{"));
    for (int i = 0; i < 60; i++) {
        char more[PAD_MAX + 1] = "";
        memset(more, 'x', i == 0 ? (size_t)pad : 0);
        ck_assert(buf_printf(&yaml, "    ключ%d: {from: столбец%s%d, as: integer}\n", i, more, i));
        ck_assert(buf_printf(&row, "\"столбец%s%d\":\"secret\",", more, i));
    }
    append(&row, STR("\"end\":0}"));
    must_begin(&fixture, yaml.data);
    check_map(&fixture, row.data, MAPPER_RESULT_INVALID);
    check_long_reasons(mapper_reasons(fixture.mapper));
    finish(&fixture);
    buf_free(&row);
    buf_free(&yaml);
}

START_TEST(reasons_end_at_1000_bytes_and_at_a_whole_character)
{
    for (int pad = 0; pad <= PAD_MAX; pad++) {
        cut_reasons_at(pad);
    }
}
END_TEST

static void check_other_mapper(struct fixture *fixture, struct mapper *mapper)
{
    row_reset(&fixture->row);
    ck_assert(row_add(&fixture->row, STR("{\"mail\":\"a@example.com\"}"), true));
    ck_assert(mapper_map(mapper, &fixture->row, 0, &fixture->body, NULL, NULL) ==
              MAPPER_RESULT_BODY);
    ck_assert(str_equal(buf_peek(&fixture->body), STR("{\"email\":\"a@example.com\"}")));
}

START_TEST(one_mapper_serves_mappings_of_any_size)
{
    struct fixture small;
    struct fixture large;
    must_begin(&small, "mapping:\n  email: mail\n");
    must_begin(&large, "mapping:\n  email: mail\n  city: c\n  state: s\n  first_name: f\n");
    check_other_mapper(&small, small.mapper);
    check_other_mapper(&large, small.mapper);
    check_other_mapper(&small, small.mapper);
    finish(&large);
    finish(&small);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mapper");
    TCase *tests = tcase_create("mapper");
    tcase_add_test(tests, maps_every_case_of_the_table);
    tcase_add_test(tests, notes_say_what_became_of_each_leaf);
    tcase_add_test(tests, notes_go_on_behind_the_first_broken_leaf);
    tcase_add_test(tests, the_same_row_makes_the_same_body_whatever_came_before);
    tcase_add_test(tests, paths_into_an_object_find_its_members_row_by_row);
    tcase_add_test(tests, every_cap_below_the_body_is_too_big_and_the_body_itself_fits);
    tcase_add_test(tests, a_value_that_alone_is_too_big_is_named);
    tcase_add_test(tests, reasons_end_at_1000_bytes_and_at_a_whole_character);
    tcase_add_test(tests, one_mapper_serves_mappings_of_any_size);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
