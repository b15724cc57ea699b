// Two configurations by the table of keys: what a reload changes, and what it must leave as it is.
// The mapping is no value of the table: it is never listed.
#ifndef CONFIG_DIFF_H
#define CONFIG_DIFF_H

#include "config/config.h"
#include "config/keys.h"

#include <stdbool.h>
#include <stddef.h>

// The keys whose values differ, in the order of the table: those that a reload can change, or with
// `restart` those that it cannot. Returns how many; the names are the table's.
size_t diff_keys(const struct config *before, const struct config *after, bool restart,
                 const char *names[KEYS_MAX]);

// Gives `after` the values of `before` for what a reload cannot change.
void diff_keep(const struct config *before, struct config *after);

#endif
