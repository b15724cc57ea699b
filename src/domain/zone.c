#include "domain/zone.h"

#include "base/mem.h"
#include "domain/calendar.h"

#include <assert.h>
#include <stdlib.h>

// A change of the offset.
struct change {
    int64_t at;     // seconds since 1970 UTC
    int64_t offset; // from then on, seconds east of UTC
};

struct zone {
    int64_t first_offset;   // before the first change
    struct change *changes; // ascending
    size_t count;
    bool endless; // the last 400 years of the changes repeat for ever
};

// Far beyond the years that anyone asks for; keeps the arithmetic from overflowing.
#define LOCAL_LIMIT INT64_C(1000000000000000)
#define YEARS_OF_CYCLE INT64_C(400)
#define SEC_PER_CYCLE (INT64_C(146097) * CALENDAR_SEC_PER_DAY)

// ---- fixed offsets ----

static bool take_char(struct str *rest, char c)
{
    if (rest->len == 0 || rest->ptr[0] != c) {
        return false;
    }
    rest->ptr++;
    rest->len--;
    return true;
}

// Takes `least` to `most` digits as a number of at most `limit`.
static bool take_number(struct str *rest, size_t least, size_t most, int64_t limit, int64_t *value)
{
    size_t len = 0;
    *value = 0;
    while (len < rest->len && len < most && str_is_digit(rest->ptr[len])) {
        *value = *value * 10 + (rest->ptr[len] - '0');
        len++;
    }
    rest->ptr += len;
    rest->len -= len;
    return len >= least && *value <= limit;
}

bool zone_parse_offset(struct str text, int64_t *seconds)
{
    if (str_equal(text, STR("Z"))) {
        *seconds = 0;
        return true;
    }
    bool west = take_char(&text, '-');
    int64_t part[3] = {0};
    if ((!west && !take_char(&text, '+')) || !take_number(&text, 2, 2, 15, &part[0])) {
        return false;
    }
    bool colons = text.len > 0 && text.ptr[0] == ':';
    for (size_t i = 1; i < 3 && text.len > 0; i++) {
        if ((colons && !take_char(&text, ':')) || !take_number(&text, 2, 2, 59, &part[i])) {
            return false;
        }
    }
    int64_t east = (part[0] * 60 + part[1]) * 60 + part[2];
    *seconds = west ? -east : east;
    return text.len == 0;
}

struct zone *zone_fixed(struct str text)
{
    int64_t offset = 0;
    if (!str_equal(text, STR("UTC")) && !zone_parse_offset(text, &offset)) {
        return NULL;
    }
    struct zone *zone = mem_calloc(1, sizeof *zone);
    zone->first_offset = offset;
    return zone;
}

void zone_destroy(struct zone *zone)
{
    if (zone != NULL) {
        free(zone->changes);
        free(zone);
    }
}

// ---- the footer: a POSIX TZ string such as "EST5EDT,M3.2.0,M11.1.0" ----

enum day_kind {
    DAY_KIND_MONTH,  // Mm.w.d: day d of week w of month m
    DAY_KIND_JULIAN, // Jn: day 1 to 365; 29 February is never counted
    DAY_KIND_OF_YEAR // n: day 0 to 365
};

struct day_rule {
    enum day_kind kind;
    int64_t month;
    int64_t week; // 5: the last
    int64_t day;
    int64_t second; // of the local day, may lie outside of it
};

struct footer {
    int64_t standard; // seconds east of UTC
    int64_t summer;
    bool changes;
    struct day_rule start;
    struct day_rule end;
};

static bool take_name(struct str *rest)
{
    bool quoted = take_char(rest, '<');
    size_t len = 0;
    while (len < rest->len) {
        char c = rest->ptr[len];
        char lower = str_lower_char(c);
        bool sign_or_digit = str_is_digit(c) || c == '+' || c == '-';
        if ((lower < 'a' || lower > 'z') && !(quoted && sign_or_digit)) {
            break;
        }
        len++;
    }
    rest->ptr += len;
    rest->len -= len;
    return len > 0 && (!quoted || take_char(rest, '>'));
}

