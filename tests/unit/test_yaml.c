// The YAML tree and the list of problems: places, what is refused, and files that are none.
#include "base/mem.h"
#include "config/yaml.h"
#include "suite.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MIB = 1024 * 1024 };

struct wrong {
    const char *name;
    struct str text;
    const char *lines; // all messages, joined by newlines
};

#define TEXT(literal)                                                                              \
    {                                                                                              \
        (literal), sizeof(literal) - 1                                                             \
    }

static const struct wrong wrongs[] = {
    {"tab", TEXT("a:\n\tb: 1\n"), "f:2:1: tab in the indentation (lines like this: 1); use spaces"},
    {"tab behind spaces", TEXT("a:\n  \tb: 1\n\tc: 1\n"),
     "f:2:3: tab in the indentation (lines like this: 2); use spaces"},
    {"NUL", TEXT("a: b\0c\n"), "f:1:5: control character U+0000; only printable text is allowed"},
    {"escape", TEXT("a: 1\nb: \x1B[31m\n"),
     "f:2:4: control character U+001B; only printable text is allowed"},
    {"DEL", TEXT("a: \x7F\n"), "f:1:4: control character U+007F; only printable text is allowed"},
    {"C1", TEXT("\xC3\xA4: \xC2\x85\n"),
     "f:1:4: control character U+0085; only printable text is allowed"},
    {"Latin-1", TEXT("a: 1\nb: M\xFCller\n"),
     "f:2:5: byte 0xFC is not UTF-8; save the file as UTF-8"},
    {"overlong", TEXT("a: \xC0\xAF\n"), "f:1:4: byte 0xC0 is not UTF-8; save the file as UTF-8"},
    {"surrogate", TEXT("a: \xED\xA0\x80\n"),
     "f:1:4: byte 0xED is not UTF-8; save the file as UTF-8"},
    {"cut off", TEXT("a: \xE2\x82"), "f:1:4: byte 0xE2 is not UTF-8; save the file as UTF-8"},
    {"UTF-16",
     TEXT("\xFF\xFE"
          "a\0:\0"),
     "f:1:1: byte 0xFF is not UTF-8; save the file as UTF-8"},
    {"noncharacter", TEXT("a: 1\nb: \xEF\xBF\xBF\n"),
     "f:2:4: YAML syntax: control characters are not allowed"},
    {"duplicate", TEXT("a: 1\nb: 2\na: 3\n"), "f:3:1: a: duplicate key; the first is in line 1"},
    {"duplicates in order", TEXT("b: {x: 1, x: 2}\na: 2\nb: 3\na: 4\na: 5\n"),
     "f:1:11: b.x: duplicate key; the first is in line 1\n"
     "f:3:1: b: duplicate key; the first is in line 1\n"
     "f:4:1: a: duplicate key; the first is in line 2\n"
     "f:5:1: a: duplicate key; the first is in line 2"},
    {"quoted duplicate", TEXT("a: 1\n\"a\": 2\n"),
     "f:2:1: a: duplicate key; the first is in line 1"},
    {"anchor", TEXT("a: &x 1\n"), "f:1:4: a: anchor (&name); write the value out instead"},
    {"anchor on a key", TEXT("&x a: 1\n"), "f:1:1: anchor (&name); write the value out instead"},
    {"anchor on a list", TEXT("a: &x [1]\n"),
     "f:1:4: a: anchor (&name); write the value out instead"},
    {"alias", TEXT("a: &x 1\nb: *x\nc: !t 2\n"),
     "f:1:4: a: anchor (&name); write the value out instead\n"
     "f:2:4: b: alias (*name); write the value out instead\n"
     "f:3:4: c: tag (!name); write the value without it"},
    {"alias as a key", TEXT("a: &x 1\n*x : 2\n"),
     "f:1:4: a: anchor (&name); write the value out instead\n"
     "f:2:1: a key must be a plain name"},
    {"tag", TEXT("a: !!str 1\n"), "f:1:4: a: tag (!name); write the value without it"},
    {"tag on a mapping", TEXT("a: !x {b: 1}\n"),
     "f:1:4: a: tag (!name); write the value without it"},
    {"second document", TEXT("a: 1\n---\nb: 1\n"), "f:2:1: second document; a file holds one"},
    {"second document behind an end", TEXT("a: 1\n...\n---\nb: 1\n"),
     "f:3:1: second document; a file holds one"},
    {"key is a mapping", TEXT("? {a: 1}\n: 2\n"), "f:1:3: a key must be a plain name"},
    {"open bracket", TEXT("a: [1, 2\nb: 3\n"),
     "f:2:2: YAML syntax: did not find expected ',' or ']', while parsing a flow sequence that "
     "begins in line 1"},
    {"no colon", TEXT("a: 1\nb\n"),
     "f:3:1: YAML syntax: could not find expected ':', while scanning a simple key that begins in "
     "line 2"},
    {"wrong indentation", TEXT("a: 1\n  b: 2\n"),
     "f:2:4: YAML syntax: mapping values are not allowed in this context"},
};

