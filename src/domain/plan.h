// Reads a plan of Postgres, EXPLAIN (VERBOSE, FORMAT JSON): how many rows it expects, and which
// tables it reads from end to end, with what an index on them would have to hold.
#ifndef DOMAIN_PLAN_H
#define DOMAIN_PLAN_H

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PLAN_SCANS_MAX = 16 };

// A table without an index for what is looked up in it. Texts are owned.
struct plan_scan {
    char *schema; // these two as they are, not quoted
    char *relation;
    char *key; // SQL, without the table's alias: what is compared for equality; NULL: not found
};

struct plan_scans {
    struct plan_scan list[PLAN_SCANS_MAX];
    size_t count;
};

// Rows that the whole plan is expected to yield; -1 when `json` is no plan.
int64_t plan_rows(struct str json);

// Fills `scans`, each table once; the caller frees them. What is no plan has none.
void plan_scans_find(struct plan_scans *scans, struct str json);
void plan_scans_free(struct plan_scans *scans);

#endif
