// The form of libpq's connection strings, so that `check --offline` finds with a place what libpq
// would refuse at the start of the daemon.
#ifndef CONFIG_DSN_H
#define CONFIG_DSN_H

#include "base/str.h"

#include <stdbool.h>

// NULL, or what is wrong with a conninfo string; a URI is left to libpq. Nothing of the text is
// shown, since it may hold a password. A setting that libpq may know and this list does not passes,
// unless it is nearly one of the list.
const char *dsn_reason(struct str dsn);

// Takes the value behind a "=" off the head of a conninfo string: up to the next space, or what
// stands in '...'. False when the quote is not closed; `*value` is then all that follows it.
bool dsn_take_value(struct str *rest, struct str *value);

#endif
