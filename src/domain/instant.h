// Points in time: from the text that Postgres prints to what the API takes. An instant is an
// int64_t that counts microseconds since 1970-01-01 00:00 UTC, as fine as Postgres keeps them, in
// the years 1 to 9999 UTC.
#ifndef DOMAIN_INSTANT_H
#define DOMAIN_INSTANT_H

#include "base/err.h"
#include "base/str.h"
#include "domain/zone.h"

#include <stdbool.h>
#include <stdint.h>

enum instant_result {
    INSTANT_RESULT_OK,
    INSTANT_RESULT_NOT_A_TIME,
    INSTANT_RESULT_INFINITE,
    INSTANT_RESULT_OUT_OF_RANGE, // before the year 1 or after 9999
};

// Every form of timestamptz, timestamp and date that to_jsonb, a cast to text or an RFC 3339 writer
// prints: YYYY-MM-DD, then optionally 'T' or a space and HH:MM:SS[.fraction of 1 to 9 digits], then
// optionally an offset (zone_parse_offset). Without an offset the time is local to `zone` (NULL:
// UTC); a date alone is its midnight there. Only dates of the calendar; no leap seconds, which
// Postgres never prints; no bare numbers, since nobody can tell seconds from milliseconds.
// Fractions are truncated to microseconds.
enum instant_result instant_parse(struct str text, const struct zone *zone,
                                  int64_t *instant) MUST_CHECK;

enum { INSTANT_TEXT_BYTES = 25 };
// RFC 3339 in UTC with milliseconds, truncated towards the past: "2025-02-13T19:08:07.123Z".
void instant_print(int64_t instant, char out[INSTANT_TEXT_BYTES]);

// Whole months from one instant to a later one, by the calendar in UTC: a month is over at the same
// day and time of the next month, or on that month's last day when it has no such day. As
// Postgres's age() counts, except for that last day: from 31 January to 28 February is one month
// here, and 28 days there. False when `to` is before `from`.
bool instant_months(int64_t from, int64_t to, int64_t *months) MUST_CHECK;

#endif
