#include "domain/logline.h"

#include "domain/instant.h"
#include "domain/jsontext.h"

#include <math.h>
#include <stdlib.h>

enum {
    LOGLINE_SCRATCH_MAX = 65536,
    LOGLINE_DEPTH = 4, // of an entry of the journal: bytes that are no text are an array
    LOGLINE_EVENT_MAX = 40,
    LOGLINE_NUMBER_MAX = 40,
};

#define LOGLINE_LATEST_US INT64_C(253402300799999999) // in the year 9999

void logline_init(struct logline *line)
{
    *line = (struct logline){.count = 0};
    buf_init(&line->scratch, LOGLINE_SCRATCH_MAX);
}

void logline_free(struct logline *line)
{
    buf_free(&line->scratch);
}

static void logline_add(struct logline *line, struct str key, struct str value, bool quoted)
{
    if (line->count < LOGLINE_FIELDS) {
        line->fields[line->count++] =
            (struct logline_field){.key = key, .value = value, .quoted = quoted};
    }
}

static bool logline_take_event(struct logline *line, struct str event)
{
    for (size_t i = 0; i < event.len; i++) {
        char c = event.ptr[i];
        if ((c < 'a' || c > 'z') && c != '_' && (c != '.' || i == 0)) {
            return false;
        }
    }
    line->event = event;
    return event.len > 0 && event.len <= LOGLINE_EVENT_MAX;
}

static bool logline_take_time(struct logline *line, struct str text)
{
    return instant_parse(text, NULL, &line->at_us) == INSTANT_RESULT_OK;
}

static bool logline_is_level(struct str text)
{
    return str_equal(text, STR("error")) || str_equal(text, STR("warning")) ||
           str_equal(text, STR("info")) || str_equal(text, STR("debug"));
}

// ---- logfmt --------------------------------------------------------------------------------

// The length of a quoted text with its quotes; 0 when it does not end.
static size_t logline_quoted_len(struct str text)
{
    for (size_t i = 1; i < text.len; i++) {
        if (text.ptr[i] == '\\') {
            i++;
        } else if (text.ptr[i] == '"') {
            return i + 1;
        }
    }
    return 0;
}

static bool logline_is_key(struct str key)
{
    for (size_t i = 0; i < key.len; i++) {
        char c = key.ptr[i];
        if ((c < 'a' || c > 'z') && !str_is_digit(c) && c != '_') {
            return false;
        }
    }
    return key.len > 0;
}

// Takes a key=value off the front of `*rest`.
static bool logline_take_field(struct logline *line, struct str *rest)
{
    struct str key;
    struct str value;
    if (!str_split(*rest, '=', &key, &value) || !logline_is_key(key)) {
        return false;
    }
    if (value.len == 0 || value.ptr[0] != '"') {
        str_split(value, ' ', &value, rest);
        logline_add(line, key, value, false);
        return value.len > 0;
    }
    size_t len = logline_quoted_len(value);
    if (len == 0 || (len < value.len && value.ptr[len] != ' ')) {
        return false;
    }
    logline_add(line, key, (struct str){value.ptr + 1, len - 2}, true);
    size_t used = len < value.len ? len + 1 : len;
    *rest = (struct str){value.ptr + used, value.len - used};
    return true;
}

// An event and its fields, as behind time and level, and as MESSAGE in the journal.
static bool logline_parse_message(struct logline *line, struct str text)
{
    struct str event;
    struct str rest;
    str_split(text, ' ', &event, &rest);
    bool ok = logline_take_event(line, event);
    while (ok && rest.len > 0) {
        ok = logline_take_field(line, &rest);
    }
    return ok;
}

static bool logline_parse_logfmt(struct logline *line, struct str text)
{
    struct str time;
    struct str level;
    struct str rest;
    return str_split(text, ' ', &time, &rest) && logline_take_time(line, time) &&
           str_split(rest, ' ', &level, &rest) && logline_is_level(level) &&
           logline_parse_message(line, rest);
}

// ---- JSON ----------------------------------------------------------------------------------

// Between the quotes of a string; a number as it is.
static struct str logline_json_value(struct jsontext value)
{
    return value.kind == JSONTEXT_KIND_STRING ? (struct str){value.text.ptr + 1, value.text.len - 2}
                                              : value.text;
}

static bool logline_take_journal_time(struct logline *line, struct jsontext value)
{
    return str_to_int64(logline_json_value(value), &line->at_us) && line->at_us >= 0 &&
           line->at_us <= LOGLINE_LATEST_US;
}

