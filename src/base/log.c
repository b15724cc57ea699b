#include "base/log.h"

#include "base/clock.h"
#include "base/mem.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { LOG_LINE_CAP = 16384, LOG_ENTRY_CAP = 4 * LOG_LINE_CAP, LOG_ENTRY_FIELDS = 64 };

struct log {
    int fd;
    bool priority_prefix;
    enum log_level level;
    enum log_format format;
    struct buf line;
    log_before_fn before;
    void *before_ctx;
    struct buf entry; // of the journal
    log_journal_fn journal;
    void *journal_ctx;
};

static const struct {
    const char *name;
    int priority; // syslog(3)
} log_levels[] = {
    [LOG_LEVEL_ERROR] = {"error", 3},
    [LOG_LEVEL_WARNING] = {"warning", 4},
    [LOG_LEVEL_INFO] = {"info", 6},
    [LOG_LEVEL_DEBUG] = {"debug", 7},
};

struct log *log_create(int fd, bool priority_prefix)
{
    struct log *log = mem_calloc(1, sizeof *log);
    log->fd = fd;
    log->priority_prefix = priority_prefix;
    log->level = LOG_LEVEL_INFO;
    buf_init(&log->line, LOG_LINE_CAP);
    buf_init(&log->entry, LOG_ENTRY_CAP);
    return log;
}

void log_destroy(struct log *log)
{
    if (log != NULL) {
        buf_free(&log->line);
        buf_free(&log->entry);
        free(log);
    }
}

void log_configure(struct log *log, enum log_level level, enum log_format format)
{
    log->level = level;
    log->format = format;
}

void log_before_line(struct log *log, log_before_fn before, void *ctx)
{
    log->before = before;
    log->before_ctx = ctx;
}

void log_set_journal(struct log *log, log_journal_fn send, void *ctx)
{
    log->journal = send;
    log->journal_ctx = ctx;
}

bool log_wants(const struct log *log, enum log_level level)
{
    return level <= log->level;
}

const char *log_level_name(enum log_level level)
{
    return log_levels[level].name;
}

static bool log_append_time(struct buf *out, int64_t wall_ns)
{
    time_t seconds = wall_ns / CLOCK_NS_PER_SEC;
    struct tm tm;
    char text[32];
    gmtime_r(&seconds, &tm);
    size_t len = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    return buf_append(out, text, len) &&
           buf_printf(out, ".%03dZ", (int)(wall_ns % CLOCK_NS_PER_SEC / CLOCK_NS_PER_MS));
}

// U+2028 or U+2029 at `i`; the text is UTF-8.
static bool log_is_separator(struct str text, size_t i)
{
    return text.len - i >= 3 && (memcmp(text.ptr + i, "\xE2\x80\xA8", 3) == 0 ||
                                 memcmp(text.ptr + i, "\xE2\x80\xA9", 3) == 0);
}

// JSON's escapes, which serve quoted logfmt values too. DEL and bytes that are not ASCII printables
// are kept only if the whole text is UTF-8; C1 controls and line separators could still fool a
// terminal, so those are escaped as well.
static bool log_append_quoted(struct buf *out, struct str text)
{
    bool utf8 = str_is_utf8(text);
    bool ok = buf_append_char(out, '"');
    for (size_t i = 0; ok && i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c == '"' || c == '\\') {
            ok = buf_printf(out, "\\%c", c);
        } else if (c < 0x20 || c == 0x7F || (c >= 0x80 && !utf8)) {
            ok = buf_printf(out, "\\u%04x", c);
        } else if (c == 0xC2 && (unsigned char)text.ptr[i + 1] < 0xA0) {
            ok = buf_printf(out, "\\u%04x", (unsigned char)text.ptr[++i]);
        } else if (log_is_separator(text, i)) {
            i += 2;
            ok = buf_printf(out, "\\u20%02x", (unsigned char)text.ptr[i] - 0x80);
        } else {
            ok = buf_append_char(out, (char)c);
        }
    }
    return ok && buf_append_char(out, '"');
}

static bool log_is_bare(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c <= ' ' || c > '~' || c == '"' || c == '=' || c == '\\') {
            return false;
        }
    }
    return text.len > 0;
}

static bool log_append_value(struct buf *out, enum log_format format, const struct log_field *field)
{
    switch (field->kind) {
    case LOG_KIND_I64:
        return buf_printf(out, "%lld", (long long)field->number);
    case LOG_KIND_F64:
        return buf_printf(out, "%.3f", isfinite(field->real) ? field->real : 0.0);
    case LOG_KIND_BOOL:
        return buf_append_str(out, field->number ? STR("true") : STR("false"));
    case LOG_KIND_TEXT:
        if (format != LOG_FORMAT_JSON && log_is_bare(field->text)) {
            return buf_append_str(out, field->text);
        }
        return log_append_quoted(out, field->text);
    }
    return false;
}

