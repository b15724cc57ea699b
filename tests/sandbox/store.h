/*
 * store: all customers, found by id without regard to case, kept in the order in
 * which they came. A strict store has only those of its file; any other has every
 * well-formed id but the nil UUID.
 */
#ifndef SANDBOX_STORE_H
#define SANDBOX_STORE_H

#include "customer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct store {
    bool strict;
    struct customer **list;
    size_t count;
    size_t room;
    size_t *slots; /* place in the list + 1; 0: free */
    size_t slot_count;
};

/* One id a line; false and errno when the file cannot be read. */
bool store_load_strict(struct store *store, const char *file, int64_t wall_ns)
    __attribute__((warn_unused_result));

/* The customer, made on first use, or NULL when there is no such customer. */
struct customer *store_get(struct store *store, const char *id, int64_t wall_ns);

/* Only one that has accepted updates, or NULL. */
struct customer *store_find(const struct store *store, const char *id);

void store_clear(struct store *store);

#endif
