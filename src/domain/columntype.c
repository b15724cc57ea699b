#include "domain/columntype.h"

#include <stddef.h>
#include <string.h>

#define FEED(type) (UINT32_C(1) << FIELDTYPE_ID_##type)
#define FEEDS_ALL ((UINT32_C(1) << FIELDTYPE_COUNT) - 1)
// Its text, whatever that looks like; `json` takes everything.
#define FEEDS_TEXT (FEED(TEXT) | FEED(JSON))
#define FEEDS_WHOLE (FEEDS_TEXT | FEED(INTEGER) | FEED(MINOR_UNITS) | FEED(PHONE) | FEED(BOOLEAN))
#define FEEDS_TIME (FEEDS_TEXT | FEED(TIMESTAMP) | FEED(MONTHS_SINCE))

struct columntype {
    const char *name; // NULL: all others of the category
    char category;
    uint32_t feeds;
    bool members;
    bool scalars; // may also hold a single value, which then feeds anything
};

// Names first. What is left to a category are types whose values are text of any form.
static const struct columntype columntypes[] = {
    {"boolean", 'B', FEEDS_TEXT | FEED(BOOLEAN), false, false},
    {"smallint", 'N', FEEDS_WHOLE, false, false},
    {"integer", 'N', FEEDS_WHOLE, false, false},
    {"bigint", 'N', FEEDS_WHOLE, false, false},
    {"oid", 'N', FEEDS_WHOLE, false, false},
    {"numeric", 'N', FEEDS_WHOLE, false, false},
    {"real", 'N', FEEDS_WHOLE, false, false},
    {"double precision", 'N', FEEDS_WHOLE, false, false},
    {"money", 'N', FEEDS_TEXT, false, false}, // with its sign: $12.30
    {"date", 'D', FEEDS_TIME, false, false},
    {"timestamp without time zone", 'D', FEEDS_TIME, false, false},
    {"timestamp with time zone", 'D', FEEDS_TIME, false, false},
    {"uuid", 'U', FEEDS_TEXT, false, false},
    {"bytea", 'U', FEED(JSON), false, false}, // "\x..." is nobody's name
    {"json", 'U', FEED(JSON), true, true},
    {"jsonb", 'U', FEED(JSON), true, true},
    {"hstore", 'U', FEED(JSON), true, false},
    {NULL, 'A', FEED(JSON), false, false},                                 // arrays
    {NULL, 'C', FEED(JSON), true, false},                                  // composite types
    {NULL, 'D', FEEDS_TEXT, false, false},                                 // times of day
    {NULL, 'T', FEEDS_TEXT, false, false},                                 // intervals
    {NULL, 'R', FEEDS_TEXT, false, false},                                 // ranges
    {NULL, 'G', FEEDS_TEXT, false, false},                                 // geometry
    {NULL, 'I', FEEDS_TEXT, false, false},                                 // network addresses
    {NULL, 'V', FEEDS_TEXT | FEED(INTEGER) | FEED(BOOLEAN), false, false}, // bit strings
};

// Strings, enums, and what users have made: no rule is out of reach.
static const struct columntype columntype_any = {NULL, 'S', FEEDS_ALL, false, false};

static const struct columntype *columntype_find(const char *name, char category)
{
    for (size_t i = 0; i < sizeof columntypes / sizeof columntypes[0]; i++) {
        const struct columntype *row = &columntypes[i];
        if (row->name == NULL ? row->category == category : strcmp(row->name, name) == 0) {
            return row;
        }
    }
    return &columntype_any;
}

enum columntype_fit columntype_fit(const char *name, char category, enum fieldtype_id type)
{
    const struct columntype *row = columntype_find(name, category);
    if ((row->feeds >> type & 1) != 0) {
        return COLUMNTYPE_FIT_FITS;
    }
    return row->scalars ? COLUMNTYPE_FIT_DOUBTFUL : COLUMNTYPE_FIT_NEVER;
}

bool columntype_has_members(const char *name, char category)
{
    // A user's own type may have a cast to json.
    return columntype_find(name, category)->members ||
           (columntype_find(name, category) == &columntype_any && category == 'U');
}

uint32_t columntype_feeds(const char *name, char category)
{
    return columntype_find(name, category)->feeds;
}
