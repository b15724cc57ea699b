// Any values as the fields of an event, in each format of the log. What is written is one line that
// a terminal only prints; read back, it has the values that went in, or lacks fields at its end
// where the line was full. An entry of the journal has them as they are.
//
// Input: a byte with the number of fields, then each field: a byte with its kind, and its value.
// Texts begin with their length, which may be more than is left.
#include "base/log.h"
#include "domain/logline.h"
#include "fuzz.h"
#include "json.h"

#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    FIELDS_MAX = 80,
    LINE_MOST = 16384 + 8, // with "<4>" and the newline
    ENTRY_MOST = 4 * 16384,
    TEXT_CAP = 1 << 20,
    NAMES_MOST = 128,   // time, level and event
    NUMBER_BYTES = 320, // of the greatest double
};

#define NUMBER_MOST 1e12

// ---- the event ----

struct event {
    struct log_field fields[FIELDS_MAX];
    char keys[FIELDS_MAX][8];
    size_t count;
};

static void pick_bytes(struct picks *picks, void *value, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        ((unsigned char *)value)[i] = (unsigned char)pick(picks);
    }
}

static struct str pick_text(struct picks *picks)
{
    size_t len = (size_t)pick(picks) * 256;
    len += pick(picks);
    size_t left = (size_t)(picks->end - picks->at);
    len = len < left ? len : left;
    struct str text = {(const char *)picks->at, len};
    picks->at += len;
    return text;
}

static struct log_field pick_field(struct picks *picks, const char *key)
{
    struct log_field field = {.key = key};
    switch (pick_of(picks, 6)) {
    case 0:
        pick_bytes(picks, &field.number, sizeof field.number);
        return field;
    case 1:
        field.kind = LOG_KIND_F64;
        pick_bytes(picks, &field.real, sizeof field.real);
        return field;
    case 2:
        field.kind = LOG_KIND_BOOL;
        field.number = pick_of(picks, 2);
        return field;
    case 3:
        field.key = NULL;
        return field;
    default: // texts are what matters
        field.kind = LOG_KIND_TEXT;
        field.text = pick_text(picks);
        return field;
    }
}

static void pick_event(struct picks *picks, struct event *event)
{
    event->count = pick_of(picks, FIELDS_MAX + 1);
    for (size_t i = 0; i < event->count; i++) {
        snprintf(event->keys[i], sizeof event->keys[i], "k%d_ms", (int)(i % 100));
        event->fields[i] = pick_field(picks, event->keys[i]);
    }
}

// ---- lines ----

// Bytes that are not UTF-8 come back as the characters of their numbers.
static bool text_came_back(struct str sent, struct str got)
{
    if (str_is_utf8(sent)) {
        return str_equal(sent, got);
    }
    size_t at = 0;
    for (size_t i = 0; i < sent.len; i++) {
        unsigned char c = (unsigned char)sent.ptr[i];
        size_t len = c < 0x80 ? 1 : 2;
        unsigned char bytes[2] = {len == 1 ? c : (unsigned char)(0xC0 | c >> 6),
                                  (unsigned char)(0x80 | (c & 0x3F))};
        if (got.len - at < len || memcmp(got.ptr + at, bytes, len) != 0) {
            return false;
        }
        at += len;
    }
    return at == got.len;
}

static bool value_came_back(const struct logline *line, const struct log_field *field)
{
    double number = 0;
    struct buf text;
    bool same = false;
    switch (field->kind) {
    case LOG_KIND_I64:
        same = logline_number(line, field->key, &number) && number == (double)field->number;
        break;
    case LOG_KIND_F64:
        // The reader takes no number of a hundred digits, and no event has one.
        same = fabs(field->real) > NUMBER_MOST ||
               (logline_number(line, field->key, &number) &&
                fabs(number - (isfinite(field->real) ? field->real : 0)) <= 0.001);
        break;
    case LOG_KIND_BOOL:
        same = logline_is(line, field->key, field->number ? "true" : "false");
        break;
    case LOG_KIND_TEXT:
        buf_init(&text, TEXT_CAP);
        same =
            logline_text(line, field->key, &text) && text_came_back(field->text, buf_peek(&text));
        buf_free(&text);
        break;
    }
    return same;
}

// Does the event fit a line, whatever of it must be escaped?
static bool is_short(const struct event *event)
{
    size_t most = NAMES_MOST;
    for (size_t i = 0; i < event->count; i++) {
        const struct log_field *field = &event->fields[i];
        most += sizeof event->keys[i] + 4;
        most += field->kind == LOG_KIND_TEXT ? field->text.len * 6 : NUMBER_BYTES;
    }
    return most < LINE_MOST;
}

