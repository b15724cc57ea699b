// One customer's row for the mapper: the value of each column that the mapping reads. Adding
// several rows folds them, column by column (a column is a top-level key, replaced whole): what is
// added later wins, so application rows are added in id order and the source row last.
// Values are borrowed from the texts that were added.
#ifndef DOMAIN_ROW_H
#define DOMAIN_ROW_H

#include "base/str.h"
#include "domain/jsontext.h"
#include "domain/mapping.h"

#include <stdbool.h>
#include <stddef.h>

struct row {
    const struct mapping *mapping;
    struct jsontext *values; // by column index; ABSENT where no row had the column
    bool complete;           // holds the source row, so an absent column is really missing
};

void row_init(struct row *row, const struct mapping *mapping);
void row_free(struct row *row);
void row_reset(struct row *row);

// Adds a JSON object; `source` says that it is the customer's whole row. False when the text is not
// an object or is ill-formed; the row is then filled in part and good only for row_reset.
bool row_add(struct row *row, struct str object, bool source) MUST_CHECK;

#endif