// Takes [+-]h[hh][:mm[:ss]] as seconds.
static bool take_time(struct str *rest, int64_t *seconds)
{
    bool negative = take_char(rest, '-');
    int64_t part[3] = {0};
    if (!negative) {
        take_char(rest, '+');
    }
    if (!take_number(rest, 1, 3, 167, &part[0])) {
        return false;
    }
    for (size_t i = 1; i < 3 && take_char(rest, ':'); i++) {
        if (!take_number(rest, 1, 2, 59, &part[i])) {
            return false;
        }
    }
    *seconds = (part[0] * 60 + part[1]) * 60 + part[2];
    *seconds = negative ? -*seconds : *seconds;
    return true;
}

static bool take_day(struct str *rest, struct day_rule *rule)
{
    if (take_char(rest, 'M')) {
        rule->kind = DAY_KIND_MONTH;
        return take_number(rest, 1, 2, 12, &rule->month) && take_char(rest, '.') &&
               take_number(rest, 1, 1, 5, &rule->week) && take_char(rest, '.') &&
               take_number(rest, 1, 1, 6, &rule->day) && rule->month > 0 && rule->week > 0;
    }
    if (take_char(rest, 'J')) {
        rule->kind = DAY_KIND_JULIAN;
        return take_number(rest, 1, 3, 365, &rule->day) && rule->day > 0;
    }
    rule->kind = DAY_KIND_OF_YEAR;
    return take_number(rest, 1, 3, 365, &rule->day);
}

static bool take_rule(struct str *rest, struct day_rule *rule)
{
    *rule = (struct day_rule){.second = 2 * INT64_C(3600)};
    return take_char(rest, ',') && take_day(rest, rule) &&
           (!take_char(rest, '/') || take_time(rest, &rule->second));
}

static bool parse_footer(struct str text, struct footer *footer)
{
    int64_t west;
    *footer = (struct footer){.changes = false};
    if (!take_name(&text) || !take_time(&text, &west)) {
        return false;
    }
    footer->standard = -west;
    footer->summer = footer->standard + 3600;
    if (text.len == 0) {
        return true;
    }
    footer->changes = true;
    if (!take_name(&text)) {
        return false;
    }
    if (text.len > 0 && text.ptr[0] != ',') {
        if (!take_time(&text, &west)) {
            return false;
        }
        footer->summer = -west;
    }
    return take_rule(&text, &footer->start) && take_rule(&text, &footer->end) && text.len == 0;
}

static int64_t month_rule_days(const struct day_rule *rule, int64_t year)
{
    int64_t first = calendar_days((struct calendar_date){year, rule->month, 1});
    int64_t weekday = calendar_floor_mod(first + 4, 7); // 1970-01-01 was a Thursday
    int64_t day = calendar_floor_mod(rule->day - weekday, 7) + (rule->week - 1) * 7;
    return first + (day < calendar_month_days(year, rule->month) ? day : day - 7);
}

// The local time of a rule in a year, in seconds since 1970 on the local clock.
static int64_t rule_seconds(const struct day_rule *rule, int64_t year)
{
    int64_t days = calendar_days((struct calendar_date){year, 1, 1});
    switch (rule->kind) {
    case DAY_KIND_MONTH:
        days = month_rule_days(rule, year);
        break;
    case DAY_KIND_JULIAN:
        days += rule->day - 1 + (rule->day > 59 && calendar_is_leap(year));
        break;
    case DAY_KIND_OF_YEAR:
        days += rule->day;
        break;
    }
    return days * CALENDAR_SEC_PER_DAY + rule->second;
}

// ---- TZif ----

