// What the service manager is told (sd_notify). Nothing happens where there is none.
#ifndef IO_SERVICE_H
#define IO_SERVICE_H

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool service_is_managed(void); // somebody is told
void service_ready(void);
void service_reloading(void); // service_ready ends it
void service_stopping(void);
void service_status(const char *text); // shown by `systemctl status`

// How long systemd waits for service_alive before it ends the process; 0: for ever.
int64_t service_watchdog_ns(void);
void service_alive(void);

// Whether standard error goes to the journal, which reads priorities from "<N>" prefixes.
bool service_has_journal(void);

// An entry for the journal, made of NAME=value; false where there is none. A log_journal_fn.
bool service_send_journal(void *ctx, const struct str *fields, size_t count);

#endif
