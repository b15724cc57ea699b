// What a column's type in Postgres can feed: the types of the mapping whose rules at least one of
// its values can meet. `check` tells by it, before anything is sent, which column can never give a
// valid field. A type of Postgres is one row of a table.
#ifndef DOMAIN_COLUMNTYPE_H
#define DOMAIN_COLUMNTYPE_H

#include "domain/fieldtype.h"

#include <stdbool.h>
#include <stdint.h>

enum columntype_fit {
    COLUMNTYPE_FIT_FITS,
    COLUMNTYPE_FIT_DOUBTFUL, // only single values do, and the type holds objects as well (jsonb)
    COLUMNTYPE_FIT_NEVER,
};

// A type is given by its name as format_type() has it, without modifier and below all domains, and
// by its pg_type.typcategory. Types that are not known count by their category.
enum columntype_fit columntype_fit(const char *name, char category, enum fieldtype_id type);

// Can "column.member" find anything in it?
bool columntype_has_members(const char *name, char category);

// The types that fit, as a mask of 1 << enum fieldtype_id.
uint32_t columntype_feeds(const char *name, char category);

#endif
