// A line of the log, read back: logfmt or JSON as base/log.h writes them, with or without "<N>" in
// front, or an entry of systemd's journal as `journalctl -o json` prints it. Nothing is copied:
// what is found points into the line, or into the scratch of an entry. Life cycle: logline_init,
// logline_parse..., logline_free.
#ifndef DOMAIN_LOGLINE_H
#define DOMAIN_LOGLINE_H

#include "base/buf.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LOGLINE_FIELDS = 64 }; // further ones are left out

struct logline_field {
    struct str key;   // of the journal: in capitals
    struct str value; // between its quotes; escapes not decoded
    bool quoted;
};

struct logline {
    int64_t at_us;    // an instant (domain/instant.h)
    struct str event; // letters, '_' and '.' only
    struct logline_field fields[LOGLINE_FIELDS];
    size_t count;
    struct buf scratch;
};

void logline_init(struct logline *line);
void logline_free(struct logline *line);

// `text` without its newline. False when it is no line of the log; what was found before is then
// gone. Valid until the next call, as long as `text` is.
bool logline_parse(struct logline *line, struct str text) MUST_CHECK;

// The value of `key` as a number; false when there is none, or no finite number.
bool logline_number(const struct logline *line, const char *key, double *value) MUST_CHECK;

// Appends the decoded value of `key`. False when there is none, or it does not fit.
bool logline_text(const struct logline *line, const char *key, struct buf *out) MUST_CHECK;

// Whether `key` has exactly this value, which needs no escapes.
bool logline_is(const struct logline *line, const char *key, const char *value);

#endif