static void check_lines(struct problems *problems, const char *name, const char *lines)
{
    char all[4096] = "";
    size_t len = 0;
    for (size_t i = 0; i < problems_count(problems) && len < sizeof all; i++) {
        len += (size_t)snprintf(all + len, sizeof all - len, "%s%s", i == 0 ? "" : "\n",
                                problems_line(problems, i));
    }
    ck_assert_msg(strcmp(all, lines) == 0, "%s: got\n%s\nwanted\n%s", name, all, lines);
}

// Builds a tree that must be right.
static struct yaml_tree *must_read(const char *text)
{
    struct problems *problems = problems_create();
    struct yaml_tree *tree = yaml_read_text(str_of(text), "f", problems);
    check_lines(problems, text, "");
    ck_assert_ptr_nonnull(tree);
    problems_destroy(problems);
    return tree;
}

START_TEST(wrong_texts_say_what_and_where)
{
    const struct wrong *wrong = &wrongs[_i];
    // From the heap, so that the sanitizer sees a read behind the end.
    char *copy = malloc(wrong->text.len);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, wrong->text.ptr, wrong->text.len);
    struct problems *problems = problems_create();
    yaml_destroy(yaml_read_text((struct str){copy, wrong->text.len}, "f", problems));
    check_lines(problems, wrong->name, wrong->lines);
    problems_destroy(problems);
    free(copy);
}
END_TEST

static void check_node(const struct yaml_node *node, enum yaml_kind kind, const char *text,
                       int line, int column)
{
    ck_assert_ptr_nonnull(node);
    ck_assert_msg(node->kind == kind, "%s: kind %d", text, (int)node->kind);
    ck_assert_msg(str_equal(node->text, str_of(text)), "%s: %.*s", text, STR_ARG(node->text));
    ck_assert_msg(node->place.line == line && node->place.column == column, "%s: at %d:%d", text,
                  node->place.line, node->place.column);
}

START_TEST(nodes_know_kind_text_and_place)
{
    struct yaml_tree *tree = must_read("a: 1\nlist:\n  - x\n  - \"2\"\nnone:\nm: {k: ~}\n");
    const struct yaml_node *root = yaml_root(tree);
    check_node(root, YAML_KIND_MAPPING, "", 1, 1);
    check_node(yaml_get(root, STR("a")), YAML_KIND_SCALAR, "1", 1, 4);
    const struct yaml_node *list = yaml_get(root, STR("list"));
    check_node(list, YAML_KIND_SEQUENCE, "", 3, 3);
    check_node(list->items[0], YAML_KIND_SCALAR, "x", 3, 5);
    check_node(list->items[1], YAML_KIND_SCALAR, "2", 4, 5);
    ck_assert(list->items[1]->quoted && !list->items[0]->quoted && list->count == 2);
    check_node(yaml_get(root, STR("none")), YAML_KIND_NULL, "", 5, 6);
    check_node(yaml_get(yaml_get(root, STR("m")), STR("k")), YAML_KIND_NULL, "", 6, 8);
    ck_assert(root->pairs[3].key_place.line == 6 && root->pairs[3].key_place.column == 1);
    yaml_destroy(tree);
}
END_TEST

START_TEST(what_is_not_there_is_null)
{
    struct yaml_tree *tree = must_read("a: 1\nm: {k: ~}\n");
    const struct yaml_node *root = yaml_root(tree);
    ck_assert_ptr_null(yaml_get(root, STR("b")));
    ck_assert_ptr_null(yaml_get(yaml_get(root, STR("m")), STR("l")));
    ck_assert_ptr_null(yaml_get(yaml_get(root, STR("a")), STR("k")));
    ck_assert_ptr_null(yaml_get(NULL, STR("k")));
    yaml_destroy(tree);
}
END_TEST

START_TEST(plain_nulls_are_null_and_quoted_ones_are_text)
{
    struct yaml_tree *tree = must_read("[~, null, Null, NULL, \"null\", '', nil]\n");
    const struct yaml_node *root = yaml_root(tree);
    for (size_t i = 0; i < root->count; i++) {
        ck_assert_int_eq(root->items[i]->kind, i < 4 ? YAML_KIND_NULL : YAML_KIND_SCALAR);
    }
    ck_assert_uint_eq(root->count, 7);
    yaml_destroy(tree);
}
END_TEST

