/*
 * sandbox: the state of the stand-in API that all requests share. One thread owns it,
 * so there are no locks. server owns it; api and control work on it.
 */
#ifndef SANDBOX_SANDBOX_H
#define SANDBOX_SANDBOX_H

#include "fault.h"
#include "journal.h"
#include "keys.h"
#include "options.h"
#include "rate.h"
#include "stats.h"
#include "store.h"

#include <stdint.h>

struct sandbox {
    const struct options *options;
    struct store store;
    struct faults faults;
    struct keys keys;
    struct rate rate;
    struct stats stats;
    struct journal journal;
    int64_t last_seq;
};

/* An exit status, EXIT_SUCCESS when all is well; reasons are on stderr. Free it anyway. */
int sandbox_init(struct sandbox *sandbox, const struct options *options)
    __attribute__((warn_unused_result));

void sandbox_free(struct sandbox *sandbox);

#endif