enum {
    HEADER_BYTES = 44,
    TYPE_BYTES = 6,
    OFFSET_LIMIT = 26 * 3600, // RFC 8536 section 3.2
};
// No file has changes beyond the year 5000; keeps the arithmetic of years small.
#define CHANGE_LIMIT INT64_C(100000000000)

struct counts {
    size_t utc_flags;
    size_t standard_flags;
    size_t leaps;
    size_t changes;
    size_t types;
    size_t letters;
};

static uint64_t read_big_endian(const char *bytes, size_t len)
{
    uint64_t value = 0;
    for (size_t i = 0; i < len; i++) {
        value = value << 8 | (unsigned char)bytes[i];
    }
    return value;
}

static struct str behind(struct str text, size_t bytes)
{
    return (struct str){text.ptr + bytes, text.len - bytes};
}

static bool read_header(struct str text, struct counts *counts)
{
    if (text.len < HEADER_BYTES || !str_starts(text, STR("TZif")) || text.ptr[4] < '2') {
        return false;
    }
    size_t value[6];
    for (size_t i = 0; i < 6; i++) {
        value[i] = read_big_endian(text.ptr + 20 + 4 * i, 4);
    }
    *counts = (struct counts){value[0], value[1], value[2], value[3], value[4], value[5]};
    return true;
}

// Bytes of the block behind a header. The counts have 32 bits, so this cannot overflow.
static size_t block_bytes(const struct counts *counts, size_t time_bytes)
{
    return counts->changes * (time_bytes + 1) + counts->types * TYPE_BYTES + counts->letters +
           counts->leaps * (time_bytes + 4) + counts->standard_flags + counts->utc_flags;
}

static bool read_offset(struct str types, size_t index, int64_t *offset)
{
    if (index >= types.len / TYPE_BYTES) {
        return false;
    }
    *offset = (int32_t)read_big_endian(types.ptr + index * TYPE_BYTES, 4);
    return *offset > -OFFSET_LIMIT && *offset < OFFSET_LIMIT;
}

static bool read_changes(struct zone *zone, struct str block, const struct counts *counts)
{
    const char *indexes = block.ptr + counts->changes * 8;
    struct str types = {indexes + counts->changes, counts->types * TYPE_BYTES};
    zone->changes = mem_calloc(counts->changes, sizeof *zone->changes);
    zone->count = counts->changes;
    for (size_t i = 0; i < zone->count; i++) {
        struct change *change = &zone->changes[i];
        change->at = (int64_t)read_big_endian(block.ptr + i * 8, 8);
        bool ascends = i == 0 || change->at > change[-1].at;
        if (!ascends || change->at > CHANGE_LIMIT ||
            !read_offset(types, (unsigned char)indexes[i], &change->offset)) {
            return false;
        }
    }
    return read_offset(types, 0, &zone->first_offset);
}

// Adds a change that the footer makes. Of two at the same instant the later one counts.
static void add_change(struct zone *zone, int64_t at, int64_t offset)
{
    struct change *last = zone->count == 0 ? NULL : &zone->changes[zone->count - 1];
    if (last != NULL && at < last->at) {
        return;
    }
    if (last != NULL && at == last->at) {
        last->offset = offset;
        return;
    }
    zone->changes[zone->count++] = (struct change){.at = at, .offset = offset};
}

