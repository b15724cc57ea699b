// Tells systemd in one line how things are (STATUS=, what `systemctl status` shows): every few
// seconds if the line has changed, and soon after API or database changed their state. Where there
// is no service manager it does nothing.
#ifndef APP_HERALD_H
#define APP_HERALD_H

#include "domain/headline.h"
#include "io/loop.h"
#include "io/outbox.h"

#include <stdbool.h>
#include <stdint.h>

struct herald;

// What is known at the end of a turn.
struct herald_view {
    bool stopping;
    bool connected;
    const char *paused; // the state of the pool, a constant; NULL: open
    int64_t sent;       // in total
    double allowed_per_s;
    size_t in_flight;
    size_t slots;
    size_t slots_of;
};

struct herald *herald_create(struct loop *loop); // borrowed
void herald_destroy(struct herald *herald);

// It wants the rows counted: not often, and less often where that takes long.
bool herald_wants_counts(const struct herald *herald);
// They were counted, which began at `began_ns`; NULL: that failed.
void herald_note_counts(struct herald *herald, const struct outbox_counts *counts,
                        int64_t began_ns);

// Once a turn.
void herald_pump(struct herald *herald, const struct herald_view *view);

#endif
