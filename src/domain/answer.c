#include "domain/answer.h"

#include <stddef.h>

static const int64_t ns_per_sec = 1000000000;
static const int64_t epoch_above = 1000000000; // a greater reset is a date, not a duration

enum { ANSWER_LINE_MAX = 1024 }; // a longer header line is none of ours

static const struct answer_headers no_headers = {
    .retry_after_s = -1,
    .retry_at_s = -1,
    .date_s = -1,
    .limit = {-1, -1},
    .x_limit = {-1, -1},
};

void answer_init(struct answer *answer)
{
    *answer = (struct answer){.transport = ANSWER_TRANSPORT_NOT_SENT, .headers = no_headers};
}

// ---- HTTP dates ----

struct date {
    int64_t year, month, day, hour, minute, second;
};

// Days since 1970 of a date of the Gregorian calendar, with the year counted from March.
static int64_t days_of(const struct date *date)
{
    int64_t year = date->month <= 2 ? date->year - 1 : date->year;
    int64_t month = (date->month + 9) % 12;
    int64_t leap_days = year / 4 - year / 100 + year / 400;
    return year * 365 + leap_days + (month * 153 + 2) / 5 + date->day - 1 - 719468;
}

static int64_t month_days(const struct date *date)
{
    static const int64_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = date->year % 4 == 0 && (date->year % 100 != 0 || date->year % 400 == 0);
    return date->month == 2 && leap ? 29 : days[date->month - 1];
}

static bool take_literal(struct str *text, struct str literal)
{
    if (text->len < literal.len ||
        !str_equal_nocase((struct str){text->ptr, literal.len}, literal)) {
        return false;
    }
    text->ptr += literal.len;
    text->len -= literal.len;
    return true;
}

// Exactly `digits` digits; the first may be a space where asctime pads the day.
static bool take_number(struct str *text, size_t digits, bool padded, int64_t *value)
{
    if (text->len < digits) {
        return false;
    }
    *value = 0;
    for (size_t i = 0; i < digits; i++) {
        char c = text->ptr[i];
        if (padded && i == 0 && c == ' ') {
            continue;
        }
        if (!str_is_digit(c)) {
            return false;
        }
        *value = *value * 10 + (c - '0');
    }
    text->ptr += digits;
    text->len -= digits;
    return true;
}

static bool take_name(struct str *text, const char *const *names, int64_t count, int64_t *index)
{
    for (int64_t i = 0; i < count; i++) {
        if (take_literal(text, str_of(names[i]))) {
            *index = i + 1;
            return true;
        }
    }
    return false;
}

