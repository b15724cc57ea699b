#include "app/table.h"

#include "app/screen.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "domain/human.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum { TABLE_CELL_MAX = 65536, TABLE_GAP = 2, TABLE_INDENT = 4 };

struct table {
    const struct table_column *columns;
    size_t column_count;
    int *widths;
    char **cells; // whole rows, the heads first
    size_t count;
    size_t room;
};

struct table *table_create(const struct table_column *columns, size_t count)
{
    struct table *table = mem_calloc(1, sizeof *table);
    *table = (struct table){.columns = columns,
                            .column_count = count,
                            .widths = mem_calloc(count, sizeof *table->widths)};
    for (size_t i = 0; i < count; i++) {
        table_add(table, columns[i].head);
    }
    return table;
}

void table_destroy(struct table *table)
{
    if (table != NULL) {
        for (size_t i = 0; i < table->count; i++) {
            free(table->cells[i]);
        }
        free(table->cells);
        free(table->widths);
        free(table);
    }
}

void table_add(struct table *table, const char *text)
{
    struct buf safe;
    buf_init(&safe, TABLE_CELL_MAX);
    bool ok = human_safe(str_of(text == NULL ? "" : text), &safe);
    char *cell = mem_strdup(!ok ? "(too long)" : safe.len == 0 ? "" : buf_peek(&safe).ptr);
    buf_free(&safe);
    if (table->count == table->room) {
        table->room = table->room == 0 ? 8 * table->column_count : 2 * table->room;
        table->cells = mem_resize(table->cells, table->room, sizeof *table->cells);
    }
    int *width = &table->widths[table->count % table->column_count];
    int columns = (int)str_utf8_count(str_of(cell));
    *width = columns > *width ? columns : *width;
    table->cells[table->count++] = cell;
}

// What is behind the last cell of a line is left out.
static void table_print_cell(const struct table *table, size_t column, const char *text, bool last)
{
    int pad = table->widths[column] - (int)str_utf8_count(str_of(text));
    bool number = table->columns[column].number;
    printf("%*s%s%*s", number ? pad : 0, "", text, number || last ? 0 : pad, "");
}

// Whether the line must end before this column.
static bool table_breaks(const struct table *table, size_t column, int at, int width)
{
    return width > 0 && at > TABLE_INDENT && at + TABLE_GAP + table->widths[column] > width;
}

static void table_print_row(const struct table *table, char *const *cells, int width)
{
    int at = 0;
    for (size_t i = 0; i < table->column_count; i++) {
        if (i > 0 && table_breaks(table, i, at, width)) {
            printf("\n%*s", TABLE_INDENT, "");
            at = TABLE_INDENT;
        } else if (i > 0) {
            printf("%*s", TABLE_GAP, "");
            at += TABLE_GAP;
        }
        at += table->widths[i];
        bool last = i + 1 == table->column_count || table_breaks(table, i + 1, at, width);
        table_print_cell(table, i, cells[i], last);
    }
    putchar('\n');
}

void table_print(const struct table *table)
{
    assert(table->count % table->column_count == 0);
    int width = screen_is_terminal() ? screen_size().width : 0;
    for (size_t i = 0; i < table->count; i += table->column_count) {
        table_print_row(table, &table->cells[i], width);
    }
}
