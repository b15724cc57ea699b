// The log, which is the monitoring interface: one event a line, with a stable name and typed
// key=value fields (imprint-sync-log(7)). Values are escaped, so no row and no answer can forge a
// line. No secret and no customer's value is ever passed in here, at any level.
//
//     log_event(log, LOG_LEVEL_WARNING, "update.retry", LOG_I64("id", id), LOG_TEXT("reason", r));
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/buf.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_format {
    LOG_FORMAT_LOGFMT,
    LOG_FORMAT_JSON,
    LOG_FORMAT_JOURNAL, // native fields of systemd's journal
};

// Of the contract in imprint-sync-log(7): raised when an event or a key changes its name, type,
// unit or meaning, or goes; see tests/cases/log.tsv.
enum { LOG_VERSION = 1 };

enum log_kind { LOG_KIND_I64, LOG_KIND_F64, LOG_KIND_TEXT, LOG_KIND_BOOL };

struct log_field {
    const char *key; // snake_case, ends in its unit
    enum log_kind kind;
    int64_t number;
    double real;
    struct str text;
};

#define LOG_I64(k, v) ((struct log_field){.key = (k), .kind = LOG_KIND_I64, .number = (v)})
#define LOG_F64(k, v) ((struct log_field){.key = (k), .kind = LOG_KIND_F64, .real = (v)})
#define LOG_BOOL(k, v) ((struct log_field){.key = (k), .kind = LOG_KIND_BOOL, .number = (v)})
#define LOG_STR(k, v) ((struct log_field){.key = (k), .kind = LOG_KIND_TEXT, .text = (v)})
#define LOG_TEXT(k, v) LOG_STR(k, str_of(v))

struct log;

// Writes to file descriptor `fd`, which stays the caller's. With `priority_prefix` each line starts
// with "<N>", as systemd reads it from a service's standard error.
struct log *log_create(int fd, bool priority_prefix);
void log_destroy(struct log *log);
void log_configure(struct log *log, enum log_level level, enum log_format format);
// Called before each line that is written, e.g. to clear what a terminal shows there. NULL: none.
typedef void (*log_before_fn)(void *ctx);
void log_before_line(struct log *log, log_before_fn before, void *ctx);
bool log_wants(const struct log *log, enum log_level level);

// Takes an entry for the journal: `fields` are NAME=value, the values as they are. False: there is
// no journal.
typedef bool (*log_journal_fn)(void *ctx, const struct str *fields, size_t count);
// For LOG_FORMAT_JOURNAL; what `send` does not take, and everything without it, is written as
// logfmt.
void log_set_journal(struct log *log, log_journal_fn send, void *ctx);

// One line, one write(2). A field with key NULL is left out.
void log_write(struct log *log, enum log_level level, const char *event,
               const struct log_field *fields, size_t count);

#define log_event(log, level, event, ...)                                                          \
    do {                                                                                           \
        const struct log_field log_fields_[] = {__VA_ARGS__};                                      \
        log_write((log), (level), (event), log_fields_,                                            \
                  sizeof log_fields_ / sizeof log_fields_[0]);                                     \
    } while (0)

// The line without the prefix and the newline, for tests: `wall_ns` is the time stamp. For the
// journal, which keeps time and level by itself, it is the MESSAGE: logfmt without these.
bool log_render(struct buf *out, enum log_format format, int64_t wall_ns, enum log_level level,
                const char *event, const struct log_field *fields, size_t count) MUST_CHECK;

const char *log_level_name(enum log_level level);

#endif
