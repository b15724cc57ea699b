// A table for people: columns as wide as what stands in them. On a terminal that is too narrow a
// row goes on in an indented line, heads and cells alike; elsewhere each row is one line.
#ifndef APP_TABLE_H
#define APP_TABLE_H

#include <stdbool.h>
#include <stddef.h>

struct table;

struct table_column {
    const char *head;
    bool number; // to the right
};

// Borrows the columns.
struct table *table_create(const struct table_column *columns, size_t count);
void table_destroy(struct table *table);

// The next cell, row by row. NULL is an empty one; control characters are shown as '?'.
void table_add(struct table *table, const char *text);
// On standard output.
void table_print(const struct table *table);

#endif
