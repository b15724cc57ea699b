// What this instance says of itself for `status`: every few seconds a small JSON object in its row
// of imprint_sync.instance, with the rate of the last minutes and what limited it.
#ifndef APP_VITALS_H
#define APP_VITALS_H

#include "app/relay.h"
#include "app/stats.h"
#include "config/config.h"
#include "io/loop.h"
#include "io/outbox.h"
#include "io/sender.h"

#include <stdbool.h>

struct vitals;

struct vitals_parts { // all borrowed
    struct loop *loop;
    struct outbox *outbox;
    struct sender *sender;
    struct relay *relay;
    const struct stats *stats;
};

struct vitals *vitals_create(const struct vitals_parts *parts);
void vitals_destroy(struct vitals *vitals);
// A reload makes another one, and the one before goes when it is idle.
void vitals_set_sender(struct vitals *vitals, struct sender *sender);

// Once a turn: notes what limits the sending from now on, and vitalss when it is time. `config` is
// the one in force. Without a connection the samples are kept for later.
void vitals_pump(struct vitals *vitals, const struct config *config, bool connected);

#endif