static bool take_month(struct str *text, int64_t *month)
{
    static const char *const names[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    return take_name(text, names, 12, month);
}

static bool take_time(struct str *text, struct date *date)
{
    return take_number(text, 2, false, &date->hour) && take_literal(text, STR(":")) &&
           take_number(text, 2, false, &date->minute) && take_literal(text, STR(":")) &&
           take_number(text, 2, false, &date->second);
}

// Sun, 06 Nov 1994 08:49:37 GMT
static bool take_fixdate(struct str text, struct date *date)
{
    return take_literal(&text, STR(", ")) && take_number(&text, 2, false, &date->day) &&
           take_literal(&text, STR(" ")) && take_month(&text, &date->month) &&
           take_literal(&text, STR(" ")) && take_number(&text, 4, false, &date->year) &&
           take_literal(&text, STR(" ")) && take_time(&text, date) &&
           take_literal(&text, STR(" GMT")) && text.len == 0;
}

// Sunday, 06-Nov-94 08:49:37 GMT. Without a clock, 70 is 1970 and 69 is 2069.
static bool take_rfc850(struct str text, struct date *date)
{
    if (!(take_literal(&text, STR(", ")) && take_number(&text, 2, false, &date->day) &&
          take_literal(&text, STR("-")) && take_month(&text, &date->month) &&
          take_literal(&text, STR("-")) && take_number(&text, 2, false, &date->year) &&
          take_literal(&text, STR(" ")) && take_time(&text, date) &&
          take_literal(&text, STR(" GMT")) && text.len == 0)) {
        return false;
    }
    date->year += date->year < 70 ? 2000 : 1900;
    return true;
}

// Sun Nov  6 08:49:37 1994
static bool take_asctime(struct str text, struct date *date)
{
    return take_literal(&text, STR(" ")) && take_month(&text, &date->month) &&
           take_literal(&text, STR(" ")) && take_number(&text, 2, true, &date->day) &&
           take_literal(&text, STR(" ")) && take_time(&text, date) &&
           take_literal(&text, STR(" ")) && take_number(&text, 4, false, &date->year) &&
           text.len == 0;
}

static bool date_exists(const struct date *date)
{
    // Second 60 is a leap second.
    return date->year >= 1970 && date->day >= 1 && date->day <= month_days(date) &&
           date->hour <= 23 && date->minute <= 59 && date->second <= 60;
}

bool answer_parse_date(struct str text, int64_t *seconds)
{
    // A long name before its short form, which is its beginning.
    static const char *const weekdays[] = {
        "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday",
        "Sun",    "Mon",    "Tue",     "Wed",       "Thu",      "Fri",    "Sat",
    };
    struct str rest = str_trim(text);
    int64_t weekday = 0;
    struct date date = {0};
    if (!take_name(&rest, weekdays, 14, &weekday)) {
        return false;
    }
    bool taken = weekday <= 7 ? take_rfc850(rest, &date)
                              : take_fixdate(rest, &date) || take_asctime(rest, &date);
    if (!taken || !date_exists(&date)) {
        return false;
    }
    *seconds = days_of(&date) * 86400 + date.hour * 3600 + date.minute * 60 + date.second;
    return true;
}

// ---- header lines ----

// Digits, perhaps with a fraction that is rounded up (some APIs send one). A number too great to
// hold is as good as the greatest: every pause is cut anyway.
static bool parse_number(struct str text, int64_t *value)
{
    struct str whole = text;
    struct str fraction = {0};
    bool pointed = str_split(text, '.', &whole, &fraction);
    if (whole.len == 0 || (pointed && fraction.len == 0)) {
        return false;
    }
    int64_t number = 0;
    for (size_t i = 0; i < whole.len; i++) {
        if (!str_is_digit(whole.ptr[i])) {
            return false;
        }
        number = number > INT64_MAX / 10 - 1 ? INT64_MAX / 10 : number * 10 + (whole.ptr[i] - '0');
    }
    bool up = false;
    for (size_t i = 0; i < fraction.len; i++) {
        if (!str_is_digit(fraction.ptr[i])) {
            return false;
        }
        up = up || fraction.ptr[i] != '0';
    }
    *value = up ? number + 1 : number;
    return true;
}

static void keep_number(int64_t *field, struct str value)
{
    int64_t number = 0;
    if (parse_number(value, &number)) {
        *field = number;
    }
}

static void keep_date(int64_t *field, struct str value)
{
    int64_t seconds = 0;
    if (answer_parse_date(value, &seconds)) {
        *field = seconds;
    }
}

void answer_header(struct answer *answer, struct str line)
{
    if (line.len == 0 || line.len > ANSWER_LINE_MAX) {
        return;
    }
    struct answer_headers *headers = &answer->headers;
    struct str name = {0};
    struct str value = {0};
    if (str_starts(line, STR("HTTP/"))) {
        *headers = no_headers;
        return;
    }
    if (!str_split(line, ':', &name, &value)) {
        return;
    }
    value = str_trim(value);
    if (str_equal_nocase(name, STR("Retry-After"))) {
        keep_number(&headers->retry_after_s, value);
        keep_date(&headers->retry_at_s, value);
    } else if (str_equal_nocase(name, STR("Date"))) {
        keep_date(&headers->date_s, value);
    } else if (str_equal_nocase(name, STR("RateLimit-Remaining"))) {
        keep_number(&headers->limit.remaining, value);
    } else if (str_equal_nocase(name, STR("RateLimit-Reset"))) {
        keep_number(&headers->limit.reset, value);
    } else if (str_equal_nocase(name, STR("X-RateLimit-Remaining"))) {
        keep_number(&headers->x_limit.remaining, value);
    } else if (str_equal_nocase(name, STR("X-RateLimit-Reset"))) {
        keep_number(&headers->x_limit.reset, value);
    }
}

// ---- the pause ----

// Seconds from the answer's own Date to `at_s`; 0 without a Date.
static int64_t seconds_until(const struct answer_headers *headers, int64_t at_s)
{
    return headers->date_s < 0 || at_s < headers->date_s ? 0 : at_s - headers->date_s;
}

static int64_t limit_seconds(const struct answer *answer, const struct answer_limit *limit)
{
    // 429 says by itself that nothing remains.
    bool used_up = limit->remaining == 0 || (limit->remaining < 0 && answer->status == 429);
    if (!used_up || limit->reset < 0) {
        return 0;
    }
    return limit->reset > epoch_above ? seconds_until(&answer->headers, limit->reset)
                                      : limit->reset;
}

static int64_t greater(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

int64_t answer_pause_ns(const struct answer *answer)
{
    const struct answer_headers *headers = &answer->headers;
    int64_t seconds = greater(headers->retry_after_s, seconds_until(headers, headers->retry_at_s));
    seconds = greater(seconds, limit_seconds(answer, &headers->limit));
    seconds = greater(seconds, limit_seconds(answer, &headers->x_limit));
    if (seconds <= 0) {
        return 0;
    }
    const int64_t most = ANSWER_PAUSE_MAX_NS / ns_per_sec;
    return (seconds < most ? seconds : most) * ns_per_sec;
}
