// The API key and the file it stands in, which somebody may replace at any time.
#ifndef APP_KEYFILE_H
#define APP_KEYFILE_H

#include "base/err.h"
#include "io/file.h"

#include <stdbool.h>

// All zero is a valid start.
struct keyfile {
    char *key;               // NULL: not read yet
    struct file_stamp tried; // of the file as it was last read, in vain or not
    struct file_stamp seen;  // as it was at the last look
};

void keyfile_free(struct keyfile *keyfile); // wipes

// Reads the file into an empty keyfile.
bool keyfile_read(struct keyfile *keyfile, const char *path, struct err *err) MUST_CHECK;

// Takes the key over from `from`, which is empty then. True when it is another one.
bool keyfile_take(struct keyfile *keyfile, struct keyfile *from);

// Whether there is another file, or other content, than was last tried. Two looks must see the
// same, so that nothing is read while it is being written: call it now and then.
bool keyfile_has_changed(struct keyfile *keyfile, const char *path);

#endif
