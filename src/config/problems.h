// The errors of one run over all configuration files, in the form a person can click on:
// "file:line:column: key: what was found, what is allowed". Errors are collected, so that one run
// shows all of them. Life cycle: problems_create, problems_add..., problems_line...,
// problems_destroy.
#ifndef CONFIG_PROBLEMS_H
#define CONFIG_PROBLEMS_H

#include "base/str.h"

#include <stddef.h>

// Where a node stands. `line` 0: the file as a whole.
struct yaml_place {
    const char *file; // borrowed from the tree
    int line;         // from 1
    int column;       // from 1, in characters
};

struct problems;

struct problems *problems_create(void);
void problems_destroy(struct problems *problems);

// `key` is the dotted path or NULL. A value that may be a secret is never part of the text. Control
// characters are escaped here, so found names and values may be passed as they are. Copies all.
void problems_add(struct problems *problems, struct yaml_place place, const char *key,
                  const char *format, ...) __attribute__((format(printf, 4, 5)));

size_t problems_count(const struct problems *problems);

// The i-th line, without newline; in order of file, line and column. Valid until the next
// problems_add.
const char *problems_line(struct problems *problems, size_t index);

// The same by its parts, for the log. Borrowed from the line; empty where there is none.
struct problem_parts {
    struct str file;
    int line; // 0: the file as a whole
    int column;
    struct str key;
    struct str reason;
};
struct problem_parts problems_parts(struct problems *problems, size_t index);

// The head of a found text, short enough to be shown in a message and never cut within a character.
struct str problems_excerpt(struct str text);

#endif
