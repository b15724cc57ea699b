// The compiled mapping: which column makes which field of the request, and how. Built once from the
// configuration, then read only. The targets and their types are the API's (contract).
//
// It is a short program: the steps, in the order of the fields in the request, open an object, put
// one leaf into it, or close it. Columns are numbered, so that a row is an array of values.
#ifndef DOMAIN_MAPPING_H
#define DOMAIN_MAPPING_H

#include "base/err.h"
#include "base/str.h"
#include "domain/fieldtype.h"
#include "domain/jsontext.h"

#include <stdbool.h>
#include <stddef.h>

enum { MAPPING_DEPTH_MAX = 4 };      // objects in objects, the request itself included
enum { MAPPING_PATH_PARTS_MAX = 8 }; // names in "a.b.c"
#define MAPPING_NO_COLUMN SIZE_MAX

// A column, or a member inside of it: "address.line1".
struct mapping_path {
    struct str text; // as written, NUL-terminated; empty: there is no path
    size_t column;
    const struct str *keys; // below the column
    size_t key_count;
};

enum mapping_null {
    MAPPING_NULL_OMIT,
    MAPPING_NULL_SEND, // as null
    MAPPING_NULL_FAIL,
};

struct mapping_choice {
    struct str key;         // decoded text of a string, else JSON text; no white space at the ends
    struct jsontext result; // of kind NULL: counts as NULL
};

// One field of the request. What it points to lives as long as its mapping.
struct mapping_leaf {
    const char *target; // "customer_history.ltv_amount"
    const struct fieldtype *type;
    struct jsontext constant; // `value`; kind ABSENT: it comes from a column
    struct mapping_path from;
    struct mapping_path currency;   // MINOR_UNITS only
    struct mapping_choice *choices; // `map`, sorted; NULL: none
    size_t choice_count;
    struct jsontext fallback; // `default`; kind ABSENT: none
    bool required;
    bool omit_invalid;
    enum mapping_null when_null;
    struct fieldtype_options options;
    struct str timezone; // as written, of options.zone; empty: not given
};

enum mapping_step_kind {
    MAPPING_STEP_KIND_OPEN,
    MAPPING_STEP_KIND_LEAF,
    MAPPING_STEP_KIND_CLOSE,
};

struct mapping_step {
    enum mapping_step_kind kind;
    struct str member; // OPEN, LEAF: the name as it stands in the body, with quotes and colon
    size_t leaf;       // LEAF: its index
};

struct mapping;

struct mapping *mapping_create(void);
void mapping_destroy(struct mapping *mapping);

// Building. Memory, texts and zones that leaves point to live and die with the mapping.
void *mapping_alloc(struct mapping *mapping, size_t count, size_t size); // zeroed
struct str mapping_keep(struct mapping *mapping, struct str text);       // a NUL-terminated copy
void mapping_keep_zone(struct mapping *mapping, struct zone *zone);      // takes ownership
// Compiles "column" or "column.key.key" and numbers the column.
bool mapping_path_compile(struct mapping *mapping, struct str text, struct mapping_path *path,
                          struct err *err) MUST_CHECK;
void mapping_open(struct mapping *mapping, struct str name);
void mapping_close(struct mapping *mapping);
// Adds a field called `name` to the open object. False when the leaf's map has a key twice.
bool mapping_add(struct mapping *mapping, struct str name, const struct mapping_leaf *leaf,
                 struct err *err) MUST_CHECK;

// Reading. All that is handed out is borrowed.
size_t mapping_step_count(const struct mapping *mapping);
const struct mapping_step *mapping_steps(const struct mapping *mapping);
size_t mapping_leaf_count(const struct mapping *mapping);
const struct mapping_leaf *mapping_leaf_at(const struct mapping *mapping, size_t index);
// By target; NULL when it is not mapped.
const struct mapping_leaf *mapping_leaf_find(const struct mapping *mapping, struct str target);

// The distinct top-level columns that the mapping reads, in the order of their index in a row.
size_t mapping_column_count(const struct mapping *mapping);
const char *mapping_column_name(const struct mapping *mapping, size_t index); // borrowed
// The index of the column that a JSON member's raw key (escapes not decoded) names, or
// MAPPING_NO_COLUMN. Called for each key of each row.
size_t mapping_column_find(const struct mapping *mapping, struct str raw_key);

// What the leaf's map makes of a value, or NULL when its text is not in the map.
const struct jsontext *mapping_choice_find(const struct mapping_leaf *leaf, struct str text);

#endif
