// Finds passwords that were written into a configuration, so that they are refused. All look at the
// text as it was written: a secret that comes from a ${VARIABLE} is not in the file.
#ifndef CONFIG_SECRET_H
#define CONFIG_SECRET_H

#include "base/str.h"

#include <stdbool.h>

// A password in a libpq conninfo string ("host=db password=...") or URI.
bool secret_is_in_dsn(struct str written);

// A password in front of a URL's host ("http://user:password@host").
bool secret_is_in_url(struct str written);

#endif
