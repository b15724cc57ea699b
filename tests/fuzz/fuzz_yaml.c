// Any text as YAML: there is a tree, or a problem that says why not; the tree is what yaml.h says,
// and every place lies in the text.
#include "config/yaml.h"
#include "fuzz.h"
#include "problem.h"

enum { DEPTH_MAX = 32 };

static int count_lines(struct str text)
{
    int lines = 1;
    for (size_t i = 0; i < text.len; i++) {
        lines += text.ptr[i] == '\n' || text.ptr[i] == '\r';
    }
    return lines;
}

static void check_place(struct yaml_place place, struct str text)
{
    FUZZ_CHECK(place.line >= 1 && place.line <= count_lines(text) + 1);
    FUZZ_CHECK(place.column >= 1 && (size_t)place.column <= text.len + 1);
}

static void check_node(const struct yaml_node *node, struct str text, size_t depth);

static void check_pairs(const struct yaml_node *node, struct str text, size_t depth)
{
    for (size_t i = 0; i < node->count; i++) {
        const struct yaml_pair *pair = &node->pairs[i];
        check_place(pair->key_place, text);
        FUZZ_CHECK(str_is_utf8(pair->key));
        FUZZ_CHECK(yaml_get(node, pair->key) == pair->value); // so there is no second one
        check_node(pair->value, text, depth + 1);
    }
}

// Recursion ends with the depth that is promised.
static void check_node(const struct yaml_node *node, struct str text, size_t depth)
{
    FUZZ_CHECK(depth <= DEPTH_MAX);
    check_place(node->place, text);
    FUZZ_CHECK(str_is_utf8(node->text));
    FUZZ_CHECK(node->kind == YAML_KIND_SCALAR || node->text.len == 0);
    FUZZ_CHECK(node->kind != YAML_KIND_SCALAR || node->quoted || !yaml_is_null(node->text));
    if (node->kind == YAML_KIND_MAPPING) {
        check_pairs(node, text, depth);
    }
    for (size_t i = 0; node->kind == YAML_KIND_SEQUENCE && i < node->count; i++) {
        check_node(node->items[i], text, depth + 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    struct problems *problems = problems_create();
    struct yaml_tree *tree = yaml_read_text(text, "f", problems);
    FUZZ_CHECK(tree != NULL || problems_count(problems) > 0);
    for (size_t i = 0; i < problems_count(problems); i++) {
        FUZZ_CHECK(str_starts(str_of(problems_line(problems, i)), STR("f:")));
        problem_check(problems, i);
    }
    if (tree != NULL && yaml_root(tree) != NULL) {
        check_node(yaml_root(tree), text, 0);
    }
    yaml_destroy(tree);
    problems_destroy(problems);
    return 0;
}
