// The targets of the mapping: the fields of the API's "update a customer" request (contract). A
// target is one row of a table: where it stands, the type it has when the mapping names none, which
// types may feed it, and help text. The members of `metadata` have free names and share one row.
#ifndef DOMAIN_TARGET_H
#define DOMAIN_TARGET_H

#include "base/str.h"
#include "domain/fieldtype.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct target {
    const char *path; // "customer_history.ltv_amount"; "metadata.*" for all of metadata
    enum fieldtype_id type;
    uint32_t feeds; // the types that may feed it: 1 << enum fieldtype_id
    const char *help;
};

// The table, in the order of the contract.
size_t target_count(void);
const struct target *target_at(size_t index);

// By path, which for metadata is "metadata." and any name; NULL when there is none.
const struct target *target_find(struct str path);

// Is `path` an object that has targets below it? The empty path is the request itself.
bool target_is_object(struct str path);

// The names of the members of an object, without its path: targets and objects, each once, but no
// free names. Fills up to `room` and returns how many there are; the array serves str_nearest().
size_t target_members(struct str object, const char **names, size_t room);

bool target_takes(const struct target *target, enum fieldtype_id type);

#endif
