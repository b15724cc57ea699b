// Small files read whole: keys and passwords.
#ifndef IO_FILE_H
#define IO_FILE_H

#include "base/err.h"

// The content without white space at its end, NUL-terminated, in `*secret`; the caller wipes and
// frees it. Fails for a file that is missing, unreadable, empty, over 64 KiB or holds a line break
// or control character inside; the text names the path and never the content.
bool file_read_secret(const char *path, char **secret, struct err *err) MUST_CHECK;

#endif
