#include "domain/calendar.h"

enum { DAYS_PER_400_YEARS = 146097 };

// Days from 1 March to the first of the month that is `index` months later. Counting years from
// March puts the leap day at the end, where it moves no other month.
static int64_t days_before(int64_t index)
{
    return (153 * index + 2) / 5;
}

bool calendar_is_leap(int64_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

int64_t calendar_month_days(int64_t year, int64_t month)
{
    static const int64_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return month == 2 && calendar_is_leap(year) ? 29 : days[month - 1];
}

// Leap days of the years before `year`, up to a constant.
static int64_t leap_days(int64_t year)
{
    return calendar_floor_div(year, 4) - calendar_floor_div(year, 100) +
           calendar_floor_div(year, 400);
}

// Days from 1970-01-01 to 1 March of `year`.
static int64_t days_to_march(int64_t year)
{
    return 365 * (year - 1970) + leap_days(year) - leap_days(1969) + 59;
}

int64_t calendar_days(struct calendar_date date)
{
    bool before_march = date.month < 3;
    int64_t year = before_march ? date.year - 1 : date.year;
    int64_t index = before_march ? date.month + 9 : date.month - 3;
    return days_to_march(year) + days_before(index) + date.day - 1;
}

struct calendar_date calendar_date(int64_t days)
{
    // An estimate that is never too small, and too large by one at most.
    int64_t year = 1970 + calendar_floor_div((days + 1) * 400, DAYS_PER_400_YEARS);
    if (days_to_march(year) > days) {
        year--;
    }
    int64_t day = days - days_to_march(year);
    int64_t index = (5 * day + 2) / 153;
    int64_t month = index < 10 ? index + 3 : index - 9;
    return (struct calendar_date){
        .year = month < 3 ? year + 1 : year,
        .month = month,
        .day = day - days_before(index) + 1,
    };
}
