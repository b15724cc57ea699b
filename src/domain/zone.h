// A time zone: which offset from UTC local time had at an instant. Fixed offsets are parsed here;
// named zones come from the system's TZif files (RFC 8536), whose bytes the caller reads. Behind
// the last change in the file its footer rules, for ever; without a footer the last change does.
#ifndef DOMAIN_ZONE_H
#define DOMAIN_ZONE_H

#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct zone;

// Seconds east of UTC: "Z", or a sign and HH, HHMM, HH:MM, HHMMSS or HH:MM:SS, below 16 hours.
bool zone_parse_offset(struct str text, int64_t *seconds) MUST_CHECK;

// "UTC", "Z", "+02:00", "-0530". NULL when the text is none of these.
struct zone *zone_fixed(struct str text);
// From the content of a TZif file (version 2 or later).
struct zone *zone_parse(struct str tzif, struct err *err);
void zone_destroy(struct zone *zone);

// Seconds east of UTC at a local time (seconds since 1970-01-01 00:00 on the local clock). In the
// gap and the overlap of a change it takes the offset that Postgres takes.
int64_t zone_offset_at_local(const struct zone *zone, int64_t local_seconds);

#endif
