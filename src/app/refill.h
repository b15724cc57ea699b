// Keeps the relay supplied: polls the outbox for customers with something due, folds their rows,
// maps them and queues the updates. It knows how far each lane has been read, when to look again,
// when to declare the daemon idle, and what to do with rows that cannot be sent.
#ifndef APP_REFILL_H
#define APP_REFILL_H

#include "base/log.h"
#include "config/config.h"
#include "domain/lease.h"
#include "domain/pulse.h"
#include "domain/update.h"
#include "domain/verdict.h"
#include "io/loop.h"
#include "io/outbox.h"

#include <stdbool.h>
#include <stdint.h>

struct refill;

struct refill_parts { // all borrowed
    struct loop *loop;
    struct log *log;
    const struct config *config;
    struct outbox *outbox;
    struct updates *updates;
    const struct lease *lease;
    bool listening; // a NOTIFY can wake us
};

struct refill *refill_create(const struct refill_parts *parts);
void refill_destroy(struct refill *refill);

// The database is there (again), or its source was looked at again: everything is read anew.
void refill_on_ready(struct refill *refill, enum outbox_source source);
void refill_on_lost(struct refill *refill);
// Nothing is read until refill_on_ready says what source there is now.
void refill_reconfigure(struct refill *refill, const struct config *config);
void refill_on_notify(struct refill *refill);
void refill_set_listening(struct refill *refill, bool listening);

// This customer has more rows than those just settled, or rows that were left untouched.
void refill_want(struct refill *refill, const char *key);
// Something fetched from this slot was dropped unsent, or the slot was taken: read it from the
// start.
void refill_reread(struct refill *refill, int slot);
void refill_reread_all(struct refill *refill);

// Rows of this customer up to `last_id` get this outcome (RETRY or DEAD) when they are read next:
// an answer that seemed to be everyone's turned out to be their own.
void refill_charge(struct refill *refill, const char *key, int64_t last_id,
                   enum update_outcome outcome, const struct verdict *verdict);

// Reads more if at most `room` updates fit and it is time. Call it once a turn.
void refill_pump(struct refill *refill, int64_t room, int64_t now);
// The same, of live changes only and not as often: while backfills fill the memory.
void refill_pump_live(struct refill *refill, int64_t room, int64_t now);
// As refill_pump, of any customers among the first `outbox.batch` instead of the first ones, and
// without going on from there: for probes. `random` chooses them.
void refill_pump_some(struct refill *refill, int64_t room, uint64_t random, int64_t now);

// When it wants to be called again at the latest; INT64_MAX while a call is under way.
int64_t refill_next_ns(const struct refill *refill);
int64_t refill_live_next_ns(const struct refill *refill);

// The last look at the whole queue found nothing due, and nothing is left to read.
bool refill_is_empty(const struct refill *refill);
// Waits for the database, and the look before found something: there is more to come.
bool refill_is_reading(const struct refill *refill);

// What it knows of reading.
void refill_tell(const struct refill *refill, struct pulse_facts *facts);

// Thin rows are waiting for a source that cannot be read.
bool refill_holds_thin(const struct refill *refill);
// Warns, once for each hold, when `thin` of them are there.
void refill_note_thin(struct refill *refill, int64_t thin);

#endif
