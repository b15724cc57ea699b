// Writes outcomes: takes the updates that are SETTLING, as many at a time as go, and ends each once
// its outcome is committed. What cannot be written stays, and a batch that fails is halved until it
// is known whose fault it is.
#ifndef APP_SETTLER_H
#define APP_SETTLER_H

#include "app/refill.h"
#include "app/stats.h"
#include "base/log.h"
#include "domain/pulse.h"
#include "domain/update.h"
#include "io/loop.h"
#include "io/outbox.h"

#include <stdbool.h>
#include <stdint.h>

struct settler;

struct settler_parts { // all borrowed
    struct loop *loop;
    struct log *log;
    struct outbox *outbox;
    struct updates *updates;
    struct refill *refill; // hears of customers that are to be read again
    struct stats *stats;
};

struct settler *settler_create(const struct settler_parts *parts);
void settler_destroy(struct settler *settler);

// Once a turn. `ready`: the database is there.
void settler_pump(struct settler *settler, bool ready, int64_t now);
// When one that has to wait has its next turn; INT64_MAX: none has to.
int64_t settler_next_ns(const struct settler *settler, int64_t now);

// What it knows of settling.
void settler_tell(const struct settler *settler, struct pulse_facts *facts);

// The event for an outcome. Texts may be empty.
void settler_log_outcome(struct log *log, const struct update *update, const char *type,
                         const char *param, const char *reason);

#endif
