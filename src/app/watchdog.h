// Feeds systemd's watchdog (WatchdogSec=) as long as the daemon is alive in the sense of
// domain/pulse.h, and logs what is stuck before it no longer does. Where there is no watchdog it
// only logs.
#ifndef APP_WATCHDOG_H
#define APP_WATCHDOG_H

#include "base/log.h"
#include "domain/pulse.h"
#include "io/loop.h"

#include <stdbool.h>

struct watchdog;

struct watchdog *watchdog_create(struct loop *loop, struct log *log); // both borrowed
void watchdog_destroy(struct watchdog *watchdog);

// At the end of a turn: whether it is time for watchdog_look. Turns come often enough by its timer.
bool watchdog_is_due(const struct watchdog *watchdog);
void watchdog_look(struct watchdog *watchdog, const struct pulse_facts *facts);

#endif
