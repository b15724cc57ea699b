// A YAML document as a tree whose nodes know where they stand, so that every later error can name
// file, line and column. Only what a configuration needs: one document, mappings, sequences and
// scalars; anchors, aliases, tags, duplicate keys, tabs and other encodings are errors.
// Errors are collected, not the first only (config/problems.h).
#ifndef CONFIG_YAML_H
#define CONFIG_YAML_H

#include "base/str.h"
#include "config/problems.h"

#include <stdbool.h>
#include <stddef.h>

enum yaml_kind { YAML_KIND_NULL, YAML_KIND_SCALAR, YAML_KIND_SEQUENCE, YAML_KIND_MAPPING };

struct yaml_node {
    enum yaml_kind kind;
    struct yaml_place place;
    struct str text;          // scalar: its value; empty otherwise
    bool quoted;              // scalar: written with quotes, so it is a text whatever it looks like
    bool unknown;             // an alias stood here, which was reported: nothing more is to be said
    struct yaml_pair *pairs;  // mapping
    struct yaml_node **items; // sequence
    size_t count;             // of pairs or items; no key twice
};

struct yaml_pair {
    struct str key;
    struct yaml_place key_place;
    bool key_quoted;         // so it is a text whatever it looks like
    struct yaml_node *value; // never NULL
};

struct yaml_tree;

// Reads a file; NULL when it cannot be read or parsed: the reasons are in `problems`. A tree may
// come with problems as well (a duplicate key, of which the first is kept, or a tag), so that what
// it holds can be checked in the same run: it is good only if no problem was added.
struct yaml_tree *yaml_read_file(const char *path, struct problems *problems);
// The same from memory; `name` stands for the file in messages. For tests and the fuzzer.
struct yaml_tree *yaml_read_text(struct str text, const char *name, struct problems *problems);
void yaml_destroy(struct yaml_tree *tree);
// Borrowed; NULL for an empty document.
const struct yaml_node *yaml_root(const struct yaml_tree *tree);

// Is unquoted text what YAML takes for no value?
bool yaml_is_null(struct str text);

// The value of `key` in a mapping, or NULL; also when `mapping` is NULL or no mapping. Borrowed.
const struct yaml_node *yaml_get(const struct yaml_node *mapping, struct str key);

#endif
