// The types of the mapping: each normalises a column's value into the form the API takes, or says
// why it cannot. A type is one row of a table: name, what it makes, how, and help text.
// Reasons name the rule and never the value.
#ifndef DOMAIN_FIELDTYPE_H
#define DOMAIN_FIELDTYPE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "domain/jsontext.h"
#include "domain/zone.h"

#include <stdbool.h>
#include <stdint.h>

enum fieldtype_id {
    FIELDTYPE_ID_TEXT,
    FIELDTYPE_ID_INTEGER,
    FIELDTYPE_ID_EMAIL,
    FIELDTYPE_ID_PHONE,
    FIELDTYPE_ID_LANGUAGE,
    FIELDTYPE_ID_COUNTRY,
    FIELDTYPE_ID_US_STATE,
    FIELDTYPE_ID_CURRENCY,
    FIELDTYPE_ID_MINOR_UNITS,
    FIELDTYPE_ID_TIMESTAMP,
    FIELDTYPE_ID_MONTHS_SINCE,
    FIELDTYPE_ID_BOOLEAN,
    FIELDTYPE_ID_JSON,
};
enum { FIELDTYPE_COUNT = FIELDTYPE_ID_JSON + 1 };

// What a type writes into the body.
enum fieldtype_makes {
    FIELDTYPE_MAKES_STRING,
    FIELDTYPE_MAKES_INTEGER,
    FIELDTYPE_MAKES_BOOLEAN,
    FIELDTYPE_MAKES_ANY,
};

struct fieldtype_options {
    int64_t max_length;      // characters of the result; 0: no limit
    struct str calling_code; // digits, for national phone numbers; empty: "1"
    const struct zone *zone; // of timestamps without one; NULL: UTC
};

struct fieldtype_input {
    struct jsontext value; // never ABSENT or NULL: the mapper deals with those
    const struct fieldtype_options *options;
    struct str currency; // MINOR_UNITS: the decoded, trimmed text of the currency column
    int64_t wall_ns;     // MONTHS_SINCE: now, since 1970-01-01 UTC
    struct buf *scratch; // reset and used freely
};

struct fieldtype {
    const char *name;
    const char *help; // one sentence for the manual
    // Appends the JSON of the result to `out` and returns NULL, or returns the reason (a constant
    // sentence such as "is not an e-mail address"); `out` is then as it was.
    const char *(*convert)(const struct fieldtype_input *input, struct buf *out);
    enum fieldtype_id id;
    enum fieldtype_makes makes;
};

// The reason when the result does not fit: the cap of `out` or of the scratch buffer would be
// passed. The one reason that is compared, by its address.
extern const char fieldtype_too_big[];

// The row of a type; never NULL.
const struct fieldtype *fieldtype_get(enum fieldtype_id id);
// By name; NULL when there is none.
const struct fieldtype *fieldtype_find(struct str name);

#endif
