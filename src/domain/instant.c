#include "domain/instant.h"

#include "domain/calendar.h"

#define US_PER_MS INT64_C(1000)
#define US_PER_SEC INT64_C(1000000)
#define US_PER_DAY (CALENDAR_SEC_PER_DAY * US_PER_SEC)

// 0001-01-01 00:00 and 10000-01-01 00:00 UTC
#define INSTANT_FIRST (INT64_C(-719162) * US_PER_DAY)
#define INSTANT_END (INT64_C(2932897) * US_PER_DAY)

enum { FRACTION_DIGITS_MAX = 9, FRACTION_DIGITS_KEPT = 6, YEAR_DIGITS_MAX = 7 };

static bool take_char(struct str *rest, char c)
{
    if (rest->len == 0 || rest->ptr[0] != c) {
        return false;
    }
    rest->ptr++;
    rest->len--;
    return true;
}

// Takes the digits in front, `least` to `most` of them.
static bool take_digits(struct str *rest, size_t least, size_t most, struct str *digits)
{
    *digits = (struct str){rest->ptr, 0};
    while (digits->len < rest->len && str_is_digit(rest->ptr[digits->len])) {
        digits->len++;
    }
    rest->ptr += digits->len;
    rest->len -= digits->len;
    return digits->len >= least && digits->len <= most;
}

static bool take_number(struct str *rest, size_t least, size_t most, int64_t *value)
{
    struct str digits;
    return take_digits(rest, least, most, &digits) && str_to_int64(digits, value);
}

static bool take_date(struct str *rest, struct calendar_date *date)
{
    return take_number(rest, 4, YEAR_DIGITS_MAX, &date->year) && take_char(rest, '-') &&
           take_number(rest, 2, 2, &date->month) && take_char(rest, '-') &&
           take_number(rest, 2, 2, &date->day) && date->year > 0 && date->month >= 1 &&
           date->month <= 12 && date->day >= 1 &&
           date->day <= calendar_month_days(date->year, date->month);
}

static int64_t fraction_us(struct str digits)
{
    int64_t us = 0;
    for (size_t i = 0; i < FRACTION_DIGITS_KEPT; i++) {
        us = us * 10 + (i < digits.len ? digits.ptr[i] - '0' : 0);
    }
    return us;
}

// Takes HH:MM:SS[.fraction] as microseconds since midnight.
static bool take_time(struct str *rest, int64_t *us)
{
    int64_t hour;
    int64_t minute;
    int64_t second;
    if (!take_number(rest, 2, 2, &hour) || !take_char(rest, ':') ||
        !take_number(rest, 2, 2, &minute) || !take_char(rest, ':') ||
        !take_number(rest, 2, 2, &second) || hour > 23 || minute > 59 || second > 59) {
        return false;
    }
    struct str fraction = {.len = 0};
    if (take_char(rest, '.') && !take_digits(rest, 1, FRACTION_DIGITS_MAX, &fraction)) {
        return false;
    }
    *us = ((hour * 60 + minute) * 60 + second) * US_PER_SEC + fraction_us(fraction);
    return true;
}

// What is written, before its offset is applied.
struct local_time {
    struct calendar_date date;
    int64_t time_us; // since midnight
    bool has_offset;
    int64_t offset; // seconds east of UTC
    bool before_christ;
};

static bool split_local_time(struct str text, struct local_time *local)
{
    *local = (struct local_time){.before_christ = str_ends(text, STR(" BC"))};
    if (local->before_christ) {
        text.len -= STR(" BC").len;
    }
    if (!take_date(&text, &local->date)) {
        return false;
    }
    if (text.len == 0) {
        return true;
    }
    if ((!take_char(&text, 'T') && !take_char(&text, ' ')) || !take_time(&text, &local->time_us)) {
        return false;
    }
    local->has_offset = text.len > 0;
    return !local->has_offset || zone_parse_offset(text, &local->offset);
}

enum instant_result instant_parse(struct str text, const struct zone *zone, int64_t *instant)
{
    struct local_time local;
    if (str_equal(text, STR("infinity")) || str_equal(text, STR("-infinity"))) {
        return INSTANT_RESULT_INFINITE;
    }
    if (!split_local_time(text, &local)) {
        return INSTANT_RESULT_NOT_A_TIME;
    }
    // Postgres counts to the year 294276; whatever is above 9999 here is out of range anyway.
    if (local.before_christ || local.date.year > 9999) {
        return INSTANT_RESULT_OUT_OF_RANGE;
    }
    int64_t days = calendar_days(local.date);
    if (!local.has_offset && zone != NULL) {
        local.offset =
            zone_offset_at_local(zone, days * CALENDAR_SEC_PER_DAY + local.time_us / US_PER_SEC);
    }
    int64_t us = days * US_PER_DAY + local.time_us - local.offset * US_PER_SEC;
    if (us < INSTANT_FIRST || us >= INSTANT_END) {
        return INSTANT_RESULT_OUT_OF_RANGE;
    }
    *instant = us;
    return INSTANT_RESULT_OK;
}

static void put_digits(char *at, int digits, int64_t value)
{
    for (int i = digits - 1; i >= 0; i--) {
        at[i] = (char)('0' + value % 10);
        value /= 10;
    }
}

void instant_print(int64_t instant, char out[INSTANT_TEXT_BYTES])
{
    struct calendar_date date = calendar_date(calendar_floor_div(instant, US_PER_DAY));
    int64_t ms = calendar_floor_mod(instant, US_PER_DAY) / US_PER_MS;
    memcpy(out, "0000-00-00T00:00:00.000Z", INSTANT_TEXT_BYTES);
    put_digits(out, 4, date.year);
    put_digits(out + 5, 2, date.month);
    put_digits(out + 8, 2, date.day);
    put_digits(out + 11, 2, ms / 3600000);
    put_digits(out + 14, 2, ms / 60000 % 60);
    put_digits(out + 17, 2, ms / 1000 % 60);
    put_digits(out + 20, 3, ms % 1000);
}

bool instant_months(int64_t from, int64_t to, int64_t *months)
{
    if (to < from) {
        return false;
    }
    struct calendar_date start = calendar_date(calendar_floor_div(from, US_PER_DAY));
    struct calendar_date end = calendar_date(calendar_floor_div(to, US_PER_DAY));
    int64_t last_day = calendar_month_days(end.year, end.month);
    int64_t due_day = start.day < last_day ? start.day : last_day;
    int64_t due_us = due_day * US_PER_DAY + calendar_floor_mod(from, US_PER_DAY);
    bool unfinished = end.day * US_PER_DAY + calendar_floor_mod(to, US_PER_DAY) < due_us;
    *months = (end.year - start.year) * 12 + end.month - start.month - unfinished;
    return true;
}
