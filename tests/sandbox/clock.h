/*
 * clock: the times that the sandbox measures with and prints.
 * Durations and order: CLOCK_BOOTTIME, which all processes of a machine share and
 * which goes on during suspend. Wall time is printed only.
 */
#ifndef SANDBOX_CLOCK_H
#define SANDBOX_CLOCK_H

#include "text.h"

#include <stdint.h>

#define CLOCK_NS_PER_MS INT64_C(1000000)
#define CLOCK_NS_PER_SEC INT64_C(1000000000)

int64_t clock_boot_ns(void);
int64_t clock_wall_ns(void);

/* RFC 3339 in UTC with milliseconds. */
void clock_put_rfc3339(struct text *text, int64_t wall_ns);

/* The date form of HTTP headers; the second is rounded up. */
void clock_put_http_date(struct text *text, int64_t wall_ns);

#endif
