// The parts of `imprint-sync check`. Each looks at one side and adds what it finds to the report;
// none needs another to have succeeded, but for what its comment says.
#ifndef APP_CHECK_H
#define APP_CHECK_H

#include "app/report.h"
#include "app/session.h"
#include "config/config.h"

#include <stdbool.h>

struct check {
    const struct config *config;
    struct report report;
    struct session *session; // NULL: the database cannot be reached
    char grantee[140];       // the role to give rights to, quoted: the group's, or the daemon's own
    bool ready;              // schema and rights are as the daemon needs them
};

// Connects; version of the server, role, schema, each right.
void check_database(struct check *check);

// The source: what it is, row security, its columns, size and indexes. Needs `ready`.
void check_source(struct check *check);

// Its columns, against the configuration and the mapping; called by check_source. `source` is its
// name for people. `*complete`: all are there. False when the database failed.
bool check_columns(struct check *check, const char *source, bool *complete,
                   struct err *err) MUST_CHECK;

// Watched tables, and whether a COMMIT wakes an idle daemon. Needs `ready`.
void check_watched(struct check *check);
void check_notify(struct check *check);

// Connects to the API: name, TLS, certificate. With `try_key` also an update of no customer.
void check_api(struct check *check, bool try_key);

#endif
