// Host names to addresses without stopping the loop: getaddrinfo has no other form than the
// blocking one ([tried] a dead name server holds it for 10 s), so it runs in a helper thread, the
// only one of the program. libpq is then given the addresses (hostaddr).
#ifndef IO_RESOLVER_H
#define IO_RESOLVER_H

#include "io/loop.h"

#include <stddef.h>

struct resolver;

// `addresses`: numeric, in the resolver's order, borrowed during the call; count 0 and a reason of
// getaddrinfo when the name has none.
typedef void (*resolver_fn)(void *ctx, const char *const *addresses, size_t count,
                            const char *reason);

// Starts a look-up; `fn` is called once from the loop, unless it is cancelled before. The handle
// ends with the callback or with resolver_cancel. NULL when no thread can be started.
struct resolver *resolver_start(struct loop *loop, const char *name, resolver_fn fn, void *ctx);
void resolver_cancel(struct resolver *resolver);

#endif
