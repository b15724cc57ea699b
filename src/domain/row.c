#include "domain/row.h"

#include "base/mem.h"

#include <stdlib.h>

void row_init(struct row *row, const struct mapping *mapping)
{
    *row = (struct row){
        .mapping = mapping,
        .values = mem_calloc(mapping_column_count(mapping), sizeof row->values[0]),
    };
    row_reset(row);
}

void row_free(struct row *row)
{
    free(row->values);
    *row = (struct row){.mapping = NULL};
}

void row_reset(struct row *row)
{
    for (size_t i = 0; i < mapping_column_count(row->mapping); i++) {
        row->values[i] = (struct jsontext){.kind = JSONTEXT_KIND_ABSENT};
    }
    row->complete = false;
}

bool row_add(struct row *row, struct str object, bool source)
{
    struct jsontext document = jsontext_of(object);
    if (document.kind != JSONTEXT_KIND_OBJECT) {
        return false;
    }
    struct jsontext_walk walk = jsontext_walk_begin(document);
    while (jsontext_walk_next(&walk)) {
        size_t column = mapping_column_find(row->mapping, walk.key);
        if (column != MAPPING_NO_COLUMN) {
            row->values[column] = walk.value;
        }
    }
    row->complete = row->complete || source;
    return !walk.broken;
}
