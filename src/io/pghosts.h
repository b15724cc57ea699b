// The hosts of a DSN, one address after the other, each as a complete set of libpq parameters.
// libpq would walk over a list of hosts by itself, but resolves names in the calling thread and has
// no timeout of its own for each host in its non-blocking form.
#ifndef IO_PGHOSTS_H
#define IO_PGHOSTS_H

#include "base/err.h"
#include "io/loop.h"

#include <stdbool.h>
#include <stdint.h>

struct pghosts;

struct pghosts_address {
    const char *host;     // as in the DSN, for TLS and for messages; NULL: libpq's default socket
    const char *hostaddr; // numeric; NULL for a socket directory
    const char *port;     // NULL: default
};

enum { PGHOSTS_PARAMS = 80 };

// For PQconnectStartParams; borrowed from the pghosts object and the arguments.
struct pghosts_params {
    const char *keywords[PGHOSTS_PARAMS];
    const char *values[PGHOSTS_PARAMS];
};

// One of the two is called for each pghosts_next that returned true, at once or later.
typedef void (*pghosts_address_fn)(void *ctx, const struct pghosts_address *address);
typedef void (*pghosts_failed_fn)(void *ctx, const char *reason);

// NULL when the DSN cannot be used; the reason does not quote it.
struct pghosts *pghosts_create(struct loop *loop, const char *dsn, pghosts_address_fn on_address,
                               pghosts_failed_fn on_failed, void *ctx, struct err *err);
void pghosts_destroy(struct pghosts *hosts);

// Whether pghosts_create would take it.
bool pghosts_check(const char *dsn, struct err *err) MUST_CHECK;

// The DSN's connect_timeout, which libpq does not keep in its non-blocking form; 0: not set.
int64_t pghosts_connect_timeout_ns(const struct pghosts *hosts);

// Goes to the next address; false when all have been tried.
bool pghosts_next(struct pghosts *hosts);
void pghosts_rewind(struct pghosts *hosts);

// The DSN's parameters with this address, `password` (may be NULL) and what the daemon needs:
// UTF-8, keepalives, no GSS negotiation, a server that takes writes.
void pghosts_params(const struct pghosts *hosts, const struct pghosts_address *address,
                    const char *password, struct pghosts_params *params);

#endif