// Writes out what the footer says for the 400 years behind the last change, after which the
// calendar repeats, so that looking up needs to know no rules.
static void apply_footer(struct zone *zone, const struct footer *footer)
{
    int64_t last = zone->count == 0 ? 0 : zone->changes[zone->count - 1].at;
    int64_t year =
        calendar_date(calendar_floor_div(last > 0 ? last : 0, CALENDAR_SEC_PER_DAY)).year;
    size_t more = 2 * (size_t)(YEARS_OF_CYCLE + 2);
    if (!footer->changes) {
        if (zone->count == 0) {
            zone->first_offset = footer->standard;
        }
        return;
    }
    zone->changes = mem_resize(zone->changes, zone->count + more, sizeof *zone->changes);
    assert(zone->changes != NULL); // mem_resize sees to it, which the analyzer does not know
    zone->endless = true;
    for (int64_t end = year + YEARS_OF_CYCLE + 1; year <= end; year++) {
        int64_t start_at = rule_seconds(&footer->start, year) - footer->standard;
        int64_t end_at = rule_seconds(&footer->end, year) - footer->summer;
        if (start_at < end_at) {
            add_change(zone, start_at, footer->summer);
            add_change(zone, end_at, footer->standard);
        } else {
            add_change(zone, end_at, footer->standard);
            add_change(zone, start_at, footer->summer);
        }
    }
}

// The text between the newlines behind the second block; false when they are missing.
static bool find_footer(struct str text, struct str *footer)
{
    struct str rest;
    return take_char(&text, '\n') && str_split(text, '\n', footer, &rest);
}

static bool read_second_block(struct zone *zone, struct str text)
{
    struct counts counts;
    if (!read_header(text, &counts)) {
        return false;
    }
    text = behind(text, HEADER_BYTES);
    size_t bytes = block_bytes(&counts, 8);
    // Files with leap seconds ("right/...") count another time than Postgres does.
    if (bytes > text.len || counts.leaps > 0 || !read_changes(zone, text, &counts)) {
        return false;
    }
    struct str footer_text;
    struct footer footer;
    if (!find_footer(behind(text, bytes), &footer_text)) {
        return false;
    }
    if (footer_text.len > 0) {
        if (!parse_footer(footer_text, &footer)) {
            return false;
        }
        apply_footer(zone, &footer);
    }
    return true;
}

struct zone *zone_parse(struct str tzif, struct err *err)
{
    struct counts counts;
    size_t bytes = read_header(tzif, &counts) ? HEADER_BYTES + block_bytes(&counts, 4) : SIZE_MAX;
    struct zone *zone = mem_calloc(1, sizeof *zone);
    if (bytes > tzif.len || !read_second_block(zone, behind(tzif, bytes))) {
        zone_destroy(zone);
        err_set(err, ERR_KIND_CONFIG,
                "not a time zone file (TZif version 2 or later, without leap seconds)");
        return NULL;
    }
    return zone;
}

// ---- looking up ----

// Index of the first change after `at`; the count when there is none.
static size_t first_after(const struct zone *zone, int64_t at)
{
    size_t low = 0;
    size_t high = zone->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (zone->changes[middle].at > at) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

// The same time of the calendar's cycle, not behind the written changes.
static int64_t within_cycle(const struct zone *zone, int64_t at)
{
    int64_t limit = zone->count == 0 ? 0 : zone->changes[zone->count - 1].at - CALENDAR_SEC_PER_DAY;
    if (!zone->endless || at < limit) {
        return at;
    }
    return at - ((at - limit) / SEC_PER_CYCLE + 1) * SEC_PER_CYCLE;
}

// Postgres looks for the one change that can matter, the first after a day before. What lies
// clearly before or behind it is easy. In a gap it takes the offset before the change, in an
// overlap the one after it: the smaller of the two, either way.
int64_t zone_offset_at_local(const struct zone *zone, int64_t local_seconds)
{
    assert(local_seconds > -LOCAL_LIMIT && local_seconds < LOCAL_LIMIT);
    int64_t local = within_cycle(zone, local_seconds);
    size_t next = first_after(zone, local - CALENDAR_SEC_PER_DAY);
    int64_t before = next == 0 ? zone->first_offset : zone->changes[next - 1].offset;
    if (next == zone->count) {
        return before;
    }
    int64_t change = zone->changes[next].at;
    int64_t after = zone->changes[next].offset;
    if (local - before < change && local - after < change) {
        return before;
    }
    if (local - before > change && local - after >= change) {
        return after;
    }
    return before < after ? before : after;
}
