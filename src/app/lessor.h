// Keeps this instance's leases: a heartbeat several times a lease, and at once where something is
// to be taken or given back, or was (the others say so by NOTIFY; without it they are looked at
// each second while slots are due to us).
#ifndef APP_LESSOR_H
#define APP_LESSOR_H

#include "app/relay.h"
#include "base/log.h"
#include "domain/lease.h"
#include "domain/pulse.h"
#include "io/loop.h"
#include "io/outbox.h"

#include <stdbool.h>

struct lessor;

struct lessor_parts { // all borrowed
    struct loop *loop;
    struct log *log;
    struct outbox *outbox;
    struct lease *lease;
    struct relay *relay;
    const char *instance;
    int64_t burst; // delivery.burst: fewer slots than hold one whole token are no use
    bool yields;   // no slots while an instance of `run` lives
};

struct lessor *lessor_create(const struct lessor_parts *parts);
void lessor_destroy(struct lessor *lessor);

// delivery.burst, after a reload.
void lessor_set_burst(struct lessor *lessor, int64_t burst);

// On a new connection; `new_history`: to another server, or another line of its history.
void lessor_on_ready(struct lessor *lessor, bool new_history);
void lessor_on_lost(struct lessor *lessor);

// Another instance came, left or gave something back, or the pool's state changed.
void lessor_on_notify(struct lessor *lessor);

// Gives everything back as soon as nothing of it is in flight.
void lessor_drain(struct lessor *lessor);
bool lessor_is_drained(const struct lessor *lessor);

// At the beginning of a turn: lets go of what has run out, before anything is begun with it.
void lessor_expire(struct lessor *lessor);
// At its end: sends a heartbeat when it is time.
void lessor_pump(struct lessor *lessor);

// What it knows of heartbeats.
void lessor_tell(const struct lessor *lessor, struct pulse_facts *facts);

// The first heartbeat has been answered: leases were asked for.
bool lessor_has_asked(const struct lessor *lessor);

#endif
