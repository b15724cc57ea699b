// THE pipeline: refill, start, judge, settle.
//
//     outbox -> refill -> queue -> rate gate -> sender -> verdict -> settle -> outbox
//
// Once a turn of the loop it does all that can be done now and sets a timer for the rest. It waits
// for nothing: neither the database for requests nor requests for the database.
#ifndef APP_RELAY_H
#define APP_RELAY_H

#include "app/stats.h"
#include "base/log.h"
#include "config/config.h"
#include "domain/lease.h"
#include "domain/pool.h"
#include "domain/pulse.h"
#include "io/loop.h"
#include "io/outbox.h"
#include "io/sender.h"

#include <stdbool.h>
#include <stdint.h>

struct relay;

struct relay_parts { // all borrowed
    struct loop *loop;
    struct log *log;
    const struct config *config;
    struct outbox *outbox;
    struct sender *sender;
    struct lease *lease;
    struct stats *stats;
};

struct relay *relay_create(const struct relay_parts *parts);
void relay_destroy(struct relay *relay);

void relay_on_ready(struct relay *relay, enum outbox_source source);
void relay_on_lost(struct relay *relay);
// The database is not the one that the updates in memory were read from, or a past of it: none of
// them is settled there.
void relay_on_new_history(struct relay *relay);
void relay_on_notify(struct relay *relay);
void relay_set_listening(struct relay *relay, bool listening);

// The leases changed. Called before anything is given back: the rate's share goes first.
void relay_on_lease(struct relay *relay, const struct lease_change *change);
bool relay_slot_busy(const struct relay *relay, int slot);

// What the instances share: an operator's pause (0: none, INT64_MAX: until it is ended), and how
// long another was told to stay away.
void relay_on_pool(struct relay *relay, int64_t paused_ns, int64_t throttled_ns);
// Until when the API told this instance to stay away; 0: it did not.
int64_t relay_throttled_until_ns(const struct relay *relay);
// How long nothing but probes has been sent; 0: it is open, or an operator's pause is on.
int64_t relay_closed_ns(const struct relay *relay);
bool relay_probe_due(const struct relay *relay);

// Another configuration and a sender made by it. What is in flight goes on; what has not begun is
// read again, after relay_on_source.
void relay_reconfigure(struct relay *relay, const struct config *config, struct sender *sender);
void relay_on_source(struct relay *relay, enum outbox_source source);

// Another API key was read.
void relay_on_key(struct relay *relay);

// Takes nothing more; what is in flight is finished and settled.
void relay_stop(struct relay *relay);
bool relay_is_drained(const struct relay *relay); // after relay_stop
// Nothing is due, in memory or in the database: what --once waits for.
bool relay_is_empty(const struct relay *relay);

// One turn's work.
void relay_pump(struct relay *relay);

// What keeps it from sending more at this moment.
enum relay_limit {
    RELAY_LIMIT_NOTHING,  // all that is due is under way
    RELAY_LIMIT_RATE,     // no token
    RELAY_LIMIT_WORKERS,  // every worker waits for an answer
    RELAY_LIMIT_API,      // the pool is closed, or starts slowly
    RELAY_LIMIT_DATABASE, // there is none, or a read or a settle is waited for
    RELAY_LIMIT_SOURCE,   // thin rows wait for a source that can be read
    RELAY_LIMIT_LEASES,   // another instance has the slots, or the leases end soon
};
enum { RELAY_LIMIT_COUNT = RELAY_LIMIT_LEASES + 1 };
enum relay_limit relay_limit(const struct relay *relay);
const char *relay_limit_name(enum relay_limit limit); // "rate"

// What it knows of reading, sending and settling.
void relay_tell(struct relay *relay, struct pulse_facts *facts);

// For status lines.
bool relay_is_open(const struct relay *relay);
const char *relay_paused(const struct relay *relay); // NULL when open
double relay_rate_per_sec(const struct relay *relay);
void relay_note_counts(struct relay *relay, const struct outbox_counts *counts);
// The pool wants the key file read again.
bool relay_wants_key(const struct relay *relay);
bool relay_is_paused_by_hand(const struct relay *relay);
// Requests have been refused for so long that --once gives up: the API is not usable now.
bool relay_is_stuck(const struct relay *relay);

#endif
