// One line on how things are, for `systemctl status`:
//
//     12 waiting (oldest 3.0 s), 45.2/s of 100.0/s, API open, 64 of 64 slots
#ifndef DOMAIN_HEADLINE_H
#define DOMAIN_HEADLINE_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct headline {
    bool stopping;
    bool connected;
    int64_t lost_s;   // how long it has not been connected
    bool counted;     // the next three are known
    int64_t waiting;  // pending rows
    int64_t oldest_s; // of them
    int64_t dead;
    double sent_per_s;
    double allowed_per_s;
    const char *api; // "open", or the state of the pool
    int64_t api_s;   // how long it has been so
    size_t in_flight;
    size_t slots;
    size_t slots_of;
};

bool headline_print(const struct headline *headline, struct buf *out) MUST_CHECK;

#endif
