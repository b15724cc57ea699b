// The Gregorian calendar, extended to all years as Postgres does: days counted since 1970-01-01.
#ifndef DOMAIN_CALENDAR_H
#define DOMAIN_CALENDAR_H

#include <stdbool.h>
#include <stdint.h>

#define CALENDAR_SEC_PER_DAY INT64_C(86400)

struct calendar_date {
    int64_t year;
    int64_t month; // 1 to 12
    int64_t day;   // 1 to 31
};

bool calendar_is_leap(int64_t year);
int64_t calendar_month_days(int64_t year, int64_t month);

// The date must be one of the calendar, the year within a million of 0.
int64_t calendar_days(struct calendar_date date);
struct calendar_date calendar_date(int64_t days);

// Quotient and remainder of a division by a positive number, rounded down, also below zero.
static inline int64_t calendar_floor_div(int64_t number, int64_t by)
{
    return number / by - (number % by < 0);
}

static inline int64_t calendar_floor_mod(int64_t number, int64_t by)
{
    return number - calendar_floor_div(number, by) * by;
}

#endif
