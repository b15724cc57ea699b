// The numbered files of sql/, embedded at build time. The n-th entry is version n.
#ifndef APP_MIGRATIONS_H
#define APP_MIGRATIONS_H

#include <stddef.h>

struct migration {
    const char *name; // "0001_outbox"
    const char *sql;
};

extern const struct migration migrations[];
extern const size_t migration_count;

#endif