START_TEST(columns_count_characters)
{
    struct yaml_tree *tree = must_read("\xEF\xBB\xBF{\xC3\xA4\xE2\x82\xAC: x}\n");
    const struct yaml_node *value = yaml_root(tree)->pairs[0].value;
    ck_assert_int_eq(value->place.column, 6);
    yaml_destroy(tree);
}
END_TEST

START_TEST(empty_texts_have_no_root)
{
    static const char *const texts[] = {"", "\n", "# only this\n", "\xEF\xBB\xBF"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct yaml_tree *tree = must_read(texts[i]);
        ck_assert_ptr_null(yaml_root(tree));
        yaml_destroy(tree);
    }
    struct yaml_tree *tree = must_read("---\n...\n");
    ck_assert_int_eq(yaml_root(tree)->kind, YAML_KIND_NULL);
    yaml_destroy(tree);
}
END_TEST

START_TEST(a_tree_with_duplicates_keeps_the_first)
{
    struct problems *problems = problems_create();
    struct yaml_tree *tree = yaml_read_text(STR("a: 1\nb: 2\na: {c: 3}\nd: 4\n"), "f", problems);
    ck_assert_uint_eq(problems_count(problems), 1);
    ck_assert_ptr_nonnull(tree);
    ck_assert_uint_eq(yaml_root(tree)->count, 3);
    ck_assert(str_equal(yaml_get(yaml_root(tree), STR("a"))->text, STR("1")));
    ck_assert(str_equal(yaml_get(yaml_root(tree), STR("d"))->text, STR("4")));
    yaml_destroy(tree);
    problems_destroy(problems);
}
END_TEST

static char *must_nest(size_t levels, bool closed)
{
    char *text = calloc(2 * levels + 1, 1);
    ck_assert_ptr_nonnull(text);
    memset(text, '[', levels);
    if (closed) {
        memset(text + levels, ']', levels);
    }
    return text;
}

START_TEST(nesting_ends_at_32_levels)
{
    char *text = must_nest(32, true);
    yaml_destroy(must_read(text));
    free(text);
    static const size_t levels[] = {33, 1000, 500000};
    for (size_t i = 0; i < 2 * sizeof levels / sizeof levels[0]; i++) {
        struct problems *problems = problems_create();
        text = must_nest(levels[i / 2], i % 2 == 0);
        ck_assert_ptr_null(yaml_read_text(str_of(text), "f", problems));
        check_lines(problems, "nested", "f:1:33: nested deeper than 32 levels");
        problems_destroy(problems);
        free(text);
    }
}
END_TEST

START_TEST(many_keys_take_no_quadratic_time)
{
    enum { KEYS = 100000 };
    char *text = calloc(KEYS, 10);
    ck_assert_ptr_nonnull(text);
    size_t len = 0;
    for (int i = 0; i < KEYS; i++) {
        len += (size_t)snprintf(text + len, 10, "k%d:\n", i);
    }
    struct yaml_tree *tree = must_read(text);
    ck_assert_uint_eq(yaml_root(tree)->count, KEYS);
    yaml_destroy(tree);
    free(text);
}
END_TEST

// Reads a copy on the heap, where the sanitizer sees a read behind the end.
static void read_copy(struct str text, size_t at, char byte, size_t len)
{
    char *copy = malloc(text.len);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, text.ptr, text.len);
    copy[at] = byte;
    struct problems *problems = problems_create();
    yaml_destroy(yaml_read_text((struct str){copy, len}, "f", problems));
    problems_destroy(problems);
    free(copy);
}

// Every beginning of a text, and every text with one byte changed, is read or refused, no more.
START_TEST(broken_texts_never_crash)
{
    static const struct str good = TEXT("a: {b: [1, \"x\\n\", 'y'], c: ~}\nd: |\n  long\n"
                                        "\"e\": \xC3\xA4 # end\n? f\n: &g *h\n");
    static const char bytes[] = "\0\t\n :-[]{}\"'#&*!|>%@`\xFF\xC2";
    for (size_t i = 0; i < good.len; i++) {
        read_copy(good, i, good.ptr[i], i);
        for (size_t j = 0; j < sizeof bytes; j++) {
            read_copy(good, i, bytes[j], good.len);
        }
    }
}
END_TEST

// Files

static void check_file(const char *path, const char *lines)
{
    struct problems *problems = problems_create();
    struct yaml_tree *tree = yaml_read_file(path, problems);
    ck_assert_int_eq(tree == NULL, lines[0] != '\0');
    check_lines(problems, path, lines);
    yaml_destroy(tree);
    problems_destroy(problems);
}

