#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <sysexits.h>

bool err_set(struct err *err, enum err_kind kind, const char *format, ...)
{
    if (err != NULL) {
        va_list args;
        va_start(args, format);
        err->kind = kind;
        vsnprintf(err->text, sizeof err->text, format, args);
        va_end(args);
    }
    return false;
}

// Appends one character if it fits; returns the new length.
static int err_put(struct err *err, int len, char c)
{
    if ((size_t)len + 1 < sizeof err->text) {
        err->text[len++] = c;
        err->text[len] = '\0';
    }
    return len;
}

bool err_context(struct err *err, const char *format, ...)
{
    if (err == NULL) {
        return false;
    }
    struct err inner = *err;
    va_list args;
    va_start(args, format);
    int len = vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    // What does not fit is cut at the end, where it hurts least.
    for (const char *p = ": "; len >= 0 && *p != '\0'; p++) {
        len = err_put(err, len, *p);
    }
    for (const char *p = inner.text; len >= 0 && *p != '\0'; p++) {
        len = err_put(err, len, *p);
    }
    return false;
}

int err_exit_code(enum err_kind kind)
{
    switch (kind) {
    case ERR_KIND_NONE:
        return EX_OK;
    case ERR_KIND_USAGE:
        return EX_USAGE;
    case ERR_KIND_DATA:
        return EX_DATAERR;
    case ERR_KIND_UNAVAILABLE:
        return EX_UNAVAILABLE;
    case ERR_KIND_CONFIG:
        return EX_CONFIG;
    case ERR_KIND_INTERNAL:
        return 1;
    }
    return 1;
}