// The fields that are there are the first, each with its key and value.
static void check_fields(const struct logline *line, const struct event *event)
{
    size_t at = 0;
    size_t sent = 0;
    for (size_t i = 0; i < event->count; i++) {
        if (event->fields[i].key != NULL && at < line->count) {
            FUZZ_CHECK(str_equal(line->fields[at].key, str_of(event->keys[i])));
            FUZZ_CHECK(value_came_back(line, &event->fields[i]));
            at++;
        }
        sent += event->fields[i].key != NULL;
    }
    FUZZ_CHECK(at == line->count);
    FUZZ_CHECK(at == sent || at == LOGLINE_FIELDS || !is_short(event));
}

// By a reader that is not the program's.
static void check_json(struct str text)
{
    struct json_object *object = NULL;
    const char *why = NULL;
    FUZZ_CHECK(json_read(text.ptr, text.len, &object, &why));
    FUZZ_CHECK(json_object_is_type(object, json_type_object));
    json_object_put(object);
}

static void check_line(struct str line, const struct event *event, enum log_format format)
{
    FUZZ_CHECK(line.len <= LINE_MOST && str_starts(line, STR("<4>")));
    FUZZ_CHECK(line.ptr[line.len - 1] == '\n');
    line.len--;
    FUZZ_CHECK(fuzz_is_printable(line));
    if (format == LOG_FORMAT_JSON) {
        check_json((struct str){line.ptr + 3, line.len - 3});
    }
    struct logline parsed;
    logline_init(&parsed);
    FUZZ_CHECK(logline_parse(&parsed, line));
    FUZZ_CHECK(str_equal(parsed.event, STR("update.retry")));
    check_fields(&parsed, event);
    logline_free(&parsed);
}

// Writes the event to a file and reads what came.
static void check_written(int fd, const struct event *event, enum log_format format)
{
    static char line[LINE_MOST * 2];
    struct log *log = log_create(fd, true);
    log_configure(log, LOG_LEVEL_DEBUG, format);
    FUZZ_CHECK(ftruncate(fd, 0) == 0 && lseek(fd, 0, SEEK_SET) == 0);
    log_write(log, LOG_LEVEL_WARNING, "update.retry", event->fields, event->count);
    ssize_t len = pread(fd, line, sizeof line, 0);
    FUZZ_CHECK(len > 0);
    check_line((struct str){line, (size_t)len}, event, format);
    log_destroy(log);
}

// ---- the journal ----

static bool journal_has(const struct str *entry, size_t count, const struct log_field *field)
{
    char name[16];
    size_t len = (size_t)snprintf(name, sizeof name, "%s=", field->key);
    for (size_t i = 0; i < len; i++) {
        name[i] = (char)(name[i] >= 'a' && name[i] <= 'z' ? name[i] - 'a' + 'A' : name[i]);
    }
    for (size_t i = 0; i < count; i++) {
        if (str_starts(entry[i], (struct str){name, len})) {
            struct str value = {entry[i].ptr + len, entry[i].len - len};
            return field->kind != LOG_KIND_TEXT || str_equal(value, field->text);
        }
    }
    return false;
}

static bool is_name(struct str field)
{
    struct str name;
    struct str value;
    bool ok = str_split(field, '=', &name, &value) && name.len > 0;
    for (size_t i = 0; ok && i < name.len; i++) {
        char c = name.ptr[i];
        ok = (c >= 'A' && c <= 'Z') || str_is_digit(c) || c == '_';
    }
    return ok;
}

static bool check_entry(void *ctx, const struct str *entry, size_t count)
{
    const struct event *event = ctx;
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        FUZZ_CHECK(is_name(entry[i]));
        bytes += entry[i].len;
    }
    FUZZ_CHECK(count >= 3 && str_starts(entry[0], STR("MESSAGE=update.retry")));
    FUZZ_CHECK(fuzz_is_printable(entry[0]));
    FUZZ_CHECK(str_equal(entry[1], STR("PRIORITY=4")));
    FUZZ_CHECK(str_equal(entry[2], STR("EVENT=update.retry")));
    size_t found = 0;
    for (size_t i = 0; i < event->count; i++) {
        const struct log_field *field = &event->fields[i];
        found += field->key != NULL && journal_has(entry, count, field);
    }
    FUZZ_CHECK(found == count - 3 && bytes <= ENTRY_MOST);
    return true;
}

static void check_journal(const struct event *event)
{
    struct event copy = *event;
    struct log *log = log_create(-1, true);
    log_configure(log, LOG_LEVEL_DEBUG, LOG_FORMAT_JOURNAL);
    log_set_journal(log, check_entry, &copy);
    log_write(log, LOG_LEVEL_WARNING, "update.retry", copy.fields, copy.count);
    log_destroy(log);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    static struct event event;
    struct picks picks = {data, data + size};
    fd = fd >= 0 ? fd : memfd_create("log", MFD_CLOEXEC);
    FUZZ_CHECK(fd >= 0);
    pick_event(&picks, &event);
    check_written(fd, &event, LOG_FORMAT_LOGFMT);
    check_written(fd, &event, LOG_FORMAT_JSON);
    check_journal(&event);
    return 0;
}
