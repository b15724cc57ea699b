// What went wrong, owned by the caller. Functions that can fail return bool (true = ok), take
// `struct err *` last and fail with `return err_set(err, ERR_KIND_X, "...")`. The kind decides the
// exit code; the text is one line for a person: what was found, where, and what to do.
// The text must never hold a secret or a customer's value.
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdbool.h>

#define MUST_CHECK __attribute__((warn_unused_result))

enum err_kind {
    ERR_KIND_NONE,
    ERR_KIND_USAGE,       // the command line; exit 64
    ERR_KIND_DATA,        // a row or an input document; exit 65
    ERR_KIND_UNAVAILABLE, // database or API unreachable; exit 69
    ERR_KIND_CONFIG,      // configuration, schema or rights; exit 78
    ERR_KIND_INTERNAL,    // anything else; exit 1
};

struct err {
    enum err_kind kind;
    char text[1024];
};

// Sets kind and text; always returns false. `err` may be NULL where the caller does not care.
bool err_set(struct err *err, enum err_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// Puts "<context>: " in front of the text; always returns false.
bool err_context(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

// The process's exit code for an error of this kind (sysexits, which systemd shows by name).
int err_exit_code(enum err_kind kind);

#endif