static void must_write(const char *path, size_t len)
{
    char *text = malloc(len);
    ck_assert_ptr_nonnull(text);
    memset(text, '#', len);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(text, 1, len, file), len);
    ck_assert_int_eq(fclose(file), 0);
    free(text);
}

static void enter_folder(void)
{
    char folder[] = "/tmp/test_yaml_XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
    ck_assert_int_eq(mkfifo("pipe", 0600), 0);
    must_write("full", MIB);
    must_write("large", MIB + 1);
    must_write("huge", 10 * (size_t)MIB);
}

static void leave_folder(void)
{
    static const char *const names[] = {"pipe", "full", "large", "huge"};
    char folder[4096];
    ck_assert_ptr_nonnull(getcwd(folder, sizeof folder));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        ck_assert_int_eq(unlink(names[i]), 0);
    }
    ck_assert_int_eq(rmdir(folder), 0);
}

START_TEST(files_that_are_none_are_named)
{
    check_file("absent", "absent: cannot be read: No such file or directory");
    check_file("ab\nsent", "ab\\x0Asent: cannot be read: No such file or directory");
    check_file(".", ".: cannot be read: Is a directory");
    check_file("/dev/zero", "/dev/zero: cannot be read: Not a regular file");
    check_file("pipe", "pipe: cannot be read: Not a regular file");
    check_file("full", "");
    check_file("large", "large: is larger than 1 MiB, which is no configuration");
    check_file("huge", "huge: is larger than 1 MiB, which is no configuration");
    if (geteuid() != 0) {
        ck_assert_int_eq(chmod("full", 0), 0);
        check_file("full", "full: cannot be read: Permission denied");
    }
}
END_TEST

// The list of problems

START_TEST(problems_stand_in_order_and_clean)
{
    struct problems *problems = problems_create();
    struct yaml_place place = {.file = "b", .line = 2, .column = 1};
    problems_add(problems, place, "k", "second \x1B[0m \xFF %d", 7);
    problems_add(problems, (struct yaml_place){.file = "b", .line = 1, .column = 9},
                 (const char *)NULL, "%s", "first");
    ck_assert_str_eq(problems_line(problems, 0), "b:1:9: first");
    problems_add(problems, place, "k", "third \xC2\x9B \xC3\xA4");
    problems_add(problems, (struct yaml_place){.file = "a"}, "", "of another file");
    problems_add(problems, (struct yaml_place){0}, NULL, "of none");
    check_lines(problems, "order",
                "of none\n"
                "a: of another file\n"
                "b:1:9: first\n"
                "b:2:1: k: second \\x1B[0m \\xFF 7\n"
                "b:2:1: k: third \\u009B \xC3\xA4");
    problems_destroy(problems);
    problems_destroy(NULL);
}
END_TEST

START_TEST(excerpts_end_between_characters)
{
    struct str text = STR("\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC"
                          "\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC"
                          "\xE2\x82\xAC\xE2\x82\xAC");
    ck_assert_uint_eq(problems_excerpt(text).len, 39);
    ck_assert_uint_eq(problems_excerpt(STR("short")).len, 5);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("yaml");
    TCase *tree = tcase_create("tree");
    tcase_add_loop_test(tree, wrong_texts_say_what_and_where, 0,
                        (int)(sizeof wrongs / sizeof wrongs[0]));
    tcase_add_test(tree, nodes_know_kind_text_and_place);
    tcase_add_test(tree, what_is_not_there_is_null);
    tcase_add_test(tree, plain_nulls_are_null_and_quoted_ones_are_text);
    tcase_add_test(tree, columns_count_characters);
    tcase_add_test(tree, empty_texts_have_no_root);
    tcase_add_test(tree, a_tree_with_duplicates_keeps_the_first);
    tcase_add_test(tree, nesting_ends_at_32_levels);
    tcase_add_test(tree, many_keys_take_no_quadratic_time);
    tcase_add_test(tree, broken_texts_never_crash);
    suite_add_tcase(suite, tree);
    TCase *files = tcase_create("files");
    tcase_add_checked_fixture(files, enter_folder, leave_folder);
    tcase_add_test(files, files_that_are_none_are_named);
    suite_add_tcase(suite, files);
    TCase *problems = tcase_create("problems");
    tcase_add_test(problems, problems_stand_in_order_and_clean);
    tcase_add_test(problems, excerpts_end_between_characters);
    suite_add_tcase(suite, problems);
    return suite_run(suite);
}
