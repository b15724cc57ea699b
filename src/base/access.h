// Who may read a file with a secret.
#ifndef BASE_ACCESS_H
#define BASE_ACCESS_H

#include <stdbool.h>
#include <sys/stat.h>

// Whether users other than its owner and group may access the file at `path`, whose status is
// given. Not those below systemd's $CREDENTIALS_DIRECTORY, whatever their mode: systemd guards that
// folder itself, and lets nobody set modes there.
bool access_is_open(const char *path, const struct stat *status);

// What is wrong with such a file, and what to do.
extern const char access_open_reason[];

#endif
