#include "base/log.h"

#include "base/clock.h"
#include "base/mem.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { LOG_LINE_CAP = 16384 };

struct log {
    int fd;
    bool priority_prefix;
    enum log_level level;
    enum log_format format;
    struct buf line;
    log_before_fn before;
    void *before_ctx;
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
    return log;
}

void log_destroy(struct log *log)
{
    if (log != NULL) {
        buf_free(&log->line);
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
        if (format == LOG_FORMAT_LOGFMT && log_is_bare(field->text)) {
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

bool log_render(struct buf *out, enum log_format format, int64_t wall_ns, enum log_level level,
                const char *event, const struct log_field *fields, size_t count)
{
    bool json = format == LOG_FORMAT_JSON;
    bool ok = buf_append_str(out, json ? STR("{\"ts\":\"") : STR("")) &&
              log_append_time(out, wall_ns) &&
              buf_printf(out, json ? "\",\"level\":\"%s\",\"event\":\"%s\"" : " %s %s",
                         log_level_name(level), event);
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
    return !json || buf_append_char(out, '}');
}

void log_write(struct log *log, enum log_level level, const char *event,
               const struct log_field *fields, size_t count)
{
    if (!log_wants(log, level)) {
        return;
    }
    buf_reset(&log->line);
    bool ok = !log->priority_prefix || buf_printf(&log->line, "<%d>", log_levels[level].priority);
    ok = ok && log_render(&log->line, log->format, clock_wall_ns(), level, event, fields, count) &&
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
