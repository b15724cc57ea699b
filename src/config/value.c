#include "config/value.h"

#include "base/clock.h"

#include <stdlib.h>

enum { VALUE_VARIABLE_BYTES = 128 };

struct value_unit {
    struct str name;
    int64_t ns;
    int64_t least; // printed in this unit from so many of it: 24h and 60s, but 7d and 15m
};

// Largest first, as printing tries them.
static const struct value_unit value_units[] = {
    {{"d", 1}, 86400 * CLOCK_NS_PER_SEC, 2}, {{"h", 1}, 3600 * CLOCK_NS_PER_SEC, 2},
    {{"m", 1}, 60 * CLOCK_NS_PER_SEC, 2},    {{"s", 1}, CLOCK_NS_PER_SEC, 1},
    {{"ms", 2}, CLOCK_NS_PER_MS, 1},
};
enum { VALUE_UNITS = sizeof value_units / sizeof value_units[0] };

static const struct value_unit *value_unit_find(struct str name)
{
    for (size_t i = 0; i < VALUE_UNITS; i++) {
        if (str_equal(name, value_units[i].name)) {
            return &value_units[i];
        }
    }
    return NULL;
}

bool value_parse_count(struct str text, int64_t *count)
{
    return text.len > 0 && str_is_digit(text.ptr[0]) && str_to_int64(text, count);
}

bool value_parse_duration(struct str text, int64_t *ns)
{
    size_t digits = 0;
    while (digits < text.len && str_is_digit(text.ptr[digits])) {
        digits++;
    }
    int64_t count = 0;
    if (!value_parse_count((struct str){text.ptr, digits}, &count)) {
        return false;
    }
    struct str name = {text.ptr + digits, text.len - digits};
    const struct value_unit *unit = value_unit_find(name);
    if (unit == NULL) {
        *ns = 0;
        return name.len == 0 && count == 0;
    }
    return !__builtin_mul_overflow(count, unit->ns, ns);
}

bool value_print_duration(int64_t ns, struct buf *out)
{
    for (size_t i = 0; i < VALUE_UNITS; i++) {
        const struct value_unit *unit = &value_units[i];
        if (ns % unit->ns == 0 && ns / unit->ns >= unit->least) {
            return buf_printf(out, "%lld%s", (long long)(ns / unit->ns), unit->name.ptr);
        }
    }
    return buf_append_char(out, '0');
}

bool value_parse_rate(struct str text, int64_t *count, int64_t *per_ns)
{
    struct str number;
    struct str per;
    if (!str_split(text, '/', &number, &per) || !value_parse_count(number, count)) {
        return false;
    }
    const struct value_unit *unit = value_unit_find(per);
    if (unit == NULL || unit->ns < CLOCK_NS_PER_SEC || unit->ns > 3600 * CLOCK_NS_PER_SEC) {
        return false;
    }
    *per_ns = unit->ns;
    return true;
}

bool value_print_rate(int64_t count, int64_t per_ns, struct buf *out)
{
    for (size_t i = 0; i < VALUE_UNITS; i++) {
        if (value_units[i].ns == per_ns) {
            return buf_printf(out, "%lld/%s", (long long)count, value_units[i].name.ptr);
        }
    }
    return false;
}

// What is replaced

static bool value_is_name_char(char c, bool first)
{
    char lower = str_lower_char(c);
    return c == '_' || (lower >= 'a' && lower <= 'z') || (!first && str_is_digit(c));
}

// Appends the variable whose name begins at `text`; `*used` becomes the length up to and with "}".
static bool value_expand_name(struct str text, size_t *used, struct buf *out, struct err *err)
{
    size_t len = 0;
    while (len < text.len && value_is_name_char(text.ptr[len], len == 0)) {
        len++;
    }
    if (len == 0 || len == text.len || text.ptr[len] != '}' || len >= VALUE_VARIABLE_BYTES) {
        return err_set(err, ERR_KIND_CONFIG,
                       "\"${\" without the name of an environment variable and \"}\"; "
                       "write \"$${\" for a plain \"${\"");
    }
    char name[VALUE_VARIABLE_BYTES];
    memcpy(name, text.ptr, len);
    name[len] = '\0';
    const char *value = getenv(name);
    if (value == NULL) {
        return err_set(err, ERR_KIND_CONFIG, "environment variable %s is not set", name);
    }
    *used = len + 1;
    return buf_append_str(out, str_of(value)) ||
           err_set(err, ERR_KIND_CONFIG, "environment variable %s is too long", name);
}