static bool logline_parse_object(struct logline *line, struct jsontext object)
{
    bool time = false;
    bool level = false;
    bool event = false;
    struct jsontext_walk walk = jsontext_walk_begin(object);
    while (jsontext_walk_next(&walk)) {
        struct str value = logline_json_value(walk.value);
        if (str_equal(walk.key, STR("ts"))) {
            time = logline_take_time(line, value);
        } else if (str_equal(walk.key, STR("level"))) {
            level = logline_is_level(value);
        } else if (str_equal(walk.key, STR("event"))) {
            event = logline_take_event(line, value);
        } else {
            logline_add(line, walk.key, value, walk.value.kind == JSONTEXT_KIND_STRING);
        }
    }
    return time && level && event;
}

// Text that the daemon wrote to standard error, and journald took over.
static bool logline_parse_journal_text(struct logline *line, struct jsontext message)
{
    buf_reset(&line->scratch);
    line->count = 0;
    bool ok = message.kind == JSONTEXT_KIND_STRING && jsontext_decode(message, &line->scratch);
    struct str text = buf_peek(&line->scratch);
    if (!ok || text.len == 0) {
        return false;
    }
    if (text.ptr[0] != '{') {
        return logline_parse_logfmt(line, text);
    }
    struct err err;
    return jsontext_check(text, LOGLINE_DEPTH, &err) &&
           logline_parse_object(line, jsontext_of(text));
}

static bool logline_parse_journal(struct logline *line, struct jsontext entry, struct jsontext time)
{
    struct jsontext event = jsontext_member(entry, STR("EVENT"));
    if (!logline_take_journal_time(line, time)) {
        return false;
    }
    if (event.kind != JSONTEXT_KIND_STRING) {
        return logline_parse_journal_text(line, jsontext_member(entry, STR("MESSAGE")));
    }
    struct jsontext_walk walk = jsontext_walk_begin(entry);
    while (jsontext_walk_next(&walk)) {
        if (walk.value.kind == JSONTEXT_KIND_STRING && !str_starts(walk.key, STR("_"))) {
            logline_add(line, walk.key, logline_json_value(walk.value), true);
        }
    }
    return logline_take_event(line, logline_json_value(event));
}

static bool logline_parse_json(struct logline *line, struct str text)
{
    struct err err;
    if (!jsontext_check(text, LOGLINE_DEPTH, &err)) {
        return false;
    }
    struct jsontext object = jsontext_of(text);
    struct jsontext time = jsontext_member(object, STR("__REALTIME_TIMESTAMP"));
    return time.kind == JSONTEXT_KIND_ABSENT ? logline_parse_object(line, object)
                                             : logline_parse_journal(line, object, time);
}

bool logline_parse(struct logline *line, struct str text)
{
    line->count = 0;
    line->event = STR("");
    if (text.len > 3 && text.ptr[0] == '<' && str_is_digit(text.ptr[1]) && text.ptr[2] == '>') {
        text = (struct str){text.ptr + 3, text.len - 3};
    }
    bool json = text.len > 0 && text.ptr[0] == '{';
    bool ok = json ? logline_parse_json(line, text) : logline_parse_logfmt(line, text);
    if (!ok) {
        line->count = 0;
        line->event = STR("");
    }
    return ok;
}

// ---- values --------------------------------------------------------------------------------

static const struct logline_field *logline_find(const struct logline *line, const char *key)
{
    for (size_t i = 0; i < line->count; i++) {
        if (str_equal_nocase(line->fields[i].key, str_of(key))) {
            return &line->fields[i];
        }
    }
    return NULL;
}

bool logline_number(const struct logline *line, const char *key, double *value)
{
    const struct logline_field *field = logline_find(line, key);
    char text[LOGLINE_NUMBER_MAX];
    if (field == NULL || field->value.len == 0 || field->value.len >= sizeof text) {
        return false;
    }
    for (size_t i = 0; i < field->value.len; i++) {
        char c = field->value.ptr[i];
        if (!str_is_digit(c) && c != '-' && c != '.') {
            return false; // strtod() would take more, such as hexadecimal
        }
        text[i] = c;
    }
    text[field->value.len] = '\0';
    char *end;
    double number = strtod(text, &end);
    if (*end != '\0' || end == text || !isfinite(number)) {
        return false;
    }
    *value = number;
    return true;
}

bool logline_text(const struct logline *line, const char *key, struct buf *out)
{
    const struct logline_field *field = logline_find(line, key);
    if (field == NULL) {
        return false;
    }
    if (!field->quoted) {
        return buf_append_str(out, field->value);
    }
    // With its quotes, which stand around it.
    struct str quoted = {field->value.ptr - 1, field->value.len + 2};
    return jsontext_decode((struct jsontext){.kind = JSONTEXT_KIND_STRING, .text = quoted}, out);
}

bool logline_is(const struct logline *line, const char *key, const char *value)
{
    const struct logline_field *field = logline_find(line, key);
    return field != NULL && str_equal(field->value, str_of(value));
}
