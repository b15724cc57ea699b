// Small files read whole: keys and passwords.
#ifndef IO_FILE_H
#define IO_FILE_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

// The content without white space at its end, NUL-terminated, in `*secret`; the caller wipes and
// frees it. Fails for a file that is missing, unreadable, empty, over 64 KiB, open to other
// users (see base/access.h) or holds a line break or control character inside; the text names the
// path and never the content.
bool file_read_secret(const char *path, char **secret, struct err *err) MUST_CHECK;

// By which a file that was replaced or written is known. All zero where there is none.
struct file_stamp {
    uint64_t device;
    uint64_t inode;
    int64_t bytes;
    int64_t modified_ns;
    int64_t changed_ns; // also when only renamed into its place, or given other rights
};
struct file_stamp file_stamp(const char *path);
bool file_stamp_equal(const struct file_stamp *a, const struct file_stamp *b);

#endif
