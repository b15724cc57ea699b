// The list that `check` prints, one entry for each thing looked at: lines for people, or a JSON
// array for machines. It remembers the exit code: that of the first failure.
#ifndef APP_REPORT_H
#define APP_REPORT_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

enum report_level {
    REPORT_LEVEL_OK,
    REPORT_LEVEL_WARNING,
    REPORT_LEVEL_FAILED,
};

struct report {
    bool json;
    size_t entries;
    size_t warnings;
    size_t failures;
    int exit_code;
    char first[512]; // the first failure
};

void report_begin(struct report *report, bool json);

// `what` was looked at; the format says what was found, in one line. `todo` is what to do about it,
// by preference a statement to run; NULL: nothing, or the text says it. Texts may hold anything:
// controls are made visible.
void report_ok(struct report *report, const char *what, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void report_warn(struct report *report, const char *what, const char *todo, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
// `kind` decides the exit code.
void report_fail(struct report *report, enum err_kind kind, const char *what, const char *todo,
                 const char *format, ...) __attribute__((format(printf, 5, 6)));

// Ends the list; of failures the last line tells, on standard error. Returns the exit code.
int report_end(struct report *report);

#endif
