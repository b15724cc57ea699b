// Tables of test cases as data: tests/cases/*.tsv, one case a line, its fields separated by single
// tabs. Lines that start with '#' and empty lines are left out. A test runs a table with one loop:
//
//     struct cases cases;
//     cases_open(&cases, "decimal.tsv", 3);
//     while (cases_next(&cases)) { use cases.field[0], ...; cases.where names the line }
//     cases_close(&cases);
//
// A table that cannot be read, is empty or has a line with another number of fields fails the test.
#ifndef UNIT_CASES_H
#define UNIT_CASES_H

#include "base/str.h"

#include <stdbool.h>
#include <stdio.h>

enum { CASES_FIELDS_MAX = 6 };

struct cases {
    struct str field[CASES_FIELDS_MAX]; // valid until the next call
    char where[64];                     // "decimal.tsv:12"
    FILE *file;
    char *line;
    size_t room;
    const char *name;
    size_t fields;
    size_t number;
    size_t count;
};

void cases_open(struct cases *cases, const char *name, size_t fields);
bool cases_next(struct cases *cases);
void cases_close(struct cases *cases);

// The content of a file, for which the caller frees `*data`; fails the test when it cannot be read.
struct str cases_must_read(const char *path, char **data);

#endif
