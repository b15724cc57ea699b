#include "clock.h"

#include <time.h>

static int64_t now_ns(clockid_t clock)
{
    struct timespec now = {0};
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * CLOCK_NS_PER_SEC + now.tv_nsec;
}

int64_t clock_boot_ns(void)
{
    return now_ns(CLOCK_BOOTTIME);
}

int64_t clock_wall_ns(void)
{
    return now_ns(CLOCK_REALTIME);
}

static struct tm utc_of(int64_t wall_ns)
{
    time_t seconds = (time_t)(wall_ns / CLOCK_NS_PER_SEC);
    struct tm utc = {0};
    gmtime_r(&seconds, &utc);
    return utc;
}

void clock_put_rfc3339(struct text *text, int64_t wall_ns)
{
    struct tm utc = utc_of(wall_ns);
    int ms = (int)(wall_ns % CLOCK_NS_PER_SEC / CLOCK_NS_PER_MS);
    text_printf(text, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", utc.tm_year + 1900, utc.tm_mon + 1,
                utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, ms);
}

void clock_put_http_date(struct text *text, int64_t wall_ns)
{
    /* not strftime: day and month names must not depend on the locale */
    static const char *const day[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char *const month[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct tm utc = utc_of(wall_ns + CLOCK_NS_PER_SEC - 1);
    text_printf(text, "%s, %02d %s %04d %02d:%02d:%02d GMT", day[utc.tm_wday], utc.tm_mday,
                month[utc.tm_mon], utc.tm_year + 1900, utc.tm_hour, utc.tm_min, utc.tm_sec);
}