static bool value_opens(struct str text)
{
    return str_starts(text, STR("${"));
}

bool value_has_variable(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        struct str rest = {text.ptr + i, text.len - i};
        if (str_starts(rest, STR("$${"))) {
            i += 2;
        } else if (value_opens(rest)) {
            return true;
        }
    }
    return false;
}

// Appends what the head of `text` stands for; `*used` becomes its length.
static bool value_expand_head(struct str text, size_t *used, struct buf *out, struct err *err)
{
    if (value_opens(text)) {
        struct str name = {text.ptr + 2, text.len - 2};
        bool ok = value_expand_name(name, used, out, err);
        *used += 2;
        return ok;
    }
    bool escaped = str_starts(text, STR("$${"));
    *used = escaped ? 3 : 1;
    return buf_append_str(out, escaped ? STR("${") : (struct str){text.ptr, 1}) ||
           err_set(err, ERR_KIND_CONFIG, "is too long");
}

bool value_expand(struct str text, struct buf *out, struct err *err)
{
    while (text.len > 0) {
        size_t used = 0;
        if (!value_expand_head(text, &used, out, err)) {
            return false;
        }
        text = (struct str){text.ptr + used, text.len - used};
    }
    return true;
}

// Printing

// Letters that no YAML reader takes for anything but text. "true", "null" and numbers are written
// plain, too: the keys they belong to are texts, whatever the reader makes of them.
static bool value_is_plain(struct str text)
{
    static const struct str marks = {"/._-", 4};
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        bool letter = value_is_name_char(c, false);
        bool mark = memchr(marks.ptr, c, marks.len) != NULL;
        bool colon = c == ':' && i > 0 && i + 1 < text.len;
        if (!letter && !(mark && (i > 0 || c == '/')) && !colon) {
            return false;
        }
    }
    return text.len > 0 && !str_equal_nocase(text, STR("null"));
}

// Bytes of the character at `i` that no YAML file may hold as it is: controls, and what libyaml
// calls unprintable. 0: it may.
static size_t value_unprintable(struct str text, size_t i)
{
    unsigned char c = (unsigned char)text.ptr[i];
    struct str rest = {text.ptr + i, text.len - i};
    if (c < 0x20 || c == 0x7F) {
        return 1;
    }
    if (c == 0xC2 && rest.len > 1 && (unsigned char)rest.ptr[1] < 0xA0) {
        return 2;
    }
    bool mark = str_starts(rest, STR("\xEF\xBB\xBF")); // a byte order mark
    bool none = str_starts(rest, STR("\xEF\xBF\xBE")) || str_starts(rest, STR("\xEF\xBF\xBF"));
    bool line = str_starts(rest, STR("\xE2\x80\xA8")) || str_starts(rest, STR("\xE2\x80\xA9"));
    return mark || none || line ? 3 : 0;
}

static bool value_print_escape(struct str character, struct buf *out)
{
    unsigned code = (unsigned char)character.ptr[0];
    code &= character.len == 1 ? 0x7FU : character.len == 2 ? 0x1FU : 0x0FU;
    for (size_t i = 1; i < character.len; i++) {
        code = code << 6 | ((unsigned char)character.ptr[i] & 0x3FU);
    }
    return buf_printf(out, "\\u%04X", code);
}

static bool value_print_escaped(struct str text, bool variables, struct buf *out)
{
    bool ok = buf_append_char(out, '"');
    for (size_t i = 0; ok && i < text.len; i++) {
        char c = text.ptr[i];
        size_t unprintable = value_unprintable(text, i);
        if (unprintable > 0) {
            ok = value_print_escape((struct str){text.ptr + i, unprintable}, out);
            i += unprintable - 1;
        } else if (c == '"' || c == '\\') {
            ok = buf_printf(out, "\\%c", c);
        } else if (variables && value_opens((struct str){text.ptr + i, text.len - i})) {
            ok = buf_append_str(out, STR("$$"));
        } else {
            ok = buf_append_char(out, c);
        }
    }
    return ok && buf_append_char(out, '"');
}

bool value_print_text(struct str text, struct buf *out)
{
    return value_is_plain(text) ? buf_append_str(out, text) : value_print_escaped(text, true, out);
}

bool value_print_name(struct str text, struct buf *out)
{
    return value_is_plain(text) ? buf_append_str(out, text) : value_print_quoted(text, out);
}

bool value_print_quoted(struct str text, struct buf *out)
{
    return value_print_escaped(text, false, out);
}