static bool log_append_field(struct buf *out, enum log_format format, const struct log_field *field)
{
    if (field->key == NULL) {
        return true;
    }
    bool json = format == LOG_FORMAT_JSON;
    return buf_printf(out, json ? ",\"%s\":" : " %s=", field->key) &&
           log_append_value(out, format, field);
}

static bool log_append_head(struct buf *out, enum log_format format, int64_t wall_ns,
                            enum log_level level, const char *event)
{
    if (format == LOG_FORMAT_JOURNAL) {
        return buf_append_str(out, str_of(event));
    }
    bool json = format == LOG_FORMAT_JSON;
    return buf_append_str(out, json ? STR("{\"ts\":\"") : STR("")) &&
           log_append_time(out, wall_ns) &&
           buf_printf(out, json ? "\",\"level\":\"%s\",\"event\":\"%s\"" : " %s %s",
                      log_level_name(level), event);
}

bool log_render(struct buf *out, enum log_format format, int64_t wall_ns, enum log_level level,
                const char *event, const struct log_field *fields, size_t count)
{
    bool ok = log_append_head(out, format, wall_ns, level, event);
    if (!ok) {
        return false;
    }
    for (size_t i = 0; ok && i < count; i++) {
        size_t before = out->len;
        ok = log_append_field(out, format, &fields[i]) && out->len + 2 <= out->cap;
        if (!ok) {
            buf_truncate(out, before); // a line too long loses its last fields, not its form
        }
    }
    return format != LOG_FORMAT_JSON || buf_append_char(out, '}');
}

// ---- the journal ---------------------------------------------------------------------------

static bool log_append_journal_field(struct buf *out, const struct log_field *field)
{
    bool ok = true;
    for (const char *c = field->key; ok && *c != '\0'; c++) {
        ok = buf_append_char(out, *c >= 'a' && *c <= 'z' ? (char)(*c - 'a' + 'A') : *c);
    }
    ok = ok && buf_append_char(out, '=');
    // The journal keeps texts apart by their length, so nothing needs to be escaped.
    return ok && (field->kind == LOG_KIND_TEXT ? buf_append_str(out, field->text)
                                               : log_append_value(out, LOG_FORMAT_LOGFMT, field));
}

// Where each NAME=value ends in the entry.
struct log_ends {
    size_t at[LOG_ENTRY_FIELDS];
    size_t count;
};

static bool log_render_entry(struct log *log, enum log_level level, const char *event,
                             struct log_ends *ends)
{
    struct buf *out = &log->entry;
    bool ok = buf_append_str(out, STR("MESSAGE=")) && buf_append_str(out, buf_peek(&log->line));
    ends->at[ends->count++] = out->len;
    ok = ok && buf_printf(out, "PRIORITY=%d", log_levels[level].priority);
    ends->at[ends->count++] = out->len;
    ok = ok && buf_printf(out, "EVENT=%s", event);
    ends->at[ends->count++] = out->len;
    return ok;
}

// False: nobody took it.
static bool log_send(struct log *log, enum log_level level, const char *event,
                     const struct log_field *fields, size_t count)
{
    struct log_ends ends = {.count = 0};
    buf_reset(&log->line);
    buf_reset(&log->entry);
    if (log->journal == NULL ||
        !log_render(&log->line, LOG_FORMAT_JOURNAL, 0, level, event, fields, count) ||
        !log_render_entry(log, level, event, &ends)) {
        return false;
    }
    for (size_t i = 0; i < count && ends.count < LOG_ENTRY_FIELDS; i++) {
        size_t before = log->entry.len;
        if (fields[i].key != NULL && log_append_journal_field(&log->entry, &fields[i])) {
            ends.at[ends.count++] = log->entry.len;
        } else {
            buf_truncate(&log->entry, before); // too long: left out
        }
    }
    struct str parts[LOG_ENTRY_FIELDS];
    for (size_t i = 0; i < ends.count; i++) {
        size_t start = i == 0 ? 0 : ends.at[i - 1];
        parts[i] = (struct str){log->entry.data + start, ends.at[i] - start};
    }
    return log->journal(log->journal_ctx, parts, ends.count);
}

void log_write(struct log *log, enum log_level level, const char *event,
               const struct log_field *fields, size_t count)
{
    if (!log_wants(log, level)) {
        return;
    }
    enum log_format format = log->format;
    if (format == LOG_FORMAT_JOURNAL) {
        if (log_send(log, level, event, fields, count)) {
            return;
        }
        format = LOG_FORMAT_LOGFMT;
    }
    buf_reset(&log->line);
    bool ok = !log->priority_prefix || buf_printf(&log->line, "<%d>", log_levels[level].priority);
    ok = ok && log_render(&log->line, format, clock_wall_ns(), level, event, fields, count) &&
         buf_append_char(&log->line, '\n');
    assert(ok); // the cap leaves room for the fixed part of every line
    (void)ok;
    if (log->before != NULL) {
        log->before(log->before_ctx);
    }
    // A log that cannot be written must not stop the daemon, and there is nowhere to say so.
    ssize_t written = write(log->fd, log->line.data, log->line.len);
    (void)written;
}
